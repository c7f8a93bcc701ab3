"""Drift reports, checks and rehearsals; quality by the hour and its checks."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, current_app, request

from mlpipe import clock, db, errors, web
from mlpipe.drift import backtest, hours, judging, quality, realised, service, store
from mlpipe.schema import backtest as rehearsals
from mlpipe.schema import reading, times
from mlpipe.settings import Settings

blueprint = Blueprint("drift", __name__)

EXTENSION = "mlpipe.monitor"

DAY_US = 24 * hours.HOUR_US
"""What ``GET /quality`` looks back without ``?since=``."""


def init(app: Flask, settings: Settings) -> None:
    """Give an app its monitor.

    Raises
    ------
    errors.InvalidSetting
        The settings name a detector that cannot decide.
    """
    judging.rule(settings)
    app.extensions[EXTENSION] = service.Monitor(settings.models_folder)


def monitor() -> service.Monitor:
    """Return this process's monitor."""
    found: service.Monitor = current_app.extensions[EXTENSION]
    return found


LARGEST_ID = 2**63 - 1
"""What a column of ids holds; PostgreSQL refuses to compare it with a larger one."""


@blueprint.get("/drift")
def get_latest() -> Response:
    """Return the latest report."""
    with db.reading() as connection:
        row = store.latest(connection)
    if row is None:
        raise errors.NotFound("No check has had enough rows yet. POST /drift/check says how many are missing.")
    return web.answer(service.as_json(row))


@blueprint.get("/drift/reports")
def get_reports() -> Response:
    """Return reports, newest first."""
    with db.reading() as connection:
        rows = store.page(connection, limit=web.one_more(), before=web.cursor())
    return web.answer(web.listing(rows, show=service.as_json, key=lambda row: row.id))


@blueprint.get("/drift/reports/<int:report_id>")
def get_report(report_id: int) -> Response:
    """Return one report."""
    with db.reading() as connection:
        row = store.get(connection, report_id) if report_id <= LARGEST_ID else None
    if row is None:
        raise errors.NotFound(f"There is no report {report_id}. GET /drift/reports lists all.")
    return web.answer(service.as_json(row))


@blueprint.post("/drift/check")
def post_check() -> Response:
    """Run a check now; it starts what a scheduled one would start."""
    reading.optional(web.optional_body())
    return web.answer(monitor().check(web.settings()))


@blueprint.post("/drift/backtest")
def post_backtest() -> Response:
    """Replay the log under other settings; nothing is written."""
    wanted = rehearsals.decode(web.optional_body())
    return web.answer(backtest.quick(web.settings(), wanted))


@blueprint.get("/quality")
def get_quality() -> Response:
    """Return the quality of the hours of a time, newest first."""
    return web.answer(realised.page(monitor().quality, _wanted()))


def _wanted() -> realised.Page:
    until = times.query("until", request.args.get("until"))
    until = clock.now_us() if until is None else until
    since = times.query("since", request.args.get("since"))
    since = max(0, until - DAY_US) if since is None else since
    if since >= until:
        raise errors.InvalidQuery(f"?since= ({clock.iso(since)}) must be earlier than ?until= ({clock.iso(until)}).")
    cursor = web.cursor()
    before = until if cursor is None else min(until, cursor * hours.HOUR_US)
    return realised.Page(since_us=since, until_us=before, limit=web.limit())


@blueprint.get("/quality/checks")
def get_quality_checks() -> Response:
    """Return the tests for a drop of quality, newest first."""
    with db.reading() as connection:
        rows = store.quality_page(connection, limit=web.one_more(), before=web.cursor())
    return web.answer(web.listing(rows, show=quality.as_json, key=lambda row: row.id))


def health() -> tuple[web.HealthStatus, str]:
    """Say when the last check was, and what it found."""
    with db.reading() as connection:
        last = store.latest(connection)
    if last is None:
        return "waiting", "No check has had enough rows yet."
    return "ok", f"Last check {clock.iso(last.checked_at)}: {last.sentence}"
