"""A check split by the declared columns: the reference's rows when it is prepared, labels when it is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe import db
from mlpipe.drift import hours, newest, segments, stored
from mlpipe.drift.report import Rule, Verdict
from mlpipe.prediction import labelled as log
from mlpipe.prediction import store as predictions
from mlpipe.schema.contract import Schema
from mlpipe.settings import Settings

Floats = NDArray[np.float64]

MOST_ROWS = 40_000
"""Rows beyond one window that segments look at: four ordinary windows and more, but a bound for large ones."""


def prepare(
    rows: Mapping[str, NDArray[Any]], classes: Sequence[float], schema: Schema, settings: Settings
) -> segments.Splits | None:
    """Split a version's reference, read from its folder; None where no column is declared."""
    if not settings.segment_columns:
        return None
    outputs, kind = stored.answers(rows, classes)
    return segments.prepare(
        rows["X"],
        schema.columns,
        settings.segment_columns,
        predictions=outputs,
        prediction_kind=kind,
        n_bins=settings.n_bins,
        n_window=settings.window_size,
    )


def split(
    splits: segments.Splits | None, *, version: int, upto: int, whole: Verdict, rule: Rule, importance: Floats
) -> dict[str, Any] | None:
    """Split the newest rows of a version, and its newest labels; None where no column is declared.

    Segments look at more rows than the whole does: one of ten values has a tenth of them.
    """
    if splits is None:
        return None
    with db.reading() as connection:
        n = min(newest.MAX_GROWTH * rule.window_size, max(rule.window_size, MOST_ROWS))
        window = predictions.window(connection, version, n, upto=upto)
        rows = log.labelled(connection, version, newest=True, limit=segments.MAX_LABELLED)
        X = log.blocks(connection, rows, "features") if rows else None
    if window is None:
        return None
    return segments.split(
        splits,
        window.X,
        stored.summarise(window.outputs, window.probabilities),
        whole=whole,
        rule=rule,
        importance=importance,
        labelled=None if X is None else _labelled(X, rows, share=window.probabilities is not None),
    )


def _labelled(X: Floats, rows: Sequence[Any], *, share: bool) -> segments.Labelled:
    return segments.Labelled(X, hours.errors(hours.labels_of(rows), "classification" if share else "regression"), share)
