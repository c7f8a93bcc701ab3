from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from mlpipe.drift import drop, estimate, estimated

RULE = drop.Rule("classification")
REFERENCE = drop.Baseline("reference", 0.1, 0.02, 2000, 1.0)
ANSWERS = drop.Baseline("reference", 0.1, 0.09, 2000, 1.0)
TRUST = estimate.Trust(1000, 0.1, 0.1, 0.0, trustworthy=True)


def judge(expected, *, reference=REFERENCE, baseline=ANSWERS, trust=TRUST, rule=RULE):
    return estimated.judge(expected, reference=reference, baseline=baseline, trust=trust, rule=rule)


def series(rng, n, phi):
    """Return a standard normal AR(1) series."""
    noise = rng.normal(size=n) * np.sqrt(1 - phi**2)
    x = np.empty(n)
    x[0] = rng.normal()
    for i in range(1, n):
        x[i] = phi * x[i - 1] + noise[i]
    return x


class World:
    """Two classes by one number, and a model that is too sure of itself."""

    def __init__(self, rng, *, n_reference, n_checked, phi, slope=2.0):
        self.rng, self.phi, self.slope = rng, phi, slope
        x, y = self.rows(n_reference)
        self.calibration = estimate.calibrate(self.scores(x), y, np.array([0.0, 1.0]))
        wrong = ((x > 0) != y).astype(float)
        self.reference = drop.measure(self.expected(x), "reference")
        self.baseline = drop.measure(wrong, "reference")
        x, y = self.rows(n_checked)
        self.trust = estimate.check(self.expected(x), ((x > 0) != y).astype(float), self.baseline, RULE)

    def rows(self, n, *, spread=1.0):
        x = spread * series(self.rng, n, self.phi)
        return x, (self.rng.random(n) < special.expit(self.slope * x)).astype(float)

    def scores(self, x):
        p = special.expit(2 * self.slope * x)
        return np.column_stack([1 - p, p])

    def expected(self, x):
        return 1 - self.calibration.expect((x > 0).astype(float), self.scores(x))

    def judge(self, x):
        return judge(self.expected(x), reference=self.reference, baseline=self.baseline, trust=self.trust)


def test_an_estimate_that_is_not_known_to_hold_says_nothing():
    hard = np.full(1000, 0.4)
    assert judge(hard).fell
    assert judge(hard, trust=replace(TRUST, trustworthy=False)) is None
    assert judge(hard, trust=estimate.Trust(60, 0.1, 0.1, z=None, trustworthy=None)) is None
    assert judge(hard[:99]) is None


def test_what_the_estimate_overstates_is_taken_off_and_what_it_understates_is_not_added():
    expected = np.full(1000, 0.125)
    assert judge(expected, trust=replace(TRUST, rows=10**6)).fell
    assert not judge(expected, trust=replace(TRUST, rows=10**6, expected=0.11, actual=0.1)).fell
    assert judge(expected, trust=replace(TRUST, actual=0.115)).error == pytest.approx(0.125)


def test_a_rise_that_few_labels_cannot_vouch_for_is_no_drop():
    expected = np.full(1000, 0.16)
    assert judge(expected).fell
    assert not judge(expected, trust=replace(TRUST, rows=100)).fell


def test_z_is_that_of_three_sources_of_chance():
    expected = np.tile([0.1, 0.4], 100)
    found = judge(expected, reference=replace(REFERENCE, tau=2.0), baseline=replace(ANSWERS, tau=3.0))
    spread = 2 * 0.0225 * (1 / 200 + 1 / 2000) + 3 * 0.09 / 1000
    assert found.n_rows in {100, 200}
    assert found.z == pytest.approx(0.15 / np.sqrt(2 * 0.0225 * (1 / found.n_rows + 1 / 2000) + 3 * 0.09 / 1000))
    assert spread > 0


def test_a_small_but_certain_rise_is_no_drop():
    sure = {"reference": replace(REFERENCE, n_rows=10**8, variance=0.0), "trust": replace(TRUST, rows=10**8)}
    assert not judge(np.full(1000, 0.119), **sure).fell
    assert judge(np.full(1000, 0.121), **sure).fell


def test_the_size_of_a_rise_of_errors_is_a_share_of_what_they_were():
    regression = drop.Rule("regression")
    known = {
        "reference": drop.Baseline("reference", 5.0, 1.0, 2000, 1.0),
        "baseline": drop.Baseline("reference", 5.0, 9.0, 2000, 1.0),
        "trust": estimate.Trust(1000, 5.0, 5.0, 0.0, trustworthy=True),
        "rule": regression,
    }
    assert not judge(np.full(1000, 5.45), **known).fell
    found = judge(np.full(1000, 7.0), **known)
    assert found.fell
    assert "mean absolute error of 7, it was 5 before" in estimated.sentence(found, regression, since="now")


@pytest.mark.parametrize(
    ("n_reference", "n_checked", "phi"), [(1000, 100, 0.0), (2000, 500, 0.0), (10_000, 1000, 0.0), (2000, 500, 0.9)]
)
def test_false_alarms_are_rare(n_reference, n_checked, phi):
    rng, alarms, tests = np.random.default_rng(3), 0, 0
    for _ in range(60):
        world = World(rng, n_reference=n_reference, n_checked=n_checked, phi=phi)
        for _ in range(20):
            found = world.judge(world.rows(1000)[0])
            alarms, tests = alarms + bool(found and found.fell), tests + bool(found)
    assert tests > 1000
    assert alarms <= 3  # 1 in 1,000 checks, and chance


def test_rows_that_become_harder_are_seen_before_their_labels():
    rng, seen = np.random.default_rng(4), []
    for _ in range(20):
        world = World(rng, n_reference=2000, n_checked=1000, phi=0.0)
        x, y = world.rows(1000, spread=0.4)
        found = world.judge(x)
        seen.append(found.fell)
        assert found.error == pytest.approx(((x > 0) != y).mean(), abs=0.06)
    assert sum(seen) >= 19
