from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlpipe.retraining import probation

ROWS = 1000
NONE = np.empty(0)
NOTHING = probation.Evidence(n_rows=0, worse=NONE, jump=None, failures=0, new_s=NONE, old_s=NONE)


def differences(rng: np.random.Generator, *, inverted: float, persistence: float = 0.0, n: int = ROWS) -> np.ndarray:
    """Brier differences of two noisy models of one truth; of the first, a share of the answers is inverted."""
    x = rng.normal(size=n)
    y = rng.random(n) < 1 / (1 + np.exp(-2 * x))

    def said() -> np.ndarray:
        noise = rng.normal(0, 0.7, n)
        for row in range(1, n if persistence else 0):
            noise[row] = persistence * noise[row - 1] + np.sqrt(1 - persistence**2) * noise[row]
        return 1 / (1 + np.exp(-(2 * x + noise)))

    new, old = said(), said()
    new = np.where(rng.random(n) < inverted, 1 - new, new)
    return 2 * (new - y) ** 2 - 2 * (old - y) ** 2


def rolled_back_at(worse: np.ndarray) -> int | None:
    """Look every twenty rows, as the leader does; return at how many it is rolled back."""
    looks = range(probation.MIN_LABELLED, len(worse) + 1, 20)
    return next((n for n in looks if probation.bounds(worse[:n])[0] > 0), None)


@pytest.mark.parametrize("persistence", [0.0, 0.9])
def test_an_equal_version_is_rolled_back_at_most_once_in_a_hundred(persistence: float) -> None:
    rng = np.random.default_rng(5)
    found = [rolled_back_at(differences(rng, inverted=0.0, persistence=persistence)) for _ in range(400)]
    assert sum(n is not None for n in found) <= 4


def test_a_version_five_points_worse_is_mostly_rolled_back_within_the_probation() -> None:
    rng = np.random.default_rng(6)
    found = [rolled_back_at(differences(rng, inverted=0.1)) for _ in range(100)]  # 5.2 points of accuracy
    assert sum(n is not None for n in found) >= 90
    assert np.median([n for n in found if n is not None]) < 600


def test_an_inverted_version_is_rolled_back_as_soon_as_labels_count(rng: np.random.Generator) -> None:
    assert rolled_back_at(differences(rng, inverted=1.0)) in range(50, 111)


def test_bounds_are_those_of_the_formula(rng: np.random.Generator) -> None:
    worse = rng.normal(0.1, 1, 500)
    low, high = probation.bounds(worse)
    n, a = 500, probation.ALPHA
    r2 = (-2 * np.log(a) + np.log(-2 * np.log(a) + 1)) / probation.TIGHTEST
    reach = worse.std(ddof=1) * np.sqrt(2 * (n * r2 + 1) / (n**2 * r2) * np.log(1 + np.sqrt(n * r2 + 1) / (2 * a)))
    assert (low + high) / 2 == pytest.approx(worse.mean())
    assert 0.999 * reach < (high - low) / 2 < 1.3 * reach  # the autocorrelation time widens it, and is 1 but for noise


def test_equal_answers_are_no_evidence() -> None:
    assert probation.bounds(np.zeros(100)) == (0.0, 0.0)
    verdict = probation.judge(replace(NOTHING, n_rows=100, worse=np.zeros(100)), rows=ROWS)
    assert verdict.decision == "continue"


def test_enough_labels_or_enough_patience_pass() -> None:
    full = replace(NOTHING, n_rows=ROWS, worse=np.zeros(ROWS))
    assert probation.judge(full, rows=ROWS).decision == "pass"
    assert probation.judge(replace(NOTHING, n_rows=probation.PATIENCE * ROWS), rows=ROWS).decision == "pass"
    assert probation.judge(replace(NOTHING, n_rows=ROWS), rows=ROWS).decision == "continue"


def test_failures_roll_back_and_one_alone_does_not() -> None:
    assert probation.judge(replace(NOTHING, failures=2), rows=ROWS).decision == "continue"
    verdict = probation.judge(replace(NOTHING, failures=3), rows=ROWS)
    assert (verdict.decision, verdict.because) == ("roll_back", "errors")


@pytest.mark.parametrize(("new_s", "decision"), [(0.004, "continue"), (0.04, "continue"), (0.4, "roll_back")])
def test_only_a_version_that_keeps_callers_waiting_is_too_slow(new_s: float, decision: str) -> None:
    timed = replace(NOTHING, new_s=np.full(20, new_s), old_s=np.full(20, 0.002))
    assert probation.judge(timed, rows=ROWS).decision == decision


def pair(rng: np.random.Generator, n: int, agreement: float, share: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    old = (rng.random(n) < share).astype(float)
    return old, np.where(rng.random(n) < agreement, old, 1 - old)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_traffic_that_has_moved_is_no_jump(rng: np.random.Generator, share: float) -> None:
    found = probation.jump(pair(rng, 2000, 0.9), pair(rng, 400, 0.9, share), is_classifier=True)
    assert found is not None
    assert found < 0.05


def test_a_version_that_has_learned_another_world_does_not_jump(rng: np.random.Generator) -> None:
    found = probation.jump(pair(rng, 2000, 0.1), pair(rng, 400, 0.1), is_classifier=True)
    assert found is not None
    assert found < 0.05


@pytest.mark.parametrize("traffic", [(0.1, "opposite"), (None, "constant")])
def test_answers_unlike_those_to_the_reference_are_a_jump(rng: np.random.Generator, traffic: tuple) -> None:
    old, new = pair(rng, 400, traffic[0] or 1.0)
    new = new if traffic[0] else np.ones(400)
    found = probation.jump(pair(rng, 2000, 0.9), (old, new), is_classifier=True)
    assert found is not None
    assert found > probation.JUMP


def test_values_are_compared_by_quarters(rng: np.random.Generator) -> None:
    old, traffic = rng.normal(size=2000), rng.normal(size=400)
    same = probation.jump((old, old + 0.1), (traffic, traffic + 0.1), is_classifier=False)
    turned = probation.jump((old, old + 0.1), (traffic, -traffic), is_classifier=False)
    assert same is not None
    assert turned is not None
    assert same < 0.1
    assert turned > probation.JUMP


def test_few_rows_say_nothing_about_a_jump(rng: np.random.Generator) -> None:
    assert probation.jump(pair(rng, 2000, 0.9), pair(rng, 199, 0.1), is_classifier=True) is None


def test_a_jump_rolls_back_only_while_no_labels_speak_for_it() -> None:
    jumped = replace(NOTHING, n_rows=400, jump=0.8)
    assert probation.judge(jumped, rows=ROWS).because == "jump"
    better = replace(jumped, worse=np.full(60, -0.5))
    assert probation.judge(better, rows=ROWS).decision == "continue"
