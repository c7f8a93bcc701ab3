"""GET /ledger and GET /workers."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from mlpipe import clock, db, web
from mlpipe.jobs import ledger, service

blueprint = Blueprint("jobs", __name__)


@blueprint.get("/ledger")
def get_ledger() -> Response:
    """Return decisions, newest first; ``?kind=`` keeps one kind."""
    with db.reading() as connection:
        rows = ledger.entries(connection, limit=web.one_more(), before=web.cursor(), kind=request.args.get("kind"))
    return web.answer(web.listing(rows, show=_entry, key=lambda row: row.id))


def _entry(row: Any) -> dict[str, Any]:
    entry = db.as_dict(row)
    return entry | {"at": clock.iso(row.at), "last_at": clock.iso(row.last_at)}


@blueprint.get("/workers")
def get_workers() -> Response:
    """Return which process serves which version."""
    return web.answer({"items": service.workers(), "next": None})
