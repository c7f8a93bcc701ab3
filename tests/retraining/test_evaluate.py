from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from mlpipe.retraining import evaluate


def test_classifier_metrics_equal_scikit_learn(rng: np.random.Generator) -> None:
    y = rng.integers(0, 2, 300).astype(float)
    p = np.clip(rng.normal(0.3 + 0.4 * y, 0.2).round(2), 0.01, 0.99)
    scores = np.column_stack((1 - p, p))
    found = evaluate.metrics(y, scores, np.array([0.0, 1.0]))
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(y, p > 0.5))
    assert found["log_loss"] == pytest.approx(reference.log_loss(y, scores))
    assert found["auc"] == pytest.approx(reference.roc_auc_score(y, p))
    assert found["brier"] == pytest.approx(2 * reference.brier_score_loss(y, p))


def test_regressor_metrics_equal_scikit_learn(rng: np.random.Generator) -> None:
    y = rng.normal(size=100)
    values = y + rng.normal(size=100)
    found = evaluate.metrics(y, values, np.empty(0))
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(y, values))
    assert found["rmse"] == pytest.approx(reference.root_mean_squared_error(y, values))
    assert found["r2"] == pytest.approx(reference.r2_score(y, values))


def test_a_class_that_the_model_does_not_know_costs_the_whole_loss() -> None:
    losses = evaluate.losses(np.array([2.0]), np.array([[1.0, 0.0]]), np.array([0.0, 1.0]))
    assert losses.tolist() == [2.0]


def test_constant_labels_have_no_auc_and_no_r2() -> None:
    scores = np.full((5, 2), 0.5)
    assert "auc" not in evaluate.metrics(np.ones(5), scores, np.array([0.0, 1.0]))
    assert evaluate.metrics(np.ones(5), np.ones(5), np.empty(0))["r2"] is None
