from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from mlpipe.drift import drop, estimate

TWO = np.array([0.0, 1.0])
RULE = drop.Rule("classification")


def pooled_by_hand(y, weights):
    """Pool adjacent violators, the plain way."""
    blocks = []
    for value, weight in zip(y, weights, strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (a, w, k), (b, v, m) = blocks[-2], blocks.pop()
            blocks[-1] = [(a * w + b * v) / (w + v), w + v, k + m]
    return np.repeat([block[0] for block in blocks], [block[2] for block in blocks])


@pytest.mark.parametrize("digits", [1, 2, 15])
def test_the_curve_is_that_of_scikit_learn_and_of_pooling_by_hand(digits, rng):
    x = rng.random(500).round(digits)
    y = (rng.random(500) < x**2).astype(float)
    curve = estimate.isotonic(x, y)
    asked = np.r_[np.linspace(-0.5, 1.5, 301), x]
    known = IsotonicRegression(out_of_bounds="clip").fit(x, y).predict(asked)
    assert np.allclose(curve(asked), known, atol=1e-12)
    points, counts = np.unique(x, return_counts=True)
    means = np.array([y[x == point].mean() for point in points])
    assert np.allclose(curve.y, pooled_by_hand(means, counts), atol=1e-12)


def overconfident(rng, n):
    """Probabilities that are pushed away from one half, and what turned out."""
    p = rng.beta(2, 2, size=n)
    y = (rng.random(n) < p).astype(float)
    shown = p**3 / (p**3 + (1 - p) ** 3)
    return np.column_stack([1 - shown, shown]), y


def test_a_calibration_tells_the_accuracy_of_an_overconfident_model(rng):
    scores, y = overconfident(rng, 5000)
    new, truth = overconfident(rng, 5000)
    answers = TWO[new.argmax(axis=1)]
    expected = estimate.calibrate(scores, y, TWO).expect(answers, new)
    assert expected.mean() == pytest.approx((answers == truth).mean(), abs=0.015)
    assert new.max(axis=1).mean() - (answers == truth).mean() > 0.08


def test_it_is_the_answer_that_was_given_which_counts(rng):
    """A class whose probability is calibrated to under a half is right that often, not as often as the other."""
    scores = np.column_stack([np.full(1000, 0.4), np.full(1000, 0.6)])
    y = (np.arange(1000) < 300).astype(float)
    expected = estimate.calibrate(scores, y, TWO).expect(np.ones(1000), scores)
    assert expected == pytest.approx(0.3)


def test_more_than_two_classes_are_calibrated_by_the_largest_probability(rng):
    scores = rng.dirichlet([1, 1, 1], size=8000)
    sharp = scores**2 / (scores**2).sum(axis=1, keepdims=True)
    y = np.array([rng.choice(3, p=row) for row in scores]).astype(float)
    classes = np.arange(3.0)
    fitted = estimate.calibrate(sharp[:4000], y[:4000], classes)
    right = classes[sharp[4000:].argmax(axis=1)] == y[4000:]
    expected = fitted.expect(classes[sharp[4000:].argmax(axis=1)], sharp[4000:])
    assert expected.mean() == pytest.approx(right.mean(), abs=0.03)
    assert np.corrcoef(expected, right)[0, 1] > 0.25


def uneven(rng, n):
    """Errors that grow with a feature which says nothing about the value, and with the value itself."""
    X = rng.uniform(size=(n, 3))
    X[rng.random(n) < 0.1, 2] = np.nan
    value = 10 * X[:, 1]
    y = value + rng.normal(size=n) * (0.5 + 4 * (X[:, 0] > 0.7) + 0.3 * value)
    return X, value, y


def test_an_error_model_follows_errors_that_depend_on_features_and_value(rng):
    model = estimate.model_errors(*uneven(rng, 8000))
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):
        for column in (0, 1):
            X, value, y = uneven(rng, 20_000)
            rows = (X[:, column] >= low) & (X[:, column] < high)
            expected = model.expect(value[rows], X[rows]).mean()
            assert expected == pytest.approx(np.abs(y - value)[rows].mean(), rel=0.08)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_few_rows_make_a_plain_model(n, rng):
    X, value, y = uneven(rng, n)
    assert estimate.model_errors(X, value, y).expect(value, X) == pytest.approx(np.abs(y - value).mean())
    scores, label = overconfident(rng, n)
    assert np.isfinite(estimate.calibrate(scores, label, TWO).expect(label, scores)).all()


def reference(n=2000):
    return drop.Baseline("reference", 0.2, 0.16, n, 1.0)


def test_a_good_estimate_is_trusted_and_a_wrong_one_is_not(rng):
    chance = rng.beta(2, 8, size=1000)
    wrong = (rng.random(1000) < chance).astype(float)
    assert estimate.check(chance, wrong, reference(), RULE).trustworthy is True
    worse = (rng.random(1000) < chance + 0.1).astype(float)
    assert estimate.check(chance, worse, reference(), RULE).trustworthy is False
    better = (rng.random(1000) < chance / 3).astype(float)
    assert estimate.check(chance, better, reference(), RULE).trustworthy is False


def test_good_estimates_are_seldom_distrusted():
    doubted = 0
    for rng in map(np.random.default_rng, range(300)):
        chance = rng.beta(2, 8, size=300)
        found = estimate.check(chance, (rng.random(300) < chance).astype(float), reference(), RULE)
        doubted += found.trustworthy is False
    assert doubted <= 3


def test_too_few_labels_say_nothing():
    few = estimate.check(np.full(99, 0.1), np.ones(99), reference(), RULE)
    assert (few.rows, few.trustworthy, few.z) == (99, None, None)
    none = estimate.check(np.zeros(0), np.zeros(0), reference(), RULE)
    assert (none.expected, none.actual) == (None, None)
    assert estimate.sentence(few, "classification").startswith("Not checked yet: 99 of the 100")


def test_an_estimate_that_is_exactly_right_is_trusted():
    assert estimate.check(np.zeros(200), np.zeros(200), reference(), RULE).trustworthy is True


def test_a_sentence_says_why_there_is_no_estimate():
    assert estimate.sentence(None, "regression", why="nothing is known.") == "No estimate: nothing is known."
    trust = estimate.Trust(500, 1.0, 1.25, 1.0, trustworthy=True)
    assert estimate.sentence(trust, "regression").startswith("Trustworthy: an error of 1 was expected of")
