from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mlpipe.drift import reference as references
from mlpipe.drift.detectors.comparison import Comparison
from mlpipe.schema import contract

Pair = Callable[..., Comparison]


def prepare(rows: np.ndarray, kind: contract.Kind = "numeric", **settings: object) -> references.Reference:
    columns = [contract.Column(name=f"f{i}", kind=kind) for i in range(rows.shape[1])]
    given = {"predictions": None, "prediction_kind": "numeric"} | settings
    return references.prepare(rows, columns, **given)  # type: ignore[arg-type]


def compare(reference: np.ndarray, window: np.ndarray, kind: contract.Kind = "numeric", tau: float = 1.0) -> Comparison:
    """Set two samples, (m,) and (n,) or (m, c) and (n, c), against each other."""
    rows = reference.reshape(len(reference), -1).astype(float)
    newest = window.reshape(len(window), -1).astype(float)
    kept = prepare(rows, kind, ordered=False)
    placed = references.place(kept, references.stacked(newest, None, n_features=rows.shape[1]))
    every = np.arange(rows.shape[1])
    if np.array_equal(kept.pairs, every):  # numbers: detectors of columns do not mind the bonds
        return references.compare_pairs(kept, placed, np.full(len(every), tau), n_window=len(newest))
    return references.compare(kept, placed, every, np.full(len(every), tau), n_window=len(newest))


@pytest.fixture
def pair() -> Pair:
    return compare


@pytest.fixture
def prepared() -> Callable[..., references.Reference]:
    return prepare


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)
