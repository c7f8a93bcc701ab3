"""Version rows and stretches of serving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.registry.tables import deployments, model_versions

MAX_VERSION = 2**31 - 1
"""Largest number that the column holds; PostgreSQL refuses to compare it with a larger one."""

REGISTERED, PROPOSED, SUPERSEDED = "registered", "proposed", "superseded"
REJECTED, PRUNED = "rejected", "pruned"
"""States that are stored; `active`, `retired` and `rolled_back` follow from the stretches of serving."""


@dataclass(frozen=True, slots=True)
class Version:
    """One row of `model_versions`."""

    version: int
    created_at: int
    kind: str
    task: str
    schema_version: int
    parent: int | None
    job_id: int | None
    parameters: dict[str, Any]
    metrics: dict[str, Any]
    lineage: dict[str, Any]
    verdict: dict[str, Any]
    files: dict[str, str]
    last_batch: int
    last_label: int
    state: str = REGISTERED
    accepted: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Active:
    """What serves now: the generation is what workers compare."""

    generation: int
    version: int
    since: int


def active(connection: sa.Connection, *, for_update: bool = False) -> Active | None:
    """Return what serves now, or None before the first model; `for_update` holds it until the transaction ends."""
    query = sa.select(deployments.c.id, deployments.c.model_version, deployments.c.since).where(deployments.c.open)
    row = connection.execute(query.with_for_update() if for_update else query).first()
    return None if row is None else Active(row.id, row.model_version, row.since)


def get(connection: sa.Connection, version: int, *, for_update: bool = False) -> Version | None:
    """Return one version; `for_update` holds its row until the transaction ends."""
    if not 0 < version <= MAX_VERSION:
        return None
    query = sa.select(model_versions).where(model_versions.c.version == version)
    row = connection.execute(query.with_for_update() if for_update else query).first()
    return None if row is None else Version(**row._mapping)


def in_state(connection: sa.Connection, state: str) -> list[int]:
    """Return the numbers of the versions in a stored state, newest first."""
    query = sa.select(model_versions.c.version).where(model_versions.c.state == state)
    return list(connection.execute(query.order_by(model_versions.c.version.desc())).scalars())


def set_state(connection: sa.Connection, version: int, state: str, *, among: tuple[str, ...] | None = None) -> bool:
    """Write a version's state, if it is among these; say whether it was."""
    update = sa.update(model_versions).where(model_versions.c.version == version)
    if among is not None:
        update = update.where(model_versions.c.state.in_(among))
    return connection.execute(update.values(state=state)).rowcount == 1


def accept(connection: sa.Connection, version: int, accepted: dict[str, str]) -> None:
    """Write under which other library versions a version may be loaded."""
    update = sa.update(model_versions).where(model_versions.c.version == version)
    connection.execute(update.values(accepted=accepted))


def page(connection: sa.Connection, *, limit: int, before: int | None = None) -> list[Version]:
    """Return versions, newest first."""
    query = sa.select(model_versions).order_by(model_versions.c.version.desc()).limit(limit)
    if before is not None:
        query = query.where(model_versions.c.version < min(before, MAX_VERSION))
    return [Version(**row._mapping) for row in connection.execute(query)]


def numbers(connection: sa.Connection) -> set[int]:
    """Return the numbers of all versions."""
    return set(connection.execute(sa.select(model_versions.c.version)).scalars())


def with_files(connection: sa.Connection) -> list[int]:
    """Return the numbers of the versions that are not pruned, oldest first."""
    query = sa.select(model_versions.c.version).where(model_versions.c.state != PRUNED)
    return list(connection.execute(query.order_by(model_versions.c.version)).scalars())


def hold(connection: sa.Connection, numbers: set[int]) -> None:
    """Hold the rows of versions until the transaction ends."""
    query = sa.select(model_versions.c.version).where(model_versions.c.version.in_(numbers))
    connection.execute(query.order_by(model_versions.c.version).with_for_update()).all()


def next_number(connection: sa.Connection) -> int:
    """Return the number of the next version."""
    return (connection.execute(sa.select(sa.func.max(model_versions.c.version))).scalar() or 0) + 1


def add(connection: sa.Connection, version: Version) -> None:
    """Store a version; its folder must be in place."""
    values = {name: getattr(version, name) for name in Version.__dataclass_fields__}
    connection.execute(sa.insert(model_versions).values(**values))


def switch(
    connection: sa.Connection,
    version: int,
    *,
    expected: int | None,
    kind: str,
    by: str,
    reason: str,
    job_id: int | None = None,
) -> int | None:
    """Close the open stretch of serving and open another.

    Parameters
    ----------
    connection : Connection
        A transaction.
    version : int
        What serves from now on.
    expected : int or None
        The generation that the caller saw; None when it saw none.
    kind : {"deploy", "rollback"}
        A version that was left by a rollback is not gone back to by another.

    Returns
    -------
    int or None
        The new generation; None when another deploy was faster.
    """
    now = clock.now_us()
    if expected is not None:
        seen = sa.update(deployments).where(deployments.c.id == expected, deployments.c.open)
        if connection.execute(seen.values(open=None, until=now)).rowcount != 1:
            return None
    stretch = {
        "model_version": version,
        "since": now,
        "kind": kind,
        "by": by,
        "reason": reason,
        "job_id": job_id,
        "open": True,
    }
    return db.insert_new(connection, deployments, stretch)


def history(connection: sa.Connection, *, limit: int, before: int | None = None) -> list[sa.Row[Any]]:
    """Return stretches of serving, newest first."""
    query = sa.select(deployments).order_by(deployments.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(deployments.c.id < before)
    return list(connection.execute(query))


def stretches_of(connection: sa.Connection, version: int) -> list[sa.Row[Any]]:
    """Return the stretches of serving of one version, oldest first."""
    query = sa.select(deployments).where(deployments.c.model_version == version)
    return list(connection.execute(query.order_by(deployments.c.id)))


def stretches(connection: sa.Connection, *, since_us: int, until_us: int) -> list[sa.Row[Any]]:
    """Return the stretches of serving that overlap a time, oldest first."""
    ended = sa.or_(deployments.c.until.is_(None), deployments.c.until > since_us)
    query = sa.select(deployments).where(deployments.c.since < until_us, ended)
    return list(connection.execute(query.order_by(deployments.c.id)))
