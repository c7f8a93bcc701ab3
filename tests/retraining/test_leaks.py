from __future__ import annotations

import numpy as np
import pytest

from mlpipe.retraining import leaks


def test_a_column_that_is_the_label_under_other_codes_is_found(rng: np.random.Generator) -> None:
    y = rng.integers(0, 3, 90) * 1.0
    X = np.column_stack([np.array([7.0, 5.0, 6.0])[y.astype(int)], rng.normal(size=90)])
    assert leaks.find_leaks(X, y, ["a", "b"], classification=True).equal == ("a",)


def test_a_good_column_is_no_leak(rng: np.random.Generator) -> None:
    X = rng.normal(size=(500, 2))
    y = (X[:, 0] + 0.1 * rng.normal(size=500) > 0) * 1.0
    found = leaks.find_leaks(X, y, ["a", "b"], classification=True)
    assert (found.equal, found.perfect, found.constant) == ((), (), ())


@pytest.mark.parametrize(("slope", "field"), [(1.0, "equal"), (2.0, "perfect")])
def test_a_value_that_is_a_straight_line_of_a_column_is_found(
    slope: float, field: str, rng: np.random.Generator
) -> None:
    X = rng.normal(size=(60, 1))
    assert getattr(leaks.find_leaks(X, slope * X[:, 0], ["a"], classification=False), field) == ("a",)


def test_copies_count_only_where_they_are_new(rng: np.random.Generator) -> None:
    few = rng.integers(0, 3, size=(600, 2)) * 1.0
    fresh = np.arange(600) >= 500
    assert not leaks.surplus_copies(few, few[:, 0], fresh).any()  # data of few values repeat themselves
    many = rng.normal(size=(600, 2))
    many[500:] = many[500]
    assert leaks.surplus_copies(many, many[:, 0], fresh).sum() == 99


def test_a_slow_column_is_not_stuck(rng: np.random.Generator) -> None:
    X = np.column_stack([np.arange(1000) // 250, rng.normal(size=1000)]) * 1.0
    fresh = np.arange(1000) >= 900
    assert leaks.stuck(X, rng.normal(size=1000), fresh, ["month", "b"], classification=False) == []


def test_labels_that_stand_still_are_stuck(rng: np.random.Generator) -> None:
    X, y = rng.normal(size=(1000, 1)), rng.integers(0, 2, 1000) * 1.0
    y[900:] = 1
    assert leaks.stuck(X, y, np.arange(1000) >= 900, ["a"], classification=True) == ["the label"]
