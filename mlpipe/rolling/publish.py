"""Make a plain scikit-learn forest of a rolling one: it loads anywhere and knows nothing of this package [pure]."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.tree._tree import Tree

from mlpipe.rolling import group as groups
from mlpipe.rolling import vote
from mlpipe.rolling.state import Floats, State


def collapse(state: State) -> Any:
    """Return the state as one plain forest.

    Returns
    -------
    RandomForestClassifier or RandomForestRegressor
        Its own ``predict_proba`` or ``predict`` equals `vote.scores` to 1e-12; ``n_jobs`` is None.

    Notes
    -----
    A leaf holds its share times the weight of its group, M times what it says on the mean: single trees do not answer
    probabilities, their mean does. Inner nodes hold 0. Importances are those of the structure. About 5 ms.

    Examples
    --------
    >>> from mlpipe.rolling import learning, parameters
    >>> X = np.arange(40.0).reshape(-1, 1)
    >>> settings = parameters.Parameters(n_groups=4)
    >>> state = learning.start(X, (X[:, 0] > 20) * 1.0, classes=np.array([0.0, 1.0]), parameters=settings)
    >>> bool(np.allclose(collapse(state).predict_proba(X), vote.scores(state, X), rtol=0, atol=1e-12))
    True
    """
    answers, members, first = vote.leaf_answers(state), [], 0
    for group in state.groups:
        for tree, leaf_of in zip(group.trees, group.leaf_of, strict=True):
            members.append(_member(state, _valued(tree, answers[first + leaf_of])))
        first += group.n_leaves
    return _forest(state, members)


def _valued(tree: Any, answers: Floats) -> Any:
    """Return a tree of the same structure with other values, (n_nodes, m) of which those of leaves count."""
    values = np.where((tree.children_left == groups.LEAF)[:, None], answers, 0.0)
    return build_tree(tree.n_features, tree.__getstate__()["nodes"], values, depth=tree.max_depth)


def build_tree(n_features: int, nodes: Any, values: Floats, *, depth: int) -> Any:
    """Return scikit-learn's tree of some nodes.

    Parameters
    ----------
    n_features : int
    nodes : structured (n_nodes,)
        As ``tree_.__getstate__()["nodes"]`` holds them.
    values : float64 (n_nodes, m)
    depth : int
        Levels of the deepest leaf.
    """
    tree = Tree(n_features, np.array([values.shape[1]], dtype=np.intp), 1)
    state = {"max_depth": depth, "node_count": len(nodes), "nodes": nodes, "values": values[:, None, :].copy()}
    tree.__setstate__(state)
    return tree


def _member(state: State, tree: Any) -> Any:
    kind = DecisionTreeClassifier if len(state.classes) else DecisionTreeRegressor
    member = kind(max_depth=state.parameters.max_depth, max_features=groups.max_features(state.parameters))
    member.tree_, member.max_features_ = tree, groups.n_candidates(state.parameters, tree.n_features)
    member.n_features_in_, member.n_outputs_ = tree.n_features, 1
    if len(state.classes):  # a tree's classes are numbers, only the forest knows what they stand for
        member.classes_, member.n_classes_ = (
            np.arange(len(state.classes), dtype=np.float64),
            np.intp(len(state.classes)),
        )
    return member


def _forest(state: State, members: list[Any]) -> Any:
    p = state.parameters
    kind = RandomForestClassifier if len(state.classes) else RandomForestRegressor
    forest = kind(
        n_estimators=p.n_estimators,
        max_depth=p.max_depth,
        max_features=groups.max_features(p),
        random_state=p.random_state,
    )
    forest.estimator_ = DecisionTreeClassifier() if len(state.classes) else DecisionTreeRegressor()
    forest.estimators_, forest.n_features_in_, forest.n_outputs_ = members, state.X.shape[1], 1
    if len(state.classes):
        forest.classes_, forest.n_classes_ = state.classes.copy(), len(state.classes)
    return forest
