"""The ledger: every decision leaves a sentence and the ids that it rests on."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.jobs.tables import ledger


def record(
    connection: sa.Connection,
    kind: str,
    sentence: str,
    *,
    fold: bool = False,
    evidence: dict[str, Any] | None = None,
    **ids: int | None,
) -> int:
    """Write one decision.

    Parameters
    ----------
    connection : Connection
        The transaction of the decision itself: both are stored, or neither.
    kind : str
        check, skip, trigger, wait, verdict, deploy, failure, schema, ...
    sentence : str
        What was decided and why, for a person.
    fold : bool
        Join with the newest entry when that has the same kind: it keeps its beginning and counts.
    evidence : dict, optional
        Figures behind the sentence.
    **ids
        ``job_id``, ``report_id``, ``model_version``.

    Returns
    -------
    int
        Id of the entry.
    """
    at = clock.now_us()
    if fold:
        newest = connection.execute(sa.select(ledger.c.id, ledger.c.kind).order_by(ledger.c.id.desc()).limit(1)).first()
        if newest is not None and newest.kind == kind:
            folded = {"last_at": at, "times": ledger.c.times + 1, "sentence": sentence, "evidence": evidence or {}}
            connection.execute(sa.update(ledger).where(ledger.c.id == newest.id).values(**folded, **ids))
            return int(newest.id)
    values = {"at": at, "last_at": at, "times": 1, "kind": kind, "sentence": sentence, "evidence": evidence or {}}
    return db.insert(connection, ledger, values | ids)


def entries(
    connection: sa.Connection, *, limit: int, before: int | None = None, kind: str | None = None
) -> list[sa.Row[Any]]:
    """Return decisions, newest first, older than the entry `before`."""
    query = sa.select(ledger).order_by(ledger.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(ledger.c.id < before)
    if kind is not None:
        query = query.where(ledger.c.kind == kind)
    return list(connection.execute(query))
