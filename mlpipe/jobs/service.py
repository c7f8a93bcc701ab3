"""Heartbeats of the workers, and the lease of the one that leads."""

from __future__ import annotations

import os
import socket
import uuid
from typing import Any

from mlpipe import clock, db
from mlpipe.jobs import leases

LEADER = "scheduler"
WORKER_SILENT_S = 15
"""A worker that has not been seen for so long counts as gone."""

ALIVE_BEATS = 3
"""Leases that may pass before the scheduler counts as dead."""


def worker_name() -> str:
    """Return a name for this process that no other process ever has."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def beat(worker: str, *, started_at: int, version: int | None, revision: int | None) -> None:
    """Write that this worker is alive and what it serves."""
    row = {"id": worker, "host": socket.gethostname(), "pid": os.getpid(), "started_at": started_at}
    row |= {"seen_at": clock.now_us(), "model_version": version, "model_revision": revision}
    with db.transaction(durability="process") as connection:
        leases.beat(connection, row)


def lead(worker: str, *, lease_s: float) -> bool:
    """Take or keep the lead; say whether this worker has it."""
    now = clock.now_us()
    until = now + int(lease_s * clock.MICROSECONDS)
    with db.transaction(durability="process") as connection:
        return leases.hold(connection, LEADER, worker, now_us=now, until_us=until) is not None


def leave(worker: str) -> None:
    """Give the lead back and leave the list of workers."""
    with db.transaction(durability="process") as connection:
        leases.release(connection, LEADER, worker)
        leases.leave(connection, worker)


def sweep() -> None:
    """Take workers off the list that fell silent."""
    with db.transaction(durability="process") as connection:
        leases.forget(connection, before_us=clock.now_us() - WORKER_SILENT_S * clock.MICROSECONDS)


def workers() -> list[dict[str, Any]]:
    """Return the workers that are alive, and which of them leads."""
    with db.reading() as connection:
        rows = leases.alive(connection, since_us=clock.now_us() - WORKER_SILENT_S * clock.MICROSECONDS)
        leader = leases.holder_of(connection, LEADER)
    return [
        {
            "id": row.id,
            "host": row.host,
            "pid": row.pid,
            "started_at": clock.iso(row.started_at),
            "seen_at": clock.iso(row.seen_at),
            "model_version": row.model_version,
            "model_revision": row.model_revision,
            "leads": leader is not None and leader.holder == row.id,
        }
        for row in rows
    ]


def leader_silent_s() -> float | None:
    """Return for how many seconds nobody has held the lead (0 while somebody does), or None if it waits to be taken."""
    with db.reading() as connection:
        lease = leases.holder_of(connection, LEADER)
    if lease is None or lease.until == 0:  # never held, or given back
        return None
    return max(0.0, float(clock.now_us() - lease.until) / clock.MICROSECONDS)
