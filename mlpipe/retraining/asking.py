"""Who asks for a retraining, what it waits for, and who may call it off."""

from __future__ import annotations

import logging
from typing import Any

from apscheduler.triggers.cron import CronTrigger

from mlpipe import clock, db, errors
from mlpipe.features import store as features
from mlpipe.incidents import kinds
from mlpipe.incidents import store as incidents
from mlpipe.jobs import asking, ledger
from mlpipe.jobs import store as jobs
from mlpipe.registry import store as versions
from mlpipe.retraining import plan, roll, store, triggers
from mlpipe.schema.contract import Schema
from mlpipe.settings import Settings

logger = logging.getLogger("mlpipe.retraining")

KIND = asking.KIND

CALENDAR = "retraining_cron"
"""Kind of the rows that prove that a time of the calendar was used: one a time, however many workers look."""

PATIENCE = 15
"""Quiet times after which a stream that is never quiet has waited long enough for its first model."""

TRAINED = ("promoted", "proposed", "rejected", "held", "failed")
"""Outcomes after which only labels that came since count as new."""

DRIFT = "drift"


# By hand --------------------------------------------------------------------------------------------------------


def ask(reason: str, settings: Settings | None = None) -> jobs.Job:
    """Ask for a retraining by hand; an open one is joined, and need not wait for so many labels or a pause any more.

    Parameters
    ----------
    reason : str
    settings : Settings, optional
        With them the ledger says what would hold up a job that nobody has asked for.

    Returns
    -------
    Job
        The open job.
    """
    with db.transaction() as connection:
        held = None if settings is None else _held(connection, frozenset({DRIFT}), settings)
        note = f" Automatic ones wait: {held.sentence}" if held else ""
        because = f"a person wants it: {reason}{note}"
        job, _ = asking.ask(connection, reason, trigger="manual", because=because, evidence={})
        jobs.add_evidence(connection, job, {"asked": True})
        jobs.let_go(connection, job.id)
        return jobs.get(connection, job.id) or job


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


# By itself ------------------------------------------------------------------------------------------------------


def ask_for_first(settings: Settings) -> bool:
    """Ask for the first model once enough labelled rows are there and ingestion is quiet; say whether it was asked.

    Notes
    -----
    After a try that failed or was cancelled it asks again only when another batch has come.
    """
    with db.reading() as connection:
        if versions.active(connection) is not None or versions.in_state(connection, versions.PROPOSED):
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
    reason = f"The first model: at least {n:,} labelled rows are here."
    evidence = {"labelled": n, "last_batch": newest}
    with db.transaction() as connection:
        because = f"there is no model yet, and at least {n:,} labelled rows are here."
        return asking.ask(connection, reason, trigger="first", because=because, evidence=evidence)[1]


def _seen(job: jobs.Job) -> int:
    """Return the newest batch that was there when a job was asked for, or when it ended."""
    return int(max(job.evidence.get("last_batch", 0), (job.result or {}).get("last_batch", 0)))


def _learnable(schema: Schema) -> bool:
    return schema.target.task == "regression" or len(schema.target.classes) >= 2


def ask_if_due(settings: Settings) -> None:
    """Ask for a retraining where age, labels or the calendar say so; an open job that knows of it is left alone."""
    with db.reading() as connection:
        champion = plan.serving(connection)
        if champion is None:
            return
        job = jobs.open_job(connection, KIND)
        known = _triggers(job) if job else frozenset()
        if {"age", "labels", "cron"} <= known:
            return
        age = _age(connection, champion, settings)
    renews_itself = champion.kind == roll.KIND == settings.model_kind  # it is never older than its newest label
    for one in triggers.due(age, settings):
        if one.trigger not in known and not (one.trigger == "age" and renews_itself):
            _ask(one, age)


def _age(connection: db.Connection, champion: versions.Version, settings: Settings) -> triggers.Age:
    tried = jobs.last_job(connection, KIND, outcomes=TRAINED)
    enough = max(settings.max_age_labels, settings.retrain_every_labels)
    last_batch, last_label = _marks(champion, tried)
    return triggers.Age(
        now=clock.now_us(),
        version=champion.version,
        since=max(champion.created_at, (tried.finished_at or 0) if tried else 0),
        n_new=features.count_new_labels(connection, last_batch=last_batch, last_label=last_label, enough=enough),
        cron_at=_cron_at(connection, settings),
    )


def _cron_at(connection: db.Connection, settings: Settings) -> int | None:
    """Return the first time of the calendar that came after the last one that was used, if it is over; else None."""
    serving = versions.active(connection)
    if not settings.retrain_cron or serving is None:
        return None
    used = jobs.page(connection, CALENDAR, limit=1)
    since = max(serving.since, used[0].created_at if used else 0)
    calendar = CronTrigger.from_crontab(settings.retrain_cron, timezone="UTC")
    at = calendar.get_next_fire_time(None, clock.from_us(since + 1))
    return clock.to_us(at) if at is not None and at <= clock.from_us(clock.now_us()) else None


def _ask(one: triggers.Due, age: triggers.Age) -> None:
    evidence = {"model_version": age.version, "new_labels": age.n_new}
    with db.transaction() as connection:
        if one.trigger == "cron":
            slot = (age.cron_at or 0) // clock.MICROSECONDS
            used = jobs.enqueue(connection, CALENDAR, one.sentence, slot=slot, holder=CALENDAR)
            if used is None:
                return  # another worker has used this time
            jobs.finish(connection, used, CALENDAR, state="done", outcome="asked", sentence=one.sentence)
        because = one.sentence[0].lower() + one.sentence[1:]
        asking.ask(connection, one.sentence, trigger=one.trigger, because=because, evidence=evidence)


# What it waits for ----------------------------------------------------------------------------------------------


def resume_waiting(settings: Settings) -> None:
    """Queue the job again that waited for labels, when they have come."""
    with db.reading() as connection:
        job = jobs.open_job(connection, KIND)
        if job is None or job.state != "waiting_for_labels":
            return
        n, needed = new_labels(connection, job, settings)
    if n >= needed:
        with db.transaction() as connection:
            jobs.resume(connection, job.id)


def new_labels(connection: db.Connection, job: jobs.Job, settings: Settings) -> tuple[int, int]:
    """Return how many labels are new to the champion and to the last try, and how many this job needs.

    A person who asks needs only what two models can be told apart by, and may try again on the same labels.
    """
    asked = job.evidence.get("asked", False)
    needed = plan.MIN_HOLDOUT if asked else settings.min_new_labels
    tried = None if asked else jobs.last_job(connection, KIND, outcomes=TRAINED)
    last_batch, last_label = _marks(plan.serving(connection), tried)
    if not asked:  # what was known at a rollback is no reason to deploy again
        held_batch, held_label = store.held_marks(connection)
        last_batch, last_label = max(last_batch, held_batch), max(last_label, held_label)
    n = features.count_new_labels(connection, last_batch=last_batch, last_label=last_label, enough=needed)
    return n, needed


def _marks(champion: versions.Version | None, tried: jobs.Job | None) -> tuple[int, int]:
    """Return the newest batch and later label that the champion or the last challenger knew."""
    marks = [(champion.last_batch, champion.last_label)] if champion else [(0, 0)]
    if tried is not None and tried.result:
        marks.append((tried.result["last_batch"], tried.result["last_label"]))
    return max(batch for batch, _ in marks), max(label for _, label in marks)


def hold_up(settings: Settings) -> None:
    """Let the queued job wait where it is too early, says the ledger until when; and close the incident in time.

    A job is judged again when its time has come, or when something else asks for it too.
    """
    with db.reading() as connection:
        useless = incidents.open_id(connection, kinds.USELESS)
        job = jobs.open_job(connection, KIND)
        waits = job is None or job.state != "queued" or (job.not_before or 0) > clock.now_us()
        held = None
        if not waits and job is not None and versions.active(connection) is not None and "asked" not in job.evidence:
            held = _held(connection, _triggers(job), settings)
        over = _over(connection, settings) if useless is not None else None
    if over is not None:
        with db.transaction() as connection:
            incidents.resolve(connection, kinds.USELESS, over)
    if held is not None and job is not None:
        with db.transaction() as connection:
            keep(connection, job, held, settings)


def keep(connection: db.Connection, job: jobs.Job, held: triggers.Hold, settings: Settings) -> None:
    """Write that a queued job waits, why and until when; useless retrainings in a drift or drop are an incident."""
    if not jobs.hold(connection, job.id, until_us=held.until, step=held.why, sentence=held.sentence):
        return
    evidence = {"why": held.why, "until": clock.iso(held.until)}
    ledger.record(
        connection,
        "skip",
        f"Retraining job {job.id} waits. {held.sentence}",
        fold=True,
        job_id=job.id,
        evidence=evidence,
    )
    logger.info("job %s waits (%s): %s", job.id, held.why, held.sentence)
    cause = incidents.open_id(connection, DRIFT) or incidents.open_id(connection, kinds.QUALITY)
    if held.why == "back_off" and cause is not None and _in_vain(connection, settings):
        ids = {"job": job.id, "incident": cause}
        incidents.open_or_update(
            connection, kinds.USELESS, f"Retraining does not help. {held.sentence}", evidence | ids
        )


def _held(connection: db.Connection, names: frozenset[str], settings: Settings) -> triggers.Hold | None:
    return triggers.hold(names, _tries(connection, settings), settings, now=clock.now_us())


def _triggers(job: jobs.Job) -> frozenset[str]:
    return frozenset(one["trigger"] for one in job.evidence.get("triggers", ()))


def _tries(connection: db.Connection, settings: Settings) -> list[triggers.Try]:
    """Return the newest retrainings that were carried out, newest first."""
    limit = max(settings.retrain_budget, settings.retrain_useless + triggers.MAX_DOUBLINGS)
    drift = next((row for row in incidents.open_ones(connection) if row.kind == DRIFT), None)
    seen = ledger.versions(connection, DRIFT, incident_id=drift.id) if drift is not None else set()
    return [_try(job, drift, seen) for job in jobs.ended(connection, KIND, outcomes=TRAINED, limit=limit)]


def _try(job: jobs.Job, drift: Any | None, seen: set[int]) -> triggers.Try:
    ended = job.finished_at or job.created_at
    promoted = job.outcome == "promoted"
    if drift is None or drift.opened_at > ended:
        return triggers.Try(ended_at=ended, promoted=promoted)
    goes_on = (job.result or {}).get("version") in seen
    return triggers.Try(ended_at=ended, promoted=promoted, drift="goes_on" if goes_on else "unseen")


def _in_vain(connection: db.Connection, settings: Settings) -> bool:
    return triggers.n_useless(_tries(connection, settings)) >= settings.retrain_useless


def _over(connection: db.Connection, settings: Settings) -> str | None:
    """Say why the incident of useless retrainings is over, or None while it goes on or is not known yet."""
    if not {row.kind for row in incidents.open_ones(connection)} & {DRIFT, kinds.QUALITY}:
        return "What had asked for retrainings is over."
    tries = _tries(connection, settings)
    if tries and triggers.helped(tries[0]) and tries[0].drift == "over":
        return "A retraining has helped."
    return None
