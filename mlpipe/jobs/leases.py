"""Who leads, and which workers are there."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from mlpipe import db
from mlpipe.jobs.tables import leases, workers


def hold(connection: sa.Connection, name: str, holder: str, *, now_us: int, until_us: int) -> int | None:
    """Take or prolong a lease.

    Parameters
    ----------
    connection : Connection
        A transaction.
    name : str
        What is led, for example ``scheduler``.
    holder : str
        The caller's own name.
    now_us, until_us : int
        Present and wanted end, microseconds since 1970.

    Returns
    -------
    int or None
        The fence, a number that grows with every new holder; None while somebody else holds the lease.
    """
    mine = sa.update(leases).where(leases.c.name == name, leases.c.holder == holder).values(until=until_us)
    expired = (
        sa.update(leases)
        .where(leases.c.name == name, leases.c.until < now_us)
        .values(holder=holder, until=until_us, fence=leases.c.fence + 1)
    )
    for attempt in (mine, expired):
        fence = connection.execute(attempt.returning(leases.c.fence)).scalar()
        if fence is not None:
            return int(fence)
    first = {"name": name, "holder": holder, "fence": 1, "until": until_us}
    return None if db.insert_new(connection, leases, first) is None else 1


def release(connection: sa.Connection, name: str, holder: str) -> None:
    """Give a lease back, so that the next holder need not wait for its end."""
    connection.execute(sa.update(leases).where(leases.c.name == name, leases.c.holder == holder).values(until=0))


def holder_of(connection: sa.Connection, name: str) -> sa.Row[Any] | None:
    """Return the lease's row, or None when nobody ever held it."""
    return connection.execute(sa.select(leases).where(leases.c.name == name)).first()


def beat(connection: sa.Connection, worker: dict[str, Any]) -> None:
    """Write that a worker is alive and what it serves."""
    db.replace(connection, workers, worker)


def leave(connection: sa.Connection, worker_id: str) -> None:
    """Take a worker off the list."""
    connection.execute(sa.delete(workers).where(workers.c.id == worker_id))


def alive(connection: sa.Connection, *, since_us: int) -> list[sa.Row[Any]]:
    """Return the workers that were seen since a time, oldest first."""
    query = sa.select(workers).where(workers.c.seen_at >= since_us).order_by(workers.c.started_at)
    return list(connection.execute(query))


def forget(connection: sa.Connection, *, before_us: int) -> None:
    """Drop workers that were not seen since a time."""
    connection.execute(sa.delete(workers).where(workers.c.seen_at < before_us))
