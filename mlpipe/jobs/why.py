"""Why a retraining took place, or did not, at some time: a sentence and the decisions that it rests on."""

from __future__ import annotations

from typing import Any

from mlpipe import clock, db
from mlpipe.jobs import asking, ledger, store

QUESTIONS = ("retrained", "not-retrained")

CHECKS = ("stable", "harmless", "drift", "waiting_for_data")
WAITS = ("skip", "waiting_for_labels")

MOST = 100
"""Decisions in an answer; the newest ones matter."""

_NAMES = {"report": "report_id", "incident": "incident_id"}


def answer(connection: db.Connection, question: str, at: int) -> dict[str, Any]:
    """Answer a question about retrainings.

    Parameters
    ----------
    connection : Connection
        A transaction.
    question : {"retrained", "not-retrained"}
    at : int
        The time that is asked about, microseconds since 1970.

    Returns
    -------
    dict
        ``why``, ``at``, ``sentence``, ``job_id`` and ``model_version`` (or null), and ``items``: entries of the ledger,
        oldest first.
    """
    tell = _retrained if question == "retrained" else _not_retrained
    sentence, job, rows = tell(connection, at)
    version = (job.result or {}).get("version") if job is not None else None
    head = {"why": question, "at": clock.iso(at), "sentence": sentence}
    return head | {"job_id": job.id if job else None, "model_version": version, "items": rows}


def _retrained(connection: db.Connection, at: int) -> tuple[str, store.Job | None, list[Any]]:
    job = store.newest_started(connection, asking.KIND, until_us=at)
    if job is None:
        return f"Nothing had been trained by {clock.iso(at)}.", None, []
    began, names = clock.iso(job.started_at), ", ".join(_triggers(job)) or "unknown"
    ended = f"It ended {clock.iso(job.finished_at)}, {job.outcome}: {job.sentence}" if job.finished_at else "It runs."
    sentence = f"Job {job.id} trained from {began}, asked for by {names}. {job.reason} {ended}"
    return sentence, job, _chain(connection, job)


def _not_retrained(connection: db.Connection, at: int) -> tuple[str, store.Job | None, list[Any]]:
    job = store.open_at(connection, asking.KIND, at=at)
    if job is None:
        check = ledger.newest(connection, CHECKS, until_us=at)
        said = "no check had been made" if check is None else f"the newest check said {check.kind}: {check.sentence}"
        return f"Nobody had asked for a retraining at {clock.iso(at)}; {said}", None, [check] if check else []
    wait = ledger.newest(connection, WAITS, until_us=at, job_id=job.id)
    if job.started_at is not None and job.started_at <= at and (wait is None or wait.last_at <= job.started_at):
        return f"It was being trained at {clock.iso(at)}: job {job.id}. {job.reason}", job, _chain(connection, job)
    said = "it was in the queue" if wait is None else wait.sentence
    return f"Job {job.id} was open at {clock.iso(at)}, but had to wait: {said}", job, _chain(connection, job)


def _triggers(job: store.Job) -> list[str]:
    return [one["trigger"] for one in job.evidence.get("triggers", ())]


def _chain(connection: db.Connection, job: store.Job) -> list[Any]:
    """Return the decisions about a job and its version, and the checks and incidents that it rests on."""
    ids: dict[str, set[int]] = {"job_id": {job.id}}
    for one in job.evidence.get("triggers", ()):
        for name, column in _NAMES.items():
            if one.get(name) is not None:
                ids.setdefault(column, set()).add(one[name])
    return ledger.chain(connection, ids, limit=MOST)
