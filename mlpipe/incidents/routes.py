"""GET /incidents."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from mlpipe import clock, db, errors, web
from mlpipe.incidents import store

blueprint = Blueprint("incidents", __name__)

STATES = ("open", "resolved")


@blueprint.get("/incidents")
def get_incidents() -> Response:
    """Return what is or was wrong, newest first; ``?state=open`` keeps what still is."""
    state = request.args.get("state")
    if state is not None and state not in STATES:
        raise errors.InvalidQuery(f"?state={errors.quoted(state)} must be one of {', '.join(STATES)}.")
    with db.reading() as connection:
        rows = store.page(connection, limit=web.one_more(), before=web.cursor(), state=state)
    return web.answer(web.listing(rows, show=_incident, key=lambda row: row.id))


def _incident(row: Any) -> dict[str, Any]:
    times = {name: clock.iso(getattr(row, name)) for name in ("opened_at", "updated_at", "resolved_at")}
    return db.as_dict(row) | times
