"""Job rows: asked for, claimed with a lease, kept alive, finished once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.jobs.tables import jobs

OPEN = ("queued", "running", "waiting_for_labels")
RUN_AT_ONCE_S = 60
"""Time that a job may take which is run by the process that asks for it; silent for longer, it counts as dead."""

MAX_ATTEMPTS = 2
"""A job whose holder died is tried once more, then given up: it may be what kills its holder."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job row as it was read."""

    id: int
    kind: str
    state: str
    reason: str
    evidence: dict[str, Any]
    created_at: int
    attempts: int
    started_at: int | None = None
    finished_at: int | None = None
    step: str | None = None
    outcome: str | None = None
    sentence: str | None = None
    result: dict[str, Any] | None = None
    holder: str | None = None
    cancel_asked: bool = False
    not_before: int | None = None


_FIELDS = [jobs.c[name] for name in Job.__dataclass_fields__]


def _job(row: sa.Row[Any] | None) -> Job | None:
    return None if row is None else Job(**row._mapping)


def enqueue(
    connection: sa.Connection,
    kind: str,
    reason: str,
    *,
    evidence: dict[str, Any] | None = None,
    slot: int | None = None,
    holder: str | None = None,
) -> int | None:
    """Ask for a job.

    Parameters
    ----------
    connection : Connection
        The transaction of what asks: the report and the job are stored together.
    kind : str
        ``retraining`` (at most one is open) or ``drift_check`` (one a slot).
    reason : str
        Why, in a sentence.
    evidence : dict, optional
        Ids and figures that the reason rests on.
    slot : int, optional
        Number of the interval that the job belongs to.
    holder : str, optional
        Who runs it at once; without it the job is queued.

    Returns
    -------
    int or None
        The new job's id; None when an equal one is there already.
    """
    at = clock.now_us()
    started: dict[str, Any] = {"state": "running", "holder": holder, "started_at": at, "attempts": 1}
    started["lease_until"] = at + RUN_AT_ONCE_S * clock.MICROSECONDS
    values: dict[str, Any] = {
        "kind": kind,
        "reason": reason,
        "evidence": evidence or {},
        "slot": slot,
        "created_at": at,
        "attempts": 0,
        "cancel_asked": False,
        "state": "queued",
    }
    return db.insert_new(connection, jobs, values | (started if holder else {}))


def add_evidence(connection: sa.Connection, job: Job, evidence: dict[str, Any]) -> None:
    """Add to what a job rests on."""
    update = sa.update(jobs).where(jobs.c.id == job.id)
    connection.execute(update.values(evidence=job.evidence | evidence))


def open_job(connection: sa.Connection, kind: str, *, for_update: bool = False) -> Job | None:
    """Return the oldest job of a kind that is not finished; `for_update` holds it until the transaction ends."""
    query = sa.select(*_FIELDS).where(jobs.c.kind == kind, jobs.c.state.in_(OPEN)).order_by(jobs.c.id).limit(1)
    return _job(connection.execute(query.with_for_update() if for_update else query).first())


def hold(connection: sa.Connection, job_id: int, *, until_us: int, step: str, sentence: str) -> bool:
    """Let a queued job wait until a time, and say what holds it up; False when it is no longer queued."""
    queued = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state == "queued")
    values = {"not_before": until_us, "step": step, "sentence": sentence}
    return connection.execute(queued.values(**values)).rowcount == 1


def let_go(connection: sa.Connection, job_id: int) -> None:
    """Let a queued job begin at once, whatever held it up."""
    queued = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state == "queued")
    connection.execute(queued.values(not_before=None, step=None, sentence=None))


def ended(connection: sa.Connection, kind: str, *, outcomes: tuple[str, ...], limit: int) -> list[Job]:
    """Return the newest finished jobs of a kind with one of these outcomes, newest first."""
    query = sa.select(*_FIELDS).where(jobs.c.kind == kind, jobs.c.outcome.in_(outcomes)).order_by(jobs.c.id.desc())
    return [Job(**row._mapping) for row in connection.execute(query.limit(limit))]


def last_job(connection: sa.Connection, kind: str, *, outcomes: tuple[str, ...]) -> Job | None:
    """Return the newest finished job of a kind with one of these outcomes."""
    query = sa.select(*_FIELDS).where(jobs.c.kind == kind, jobs.c.outcome.in_(outcomes)).order_by(jobs.c.id.desc())
    return _job(connection.execute(query.limit(1)).first())


def newest_started(connection: sa.Connection, kind: str, *, until_us: int) -> Job | None:
    """Return the newest job of a kind that had begun by a time and that was not put aside since."""
    query = sa.select(*_FIELDS).where(jobs.c.kind == kind, jobs.c.started_at <= until_us, jobs.c.attempts > 0)
    return _job(connection.execute(query.order_by(jobs.c.id.desc()).limit(1)).first())


def open_at(connection: sa.Connection, kind: str, *, at: int) -> Job | None:
    """Return the job of a kind that was not finished at a time."""
    lasted = sa.or_(jobs.c.finished_at.is_(None), jobs.c.finished_at > at)
    query = sa.select(*_FIELDS).where(jobs.c.kind == kind, jobs.c.created_at <= at, lasted)
    return _job(connection.execute(query.order_by(jobs.c.id.desc()).limit(1)).first())


def last_done_at(connection: sa.Connection, kind: str) -> int | None:
    """Return when the newest job of a kind was asked for that ended without a fault."""
    query = sa.select(jobs.c.created_at).where(jobs.c.kind == kind, jobs.c.state == "done").order_by(jobs.c.id.desc())
    at: int | None = connection.execute(query.limit(1)).scalar()
    return at


def claim(connection: sa.Connection, kind: str, holder: str, *, lease_until: int) -> Job | None:
    """Take the oldest job that waits, or whose holder fell silent.

    Returns
    -------
    Job or None
        The job, now running under the caller's name.
    """
    now = clock.now_us()
    silent = sa.and_(jobs.c.state == "running", jobs.c.lease_until < now, jobs.c.attempts < MAX_ATTEMPTS)
    due = sa.and_(jobs.c.state == "queued", sa.or_(jobs.c.not_before.is_(None), jobs.c.not_before <= now))
    query = (
        sa.select(jobs.c.id)
        .where(jobs.c.kind == kind, sa.or_(due, silent))
        .order_by(jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    found = connection.execute(query).scalar()
    if found is None:
        return None
    taken = {
        "state": "running",
        "holder": holder,
        "lease_until": lease_until,
        "attempts": jobs.c.attempts + 1,
        "started_at": now,
        "step": None,
        "not_before": None,
    }
    update = sa.update(jobs).where(jobs.c.id == found).values(**taken).returning(*_FIELDS)
    return _job(connection.execute(update).first())


def give_up(connection: sa.Connection, kind: str, *, after: int = MAX_ATTEMPTS) -> list[Job]:
    """Fail the jobs whose holder fell silent and that were tried so often; return them."""
    lost = sa.and_(
        jobs.c.kind == kind,
        jobs.c.state == "running",
        jobs.c.lease_until < clock.now_us(),
        jobs.c.attempts >= after,
    )
    died = "once" if after == 1 else f"{after} times"
    sentence = f"Its process died {died}; it is not tried again. Look for memory limits and kill signals."
    values = {"state": "failed", "outcome": "interrupted", "sentence": sentence, "finished_at": clock.now_us()}
    rows = connection.execute(sa.update(jobs).where(lost).values(**values).returning(*_FIELDS))
    return [Job(**row._mapping) for row in rows]


def beat(connection: sa.Connection, job_id: int, holder: str, *, lease_until: int, step: str) -> bool | None:
    """Prolong a job's lease.

    Returns
    -------
    bool or None
        Whether somebody asked to cancel; None when the job is no longer the caller's: it must stop and write nothing.
    """
    mine = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.holder == holder, jobs.c.state == "running")
    asked = connection.execute(mine.values(lease_until=lease_until, step=step).returning(jobs.c.cancel_asked)).scalar()
    return None if asked is None else bool(asked)


def finish(
    connection: sa.Connection,
    job_id: int,
    holder: str,
    *,
    state: str,
    outcome: str,
    sentence: str,
    result: dict[str, Any] | None = None,
) -> bool:
    """Write a job's end, once, and only by the one who holds it.

    Returns
    -------
    bool
        False when the job belongs to somebody else by now: the caller must undo its transaction.
    """
    values: dict[str, Any] = {"state": state, "outcome": outcome, "sentence": sentence, "step": None}
    values |= {"result": result, "finished_at": clock.now_us()}
    mine = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.holder == holder, jobs.c.state == "running")
    return connection.execute(mine.values(**values)).rowcount == 1


def put_back(connection: sa.Connection, job_id: int, holder: str) -> bool:
    """Queue a job again whose holder is told to end; the try does not count."""
    mine = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.holder == holder, jobs.c.state == "running")
    values = {"state": "queued", "holder": None, "lease_until": None, "attempts": jobs.c.attempts - 1, "step": None}
    return connection.execute(mine.values(**values)).rowcount == 1


def wait_for_labels(connection: sa.Connection, job_id: int, holder: str, sentence: str) -> bool:
    """Put a running job aside until labels come; the try does not count."""
    mine = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.holder == holder, jobs.c.state == "running")
    values = {
        "state": "waiting_for_labels",
        "sentence": sentence,
        "holder": None,
        "lease_until": None,
        "attempts": jobs.c.attempts - 1,
    }
    return connection.execute(mine.values(**values)).rowcount == 1


def resume(connection: sa.Connection, job_id: int) -> None:
    """Queue a job again that waited for labels."""
    waiting = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state == "waiting_for_labels")
    connection.execute(waiting.values(state="queued"))


def cancel(connection: sa.Connection, job_id: int) -> str | None:
    """Cancel a job at once if nobody runs it, or ask its holder to.

    Returns
    -------
    str or None
        The state from now on; None when the job is not there or finished.
    """
    idle = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state.in_(("queued", "waiting_for_labels")))
    ended = {"state": "cancelled", "outcome": "cancelled", "sentence": "Cancelled before it began."}
    if connection.execute(idle.values(**ended, finished_at=clock.now_us())).rowcount:
        return "cancelled"
    running = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state == "running")
    return "running" if connection.execute(running.values(cancel_asked=True)).rowcount else None


def get(connection: sa.Connection, job_id: int) -> Job | None:
    """Return one job."""
    return _job(connection.execute(sa.select(*_FIELDS).where(jobs.c.id == job_id)).first())


def page(connection: sa.Connection, kind: str, *, limit: int, before: int | None = None) -> list[Job]:
    """Return jobs of a kind, newest first, older than the job `before`."""
    query = sa.select(*_FIELDS).where(jobs.c.kind == kind).order_by(jobs.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(jobs.c.id < before)
    return [Job(**row._mapping) for row in connection.execute(query)]


def between(
    connection: sa.Connection, kind: str, *, since_us: int, until_us: int, outcome: str | None = None
) -> list[Job]:
    """Return the jobs of a kind that were open at some time from `since_us` on and before `until_us`, oldest first."""
    ended = sa.or_(jobs.c.finished_at.is_(None), jobs.c.finished_at >= since_us)
    query = sa.select(*_FIELDS).where(jobs.c.kind == kind, jobs.c.created_at < until_us, ended)
    if outcome is not None:
        query = query.where(jobs.c.outcome == outcome)
    return [Job(**row._mapping) for row in connection.execute(query.order_by(jobs.c.id))]


def overdue(connection: sa.Connection, kind: str, *, before_us: int) -> bool:
    """Say whether `give_up` or `forget` would find anything; looks without writing."""
    silent = sa.and_(jobs.c.state == "running", jobs.c.lease_until < clock.now_us())
    old = sa.and_(jobs.c.outcome == "waiting_for_data", jobs.c.finished_at < before_us)
    query = sa.select(jobs.c.id).where(jobs.c.kind == kind, sa.or_(silent, old)).limit(1)
    return connection.execute(query).first() is not None


def forget(connection: sa.Connection, kind: str, *, before_us: int) -> None:
    """Drop finished jobs of a kind that nothing refers to any more: checks that waited for data, but not the newest."""
    newest = sa.select(sa.func.max(jobs.c.id)).where(jobs.c.kind == kind).scalar_subquery()
    waited = (jobs.c.kind == kind, jobs.c.finished_at < before_us, jobs.c.outcome == "waiting_for_data")
    old = sa.delete(jobs).where(*waited, jobs.c.id < newest)
    connection.execute(old)
