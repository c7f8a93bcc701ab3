"""A check split by the declared columns: the reference's rows when it is prepared, labels when it is judged."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlpipe import db
from mlpipe.drift import segments
from mlpipe.drift.report import Rule, Verdict
from mlpipe.prediction import store as predictions
from mlpipe.schema.contract import Schema
from mlpipe.settings import Settings

Floats = NDArray[np.float64]


def prepare(
    X: Floats, outputs: Floats, kind: Literal["numeric", "category"], *, schema: Schema, settings: Settings
) -> segments.Splits | None:
    """Split a version's reference; None where no column is declared."""
    if not settings.segment_columns:
        return None
    return segments.prepare(
        X,
        schema.columns,
        settings.segment_columns,
        predictions=outputs,
        prediction_kind=kind,
        n_bins=settings.n_bins,
    )


def split(
    splits: segments.Splits | None,
    window: predictions.Window,
    outputs: Floats,
    *,
    version: int,
    whole: Verdict,
    rule: Rule,
    importance: Floats,
) -> dict[str, Any] | None:
    """Split a window, with the newest labels of the version; None where no column is declared."""
    if splits is None:
        return None
    with db.reading() as connection:
        rows = predictions.newest_labelled(connection, version, segments.MAX_LABELLED)
    labelled = None if rows is None else _errors(rows, share=window.probabilities is not None)
    return segments.split(splits, window.X, outputs, whole=whole, rule=rule, importance=importance, labelled=labelled)


def _errors(rows: predictions.Labelled, *, share: bool) -> segments.Labelled:
    errors = rows.outputs != rows.labels if share else np.abs(rows.outputs - rows.labels)
    return segments.Labelled(rows.X, errors.astype(np.float64), share)
