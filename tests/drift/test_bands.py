from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlpipe.drift import bands


@pytest.mark.parametrize(("right", "n"), [(90, 100), (3, 7), (30, 30), (0, 30), (1, 1), (1, 4)])
def test_the_band_of_a_share_is_wilsons(right, n):
    known = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert bands.share_band(right / n, n) == pytest.approx((known.low, known.high), abs=1e-12)


def test_the_ends_of_a_band_are_the_shares_that_are_two_standard_errors_away():
    z = stats.norm.isf(0.025)
    for end in bands.share_band(0.87, 130):
        assert abs(0.87 - end) == pytest.approx(z * np.sqrt(end * (1 - end) / 130), abs=1e-12)


def test_rows_that_are_alike_widen_the_band_as_fewer_rows_do():
    assert bands.share_band(0.8, 400, tau=4) == pytest.approx(bands.share_band(0.8, 100))
    values = np.tile([1.0, 2.0, 3.0], 50)
    narrow, wide = bands.mean_band(values), bands.mean_band(values, tau=9)
    assert wide[1] - wide[0] == pytest.approx(3 * (narrow[1] - narrow[0]))


def test_the_band_of_a_mean_is_the_normal_one(rng):
    values = rng.exponential(size=200)
    known = stats.norm.interval(0.95, values.mean(), stats.sem(values))
    assert bands.mean_band(values) == pytest.approx(known, abs=1e-12)


def test_without_rows_there_is_no_band():
    assert bands.share_band(0.0, 0) == (None, None)
    assert bands.mean_band(np.ones(1)) == (None, None)
    assert bands.mean_band(np.ones(2)) == (1.0, 1.0)


def test_the_error_time_of_independent_rows_is_about_one(rng):
    times = [bands.error_time((rng.random(2000) < 0.1).astype(float)) for _ in range(50)]
    assert min(times) >= 1
    assert np.median(times) < 1.4


def test_slow_waves_are_seen_by_the_batch_means(rng):
    wave = (np.arange(5000) // 250 % 2) * 0.2 + 0.05
    assert bands.error_time((rng.random(5000) < wave).astype(float)) > 6


@pytest.mark.parametrize("errors", [np.zeros(0), np.ones(1), np.ones(3000)])
def test_what_never_varies_has_no_memory(errors):
    assert bands.error_time(errors) == 1


def test_bands_hold_the_truth_where_rows_are_alike(rng):
    """Errors in stretches of ten: at tau = 10 about 95 of 100 bands hold the true share, at tau = 1 far fewer."""
    held = {1.0: 0, 10.0: 0}
    for _ in range(300):
        accuracy = np.repeat(rng.random(100) < 0.8, 10).mean()
        for tau in held:
            low, high = bands.share_band(accuracy, 1000, tau=tau)
            held[tau] += low <= 0.8 <= high
    assert 0.92 <= held[10.0] / 300 <= 0.98
    assert held[1.0] / 300 < 0.6
