"""Drift reports and quality checks: written once, read newest first."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.drift.tables import drift_reports, quality_checks


def add(connection: sa.Connection, values: dict[str, Any]) -> int | None:
    """Store a report; return its id, or None when another process has just reported on the same rows."""
    return db.insert_new(connection, drift_reports, values | {"checked_at": clock.now_us()})


def attach_quality(connection: sa.Connection, report: int, quality: dict[str, Any]) -> None:
    """Write what the newest labels said at a report's time."""
    connection.execute(sa.update(drift_reports).where(drift_reports.c.id == report).values(quality=quality))


def get(connection: sa.Connection, report: int) -> sa.Row[Any] | None:
    """Return one report."""
    return connection.execute(sa.select(drift_reports).where(drift_reports.c.id == report)).first()


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


def between(connection: sa.Connection, *, since_us: int, until_us: int) -> list[sa.Row[Any]]:
    """Return the reports of a time, oldest first, without their figures: those of a month are many megabytes."""
    names = ("id", "checked_at", "model_version", "job_id", "last_prediction", "n_rows", "verdict", "score")
    query = sa.select(*(drift_reports.c[name] for name in names))
    query = query.where(drift_reports.c.checked_at >= since_us, drift_reports.c.checked_at < until_us)
    return list(connection.execute(query.order_by(drift_reports.c.id)))


def seen_before(connection: sa.Connection, at: int) -> dict[int, int]:
    """Return the newest log row that the checks before a time have seen, by version."""
    newest = sa.func.max(drift_reports.c.last_prediction)
    query = sa.select(drift_reports.c.model_version, newest).where(drift_reports.c.checked_at < at)
    return {row[0]: row[1] for row in connection.execute(query.group_by(drift_reports.c.model_version))}


# Quality --------------------------------------------------------------------------------------------------------


def add_quality(connection: sa.Connection, values: dict[str, Any]) -> int | None:
    """Store a quality check; return its id, or None when another process has just tested the same labels."""
    return db.insert_new(connection, quality_checks, values | {"checked_at": clock.now_us()})


def latest_quality(connection: sa.Connection, model_version: int) -> sa.Row[Any] | None:
    """Return the newest quality check of a version."""
    own = sa.select(quality_checks).where(quality_checks.c.model_version == model_version)
    return connection.execute(own.order_by(quality_checks.c.last_label.desc()).limit(1)).first()


def quality_between(connection: sa.Connection, *, since_us: int, until_us: int) -> list[sa.Row[Any]]:
    """Return the quality checks of a time, oldest first."""
    table = quality_checks.c
    query = sa.select(quality_checks).where(table.checked_at >= since_us, table.checked_at < until_us)
    return list(connection.execute(query.order_by(table.id)))


def tested_before(connection: sa.Connection, at: int) -> dict[int, int]:
    """Return the newest label row that the quality checks before a time have seen, by version."""
    newest = sa.func.max(quality_checks.c.last_label)
    query = sa.select(quality_checks.c.model_version, newest).where(quality_checks.c.checked_at < at)
    return {row[0]: row[1] for row in connection.execute(query.group_by(quality_checks.c.model_version))}


def quality_page(connection: sa.Connection, *, limit: int, before: int | None = None) -> list[sa.Row[Any]]:
    """Return quality checks, newest first, older than the check `before`."""
    query = sa.select(quality_checks).order_by(quality_checks.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(quality_checks.c.id < before)
    return list(connection.execute(query))
