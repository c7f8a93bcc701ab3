"""Read-only joins across the stages: the one place that may cross them.

A page costs six queries, whatever the history. Each is bounded by a number of rows on an index; hourly rollups will
replace the bounds of `traffic` and `labels`, so that seven days are whole under heavy traffic too. Until then a range
that was cut says so (`traffic_cut`, `labels_cut`).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from mlpipe import db
from mlpipe.dashboard import series
from mlpipe.dashboard.picture import (
    LabelBin,
    Latency,
    Note,
    Picture,
    Report,
    Stretch,
    Totals,
    TrafficBin,
)
from mlpipe.drift.tables import drift_reports
from mlpipe.features.tables import feature_batches, schema_versions
from mlpipe.incidents.tables import incident_mutes, incidents
from mlpipe.jobs.tables import jobs, ledger, workers
from mlpipe.prediction.tables import prediction_labels, predictions
from mlpipe.registry.tables import deployments, freezes, model_versions

DAYS_US = 7 * 24 * 3600 * 1_000_000
"""How far back a page looks."""

MAX_REQUESTS = 50_000
"""Newest log rows that are counted: about 30 ms in SQLite."""

MAX_LABELS = 50_000
"""Newest labels, by prediction time, that are counted: about 80 ms in SQLite."""

MAX_LATENCIES = 2_000
"""Newest requests whose latency is looked at: twenty of them lie beyond the 99th percentile."""

MAX_LATENCY_ROWS = 100_000
"""Most rows in those requests. The latency stands behind the blocks in a log row, and SQLite walks through all pages
of a block to reach it, so large requests must cost no more than small ones."""

MAX_BATCHES = 20_000
"""Newest ingested batches whose rows are summed; with more of them the page says "more than"."""

MAX_REPORTS = 200
MAX_STRETCHES = 12
MAX_INCIDENTS = 5
MAX_JOBS = 3
MAX_DECISIONS = 6
MAX_WORKERS = 64

OPEN_JOBS = ("queued", "running", "waiting_for_labels")
UNSERVED_ROUTE = "shadow"
"""Answers that no client saw: neither traffic nor latency."""


def read(connection: sa.Connection, *, now_us: int, min_samples: int) -> Picture:
    """Read everything that the overview shows.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        One transaction, so that the figures of a page fit together.
    now_us : int
        The present in microseconds since 1970 UTC.
    min_samples : int
        New rows that a drift check needs; counting stops there.
    """
    since_us = now_us - DAYS_US
    totals, stretches = read_totals(connection, since_us=since_us, min_samples=min_samples)
    task = next((stretch.task for stretch in stretches if stretch.open), "classification")
    step_us = series.step_for(_span(totals, now_us, since_us))
    labels = read_labels(connection, since_us=since_us, step_us=step_us, task=task)
    return Picture(
        now_us=now_us,
        step_us=step_us,
        totals=totals,
        stretches=stretches,
        traffic=read_traffic(connection, since_us=since_us, step_us=step_us, newest=totals.newest_prediction),
        traffic_cut=(totals.oldest_in_reach_us or 0) > max(since_us, totals.oldest_predicted_us or 0),
        latencies=read_latencies(connection, newest=totals.newest_prediction),
        labels=labels,
        labels_cut=sum(part.n for part in labels) >= MAX_LABELS,
        reports=read_reports(connection),
        notes=read_notes(connection, now_us),
    )


def _span(totals: Totals, now_us: int, since_us: int) -> int:
    oldest = max(totals.oldest_predicted_us or now_us, totals.oldest_in_reach_us or since_us)
    end = series.end_of(oldest, totals.newest_predicted_us or now_us, now_us)
    return end - oldest


def read_totals(connection: sa.Connection, *, since_us: int, min_samples: int) -> tuple[Totals, tuple[Stretch, ...]]:
    """Read the single figures and the newest stretches of serving, newest first."""
    served = _stretches().subquery("served")
    stored = _stored().subquery("stored")
    figures = _figures(since_us, min_samples) | {"database_bytes": _database_bytes(connection)}
    query = sa.select(
        *(figure.label(f"total_{name}") for name, figure in figures.items()),
        *(column.label(f"total_{column.name}") for column in stored.c),
        *served.c,
    ).select_from(stored.outerjoin(served, sa.true()))
    rows = connection.execute(query).mappings().all()
    values = {name[6:]: rows[0][name] or 0 for name in rows[0] if name.startswith("total_")}
    totals = Totals(**values, batches_cut=values["n_batches"] >= MAX_BATCHES)
    stretches = (_stretch(row) for row in rows if row["id"] is not None)
    return totals, tuple(sorted(stretches, key=lambda stretch: -stretch.id))


def _stretches() -> sa.Select[Any]:
    return (
        sa.select(
            deployments.c.id,
            deployments.c.model_version.label("version"),
            deployments.c.since.label("since_us"),
            deployments.c.until.label("until_us"),
            deployments.c.by,
            deployments.c.reason,
            deployments.c.job_id,
            deployments.c.open,
            jobs.c.reason.label("job_reason"),
            model_versions.c.kind,
            model_versions.c.task,
            model_versions.c.metrics,
            model_versions.c.verdict,
            schema_versions.c.target,
        )
        .join(model_versions, model_versions.c.version == deployments.c.model_version)
        .join(schema_versions, schema_versions.c.version == model_versions.c.schema_version)
        .outerjoin(jobs, jobs.c.id == deployments.c.job_id)
        .order_by(deployments.c.id.desc())
        .limit(MAX_STRETCHES)
    )


def _stretch(row: sa.RowMapping) -> Stretch:
    values = {name: row[name] for name in Stretch.__dataclass_fields__}
    return Stretch(**(values | {"open": bool(row["open"])}))


def _stored() -> sa.Select[Any, Any, Any]:
    newest = (
        sa.select(feature_batches.c.n_rows, feature_batches.c.n_labelled)
        .order_by(feature_batches.c.id.desc())
        .limit(MAX_BATCHES)
        .subquery()
    )
    return sa.select(
        sa.func.count().label("n_batches"),
        sa.func.sum(newest.c.n_rows).label("n_rows"),
        sa.func.sum(newest.c.n_labelled).label("n_labelled"),
    ).select_from(newest)


def _figures(since_us: int, min_samples: int) -> dict[str, sa.ScalarSelect[Any]]:
    log = predictions.alias("log")
    newest = sa.select(sa.func.max(predictions.c.id)).scalar_subquery()
    in_reach = log.c.id > sa.func.coalesce(newest, 0) - MAX_REQUESTS
    queries: dict[str, sa.Select[Any]] = {
        "newest_prediction": sa.select(sa.func.max(log.c.id)),
        "newest_predicted_us": sa.select(log.c.predicted_at).order_by(log.c.id.desc()).limit(1),
        "oldest_predicted_us": sa.select(sa.func.min(log.c.predicted_at)).where(log.c.predicted_at >= since_us),
        "oldest_in_reach_us": sa.select(log.c.predicted_at).where(in_reach).order_by(log.c.id).limit(1),
        "newest_label_us": sa.select(prediction_labels.c.received_at).order_by(prediction_labels.c.id.desc()).limit(1),
        "rows_since_check": _rows_since_check(min_samples),
    }
    return {name: query.scalar_subquery() for name, query in queries.items()}


def _rows_since_check(min_samples: int) -> sa.Select[Any]:
    # A request has at least one row, so `min_samples` requests are enough to know that a check may run.
    active = sa.select(deployments.c.model_version).where(deployments.c.open.is_(True)).scalar_subquery()
    newest = sa.select(sa.func.max(drift_reports.alias().c.id)).scalar_subquery()
    checked = sa.select(sa.func.max(drift_reports.c.last_prediction)).where(
        drift_reports.c.id > newest - MAX_REPORTS, drift_reports.c.model_version == active
    )
    new = (
        sa.select(predictions.c.n_rows)
        .where(
            predictions.c.model_version == active,
            predictions.c.id > sa.func.coalesce(checked.scalar_subquery(), 0),
            predictions.c.route != UNSERVED_ROUTE,
        )
        .order_by(predictions.c.id)
        .limit(min_samples)
        .subquery()
    )
    return sa.select(sa.func.sum(new.c.n_rows))


def _database_bytes(connection: sa.Connection) -> sa.ColumnElement[int]:
    if db.is_postgresql(connection):
        return sa.func.pg_database_size(sa.func.current_database())
    return sa.literal_column(
        "(SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())", sa.BigInteger
    )


def read_traffic(connection: sa.Connection, *, since_us: int, step_us: int, newest: int) -> tuple[TrafficBin, ...]:
    """Count requests and rows by time and version, over the newest `MAX_REQUESTS` requests of the last days."""
    at_us = predictions.c.predicted_at // step_us * step_us
    query = (
        sa.select(at_us.label("at_us"), predictions.c.model_version, sa.func.count(), sa.func.sum(predictions.c.n_rows))
        .where(
            predictions.c.id > newest - MAX_REQUESTS,
            predictions.c.predicted_at >= since_us,
            predictions.c.route != UNSERVED_ROUTE,
        )
        .group_by("at_us", predictions.c.model_version)
    )
    return tuple(sorted((TrafficBin(*row) for row in connection.execute(query)), key=lambda part: part.at_us))


def read_latencies(connection: sa.Connection, *, newest: int) -> tuple[Latency, ...]:
    """Read the latency of the newest requests, oldest first."""
    seen = sa.func.sum(predictions.c.n_rows).over(order_by=predictions.c.id.desc()).label("seen")
    recent = sa.select(predictions.c.id, seen).where(predictions.c.id > newest - MAX_LATENCIES).subquery()
    first = sa.select(sa.func.min(recent.c.id)).where(recent.c.seen <= MAX_LATENCY_ROWS).scalar_subquery()
    query = (
        sa.select(predictions.c.predicted_at, predictions.c.n_rows, predictions.c.latency_us)
        .where(predictions.c.id >= sa.func.coalesce(first, newest), predictions.c.route != UNSERVED_ROUTE)
        .order_by(predictions.c.id)
    )
    return tuple(Latency(*row) for row in connection.execute(query))


def read_labels(connection: sa.Connection, *, since_us: int, step_us: int, task: str) -> tuple[LabelBin, ...]:
    """Sum up right answers and errors by time of PREDICTION, version and, in classification, label.

    The newest `MAX_LABELS` are taken in the order of prediction time, so that a bin that is counted is whole.
    """
    table = prediction_labels
    newest = (
        sa.select(table.c.predicted_at, table.c.model_version, table.c.label, table.c.output)
        .where(table.c.predicted_at >= since_us, table.c.current, table.c.output.is_not(None))
        .order_by(table.c.predicted_at.desc())
        .limit(MAX_LABELS)
        .cte("newest")
    )
    average = sa.select(sa.func.avg(newest.c.label)).scalar_subquery()
    miss = newest.c.output - newest.c.label
    label = sa.null() if task == "regression" else newest.c.label
    query = sa.select(
        (newest.c.predicted_at // step_us * step_us).label("at_us"),
        newest.c.model_version,
        label.label("class"),
        sa.func.count(),
        sa.func.sum(sa.case((miss == 0, 1), else_=0)),
        sa.func.sum(sa.func.abs(miss)),
        sa.func.sum(miss * miss),
        sa.func.sum(sa.func.abs(newest.c.label - average)),
    ).group_by("at_us", newest.c.model_version, *([] if task == "regression" else [newest.c.label]))
    rows = (LabelBin(*row) for row in connection.execute(query))
    return tuple(sorted(rows, key=lambda part: part.at_us))


def read_reports(connection: sa.Connection) -> tuple[Report, ...]:
    """Read the newest drift checks, oldest first; the long columns of the newest one alone."""
    table = drift_reports
    is_newest = table.c.id == sa.select(sa.func.max(table.alias().c.id)).scalar_subquery()

    def of_newest(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
        return sa.type_coerce(sa.case((is_newest, column)), column.type).label(column.name)

    query = (
        sa.select(
            table.c.id,
            table.c.checked_at.label("checked_us"),
            table.c.model_version.label("version"),
            table.c.n_rows,
            table.c.verdict,
            table.c.score,
            table.c.score_ungated,
            *(of_newest(column) for column in (table.c.sentence, table.c.features, table.c.prediction)),
        )
        .order_by(table.c.id.desc())
        .limit(MAX_REPORTS)
    )
    rows = connection.execute(query).mappings().all()
    return tuple(Report(**(dict(row) | {"features": row["features"] or ()})) for row in reversed(rows))


def read_notes(connection: sa.Connection, now_us: int) -> tuple[Note, ...]:
    """Read what is open, the newest decisions, the workers and what waits for people, newest first in each."""
    parts = [part.subquery() for part in _note_queries(now_us)]
    query = sa.union_all(*(sa.select(part) for part in parts))
    notes = [Note(**row) for row in connection.execute(query).mappings()]
    return tuple(sorted(notes, key=lambda note: -note.at_us if note.source != "decision" else -note.last_us))


def _note_queries(now_us: int) -> tuple[sa.Select[Any], ...]:
    return _incidents(now_us), _jobs(), _decisions(), _workers(), _proposals(), _freezes()


def _note(source: str, table: sa.Table, **columns: Any) -> sa.Select[Any]:
    empty: dict[str, Any] = {
        "source": sa.literal(source),
        "id": sa.cast(next(iter(table.primary_key)), sa.String),
        "times": sa.literal(1),
        "kind": sa.literal(""),
        "state": sa.literal(""),
        "sentence": sa.literal(""),
        "version": sa.cast(sa.null(), sa.Integer),
        "step": sa.cast(sa.null(), sa.String),
    }
    values = empty | columns
    return sa.select(*(values[name].label(name) for name in Note.__dataclass_fields__))


def _incidents(now_us: int) -> sa.Select[Any]:
    columns, mutes = incidents.c, incident_mutes.c
    named: dict[str, Any] = {name: columns[name] for name in ("times", "kind", "sentence")}
    muted = sa.exists().where(mutes.kind == columns.kind, mutes.until > now_us)
    known = columns.acknowledged_at.is_not(None)
    named["state"] = sa.case((muted, "muted"), (known, "acknowledged"), else_=columns.state)
    query = _note("incident", incidents, at_us=columns.opened_at, last_us=columns.updated_at, **named)
    return query.where(columns.state == "open").order_by(columns.id.desc()).limit(MAX_INCIDENTS)


def _jobs() -> sa.Select[Any]:
    columns = jobs.c
    named: dict[str, Any] = {name: columns[name] for name in ("kind", "state", "step")}
    begun = sa.func.coalesce(columns.started_at, columns.created_at)
    query = _note("job", jobs, at_us=begun, last_us=begun, sentence=columns.reason, **named)
    return query.where(columns.state.in_(OPEN_JOBS)).order_by(columns.id.desc()).limit(MAX_JOBS)


def _decisions() -> sa.Select[Any]:
    columns = ledger.c
    named: dict[str, Any] = {name: columns[name] for name in ("times", "kind", "sentence")}
    query = _note("decision", ledger, at_us=columns.at, last_us=columns.last_at, version=columns.model_version, **named)
    return query.order_by(columns.id.desc()).limit(MAX_DECISIONS)


def _workers() -> sa.Select[Any]:
    columns = workers.c
    query = _note(
        "worker",
        workers,
        at_us=columns.started_at,
        last_us=columns.seen_at,
        sentence=columns.host,
        version=columns.model_version,
    )
    return query.order_by(columns.seen_at.desc()).limit(MAX_WORKERS)


def _proposals() -> sa.Select[Any]:
    columns = model_versions.c
    made = columns.created_at
    query = _note("proposal", model_versions, at_us=made, last_us=made, version=columns.version)
    return query.where(columns.state == "proposed").order_by(columns.version.desc()).limit(1)


def _freezes() -> sa.Select[Any]:
    columns = freezes.c
    query = _note(
        "freeze", freezes, at_us=columns.since, last_us=columns.since, kind=columns.by, sentence=columns.reason
    )
    return query.where(columns.open).limit(1)
