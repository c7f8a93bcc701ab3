"""Versions: list, look, activate, roll back, approve, freeze, name, history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask, Response, current_app, render_template, request

from mlpipe import clock, db, errors, web
from mlpipe.registry import cards, marks, proposals, rollout, service, store
from mlpipe.schema import messages

blueprint = Blueprint("registry", __name__)

EXTENSION = "mlpipe.look"
HTML = ("text/html",)
FORMATS = ("json", "html")
ANYBODY = "api"
"""Who deploys by HTTP: callers have no names."""


def init(app: Flask, *, look: Callable[[], object]) -> None:
    """Tell an app how its process loads what is deployed."""
    app.extensions[EXTENSION] = look


@blueprint.get("/models")
def get_models() -> Response:
    """Return versions, newest first, and which one serves."""
    with db.reading() as connection:
        standing = service.standing(connection, web.settings().deploy)
        rows = store.page(connection, limit=web.one_more(), before=web.cursor())
    page = web.listing(rows, show=lambda row: _shown(row, standing), key=lambda row: row.version)
    known = {"name": web.settings().model_name, "active": standing.active, "aliases": standing.aliases}
    return web.answer(known | {"deploy": standing.mode, "frozen": standing.frozen} | page)


@blueprint.get("/models/<int:version>")
def get_model(version: int) -> Response:
    """Return one version with its lineage, verdict and notes."""
    with db.reading() as connection:
        standing = service.standing(connection, web.settings().deploy)
        row = store.get(connection, version)
        notes = marks.notes(connection, version) if row is not None else []
    if row is None:
        raise errors.NotFound(f"There is no version {version}. GET /models lists all.")
    whole: dict[str, Any] = {
        "parameters": row.parameters,
        "lineage": row.lineage,
        "verdict": row.verdict,
        "files": row.files,
    }
    whole |= {"accepted_libraries": row.accepted, "notes": [_note(note) for note in notes]}
    return web.answer(_shown(row, standing) | whole)


@blueprint.get("/models/<int:version>/card")
def get_card(version: int) -> Response:
    """Return the card of a version, as JSON or, with ``?format=html`` or for a browser, as a page."""
    best = request.accept_mimetypes.best_match(web.JSON + HTML, default=web.JSON[0])
    wanted = request.args.get("format", "html" if best in HTML else "json")
    if wanted not in FORMATS:
        raise errors.InvalidQuery(f"?format={errors.quoted(wanted)} must be one of {', '.join(FORMATS)}.")
    known = web.settings()
    card = cards.read(known.models_folder, version, model_name=known.model_name, configured=known.deploy)
    if wanted == "json":
        return web.answer(card)
    return Response(render_template("card.html", card=card), mimetype="text/html")


# Deploying ------------------------------------------------------------------------------------------------------


@blueprint.post("/models/<int:version>/activate")
def post_activate(version: int) -> Response:
    """Let a version serve."""
    return _deployed(version, service.activate(version, by=ANYBODY, reason=_reason(), terms=_terms()))


@blueprint.post("/models/rollback")
def post_rollback() -> Response:
    """Let the version serve that served before."""
    return _deployed(*service.rollback(by=ANYBODY, reason=_reason(), terms=_terms()))


@blueprint.post("/models/<int:version>/approve")
def post_approve(version: int) -> Response:
    """Deploy a version that was proposed."""
    return _deployed(version, proposals.approve(version, by=ANYBODY, reason=_reason(), terms=_terms()))


def _terms() -> rollout.Terms:
    return rollout.Terms(look=current_app.extensions[EXTENSION], wait_s=web.settings().deploy_limit_s)


def _deployed(version: int, generation: int) -> Response:
    current_app.extensions[EXTENSION]()  # whoever asked is answered by the new version from now on
    return web.answer({"version": version, "generation": generation, "state": "active"})


@blueprint.post("/models/<int:version>/reject")
def post_reject(version: int) -> Response:
    """Put a version aside that was proposed."""
    proposals.reject(version, by=ANYBODY, reason=_reason())
    return web.answer({"version": version, "state": store.REJECTED})


@blueprint.post("/models/freeze")
def post_freeze() -> Response:
    """Let nothing change what serves but a person."""
    proposals.freeze(by=ANYBODY, reason=_reason())
    return _mode()


@blueprint.post("/models/unfreeze")
def post_unfreeze() -> Response:
    """Let retrainings deploy again as the setting says."""
    proposals.unfreeze(by=ANYBODY, reason=_reason())
    return _mode()


def _mode() -> Response:
    with db.reading() as connection:
        standing = service.standing(connection, web.settings().deploy)
    return web.answer({"deploy": standing.mode, "frozen": standing.frozen})


def _reason() -> str:
    body = web.optional_body()
    given = None if body is None else messages.decode_reason(body)
    return given or "Asked for by hand."


# Names and notes ------------------------------------------------------------------------------------------------


@blueprint.put("/models/aliases/<name>")
def put_alias(name: str) -> Response:
    """Let a name stand for a version."""
    version = messages.decode_alias(web.body())
    service.set_alias(name, version, by=ANYBODY)
    return web.answer({"alias": name, "version": version})


@blueprint.delete("/models/aliases/<name>")
def delete_alias(name: str) -> Response:
    """Take a name away."""
    service.drop_alias(name, by=ANYBODY)
    return web.answer({"alias": name, "version": None})


@blueprint.post("/models/<int:version>/notes")
def post_note(version: int) -> Response:
    """Keep what somebody wrote about a version."""
    note, by = messages.decode_note(web.body())
    return web.answer({"id": service.add_note(version, by=by, note=note), "version": version}, 201)


def _note(row: Any) -> dict[str, Any]:
    return {"id": row.id, "at": clock.iso(row.at), "by": row.by, "note": row.note}


# History --------------------------------------------------------------------------------------------------------


@blueprint.get("/models/history")
def get_history() -> Response:
    """Return what served when, and why."""
    with db.reading() as connection:
        rows = store.history(connection, limit=web.one_more(), before=web.cursor())
    return web.answer(web.listing(rows, show=_stretch, key=lambda row: row.id))


def _stretch(row: Any) -> dict[str, Any]:
    return {
        "generation": row.id,
        "version": row.model_version,
        "since": clock.iso(row.since),
        "until": clock.iso(row.until),
        "kind": row.kind,
        "by": row.by,
        "reason": row.reason,
        "job_id": row.job_id,
    }


def _shown(row: store.Version, standing: service.Standing) -> dict[str, Any]:
    return {
        "version": row.version,
        "state": standing.state(row),
        "created_at": clock.iso(row.created_at),
        "kind": row.kind,
        "task": row.task,
        "schema_version": row.schema_version,
        "parent": row.parent,
        "job_id": row.job_id,
        "metrics": row.metrics,
        "aliases": [name for name, version in standing.aliases.items() if version == row.version],
    }
