"""Acts on incidents, what is shown of them, and how they weigh on the whole."""

from __future__ import annotations

from typing import Any, Literal

from mlpipe import clock, db, errors
from mlpipe.incidents import kinds, outbox, store
from mlpipe.settings import Settings

FAILURE_SHOWN_S = 86_400
"""How long /health shows that messages to an address were given up."""


# Acts -----------------------------------------------------------------------------------------------------------


def acknowledge(incident_id: int, *, by: str, note: str | None) -> dict[str, Any]:
    """Write that somebody knows of an incident; return it.

    Raises
    ------
    errors.NotFound, errors.IncidentConflict
        It is not there, or over.
    """
    with db.transaction() as connection:
        store.acknowledge(connection, incident_id, by=by, note=note)  # first: then it cannot end before the next line
        found = _open(connection, incident_id)
        sentence = f"Incident {incident_id} ({found.kind}) was acknowledged by {by}{f': {note}' if note else '.'}"
        store.add_event(connection, incident_id, "acknowledged", sentence, by=by, note=note or "")
        return _whole(connection, incident_id)


def mute(incident_id: int, *, hours: float, by: str) -> dict[str, Any]:
    """Let nobody be told about an incident's kind for some hours; return the incident.

    Raises
    ------
    errors.NotFound, errors.IncidentConflict
        It is not there, or over.
    """
    until = clock.now_us() + int(hours * 3600 * clock.MICROSECONDS)
    with db.transaction() as connection:
        found = _open(connection, incident_id)
        store.mute(connection, found.kind, until_us=until)
        sentence = f"Messages about {found.kind} wait until {clock.iso(until)}: {by} muted incident {incident_id}."
        store.add_event(connection, incident_id, "muted", sentence, by=by, note=f"until {clock.iso(until)}")
        return _whole(connection, incident_id)


def unmute(incident_id: int, *, by: str) -> dict[str, Any]:
    """Let people be told again about an incident's kind; return the incident. It may be over: mutes outlive it.

    Raises
    ------
    errors.NotFound
        It is not there.
    """
    with db.transaction() as connection:
        found = _get(connection, incident_id)
        if store.unmute(connection, found.kind):
            sentence = f"Messages about {found.kind} are sent again: {by} unmuted incident {incident_id}."
            store.add_event(connection, incident_id, "unmuted", sentence, by=by)
        return _whole(connection, incident_id)


def look(incident_id: int) -> dict[str, Any]:
    """Return an incident with its history and messages.

    Raises
    ------
    errors.NotFound
        It is not there.
    """
    with db.reading() as connection:
        return _whole(connection, incident_id)


def _get(connection: db.Connection, incident_id: int) -> Any:
    found = store.get(connection, incident_id)
    if found is None:
        raise errors.NotFound(f"There is no incident {incident_id}. GET /incidents lists all.")
    return found


def _open(connection: db.Connection, incident_id: int) -> Any:
    found = _get(connection, incident_id)
    if found.state != "open":
        raise errors.IncidentConflict(
            f"Incident {incident_id} ({found.kind}) was resolved at {clock.iso(found.resolved_at)}: there is nothing "
            "to act on. GET /incidents?state=open lists what is open.",
            state=found.state,
        )
    return found


# Shown ----------------------------------------------------------------------------------------------------------


def _whole(connection: db.Connection, incident_id: int) -> dict[str, Any]:
    history = [
        {"at": clock.iso(row.at), "event": row.event, "by": row.by, "note": row.note}
        for row in store.events(connection, incident_id)
    ]
    messages = [_shown(row) for row in outbox.of_incident(connection, incident_id)]
    return store.as_json(_get(connection, incident_id)) | {"history": history, "messages": messages}


def _shown(row: Any) -> dict[str, Any]:
    waits = row.state == "queued"
    return {
        "event": row.event,
        "url": row.url,
        "state": row.state,
        "attempts": row.attempts,
        "created_at": clock.iso(row.created_at),
        "next_try_at": clock.iso(row.next_try_at) if waits else None,
        "ended_at": clock.iso(row.ended_at),
        "last_error": row.last_error,
    }


def health(settings: Settings) -> tuple[Literal["ok", "degraded"], str]:
    """Say what is wrong now; what somebody has acknowledged or muted is named, but weighs nothing."""
    since = clock.now_us() - FAILURE_SHOWN_S * clock.MICROSECONDS
    keys = [webhook.key for webhook in settings.webhooks]
    with db.reading() as connection:
        rows = store.open_ones(connection)
        lost = outbox.given_up(connection, keys, since_us=since)
    parts = [f"{row.kind}{_weight(row)}: {row.sentence}" for row in rows]
    parts += [f"The newest message to {row.url} was given up: {row.last_error}." for row in lost]
    weighs = lost or any(kinds.of(row.kind).degrades and not _weight(row) for row in rows)
    return "degraded" if weighs else "ok", " ".join(parts) or "No incident is open."


def _weight(row: Any) -> str:
    if row.muted_until is not None:
        return f" (muted until {clock.iso(row.muted_until)})"
    return "" if row.acknowledged_at is None else f" (acknowledged by {row.acknowledged_by})"
