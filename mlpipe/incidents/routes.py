"""Incidents: list, look, acknowledge, mute; and a test of the messages."""

from __future__ import annotations

from flask import Blueprint, Response, request

from mlpipe import db, errors, web
from mlpipe.incidents import bodies, sending, service, store
from mlpipe.schema import reading

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
    return web.answer(web.listing(rows, show=store.as_json, key=lambda row: row.id))


@blueprint.get("/incidents/<int:incident_id>")
def get_incident(incident_id: int) -> Response:
    """Return one incident, what happened to it, and the messages about it."""
    return web.answer(service.look(incident_id))


@blueprint.post("/incidents/<int:incident_id>/acknowledge")
def post_acknowledge(incident_id: int) -> Response:
    """Say that somebody knows."""
    by, note = bodies.decode_acknowledge(web.optional_body())
    return web.answer(service.acknowledge(incident_id, by=by, note=note))


@blueprint.post("/incidents/<int:incident_id>/mute")
def post_mute(incident_id: int) -> Response:
    """Let nobody be told about this kind for some hours."""
    hours, by = bodies.decode_mute(web.body())
    return web.answer(service.mute(incident_id, hours=hours, by=by))


@blueprint.post("/incidents/<int:incident_id>/unmute")
def post_unmute(incident_id: int) -> Response:
    """Let people be told again."""
    return web.answer(service.unmute(incident_id, by=bodies.decode_by(web.optional_body())))


@blueprint.post("/incidents/test")
def post_test() -> Response:
    """Send a test message to every address now."""
    reading.optional(web.optional_body())
    return web.answer(sending.send_test(web.settings()))


def health() -> tuple[web.HealthStatus, str]:
    """Say what is wrong now."""
    return service.health(web.settings())
