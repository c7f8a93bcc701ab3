"""A small stream whose rule turns over, and a small forest."""

from __future__ import annotations

import numpy as np
import pytest

from mlpipe.rolling import learning
from mlpipe.rolling.parameters import Parameters


def rows(n, *, seed=0, turned=False):
    """Return rows with missing values and a code, and labels that two of them decide."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    X[:, 3] = rng.integers(0, 4, n)
    y = ((X[:, 0] + X[:, 1] > 0) != turned) * 1.0
    X[rng.random(X.shape) < 0.03] = np.nan
    return X, y


def small(**changes):
    return Parameters(**{"n_groups": 6, "group_size": 3, "max_depth": 6, "windows": (300, 900), **changes})


@pytest.fixture
def started():
    X, y = rows(600)
    return learning.start(X, y, classes=np.array([0.0, 1.0]), parameters=small())


@pytest.fixture
def learned(started):
    return learning.learn(started, *rows(850, seed=1))


@pytest.fixture
def regression():
    X, _ = rows(600)
    y = np.nan_to_num(X[:, 0]) * 10 + 50
    state = learning.start(X, y, classes=np.empty(0), parameters=small(task="regression"))
    return learning.learn(state, X[:450] + 0.1, y[:450] + 1)
