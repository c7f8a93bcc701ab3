from __future__ import annotations

import numpy as np
import pytest
from scipy import signal, stats

from mlpipe.drift import drop

CLASSIFICATION = drop.Rule("classification")
REGRESSION = drop.Rule("regression")


def baseline(error=0.1, n_rows=2000, tau=1.0, variance=None, source="reference"):
    return drop.Baseline(source, error, error * (1 - error) if variance is None else variance, n_rows, tau)


def wrong(rng, share, n):
    return (rng.random(n) < share).astype(float)


def test_z_is_that_of_two_pooled_shares(rng):
    errors = wrong(rng, 0.2, 500)
    (_, _, window) = drop.compare(errors, baseline(n_rows=1000), CLASSIFICATION)
    table = [[errors.sum(), 500 - errors.sum()], [100, 900]]
    known = stats.chi2_contingency(table, correction=False).statistic
    assert window.z**2 == pytest.approx(known, rel=1e-12)
    assert (window.n_rows, window.rise) == (500, pytest.approx(errors.mean() - 0.1))


def test_rows_that_are_alike_count_less(rng):
    errors = wrong(rng, 0.2, 100)
    (alone,), (alike,) = (drop.compare(errors, baseline(tau=tau), CLASSIFICATION) for tau in (1, 4))
    assert alike.z == pytest.approx(alone.z / 2)


@pytest.mark.parametrize("tau", [1.5, 6.0])
def test_chance_is_the_beta_binomial_one_of_rows_that_are_alike(tau):
    errors = np.r_[np.ones(40), np.zeros(60)]
    (window,) = drop.compare(errors, baseline(tau=tau), CLASSIFICATION)
    mean, weight = (200 / tau + 0.5) / (2000 / tau + 1), 99 / (tau - 1) - 1
    known = stats.betabinom(100, weight * mean, weight * (1 - mean))
    assert known.var() == pytest.approx(100 * mean * (1 - mean) * tau)
    assert window.p == pytest.approx(known.sf(39), rel=1e-12)
    assert stats.norm.sf(window.z) < window.p


def test_chance_is_the_binomial_one_where_rows_are_independent_and_the_baseline_is_long():
    errors = np.r_[np.ones(8), np.zeros(92)]
    (window,) = drop.compare(errors, baseline(error=0.02, n_rows=10**7), CLASSIFICATION)
    assert window.p == pytest.approx(stats.binom.sf(7, 100, 0.02), rel=1e-3)
    assert stats.norm.sf(window.z) < window.p / 10


def test_chance_is_that_of_z_where_the_baseline_is_short():
    errors = np.r_[np.ones(20), np.zeros(80)]
    (window,) = drop.compare(errors, baseline(n_rows=100), CLASSIFICATION)
    assert stats.binom.sf(19, 100, 0.105) < window.p == pytest.approx(stats.norm.sf(window.z))


def test_rows_that_are_worth_less_than_one_show_nothing():
    (window,) = drop.compare(np.ones(100), baseline(tau=100), CLASSIFICATION)
    assert not window.fell


def test_windows_are_the_newest_rows_that_are_there():
    assert [window.n_rows for window in drop.compare(np.zeros(99), baseline(), CLASSIFICATION)] == []
    assert [window.n_rows for window in drop.compare(np.zeros(700), baseline(), CLASSIFICATION)] == [100, 200, 500]
    newest = np.r_[np.zeros(900), np.ones(100)]
    assert [window.error for window in drop.compare(newest, baseline(), CLASSIFICATION)] == [1.0, 0.5, 0.2, 0.1]


def test_a_certain_but_small_rise_is_no_drop():
    sure, errors = baseline(n_rows=10**7, error=0.005), np.tile(np.r_[1.0, np.zeros(49)], 20)
    assert drop.compare(errors, sure, drop.Rule("classification", drop=0.01))[-1].fell
    assert not drop.compare(errors, sure, CLASSIFICATION)[-1].fell


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_all_right_and_all_wrong_are_judged(task):
    rule = drop.Rule(task)
    never, always = baseline(error=0.0), baseline(error=1.0)
    assert drop.worst(drop.compare(np.zeros(1000), never, rule)) is None
    assert drop.worst(drop.compare(np.ones(1000), never, rule)) is not None
    assert drop.worst(drop.compare(np.ones(1000), always, rule)) is None
    assert drop.worst(drop.compare(np.zeros(1000), always, rule)) is None


def test_regression_compares_means_by_the_larger_spread(rng):
    errors = np.abs(rng.normal(scale=2, size=100))
    (window,) = drop.compare(errors, baseline(error=0.8, variance=0.36, n_rows=1000), REGRESSION)
    known = (errors.mean() - 0.8) / np.sqrt(errors.var(ddof=1) * (1 / 100 + 1 / 1000))
    assert window.z == pytest.approx(known, rel=1e-12)
    assert window.fell


def test_the_size_of_a_regression_drop_is_a_share_of_what_it_was():
    assert REGRESSION.size(5.0) == pytest.approx(0.5)
    assert CLASSIFICATION.size(0.3) == 0.02


def test_the_baseline_with_more_rows_counts():
    reference, holdout = baseline(n_rows=5000), baseline(error=0.11, n_rows=500, source="holdout")
    assert drop.choose([reference, holdout], np.zeros(0), CLASSIFICATION) == reference
    assert drop.choose([holdout], np.zeros(999), CLASSIFICATION) == holdout
    assert drop.choose([], np.zeros(999), CLASSIFICATION) is None


def test_a_holdout_that_is_clearly_worse_counts_although_it_is_smaller():
    holdout = baseline(error=0.15, n_rows=500, source="holdout")
    assert drop.choose([baseline(n_rows=5000), holdout], np.zeros(0), CLASSIFICATION) == holdout


def test_the_first_labelled_predictions_count_when_they_are_whole_and_more(rng):
    few, many = baseline(n_rows=120), baseline(n_rows=1000)
    first = wrong(rng, 0.1, 1000)
    chosen = drop.choose([few], first, CLASSIFICATION)
    assert (chosen.source, chosen.n_rows, chosen.error) == ("first_labelled", 1000, first.mean())
    assert drop.choose([few], first[:999], CLASSIFICATION) == few
    assert drop.choose([many], first, CLASSIFICATION) == many


def test_first_predictions_that_are_a_drop_themselves_do_not_become_the_measure(rng):
    first = np.r_[wrong(rng, 0.1, 800), wrong(rng, 0.6, 200)]
    assert drop.choose([baseline(n_rows=500)], first, CLASSIFICATION).source == "reference"


def alarms(draw, rule, *, runs, n_rows, seed):
    """Alarms and checks of quiet streams, a check every 50 labels."""
    fired = []
    for rng in map(np.random.default_rng, range(seed, seed + runs)):
        known, errors = drop.measure(draw(rng, n_rows), "reference"), draw(rng, 3000)
        newest = (errors[max(0, n - 1000) : n] for n in range(100, 3001, 50))
        fired += [drop.worst(drop.compare(rows, known, rule)) is not None for rows in newest]
    return sum(fired), len(fired)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
def test_quiet_streams_of_answers_alarm_in_about_one_check_in_a_thousand(share):
    fired, checks = alarms(lambda rng, n: wrong(rng, share, n), CLASSIFICATION, runs=60, n_rows=2000, seed=1)
    # checks overlap, so alarms come in groups: 0.0012 a check and three times as many as the margin
    assert fired <= 3 * 0.0012 * checks


@pytest.mark.parametrize("kind", ["normal", "laplace", "lognormal"])
def test_quiet_streams_of_values_alarm_in_about_one_check_in_a_thousand(kind):
    fired, checks = alarms(lambda rng, n: np.abs(getattr(rng, kind)(size=n)), REGRESSION, runs=60, n_rows=2000, seed=1)
    assert fired <= 3 * 0.0012 * checks


@pytest.mark.parametrize(("share", "most"), [(0.15, 800), (0.2, 200), (0.3, 100)])
def test_a_drop_is_seen_within_so_many_labels(share, most):
    delays = []
    for rng in map(np.random.default_rng, range(60)):
        known = drop.measure(wrong(rng, 0.1, 2000), "reference")
        errors = np.r_[wrong(rng, 0.1, 1000), wrong(rng, share, 3000)]
        seen = (
            n for n in range(1050, 4001, 50) if drop.worst(drop.compare(errors[n - 1000 : n], known, CLASSIFICATION))
        )
        delays.append(next(seen, 9999) - 1000)
    assert np.median(delays) <= most


def test_a_sentence_says_how_good_the_answers_are():
    held = drop.compare(np.tile([0.0] * 9 + [1.0], 10), baseline(), CLASSIFICATION)
    said = drop.sentence(baseline(), held, CLASSIFICATION, since="")
    assert said == "Accuracy holds: 90 % over the newest 100 labelled predictions, was 90 %."
    before = baseline(error=2.0, variance=1.0)
    risen = drop.compare(np.full(200, 3.5), before, REGRESSION)
    said = drop.sentence(before, risen, REGRESSION, since="noon")
    assert said.startswith(
        "Mean absolute error rose from 2 to 3.5 over the newest 200 labelled predictions (since noon)"
    )


@pytest.mark.parametrize("phi", [0.5, 0.9])
def test_quiet_streams_whose_wrong_answers_come_in_runs_do_not_alarm_more(phi):
    def draw(rng, n):
        series = signal.lfilter([1.0], [1.0, -phi], rng.normal(size=n + 500))[500:] * np.sqrt(1 - phi**2)
        return (series > stats.norm.isf(0.1)).astype(float)

    fired, checks = alarms(draw, CLASSIFICATION, runs=60, n_rows=2000, seed=1)
    assert fired <= 3 * 0.0012 * checks
