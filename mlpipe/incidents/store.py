"""Incident rows: opened, updated, acknowledged, resolved; kinds that are muted; and what happened when."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.incidents.tables import incident_events, incident_mutes, incidents
from mlpipe.jobs import ledger

TIMES = ("opened_at", "updated_at", "resolved_at", "acknowledged_at", "muted_until")

TOLD = frozenset({"opened", "resolved"})
"""Events that people get a message about."""

# Life -----------------------------------------------------------------------------------------------------------


def open_or_update(connection: sa.Connection, kind: str, sentence: str, evidence: dict[str, Any] | None = None) -> bool:
    """Open an incident of a kind, or update the one that is open.

    Returns
    -------
    bool
        Whether it is new; only then people are told.
    """
    now = clock.now_us()
    values = {"kind": kind, "state": "open", "sentence": sentence, "evidence": evidence or {}, "times": 1}
    opened = db.insert_new(connection, incidents, values | {"opened_at": now, "updated_at": now})
    if opened is not None:
        add_event(connection, opened, "opened", f"Incident {opened} ({kind}) was opened: {sentence}")
        return True
    still = sa.update(incidents).where(incidents.c.kind == kind, incidents.c.state == "open")
    news = {"sentence": sentence, "evidence": evidence or {}, "updated_at": now, "times": incidents.c.times + 1}
    connection.execute(still.values(**news))
    return False


def resolve(connection: sa.Connection, kind: str, because: str = "") -> bool:
    """Close the open incident of a kind; say whether there was one."""
    now = clock.now_us()
    still = sa.update(incidents).where(incidents.c.kind == kind, incidents.c.state == "open")
    closed = still.values(state="resolved", resolved_at=now, updated_at=now).returning(incidents.c.id)
    found = connection.execute(closed).scalar()
    if found is None:
        return False
    add_event(connection, found, "resolved", f"Incident {found} ({kind}) is over. {because}".rstrip(), note=because)
    return True


def acknowledge(connection: sa.Connection, incident_id: int, *, by: str, note: str | None) -> None:
    """Write that somebody knows of an incident, if it is open."""
    still = sa.update(incidents).where(incidents.c.id == incident_id, incidents.c.state == "open")
    values = {"acknowledged_at": clock.now_us(), "acknowledged_by": by, "note": note}
    connection.execute(still.values(**values))


def add_event(
    connection: sa.Connection, incident_id: int, event: str, sentence: str, *, by: str | None = None, note: str = ""
) -> None:
    """Write a step of an incident's life, and the line of the ledger that goes with it."""
    values = {"incident_id": incident_id, "at": clock.now_us(), "event": event, "by": by, "note": note or None}
    connection.execute(sa.insert(incident_events).values(**values, pending=event in TOLD))
    ledger.record(
        connection, "incident", sentence, evidence={"incident": incident_id, "event": event}, incident_id=incident_id
    )


# Mutes ----------------------------------------------------------------------------------------------------------


def mute(connection: sa.Connection, kind: str, *, until_us: int) -> None:
    """Let nobody be told about a kind until then."""
    db.replace(connection, incident_mutes, {"kind": kind, "until": until_us})


def unmute(connection: sa.Connection, kind: str) -> bool:
    """Let people be told again; say whether the kind was muted."""
    gone = sa.delete(incident_mutes).where(incident_mutes.c.kind == kind).returning(incident_mutes.c.until)
    until: int | None = connection.execute(gone).scalar()
    return until is not None and until > clock.now_us()


# Looks ----------------------------------------------------------------------------------------------------------


def _select() -> sa.Select[Any]:
    """Return incidents, each with the end of its kind's mute or null."""
    muted = sa.and_(incident_mutes.c.kind == incidents.c.kind, incident_mutes.c.until > clock.now_us())
    return sa.select(incidents, incident_mutes.c.until.label("muted_until")).outerjoin(incident_mutes, muted)


def get(connection: sa.Connection, incident_id: int) -> sa.Row[Any] | None:
    """Return one incident."""
    return connection.execute(_select().where(incidents.c.id == incident_id)).first()


def page(
    connection: sa.Connection, *, limit: int, before: int | None = None, state: str | None = None
) -> list[sa.Row[Any]]:
    """Return incidents, newest first."""
    query = _select().order_by(incidents.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(incidents.c.id < before)
    if state is not None:
        query = query.where(incidents.c.state == state)
    return list(connection.execute(query))


def open_id(connection: sa.Connection, kind: str) -> int | None:
    """Return the id of the open incident of a kind, or None."""
    query = sa.select(incidents.c.id).where(incidents.c.kind == kind, incidents.c.state == "open")
    found: int | None = connection.execute(query).scalar()
    return found


def open_ones(connection: sa.Connection) -> list[sa.Row[Any]]:
    """Return the open incidents, oldest first; there is at most one of a kind."""
    return list(connection.execute(_select().where(incidents.c.state == "open").order_by(incidents.c.id)))


def events(connection: sa.Connection, incident_id: int) -> list[sa.Row[Any]]:
    """Return the steps of an incident's life, oldest first."""
    query = sa.select(incident_events).where(incident_events.c.incident_id == incident_id)
    return list(connection.execute(query.order_by(incident_events.c.id)))


def as_json(row: Any) -> dict[str, Any]:
    """Return an incident as lists show it."""
    return db.as_dict(row) | {name: clock.iso(getattr(row, name)) for name in TIMES}
