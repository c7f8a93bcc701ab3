"""GET /ledger and GET /workers."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from mlpipe import clock, db, errors, web
from mlpipe.jobs import ledger, service, why
from mlpipe.schema import times

blueprint = Blueprint("jobs", __name__)


FILTERS = {"job": "job_id", "report": "report_id", "version": "model_version", "incident": "incident_id"}
"""Name in the query -> the ledger's column."""

LARGEST_ID = 2**31 - 1
"""What the narrowest of these columns holds."""


@blueprint.get("/ledger")
def get_ledger() -> Response:
    """Return decisions, newest first; ``?kind=`` and ids keep some, ``?why=`` answers a question."""
    if "why" in request.args:
        return web.answer(_why())
    only = {column: web.query_int(name, None, low=0, high=LARGEST_ID) for name, column in FILTERS.items()}
    with db.reading() as connection:
        rows = ledger.entries(
            connection, limit=web.one_more(), before=web.cursor(), kind=request.args.get("kind"), **only
        )
    return web.answer(web.listing(rows, show=_entry, key=lambda row: row.id))


def _why() -> dict[str, Any]:
    question = request.args["why"]
    if question not in why.QUESTIONS:
        raise errors.InvalidQuery(f"?why={errors.quoted(question)} must be one of {', '.join(why.QUESTIONS)}.")
    at = times.query("at", request.args.get("at"))
    with db.reading() as connection:
        found = why.answer(connection, question, clock.now_us() if at is None else at)
    return found | {"items": [_entry(row) for row in found["items"]]}


def _entry(row: Any) -> dict[str, Any]:
    entry = db.as_dict(row)
    return entry | {"at": clock.iso(row.at), "last_at": clock.iso(row.last_at)}


@blueprint.get("/workers")
def get_workers() -> Response:
    """Return which process serves which version."""
    return web.answer({"items": service.workers(), "next": None})
