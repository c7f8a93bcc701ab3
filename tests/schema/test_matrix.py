from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpipe import errors
from mlpipe.schema import growth, matrix
from mlpipe.schema.contract import UNSEEN_CODE, Column, Schema
from tests.schema.build import ROWS, body, fault_of, numeric, places, refused, schema

COLOUR = Column(name="colour", kind="category", categories=("red", "blue"))
FLAG = Column(name="flag", kind="boolean")
COUNT = Column(name="count", kind="integer")
MIXED = schema(*numeric("size"), COLOUR, FLAG, COUNT)


def encode(found: Schema, **members: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    return matrix.encode(matrix.decode_batch(body(**members), max_rows=ROWS), found)


def test_each_kind_has_its_code() -> None:
    X = encode(MIXED, features=[[1.5, "blue", True, 7], [None, None, None, None], [2, "green", False, 8.0]])
    np.testing.assert_array_equal(X, [[1.5, 1, 1, 7], [np.nan] * 4, [2, UNSEEN_CODE, 0, 8]])
    assert X.dtype == np.float64
    assert X.flags.c_contiguous


def test_records_are_put_in_order() -> None:
    record = {"count": 7, "flag": False, "colour": "red", "size": 0}
    np.testing.assert_array_equal(encode(MIXED, records=[record]), [[0, 0, 0, 7]])


@pytest.mark.parametrize("last", [5, "x"])
def test_named_rows_are_put_in_order(last: Any) -> None:
    found = schema(*numeric("a"), Column(name="b", kind="category" if last == "x" else "numeric", categories=()))
    X = encode(found, features=[[last, 4]], feature_names=["b", "a"])
    assert X[0, 0] == 4
    assert X.flags.c_contiguous


WRONG: list[tuple[list[Any], tuple[str, str]]] = [
    (["1.5", "red", True, 1], ("/features/1/0", "not_a_number")),
    ([True, "red", True, 1], ("/features/1/0", "boolean_for_number")),
    ([[1], "red", True, 1], ("/features/1/0", "not_a_number")),
    ([{}, "red", True, 1], ("/features/1/0", "not_a_number")),
    ([1e39, "red", True, 1], ("/features/1/0", "out_of_range")),
    ([10**400, "red", True, 1], ("/features/1/0", "out_of_range")),
    ([2**53 + 1, "red", True, 1], ("/features/1/0", "integer_too_large")),
    ([1, 3, True, 1], ("/features/1/1", "not_a_string")),
    ([1, True, True, 1], ("/features/1/1", "not_a_string")),
    ([1, ["red"], True, 1], ("/features/1/1", "not_a_string")),
    ([1, "red", 2, 1], ("/features/1/2", "not_a_boolean")),
    ([1, "red", "true", 1], ("/features/1/2", "not_a_boolean")),
    ([1, "red", True, "1"], ("/features/1/3", "not_a_number")),
    ([1, "red", True, False], ("/features/1/3", "boolean_for_number")),
]


@pytest.mark.parametrize(("row", "place"), WRONG)
def test_wrong_value_is_pointed_at(row: list[Any], place: tuple[str, str]) -> None:
    good = [1, "red", True, 1]
    assert places(refused(lambda: encode(MIXED, features=[good, row]))) == [place]


@pytest.mark.parametrize(("row", "place"), WRONG)
def test_wrong_value_of_a_record_is_pointed_at_by_name(row: list[Any], place: tuple[str, str]) -> None:
    pointer = f"/records/0/{MIXED.names[int(place[0][-1])]}"
    fault = refused(lambda: encode(MIXED, records=[dict(zip(MIXED.names, row, strict=True))]))
    assert places(fault) == [(pointer, place[1])]


def test_wrong_value_of_a_sample_is_pointed_at() -> None:
    table = matrix.decode_sample(body(record={"size": "1", "colour": "red", "flag": True, "count": 1}))
    assert places(refused(lambda: matrix.encode(table, MIXED))) == [("/record/size", "not_a_number")]


def test_number_in_a_string_is_told_how_to_be_sent() -> None:
    assert 'Send 1.5, not "1.5"' in refused(lambda: encode(schema(*numeric("a")), features=[["1.5"]])).detail


def test_wrong_value_is_pointed_at_where_the_client_put_it() -> None:
    fault = refused(lambda: encode(schema(*numeric("a", "b")), features=[["x", 4]], feature_names=["b", "a"]))
    assert places(fault) == [("/features/0/0", "not_a_number")]


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 12345678901234567890])
def test_integer_that_float64_would_change_is_refused(value: int) -> None:
    assert places(refused(lambda: encode(schema(*numeric("a")), features=[[value]]))) == [
        ("/features/0/0", "integer_too_large")
    ]


@pytest.mark.parametrize("value", [2**53, 2**60, -(2**53), 1e17, 9007199254740993.0, 3.4e38])
def test_large_number_that_float64_holds_is_taken(value: float) -> None:
    assert encode(schema(*numeric("a")), features=[[value]])[0, 0] == value


@pytest.mark.parametrize("literal", ["1e999", "-1e999", "3.5e38", "1" + "0" * 400, "1" + "0" * 5000])
def test_number_out_of_range_is_pointed_at(literal: str) -> None:
    raw = f'{{"features": [[1], [{literal}]]}}'.encode()
    for decode in (matrix.decode_batch, lambda *a, **k: matrix.decode_predict(*a, **k).table):
        fault = refused(lambda decode=decode: matrix.encode(decode(raw, max_rows=9), schema(*numeric("a"))))  # type: ignore[misc]
        assert places(fault) == [("/features/1/0", "out_of_range")]


def test_plain_number_is_no_category() -> None:
    assert places(refused(lambda: encode(schema(COLOUR), features=[[1]]))) == [("/features/0/0", "not_a_string")]


@pytest.mark.parametrize(("value", "code"), [(0, 0.0), (1, 1.0), (1.0, 1.0)])
def test_zero_and_one_are_booleans(value: float, code: float) -> None:
    assert encode(schema(FLAG), features=[[value]])[0, 0] == code


@pytest.mark.parametrize("rows", [[[1.0]], [["x"]]])
def test_wrong_width_names_both(rows: list[Any]) -> None:
    fault = refused(lambda: encode(schema(*numeric("a", "b")), features=rows))
    assert places(fault) == [("/features/0", "wrong_width")]
    assert "1 values" in fault.detail
    assert "2 columns" in fault.detail


@pytest.mark.parametrize(
    ("record", "place"),
    [
        ({"a": 1}, ("/records/1", "missing_column")),
        ({"a": 1, "b": 1, "c/d": 1}, ("/records/1/c~1d", "unknown_column")),
        ({"a": 1, "c": 1}, ("/records/1", "missing_column")),
    ],
)
def test_record_names_all_columns_and_no_other(record: dict[str, Any], place: tuple[str, str]) -> None:
    fault = refused(lambda: encode(schema(*numeric("a", "b")), records=[{"b": 1, "a": 2}, record]))
    assert places(fault) == [place]


@pytest.mark.parametrize(
    ("names", "place"),
    [
        (["a"], ("/feature_names", "missing_column")),
        (["a", "b", "c"], ("/feature_names/2", "unknown_column")),
    ],
)
def test_feature_names_name_all_columns_and_no_other(names: list[str], place: tuple[str, str]) -> None:
    rows = [[1] * len(names)]
    fault = refused(lambda: encode(schema(*numeric("a", "b")), features=rows, feature_names=names))
    assert places(fault) == [place]


@pytest.mark.parametrize("rows", [[["x"] * 20] * 5_000, [[2**53 + 1] * 20] * 5_000])
def test_many_violations_are_counted_and_the_first_told(rows: list[Any]) -> None:
    fault = refused(lambda: encode(schema(*numeric(*"abcdefghijklmnopqrst")), features=rows))
    assert fault.total == 100_000
    assert [violation.pointer for violation in fault.violations] == [f"/features/0/{place}" for place in range(20)]


def test_missing_value_is_refused_where_it_is_not_allowed() -> None:
    found = schema(Column(name="a", kind="numeric", missing_allowed=False))
    assert places(refused(lambda: encode(found, features=[[1], [None]]))) == [("/features/1/0", "missing_value")]


def test_unseen_categories_are_counted() -> None:
    X = encode(schema(COLOUR, FLAG), features=[["green", True], ["black", True], ["red", True], [None, True]])
    assert matrix.unseen_counts(X, schema(COLOUR, FLAG)) == {"colour": 2}


def test_prediction_of_plain_numbers_equals_that_of_python_values() -> None:
    rows = [[1.5, None], [3, -0.25]]
    fast = matrix.decode_predict(body(features=rows), max_rows=9).table
    found = schema(*numeric("a", "b"))
    np.testing.assert_array_equal(matrix.encode(fast, found), matrix.encode(matrix.Table(rows=rows), found))


CELLS = st.none() | st.integers(-(2**53), 2**53) | st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.integers(1, 4).flatmap(lambda d: st.lists(st.lists(CELLS, min_size=d, max_size=d), min_size=1, max_size=5)))
def test_numbers_keep_their_values_on_both_paths(rows: list[list[float | None]]) -> None:
    raw = json.dumps({"features": rows}).encode()
    table = matrix.decode_batch(raw, max_rows=9)
    found = schema(*numeric(*"abcd"[: len(rows[0])]))
    expected = np.array([[np.nan if value is None else float(value) for value in row] for row in rows])
    np.testing.assert_array_equal(matrix.encode(table, found), expected)
    np.testing.assert_array_equal(matrix.encode(table.literal(), found), expected)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
KINDS = {
    "n": st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
    "i": st.none() | st.integers(-1000, 1000),
    "b": st.none() | st.booleans(),
    "c": st.none() | TEXT,
}


@given(st.lists(st.fixed_dictionaries(KINDS), min_size=1, max_size=6))
def test_values_come_back_as_they_were_sent(records: list[dict[str, Any]]) -> None:
    table = matrix.decode_batch(json.dumps({"records": records}).encode(), max_rows=9)
    found = growth.infer(table)
    back = matrix.row_values(matrix.encode(table, found), found)
    assert back == [tuple(record[name] for name in found.names) for record in records]


@given(
    st.lists(st.fixed_dictionaries({"a": st.none() | st.integers() | st.floats() | TEXT | st.booleans()}), min_size=1)
)
def test_any_column_is_encoded_or_refused(records: list[dict[str, Any]]) -> None:
    table = matrix.Table(rows=records, form="records")
    fault = fault_of(lambda: matrix.encode(table, growth.infer(table)))
    if isinstance(fault, errors.SchemaViolation):
        assert fault.total >= len(fault.violations) > 0
    else:
        assert fault is None
