from __future__ import annotations

import numpy as np

from mlpipe.retraining import guards

CLASSES = np.array([0.0, 1.0])


def test_a_calibrated_model_has_a_small_error(rng: np.random.Generator) -> None:
    p = rng.uniform(size=5000)
    y = (rng.random(5000) < p) * 1.0
    assert guards.calibration_error(y, np.column_stack([1 - p, p]), CLASSES) < 0.03


def test_an_overconfident_challenger_is_refused(rng: np.random.Generator) -> None:
    p = rng.uniform(0.2, 0.8, 2000)
    y = (rng.random(2000) < p) * 1.0
    sure = (p > 0.5) * 0.98 + 0.01
    kept, tried = ((np.column_stack([1 - q, q]), CLASSES) for q in (p, sure))
    assert "expected calibration error" in (guards.calibration(y, kept, tried) or "")
    assert guards.calibration(y, tried, kept) is None


def test_a_small_segment_says_nothing() -> None:
    column = np.repeat([0.0, 1.0], [460, 40])
    assert guards.weakest_segment(np.full(500, 0.2), 0.2 + 0.5 * column, column, name="shop") is None


def test_missing_values_are_a_segment_of_their_own() -> None:
    column = np.repeat([0.0, np.nan], 100)
    sentence = guards.weakest_segment(np.full(200, 0.2), np.repeat([0.2, 0.5], 100), column, name="shop")
    assert sentence is not None
    assert sentence.startswith("Where shop is nan it is worse: loss 0.5 against 0.2 on 100 rows")


def test_a_refit_that_forgets_a_class_is_refused() -> None:
    y = np.repeat([0.0, 1.0], [70, 30])
    sentence = guards.refit_shares(y, np.tile([1.0, 0.0], (100, 1)), CLASSES)
    assert sentence is not None
    assert "where 70 % of the labels are so" in sentence or "where 30 % of the labels are so" in sentence
