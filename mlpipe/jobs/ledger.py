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
        ``job_id``, ``report_id``, ``model_version``, ``incident_id``.

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
    connection: sa.Connection, *, limit: int, before: int | None = None, **only: str | int | None
) -> list[sa.Row[Any]]:
    """Return decisions, newest first, older than the entry `before`.

    Parameters
    ----------
    connection : Connection
        A transaction.
    limit : int
        Most entries.
    before : int, optional
        Entry at which the page before ended.
    **only
        Values of ``kind``, ``job_id``, ``report_id``, ``model_version``, ``incident_id``; None keeps all.
    """
    query = sa.select(ledger).order_by(ledger.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(ledger.c.id < before)
    for name, value in only.items():
        if value is not None:
            query = query.where(ledger.c[name] == value)
    return list(connection.execute(query))


def newest(connection: sa.Connection, kinds: tuple[str, ...], *, until_us: int, job_id: int | None = None) -> Any:
    """Return the newest entry of some kinds that had begun by a time, of one job or of any; None if there is none."""
    query = sa.select(ledger).where(ledger.c.kind.in_(kinds), ledger.c.at <= until_us)
    if job_id is not None:
        query = query.where(ledger.c.job_id == job_id)
    return connection.execute(query.order_by(ledger.c.id.desc()).limit(1)).first()


def versions(connection: sa.Connection, kind: str, *, incident_id: int) -> set[int]:
    """Return the versions that decisions of a kind within an incident are about."""
    query = sa.select(ledger.c.model_version).where(ledger.c.incident_id == incident_id, ledger.c.kind == kind)
    return {version for version in connection.execute(query.distinct()).scalars() if version is not None}


def chain(connection: sa.Connection, ids: dict[str, set[int]], *, limit: int) -> list[sa.Row[Any]]:
    """Return the newest decisions that carry one of these ids (column name -> values), oldest first."""
    named = [ledger.c[name].in_(sorted(values)) for name, values in ids.items() if values]
    if not named:
        return []
    query = sa.select(ledger).where(sa.or_(*named)).order_by(ledger.c.id.desc()).limit(limit)
    return list(connection.execute(query))[::-1]
