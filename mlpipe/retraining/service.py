"""Window -> fit -> evaluate both -> gate -> register -> activate."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlpipe import clock, db, errors, logs
from mlpipe.features import store as features
from mlpipe.jobs import ledger
from mlpipe.jobs import store as jobs
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.retraining import child, evaluate, gate, plan, publish, store
from mlpipe.schema.contract import Schema
from mlpipe.settings import Settings

logger = logging.getLogger("mlpipe.retraining")

KIND = "retraining"

WORK = ".fit-"
"""How the work folders of fits begin, inside of the models folder."""

PATIENCE = 15
"""Quiet times after which a stream that is never quiet has waited long enough for its first model."""

TRAINED = ("promoted", "rejected", "failed")
"""Outcomes after which only labels that came since count as new."""


# Asking ---------------------------------------------------------------------------------------------------------


def ask(reason: str) -> jobs.Job:
    """Ask for a retraining by hand; an open one is joined, and need not wait for as many labels any more.

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
        if made is None:
            jobs.add_evidence(connection, job, {"asked": True})
        joined = "" if made is not None else f" Job {job.id} was open already."
        ledger.record(connection, "trigger", f"A retraining was asked for: {reason}{joined}", job_id=job.id)
        return job


def cancel(job_id: int) -> jobs.Job:
    """Cancel a job that waits, or ask the one that runs to stop.

    Raises
    ------
    errors.NotFound
        There is no such retraining.
    errors.JobConflict
        It has ended already.
    """
    with db.transaction() as connection:
        job = jobs.get(connection, job_id)
        if job is None or job.kind != KIND:
            raise errors.NotFound(f"There is no retraining job {job_id}.")
        if jobs.cancel(connection, job_id) is None:
            raise errors.JobConflict(f"Job {job_id} is {job.state} already; only an open job can be cancelled.")
        ledger.record(connection, "cancel", f"Retraining job {job_id} was cancelled by hand.", job_id=job_id)
    with db.reading() as connection:
        return jobs.get(connection, job_id) or job


def ask_for_first(settings: Settings) -> bool:
    """Ask for the first model once enough labelled rows are there and ingestion is quiet; say whether it was asked.

    Notes
    -----
    After a try that failed or was cancelled it asks again only when another batch has come.
    """
    with db.reading() as connection:
        if versions.active(connection) is not None:
            return False
        newest, _, received_at = features.newest_marks(connection)
        began_at = features.began_at(connection)
        n = features.count_new_labels(connection, last_batch=0, last_label=0, enough=settings.min_labelled)
        schema = features.current_schema(connection)
        tried = jobs.page(connection, KIND, limit=1)
    if schema is None or n < settings.min_labelled or not _learnable(schema):
        return False
    now = clock.now_us()
    quiet_s, busy_s = (now - received_at) / clock.MICROSECONDS, (now - began_at) / clock.MICROSECONDS
    if quiet_s < settings.quiet_s and busy_s < PATIENCE * settings.quiet_s:
        return False
    if tried and _seen(tried[0]) >= newest:
        return False
    with db.transaction() as connection:
        reason = f"The first model: at least {n:,} labelled rows are here."
        job = jobs.enqueue(connection, KIND, reason, evidence={"labelled": n, "last_batch": newest})
        if job is not None:
            ledger.record(connection, "trigger", reason, job_id=job)
    return job is not None


def _seen(job: jobs.Job) -> int:
    """Return the newest batch that was there when a job was asked for, or when it ended."""
    return int(max(job.evidence.get("last_batch", 0), (job.result or {}).get("last_batch", 0)))


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
    """Return how many labels are new to the champion and to the last try, and how many this job needs.

    A person who asks needs only what two models can be told apart by, and may try again on the same labels.
    """
    asked = job.evidence.get("asked", False)
    needed = plan.MIN_HOLDOUT if asked else settings.min_new_labels
    champion = plan.serving(connection)
    last_batch, last_label = (champion.last_batch, champion.last_label) if champion else (0, 0)
    tried = None if asked else jobs.last_job(connection, KIND, outcomes=TRAINED)
    if tried is not None and tried.result:
        last_batch = max(last_batch, tried.result["last_batch"])
        last_label = max(last_label, tried.result["last_label"])
    if not asked:  # what was known at a rollback is no reason to deploy again
        held_batch, held_label = store.held_marks(connection)
        last_batch, last_label = max(last_batch, held_batch), max(last_label, held_label)
    n = features.count_new_labels(connection, last_batch=last_batch, last_label=last_label, enough=needed)
    return n, needed


# Running --------------------------------------------------------------------------------------------------------


def run_next(settings: Settings, *, holder: str, stopping: Callable[[], bool] = lambda: False) -> jobs.Job | None:
    """Claim the next retraining and carry it out; None when there is none.

    Parameters
    ----------
    settings : Settings
    holder : str
        Name of this worker, under which the job is leased.
    stopping : callable
        Says whether this process is told to end: a fit that runs is stopped then, and its job is queued again.
    """
    resume_waiting(settings)
    job = _claim(settings, holder)
    if job is None:
        return None
    with logs.trace(f"job {job.id}"):
        logger.info("retraining begins (try %s): %s", job.attempts, job.reason)
        try:
            _carry_out(job, settings, holder, stopping)
        except child.Cancelled:
            _end(job, holder, "cancelled", "Cancelled while it ran; nothing changed.")
        except child.Stopped:
            _put_back(job, holder)
        except errors.DeployConflict as fault:
            _end(job, holder, "superseded", fault.detail)
        except errors.MlpipeError as fault:
            _end(job, holder, "failed", fault.detail)
        except Exception as fault:
            logger.exception("retraining failed")
            _end(job, holder, "failed", f"mlpipe has made a mistake: {fault!r}")
            raise
    return job


def _claim(settings: Settings, holder: str) -> jobs.Job | None:
    """Take the next job, after giving up those whose holders died too often; looks before it writes."""
    with db.reading() as connection:
        waiting = jobs.open_job(connection, KIND)
    if waiting is None or waiting.state == "waiting_for_labels":
        return None
    with db.transaction() as connection:
        for lost in jobs.give_up(connection, KIND):
            ledger.record(connection, "failure", f"Retraining job {lost.id} failed. {lost.sentence}", job_id=lost.id)
        return jobs.claim(connection, KIND, holder, lease_until=_lease_end(settings))


def _lease_end(settings: Settings) -> int:
    return clock.now_us() + int(max(settings.lease_s, 3 * child.BEAT_S) * clock.MICROSECONDS)


def _carry_out(job: jobs.Job, settings: Settings, holder: str, stopping: Callable[[], bool]) -> None:
    with db.reading() as connection:
        n, needed = _new_labels(connection, job, settings)
        is_first = versions.active(connection) is None
    if not is_first and n < needed:
        have = f"{n:,} of {needed:,} new labelled rows are here"
        _wait(job, holder, f"{have}; old rows cannot teach what has changed.")
        return
    planned = plan.read(settings)
    _tidy(settings)
    settings.models_folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=WORK, dir=settings.models_folder))
    try:
        result = _fit(work, planned, settings, _beat(job, settings, holder, stopping))
        _decide(work, job, planned, result, settings=settings, holder=holder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _tidy(settings: Settings) -> None:
    """Remove what dead processes left: folders of fits, and of versions without a row; only one retraining runs."""
    for left in settings.models_folder.glob(WORK + "*"):
        shutil.rmtree(left, ignore_errors=True)
    for name in registry.tidy(settings.models_folder):
        logger.warning("models/%s had no row and was put aside into models/.orphans", name)


def _beat(job: jobs.Job, settings: Settings, holder: str, stopping: Callable[[], bool]) -> Callable[[], bool | None]:
    def beat() -> bool | None:
        if stopping():
            raise child.Stopped
        with db.transaction(durability="process") as connection:
            return jobs.beat(connection, job.id, holder, lease_until=_lease_end(settings), step="fit")

    return beat


def _fit(work: Path, planned: plan.Plan, settings: Settings, beat: Callable[[], bool | None]) -> publish.Result:
    champion = planned.champion
    child.write_task(
        work,
        X=planned.samples.X,
        y=planned.samples.y,
        holdout=planned.holdout,
        task=planned.schema.target.task or "classification",
        parameters=publish.of_settings(settings),
        champion=(registry.folder(settings.models_folder, champion.version), champion.files) if champion else None,
    )
    scores = child.run(work, timeout_s=settings.fit_timeout_s, memory_mb=settings.fit_memory_mb, beat=beat)
    y = planned.samples.y[planned.holdout]
    verdict = _verdict(y, scores)
    return publish.Result(
        scores=scores,
        metrics=evaluate.metrics(y, scores["challenger_scores"], scores["challenger_classes"]),
        verdict=asdict(verdict) if verdict else {},
        why=verdict.sentence if verdict else _why_not_compared(planned, scores),
    )


def _why_not_compared(planned: plan.Plan, scores: dict[str, Any]) -> str:
    if planned.champion is None:
        return f"It is the first one, trained on {len(planned.samples):,} rows."
    return (
        f"Nothing was compared, because version {planned.champion.version} cannot be loaded: {scores['champion_fault']}"
    )


def _verdict(y: evaluate.Floats, scores: dict[str, Any]) -> gate.Verdict | None:
    if "champion_scores" not in scores:
        return None
    kept = evaluate.losses(y, scores["champion_scores"], scores["champion_classes"])
    tried = evaluate.losses(y, scores["challenger_scores"], scores["challenger_classes"])
    return gate.judge(kept, tried, loss="Brier score" if len(scores["challenger_classes"]) else "mean absolute error")


def _decide(
    work: Path, job: jobs.Job, planned: plan.Plan, result: publish.Result, *, settings: Settings, holder: str
) -> None:
    if planned.champion is not None and result.verdict.get("decision") == "reject":
        with db.reading() as connection:
            plan.still_holds(connection, planned)
        seen = {"last_batch": planned.last_batch, "last_label": planned.last_label}
        told = seen | {"metrics": result.metrics, "verdict": result.verdict}
        _end(job, holder, "rejected", f"Version {planned.champion.version} stays. {result.why}", told)
        return
    version = publish.publish(work, job, planned, result, settings=settings, holder=holder)
    if version is None:
        logger.warning("another process has taken over the job; this one registered nothing")
    else:
        logger.info("version %s was promoted. %s", version.version, result.why)


# Ending ---------------------------------------------------------------------------------------------------------


def _wait(job: jobs.Job, holder: str, sentence: str) -> None:
    with db.transaction() as connection:
        if jobs.wait_for_labels(connection, job.id, holder, sentence):
            ledger.record(connection, "waiting_for_labels", f"Retraining waits. {sentence}", fold=True, job_id=job.id)
    logger.info("waiting for labels: %s", sentence)


def _put_back(job: jobs.Job, holder: str) -> None:
    with db.transaction() as connection:
        if jobs.put_back(connection, job.id, holder):
            told = f"Retraining job {job.id} was stopped, because its server is told to end; it is queued again."
            ledger.record(connection, "skip", told, job_id=job.id)
    logger.info("stopped with its server; queued again")


_ENDS = {
    "superseded": ("done", "verdict"),
    "rejected": ("done", "verdict"),
    "failed": ("failed", "failure"),
    "cancelled": ("cancelled", "cancel"),
}
"""Outcome of a job that changes nothing -> its state, and the ledger's word for it."""


def _end(job: jobs.Job, holder: str, outcome: str, sentence: str, result: dict[str, Any] | None = None) -> None:
    """Finish a job that changes nothing else, and say so in the ledger."""
    state, kind = _ENDS[outcome]
    if result is None:
        with db.reading() as connection:
            last_batch, last_label, _ = features.newest_marks(connection)
        result = {"last_batch": last_batch, "last_label": last_label}
    with db.transaction() as connection:
        if jobs.finish(connection, job.id, holder, state=state, outcome=outcome, sentence=sentence, result=result):
            told = f"Retraining job {job.id} {outcome}. {sentence}"
            ledger.record(connection, kind, told, job_id=job.id, evidence=result)
    logger.info("%s: %s", outcome, sentence)
