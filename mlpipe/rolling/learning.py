"""Start a rolling forest, and let it learn labels in the order in which they arrived [pure].

The state depends on the ordered log of labels alone, not on how it was cut into calls: rows are scored on the leaves
as they stood at the last multiple of `block`, added to their leaves one by one in order, and everything else (decay,
weights, renewal) happens at multiples of `block`. A replay from any state, in any portions, ends bit for bit the same.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np

from mlpipe.rolling import group as groups
from mlpipe.rolling import state as states
from mlpipe.rolling import vote
from mlpipe.rolling.group import Group, Indices
from mlpipe.rolling.parameters import Parameters
from mlpipe.rolling.state import Floats, Singles, State

FLOOR: Final = 1e-6
"""Least weight of a leaf: one that nobody visits keeps its proportions (without it, weight underflows after 100,000
rows at a half-life of 100), and the next row outweighs them."""


def start(X: Floats, y: Floats, *, classes: Floats, parameters: Parameters) -> State:
    """Fit the first forest; nothing is learned yet.

    Parameters
    ----------
    X : float64 (n, d)
        First rows in time order; NaN is missing, categories are codes.
    y : float64 (n,)
        Their labels.
    classes : float64 (k,)
        Classes that are known of, sorted or not; those of `y` and of later labels join by themselves. Empty for
        regression.
    parameters : Parameters

    Examples
    --------
    >>> X = np.arange(40.0).reshape(-1, 1)
    >>> state = start(X, (X[:, 0] > 20) * 1.0, classes=np.array([0.0, 1.0]), parameters=Parameters(n_groups=4))
    >>> vote.scores(state, np.array([[1.0], [39.0]])).round(1).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    rows = np.ascontiguousarray(X, dtype=np.float32)
    known = np.union1d(classes, y) if parameters.task == "classification" else np.empty(0)
    forest = groups.fit(rows, y, parameters=parameters, n_groups=parameters.n_groups, seed=parameters.random_state)
    born, sums = _born(forest, known, parameters, n_learned=0)
    shape = (parameters.n_groups, len(parameters.half_lives))
    newest = slice(max(0, len(y) - max(parameters.windows)), None)
    state = State(
        parameters=parameters,
        classes=known,
        groups=born,
        n_learned=0,
        sums=sums,
        basis=np.empty(0),
        group_weights=np.empty(0),
        group_errors=np.empty((0, *shape)),
        table_errors=np.empty((0, shape[1])),
        X=rows[newest].copy(),
        y=y[newest].astype(np.float64),
    )
    return _open_block(state)


def _born(forest: Any, classes: Floats, parameters: Parameters, *, n_learned: int) -> tuple[tuple[Group, ...], Floats]:
    trees, g = [member.tree_ for member in forest.estimators_], parameters.group_size
    born = tuple(groups.group_of(tuple(trees[i : i + g]), born=n_learned) for i in range(0, len(trees), g))
    counts = np.concatenate(groups.training_sums(forest, classes))
    return born, np.repeat(counts[:, None, :], len(parameters.half_lives), axis=1)


def _open_block(state: State) -> State:
    basis = states.values(state.sums, regression=state.parameters.task == "regression")
    return dataclasses.replace(state, basis=basis, group_weights=vote.group_weights(state))


def learn(state: State, X: Floats, y: Floats) -> State:
    """Return the state after some more labelled rows.

    Parameters
    ----------
    state : State
        Left as it is.
    X : float64 (n, d)
        Rows in the order in which their labels arrived.
    y : float64 (n,)
        Labels; a class that nobody knew of joins the classes.

    Notes
    -----
    100 rows of 20 features take about 3 ms, a renewal (every `renew_every` labels) 30 to 60 ms besides.

    Examples
    --------
    >>> X = np.arange(40.0).reshape(-1, 1)
    >>> first = start(X, (X[:, 0] > 20) * 1.0, classes=np.array([0.0, 1.0]), parameters=Parameters(n_groups=4))
    >>> later = learn(first, np.full((150, 1), 39.0), np.zeros(150))
    >>> later.n_learned, bool(vote.scores(later, np.array([[39.0]]))[0, 0] > 0.5)
    (150, True)
    """
    rows = np.ascontiguousarray(X, dtype=np.float32)
    if len(state.classes) and not np.isin(y, state.classes).all():
        state = widen(state, y)
    done = 0
    while done < len(y):
        stop = min(len(y), done + state.parameters.block - state.n_learned % state.parameters.block)
        state = _within_block(state, rows[done:stop], y[done:stop].astype(np.float64))
        done = stop
        if not state.n_learned % state.parameters.block:
            state = _close_block(state)
    return state


def _within_block(state: State, X: Singles, y: Floats) -> State:
    found = states.leaves(state, X)
    group_errors, table_errors = vote.block_errors(state, found, y)
    n_rows, n_errors = max(state.parameters.windows), state.parameters.n_compare
    return dataclasses.replace(
        state,
        n_learned=state.n_learned + len(y),
        sums=_added(state, found, y),
        group_errors=np.concatenate([state.group_errors, group_errors])[-n_errors:],
        table_errors=np.concatenate([state.table_errors, table_errors])[-n_errors:],
        X=np.concatenate([state.X, X])[-n_rows:],
        y=np.concatenate([state.y, y])[-n_rows:],
    )


def _added(state: State, found: Indices, y: Floats) -> Floats:
    """Add each row to its leaf in each tree and living table.

    Notes
    -----
    Forward decay: instead of old sums shrinking with each row, the row at position t of the block weighs
    2**(t / half-life), and all shrink together when the block ends. ``np.add.at`` adds in the order of its indices,
    a tree's rows in theirs, so the bits do not depend on the cuts between calls.
    """
    sums = state.sums.copy()
    _, n_tables, width = sums.shape
    flat = sums.reshape(-1)
    age = state.n_learned % state.parameters.block + 1 + np.arange(len(y))
    column = np.searchsorted(state.classes, y) if len(state.classes) else np.zeros(len(y), dtype=np.intp)
    for h in state.parameters.living:
        weight = np.exp2(age / state.parameters.half_lives[h])
        place = found * (n_tables * width) + (h * width + column)
        if len(state.classes):
            np.add.at(flat, place.ravel(), np.tile(weight, len(found)))
        else:
            np.add.at(flat, place.ravel(), np.tile(weight * y, len(found)))
            np.add.at(flat, place.ravel() + 1, np.tile(weight, len(found)))
    return sums


def _close_block(state: State) -> State:
    state = dataclasses.replace(state, sums=_decayed(state))
    if not state.n_learned % state.parameters.renew_every:
        state = renew(state)
    return _open_block(state)


def _decayed(state: State) -> Floats:
    half_lives = np.array(state.parameters.half_lives)
    sums: Floats = state.sums * np.exp2(-state.parameters.block / half_lives)[:, None]
    weight = states.weight(sums, regression=state.parameters.task == "regression")
    poor = weight < FLOOR
    sums[poor] *= (FLOOR / weight[poor])[:, None]
    return sums


def renew(state: State) -> State:
    """Fit one group on the newest rows; it replaces the group whose best table is the worst.

    Notes
    -----
    The windows take turns. A newborn takes over the errors of the best group of each table: it counts as the best until
    its own errors have come in, and is not the next to go.
    """
    p, turn = state.parameters, state.n_learned // state.parameters.renew_every
    window = slice(-p.windows[turn % len(p.windows)], None)
    seed = groups.seed_of(p.random_state, state.n_learned)
    forest = groups.fit(state.X[window], state.y[window], parameters=p, n_groups=1, seed=seed)
    (group,), sums = _born(forest, state.classes, p, n_learned=state.n_learned)
    worst = int(state.group_errors.mean(axis=0).min(axis=1).argmax())
    bounds = np.cumsum([0, *(one.n_leaves for one in state.groups)])
    errors = state.group_errors.copy()
    best = errors[-p.n_weigh :].mean(axis=0).argmin(axis=0)
    errors[:, worst] = state.group_errors[:, best, np.arange(len(best))]
    return dataclasses.replace(
        state,
        groups=(*state.groups[:worst], group, *state.groups[worst + 1 :]),
        sums=np.concatenate([state.sums[: bounds[worst]], sums, state.sums[bounds[worst + 1] :]]),
        group_errors=errors,
    )


def widen(state: State, classes: Floats) -> State:
    """Return the state with more classes, each of weight zero so far."""
    known = np.union1d(state.classes, classes)
    place = np.searchsorted(known, state.classes)

    def wide(narrow: Floats) -> Floats:
        array = np.zeros((*narrow.shape[:-1], len(known)))
        array[..., place] = narrow
        return array

    return dataclasses.replace(state, classes=known, sums=wide(state.sums), basis=wide(state.basis))
