"""JSON <-> float64 matrix, the only such code.

Other stages use this module alone; the forms of messages are read in ``messages`` and ``lines``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe import errors
from mlpipe.schema import check, faults, labels
from mlpipe.schema.contract import UNSEEN_CODE, Column, Kind, Schema
from mlpipe.schema.feedback import FeedbackItem, decode_feedback
from mlpipe.schema.labels import decode_label, encode_labels
from mlpipe.schema.lines import LineError, LinePart, Lines, decode_lines
from mlpipe.schema.messages import (
    PredictBody,
    decode_batch,
    decode_predict,
    decode_sample,
)
from mlpipe.schema.numbers import all_exact, as_float, inexact
from mlpipe.schema.table import Table, arrange

__all__ = [
    "FeedbackItem",
    "LineError",
    "LinePart",
    "Lines",
    "PredictBody",
    "Table",
    "decode_batch",
    "decode_feedback",
    "decode_label",
    "decode_lines",
    "decode_predict",
    "decode_sample",
    "encode",
    "encode_labels",
    "row_values",
    "unseen_counts",
]

Floats = NDArray[np.float64]

_NUMBERS: frozenset[type] = frozenset({int, float, type(None)})
_ACCEPTED: dict[Kind, frozenset[type]] = {
    "numeric": _NUMBERS,
    "integer": _NUMBERS,
    "boolean": _NUMBERS | {bool},
    "category": frozenset({str, type(None)}),
}


# In -------------------------------------------------------------------------------------------------------------


def encode(table: Table, schema: Schema) -> Floats:
    """Return a table's rows as vectors in the order of a schema, checked.

    Parameters
    ----------
    table : Table
        Decoded rows.
    schema : Schema
        With d columns.

    Returns
    -------
    ndarray of float64, shape (n, d)
        NaN is missing; a category that the dictionary does not hold is `UNSEEN_CODE`.

    Raises
    ------
    errors.SchemaViolation
        Values, names or the width do not fit; the pointers say where.

    Examples
    --------
    >>> schema = Schema(version=1, columns=(Column(name="a", kind="numeric"), Column(name="b", kind="boolean")))
    >>> encode(Table(rows=[{"b": True, "a": 1}, {"a": None, "b": False}], form="records"), schema)
    array([[ 1.,  1.],
           [nan,  0.]])
    """
    arranged = arrange(table, schema.names)
    found = faults.Faults()
    if isinstance(arranged.columns, np.ndarray):
        X = arranged.columns
        if schema.takes_any_number:
            return X
        _refuse_numbers_as_categories(X, schema, found, where=arranged.where)
    else:
        X = _encode_columns(arranged.columns, schema, found, where=arranged.where)
    found.raise_any()
    check.check(X, schema, where=arranged.where).raise_any()
    return X


def _refuse_numbers_as_categories(X: Floats, schema: Schema, found: faults.Faults, *, where: faults.Where) -> None:
    for place, column in enumerate(schema.columns):
        if column.kind == "category":
            values = X[:, place]
            found.add(np.flatnonzero(~np.isnan(values)), place, where=where, tell=_clash(column, values))


def _encode_columns(
    columns: Sequence[Sequence[Any]], schema: Schema, found: faults.Faults, *, where: faults.Where
) -> Floats:
    usable = [_usable(columns[place], place, schema, found, where) for place in range(schema.width)]
    X = np.ascontiguousarray(_numbers(usable).T)
    if not all_exact(X):
        for place in schema.of_kind("numeric") + schema.of_kind("integer"):
            bad = inexact(usable[place])
            found.add(bad, place, where=where, tell=_inexact(schema.columns[place], usable[place]))
    return X


def _usable(
    values: Sequence[Any], place: int, schema: Schema, found: faults.Faults, where: faults.Where
) -> Sequence[Any]:
    """Return a column as numbers and None; what its kind does not accept is noted and left out."""
    column = schema.columns[place]
    accepted = _ACCEPTED[column.kind]
    if not accepted.issuperset(map(type, values)):
        bad = [row for row, value in enumerate(values) if type(value) not in accepted]
        found.add(bad, place, where=where, tell=_clash(column, values))
        values = [value if type(value) in accepted else None for value in values]
    if column.kind == "category":
        return list(map(column.codes.get, values, repeat(UNSEEN_CODE)))
    return values


def _numbers(columns: Sequence[Sequence[Any]]) -> Floats:
    try:
        return np.array(columns, dtype=np.float64)
    except OverflowError:
        return np.array([[math.nan if value is None else as_float(value) for value in values] for values in columns])


def _clash(column: Column, values: Sequence[Any] | Floats) -> faults.Tell:
    """Tell which kind a value has and which one its column."""
    name = f"Column {errors.quoted(column.name)} is {column.kind}"
    numeric = isinstance(values, np.ndarray)

    def tell(row: int) -> tuple[str, str]:
        value = float(values[row]) if numeric else values[row]
        return _clash_code(value, column.kind), f"{name}: got {faults.a_value(value)}. {_advice(value, column.kind)}"

    return tell


def _clash_code(value: object, kind: Kind) -> str:
    if kind == "category":
        return "not_a_string"
    if isinstance(value, bool):
        return "boolean_for_number"
    return "not_a_boolean" if kind == "boolean" else "not_a_number"


def _advice(value: object, kind: Kind) -> str:
    if isinstance(value, (list, dict)):
        return "A value is one number, string, boolean or null."
    if kind == "category":
        return "Send it as a string."
    if kind == "boolean":
        return "Send true or false, or null for a missing value."
    if isinstance(value, str):
        return 'Send 1.5, not "1.5", and null for a missing value.'
    return "Send a number: 1 and 0 where that is what is meant."


def _inexact(column: Column, values: Sequence[Any]) -> faults.Tell:
    name = f"Column {errors.quoted(column.name)}"
    expected = "is beyond 2**53 and has no exact float64; send an id as a string, or a float such as 1e16"
    return lambda row: ("integer_too_large", f"{name}: the integer {errors.quoted(values[row])} {expected}.")


def unseen_counts(X: Floats, schema: Schema) -> dict[str, int]:
    """Return how many values of each category column its dictionary does not hold; columns without any are left out.

    Examples
    --------
    >>> schema = Schema(version=1, columns=(Column(name="colour", kind="category", categories=("red",)),))
    >>> unseen_counts(np.array([[0.0], [-1.0], [-1.0]]), schema)
    {'colour': 2}
    """
    places = [place for place, column in enumerate(schema.columns) if column.kind == "category"]
    counts = np.count_nonzero(X[:, places] == UNSEEN_CODE, axis=0).tolist()
    return {schema.names[place]: n for place, n in zip(places, counts, strict=True) if n}


# Out ------------------------------------------------------------------------------------------------------------


def row_values(X: Floats, schema: Schema) -> list[tuple[Any, ...]]:
    """Return vectors as rows of JSON values.

    Parameters
    ----------
    X : ndarray of float64, shape (n, d)
        Vectors of any version of the schema: dictionaries only grow.
    schema : Schema
        With d columns.

    Returns
    -------
    list of tuple
        A missing value is None, and so is an unseen category: its text was not stored.

    Examples
    --------
    >>> columns = (Column(name="n", kind="integer"), Column(name="colour", kind="category", categories=("red",)))
    >>> row_values(np.array([[3.0, 0.0], [np.nan, -1.0]]), Schema(version=1, columns=columns))
    [(3, 'red'), (None, None)]
    """
    columns = [_column_values(X[:, place].tolist(), column) for place, column in enumerate(schema.columns)]
    return list(zip(*columns, strict=True))


def _column_values(numbers: list[float], column: Column) -> Iterable[Any]:
    if column.kind == "category":
        return [labels.entry(column.categories, code) for code in numbers]
    if column.kind == "boolean":
        return [None if math.isnan(number) else bool(number) for number in numbers]
    if column.kind == "integer":
        return labels.whole(numbers)
    return [None if math.isnan(number) else number for number in numbers]
