"""Incident rows: opened, updated, resolved."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.incidents.tables import incidents


def open_or_update(connection: sa.Connection, kind: str, sentence: str, evidence: dict[str, Any] | None = None) -> bool:
    """Open an incident of a kind, or update the one that is open.

    Returns
    -------
    bool
        Whether it is new.
    """
    now = clock.now_us()
    values = {"kind": kind, "state": "open", "sentence": sentence, "evidence": evidence or {}, "times": 1}
    if db.insert_new(connection, incidents, values | {"opened_at": now, "updated_at": now}) is not None:
        return True
    still = sa.update(incidents).where(incidents.c.kind == kind, incidents.c.state == "open")
    news = {"sentence": sentence, "evidence": evidence or {}, "updated_at": now, "times": incidents.c.times + 1}
    connection.execute(still.values(**news))
    return False


def resolve(connection: sa.Connection, kind: str) -> bool:
    """Close the open incident of a kind; say whether there was one."""
    now = clock.now_us()
    still = sa.update(incidents).where(incidents.c.kind == kind, incidents.c.state == "open")
    return connection.execute(still.values(state="resolved", resolved_at=now, updated_at=now)).rowcount == 1


def page(
    connection: sa.Connection, *, limit: int, before: int | None = None, state: str | None = None
) -> list[sa.Row[Any]]:
    """Return incidents, newest first."""
    query = sa.select(incidents).order_by(incidents.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(incidents.c.id < before)
    if state is not None:
        query = query.where(incidents.c.state == state)
    return list(connection.execute(query))
