from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mlpipe.registry import card
from mlpipe.schema.contract import Column

CLASSES = np.array([0.0, 1.0])
COLUMNS = (
    Column(name="x", kind="numeric"),
    Column(name="colour", kind="category", categories=("red", "blue")),
    Column(name="on", kind="boolean"),
)


def made(rng: np.random.Generator, n: int = 2000) -> tuple[card.Floats, card.Floats, card.Floats]:
    """Return rows whose probability is what the scores say, but for red ones, where labels are thrown."""
    X = np.column_stack([rng.normal(size=n), rng.integers(0, 2, n), rng.integers(0, 2, n)]).astype(float)
    X[:50, 0] = np.nan
    p = 1 / (1 + np.exp(-2 * np.nan_to_num(X[:, 0])))
    true = np.where(X[:, 1] == 0, 0.5, p)
    return X, (rng.random(n) < true).astype(float), np.column_stack([1 - p, p])


def measured(rng: np.random.Generator) -> card.Measured:
    X, y, scores = made(rng)
    return card.measure(X, y, scores, classes=CLASSES, importance=np.array([0.7, 0.2, 0.1]), columns=COLUMNS)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (8, 10), (10, 10), (350, 1000)])
def test_the_interval_of_a_share_is_wilsons(k: int, n: int) -> None:
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    found = card.wilson(k, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_area_under_the_curve_is_the_mann_whitney_statistic(rng: np.random.Generator) -> None:
    positive = rng.random(300) < 0.4
    score = (rng.normal(size=300) + positive).round(1)
    u = stats.mannwhitneyu(score[positive], score[~positive]).statistic
    assert card.auc(positive, score).value == pytest.approx(u / (positive.sum() * (~positive).sum()))


def test_intervals_hold_the_truth_as_often_as_they_say(rng: np.random.Generator) -> None:
    truth = stats.norm.cdf(1 / math.sqrt(2))
    hits = {"auc": 0, "mean": 0, "share": 0}
    for _ in range(400):
        positive = rng.random(200) < 0.5
        area = card.auc(positive, rng.normal(size=200) + positive)
        average = card.mean(rng.exponential(size=200))
        share = card.wilson(int(rng.binomial(200, 0.9)), 200)
        hits["auc"] += area.low <= truth <= area.high
        hits["mean"] += average.low <= 1 <= average.high
        hits["share"] += share.low <= 0.9 <= share.high
    assert all(0.91 <= n / 400 <= 0.985 for n in hits.values()), hits


def test_metrics_are_those_of_the_rows(rng: np.random.Generator) -> None:
    _, y, scores = made(np.random.default_rng(7))
    found = measured(np.random.default_rng(7)).metrics
    p_true = np.where(y == 1, scores[:, 1], scores[:, 0])
    assert found["accuracy"].value == pytest.approx(np.mean((scores[:, 1] > 0.5) == y))
    assert found["log_loss"].value == pytest.approx(-np.log(p_true).mean())
    assert found["brier"].value == pytest.approx(2 * ((1 - p_true) ** 2).mean())
    assert all(figure.low < figure.value < figure.high for figure in found.values())


def test_reliable_scores_are_calibrated_and_others_are_not(rng: np.random.Generator) -> None:
    p = rng.uniform(0.5, 1.0, 5000)
    scores = np.column_stack([1 - p, p])
    X, columns = np.zeros((5000, 1)), (Column(name="x", kind="numeric"),)
    results = []
    for truth in (p, np.full(5000, 0.5)):
        y = (rng.random(5000) < truth).astype(float)
        found = card.measure(X, y, scores, classes=CLASSES, importance=np.ones(1), columns=columns)
        assert sum(one.rows for one in found.calibration) == 5000
        results.append(found.calibration_error)
    good, bad = results
    assert good is not None
    assert bad is not None
    assert good < 0.03
    assert bad == pytest.approx(0.25, abs=0.03)


def test_the_weakest_segment_comes_first(rng: np.random.Generator) -> None:
    first = measured(rng).segments[0]
    assert (first.column, first.part) in {("colour", "red"), ("x", "missing")}
    assert first.figure.value < 0.65
    assert all(one.rows >= card.MIN_SEGMENT for one in measured(rng).segments)


def test_ranges_say_what_was_seen(rng: np.random.Generator) -> None:
    x, colour, on = measured(rng).ranges
    assert x.low is not None
    assert x.high is not None
    assert x.low < -2 < 2 < x.high
    assert x.missing_share == pytest.approx(50 / 2000)
    assert (colour.low, colour.categories) == (None, 2)
    assert on.low is None


def test_importances_begin_with_the_greatest(rng: np.random.Generator) -> None:
    assert [name for name, _ in measured(rng).importances] == ["x", "colour", "on"]


def test_values_have_errors_in_their_own_unit(rng: np.random.Generator) -> None:
    X = rng.normal(size=(500, 3))
    y = X[:, 0]
    noise = rng.normal(size=500)
    found = card.measure(X, y, y + noise, classes=np.empty(0), importance=np.ones(3), columns=COLUMNS)
    assert found.metrics["mae"].value == pytest.approx(np.abs(noise).mean())
    assert found.metrics["rmse"].value == pytest.approx(math.sqrt((noise**2).mean()))
    assert (found.calibration, found.calibration_error, found.label_shares) == ((), None, ())
    values = [one.figure.value for one in found.segments]
    assert values == sorted(values, reverse=True)


def test_a_constant_and_an_empty_column_are_no_fault(rng: np.random.Generator) -> None:
    X = np.column_stack([np.full(100, 3.0), np.full(100, np.nan), np.zeros(100)])
    y = rng.integers(0, 2, 100).astype(float)
    scores = np.tile([0.4, 0.6], (100, 1))
    found = card.measure(X, y, scores, classes=CLASSES, importance=np.ones(3), columns=COLUMNS)
    assert ("x", "3") in {(one.column, one.part) for one in found.segments}
    assert found.ranges[1].missing_share == 1
