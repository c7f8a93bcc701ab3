from __future__ import annotations

import numpy as np
import pytest

from mlpipe.rolling import guard, learning, vote
from tests.rolling.conftest import rows, small


def accuracy(state, X, y):
    return (vote.scores(state, X).argmax(axis=1) == y).mean()


def flipped(y, rng, share=0.4):
    return np.where(rng.random(len(y)) < share, 1 - y, y)


def kinds(judgement):
    return [finding.kind for finding in judgement.findings]


def test_honest_labels_are_not_held(learned):
    held = [guard.judge(learned, *rows(100, seed=seed)).held.any() for seed in range(10, 60)]
    assert sum(held) == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_batch_with_flipped_labels_costs_next_to_nothing(learned, seed):
    X, y = rows(500, seed=100 + seed)
    judgement = guard.judge(learned, X, flipped(y, np.random.default_rng(seed)))
    kept = ~judgement.held
    state = learning.learn(learned, X[kept], y[kept])
    clean, asked = rows(500, seed=500 + seed), rows(2000, seed=900)
    before = accuracy(learned, *asked)
    assert accuracy(state, *asked) >= before - 0.02
    assert accuracy(learning.learn(state, *clean), *asked) >= before - 0.01
    assert judgement.held.all()
    assert judgement.findings[0].figures["share"] == pytest.approx(0.4, abs=0.08)


def test_the_sentence_names_the_figures(learned):
    X, y = rows(500, seed=100)
    judgement = guard.judge(learned, X, flipped(y, np.random.default_rng(0)))
    assert judgement.sentence.startswith("500 labels contradict what was learned: as if ")


def test_only_the_source_that_contradicts_is_held(learned):
    X, y = rows(300, seed=100)
    sources = np.repeat(["a", "b", "c"], 100)
    y[sources == "b"] = 1 - y[sources == "b"]
    judgement = guard.judge(learned, X, y, sources=sources)
    assert kinds(judgement) == ["source"]
    assert "source b" in judgement.sentence
    assert np.array_equal(judgement.held, sources == "b")


def test_a_jump_of_the_label_mix_is_held():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1500, 5)), rng.integers(0, 2, 1500) * 1.0  # nothing can be contradicted here
    state = learning.start(X[:500], y[:500], classes=np.array([0.0, 1.0]), parameters=small())
    state = learning.learn(state, X[500:1300], y[500:1300])
    judgement = guard.judge(state, X[1300:], np.ones(200))
    assert "mix" in kinds(judgement)
    assert judgement.held.all()
    assert kinds(guard.judge(state, X[1300:], y[1300:])) == []


def test_a_jump_of_the_rate_is_held(learned):
    X, y = rows(100, seed=100)
    assert kinds(guard.judge(learned, X, y, rate=(50_000.0, 100.0))) == ["rate"]
    assert kinds(guard.judge(learned, X, y, rate=(200.0, 100.0))) == []


def test_too_few_rows_are_not_judged(learned, started):
    X, y = rows(100, seed=100)
    assert not guard.judge(learned, X[:10], 1 - y[:10]).held.any()
    assert np.isnan(guard.judge(started, X, 1 - y).contradiction)


def test_waiting_labels_make_the_guard_wary(learned):
    X, y = rows(60, seed=100)
    bad = flipped(y, np.random.default_rng(1), share=0.33)
    z = guard.judge(learned, X, bad, limits=guard.Limits(share=0.0, z=0.0)).findings[0].figures["z"]
    limits = guard.Limits(share=0.1, z=z + 0.1, z_wary=z - 0.1)
    assert not guard.judge(learned, X, bad, limits=limits).held.any()
    assert guard.judge(learned, X, bad, wary=True, limits=limits).held.all()


def test_a_changed_world_is_believed_after_enough_labels(learned):
    X, y = rows(800, seed=100, turned=True)
    later = []
    for i in range(100, 800, 100):
        judgement = guard.judge(learned, X[i : i + 100], y[i : i + 100], wary=True)
        assert judgement.held.all()
        later.append(judgement)
        if (why := guard.agreed(learned, X[:100], y[:100], later=later)) is not None:
            break
    assert len(later) == 5
    assert why == "500 of the 500 labels since then say the same: the world has changed."


def test_a_bad_batch_stays_held(learned):
    X, y = rows(500, seed=100)
    bad, state, later = flipped(y, np.random.default_rng(0)), learned, []
    for seed in range(20):
        more = rows(100, seed=200 + seed)
        later.append(guard.judge(state, *more))
        state = learning.learn(state, *more)
        assert guard.agreed(state, X, bad, later=later) is None


def test_labels_that_the_forest_agrees_with_later_are_let_go(learned):
    X, y = rows(200, seed=100, turned=True)
    more = rows(900, seed=101, turned=True)
    state = learning.learn(learned, *more)
    later = [guard.judge(state, *rows(100, seed=300, turned=True))]
    assert "agree" in guard.agreed(state, X, y, later=later)


def test_regression_labels_of_other_rows_are_held(regression):
    X, _ = rows(300, seed=100)
    y = np.nan_to_num(X[:, 0]) * 10 + 51
    assert not guard.judge(regression, X, y).held.any()
    mixed = np.where(np.random.default_rng(0).random(300) < 0.5, np.roll(y, 50), y)
    assert guard.judge(regression, X, mixed).held.all()


def test_a_hold_is_recent_for_as_many_rows_as_confirm_it():
    assert guard.recent(0)
    assert guard.recent(499)
    assert not guard.recent(500)
    assert guard.recent(500, guard.Limits(n_confirm=600))
