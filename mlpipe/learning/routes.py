"""How far the version that serves has learned, and what people may do to it."""

from __future__ import annotations

from flask import Blueprint, Response

from mlpipe import web
from mlpipe.learning import service
from mlpipe.schema import messages

blueprint = Blueprint("learning", __name__)


@blueprint.get("/learning")
def get_learning() -> Response:
    """Return position, held steps, checkpoints, and the steps, newest first."""
    return web.answer(service.status(limit=web.limit(), before=web.cursor()))


@blueprint.post("/learning/steps/<int:number>/release")
def post_release(number: int) -> Response:
    """Let labels be learned that were held back."""
    return web.answer(service.shown(service.decide(number, release=True, by="api", reason=_reason())))


@blueprint.post("/learning/steps/<int:number>/discard")
def post_discard(number: int) -> Response:
    """Never learn labels that were held back."""
    return web.answer(service.shown(service.decide(number, release=False, by="api", reason=_reason())))


@blueprint.post("/learning/revisions/<int:revision>/restore")
def post_restore(revision: int) -> Response:
    """Go back to an earlier state."""
    return web.answer(service.shown(service.restore(revision, web.settings(), by="api", reason=_reason())))


def _reason() -> str:
    body = web.optional_body()
    given = None if body is None else messages.decode_reason(body)
    return given or "Asked for by hand."
