"""What stands beside the rows of a message: labels, ids, names, versions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mlpipe import errors
from mlpipe.schema import faults, numbers
from mlpipe.schema.contract import LABEL, MAX_NAME

ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
"""How a version's own name may be written: a number is none, so that the two cannot be taken for each other."""

_LABEL_TYPES: frozenset[type] = frozenset({bool, int, float, str, type(None)})


def text_fault(value: object) -> str | None:
    """Say what keeps a value from being an id or a name, or None.

    Examples
    --------
    >>> text_fault("row 7") is None
    True
    >>> text_fault("")
    "Found the string ''; expected a string of 1 to 128 printable characters."
    """
    if isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable():
        return None
    return f"Found {faults.a_value(value)}; expected a string of 1 to {MAX_NAME} printable characters."


def labels(values: object, n_rows: int) -> list[object] | None:
    """Return the labels of a batch.

    Raises
    ------
    errors.SchemaViolation
        They are not one number, string, boolean or null for each row.
    """
    if values is None:
        return None
    listed = as_list(values, "labels", n_rows)
    check_labels(listed, where=faults.at_list("labels"))
    return listed


def check_labels(values: Sequence[object], *, where: faults.Where) -> None:
    """Refuse labels that are neither number, string, boolean nor null, or that float64 cannot hold.

    Raises
    ------
    errors.SchemaViolation
        Some are; the pointers say which.
    """
    types = set(map(type, values))
    if types <= {bool, type(None)}:
        return
    found = faults.Faults()
    bad = [row for row, value in enumerate(values) if label_fault(value)]
    found.add(bad, 0, where=where, tell=lambda row: label_fault(values[row]) or ("", ""))
    found.raise_any()


def label_fault(value: Any) -> tuple[str, str] | None:
    """Return the code and the sentence of what is wrong with a raw label, or None."""
    kind = type(value)
    if kind not in _LABEL_TYPES:
        return "label_kind", f"A label is one number, string, boolean or null; found {faults.a_value(value)}."
    if kind is int and numbers.inexact((value,)):
        advice = "send it as a string if it is a class"
        return "integer_too_large", f"The label {errors.quoted(value)} has no exact float64; {advice}."
    if kind in (int, float) and abs(numbers.as_float(value)) > numbers.LARGEST:
        return (
            "out_of_range",
            f"The label {errors.quoted(value)} is beyond ±{numbers.LARGEST:.4g}, the range of float32.",
        )
    return None


def row_ids(values: object, n_rows: int) -> tuple[str, ...] | None:
    """Return the client's ids of rows.

    Raises
    ------
    errors.SchemaViolation
        One is no printable text, or stands twice.
    """
    if values is None:
        return None
    listed = as_list(values, "row_ids", n_rows)
    where = faults.at_list("row_ids")
    found = faults.Faults()
    bad = [row for row, value in enumerate(listed) if text_fault(value)]
    found.add(bad, 0, where=where, tell=lambda row: ("not_an_id", text_fault(listed[row]) or ""))
    found.raise_any()
    if len(set(listed)) < len(listed):
        found.add(
            repeated(listed),
            0,
            where=where,
            tell=lambda row: ("duplicate_row_id", f"The row id {errors.quoted(listed[row])} stands twice."),
        )
        found.raise_any()
    return tuple(listed)


def repeated(values: Sequence[Any]) -> list[int]:
    """Return the positions of values that stood before.

    Examples
    --------
    >>> repeated(["a", "b", "a"])
    [2]
    """
    first: dict[Any, int] = {}
    return [place for place, value in enumerate(values) if first.setdefault(value, place) != place]


def batch_id(value: object) -> str | None:
    """Return the client's id of a batch.

    Raises
    ------
    errors.SchemaViolation
        It is no printable text, or looks like a path.
    """
    if value is None:
        return None
    fault = text_fault(value)
    if fault:
        faults.refuse("/batch_id", "not_an_id", fault)
    name = str(value)
    if "/" in name or "\\" in name or name in (".", ".."):
        detail = f"The batch id {errors.quoted(name)} looks like a path; use letters, digits, '-', '_', '.' or ':'."
        faults.refuse("/batch_id", "not_an_id", detail)
    return name


def entity_id(value: object) -> str | None:
    """Return the client's id of whom rows are about.

    Raises
    ------
    errors.SchemaViolation
        It is neither a printable text nor a whole number.
    """
    if value is None:
        return None
    if type(value) is int:
        return str(value)
    fault = text_fault(value)
    if fault:
        faults.refuse("/entity_id", "not_an_id", fault)
    return str(value)


def feature_names(values: object) -> tuple[str, ...] | None:
    """Return the names that a body gives to positional rows.

    Raises
    ------
    errors.SchemaViolation
        One cannot name a column.
    """
    if values is None:
        return None
    if not isinstance(values, list):
        faults.refuse("/feature_names", "not_a_list", f"feature_names is {faults.a_value(values)}; expected a list.")
    check_names(values, where=faults.at_list("feature_names"))
    return tuple(values)


def check_names(names: Sequence[Any], *, where: faults.Where) -> None:
    """Refuse names that cannot name columns.

    Raises
    ------
    errors.SchemaViolation
        One is no printable text, is ``label``, or stands twice.
    """
    found = faults.Faults()
    bad = [place for place, name in enumerate(names) if text_fault(name)]
    found.add(bad, 0, where=where, tell=lambda place: ("not_a_name", text_fault(names[place]) or ""))
    found.raise_any()
    reserved = [place for place, name in enumerate(names) if name == LABEL]
    detail = f"'{LABEL}' is the label's name; call the column otherwise."
    found.add(reserved, 0, where=where, tell=lambda _: ("reserved_name", detail))
    found.add(
        repeated(names),
        0,
        where=where,
        tell=lambda place: ("duplicate_name", f"The name {errors.quoted(names[place])} stands twice."),
    )
    found.raise_any()


def as_list(values: object, member: str, n_rows: int) -> list[Any]:
    """Return a list that has one entry for each row.

    Raises
    ------
    errors.SchemaViolation
        It is no list, or of another length.
    """
    if not isinstance(values, list):
        detail = f"{member} is {faults.a_value(values)}; expected a list with one entry for each row."
        faults.refuse(f"/{member}", "not_a_list", detail)
    if len(values) != n_rows:
        detail = f"{member} has {len(values):,} entries, the rows are {n_rows:,}; send one for each row."
        faults.refuse(f"/{member}", "wrong_length", detail)
    return values


def version(value: object) -> int | str | None:
    """Return the number or alias of a version, or None where there was none.

    Raises
    ------
    errors.SchemaViolation
        It is something else.

    Examples
    --------
    >>> version(3), version("previous")
    (3, 'previous')
    """
    if isinstance(value, str) and ALIAS.fullmatch(value):
        return value
    return positive(value, "version")


def positive(value: object, member: str) -> int | None:
    """Return a positive whole number, or None where there was none.

    Raises
    ------
    errors.SchemaViolation
        It is something else.
    """
    if value is None:
        return None
    if type(value) is not int or not 0 < value < 2**63:
        detail = f"{member} is {faults.a_value(value)}; expected a positive whole number."
        faults.refuse(f"/{member}", "not_a_positive_integer", detail)
    return value
