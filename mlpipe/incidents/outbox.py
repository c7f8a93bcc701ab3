"""Message rows: written once an event and address, claimed with a lease, sent or given up."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.incidents.tables import incident_events, incident_messages, incident_mutes, incidents

_messages = incident_messages.c
_earlier = incident_messages.alias("earlier")

# Events that become messages ------------------------------------------------------------------------------------


def _muted(kind: Any) -> sa.Exists:
    return sa.exists().where(incident_mutes.c.kind == kind, incident_mutes.c.until > clock.now_us())


def pending(connection: sa.Connection) -> list[sa.Row[Any]]:
    """Return events whose messages are still to be written, oldest first: ``id, incident_id, event, note``.

    Those of a muted kind wait for the end of the mute.
    """
    query = sa.select(incident_events).join(incidents).where(incident_events.c.pending, ~_muted(incidents.c.kind))
    return list(connection.execute(query.order_by(incident_events.c.id)))


def take(connection: sa.Connection, event_id: int) -> bool:
    """Take an event on, once; say whether nobody had."""
    mine = sa.update(incident_events).where(incident_events.c.id == event_id, incident_events.c.pending)
    return connection.execute(mine.values(pending=False)).rowcount == 1


def queue(
    connection: sa.Connection, *, incident_id: int, event: str, target: str, url: str, payload: dict[str, Any]
) -> None:
    """Write a message that is to be sent at once, unless the same is there already."""
    now = clock.now_us()
    values = {"incident_id": incident_id, "event": event, "target": target, "url": url, "payload": payload}
    values |= {"state": "queued", "attempts": 0, "created_at": now, "next_try_at": now}
    db.insert_new(connection, incident_messages, values)


def drop_untried(connection: sa.Connection, incident_id: int) -> None:
    """Take back messages of an incident that nobody has tried to send."""
    untried = sa.update(incident_messages).where(
        _messages.incident_id == incident_id, _messages.state == "queued", _messages.attempts == 0
    )
    connection.execute(untried.values(state="dropped", ended_at=clock.now_us()))


def told(connection: sa.Connection, incident_id: int) -> set[str]:
    """Return the addresses that know of an incident, or may: a try without an answer can have arrived."""
    query = sa.select(_messages.target).where(
        _messages.incident_id == incident_id, _messages.event == "opened", _messages.state.in_(("queued", "sent"))
    )
    return set(connection.execute(query).scalars())


# Sending --------------------------------------------------------------------------------------------------------


def _due() -> sa.Select[Any]:
    """Return what is to be sent now, oldest first; an earlier message of the same incident goes first."""
    before = sa.exists().where(
        _earlier.c.incident_id == _messages.incident_id,
        _earlier.c.target == _messages.target,
        _earlier.c.state == "queued",
        _earlier.c.id < _messages.id,
    )
    due = sa.and_(_messages.state == "queued", _messages.next_try_at <= clock.now_us())
    query = sa.select(incident_messages).join(incidents).where(due, ~before, ~_muted(incidents.c.kind))
    return query.order_by(_messages.next_try_at, _messages.id).limit(1)


def is_due(connection: sa.Connection) -> bool:
    """Say whether there is something to send; looks without writing."""
    return connection.execute(_due()).first() is not None


def claim(connection: sa.Connection, *, lease_until: int) -> sa.Row[Any] | None:
    """Take the next message, and count the try before it is made.

    Returns
    -------
    Row or None
        The message with the present try counted; None when nothing is due or another sender was faster.
    """
    found = connection.execute(_due()).first()
    if found is None:
        return None
    mine = sa.update(incident_messages).where(
        _messages.id == found.id, _messages.state == "queued", _messages.attempts == found.attempts
    )
    taken = mine.values(attempts=found.attempts + 1, next_try_at=lease_until).returning(incident_messages)
    return connection.execute(taken).first()


def settle(
    connection: sa.Connection,
    message: sa.Row[Any],
    state: str,
    *,
    error: str | None = None,
    next_try_at: int | None = None,
) -> bool:
    """Write how a try ended; say whether the message was still the caller's."""
    mine = sa.update(incident_messages).where(
        _messages.id == message.id, _messages.state == "queued", _messages.attempts == message.attempts
    )
    ended_at = None if state == "queued" else clock.now_us()
    values = {"state": state, "last_error": error, "ended_at": ended_at, "next_try_at": next_try_at or clock.now_us()}
    return connection.execute(mine.values(**values)).rowcount == 1


# Looks ----------------------------------------------------------------------------------------------------------


def of_incident(connection: sa.Connection, incident_id: int) -> list[sa.Row[Any]]:
    """Return the messages about an incident, oldest first."""
    query = sa.select(incident_messages).where(_messages.incident_id == incident_id).order_by(_messages.id)
    return list(connection.execute(query))


def given_up(connection: sa.Connection, targets: Collection[str], *, since_us: int) -> list[sa.Row[Any]]:
    """Return the newest message of each address whose newest one that ended was given up, since a time."""
    newest = (
        sa.select(sa.func.max(_messages.id))
        .where(_messages.target.in_(list(targets)), _messages.state.in_(("sent", "failed")))
        .where(_messages.ended_at >= since_us)
        .group_by(_messages.target)
    )
    query = sa.select(incident_messages).where(_messages.id.in_(newest), _messages.state == "failed")
    return list(connection.execute(query.order_by(_messages.id)))
