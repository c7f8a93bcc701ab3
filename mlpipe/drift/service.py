"""From the prediction log to a report, and from a drift to a retraining job, in one transaction."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlpipe import clock, db, errors
from mlpipe.drift import judging, quality, splitting, store, unlabelled
from mlpipe.drift import report as reports
from mlpipe.features import store as features
from mlpipe.incidents import store as incidents
from mlpipe.jobs import asking, ledger
from mlpipe.jobs import store as jobs
from mlpipe.prediction import store as predictions
from mlpipe.registry import store as versions
from mlpipe.schema.contract import Schema
from mlpipe.settings import Settings

logger = logging.getLogger("mlpipe.drift")

CHECK = "drift_check"
INCIDENT = "drift"
KEEP_WAITING_S = 86_400
"""How long the rows of checks are kept that only waited for data; the ledger keeps their count."""

Floats = NDArray[np.float64]


class Monitor:
    """Checks the traffic of the version that serves.

    Parameters
    ----------
    models : Path
        The registry folder; a version's reference was prepared at its registration, and is read again when the columns
        change.
    """

    def __init__(self, models: Path) -> None:
        self.quality = quality.Watch(models)
        self._models = models
        self._basis: judging.Basis | None = None
        self._checking = threading.Lock()

    def check(self, settings: Settings, *, job_id: int | None = None, holder: str = "") -> dict[str, Any]:
        """Run one check now.

        Parameters
        ----------
        settings : Settings
        job_id : int, optional
            The slot's job row, which ends in the same transaction.
        holder : str
            Who holds that job.

        Returns
        -------
        dict
            The report as in ``POST /drift/check``. ``waiting_for_data`` when fewer than `min_samples` rows came since
            the last check of this version: nothing is stored then but a line in the ledger. ``quality`` is the test of
            the newest labels, which has a rule of its own for what is new: labels come when no rows do.

        Notes
        -----
        A drift stores its report, opens or updates the incident and asks for a retraining in one transaction.
        """
        with self._checking:
            watched = self.quality.look(settings)
            try:
                found = self._check(settings, job_id, holder, watched)
            except Exception:
                quality.settle(watched)  # whatever is wrong there must not silence what the labels say
                raise
        if found["verdict"] == "waiting_for_data":
            return found | {"quality": quality.settle(watched)}
        return found

    def _check(
        self, settings: Settings, job_id: int | None, holder: str, watched: quality.Finding | dict[str, Any]
    ) -> dict[str, Any]:
        with db.reading() as connection:
            active = versions.active(connection)
            schema = features.current_schema(connection)
            if active is None or schema is None:
                return self._wait("No model serves yet, so there is nothing to compare with.", job_id, holder)
            last = store.latest(connection, model_version=active.version)
            seen = last.last_prediction if last else 0
            n = predictions.count_since(connection, active.version, seen, enough=settings.min_samples)
            looked = {
                "model_version": active.version,
                "last_prediction": predictions.newest(connection),
                "at": clock.now_us(),
            }
        if n < settings.min_samples:
            return self._wait(judging.too_few(n, settings), job_id, holder, looked)
        basis = self._load(active.version, schema, settings)
        window = judging.read_window(basis, settings)
        report = judging.judge(basis, window, settings, now=clock.now_us())
        parts = splitting.split(
            basis.splits,
            version=active.version,
            upto=window.last,
            whole=report.verdict,
            rule=judging.rule(settings),
            importance=basis.importance,
        )
        seen_report = last.id if last else None
        foreseen = unlabelled.look(self.quality, active.version, window, settings)
        return _store(
            report, (parts, watched, foreseen), window, last=(active.version, seen_report), job=(job_id, holder)
        )

    def _wait(
        self, sentence: str, job_id: int | None, holder: str, looked: dict[str, int] | None = None
    ) -> dict[str, Any]:
        version = looked["model_version"] if looked else None
        with db.transaction(durability="process") as connection:
            ledger.record(connection, "waiting_for_data", sentence, fold=True, model_version=version)
            if job_id is not None:
                ended = {"state": "done", "outcome": "waiting_for_data", "sentence": sentence}
                jobs.finish(connection, job_id, holder, **ended, result=looked)
        now = clock.iso(clock.now_us())
        empty: dict[str, Any] = {"score": None, "rows": 0, "features": [], "prediction": None, "notes": []}
        empty |= dict.fromkeys(("since", "relations", "segments", "quality"))
        head = {
            "verdict": "waiting_for_data",
            "checked_at": now,
            "model_version": version,
            "sentence": sentence,
        }
        return head | empty

    def _load(self, version: int, schema: Schema, settings: Settings) -> judging.Basis:
        kept = self._basis
        if kept is None or (kept.version, kept.columns) != (version, schema.columns):
            kept = self._basis = judging.load(self._models, version, schema, settings)
        return kept


def _store(
    report: reports.Report,
    beside: tuple[dict[str, Any] | None, quality.Finding | dict[str, Any], unlabelled.Finding | None],
    window: predictions.Window,
    *,
    last: tuple[int, int | None],
    job: tuple[int | None, str],
) -> dict[str, Any]:
    """Store a report of a version, unless another came after the `last` one that the check knew of."""
    parts, watched, foreseen = beside
    (version, known), (job_id, holder) = last, job
    values = {
        "model_version": version,
        "job_id": job_id,
        "first_prediction": window.first,
        "last_prediction": window.last,
        "n_rows": report.n_rows,
        "verdict": report.verdict,
        "score": report.score,
        "score_ungated": report.score_ungated,
        "sentence": report.sentence,
        "features": msgspec.to_builtins(report.features),
        "prediction": msgspec.to_builtins(report.prediction),
        "notes": [*report.notes, *(parts["notes"] if parts else ())],
        "since": None if report.since is None else report.since.at,
        "relations": msgspec.to_builtins(report.relations),
        "segments": parts,
    }
    with db.transaction() as connection:
        versions.active(connection, for_update=True)  # checks take turns here, so that no row is tested twice
        newest = store.latest(connection, model_version=version)
        report_id = store.add(connection, values) if known == (newest.id if newest else None) else None
        if job_id is not None:
            _finish(connection, job_id, holder, report, report_id)
        if report_id is not None:
            _act(connection, report, report_id, version, job_id)
        said = quality.keep(connection, watched) if isinstance(watched, quality.Finding) else watched
        if report_id is not None:
            store.attach_quality(connection, report_id, unlabelled.keep(connection, foreseen, report_id, said))
        stored = store.latest(connection, model_version=version)
    logger.info("%s: %s", report.verdict, report.sentence)
    return as_json(stored)


def _finish(connection: db.Connection, job_id: int, holder: str, report: reports.Report, report_id: int | None) -> None:
    """End the slot's job; without a report of its own another process was faster on the same rows."""
    ended = jobs.finish(
        connection,
        job_id,
        holder,
        state="done",
        outcome=report.verdict,
        sentence=report.sentence,
        result={"report": report_id},
    )
    if not ended:
        raise errors.JobConflict("Another process has taken over this check; its report counts, not this one.")


def _act(connection: db.Connection, report: reports.Report, report_id: int, version: int, job_id: int | None) -> None:
    """Open, update or close the incident, tell the ledger, and ask for a retraining."""
    drifts = report.verdict == "drift"
    evidence = {"report": report_id, "score": report.score, "model_version": version}
    if drifts:
        incidents.open_or_update(connection, INCIDENT, report.sentence, evidence)
    incident = incidents.open_id(connection, INCIDENT)
    ids = {"report_id": report_id, "model_version": version, "job_id": job_id, "incident_id": incident}
    ledger.record(connection, report.verdict, report.sentence, evidence=None, fold=False, **ids)
    if not drifts:
        incidents.resolve(connection, INCIDENT, report.sentence)
        return
    asking.ask(
        connection,
        f"Drift: {report.sentence}",
        trigger="drift",
        because=f"the traffic has moved: {report.sentence}",
        evidence=evidence | {"incident": incident} | _began(report),
    )


def _began(report: reports.Report) -> dict[str, int]:
    """Return when the drift began, for a retraining on the rows since then; nothing where that is not known."""
    return {} if report.since is None else {"since": report.since.at}


def as_json(row: Any) -> dict[str, Any]:
    """Return a report row as the API shows it."""
    return {
        "id": row.id,
        "verdict": row.verdict,
        "score": row.score,
        "score_ungated": row.score_ungated,
        "checked_at": clock.iso(row.checked_at),
        "model_version": row.model_version,
        "rows": row.n_rows,
        "first_prediction": row.first_prediction,
        "last_prediction": row.last_prediction,
        "sentence": row.sentence,
        "since": clock.iso(row.since),
        "features": row.features,
        "prediction": row.prediction,
        "notes": row.notes,
        "relations": row.relations,
        "segments": row.segments,
        "quality": row.quality,
    }


def run_slot(monitor: Monitor, settings: Settings, *, slot: int, holder: str) -> bool:
    """Run the check of an interval, unless some process has run it; say whether it ran here.

    Parameters
    ----------
    slot : int
        Number of the interval since 1970. The unique (kind, slot) row is the proof that it runs once.
    """
    with db.transaction() as connection:
        reason = f"Every {settings.check_interval:g} s"
        job = jobs.enqueue(connection, CHECK, reason, slot=slot, holder=holder)
    if job is None:
        return False
    try:
        monitor.check(settings, job_id=job, holder=holder)
    except errors.MlpipeError as fault:
        _fail(job, holder, fault.detail)
    except Exception as fault:
        logger.exception("check failed")
        _fail(job, holder, f"mlpipe has made a mistake: {fault!r}")
        raise
    return True


def sweep() -> None:
    """Fail checks whose process died, and drop old rows of checks that only waited for data."""
    with db.reading() as connection:
        if not jobs.overdue(connection, CHECK, before_us=clock.now_us() - KEEP_WAITING_S * clock.MICROSECONDS):
            return
    with db.transaction() as connection:
        for lost in jobs.give_up(connection, CHECK, after=1):
            ledger.record(connection, "failure", f"A drift check failed. {lost.sentence}", job_id=lost.id)
        jobs.forget(connection, CHECK, before_us=clock.now_us() - KEEP_WAITING_S * clock.MICROSECONDS)


def _fail(job: int, holder: str, sentence: str) -> None:
    logger.error("check failed: %s", sentence)
    with db.transaction() as connection:
        jobs.finish(connection, job, holder, state="failed", outcome="failed", sentence=sentence)
        ledger.record(connection, "failure", f"A drift check failed. {sentence}", job_id=job)
