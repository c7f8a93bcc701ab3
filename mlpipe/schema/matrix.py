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
from mlpipe.schema import check, faults
from mlpipe.schema.contract import UNSEEN_CODE, Column, Kind, Schema, Target
from mlpipe.schema.lines import LineError, LinePart, Lines, decode_lines
from mlpipe.schema.messages import (
    FeedbackItem,
    PredictBody,
    decode_batch,
    decode_feedback,
    decode_predict,
    decode_sample,
)
from mlpipe.schema.numbers import EXACT, as_float, inexact
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
        X = np.empty((table.n_rows, schema.width))
        for place, column in enumerate(schema.columns):
            X[:, place] = _encode_column(arranged.columns[place], column, place, found, arranged.where)
    found.raise_any()
    check.check(X, schema, where=arranged.where).raise_any()
    return X


def _refuse_numbers_as_categories(X: Floats, schema: Schema, found: faults.Faults, *, where: faults.Where) -> None:
    for place, column in enumerate(schema.columns):
        if column.kind == "category":
            values = X[:, place]
            found.add(np.flatnonzero(~np.isnan(values)), place, where=where, tell=_clash(column, values))


def _encode_column(
    values: Sequence[Any], column: Column, place: int, found: faults.Faults, where: faults.Where
) -> Floats:
    accepted = _ACCEPTED[column.kind]
    types = set(map(type, values))
    if not types <= accepted:
        bad = [row for row, value in enumerate(values) if type(value) not in accepted]
        found.add(bad, place, where=where, tell=_clash(column, values))
        values = [value if type(value) in accepted else None for value in values]
    if column.kind == "category":
        return np.array(list(map(column.codes.get, values, repeat(UNSEEN_CODE))), dtype=np.float64)
    numbers = _numbers(values)
    if int in types and not np.fmax.reduce(np.abs(numbers), initial=0.0) < EXACT:
        found.add(inexact(values), place, where=where, tell=_inexact(column, values))
    return numbers


def _numbers(values: Sequence[Any]) -> Floats:
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        return np.array([math.nan if value is None else as_float(value) for value in values])


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


def encode_labels(labels: Table | Sequence[object], target: Target, *, where: faults.Where | None = None) -> Floats:
    """Return labels as float64.

    Parameters
    ----------
    labels : Table or sequence
        A table knows where its labels stand; those of a plain sequence are pointed to as ``/labels/3``.
    target : Target
        Numbers are stored as they are, booleans as 0 and 1, strings by their position in the classes.
    where : callable, optional
        From row (and 0) to the JSON pointer of a label.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN is not known yet.

    Raises
    ------
    errors.SchemaViolation
        A label is of the wrong kind, or a string that is no class.

    Examples
    --------
    >>> encode_labels(["b", None], Target(task="classification", kind="string", classes=("a", "b")))
    array([ 1., nan])
    """
    if isinstance(labels, Table):
        values: Sequence[object] = [None] * labels.n_rows if labels.labels is None else labels.labels
        where = where or labels.label_pointer
    else:
        values, where = labels, where or faults.at_list("labels")
    found = faults.Faults()
    bad = [row for row, label in enumerate(values) if not _label_fits(label, target)]
    found.add(bad, 0, where=where, tell=lambda row: _wrong_label(values[row], target))
    found.raise_any()
    if target.kind == "string":
        return np.array([target.codes[label] for label in values], dtype=np.float64)  # type: ignore[index]
    return np.array(values, dtype=np.float64)


def _label_fits(label: object, target: Target) -> bool:
    if label is None:
        return True
    if target.kind == "string":
        return isinstance(label, str) and label in target.codes
    if target.kind == "boolean":
        return isinstance(label, bool)
    if isinstance(label, bool) or not isinstance(label, (int, float)):
        return False
    return target.kind == "number" or (target.kind == "integer" and float(label).is_integer())


def _wrong_label(label: object, target: Target) -> tuple[str, str]:
    if target.kind is None:
        return "label_kind", f"The label is {faults.a_value(label)}, but the target is not known yet."
    if target.kind == "string" and isinstance(label, str):
        known = faults.some([str(name) for name in target.classes])
        return "unknown_class", f"{errors.quoted(label)} is no class of the target; known are {known}."
    what = {
        "string": "a string",
        "boolean": "true or false",
        "integer": "a whole number (the target is a class)",
        "number": "a number",
    }
    return (
        "label_kind",
        f"The label is {faults.a_value(label)}; expected {what[target.kind]}, or null if not known yet.",
    )


# Out ------------------------------------------------------------------------------------------------------------


def decode_label(values: Floats | Sequence[float], target: Target) -> list[bool | int | float | str | None]:
    """Return stored labels or outputs as JSON values; NaN becomes None.

    Examples
    --------
    >>> decode_label(np.array([1.0, np.nan]), Target(task="classification", kind="integer", classes=(0, 1)))
    [1, None]
    """
    numbers: list[float] = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if target.kind == "string":
        return [_entry(target.classes, code) for code in numbers]
    if target.kind == "boolean":
        return [None if math.isnan(number) else bool(number) for number in numbers]
    if target.kind == "integer":
        return _whole(numbers)
    return [None if math.isnan(number) else number for number in numbers]


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
        return [_entry(column.categories, code) for code in numbers]
    if column.kind == "boolean":
        return [None if math.isnan(number) else bool(number) for number in numbers]
    if column.kind == "integer":
        return _whole(numbers)
    return [None if math.isnan(number) else number for number in numbers]


def _whole(numbers: list[float]) -> list[Any]:
    return [None if math.isnan(value) else int(value) if value.is_integer() else value for value in numbers]


def _entry(entries: Sequence[Any], code: float) -> Any:
    """Return an entry of a dictionary; None for missing, unseen, or newer than this dictionary."""
    return entries[int(code)] if 0 <= code < len(entries) else None
