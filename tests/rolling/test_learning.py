from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from mlpipe.rolling import checkpoint, learning, state, vote
from mlpipe.rolling.parameters import Parameters
from tests.rolling.conftest import rows, small


def same(one, other):
    a, b = checkpoint.pack(one), checkpoint.pack(other)
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


@pytest.mark.parametrize("cuts", [(1,) * 450, (37,) * 20, (100,) * 7, (199, 1, 250), (450,)])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_state_does_not_depend_on_how_the_log_was_cut(cuts, task):
    X, y = rows(1050)
    y = y if task == "classification" else np.nan_to_num(X[:, 0])
    first = learning.start(X[:600], y[:600], classes=np.unique(y)[:2], parameters=small(task=task))
    whole, state, done = learning.learn(first, X[600:], y[600:]), first, 600
    for n in cuts:
        state, done = learning.learn(state, X[done : done + n], y[done : done + n]), min(1050, done + n)
    assert done == 1050
    assert same(whole, state)


def test_learner_killed_fifty_times_ends_as_undisturbed(started):
    X, y = rows(2000, seed=3)
    rng = np.random.default_rng(0)
    undisturbed = learning.learn(started, X, y)
    saved, killed = checkpoint.pack(started), 0
    while killed < 50:
        state = checkpoint.unpack(saved)
        at = state.n_learned
        crash = min(2000, at + int(rng.integers(1, 90)))
        reached = learning.learn(state, X[at:crash], y[at:crash])
        if rng.random() < 0.5:
            saved = checkpoint.pack(reached)
        killed += 1
    state = checkpoint.unpack(saved)
    assert 0 < state.n_learned < 2000
    assert same(learning.learn(state, X[state.n_learned :], y[state.n_learned :]), undisturbed)


def test_learn_leaves_the_state_before_as_it_was(started):
    before = {name: array.copy() for name, array in checkpoint.pack(started).items()}
    learning.learn(started, *rows(450, seed=1))
    assert all(before[name].tobytes() == array.tobytes() for name, array in checkpoint.pack(started).items())


def test_start_is_the_plain_forest(started):
    X, y = rows(600)
    plain = RandomForestClassifier(18, max_depth=6, random_state=42).fit(X, y)
    asked, _ = rows(200, seed=5)
    assert np.allclose(vote.scores(started, asked), plain.predict_proba(asked), rtol=0, atol=1e-12)


def test_a_label_decays_by_half_in_its_half_life():
    X, y = rows(400)
    p = small(half_lives=(100.0, float("inf")), renew_every=10_000)
    first = learning.start(X, y, classes=np.array([0.0, 1.0]), parameters=p)
    row = X[:1]
    later = learning.learn(first, np.repeat(row, 200, axis=0), np.ones(200))
    leaf = state.leaves(first, row.astype(np.float32))[:, 0]
    expected = first.sums[leaf, 0] / 4
    expected[:, 1] += sum(2.0 ** (-age / 100) for age in range(200))
    assert np.allclose(later.sums[leaf, 0], expected)
    assert np.array_equal(later.sums[:, 1], first.sums[:, 1])


def test_a_leaf_that_nobody_visits_keeps_its_proportions():
    X, y = rows(400)
    p = small(half_lives=(10.0, float("inf")), renew_every=100_000)
    first = learning.start(X, y, classes=np.array([0.0, 1.0]), parameters=p)
    later = learning.learn(first, np.repeat(X[:1], 12_000, axis=0), np.repeat(y[:1], 12_000))
    visited = state.leaves(first, X[:1].astype(np.float32))[:, 0]
    others = np.setdiff1d(np.arange(len(first.sums)), visited)
    assert np.allclose(later.sums[others, 0].sum(axis=1), learning.FLOOR)
    assert np.allclose(later.basis[others, 0], first.basis[others, 0])


def test_rows_are_scored_on_the_leaves_before_them(started):
    X, y = rows(50, seed=2)
    after = learning.learn(started, X, y)
    p = vote.scores(started, X)  # equal weights and equal tables at the start
    assert np.allclose(after.table_errors, ((p - np.eye(2)[y.astype(int)]) ** 2).sum(axis=1)[:, None])


def test_renewal_replaces_the_worst_group_and_spares_the_newborn(started):
    first = learning.learn(started, *rows(200, seed=1))
    second = learning.learn(first, *rows(200, seed=2))
    assert sorted(group.born for group in first.groups) == [0] * 5 + [200]
    assert sorted(group.born for group in second.groups) == [0] * 4 + [200, 400]


def test_forest_follows_a_rule_that_turns_over(learned):
    X, y = rows(1000, seed=4, turned=True)
    later = learning.learn(learned, X, y)
    asked, truth = rows(500, seed=6, turned=True)
    assert (vote.scores(learned, asked).argmax(axis=1) == truth).mean() < 0.2
    assert (vote.scores(later, asked).argmax(axis=1) == truth).mean() > 0.85


def test_a_class_that_the_first_rows_did_not_have_is_learned(learned):
    X, _ = rows(300, seed=8)
    X[:, 0] += 20
    later = learning.learn(learned, X, np.full(300, 7.0))
    assert later.classes.tolist() == [0.0, 1.0, 7.0]
    assert (vote.scores(later, X).argmax(axis=1) == 2).mean() > 0.9


def test_a_window_of_one_class_can_be_renewed(started):
    X, _ = rows(900, seed=8)
    later = learning.learn(started, X, np.zeros(900))
    assert later.n_learned == 900
    assert vote.scores(later, X)[:, 0].min() > 0.9


def test_regression_follows_a_shift(regression):
    X, _ = rows(600, seed=9)
    y = np.nan_to_num(X[:, 0]) * 10 + 80
    later = learning.learn(regression, X, y)
    before, after = (np.abs(vote.scores(state, X) - y).mean() for state in (regression, later))
    assert before > 20
    assert after < 5


def test_weights_sum_to_one(learned):
    assert np.allclose(vote.group_weights(learned).sum(axis=0), 1)
    assert np.isclose(vote.table_weights(learned).sum(), 1)


def test_parameters_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="multiple of block"):
        Parameters(renew_every=150)
    with pytest.raises(ValueError, match="positive"):
        Parameters(n_groups=0)
