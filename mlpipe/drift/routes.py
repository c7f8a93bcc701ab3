"""GET /drift, GET /drift/reports, POST /drift/check, POST /drift/backtest."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, current_app

from mlpipe import clock, db, errors, web
from mlpipe.drift import backtest, service, store
from mlpipe.schema import backtest as rehearsals
from mlpipe.settings import Settings

blueprint = Blueprint("drift", __name__)

EXTENSION = "mlpipe.monitor"


def init(app: Flask, settings: Settings) -> None:
    """Give an app its monitor.

    Raises
    ------
    errors.InvalidSetting
        The settings name a detector that cannot decide.
    """
    service.rule(settings)
    app.extensions[EXTENSION] = service.Monitor(settings.models_folder)


def monitor() -> service.Monitor:
    """Return this process's monitor."""
    found: service.Monitor = current_app.extensions[EXTENSION]
    return found


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


@blueprint.post("/drift/check")
def post_check() -> Response:
    """Run a check now; it starts what a scheduled one would start."""
    return web.answer(monitor().check(web.settings()))


@blueprint.post("/drift/backtest")
def post_backtest() -> Response:
    """Replay the log under other settings; nothing is written."""
    wanted = rehearsals.decode(web.optional_body())
    return web.answer(backtest.quick(web.settings(), wanted))


def health() -> tuple[web.HealthStatus, str]:
    """Say when the last check was, and what it found."""
    with db.reading() as connection:
        last = store.latest(connection)
    if last is None:
        return "waiting", "No check has had enough rows yet."
    return "ok", f"Last check {clock.iso(last.checked_at)}: {last.sentence}"
