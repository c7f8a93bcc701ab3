"""Drift reports: written once, read newest first."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.drift.tables import drift_reports


def add(connection: sa.Connection, values: dict[str, Any]) -> int | None:
    """Store a report; return its id, or None when another process has just reported on the same rows."""
    return db.insert_new(connection, drift_reports, values | {"checked_at": clock.now_us()})


def latest(connection: sa.Connection, *, model_version: int | None = None) -> sa.Row[Any] | None:
    """Return the newest report, of one version or of all."""
    query = sa.select(drift_reports).order_by(drift_reports.c.id.desc()).limit(1)
    if model_version is not None:
        query = query.where(drift_reports.c.model_version == model_version)
    return connection.execute(query).first()


def page(connection: sa.Connection, *, limit: int, before: int | None = None) -> list[sa.Row[Any]]:
    """Return reports, newest first, older than the report `before`."""
    query = sa.select(drift_reports).order_by(drift_reports.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(drift_reports.c.id < before)
    return list(connection.execute(query))
