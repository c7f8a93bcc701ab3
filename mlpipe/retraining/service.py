"""Window -> fit -> evaluate both -> gate -> register -> activate."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlpipe import clock, db, errors, logs
from mlpipe.features import store as features
from mlpipe.jobs import ledger
from mlpipe.jobs import store as jobs
from mlpipe.registry import artifacts
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.retraining import child, evaluate, fit, gate
from mlpipe.schema.contract import Schema
from mlpipe.settings import Settings

logger = logging.getLogger("mlpipe.retraining")

KIND = "retraining"

MIN_HOLDOUT = 50
"""Rows without which two models cannot be told apart at all; a retraining asked for by hand waits for so many."""

TRAINED = ("promoted", "rejected", "failed")
"""Outcomes after which only labels that came since count as new."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a job will work on, read in one picture of the store.

    Attributes
    ----------
    samples : features.Samples
        The window, oldest first.
    holdout : bool (n,)
        Newest rows that the champion has not trained on.
    marks : (int, int)
        Newest batch and later label of the store: what came after is new to this version.
    """

    schema: Schema
    samples: features.Samples
    holdout: NDArray[np.bool_]
    champion: versions.Version | None
    marks: tuple[int, int]


# Asking ---------------------------------------------------------------------------------------------------------


def ask(reason: str) -> jobs.Job:
    """Ask for a retraining by hand; an open one is joined.

    Returns
    -------
    Job
        The open job.
    """
    with db.transaction() as connection:
        made = jobs.enqueue(connection, KIND, reason, evidence={"asked": True})
        job = jobs.open_job(connection, KIND) if made is None else jobs.get(connection, made)
        if job is None:
            raise errors.JobConflict("The open retraining ended at this moment; ask again.")
        if made is not None:
            ledger.record(connection, "trigger", f"A retraining was asked for: {reason}", job_id=job.id)
        return job


def ask_for_first(settings: Settings) -> bool:
    """Ask for the first model once enough labelled rows are there and ingestion is quiet; say whether it was asked.

    Notes
    -----
    After a failed try it asks again only when another batch has come.
    """
    with db.reading() as connection:
        if versions.active(connection) is not None:
            return False
        newest, _, received_at = features.newest_marks(connection)
        quiet_s = (clock.now_us() - received_at) / clock.MICROSECONDS
        n = features.count_new_labels(connection, last_batch=0, last_label=0, enough=settings.min_labelled)
        schema = features.current_schema(connection)
        tried = jobs.last_job(connection, KIND, outcomes=TRAINED)
    if schema is None or n < settings.min_labelled or quiet_s < settings.quiet_s or not _learnable(schema):
        return False
    if tried is not None and (tried.result or {}).get("last_batch", 0) >= newest:
        return False
    with db.transaction() as connection:
        reason = f"The first model: {n:,} labelled rows or more are here."
        job = jobs.enqueue(connection, KIND, reason, evidence={"labelled": n})
        if job is not None:
            ledger.record(connection, "trigger", reason, job_id=job)
    return job is not None


def _learnable(schema: Schema) -> bool:
    return schema.target.task == "regression" or len(schema.target.classes) >= 2


def resume_waiting(settings: Settings) -> None:
    """Queue the job again that waited for labels, when they have come."""
    with db.reading() as connection:
        job = jobs.open_job(connection, KIND)
        if job is None or job.state != "waiting_for_labels":
            return
        n, needed = _new_labels(connection, job, settings)
    if n >= needed:
        with db.transaction() as connection:
            jobs.resume(connection, job.id)


def _new_labels(connection: db.Connection, job: jobs.Job, settings: Settings) -> tuple[int, int]:
    """Return how many labels are new since the last training, and how many this job needs."""
    needed = MIN_HOLDOUT if job.evidence.get("asked") else settings.min_new_labels
    active = versions.active(connection)
    champion = versions.get(connection, active.version) if active else None
    tried = jobs.last_job(connection, KIND, outcomes=TRAINED)
    seen = (tried.result or {}) if tried else {}
    last_batch = max(
        champion.last_batch if champion else 0, 0 if job.evidence.get("asked") else seen.get("last_batch", 0)
    )
    last_label = max(
        champion.last_label if champion else 0, 0 if job.evidence.get("asked") else seen.get("last_label", 0)
    )
    n = features.count_new_labels(connection, last_batch=last_batch, last_label=last_label, enough=needed)
    return n, needed


# Running --------------------------------------------------------------------------------------------------------


def run_next(settings: Settings, *, holder: str) -> jobs.Job | None:
    """Claim the next retraining and carry it out; None when there is none.

    Parameters
    ----------
    settings : Settings
    holder : str
        Name of this worker, under which the job is leased.
    """
    _give_up_lost()
    resume_waiting(settings)
    with db.transaction() as connection:
        job = jobs.claim(connection, KIND, holder, lease_until=_lease_end(settings))
    if job is None:
        return None
    with logs.trace(f"job {job.id}"):
        logger.info("%s (try %s): %s", "retraining begins", job.attempts, job.reason)
        try:
            _carry_out(job, settings, holder)
        except child.Cancelled:
            _end(
                job, holder, state="cancelled", outcome="cancelled", sentence="Cancelled while it ran; nothing changed."
            )
        except errors.MlpipeError as fault:
            _end(job, holder, state="failed", outcome="failed", sentence=fault.detail)
        except Exception as fault:
            logger.exception("retraining failed")
            _end(job, holder, state="failed", outcome="failed", sentence=f"mlpipe has made a mistake: {fault!r}")
            raise
    return job


def _give_up_lost() -> None:
    with db.transaction() as connection:
        for job in jobs.give_up(connection, KIND):
            ledger.record(connection, "failure", f"Retraining job {job.id} failed. {job.sentence}", job_id=job.id)


def _lease_end(settings: Settings) -> int:
    return clock.now_us() + int(max(settings.lease_s, 3 * child.BEAT_S) * clock.MICROSECONDS)


def _carry_out(job: jobs.Job, settings: Settings, holder: str) -> None:
    with db.reading() as connection:
        n, needed = _new_labels(connection, job, settings)
        champion_is_there = versions.active(connection) is not None
    if champion_is_there and n < needed:
        _wait(job, holder, f"{n:,} of {needed:,} new labelled rows are here; old rows cannot teach what has changed.")
        return
    plan = _plan(settings)
    beat = _beat(job, settings, holder)
    models = settings.models_folder
    models.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".fit-", dir=models))
    try:
        scores = _fit(work, plan, settings, beat)
        _decide(job, plan, scores, work=work, settings=settings, holder=holder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _plan(settings: Settings) -> Plan:
    """Read the window and choose the rows to compare on.

    Raises
    ------
    errors.TooFewSamples
        Not enough labelled rows, or all of one class.
    """
    with db.reading() as connection:
        schema = features.current_schema(connection)
        active = versions.active(connection)
        champion = versions.get(connection, active.version) if active else None
        samples = features.newest_labelled(connection, settings.training_window)
        last_batch, last_label, _ = features.newest_marks(connection)
    if schema is None or len(samples) < 2:
        raise errors.TooFewSamples(f"{len(samples)} labelled rows are here; a model needs at least two.")
    holdout = choose_holdout(samples, champion, settings)
    if schema.target.task == "classification" and len(np.unique(samples.y[~holdout])) < 2:
        raise errors.TooFewSamples(
            f"All labels of the {int((~holdout).sum()):,} rows to train on are equal; at least two classes are needed."
        )
    return Plan(schema=schema, samples=samples, holdout=holdout, champion=champion, marks=(last_batch, last_label))


def choose_holdout(
    samples: features.Samples, champion: versions.Version | None, settings: Settings
) -> NDArray[np.bool_]:
    """Choose the newest rows, none of which the champion has trained on.

    Returns
    -------
    bool (n,)
        At most ``holdout_max`` rows, ``holdout_share`` of the window.
    """
    fresh = np.ones(len(samples), dtype=bool)
    if champion is not None:
        fresh = (samples.ids[:, 0] > champion.last_batch) | (samples.label_ids > champion.last_label)
    wanted = max(1, min(settings.holdout_max, round(settings.holdout_share * len(samples))))
    chosen = np.flatnonzero(fresh)[-wanted:]
    holdout = np.zeros(len(samples), dtype=bool)
    holdout[chosen] = True
    return holdout


def _beat(job: jobs.Job, settings: Settings, holder: str) -> Callable[[], bool | None]:
    def beat() -> bool | None:
        with db.transaction(durability="process") as connection:
            return jobs.beat(connection, job.id, holder, lease_until=_lease_end(settings), step="fit")

    return beat


def _fit(work: Path, plan: Plan, settings: Settings, beat: Callable[[], bool | None]) -> Arrays:
    champion = None
    if plan.champion is not None:
        champion = (registry.folder(settings.models_folder, plan.champion.version), plan.champion.files)
    child.write_task(
        work,
        X=plan.samples.X,
        y=plan.samples.y,
        holdout=plan.holdout,
        task=plan.schema.target.task or "classification",
        parameters=_parameters(settings),
        champion=champion,
    )
    return child.run(work, timeout_s=settings.fit_timeout_s, memory_mb=settings.fit_memory_mb, beat=beat)


def _parameters(settings: Settings) -> fit.Parameters:
    return fit.Parameters(settings.n_estimators, settings.max_depth, settings.random_state)


# Deciding -------------------------------------------------------------------------------------------------------


def _decide(job: jobs.Job, plan: Plan, scores: Arrays, *, work: Path, settings: Settings, holder: str) -> None:
    y = plan.samples.y[plan.holdout]
    metrics = evaluate.metrics(y, scores["challenger_scores"], scores["challenger_classes"])
    verdict = _verdict(y, scores)
    seen = {"last_batch": plan.marks[0], "last_label": plan.marks[1], "metrics": metrics}
    result = seen | {"verdict": asdict(verdict) if verdict else None}
    if verdict is not None and verdict.decision == "reject":
        sentence = f"Version {plan.champion.version if plan.champion else '?'} stays. {verdict.sentence}"
        _end(job, holder, state="done", outcome="rejected", sentence=sentence, result=result, kind="verdict")
        return
    why = verdict.sentence if verdict else f"It is the first one, trained on {len(plan.samples):,} rows."
    _build(work, plan, scores, metrics=metrics, job=job, settings=settings)
    _register(work, plan, metrics=metrics, job=job, settings=settings, holder=holder, why=why, result=result)


def _verdict(y: NDArray[np.float64], scores: Arrays) -> gate.Verdict | None:
    if "champion_scores" not in scores:
        return None
    kept = evaluate.losses(y, scores["champion_scores"], scores["champion_classes"])
    tried = evaluate.losses(y, scores["challenger_scores"], scores["challenger_classes"])
    loss = "Brier score" if len(scores["challenger_classes"]) else "mean absolute error"
    return gate.judge(kept, tried, loss=loss)


def _build(
    work: Path, plan: Plan, scores: Arrays, *, metrics: dict[str, Any], job: jobs.Job, settings: Settings
) -> None:
    """Lay the version's files into the work folder, beside the model."""
    n = settings.reference_rows
    samples = plan.samples
    reference = {"X": samples.X[-n:], "scores": scores["cross_scores"][-n:], "importance": scores["importance"]}
    artifacts.dump_arrays(reference, work / artifacts.REFERENCE)
    smoke = {"X": samples.X[-child.SMOKE_ROWS :], "scores": scores["smoke_scores"]}
    artifacts.dump_arrays(smoke, work / artifacts.SMOKE)
    manifest = {
        "schema": msgspec.to_builtins(plan.schema),
        "parameters": asdict(_parameters(settings)),
        "classes": scores["classes"].tolist(),
        "metrics": metrics,
        "lineage": _lineage(plan),
        "libraries": artifacts.libraries(),
        "job": job.id,
        "reason": job.reason,
        "created_at": clock.iso(clock.now_us()),
    }
    artifacts.write_manifest(manifest, work)
    for name in (child.TASK, child.WINDOW, child.SCORES, child.OUTPUT):
        (work / name).unlink(missing_ok=True)


def _lineage(plan: Plan) -> dict[str, Any]:
    """Name the rows that the version saw: ids as ranges of positions within batches, and a hash of all of it."""
    samples = plan.samples
    batches, starts, counts = np.unique(samples.ids[:, 0], return_index=True, return_counts=True)
    rows = [
        [int(batch), int(samples.ids[start : start + n, 1].min()), int(samples.ids[start : start + n, 1].max()), int(n)]
        for batch, start, n in zip(batches, starts, counts, strict=True)
    ]
    return {
        "rows": len(samples),
        "holdout_rows": int(plan.holdout.sum()),
        "schema_version": plan.schema.version,
        "batches": rows,
        "batches_are": "[batch row, first position, last position, rows]",
        "first_event": clock.iso(int(samples.event_times.min())),
        "last_event": clock.iso(int(samples.event_times.max())),
        "sha256": artifacts.digest_arrays(samples.X, samples.y, samples.ids),
    }


def _register(
    work: Path,
    plan: Plan,
    *,
    metrics: dict[str, Any],
    job: jobs.Job,
    settings: Settings,
    holder: str,
    why: str,
    result: dict[str, Any],
) -> None:
    """Put the folder in place, then its row, the deployment and the job's end in one transaction."""
    files = artifacts.digests(work)
    with db.reading() as connection:
        number = versions.next_number(connection)
    artifacts.publish(work, registry.folder(settings.models_folder, number))
    version = _version_row(number, plan, metrics=metrics, job=job, settings=settings, files=files, result=result)
    with db.transaction() as connection:
        versions.add(connection, version)
        reason = f"{job.reason} {why}"
        registry.deploy(connection, number, by="retraining", reason=reason, job_id=job.id)
        sentence = f"Version {number} was promoted. {why}"
        result = result | {"version": number}
        ended = jobs.finish(
            connection, job.id, holder, state="done", outcome="promoted", sentence=sentence, result=result
        )
        if not ended:
            raise child.Cancelled
        ledger.record(connection, "verdict", sentence, job_id=job.id, model_version=number, evidence=result)
    logger.info("%s", sentence)


def _version_row(
    number: int,
    plan: Plan,
    *,
    metrics: dict[str, Any],
    job: jobs.Job,
    settings: Settings,
    files: dict[str, str],
    result: dict[str, Any],
) -> versions.Version:
    task = plan.schema.target.task or "classification"
    classes = [] if task == "regression" else np.unique(plan.samples.y).tolist()
    return versions.Version(
        version=number,
        created_at=clock.now_us(),
        kind="forest",
        task=task,
        schema_version=plan.schema.version,
        parent=plan.champion.version if plan.champion else None,
        job_id=job.id,
        parameters=asdict(_parameters(settings)) | {"classes": classes},
        metrics=metrics,
        lineage=_lineage(plan),
        verdict=result["verdict"] or {},
        files=files,
        last_batch=plan.marks[0],
        last_label=plan.marks[1],
    )


def _wait(job: jobs.Job, holder: str, sentence: str) -> None:
    with db.transaction() as connection:
        if jobs.wait_for_labels(connection, job.id, holder, sentence):
            ledger.record(connection, "waiting_for_labels", f"Retraining waits. {sentence}", fold=True, job_id=job.id)
    logger.info("waiting for labels: %s", sentence)


def _end(
    job: jobs.Job,
    holder: str,
    *,
    state: str,
    outcome: str,
    sentence: str,
    result: dict[str, Any] | None = None,
    kind: str = "failure",
) -> None:
    """Finish a job that changes nothing else, and say so in the ledger."""
    if result is None:
        with db.reading() as connection:
            last_batch, last_label, _ = features.newest_marks(connection)
        result = {"last_batch": last_batch, "last_label": last_label}
    with db.transaction() as connection:
        mine = jobs.finish(connection, job.id, holder, state=state, outcome=outcome, sentence=sentence, result=result)
        if mine:
            ledger.record(connection, kind, f"Retraining job {job.id}: {sentence}", job_id=job.id, evidence=result)
    logger.info("%s: %s", outcome, sentence)
