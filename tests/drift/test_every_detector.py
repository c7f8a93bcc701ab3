"""Properties that every registered detector has; a new one is tested by being registered."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import re

import numpy as np
import pytest

from mlpipe.drift.detectors import DETECTORS
from mlpipe.drift.detectors.descriptor import ALL_KINDS, Detector, Outcome
from tests.drift.conftest import compare

M, N = 2000, 400
EACH = [pytest.param(d, kind, id=f"{d.name}-{kind}") for d in DETECTORS.values() for kind in sorted(d.kinds)]
EVERY = [pytest.param(d, id=d.name) for d in DETECTORS.values()]
EVIDENT = [
    case for case in EACH if case.values[0].function(compare(*2 * [np.arange(20.0).reshape(10, 2)])).p_value is not None
]
ODD = {
    "constant": np.full(300, 7.0),
    "missing": np.full(300, np.nan),
    "nearly constant": np.where(np.arange(300) == 150, 1.0, 0.0),
    "half missing": np.where(np.arange(300) % 2, np.nan, np.arange(300.0)),
    "one value": np.array([3.0]),
    "huge": 1e308 * np.linspace(-1, 1, 300),
    "rounding": 1e9 + np.linspace(0, 1e-6, 300),
}


def draw(rng, kind, n, *, moved=0.0, missing=0.0):
    if kind == "numeric":
        values = rng.normal(moved, 1, size=n)
    elif kind == "integer":
        values = rng.poisson(40 + 8 * moved, size=n).astype(float)
    elif kind == "boolean":
        values = (rng.uniform(size=n) < 0.4 + 0.2 * moved).astype(float)
    else:
        values = rng.choice(5, size=n, p=np.array([0.4, 0.3, 0.15, 0.1, 0.05])).astype(float)
        values[rng.uniform(size=n) < 0.3 * moved] = 4.0
    values[rng.uniform(size=n) < missing] = np.nan
    return values


def rows(detector, rng, kind, n, *, moved=0.0, missing=0.0):
    """Draw what a detector reads: a column, or two that move together and with `moved` ever less."""
    if detector.scope == "column":
        return draw(rng, kind, n, moved=moved, missing=missing)
    common, own = rng.normal(size=n), rng.normal(size=n)
    other = common * (1 - moved / 1.4) + 0.5 * own
    pair = np.column_stack([common, other])
    pair[rng.uniform(size=pair.shape) < missing] = np.nan
    return np.round(20 * pair) if kind == "integer" else pair


def many(detector, rng, kind, n, moved=(0.0, 0.0, 0.0)):
    """Draw three columns."""
    columns = np.column_stack([draw(rng, kind, n, moved=m) for m in moved])
    return columns + columns[:, :1] if detector.scope == "pair" else columns


def chance(outcome: Outcome) -> float:
    """Return the chance of the column, or of the pair."""
    assert outcome.p_value is not None
    return float(outcome.p_value.flat[-1] if outcome.p_value.ndim == 1 else outcome.p_value[0, -1])


def chosen(figure: np.ndarray, index: list[int]) -> np.ndarray:
    """Return the figures of some columns, or of their pairs."""
    return figure[index] if figure.ndim == 1 else figure[np.ix_(index, index)]


def figures(outcome: Outcome) -> dict[str, np.ndarray]:
    p = {} if outcome.p_value is None else {"p": outcome.p_value}
    return {"statistic": outcome.statistic, **p, **outcome.details}


def assert_same(one: Outcome, other: Outcome) -> None:
    assert figures(one).keys() == figures(other).keys()
    for name, figure in figures(one).items():
        np.testing.assert_allclose(figure, figures(other)[name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("detector", EVERY)
def test_is_named_after_its_file_and_function(detector: Detector):
    module = importlib.import_module(f"mlpipe.drift.detectors.{detector.name}")
    assert module.DETECTOR is detector
    assert getattr(module, detector.name) is detector.function


@pytest.mark.parametrize("detector", EVERY)
def test_descriptor_is_complete_and_frozen(detector: Detector):
    assert detector.title
    assert detector.kinds
    assert detector.kinds <= ALL_KINDS
    assert np.isfinite(detector.threshold)
    with pytest.raises(dataclasses.FrozenInstanceError):
        detector.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("detector", EVERY)
def test_source_names_author_year_and_place(detector: Detector):
    assert re.match(r"[A-Z].* (19|20)\d\d", detector.source)


@pytest.mark.parametrize("detector", EVERY)
def test_docstring_tells_what_goes_in_and_comes_out(detector: Detector):
    text = inspect.getdoc(detector.function) or ""
    assert text.splitlines()[0].endswith(".")
    assert "Parameters\n" in text
    assert "Returns\n" in text


@pytest.mark.parametrize(("detector", "kind"), EACH)
def test_gives_one_figure_a_column_or_a_pair(detector, kind, pair, rng):
    reference = many(detector, rng, kind, M)
    outcome = detector.function(pair(reference, reference[:N], kind))
    shape = {"column": (3,), "pair": (3, 3)}[detector.scope]
    assert all(figure.shape == shape and figure.dtype == np.float64 for figure in figures(outcome).values())


@pytest.mark.parametrize(("detector", "kind"), EACH)
def test_is_silent_when_the_window_is_the_reference(detector, kind, pair, rng):
    same = rows(detector, rng, kind, M, missing=0.1)
    outcome = detector.function(pair(same, same, kind))
    np.testing.assert_allclose(np.nan_to_num(outcome.statistic), 0, atol=1e-12)
    assert outcome.p_value is None or chance(outcome) > 0.99


@pytest.mark.parametrize(("detector", "kind"), EACH)
def test_order_of_rows_does_not_matter(detector, kind, pair, rng):
    reference, window = rows(detector, rng, kind, M, missing=0.1), rows(detector, rng, kind, N, missing=0.2)
    mixed = pair(rng.permutation(reference), rng.permutation(window), kind)
    assert_same(detector.function(pair(reference, window, kind)), detector.function(mixed))


@pytest.mark.parametrize(("detector", "kind"), EACH)
def test_columns_do_not_touch_each_other(detector, kind, pair, rng):
    reference = many(detector, rng, kind, M)
    window = many(detector, rng, kind, N, moved=(0.0, 0.5, 1.0))
    together = figures(detector.function(pair(reference, window, kind)))
    for index in ([0], [1], [2]) if detector.scope == "column" else ([0, 1], [0, 2], [1, 2]):
        alone = figures(detector.function(pair(reference[:, index], window[:, index], kind)))
        for name, figure in together.items():
            np.testing.assert_allclose(chosen(figure, index), alone[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("detector", "kind"), EACH)
def test_taking_columns_first_gives_the_same(detector, kind, pair, rng):
    reference = many(detector, rng, kind, M)
    compared = pair(reference, reference[:N], kind)
    taken = figures(detector.function(compared.take(np.array([2, 0]))))
    for name, figure in figures(detector.function(compared)).items():
        np.testing.assert_allclose(taken[name], chosen(figure, [2, 0]), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("detector", [case for case in EVERY if case.values[0].scope == "pair"])
def test_a_pair_is_the_same_from_both_sides(detector, pair, rng):
    outcome = detector.function(pair(many(detector, rng, "numeric", M), many(detector, rng, "numeric", N), "numeric"))
    for figure in figures(outcome).values():
        np.testing.assert_allclose(figure, figure.T, rtol=1e-12)
        assert np.isnan(np.diag(figure)).all()


@pytest.mark.parametrize(("detector", "kind"), EACH)
def test_leaves_its_input_alone(detector, kind, pair, rng):
    compared = pair(rows(detector, rng, kind, M, missing=0.1), rows(detector, rng, kind, N, missing=0.1), kind)
    before = copy.deepcopy(compared)
    detector.function(compared)
    np.testing.assert_equal(dataclasses.asdict(compared), dataclasses.asdict(before))


@pytest.mark.parametrize(("detector", "kind"), EACH)
def test_says_the_same_twice(detector, kind, pair, rng):
    compared = pair(rows(detector, rng, kind, M), rows(detector, rng, kind, N, moved=1.0), kind)
    assert_same(detector.function(compared), detector.function(compared))


@pytest.mark.parametrize(("detector", "kind"), [case for case in EACH if case.values[1] == "numeric"])
def test_unit_of_a_number_does_not_matter(detector, kind, pair, rng):
    reference, window = rows(detector, rng, kind, M), rows(detector, rng, kind, N, moved=0.5)
    one = detector.function(pair(reference, window, kind))
    other = detector.function(pair(8 * reference - 3, 8 * window - 3, kind))
    np.testing.assert_allclose(one.statistic, other.statistic, rtol=1e-9)
    if one.p_value is not None:
        np.testing.assert_allclose(one.p_value, other.p_value, rtol=1e-9)


@pytest.mark.parametrize(("detector", "kind"), [case for case in EACH if case.values[1] == "category"])
def test_codes_of_categories_do_not_matter(detector, kind, pair, rng):
    reference, window = draw(rng, kind, M), draw(rng, kind, N, moved=0.5)
    renamed = np.array([3.0, 0.0, 4.0, 1.0, 2.0])
    other = pair(renamed[reference.astype(int)], renamed[window.astype(int)], kind)
    assert_same(detector.function(pair(reference, window, kind)), detector.function(other))


@pytest.mark.parametrize("now", ODD)
@pytest.mark.parametrize("before", ODD)
@pytest.mark.parametrize(("detector", "kind"), EACH)
def test_odd_columns_give_figures_not_warnings(detector, kind, before, now, pair):
    columns = 1 if detector.scope == "column" else 2
    reference, window = np.tile(ODD[before], (columns, 1)).T, np.tile(ODD[now], (columns, 1)).T
    outcome = detector.function(pair(reference, window, kind))
    assert not any(np.isinf(figure).any() for name, figure in figures(outcome).items() if name not in {"mean", "sd"})
    p = None if outcome.p_value is None else chance(outcome)
    assert p is None or 0 <= p <= 1 or (np.isnan(p) and detector.scope == "pair")


@pytest.mark.parametrize(("detector", "kind"), EVIDENT)
def test_a_larger_move_is_less_likely(detector, kind, pair, rng):
    reference = rows(detector, rng, kind, M)
    windows = [rows(detector, np.random.default_rng(1), kind, N, moved=m, missing=0.1 * m) for m in (0.0, 0.7, 1.4)]
    chances = [chance(detector.function(pair(reference, window, kind))) for window in windows]
    assert chances[0] > chances[1] > chances[2]
    assert chances[2] < 1e-6


@pytest.mark.parametrize(("detector", "kind"), EVIDENT)
def test_alike_neighbours_make_it_less_sure(detector, kind, pair, rng):
    reference, window = rows(detector, rng, kind, M), rows(detector, rng, kind, N, moved=0.7, missing=0.1)
    chances = [chance(detector.function(pair(reference, window, kind, tau))) for tau in (1.0, 3.0, 9.0)]
    assert chances[0] < chances[1] < chances[2]


@pytest.mark.parametrize(("detector", "kind"), EVIDENT)
def test_small_chances_are_as_rare_as_they_say(detector, kind, pair, rng):
    n = {"column": 400, "pair": 40}[detector.scope]
    reference = np.column_stack([draw(rng, kind, 4000, missing=0.05) for _ in range(n)])
    window = np.column_stack([draw(rng, kind, 250, missing=0.05) for _ in range(n)])
    chances = detector.function(pair(reference, window, kind)).p_value
    chances = chances[~np.isnan(chances)]
    assert len(chances) >= 400
    assert np.mean(chances < 0.05) < 0.08
    assert np.mean(chances < 0.01) < 0.025
