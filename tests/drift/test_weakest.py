from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlpipe.drift import bands, weakest

ROWS = 1000


def segments_of(n_segments: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(n_segments, size=ROWS)


def found(errors: np.ndarray, segment: np.ndarray, *, share: bool) -> tuple[str, weakest.Quality] | None:
    measured = [(str(n), weakest.measure(errors, segment == n, share=share)) for n in np.unique(segment)]
    return weakest.find([(name, one) for name, one in measured if one is not None], share=share)


def test_a_band_of_a_share_is_wilsons():
    for right, n in [(0, 30), (18, 30), (30, 30), (700, 1000)]:
        interval = stats.binomtest(right, n).proportion_ci(method="wilson")
        assert bands.share_band(right / n, n) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_a_band_of_a_mean_is_the_normal_one(rng):
    errors = rng.exponential(size=200)
    one = weakest.overall(errors, share=False)
    assert one is not None
    half = stats.norm.ppf(0.975) * errors.std(ddof=1) / np.sqrt(200)
    tau = ((one.high - one.low) / 2 / half) ** 2
    assert one.value == errors.mean()
    assert 1 <= tau < 1.5


def test_the_chance_of_a_mean_is_welchs(rng):
    own, rest = rng.exponential(1.2, size=50), rng.exponential(size=400)
    p = weakest._mean_chance(own, rest, 1.0)
    assert p == pytest.approx(stats.ttest_ind(own, rest, equal_var=False, alternative="greater").pvalue, rel=1e-10)


def test_the_chance_of_a_share_is_the_binomial_tail(rng):
    own, rest = (rng.random(60) < 0.2).astype(float), (rng.random(300) < 0.1).astype(float)
    p = weakest._share_chance(own, rest, 1.0)
    wrong = int(own.sum()), int(own.sum() + rest.sum())
    assert p == pytest.approx(stats.binom.sf(wrong[0] - 1, wrong[1], 60 / 360), rel=1e-10)


def test_a_weak_segment_is_found(rng):
    segment = segments_of(8, rng)
    wrong = (rng.random(ROWS) < np.where(segment == 3, 0.4, 0.2)).astype(float)
    weak = found(wrong, segment, share=True)
    assert weak is not None
    assert weak[0] == "3"
    assert weak[1].value == pytest.approx(1 - wrong[segment == 3].mean())


def test_a_segment_with_larger_errors_is_found(rng):
    segment = segments_of(5, rng)
    errors = np.abs(rng.normal(scale=np.where(segment == 1, 2.0, 1.0)))
    weak = found(errors, segment, share=False)
    assert weak is not None
    assert weak[0] == "1"


@pytest.mark.parametrize("share", [True, False])
def test_equal_segments_are_seldom_called_weak(share):
    rng = np.random.default_rng(1)
    named = 0
    for _ in range(400):
        errors = (rng.random(ROWS) < 0.05).astype(float) if share else rng.exponential(size=ROWS)
        named += found(errors, segments_of(10, rng), share=share) is not None
    assert named / 400 <= 2 * weakest.ALPHA


def test_errors_in_bursts_make_no_segment_weak():
    rng = np.random.default_rng(2)
    named = 0
    for _ in range(200):
        bursts = np.repeat(rng.random(ROWS // 20) < 0.2, 20).astype(float)
        named += found(bursts, np.repeat(rng.integers(5, size=10), ROWS // 10), share=True) is not None
    assert named / 200 <= 0.05


@pytest.mark.parametrize("rows", [weakest.MIN_LABELLED - 1, ROWS - weakest.MIN_LABELLED + 1])
def test_a_segment_or_a_rest_of_too_few_rows_is_not_measured(rows):
    member = np.arange(ROWS) < rows
    assert weakest.measure(np.zeros(ROWS), member, share=True) is None


def test_constant_errors_are_measured():
    member = np.arange(ROWS) < 100
    for errors, share in [(np.zeros(ROWS), True), (np.ones(ROWS), True), (np.ones(ROWS), False)]:
        one = weakest.measure(errors, member, share=share)
        assert one is not None
        assert one.p > 0.4
    better = weakest.measure(1.0 - member, member, share=False)
    worse = weakest.measure(1.0 * member, member, share=False)
    assert better is not None
    assert worse is not None
    assert (better.p, worse.p) == (1.0, 0.0)


def test_too_few_labels_are_said():
    assert weakest.overall(np.zeros(29), share=True) is None
    assert weakest.sentence(None, None, share=True) == "Fewer than 30 labelled rows: no segment can be called weak."


def test_a_regression_speaks_of_its_error():
    whole, worst = weakest.Quality(900, 1.0, 0.9, 1.1), weakest.Quality(118, 2.345, 2.0, 2.7, p=0)
    said = weakest.sentence(("carrier = HA", worst), whole, share=False)
    assert said == "carrier = HA is the weakest: mean absolute error 2.35 [2, 2.7] of 118 rows, overall 1."
