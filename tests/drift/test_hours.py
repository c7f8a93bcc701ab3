from __future__ import annotations

import numpy as np
import pytest

from mlpipe.drift import bands, hours

HOUR = hours.HOUR_US


def asked(*rows):
    """Requests as (hour, version, rows)."""
    columns = np.array([(i, int(at * HOUR), version, n) for i, (at, version, n) in enumerate(rows)], dtype=np.int64)
    return hours.Requests(*columns.reshape(-1, 4).T)


def known(at, label, output):
    times = (np.asarray(at, dtype=float) * HOUR).astype(np.int64)
    return hours.Labels(times, np.asarray(label, dtype=float), np.asarray(output, dtype=float))


def test_each_hour_counts_its_own_predictions_and_labels():
    requests = asked((5.1, 1, 10), (5.9, 2, 30), (7.0, 2, 8))
    labels = known([5.1, 5.1, 5.9, 5.95], label=[1, 0, 1, 1], output=[1, 1, 1, 1])
    newest, oldest = hours.by_hour(requests, labels, "classification", {})
    assert (newest.at_us, newest.predicted, newest.labelled, newest.coverage) == (7 * HOUR, 8, 0, 0.0)
    assert set(newest.figures.values()) == {None}
    assert (oldest.at_us, oldest.model_versions, oldest.predicted, oldest.labelled) == (5 * HOUR, (1, 2), 40, 4)
    assert (oldest.coverage, oldest.figures["accuracy"]) == (0.1, 0.75)


def test_the_band_of_an_hour_is_wilsons_on_effective_rows(rng):
    labels = known(np.full(400, 3.5), label=rng.random(400) < 0.9, output=np.ones(400))
    for taus, tau in (({1: 1.0, 2: 5.0, 3: 9.0}, 5.0), ({}, bands.error_time((labels.label != 1).astype(float)))):
        (hour,) = hours.by_hour(asked((3.5, 1, 300), (3.5, 2, 100)), labels, "classification", taus)
        known_band = bands.share_band(hour.figures["accuracy"], 400, tau=tau)
        assert (hour.figures["low"], hour.figures["high"]) == known_band


def test_an_hour_does_not_depend_on_those_beside_it(rng):
    at, label = np.repeat(np.arange(5.0), 50), rng.random(250) < 0.8
    requests = asked(*((hour, 1, 50) for hour in range(5)))
    whole = hours.by_hour(requests, known(at, label, np.ones(250)), "classification", {})
    alone = hours.by_hour(asked((4, 1, 50)), known(at[200:], label[200:], np.ones(50)), "classification", {})
    assert whole[:1] == alone


@pytest.mark.parametrize("right", [0, 1])
def test_all_right_and_all_wrong_keep_a_band_within_0_and_1(right):
    labels = known(np.zeros(20), np.full(20, right), np.ones(20))
    (hour,) = hours.by_hour(asked((0, 1, 20)), labels, "classification", {})
    low, high = hour.figures["low"], hour.figures["high"]
    assert hour.figures["accuracy"] == right
    assert 0 <= low <= right <= high <= 1
    assert high - low > 0.1


def test_one_label_has_a_wide_band():
    (hour,) = hours.by_hour(asked((0, 1, 20)), known([0], [1], [1]), "classification", {})
    assert (hour.labelled, hour.coverage, hour.figures["accuracy"], hour.figures["no_change"]) == (1, 0.05, 1.0, None)
    assert hour.figures["low"] < 0.3
    (hour,) = hours.by_hour(asked((0, 1, 20)), known([0], [1], [3]), "regression", {})
    assert (hour.figures["mae"], hour.figures["low"], hour.figures["high"]) == (2.0, None, None)


def test_a_class_that_the_version_does_not_know_is_an_error():
    (hour,) = hours.by_hour(asked((0, 1, 2)), known([0, 0], [7, 1], [1, 1]), "classification", {})
    assert hour.figures["accuracy"] == 0.5


def test_regression_has_the_distribution_of_its_errors(rng):
    label, output = rng.normal(size=300), rng.normal(0.5, 1, size=300)
    (hour,) = hours.by_hour(asked((0, 1, 300)), known(np.zeros(300), label, output), "regression", {})
    off = output - label
    figures = hour.figures
    assert figures["mae"] == pytest.approx(np.abs(off).mean())
    assert figures["mean_error"] == pytest.approx(off.mean())
    assert figures["rmse"] ** 2 == pytest.approx((off**2).mean())
    assert figures["quantiles"]["0.9"] == pytest.approx(np.quantile(np.abs(off), 0.9))
    assert figures["low"] < figures["mae"] < figures["high"]


def test_repeating_the_label_before_is_the_measure_beside_it():
    labels = known([0, 0, 0, 1, 1], label=[1, 1, 0, 0, 0], output=[1, 1, 1, 1, 1])
    newest, oldest = hours.by_hour(asked((0, 1, 3), (1, 1, 2)), labels, "classification", {})
    assert (oldest.figures["no_change"], newest.figures["no_change"]) == (0.5, 1.0)
    labels = known([0, 0, 1], label=[1.0, 4.0, 6.0], output=[0, 0, 0])
    newest, oldest = hours.by_hour(asked((0, 1, 2), (1, 1, 1)), labels, "regression", {})
    assert (oldest.figures["no_change"], newest.figures["no_change"]) == (3.0, None)


def test_nothing_asked_is_no_hour():
    assert hours.by_hour(asked(), known([], [], []), "classification", {}) == []


@pytest.mark.parametrize(
    ("n_rows", "quota", "most"),
    [
        ([1] * 1000, 100, 100),
        ([5], 100, 5),
        ([100_000], 100, 100),
        ([1] * 50 + [10**6], 100, 151),
        ([7] * 900, 500, 500),
    ],
)
def test_a_sample_stays_near_its_quota_and_is_spread_over_the_hour(n_rows, quota, most):
    places = hours.sample(np.array(n_rows), quota)
    assert 0 < np.minimum(np.array(n_rows)[places], quota).sum() <= most
    assert (np.diff(places) > 0).all()
    assert places[-1] >= len(n_rows) - 2
