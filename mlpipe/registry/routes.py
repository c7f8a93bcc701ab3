"""Versions: list, look, activate, roll back, history."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from mlpipe import clock, db, errors, web
from mlpipe.registry import service, store
from mlpipe.schema import messages

blueprint = Blueprint("registry", __name__)


@blueprint.get("/models")
def get_models() -> Response:
    """Return versions, newest first, and which one serves."""
    with db.reading() as connection:
        active = store.active(connection)
        rows = store.page(connection, limit=web.one_more(), before=web.cursor())
    serving = active.version if active else None
    page = web.listing(rows, show=lambda row: _shown(row, serving, whole=False), key=lambda row: row.version)
    return web.answer({"name": web.settings().model_name, "active": serving, **page})


@blueprint.get("/models/<int:version>")
def get_model(version: int) -> Response:
    """Return one version with its lineage and verdict."""
    with db.reading() as connection:
        active = store.active(connection)
        row = store.get(connection, version)
    if row is None:
        raise errors.NotFound(f"There is no version {version}. GET /models lists all.")
    return web.answer(_shown(row, active.version if active else None, whole=True))


@blueprint.post("/models/<int:version>/activate")
def post_activate(version: int) -> Response:
    """Let a version serve."""
    generation = service.activate(version, by="api", reason=_reason())
    return web.answer({"version": version, "generation": generation, "state": "active"})


@blueprint.post("/models/rollback")
def post_rollback() -> Response:
    """Let the version serve that served before."""
    version, generation = service.rollback(by="api", reason=_reason())
    return web.answer({"version": version, "generation": generation, "state": "active"})


@blueprint.get("/models/history")
def get_history() -> Response:
    """Return what served when, and why."""
    with db.reading() as connection:
        rows = store.history(connection, limit=web.one_more(), before=web.cursor())
    return web.answer(web.listing(rows, show=_stretch, key=lambda row: row.id))


def _reason() -> str:
    body = web.optional_body()
    given = None if body is None else messages.decode_reason(body)
    return given or "Asked for by hand."


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


def _shown(row: store.Version, active: int | None, *, whole: bool) -> dict[str, Any]:
    shown = {
        "version": row.version,
        "state": "active" if row.version == active else "registered",
        "created_at": clock.iso(row.created_at),
        "kind": row.kind,
        "task": row.task,
        "schema_version": row.schema_version,
        "parent": row.parent,
        "job_id": row.job_id,
        "metrics": row.metrics,
    }
    if whole:
        shown |= {"parameters": row.parameters, "lineage": row.lineage, "verdict": row.verdict, "files": row.files}
    return shown
