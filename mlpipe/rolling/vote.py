"""How much each group and each table has to say, and what they say together [pure]."""

from __future__ import annotations

import numpy as np

from mlpipe.rolling import state as states
from mlpipe.rolling.group import Indices
from mlpipe.rolling.state import Floats, State


def group_weights(state: State) -> Floats:
    """Return w: the weight of each group within each table.

    Returns
    -------
    float64 (M, n_tables)
        Each column sums to 1; equal before anything has been scored.

    Notes
    -----
    Proportional to exp(eta1 s), s minus the mean error over the newest n1 scored rows.
    """
    newest = state.group_errors[-state.parameters.n_weigh :]
    return _softmax(_scores(state, newest) * state.parameters.eta_groups)


def table_weights(state: State) -> Floats:
    """Return a: the weight of each table, float64 (n_tables,), sum 1; over the newest n2 scored rows."""
    return _softmax(_scores(state, state.table_errors) * state.parameters.eta_tables)


def _scores(state: State, errors: Floats) -> Floats:
    """Return minus the mean error; an absolute error in units of twice the best table's, so that eta fits any y."""
    if not len(errors):
        return np.zeros(errors.shape[1:])
    mean: Floats = errors.mean(axis=0)
    if state.parameters.task == "regression":
        mean /= max(2 * float(state.table_errors.mean(axis=0).min()), np.finfo(np.float64).tiny)
    return -mean


def _softmax(scores: Floats) -> Floats:
    """Return weights over the first axis."""
    weights: Floats = np.exp(scores - scores.max(axis=0))
    weights /= weights.sum(axis=0)
    return weights


def leaf_answers(state: State) -> Floats:
    """Return what each leaf adds to the mean over all trees.

    Returns
    -------
    float64 (n_leaves, m)
        M * sum over tables of a_h w_ih V_h / W_h.

    Notes
    -----
    The mean over the M g trees of these is the vote, hence a plain forest can hold them: `publish.collapse`.
    """
    weights = state.parameters.n_groups * group_weights(state) * table_weights(state)
    sizes = [group.n_leaves for group in state.groups]
    own = states.values(state.sums, regression=state.parameters.task == "regression")
    answers: Floats = (own * np.repeat(weights, sizes, axis=0)[:, :, None]).sum(axis=1)
    return answers


def scores(state: State, X: Floats) -> Floats:
    """Answer for some rows.

    Parameters
    ----------
    state : State
    X : float64 (n, d)
        NaN is missing; cast to float32, as trees do.

    Returns
    -------
    float64 (n, k) or (n,)
        Probabilities in the order of the state's classes, or values.
    """
    found = states.leaves(state, np.ascontiguousarray(X, dtype=np.float32))
    total: Floats = np.add.reduce(leaf_answers(state)[found], axis=0) / len(found)
    return total if len(state.classes) else total[:, 0]


def block_errors(state: State, found: Indices, y: Floats) -> tuple[Floats, Floats]:
    """Return the error of each group and each table on rows, by the values at the start of the block.

    Parameters
    ----------
    state : State
    found : intp (n_trees, n)
        Leaves of the rows.
    y : float64 (n,)

    Returns
    -------
    float64 (n, M, n_tables), float64 (n, n_tables)
        Brier terms, the sum over classes from 0 to 2; or absolute errors.

    Notes
    -----
    Adds along the first axes only, where numpy adds in order: a row's error has the same bits in any company.
    """
    shape = (state.parameters.n_groups, state.parameters.group_size, len(y), *state.basis.shape[1:])
    groups = np.add.reduce(state.basis[found].reshape(shape), axis=1) / state.parameters.group_size
    tables = np.add.reduce(groups * state.group_weights[:, None, :, None], axis=0)
    return _errors(groups, y, state.classes).swapaxes(0, 1), _errors(tables, y, state.classes)


def _errors(answers: Floats, y: Floats, classes: Floats) -> Floats:
    """Return the error of answers (..., n, n_tables, m)."""
    if not len(classes):
        distances: Floats = np.abs(answers[..., 0] - y[:, None])
        return distances
    total = np.zeros(answers.shape[:-1])
    for k, one in enumerate(classes):
        total += (answers[..., k] - (y == one)[:, None]) ** 2
    return total
