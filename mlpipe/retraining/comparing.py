"""Two versions beside each other: on the same rows with a shadow, by groups of callers with a canary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpipe import db
from mlpipe.prediction import routed
from mlpipe.registry import store as versions
from mlpipe.retraining import evaluate

Floats = evaluate.Floats

Z_95 = 1.96
"""Normal quantile of a two-sided interval of 95 %."""

MOST_ROWS = 10_000
"""Newest labelled rows of a comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Labelled rows that two versions have scored, in the order of the predictions.

    Attributes
    ----------
    answered, shadow : float64 (n,)
        Loss of each row: Brier score, or absolute error.
    """

    answered: Floats
    shadow: Floats


def classes(connection: db.Connection, version: int) -> Floats:
    """Return the classes of a version in the order of its probabilities; empty for regression."""
    row = versions.get(connection, version)
    return np.asarray(row.parameters["classes"] if row else [], dtype=np.float64)


def paired(connection: db.Connection, version: int, shadow: int, *, after: int, limit: int) -> Pairs:
    """Return the losses of the first labelled rows that a version has answered and another scored in the shadow."""
    y, answered, other = routed.labelled_pairs(connection, version, shadow, after=after, limit=limit)
    if not len(y):
        return Pairs(answered=np.empty(0), shadow=np.empty(0))
    return Pairs(
        answered=evaluate.losses(y, answered.scores, classes(connection, version)),
        shadow=evaluate.losses(y, other.scores, classes(connection, shadow)),
    )


def of_route(connection: db.Connection, route: routed.Route, champion: int) -> dict[str, Any]:
    """Return what is known of a routed version beside the champion: figures and a sentence."""
    name = "Brier score" if len(classes(connection, champion)) else "mean absolute error"
    compare = _shadow if route.route == routed.SHADOW else _canary
    return {"version": route.model_version, "champion": champion, "route": route.route, "loss": name} | compare(
        connection, route, champion
    )


def _shadow(connection: db.Connection, route: routed.Route, champion: int) -> dict[str, Any]:
    shadow, after = route.model_version, route.first_prediction
    n, *_ = routed.pairs(connection, champion, shadow, after=after, limit=1)
    pairs = paired(connection, champion, shadow, after=after, limit=MOST_ROWS)
    difference = pairs.shadow - pairs.answered
    reach = Z_95 * float(difference.std(ddof=1)) / math.sqrt(len(difference)) if len(difference) > 1 else None
    return _told(difference.mean() if len(difference) else None, reach) | {
        "basis": "the same rows",
        "rows": n,
        "labelled": len(difference),
        "champion_loss": _mean(pairs.answered),
        "version_loss": _mean(pairs.shadow),
    }


def _canary(connection: db.Connection, route: routed.Route, champion: int) -> dict[str, Any]:
    after = route.first_prediction
    parts = [
        _group(connection, version, name, after)
        for version, name in ((champion, "champion"), (route.model_version, routed.CANARY))
    ]
    (stays, n_stays), (tried, n_tried) = parts
    both = len(stays) > 1 and len(tried) > 1
    # Welch: the groups differ in size, and may in spread
    reach = Z_95 * math.sqrt(stays.var(ddof=1) / len(stays) + tried.var(ddof=1) / len(tried)) if both else None
    return _told(tried.mean() - stays.mean() if both else None, reach) | {
        "basis": "groups of callers",
        "rows": n_tried,
        "champion_rows": n_stays,
        "labelled": len(tried),
        "champion_labelled": len(stays),
        "champion_loss": _mean(stays),
        "version_loss": _mean(tried),
    }


def _group(connection: db.Connection, version: int, name: str, after: int) -> tuple[Floats, int]:
    y, said, n = routed.labelled_group(connection, version, name, after=after, limit=MOST_ROWS)
    losses = evaluate.losses(y, said.scores, classes(connection, version)) if len(y) else np.empty(0)
    return losses, n


def _mean(losses: Floats) -> float | None:
    return float(losses.mean()) if len(losses) else None


def _told(difference: float | None, reach: float | None) -> dict[str, Any]:
    """Return a difference of losses, positive where the version is worse, with its 95 % interval."""
    if difference is None or reach is None:
        return {"difference": None, "low": None, "high": None, "sentence": "Too few labels to compare."}
    low, high = float(difference - reach), float(difference + reach)
    words = "worse" if low > 0 else "better" if high < 0 else "not told apart from the champion"
    sentence = f"The version is {words}: loss {difference:+.4f}, 95 % from {low:+.4f} to {high:+.4f}."
    return {"difference": float(difference), "low": low, "high": high, "sentence": sentence}
