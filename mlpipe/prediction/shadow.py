"""Shadow scoring: the leader replays what was logged through other versions; no request waits for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpipe import clock, db, errors
from mlpipe.features import store as features
from mlpipe.incidents import store as incidents
from mlpipe.jobs import ledger
from mlpipe.prediction import routed, sticky
from mlpipe.prediction.champion import Champion, Model

logger = logging.getLogger("mlpipe.prediction.shadow")

STEP_REQUESTS = 1_000
STEP_ROWS = 20_000
"""Most that one step scores of a route, beside its first request: a fraction of a second of one core."""

BEHIND_REQUESTS = 20_000
"""Requests that a shadow may be behind; then it leaves out the older half, and its row counts them."""

SETTLED_S = 1.0
"""Age at which a log row is taken: what was given a lower number has been committed by then."""

FAILED = "route_failed"
"""Incident: a version that is routed beside the champion cannot be loaded or cannot answer."""


def step(champion: Champion) -> int:
    """Score what was logged since the last step in the shadow of each route; return how many rows."""
    with db.reading() as connection:
        open_ones = routed.open_routes(connection, routed.SHADOW)
    return sum(_step(route, champion) for route in open_ones)


def _step(route: routed.Route, champion: Champion) -> int:
    settled = clock.now_us() - int(SETTLED_S * clock.MICROSECONDS)
    with db.reading() as connection:
        requests = routed.unseen(connection, route, settled_us=settled, limit=STEP_REQUESTS)
        last, skipped = routed.newest_after(connection, route, BEHIND_REQUESTS)
    if skipped:
        logger.warning("the shadow of version %s leaves out %s requests to keep up", route.model_version, skipped)
        return _store(route, [], last=last, skipped=skipped)
    taken = _bounded(requests)
    if not taken:
        return 0
    try:
        rows = _scored(route, [row for row in taken if _concerns(row, route)], champion)
    except errors.StoreUnavailable:
        raise
    except Exception as fault:  # noqa: BLE001  whatever a shadow does wrong, it is stopped and people are told
        give_up(route.model_version, f"in the shadow: {fault}")
        return 0
    return _store(route, rows, last=taken[-1].id, skipped=0)


def _bounded(requests: Sequence[Any]) -> Sequence[Any]:
    """Return the first requests whose rows fit into a step, and at least one."""
    total = np.cumsum([row.n_rows for row in requests])
    return requests[: max(1, int(np.searchsorted(total, STEP_ROWS, side="right")))]


def _concerns(row: Any, route: routed.Route) -> bool:
    return (
        row.route in routed.TRAFFIC
        and row.model_version != route.model_version
        and (route.share == 1 or sticky.chosen(row.request_id, route.model_version, route.share))
    )


def _scored(route: routed.Route, requests: Sequence[Any], champion: Champion) -> list[dict[str, Any]]:
    """Return the shadow rows of some requests; those of another width than the schema has now are left out."""
    model = champion.version(route.model_version)
    with db.reading() as connection:
        schema = features.current_schema(connection)
        blocks = routed.features(connection, [row.id for row in requests])
    width = 8 * len(schema.names if schema else model.schema.names)
    fit = [row for row in requests if len(blocks.get(row.id, b"")) == row.n_rows * width]
    if not fit:
        return []
    X = np.frombuffer(b"".join(blocks[row.id] for row in fit)).reshape(-1, width // 8)
    started = time.perf_counter_ns()
    outputs, probabilities = model.answer(X)
    row_us = (time.perf_counter_ns() - started) / 1000 / len(X)
    ends = np.cumsum([row.n_rows for row in fit]).tolist()
    parts = [slice(end - row.n_rows, end) for row, end in zip(fit, ends, strict=True)]
    return [
        _shadow_row(row, model, row_us)
        | {
            "outputs": outputs[part].tobytes(),
            "probabilities": None if probabilities is None else probabilities[part].tobytes(),
        }
        for row, part in zip(fit, parts, strict=True)
    ]


def _shadow_row(row: Any, model: Model, row_us: float) -> dict[str, Any]:
    """Return what a shadow row takes from the request; its features stay with the answered row."""
    return {
        "request_id": row.request_id,
        "predicted_at": row.predicted_at,
        "model_version": model.version,
        "model_revision": model.revision,
        "route": routed.SHADOW,
        "n_rows": row.n_rows,
        "latency_us": round(row_us * row.n_rows),
        "features": b"",
        "answered": row.id,
    }


def _store(route: routed.Route, rows: list[dict[str, Any]], *, last: int, skipped: int) -> int:
    with db.transaction(durability="process") as connection:
        stored = routed.record(connection, route, rows, last=last, skipped=skipped)
    return sum(row["n_rows"] for row in rows) if stored else 0


def give_up(version: int, why: str) -> None:
    """Stop the route of a version that does not work, and tell people; the champion goes on answering."""
    sentence = f"Version {version} was taken off its route, because it fails {why}"
    with db.transaction() as connection:
        route = routed.stop(connection, version)
        if route is None:
            return
        told = {"version": version, "route": route.route, "by": route.by}
        incidents.open_or_update(connection, FAILED, sentence, told)
        ledger.record(connection, "route", sentence, model_version=version, evidence=told)
    logger.error("%s", sentence)
