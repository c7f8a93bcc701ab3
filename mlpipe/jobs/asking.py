"""Ask for a retraining: a job row with its evidence, or one more trigger of the job that is open."""

from __future__ import annotations

from typing import Any

from mlpipe import clock, db, errors
from mlpipe.jobs import ledger, store

KIND = "retraining"

PATIENCE = 3
"""Tries at finding the open job: it may end between being met and being joined."""

LEDGER_IDS = {"report": "report_id", "model_version": "model_version", "incident": "incident_id"}
"""Ids in a trigger's evidence -> the ledger's columns."""


def ask(
    connection: db.Connection, reason: str, *, trigger: str, because: str, evidence: dict[str, Any]
) -> tuple[store.Job, bool]:
    """Ask for a retraining; while one is open, its evidence gains this trigger instead.

    Parameters
    ----------
    connection : Connection
        The transaction of what asks: the report and the job are stored together.
    reason : str
        Why, in a sentence; the job's own if it is new.
    trigger : str
        drift, quality, age, labels, cron, manual or first.
    because : str
        The same as the end of a sentence, for the ledger.
    evidence : dict
        Ids and figures: ``report``, ``quality_check``, ``incident``, ``model_version``, ...

    Returns
    -------
    job : Job
        The open job.
    made : bool
        Whether it is new.
    """
    given = {"trigger": trigger, "at": clock.iso(clock.now_us()), "reason": reason, "times": 1, **evidence}
    ids = {LEDGER_IDS[name]: value for name, value in evidence.items() if name in LEDGER_IDS}
    for _ in range(PATIENCE):
        made = store.enqueue(connection, KIND, reason, evidence={"trigger": trigger, **evidence, "triggers": [given]})
        if made is not None:
            told = reason if trigger == "first" else f"Retraining job {made} was asked for, because {because}"
            ledger.record(connection, "trigger", told, job_id=made, evidence=evidence, **ids)
            return _there(store.get(connection, made)), True
        job = store.open_job(connection, KIND, for_update=True)
        if job is not None:
            if _join(connection, job, given):
                told = f"Retraining job {job.id}, which is open, was asked for once more, because {because}"
                ledger.record(connection, "trigger", told, job_id=job.id, evidence=evidence, **ids)
                store.let_go(connection, job.id)  # what held it up is judged again, with this trigger
            return _there(store.get(connection, job.id)), False
    raise errors.JobConflict("Retrainings end as fast as they are joined; ask again.")


def _join(connection: db.Connection, job: store.Job, given: dict[str, Any]) -> bool:
    """Write one more trigger into a job's evidence; say whether the job had none of this name yet."""
    triggers: list[dict[str, Any]] = job.evidence.get("triggers", [])
    known = next((one for one in triggers if one["trigger"] == given["trigger"]), None)
    if known is None:
        store.add_evidence(connection, job, {"triggers": [*triggers, given]})
        return True
    newer = given | {"at": known["at"], "last_at": given["at"], "times": known["times"] + 1}
    store.add_evidence(connection, job, {"triggers": [newer if one is known else one for one in triggers]})
    return False


def _there(job: store.Job | None) -> store.Job:
    if job is None:
        raise errors.JobConflict("The open retraining ended at this moment; ask again.")
    return job
