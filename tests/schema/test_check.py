from __future__ import annotations

import numpy as np
import pytest

from mlpipe.schema import check
from mlpipe.schema.contract import Column, Kind, Schema, Status
from tests.schema.build import numeric, schema


def one(kind: Kind, *, status: Status = "confirmed", missing_allowed: bool = True) -> Schema:
    categories = ("red", "blue") if kind == "category" else ()
    return schema(Column(name="a", kind=kind, categories=categories, missing_allowed=missing_allowed), status=status)


@pytest.mark.parametrize(
    ("kind", "values", "code"),
    [
        ("numeric", [1.0, np.inf], "out_of_range"),
        ("numeric", [1.0, -3.5e38], "out_of_range"),
        ("integer", [1.0, 1.5], "not_an_integer"),
        ("boolean", [1.0, 2.0], "not_a_boolean"),
        ("category", [1.0, 2.0], "unknown_code"),
        ("category", [-1.0, -2.0], "unknown_code"),
        ("category", [0.0, 0.5], "unknown_code"),
    ],
)
def test_value_that_its_kind_forbids_is_found(kind: Kind, values: list[float], code: str) -> None:
    found = check.check(np.array(values)[:, None], one(kind))
    assert [(violation.pointer, violation.code) for violation in found.violations] == [("/features/1/0", code)]


@pytest.mark.parametrize("kind", ["numeric", "integer", "boolean", "category"])
def test_missing_value_is_allowed_or_not(kind: Kind) -> None:
    X = np.array([[np.nan], [0.0]])
    assert not check.check(X, one(kind))
    assert [fault.code for fault in check.check(X, one(kind, missing_allowed=False)).violations] == ["missing_value"]


def test_fraction_is_allowed_in_a_draft() -> None:
    assert not check.check(np.array([[1.5]]), one("integer", status="draft"))


def test_largest_float32_is_taken() -> None:
    assert not check.check(np.array([[np.finfo(np.float32).max]], dtype=np.float64), one("numeric"))


def test_all_are_counted_and_the_first_told_row_by_row() -> None:
    found = check.check(np.full((100_000, 3), np.inf), schema(*numeric("a", "b", "c")))
    assert found.total == 300_000
    assert [fault.pointer for fault in found.violations[:4]] == [
        "/features/0/0",
        "/features/0/1",
        "/features/0/2",
        "/features/1/0",
    ]
    assert len(found.violations) == 20
    assert len(found.rows) == 100_000


def test_caller_says_where_cells_stand() -> None:
    found = check.check(np.array([[np.inf]]), one("numeric"), where=lambda row, column: f"/inputs/{column}/data/{row}")
    assert found.violations[0].pointer == "/inputs/0/data/0"
