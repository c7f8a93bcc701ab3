"""Matrix -> violations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe import errors
from mlpipe.schema import faults
from mlpipe.schema.contract import UNSEEN_CODE, Column, Schema

Floats = NDArray[np.float64]

LARGEST = float(np.finfo(np.float32).max)
"""Largest size of a value: trees store and compare float32 (scikit-learn, ``sklearn.tree._tree.DTYPE``)."""


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
    O(n d), vectorised; only columns with a narrower rule than "a number" are looked at one by one.

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
    for place, column in enumerate(schema.columns):
        values = X[:, place]
        if not column.missing_allowed:
            found.add(np.flatnonzero(np.isnan(values)), place, where=where, tell=_missing(column))
        if column.kind != "numeric":
            bad = np.flatnonzero(~(_fits(values, column, schema) | np.isnan(values)))
            found.add(bad, place, where=where, tell=_misfit(values, column))
    return found


def _fits(values: Floats, column: Column, schema: Schema) -> NDArray[np.bool_]:
    if column.kind == "boolean":
        return np.isin(values, (0.0, 1.0))
    if column.kind == "integer":
        confirmed = schema.status == "confirmed"
        return (values == np.floor(values)) | ~np.isfinite(values) if confirmed else np.ones(len(values), dtype=bool)
    return np.isin(values, np.arange(UNSEEN_CODE, len(column.categories)))


def _add_large(X: Floats, schema: Schema, found: faults.Faults, *, where: faults.Where) -> None:
    rows, columns = np.nonzero(np.abs(X) > LARGEST)
    for place in np.unique(columns).tolist():
        name = schema.names[place]
        found.add(rows[columns == place], place, where=where, tell=lambda _, name=name: _out_of_range(name))  # type: ignore[misc]


def _out_of_range(name: str) -> tuple[str, str]:
    detail = f"Column {errors.quoted(name)} got a number beyond ±{LARGEST:.4g}, the range of float32."
    return "out_of_range", f"{detail} Send it in a larger unit, or null if it is unknown."


def _missing(column: Column) -> faults.Tell:
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
