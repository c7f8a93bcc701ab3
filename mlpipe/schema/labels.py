"""Labels <-> float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe import errors
from mlpipe.schema import faults
from mlpipe.schema.contract import Target
from mlpipe.schema.table import Table

Floats = NDArray[np.float64]


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


def decode_label(values: Floats | Sequence[float], target: Target) -> list[bool | int | float | str | None]:
    """Return stored labels or outputs as JSON values; NaN becomes None.

    Examples
    --------
    >>> decode_label(np.array([1.0, np.nan]), Target(task="classification", kind="integer", classes=(0, 1)))
    [1, None]
    """
    numbers: list[float] = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if target.kind == "string":
        return [entry(target.classes, code) for code in numbers]
    if target.kind == "boolean":
        return [None if math.isnan(number) else bool(number) for number in numbers]
    if target.kind == "integer":
        return whole(numbers)
    return [None if math.isnan(number) else number for number in numbers]


def whole(numbers: list[float]) -> list[Any]:
    """Return numbers as int where they are whole, and NaN as None.

    Examples
    --------
    >>> whole([2.0, math.nan, 0.5])
    [2, None, 0.5]
    """
    return [None if math.isnan(value) else int(value) if value.is_integer() else value for value in numbers]


def entry(entries: Sequence[Any], code: float) -> Any:
    """Return an entry of a dictionary; None for missing, unseen, or newer than this dictionary.

    Examples
    --------
    >>> entry(("red", "blue"), 1.0), entry(("red", "blue"), -1.0)
    ('blue', None)
    """
    return entries[int(code)] if 0 <= code < len(entries) else None
