"""Answer for a scikit-learn forest exactly as its public call does, 2 to 50 times faster.

The public ``predict_proba`` spends 3 ms on one row in joblib and validation, 30 us on the trees. Here all trees
lie behind one another in a few arrays, and all of them are stepped together, one level at a time. Nothing is
approximated: a compiled forest is compared with the public call before it is handed out, bit by bit, and where
they differ the public call serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn import base, ensemble

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Indices = NDArray[np.intp]

FORESTS: Final = (
    ensemble.RandomForestClassifier,
    ensemble.RandomForestRegressor,
    ensemble.ExtraTreesClassifier,
    ensemble.ExtraTreesRegressor,
)
"""Estimators that `FlatForest` reproduces; a subclass may override anything, so only the exact types count."""

CHUNK: Final = 32_768
"""Row-tree pairs that are stepped together, 1.2 MB of scratch: from 16,384 to 65,536 the time is the same, at
4,096 and 262,144 it is 1.4 and 1.7 times as long."""

N_PROBES: Final = 256
"""Rows made from the forest's own thresholds to verify it; the public call needs about 4 ms for them."""

N_ALONE: Final = 64
"""Rows that are also asked one by one, since one row takes a way of its own; 2 ms."""

MISSING_SHARE: Final = 0.05
"""Share of NaN among the probes' values: at depth 10 about 40 % of the paths meet one."""

BALANCED: Final = 1.4
"""Depth over mean path up to which stepping wins at any size: a step takes 3 ns a level, down to the deepest
leaf; ``tree_.predict`` 4.4 ns a level of the row's own path (benchmarks/forest_kernel.py)."""

MANY_NODES: Final = 400_000
"""Nodes (20 bytes each) up to which stepping finds them in the cache: at 290,000 it wins, at 870,000 it loses."""

MANY_ROWS: Final = 128
"""Rows from which adding trees wins for an unbalanced or large forest: measured 60 to 1,000."""

FEW_TREES: Final = 0.5
"""Trees per level below which adding trees wins at any size: a call of a tree takes about as long as a level."""

LEAF: Final = -1
"""How scikit-learn marks a node without children."""


class Scorer(Protocol):
    """What serves a model: a function of rows that may be called from several threads at once."""

    @property
    def name(self) -> str:
        """Say which code answers, for people."""

    @property
    def exact_kernel(self) -> bool:
        """Tell whether the fast kernel answers, rather than the public call."""

    def __call__(self, X: Floats) -> Floats:
        """Return (n, k) probabilities of a classifier, (n,) values of a regressor."""


@dataclass(frozen=True, slots=True, eq=False)
class PublicCall:
    """Serve any estimator by its public method, without starting workers.

    Parameters
    ----------
    estimator : object
        Anything with ``predict_proba``, or with a ``predict`` that answers numbers.
    exact_kernel : bool
        Always false; kept as a field so that every scorer shows it.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> model = DummyClassifier(strategy="prior").fit([[0.0], [1.0], [2.0]], [0, 1, 1])
    >>> PublicCall(model)(np.array([[5.0]])).round(2)
    array([[0.33, 0.67]])
    """

    estimator: Any
    exact_kernel: bool = False

    @property
    def name(self) -> str:
        """Name the method that answers."""
        return f"{type(self.estimator).__name__}.{self._method}"

    @property
    def _method(self) -> str:
        return "predict_proba" if hasattr(self.estimator, "predict_proba") else "predict"

    def __call__(self, X: Floats) -> Floats:
        """Return what the estimator answers, as float64."""
        # n_jobs may hide anywhere in a pipeline; this setting binds all of them, in this thread alone.
        with joblib.parallel_config(backend="sequential"):
            answer: Floats = np.asarray(getattr(self.estimator, self._method)(X), dtype=np.float64)
        return answer


@dataclass(frozen=True, slots=True, eq=False)
class FlatForest:
    """All trees of a forest in one set of arrays, stepped together level by level.

    Parameters
    ----------
    column : (m,) intp
        Which column of ``[x, -x]`` a node looks at (see Notes).
    threshold : (m,) float32
        A node sends a row to its second child where the column is greater; ``+inf`` in a leaf.
    first : (m,) intp
        The first child; the second is the next node. A leaf is its own first child.
    value : (m, k) float64
        What scikit-learn stores in the node.
    roots : (t,) intp
        First node of each tree, in the forest's order. Nodes lie level by level, all trees together.
    depth : int
        Levels of the deepest tree.
    n_features : int
        Columns d of a row.
    n_step : float
        Fewer rows than this are stepped, more are added tree by tree; from 0 to infinity.
    regressor : bool
        Whether the answer is (n,) rather than (n, k).
    trees : sequence
        The ``tree_`` objects: they answer for many rows at once where trees are deep.
    exact_kernel : bool
        Always true.
    name : str
        For people.

    Notes
    -----
    scikit-learn goes left where ``float32(x) <= threshold``, the threshold being float64, and sends NaN to the
    side that the node names. A comparison with NaN is false, so the side of NaN must be the first child:

    - missing goes left: the children stay in order, second where ``x > t``, t rounded down to float32;
    - missing goes right: the children are swapped, second where ``x <= t``, that is ``-x > prev(-t)``.

    Both are the one comparison ``[x, -x][column] > threshold``; no NaN is ever looked for. A leaf compares with
    ``+inf`` and stays where it is, so no row is ever masked. Trees are added in their order to zeros and
    divided once, as scikit-learn does: ``np.add.reduce`` over the first axis adds whole rows in order, unless
    a row is one number, where it would add in pairs; there ``np.add.accumulate`` keeps the order.

    Cost: seven passes over (t, n) numbers per level, 3 ns a number; 2 us a level at least.
    """

    column: Indices
    threshold: Singles
    first: Indices
    value: Floats
    roots: Indices
    depth: int
    n_features: int
    n_step: float
    regressor: bool
    trees: Sequence[Any]
    exact_kernel: bool = True
    name: str = "flat forest"

    def __call__(self, X: Floats) -> Floats:
        """Return the mean over trees: (n, k) probabilities, or (n,) values of a regressor.

        Raises
        ------
        ValueError
            When `X` has other columns than the model.
        """
        if X.shape[1] != self.n_features:
            raise ValueError(f"got {X.shape[1]} columns, the forest was trained on {self.n_features}")
        return self.step(X) if len(X) < self.n_step else self.add_trees(X)

    def step(self, X: Floats) -> Floats:
        """Answer by stepping all trees together, a chunk of rows at a time."""
        size = max(1, CHUNK // self.roots.size)
        if len(X) <= size:
            return self._shaped(self._step_chunk(X))
        out = np.empty((len(X), self.value.shape[1]))
        for start in range(0, len(X), size):
            out[start : start + size] = self._step_chunk(X[start : start + size])
        return self._shaped(out)

    def add_trees(self, X: Floats) -> Floats:
        """Answer by adding what each tree answers, without the ceremony around it."""
        rows = np.ascontiguousarray(X, dtype=np.float32)
        total = np.zeros((len(X), self.value.shape[1]))
        for tree in self.trees:
            total += tree.predict(rows)
        total /= len(self.trees)
        return self._shaped(total)

    def _step_chunk(self, X: Floats) -> Floats:
        mirrored = _mirror(X)
        leaves = self._leaves_of_one(mirrored[0]) if len(X) == 1 else self._leaves(mirrored)
        values = self.value.take(leaves, axis=0).reshape(self.roots.size, len(X), self.value.shape[1])
        total = _add_in_order(values)
        total /= self.roots.size
        return total

    def _leaves_of_one(self, x: Singles) -> Indices:
        column, threshold, first, node = self.column, self.threshold, self.first, self.roots
        for _ in range(self.depth):
            second = x.take(column.take(node)) > threshold.take(node)
            node = first.take(node)
            node += second.astype(np.intp)  # adding the truth values themselves takes twice as long
        return node

    def _leaves(self, mirrored: Singles) -> Indices:
        n, width = mirrored.shape
        x, row_starts = mirrored.ravel(), np.tile(np.arange(0, n * width, width), self.roots.size)
        column, threshold, first, node = self.column, self.threshold, self.first, self.roots.repeat(n)
        for _ in range(self.depth):
            place = column.take(node)
            place += row_starts
            second = x.take(place) > threshold.take(node)
            node = first.take(node)
            node += second.astype(np.intp)
        return node

    def _shaped(self, total: Floats) -> Floats:
        return total[:, 0] if self.regressor else total


def _mirror(X: Floats) -> Singles:
    n, d = X.shape
    mirrored = np.empty((n, 2 * d), dtype=np.float32)
    mirrored[:, :d] = X
    np.negative(mirrored[:, :d], out=mirrored[:, d:])
    return mirrored


def _add_in_order(values: Floats) -> Floats:
    ordered = values[0].size > 1
    total: Floats = np.add.reduce(values, axis=0) if ordered else np.add.accumulate(values, axis=0)[-1]
    total += 0.0  # scikit-learn starts from zeros, which makes a sum of negative zeros positive
    return total


def compile_estimator(estimator: Any, *, X_check: Floats | None = None) -> Scorer:
    """Return the fastest scorer that answers bit for bit as the public call.

    Parameters
    ----------
    estimator : object
        A fitted estimator. One of `FORESTS` with a single output becomes a `FlatForest`.
    X_check : (n, d) float64, optional
        Rows on which the forest must agree as well, for example stored requests; it always must on rows made
        from its own thresholds.

    Returns
    -------
    Scorer
        `FlatForest`, or `PublicCall` for any other estimator and for a forest that did not agree.

    Notes
    -----
    Takes about 0.05 s for 100 trees of depth 10. The estimator must not be refitted afterwards.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> X = np.arange(20.0).reshape(10, 2)
    >>> model = RandomForestClassifier(5, random_state=0).fit(X, X[:, 0] > 9)
    >>> scorer = compile_estimator(model)
    >>> scorer.exact_kernel, np.array_equal(scorer(X), model.predict_proba(X))
    (True, True)
    """
    public = PublicCall(estimator)
    if type(estimator) not in FORESTS or estimator.n_outputs_ != 1:
        return public
    forest = flatten(estimator)
    checks = [probes(forest, np.random.default_rng(0))]
    if X_check is not None and len(X_check):
        checks.append(X_check)
    return forest if all(agrees(forest, public, X) for X in checks) else public


def flatten(estimator: Any) -> FlatForest:
    """Lay a fitted forest out in arrays, unverified.

    Parameters
    ----------
    estimator : object
        Fitted, one of `FORESTS`, single output.
    """
    trees = [member.tree_ for member in estimator.estimators_]
    column, threshold, first, value = _flatten_trees(trees)
    roots = np.arange(len(trees), dtype=np.intp)
    for array in (column, threshold, first, value, roots):
        array.flags.writeable = False
    return FlatForest(
        column=column,
        threshold=threshold,
        first=first,
        value=value,
        roots=roots,
        depth=max(tree.max_depth for tree in trees),
        n_features=estimator.n_features_in_,
        n_step=_rows_to_step(trees),
        regressor=base.is_regressor(estimator),
        trees=tuple(trees),
    )


def _rows_to_step(trees: Sequence[Any]) -> float:
    depth = max(tree.max_depth for tree in trees)
    if len(trees) < FEW_TREES * depth:
        return 0
    balanced = depth <= BALANCED * sum(_mean_path(tree) for tree in trees) / len(trees)
    cached = sum(tree.node_count for tree in trees) <= MANY_NODES
    return np.inf if balanced and cached else MANY_ROWS


def _mean_path(tree: Any) -> float:
    weight = tree.weighted_n_node_samples
    return float(weight[tree.children_left != LEAF].sum() / weight[0])


def _flatten_trees(trees: Sequence[Any]) -> tuple[Indices, Singles, Indices, Floats]:
    sizes = [tree.node_count for tree in trees]
    roots = np.cumsum([0, *sizes[:-1]], dtype=np.intp)
    offset = np.repeat(roots, sizes)
    stays = np.concatenate([tree.missing_go_to_left for tree in trees]).astype(bool)
    leaf = np.concatenate([tree.children_left for tree in trees]) == LEAF
    left = np.concatenate([tree.children_left for tree in trees]) + offset
    right = np.concatenate([tree.children_right for tree in trees]) + offset
    feature = np.concatenate([tree.feature for tree in trees])
    threshold = _comparable(np.concatenate([tree.threshold for tree in trees]), stays)
    value = np.concatenate([tree.value[:, 0, :] for tree in trees])

    children = np.where(stays, [left, right], [right, left]).T
    order = _level_order(roots, children, leaf)
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    column = np.where(leaf, 0, np.where(stays, feature, feature + trees[0].n_features))
    first = np.where(leaf, place, place[np.where(leaf, 0, children[:, 0])])
    return column[order], np.where(leaf, np.float32(np.inf), threshold)[order], first[order], value[order]


def _level_order(roots: Indices, children: Indices, leaf: NDArray[np.bool_]) -> Indices:
    # the upper levels of all trees, which every row meets, share few cache lines: 1.2 times as fast
    level, order = roots, [roots]
    while level.size:
        level = children[level[~leaf[level]]].ravel()
        order.append(level)
    return np.concatenate(order)


def _comparable(threshold: Floats, stays: NDArray[np.bool_]) -> Singles:
    lowest = np.float32(-np.inf)
    rounded = threshold.astype(np.float32)
    down = np.where(rounded > threshold, np.nextafter(rounded, lowest), rounded)
    return np.where(stays, down, np.nextafter(-down, lowest))


def probes(forest: FlatForest, rng: np.random.Generator) -> Floats:
    """Draw rows that lie on the forest's thresholds, one float32 beside them, and in part are missing.

    Parameters
    ----------
    forest : FlatForest
        Whose thresholds.
    rng : Generator
        Draws the rows.

    Returns
    -------
    (N_PROBES, d) float64
    """
    X = np.column_stack([_near_thresholds(forest, j, rng) for j in range(forest.n_features)])
    X[rng.random(X.shape) < MISSING_SHARE] = np.nan
    return X


def _near_thresholds(forest: FlatForest, j: int, rng: np.random.Generator) -> Floats:
    inner = np.isfinite(forest.threshold)
    plain = forest.threshold[inner & (forest.column == j)]
    mirrored = -forest.threshold[inner & (forest.column == j + forest.n_features)]
    drawn = rng.choice(np.concatenate([plain, mirrored, np.zeros(1, np.float32)]), N_PROBES)
    aims = rng.choice([-np.inf, np.inf], N_PROBES).astype(np.float32)
    with np.errstate(over="ignore"):
        beside = np.nextafter(drawn, aims)
    usable = np.isfinite(beside) & (rng.random(N_PROBES) < 2 / 3)
    return np.where(usable, beside, drawn).astype(np.float64)


def agrees(forest: FlatForest, public: Scorer, X: Floats) -> bool:
    """Tell whether the forest equals the public call bit for bit, by either way, at once and row by row.

    Parameters
    ----------
    forest : FlatForest
        To be verified.
    public : Scorer
        What it has to equal.
    X : (n, d) float64
        At least one row.
    """
    wanted = public(X)
    alone = np.concatenate([forest.step(X[i : i + 1]) for i in range(min(len(X), N_ALONE))])
    return (
        _same_bits(forest.step(X), wanted)
        and _same_bits(forest.add_trees(X), wanted)
        and _same_bits(alone, wanted[:N_ALONE])
    )


def _same_bits(a: Floats, b: Floats) -> bool:
    return a.shape == b.shape and a.tobytes() == b.tobytes()
