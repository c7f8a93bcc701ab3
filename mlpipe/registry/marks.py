"""What people attach to versions: aliases and notes; and the freeze."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.registry.tables import freezes, model_aliases, model_notes

# Freeze ---------------------------------------------------------------------------------------------------------


def frozen(connection: sa.Connection) -> sa.Row[Any] | None:
    """Return the freeze that is open, or None."""
    return connection.execute(sa.select(freezes).where(freezes.c.open)).first()


def freeze(connection: sa.Connection, *, by: str, reason: str) -> bool:
    """Open a freeze; False when one is open already."""
    row = {"since": clock.now_us(), "by": by, "reason": reason, "open": True}
    return db.insert_new(connection, freezes, row) is not None


def unfreeze(connection: sa.Connection) -> bool:
    """End the freeze; False when there is none."""
    ended = sa.update(freezes).where(freezes.c.open).values(open=None, until=clock.now_us())
    return connection.execute(ended).rowcount == 1


# Aliases --------------------------------------------------------------------------------------------------------


def aliases(connection: sa.Connection) -> list[sa.Row[Any]]:
    """Return the aliases that people gave, by name."""
    return list(connection.execute(sa.select(model_aliases).order_by(model_aliases.c.name)))


def set_alias(connection: sa.Connection, name: str, version: int, *, by: str) -> None:
    """Let a name stand for a version, whatever it stood for before."""
    row = {"name": name, "model_version": version, "set_at": clock.now_us(), "by": by}
    db.replace(connection, model_aliases, row)


def drop_alias(connection: sa.Connection, name: str) -> bool:
    """Take a name away; False when it stands for nothing."""
    return connection.execute(sa.delete(model_aliases).where(model_aliases.c.name == name)).rowcount == 1


# Notes ----------------------------------------------------------------------------------------------------------


def add_note(connection: sa.Connection, version: int, *, by: str, note: str) -> int:
    """Keep what somebody wrote about a version; return the note's id."""
    row = {"model_version": version, "at": clock.now_us(), "by": by, "note": note}
    return db.insert(connection, model_notes, row)


def notes(connection: sa.Connection, version: int) -> list[sa.Row[Any]]:
    """Return what was written about a version, oldest first."""
    query = sa.select(model_notes).where(model_notes.c.model_version == version)
    return list(connection.execute(query.order_by(model_notes.c.id)))
