"""POST /predict, POST /feedback, and the log."""

from __future__ import annotations

import re

from flask import Blueprint, Response, current_app, request

from mlpipe import db, errors, web
from mlpipe.prediction import champion as champions
from mlpipe.prediction import feedback, routed, routing, service
from mlpipe.schema import messages

blueprint = Blueprint("prediction", __name__)

EXTENSION = "mlpipe.champion"
ROUTER = "mlpipe.router"
PREDICTION_ID = re.compile(r"([0-9]{1,18})-([0-9]{1,9})")
PROBA = ("all", "predicted")


def champion() -> champions.Champion:
    """Return what this process serves."""
    found: champions.Champion = current_app.extensions[EXTENSION]
    return found


def router() -> routing.Router:
    """Return who answers in this process when it is not the champion."""
    found: routing.Router = current_app.extensions[ROUTER]
    return found


@blueprint.post("/predict")
def post_predict() -> Response:
    """Answer rows; each answer is logged before it is given."""
    wanted = request.args.get("proba", "predicted") if request.query_string else "predicted"
    if wanted not in PROBA:
        raise errors.InvalidQuery(f"?proba={errors.quoted(wanted)} must be one of {', '.join(PROBA)}.")
    found = service.predict(
        web.body(),
        champion=champion(),
        router=router(),
        settings=web.settings(),
        request_id=web.request_id(),
        entity_id=request.environ.get("HTTP_X_ENTITY_ID"),
        all_probabilities=wanted == "all",
    )
    return web.answer(found)


@blueprint.post("/feedback")
def post_feedback() -> Response:
    """Join labels that have become known."""
    return web.answer(feedback.join(web.body(), max_rows=web.settings().max_rows))


@blueprint.get("/predictions")
def get_predictions() -> Response:
    """Return logged predictions, newest request first."""
    items, following = service.listing(limit=web.limit(), start=_start())
    return web.answer({"items": items, "next": following and f"{following[0]}-{following[1]}"})


def _start() -> service.Place | None:
    text = request.args.get("cursor")
    if text is None:
        return None
    found = PREDICTION_ID.fullmatch(text)
    if found is None:
        raise errors.InvalidQuery(f"?cursor={errors.quoted(text)} is none; take it from `next` of the page before.")
    return int(found[1]), int(found[2])


@blueprint.get("/predictions/<prediction_id>")
def get_prediction(prediction_id: str) -> Response:
    """Return one prediction with all labels that came for it."""
    found = PREDICTION_ID.fullmatch(prediction_id)
    if found is None:
        raise errors.NotFound(f"{errors.quoted(prediction_id)} is no prediction id; one looks like 841-0.")
    return web.answer(service.one(int(found[1]), int(found[2])))


@blueprint.get("/models/routes")
def get_routes() -> Response:
    """Return canaries and shadows that are or were, newest first."""
    with db.reading() as connection:
        rows = routed.page(connection, limit=web.one_more(), before=web.cursor())
    return web.answer(web.listing(rows, show=routing.shown, key=lambda row: row.id))


@blueprint.put("/models/routes")
def put_route() -> Response:
    """Serve a version to a share of callers, or score it in the shadow."""
    asked = messages.decode_route(web.body())
    reason = asked.reason or "Asked for by hand."
    found = routing.put(asked.version, asked.route, asked.share, by="api", reason=reason)
    router().refresh()
    return web.answer(found)


@blueprint.delete("/models/routes/<int:version>")
def delete_route(version: int) -> Response:
    """Stop the route of a version."""
    found = routing.remove(version, by="api", reason="Asked for by hand.")
    router().refresh()
    return web.answer(found)


def model_health() -> tuple[web.HealthStatus, str]:
    """Say what serves here, or what the first model waits for."""
    return service.health(champion(), web.settings())


def log_health() -> tuple[web.HealthStatus, str]:
    """Say that predictions are logged: they are written before the answer, so there is no queue that could fill."""
    with db.reading():
        return "ok", "Every prediction is logged before it is answered; nothing is queued."
