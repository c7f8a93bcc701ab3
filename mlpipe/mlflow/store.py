"""What each MLflow server has, what it lacks, and when it is tried next."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.mlflow.tables import mlflow_servers, mlflow_versions
from mlpipe.registry.tables import model_versions

_servers = mlflow_servers.c
_versions = mlflow_versions.c


def server(connection: sa.Connection, target: str) -> sa.Row[Any] | None:
    """Return what is known of a server, or None before the first try."""
    return connection.execute(sa.select(mlflow_servers).where(_servers.target == target)).first()


def first_missing(connection: sa.Connection, target: str) -> tuple[int, int] | None:
    """Return number and time of the oldest version that a server has neither taken nor refused."""
    query = sa.select(model_versions.c.version, model_versions.c.created_at).where(_lacks(target))
    row = connection.execute(query.order_by(model_versions.c.version).limit(1)).first()
    return None if row is None else (row.version, row.created_at)


def n_missing(connection: sa.Connection, target: str) -> int:
    """Return how many versions a server has neither taken nor refused."""
    query = sa.select(sa.func.count()).select_from(model_versions).where(_lacks(target))
    return int(connection.execute(query).scalar_one())


def _lacks(target: str) -> sa.ColumnElement[bool]:
    told = sa.exists().where(_versions.target == target, _versions.model_version == model_versions.c.version)
    return ~told


def version(connection: sa.Connection, target: str, number: int) -> sa.Row[Any] | None:
    """Return what a server made of a version, or None while it was not told."""
    query = sa.select(mlflow_versions).where(_versions.target == target, _versions.model_version == number)
    return connection.execute(query).first()


def claim(connection: sa.Connection, target: str, url: str, *, lease_until: int) -> int | None:
    """Take the next try of a server, and count it before it is made.

    Returns
    -------
    int or None
        The tries since it last took something, this one counted; None when its time has not come, or another process
        is at it.
    """
    now = clock.now_us()
    fresh = {"target": target, "url": url, "generation": 0, "attempts": 0, "next_try_at": now}
    db.insert_new(connection, mlflow_servers, fresh)
    mine = sa.update(mlflow_servers).where(_servers.target == target, _servers.next_try_at <= now)
    taken = mine.values(attempts=_servers.attempts + 1, next_try_at=lease_until).returning(_servers.attempts)
    return connection.execute(taken).scalar()


def release(connection: sa.Connection, target: str, *, lease_until: int) -> None:
    """Give a try back after the server took something; nothing happens when the lease is another's by now."""
    _settle(connection, target, lease_until, attempts=0, failing_since=None, last_error=None, next_try_at=0)


def postpone(connection: sa.Connection, target: str, error: str, *, lease_until: int, next_try_at: int) -> None:
    """Write that a try failed, and when the next one is."""
    since = sa.func.coalesce(_servers.failing_since, clock.now_us())
    _settle(connection, target, lease_until, failing_since=since, last_error=error, next_try_at=next_try_at)


def _settle(connection: sa.Connection, target: str, lease_until: int, **values: Any) -> None:
    mine = sa.update(mlflow_servers).where(_servers.target == target, _servers.next_try_at == lease_until)
    connection.execute(mine.values(**values))


def add_version(connection: sa.Connection, target: str, number: int, **values: Any) -> None:
    """Write that a server has a version (``run_id``, ``mlflow_version``), or never will (``error``)."""
    row = {"target": target, "model_version": number, "at": clock.now_us()}
    db.replace(connection, mlflow_versions, row | {"run_id": None, "mlflow_version": None, "error": None} | values)


def set_generation(connection: sa.Connection, target: str, generation: int) -> None:
    """Write which deployment a server's aliases show."""
    mine = sa.update(mlflow_servers).where(_servers.target == target)
    connection.execute(mine.values(generation=generation))
