from __future__ import annotations

import threading
from concurrent import futures
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import ensemble, linear_model, pipeline, preprocessing

from mlpipe.prediction import forest

Floats = NDArray[np.float64]
CLASSIFIERS = (ensemble.RandomForestClassifier, ensemble.ExtraTreesClassifier)
REGRESSORS = (ensemble.RandomForestRegressor, ensemble.ExtraTreesRegressor)
EDGE_ROWS = (1, 2, 3, 31, 500)


def rows(n: int, d: int, *, seed: int = 0, missing: float = 0.0, decimals: int = 1) -> Floats:
    # coarse values meet thresholds, ties and equal neighbours often
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).round(decimals)
    X[rng.random(X.shape) < missing] = np.nan
    return X


def target(X: Floats, kind: int) -> NDArray[Any]:
    score = np.nan_to_num(X).sum(axis=1) + np.random.default_rng(1).normal(size=len(X))
    return score if kind == 0 else np.floor(kind * (score - score.min()) / (np.ptp(score) + 1e-9))


def public(model: Any, X: Floats) -> Floats:
    call = getattr(model, "predict_proba", model.predict)
    return np.asarray(call(X))


def same_bits(a: Floats, b: Floats) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def fitted(kind: int = 2, *, n: int = 300, d: int = 4, missing: float = 0.1, seed: int = 0, **options: Any) -> Any:
    X = rows(n, d, seed=seed, missing=missing)
    family = REGRESSORS if kind == 0 else CLASSIFIERS
    return family[seed % 2](**{"n_estimators": 12, "random_state": seed, **options}).fit(X, target(X, kind))


@settings(max_examples=60, deadline=None)
@given(
    kind=st.integers(0, 6),
    n=st.integers(2, 120),
    d=st.integers(1, 6),
    n_estimators=st.integers(1, 20),
    max_depth=st.sampled_from([1, 2, 5, None]),
    missing=st.sampled_from([0.0, 0.2, 1.0]),
    n_rows=st.integers(1, 60),
    seed=st.integers(0, 1000),
)
def test_both_ways_equal_the_public_call(
    kind: int, n: int, d: int, n_estimators: int, max_depth: int | None, missing: float, n_rows: int, seed: int
) -> None:
    model = fitted(kind, n=n, d=d, missing=missing, seed=seed, n_estimators=n_estimators, max_depth=max_depth)
    flat = forest.flatten(model)
    X = rows(n_rows, d, seed=seed + 1, missing=0.2)
    assert same_bits(flat(X), public(model, X))
    assert same_bits(flat.step(X), public(model, X))
    assert same_bits(flat.add_trees(X), public(model, X))


@pytest.mark.parametrize("kind", [0, 1, 2, 5])
@pytest.mark.parametrize("n_rows", EDGE_ROWS)
def test_compiled_forest_is_exact(kind: int, n_rows: int) -> None:
    model = fitted(kind, n_estimators=40)
    scorer = forest.compile_estimator(model)
    X = rows(n_rows, 4, seed=7, missing=0.1, decimals=6)
    assert scorer.exact_kernel
    assert same_bits(scorer(X), public(model, X))


@pytest.mark.parametrize("kind", [0, 3])
def test_chunks_join_without_seam(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted(kind)
    flat = forest.flatten(model)
    X = rows(101, 4, seed=3, missing=0.1)
    monkeypatch.setattr(forest, "CHUNK", 12 * 10)
    assert same_bits(flat.step(X), public(model, X))


@pytest.mark.parametrize("kind", [0, 2])
def test_values_on_and_beside_thresholds(kind: int) -> None:
    model = fitted(kind, d=2)
    thresholds = np.unique(np.concatenate([member.tree_.threshold for member in model.estimators_]))
    thresholds = thresholds[np.isfinite(thresholds)]  # inf parts missing from present
    single = thresholds.astype(np.float32)
    near = [thresholds, single, np.nextafter(single, np.float32(np.inf)), np.nextafter(single, np.float32(-np.inf))]
    X = np.concatenate([np.column_stack([v, v[::-1]]).astype(np.float64) for v in near])
    assert same_bits(forest.flatten(model).step(X), public(model, X))


def test_zeros_of_both_signs_and_subnormals() -> None:
    # a mirrored threshold of zero is the smallest negative number: it must not be flushed
    X = np.array([[-1e-44], [-0.0], [0.0], [1e-44], [np.nan], [1.0], [-1.0]]).repeat(4, axis=0)
    model = ensemble.RandomForestRegressor(30, random_state=0).fit(X, np.arange(28.0))
    assert same_bits(forest.flatten(model).step(X), public(model, X))


@pytest.mark.parametrize("n_values", [1, 2])
def test_negative_zeros_add_up_to_zero_as_in_sklearn(n_values: int) -> None:
    assert same_bits(forest._add_in_order(np.full((3, n_values), -0.0)), np.zeros(n_values))


@pytest.mark.parametrize("family", [*CLASSIFIERS, *REGRESSORS])
def test_trees_of_one_leaf(family: Any) -> None:
    model = family(9, random_state=0).fit(rows(20, 3), np.ones(20))
    scorer = forest.compile_estimator(model)
    assert scorer.exact_kernel
    assert same_bits(scorer(rows(5, 3)), public(model, rows(5, 3)))


@pytest.mark.parametrize("labels", [[2.0, 3.0], ["no", "yes"], [-1, 7], [False, True]])
def test_labels_of_any_type(labels: list[Any]) -> None:
    X = rows(80, 3)
    model = ensemble.RandomForestClassifier(8, random_state=0).fit(X, np.array(labels)[target(X, 2).astype(int)])
    scorer = forest.compile_estimator(model)
    assert scorer.exact_kernel
    assert same_bits(scorer(X), public(model, X))


def test_weights_and_balanced_classes() -> None:
    X = rows(200, 3)
    model = ensemble.RandomForestClassifier(20, class_weight="balanced_subsample", random_state=0)
    model.fit(X, target(X, 3), sample_weight=np.linspace(0.1, 3.0, 200))
    assert same_bits(forest.compile_estimator(model)(X), public(model, X))


@pytest.mark.parametrize(
    "shape", [(100, 1, 1), (100, 1, 2), (300, 1, 7), (9, 5, 1), (200, 40, 3), (1, 1, 1), (50, 0, 1)]
)
def test_numbers_are_added_in_order(shape: tuple[int, ...]) -> None:
    # sizes over many magnitudes: any other order of adding shows in the last bits
    rng = np.random.default_rng(0)
    values = rng.normal(size=shape) * 10.0 ** rng.integers(-9, 9, size=shape)
    wanted = np.zeros(values.shape[1:])
    for one in values:
        wanted += one
    assert same_bits(forest._add_in_order(values), wanted)


@pytest.mark.parametrize(("kind", "shape"), [(0, (0,)), (3, (0, 3))])
def test_no_rows_give_no_answers(kind: int, shape: tuple[int, ...]) -> None:
    scorer = forest.compile_estimator(fitted(kind))
    assert scorer(np.empty((0, 4))).shape == shape


def test_row_order_in_memory_does_not_matter() -> None:
    model, X = fitted(2), rows(50, 8)
    for other in (np.asfortranarray(X[:, :4]), X[:, ::2], X[::-1, :4]):
        assert same_bits(forest.compile_estimator(model)(other), public(model, other))


def test_threads_do_not_disturb_one_another() -> None:
    model = fitted(3, n_estimators=50)
    scorer = forest.compile_estimator(model)
    parts = [rows(n, 4, seed=n, missing=0.1) for n in (1, 2, 40, 1, 300, 7) for _ in range(30)]
    with futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(scorer, parts))
    assert all(same_bits(got, public(model, X)) for got, X in zip(answers, parts, strict=True))


def test_arrays_cannot_be_changed() -> None:
    flat = forest.flatten(fitted(2))
    with pytest.raises(ValueError, match="read-only"):
        flat.value[0] = 0.0
    with pytest.raises(AttributeError):
        flat.depth = 1  # type: ignore[misc]


def test_other_number_of_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="got 5 columns"):
        forest.compile_estimator(fitted(2))(rows(3, 5))


@pytest.mark.parametrize(
    ("kind", "options"),
    [(2, {"monotonic_cst": [1, 0, -1, 0]}), (0, {"criterion": "absolute_error"}), (2, {"ccp_alpha": 0.01})],
)
def test_options_that_change_trees(kind: int, options: dict[str, Any]) -> None:
    model = fitted(kind, missing=0.0, n=150, **options)
    scorer, X = forest.compile_estimator(model), rows(50, 4, missing=0.2)
    assert scorer.exact_kernel
    assert same_bits(scorer(X), public(model, X))


def test_rows_at_which_the_way_changes() -> None:
    rng = np.random.default_rng(0)
    X = rng.exponential(size=(400, 1)) ** 4
    unbalanced = forest.flatten(ensemble.RandomForestRegressor(50, random_state=0).fit(X, X[:, 0]))
    balanced = forest.flatten(fitted(2, missing=0.0, max_depth=2, n_estimators=5))
    few = forest.flatten(fitted(0, n_estimators=1))
    assert (unbalanced.n_step, balanced.n_step, few.n_step) == (forest.MANY_ROWS, np.inf, 0)


@pytest.mark.parametrize(
    "model",
    [
        linear_model.LogisticRegression(),
        pipeline.make_pipeline(preprocessing.StandardScaler(), ensemble.RandomForestClassifier(5, n_jobs=2)),
        ensemble.HistGradientBoostingClassifier(max_iter=5),
        linear_model.LinearRegression(),
    ],
)
def test_other_estimators_answer_by_their_public_call(model: Any) -> None:
    X = rows(60, 3)
    model.fit(X, target(X, 2))
    scorer = forest.compile_estimator(model, X_check=X)
    assert not scorer.exact_kernel
    assert scorer.name.startswith(type(model).__name__)
    assert same_bits(scorer(X), public(model, X))


def test_subclass_and_many_outputs_are_not_flattened() -> None:
    class Mine(ensemble.RandomForestRegressor):
        pass

    X = rows(30, 2)
    both = ensemble.RandomForestRegressor(3).fit(X, X)
    assert not forest.compile_estimator(Mine(3).fit(X, X[:, 0])).exact_kernel
    assert not forest.compile_estimator(both).exact_kernel


def test_public_call_starts_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    X = rows(60, 3)
    model = pipeline.make_pipeline(ensemble.RandomForestClassifier(20, n_jobs=-1)).fit(X, target(X, 2))
    scorer = forest.compile_estimator(model)
    started: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", started.append)
    scorer(X)
    assert started == []


@pytest.mark.parametrize("field", ["value", "threshold"])
def test_forest_that_differs_is_not_used(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, model = forest.flatten, fitted(2)

    def slightly_wrong(estimator: Any) -> forest.FlatForest:
        flat = honest(estimator)
        array = getattr(flat, field)
        array.flags.writeable = True
        array[:] = np.nextafter(array, array.dtype.type(np.inf))
        return flat

    monkeypatch.setattr(forest, "flatten", slightly_wrong)
    scorer = forest.compile_estimator(model)
    assert (scorer.exact_kernel, scorer.name) == (False, "RandomForestClassifier.predict_proba")
    assert same_bits(scorer(rows(9, 4)), public(model, rows(9, 4)))


def test_rows_given_for_the_check_count(monkeypatch: pytest.MonkeyPatch) -> None:
    model, X = fitted(2), rows(9, 4)
    seen: list[Floats] = []

    def agrees(flat: forest.FlatForest, call: forest.Scorer, checked: Floats) -> bool:
        seen.append(checked)
        return checked is not X

    monkeypatch.setattr(forest, "agrees", agrees)
    assert not forest.compile_estimator(model, X_check=X).exact_kernel
    assert len(seen) == 2


def test_probes_lie_on_thresholds_and_miss_some_values() -> None:
    model = fitted(2)
    X = forest.probes(forest.flatten(model), np.random.default_rng(0))
    thresholds = np.concatenate([member.tree_.threshold for member in model.estimators_]).astype(np.float32)
    assert X.shape == (forest.N_PROBES, 4)
    assert 0.02 < np.isnan(X).mean() < 0.1
    assert np.isin(X.astype(np.float32), thresholds).mean() > 0.2
