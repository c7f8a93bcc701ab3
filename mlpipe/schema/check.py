"""Matrix -> violations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe import errors
from mlpipe.schema import faults, numbers
from mlpipe.schema.contract import UNSEEN_CODE, Column, Schema

Floats = NDArray[np.float64]

LARGEST = numbers.LARGEST


def check(X: Floats, schema: Schema, *, where: faults.Where = faults.at_rows) -> faults.Faults:
    """Collect the values of a matrix that its schema does not allow.

    Parameters
    ----------
    X : ndarray of float64, shape (n, d)
        NaN is missing.
    schema : Schema
        With d columns. Whole numbers are asked for only where a person has confirmed the schema.
    where : callable
        From row and column to the JSON pointer of the cell.

    Returns
    -------
    Faults
        Empty, thus false, when all is well; ``violations``, ``total`` and ``rows`` say what is not.

    Notes
    -----
    O(n d), vectorised over all columns of a rule; columns are looked at one by one only where it is broken.

    Examples
    --------
    >>> from mlpipe.schema.contract import Column
    >>> schema = Schema(version=1, columns=(Column(name="age", kind="numeric"),))
    >>> [violation.code for violation in check(np.array([[1.0], [np.inf]]), schema).violations]
    ['out_of_range']
    """
    found = faults.Faults()
    # fmax passes over NaN, so that one reduction answers for the whole matrix
    if not np.fmax.reduce(np.abs(X), axis=None, initial=0.0) <= LARGEST:
        _add_large(X, schema, found, where=where)
    if schema.takes_any_number:
        return found
    for places, bad, tell in _rules(X, schema):
        if bad.any():
            for at, place in enumerate(places):
                found.add(np.flatnonzero(bad[:, at]), place, where=where, tell=tell(X[:, place], schema.columns[place]))
    return found


_Rule = tuple[list[int], NDArray[np.bool_], Callable[[Floats, Column], faults.Tell]]


def _rules(X: Floats, schema: Schema) -> Iterator[_Rule]:
    """Yield the columns of each narrower rule, and which of their values break it."""
    if schema.required:
        yield schema.required, np.isnan(X[:, schema.required]), _missing
    if places := schema.of_kind("boolean"):
        values = X[:, places]
        yield places, (values != 0.0) & (values != 1.0) & ~np.isnan(values), _misfit
    if schema.status == "confirmed" and (places := schema.of_kind("integer")):
        values = X[:, places]
        yield places, (values != np.floor(values)) & ~np.isnan(values), _misfit
    if places := schema.of_kind("category"):
        values = X[:, places]
        sizes = [len(schema.columns[place].categories) for place in places]
        outside = (values < UNSEEN_CODE) | (values >= sizes) | (values != np.floor(values))
        yield places, outside & ~np.isnan(values), _misfit


def _add_large(X: Floats, schema: Schema, found: faults.Faults, *, where: faults.Where) -> None:
    rows, columns = np.nonzero(np.abs(X) > LARGEST)
    for place in np.unique(columns).tolist():
        name = schema.names[place]
        found.add(rows[columns == place], place, where=where, tell=lambda _, name=name: _out_of_range(name))  # type: ignore[misc]


def _out_of_range(name: str) -> tuple[str, str]:
    detail = f"Column {errors.quoted(name)} got a number beyond ±{LARGEST:.4g}, the range of float32."
    return "out_of_range", f"{detail} Send it in a larger unit, or null if it is unknown."


def _missing(_: Floats, column: Column) -> faults.Tell:
    detail = f"Column {errors.quoted(column.name)} got null, but its schema allows no missing values."
    return lambda _: ("missing_value", detail)


def _misfit(values: Floats, column: Column) -> faults.Tell:
    rules: dict[str, tuple[str, str]] = {
        "boolean": ("not_a_boolean", "expected true or false, or 1 or 0"),
        "integer": ("not_an_integer", "expected a whole number"),
        "category": ("unknown_code", f"expected a code of its dictionary, -1 to {len(column.categories) - 1}"),
    }
    code, expected = rules[column.kind]
    name = errors.quoted(column.name)
    return lambda row: (code, f"Column {name} is {column.kind}: got {_number(values[row])}, {expected}.")


def _number(value: Any) -> str:
    return errors.quoted(float(value))
