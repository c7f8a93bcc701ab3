"""How a schema begins and grows.

Growth looks only at what is new; values that fit neither the old schema nor the grown one are left to ``encode``,
which points at them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from mlpipe import errors
from mlpipe.schema import faults, matrix, sides
from mlpipe.schema.contract import (
    MAX_CATEGORIES,
    MAX_CLASSES,
    MAX_COLUMNS,
    Column,
    Kind,
    Schema,
    Target,
)
from mlpipe.schema.table import Arranged, Table, arrange

MAX_CATEGORY = 1_000
"""Characters of a category; longer text is content, not a category."""

MAX_INTEGER_CLASSES = 20
"""Distinct whole numbers up to which labels are classes; more are a quantity to regress on."""


def infer(table: Table) -> Schema:
    """Return the draft of a schema that fits a first table.

    Parameters
    ----------
    table : Table
        Positional rows without names get f0, f1, ...

    Raises
    ------
    errors.SchemaViolation
        A column mixes kinds: the first value that is there decides, the pointers name those that disagree.

    Examples
    --------
    >>> schema = infer(Table(rows=[{"age": 3, "name": "a"}, {"age": 4, "name": None}], form="records", labels=[0, 1]))
    >>> [(column.name, column.kind) for column in schema.columns], schema.target.task
    ([('age', 'integer'), ('name', 'category')], 'classification')
    """
    rows = table.literal()
    names = _names(rows)
    cells = arrange(rows, names)
    empty = [Column(name=name, kind="numeric", observed=False) for name in names]
    columns = tuple(_observe(column, cells, place) for place, column in enumerate(empty))
    schema = Schema(version=1, columns=columns, target=extend_target(Target(), table, fixed=False))
    matrix.encode(rows, schema)
    return schema


def _names(table: Table) -> tuple[str, ...]:
    first = table.rows[0]
    if len(first) > MAX_COLUMNS:
        detail = f"A row has {len(first):,} values; at most {MAX_COLUMNS:,} columns are kept."
        faults.refuse(table.pointer(0), "too_many_columns", detail)
    if table.named:
        names = list(first)
        sides.check_names(names, where=lambda place, _: table.pointer(0, names[place]))
        return tuple(names)
    return table.names or tuple(f"f{place}" for place in range(len(first)))


def _observe(column: Column, cells: Arranged, place: int) -> Column:
    """Give a column the kind of its first value, and a dictionary of its strings."""
    values = [value for value in cells.columns[place] if value is not None]
    if not values:
        return column
    seen = msgspec.structs.replace(column, kind=_kind(values), observed=True)
    return _with_categories(seen, values, place, cells.where) if seen.kind == "category" else seen


def _kind(values: Sequence[Any]) -> Kind:
    if isinstance(values[0], str):
        return "category"
    if isinstance(values[0], bool):
        return "boolean"
    return "numeric" if any(type(value) is float for value in values) else "integer"


def extend(schema: Schema, table: Table, *, target_fixed: bool = False) -> Schema:
    """Return the schema grown by what a table brings, or the same object where nothing is new.

    Parameters
    ----------
    schema : Schema
        What is known.
    table : Table
        Rows on their way into the store.
    target_fixed : bool
        Whether a model was trained, so that the task does not change any more.

    Raises
    ------
    errors.SchemaViolation
        Names or the width do not fit, or a new category or class cannot be one.

    Notes
    -----
    Dictionaries and classes grow always. In a draft a column of whole numbers turns numeric at its first fraction,
    and a column that was always null takes the kind of its first value.

    Examples
    --------
    >>> schema = infer(Table(rows=[{"colour": "red"}], form="records"))
    >>> extend(schema, Table(rows=[{"colour": "blue"}], form="records")).columns[0].categories
    ('red', 'blue')
    >>> extend(schema, Table(rows=[{"colour": "red"}], form="records")) is schema
    True
    """
    columns = _extend_columns(schema, table)
    target = extend_target(schema.target, table, fixed=target_fixed)
    if target is schema.target and columns is schema.columns:
        return schema
    return msgspec.structs.replace(schema, columns=columns, target=target)


def _extend_columns(schema: Schema, table: Table) -> tuple[Column, ...]:
    draft = schema.status == "draft"
    if draft and any(not column.observed for column in schema.columns):
        table = table.literal()
    cells = arrange(table, schema.names)
    grown = list(schema.columns)
    for place, column in enumerate(schema.columns):
        if draft and not column.observed:
            grown[place] = _observe(column, cells, place)
        elif draft and column.kind == "integer" and _has_fraction(_cells(cells, place)):
            grown[place] = msgspec.structs.replace(column, kind="numeric")
        elif column.kind == "category" and not isinstance(cells.columns, np.ndarray):
            grown[place] = _with_categories(column, cells.columns[place], place, cells.where)
    same = all(new is old for new, old in zip(grown, schema.columns, strict=True))
    return schema.columns if same else tuple(grown)


def _cells(cells: Arranged, place: int) -> Any:
    return cells.columns[:, place] if isinstance(cells.columns, np.ndarray) else cells.columns[place]


def _has_fraction(values: Any) -> bool:
    if isinstance(values, np.ndarray):
        return bool(((values != np.floor(values)) & np.isfinite(values)).any())
    return any(type(value) is float and not value.is_integer() for value in values)


def _with_categories(column: Column, values: Sequence[Any], place: int, where: faults.Where) -> Column:
    """Return a column with new strings in the order in which they came; the same object if there are none."""
    codes = column.codes
    fresh = [text for text in _texts(values) if text not in codes]
    room = MAX_CATEGORIES - len(column.categories)
    if not fresh or room <= 0:
        return column
    _check_texts(values, place, where=where, what=f"A category of column {errors.quoted(column.name)}")
    return msgspec.structs.replace(column, categories=column.categories + tuple(fresh[:room]))


def _texts(values: Sequence[Any]) -> dict[str, None]:
    """Return the distinct strings in the order in which they came."""
    return dict.fromkeys([value for value in values if type(value) is str])


def _check_texts(values: Sequence[Any], place: int, *, where: faults.Where, what: str) -> None:
    """Refuse texts that would not fit into a dictionary: it is kept in the database and shown to people."""
    texts = [(row, value) for row, value in enumerate(values) if type(value) is str]
    bad = [row for row, text in texts if len(text) > MAX_CATEGORY or "\0" in text]
    found = faults.Faults()
    detail = f"{what} has at most {MAX_CATEGORY:,} characters and no NUL character"
    found.add(
        bad, place, where=where, tell=lambda row: ("text_too_long", f"{detail}; got {errors.quoted(values[row])}.")
    )
    found.raise_any()


# Target ---------------------------------------------------------------------------------------------------------


def extend_target(target: Target, labels: Table | Sequence[object] | None, *, fixed: bool) -> Target:
    """Return the target grown by what labels bring, or the same object where nothing is new.

    Parameters
    ----------
    target : Target
        What is known; its kind is None before the first label.
    labels : Table or sequence or None
        Raw labels, None where one is not known yet.
    fixed : bool
        Whether the task must stay: otherwise whole numbers turn from classes into a quantity at the first fraction,
        or when more than 20 differ.

    Raises
    ------
    errors.SchemaViolation
        There would be too many classes, or one is no sensible text.

    Examples
    --------
    >>> target = extend_target(Target(), [1, 0, None], fixed=False)
    >>> target.task, target.classes
    ('classification', (0, 1))
    >>> extend_target(target, [0.5], fixed=False).task
    'regression'
    """
    where = labels.label_pointer if isinstance(labels, Table) else faults.at_list("labels")
    values = (labels.labels if isinstance(labels, Table) else labels) or ()
    first = next((value for value in values if value is not None), None)
    if first is None:
        return target
    kind = target.kind or ("string" if isinstance(first, str) else "boolean" if isinstance(first, bool) else "integer")
    if kind == "string":
        return _with_strings(target, values, where)
    if kind == "boolean":
        return _with_classes(target, "boolean", {value for value in values if isinstance(value, bool)})
    return target if kind == "number" else _with_numbers(target, values, fixed=fixed)


def _with_strings(target: Target, values: Sequence[Any], where: faults.Where) -> Target:
    known = set(target.classes)
    fresh = [text for text in _texts(values) if text not in known]
    if not fresh:
        return target
    _check_texts(values, 0, where=where, what="A class")
    classes = target.classes + tuple(fresh)
    _check_class_count(len(classes), where)
    return msgspec.structs.replace(target, task="classification", kind="string", classes=classes)


def _with_numbers(target: Target, values: Sequence[Any], *, fixed: bool) -> Target:
    numbers = {value for value in values if type(value) in (int, float)}
    whole = {int(value) for value in numbers if float(value).is_integer()}
    n_classes = len(whole | set(target.classes))
    if not fixed and (len(whole) < len(numbers) or n_classes > MAX_INTEGER_CLASSES):
        return Target(task="regression", kind="number")
    _check_class_count(n_classes, faults.at_list("labels"))
    return _with_classes(target, "integer", whole)


def _with_classes(target: Target, kind: Any, seen: set[Any]) -> Target:
    if target.kind == kind and seen <= set(target.classes):
        return target
    classes = tuple(sorted(seen | set(target.classes)))
    return msgspec.structs.replace(target, task="classification", kind=kind, classes=classes)


def _check_class_count(n_classes: int, where: faults.Where) -> None:
    if n_classes > MAX_CLASSES:
        detail = f"The target would have {n_classes:,} classes, at most {MAX_CLASSES:,} are learned."
        faults.refuse(where(0, 0), "too_many_classes", f"{detail} Send a number to regress on, or fewer classes.")


def with_target(schema: Schema, target: Target) -> Schema:
    """Return a schema with another target."""
    return msgspec.structs.replace(schema, target=target)
