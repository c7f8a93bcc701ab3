from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from mlpipe.retraining import learnable


def doubt(seed: int, *, wrong: float = 0.0, turned: bool = False) -> learnable.Labels:
    """Judge 500 new rows of a rule that is right on nine of ten rows."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2000, 4))
    y = (X[:, 0] + X[:, 1] + rng.normal(0, 0.4, 2000) > 0) * 1.0
    model = RandomForestClassifier(20, max_depth=8, random_state=0).fit(X[:1000], y[:1000])
    expected = learnable.errors(y[1000:1500], model.predict(X[1000:1500]), True)
    X, y = X[1500:], 1 - y[1500:] if turned else y[1500:]
    y = np.where(rng.random(500) < wrong, 1 - y, y)
    kept = learnable.errors(y, model.predict(X), True)
    probe = learnable.probe_errors(X, y, classification=True, seed=0)
    return learnable.examine(expected, kept, learners=((kept, probe),), classification=True)


@pytest.mark.parametrize("seed", range(5))
def test_flipped_labels_are_doubted_and_a_turned_concept_is_not(seed: int) -> None:
    assert doubt(seed, wrong=0.4).doubtful
    assert not doubt(seed, turned=True).doubtful
    assert not doubt(seed).doubtful


def test_a_doubt_says_what_is_wrong() -> None:
    found = doubt(0, wrong=0.4)
    assert found.found > found.expected + 0.2
    assert "The newest 500 labels look wrong" in found.sentence


def test_nothing_is_doubted_where_nothing_older_is_known() -> None:
    bad = np.ones(200)
    assert not learnable.examine(np.zeros(50), bad, learners=((bad, bad),), classification=True).doubtful


def test_errors_of_values_are_doubted_too(rng: np.random.Generator) -> None:
    old, bad = np.abs(rng.normal(size=400)), np.abs(rng.normal(0, 3, 400))
    assert learnable.examine(old, bad, learners=((bad, bad),), classification=False).doubtful
    assert not learnable.examine(old, bad, learners=((bad, old),), classification=False).doubtful


def test_runs_of_errors_need_a_larger_rise_than_single_ones(rng: np.random.Generator) -> None:
    wrong, new = (rng.random(2000) < 0.15) * 1.0, (np.arange(250) % 10 < 3) * 1.0
    runs = np.repeat(wrong[:40], 50)  # as many rows, worth forty
    doubts = [
        learnable.examine(old, new, learners=((new, new),), classification=True).doubtful for old in (wrong, runs)
    ]
    assert doubts == [True, False]
