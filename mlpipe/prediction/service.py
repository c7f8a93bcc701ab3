"""Check, predict, log, answer."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlpipe import clock, db, errors
from mlpipe.features import store as features
from mlpipe.jobs import store as jobs
from mlpipe.prediction import routed, store
from mlpipe.prediction.champion import Champion, Model
from mlpipe.prediction.routing import Router
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.schema import matrix
from mlpipe.schema.contract import Schema
from mlpipe.settings import Settings

Floats = NDArray[np.float64]
Place = tuple[int, int]
"""Log row and position of one prediction."""

DEFAULT_ROUTE = "champion"
NEWEST = 2**62
"""Stands for a log row that is newer than any."""

REQUESTS_A_LOOK = 20
"""Logged requests that a list reads at a time: each may hold many megabytes."""

LOADING_S = 10
"""Time that loading a version may take before /health minds."""


def predict(
    body: bytes,
    *,
    champion: Champion,
    router: Router,
    settings: Settings,
    request_id: str,
    entity_id: str | None = None,
    all_probabilities: bool = False,
) -> dict[str, Any]:
    """Answer the rows of a body, logging them first.

    Parameters
    ----------
    body : bytes
        JSON as in ``POST /predict``.
    champion : Champion
        The loaded model of this process.
    router : Router
        Knows the canary.
    request_id : str
        Goes into the log and the answer.
    entity_id : str, optional
        Whom the request is about, where the body does not say: a canary keeps to the same ones.
    all_probabilities : bool
        Answer the probability of every class instead of that of the predicted one.

    Raises
    ------
    errors.NoActiveModel
        No version serves yet; says what is missing.
    errors.MalformedBody, errors.SchemaViolation, errors.TooManyRows, errors.NotFound
        The body cannot be answered, or there is no such version or alias; nothing is logged.
    errors.StoreUnavailable
        The log cannot be written, so nothing is answered.
    """
    started = time.perf_counter_ns()
    asked = matrix.decode_predict(body, max_rows=settings.max_rows)
    model, route = champion.model, DEFAULT_ROUTE
    if asked.version is not None:
        model, route = champion.version(_number(asked.version, settings)), "asked"
    elif (canary := router.canary) is not None and canary.answers(asked.entity_id or entity_id or request_id):
        model, route = canary.model, routed.CANARY
    if model is None:
        raise _no_model(champion, settings)
    X = matrix.encode(asked.table, model.schema)
    try:
        outputs, probabilities = model.answer(X)
    except Exception as fault:
        if asked.version is not None:
            raise
        model, route, (outputs, probabilities) = router.rescue(model, X, fault)
    row = {
        "request_id": request_id,
        "predicted_at": clock.now_us(),
        "model_version": model.version,
        "model_revision": model.revision,
        "route": route,
        "n_rows": len(X),
        "features": X.tobytes(),
        "outputs": outputs.tobytes(),
        "probabilities": None if probabilities is None else probabilities.tobytes(),
        "latency_us": (time.perf_counter_ns() - started) // 1000,
        "answered": None,
    }
    prediction = store.append(row)
    return {
        "predictions": matrix.decode_label(outputs, model.schema.target),
        **_probabilities(model, probabilities, all_probabilities),
        "prediction_ids": [f"{prediction}-{position}" for position in range(len(X))],
        "model_version": model.version,
        "model_revision": model.revision,
        "request_id": request_id,
    }


def _probabilities(model: Model, probabilities: Floats | None, every: bool) -> dict[str, Any]:
    if probabilities is None:
        return {}
    if every:
        classes = matrix.decode_label(model.classes, model.schema.target)
        return {"probabilities": probabilities.tolist(), "classes": classes}
    return {"probabilities": probabilities.max(axis=1).tolist()}


def _number(asked: int | str, settings: Settings) -> int:
    """Return the version that is asked for by number or alias; only an alias is looked up."""
    if isinstance(asked, int):
        return asked
    with db.reading() as connection:
        return registry.resolve(connection, asked, settings.deploy)


def _no_model(champion: Champion, settings: Settings) -> errors.MlpipeError:
    with db.reading() as connection:
        n = features.count_new_labels(connection, last_batch=0, last_label=0, enough=settings.min_labelled)
    return errors.NoActiveModel(
        f"No model serves yet. {what_is_awaited(settings)}",
        labelled_rows=n,
        labelled_rows_needed=settings.min_labelled,
    )


def health(champion: Champion, settings: Settings) -> tuple[Literal["ok", "waiting", "degraded", "down"], str]:
    """Say whether this process serves what was deployed."""
    with db.reading() as connection:
        active = versions.active(connection)
    if active is None:
        return "waiting", what_is_awaited(settings)
    model = champion.model
    if model is not None and model.generation == active.generation:
        return "ok", f"Version {model.version} serves."
    waited_s = (clock.now_us() - active.since) / clock.MICROSECONDS
    serves = f"version {model.version} goes on serving" if model else "nothing serves here"
    sentence = f"Version {active.version} was deployed {waited_s:.0f} s ago and is not loaded: {serves}."
    if waited_s < LOADING_S:
        return "ok" if model else "waiting", sentence
    return "degraded" if model else "down", sentence + " GET /incidents says why; retrain or activate another version."


def what_is_awaited(settings: Settings) -> str:
    """Say in words what keeps the first model from serving."""
    with db.reading() as connection:
        active = versions.active(connection)
        schema = features.current_schema(connection)
        n = features.count_new_labels(connection, last_batch=0, last_label=0, enough=settings.min_labelled)
        job = jobs.open_job(connection, "retraining")
        last = jobs.page(connection, "retraining", limit=1)
        proposed = versions.in_state(connection, versions.PROPOSED)
    if active is None and proposed:
        return (
            f"Version {proposed[0]} is trained and proposed; it serves when somebody approves it: "
            f"POST /models/{proposed[0]}/approve, or /reject."
        )
    if active is not None:
        return (
            f"Version {active.version} was deployed and is being loaded; GET /incidents says if its files are damaged."
        )
    if job is not None:
        return f"The first model is being trained (job {job.id})."
    if n >= settings.min_labelled and last and last[0].state == "failed":
        return f"The first training failed: {last[0].sentence} It is tried again when another batch comes."
    return awaited(n, schema, settings)


def awaited(n: int, schema: Schema | None, settings: Settings) -> str:
    """Say in words what the first training waits for, given n labelled rows."""
    if schema is None or n < settings.min_labelled:
        return f"{n} of {settings.min_labelled} labelled rows are here; send more to POST /ingest/batch."
    if schema.target.task == "classification" and len(schema.target.classes) < 2:
        return "All labels are equal so far; at least two classes are needed."
    return f"The first model is trained as soon as ingestion has been quiet for {settings.quiet_s:g} s."


# Reading the log ------------------------------------------------------------------------------------------------


def listing(*, limit: int, start: Place | None) -> tuple[list[dict[str, Any]], Place | None]:
    """Return logged predictions, newest request first, and where the next page begins.

    Parameters
    ----------
    limit : int
        Most predictions; a request may hold many more.
    start : (int, int) or None
        Log row and position to begin at; None for the newest.
    """
    items: list[dict[str, Any]] = []
    row, position = start or (NEWEST, 0)
    with db.reading() as connection:
        schema = features.current_schema(connection)
        while schema is not None and (requests := store.page(connection, limit=REQUESTS_A_LOOK, before=row + 1)):
            for request in requests:
                first = position if request.id == row else 0
                end = min(len(request.outputs), first + limit - len(items))
                items += _described(connection, request, schema, range(first, end))
                if end < len(request.outputs):
                    return items, (request.id, end)
                row, position = request.id - 1, 0
                if len(items) == limit:
                    return items, (row, 0) if store.page(connection, limit=1, before=row + 1) else None
    return items, None


def _described(
    connection: db.Connection, request: store.Logged, schema: Schema, positions: range
) -> list[dict[str, Any]]:
    """Return an item for some rows of a logged request, with their labels where known."""
    rows = slice(positions.start, positions.stop)
    labels = store.labels(connection, [request.id], within=positions)
    values = matrix.row_values(request.X[rows], schema)
    outputs = matrix.decode_label(request.outputs[rows], schema.target)
    known = [labels[place].label if (place := (request.id, n)) in labels else np.nan for n in positions]
    told = matrix.decode_label(np.array(known, dtype=np.float64), schema.target)
    items = []
    for position, row, output, label in zip(positions, values, outputs, told, strict=True):
        item = {
            "prediction_id": f"{request.id}-{position}",
            "request_id": request.request_id,
            "predicted_at": clock.iso(request.predicted_at),
            "model_version": request.model_version,
            "model_revision": request.model_revision,
            "route": request.route,
            "features": dict(zip(schema.names, row, strict=True)),
            "prediction": output,
            "label": label,
        }
        if request.probabilities is not None:
            item["probability"] = float(request.probabilities[position].max())
        items.append(item)
    return items


def one(prediction: int, position: int) -> dict[str, Any]:
    """Return one prediction with all labels that came for it.

    Raises
    ------
    errors.NotFound
        There is no such prediction.
    """
    with db.reading() as connection:
        request = store.logged(connection, [prediction]).get(prediction)
        history = store.label_history(connection, prediction, position)
        shadows = routed.shadows_of(connection, prediction)
        schema = features.current_schema(connection)
        if request is None or schema is None or position >= len(request.outputs):
            raise errors.NotFound(f"There is no prediction {prediction}-{position}.")
        found = _described(connection, request, schema, range(position, position + 1))[0]
    labels = matrix.decode_label(np.array([row.label for row in history], dtype=np.float64), schema.target)
    return found | {
        "labels": [
            {
                "label": label,
                "observed_at": clock.iso(row.observed_at),
                "received_at": clock.iso(row.received_at),
                "current": bool(row.current),
            }
            for label, row in zip(labels, history, strict=True)
        ],
        "shadows": [_shadow(row, position, schema) for row in shadows],
    }


def _shadow(row: Any, position: int, schema: Schema) -> dict[str, Any]:
    """Return what another version would have answered."""
    output = np.frombuffer(row.outputs)[position : position + 1]
    shown = {"model_version": row.model_version, "prediction": matrix.decode_label(output, schema.target)[0]}
    if row.probabilities is None:
        return shown
    scores = np.frombuffer(row.probabilities).reshape(row.n_rows, -1)
    return shown | {"probability": float(scores[position].max())}
