"""Revisions: published states of a version that goes on learning."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.registry import revision_files as files_of
from mlpipe.registry.tables import model_revisions

LOOKED_AT = 1000
"""Newest revisions among which checkpoints are looked for."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One row of `model_revisions`."""

    model_version: int
    revision: int
    step: int
    position: int
    published_at: int
    files: dict[str, str]


def newest(connection: sa.Connection, version: int) -> Revision | None:
    """Return a version's newest revision, or None while it answers as it was registered."""
    found = page(connection, version, limit=1)
    return found[0] if found else None


def get(connection: sa.Connection, version: int, revision: int) -> Revision | None:
    """Return one revision."""
    found = page(connection, version, limit=1, before=revision + 1)
    return found[0] if found and found[0].revision == revision else None


def page(connection: sa.Connection, version: int, *, limit: int, before: int | None = None) -> list[Revision]:
    """Return revisions of a version, newest first."""
    table = model_revisions.c
    query = sa.select(*(table[name] for name in Revision.__dataclass_fields__)).where(table.model_version == version)
    if before is not None:
        query = query.where(table.revision < before)
    return [Revision(**row._mapping) for row in connection.execute(query.order_by(table.revision.desc()).limit(limit))]


def with_checkpoint(connection: sa.Connection, version: int) -> list[Revision]:
    """Return the revisions that one can go back to, newest first: their checkpoints are still kept."""
    found = page(connection, version, limit=LOOKED_AT)
    return [one for one in found if files_of.checkpoint_name(one.revision) in one.files][: files_of.KEPT_CHECKPOINTS]


def add(connection: sa.Connection, revision: Revision) -> bool:
    """Store a revision whose files are in place; say whether it is new."""
    values = {name: getattr(revision, name) for name in Revision.__dataclass_fields__}
    return db.insert_new(connection, model_revisions, values | {"published_at": clock.now_us()}) is not None
