"""A group of trees: fitted together, weighted together, replaced together [pure]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from mlpipe.rolling.parameters import Parameters

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Indices = NDArray[np.intp]

LEAF = -1
"""How scikit-learn marks a node without children."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The frozen structure of a few trees.

    Attributes
    ----------
    trees : tuple of sklearn.tree._tree.Tree
        Structure; their values are not looked at again.
    born : int
        Labels that had been learned when they were fitted.
    leaf_of : tuple of intp (n_nodes,)
        Per tree, the leaf's number within the group by node; an inner node's number means nothing.
    n_leaves : int
        Leaves of all its trees.
    """

    trees: tuple[Any, ...]
    born: int
    leaf_of: tuple[Indices, ...]
    n_leaves: int


def group_of(trees: tuple[Any, ...], *, born: int) -> Group:
    """Make a group of some trees: number their leaves."""
    numbers, n_leaves = [], 0
    for tree in trees:
        leaf = tree.children_left == LEAF
        numbers.append(np.cumsum(leaf) - 1 + n_leaves)
        n_leaves += int(leaf.sum())
    return Group(trees, born, tuple(numbers), n_leaves)


def fit(X: Singles, y: Floats, *, parameters: Parameters, n_groups: int, seed: int) -> Any:
    """Fit the trees of some groups as one forest.

    Parameters
    ----------
    X : float32 (n, d)
    y : float64 (n,)
    parameters : Parameters
        Depth, size of a group, task.
    n_groups : int
        M at the start, 1 for a renewal.
    seed : int
        Of this forest.
    """
    kind = RandomForestClassifier if parameters.task == "classification" else RandomForestRegressor
    forest = kind(
        n_estimators=n_groups * parameters.group_size,
        max_depth=parameters.max_depth,
        max_features=max_features(parameters),
        random_state=seed,
    )
    return forest.fit(X, y)


def max_features(parameters: Parameters) -> str | float:
    """Return how many features a split chooses among: the root of all, or a third for regression."""
    return "sqrt" if parameters.task == "classification" else 1 / 3


def n_candidates(parameters: Parameters, n_features: int) -> int:
    """Return the same as a number, as scikit-learn rounds it.

    Examples
    --------
    >>> n_candidates(Parameters(), 20), n_candidates(Parameters(task="regression"), 20)
    (4, 6)
    """
    share = n_features**0.5 if parameters.task == "classification" else n_features / 3
    return max(1, int(share))


def seed_of(random_state: int, n_learned: int) -> int:
    """Return the seed of the renewal at a position of the label log.

    Notes
    -----
    It hangs on nothing that a crash could lose: a replay draws the same trees.

    Examples
    --------
    >>> seed_of(42, 200) == seed_of(42, 200) != seed_of(42, 400)
    True
    """
    return int(np.random.SeedSequence((random_state, n_learned)).generate_state(1)[0])


def training_sums(forest: Any, classes: Floats) -> list[Floats]:
    """Return, per tree, what its leaves have been trained on.

    Parameters
    ----------
    forest : estimator
        As `fit` returns it.
    classes : float64 (k,)
        Empty for regression.

    Returns
    -------
    list of float64 (n_leaves, c)
        Weight per class, or the columns sum of y and weight.
    """
    sums = []
    for member in forest.estimators_:
        leaf = member.tree_.children_left == LEAF
        weight = member.tree_.weighted_n_node_samples[leaf, None]
        value = member.tree_.value[leaf, 0, :] * weight
        if len(classes):
            wide = np.zeros((len(value), len(classes)))
            wide[:, np.searchsorted(classes, forest.classes_)] = value
            sums.append(wide)
        else:
            sums.append(np.hstack([value, weight]))
    return sums
