"""The schema of a model's rows: names, kinds, dictionaries, classes.

A schema begins as a *draft*, inferred from the first batch, and grows while rows come in: dictionaries get new
entries (codes never change), whole-number columns may turn out to be numeric. A person confirms it; from then on
kinds are fixed.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal

import msgspec

Kind = Literal["numeric", "integer", "boolean", "category"]
Task = Literal["classification", "regression"]
LabelKind = Literal["integer", "number", "boolean", "string"]
Status = Literal["draft", "confirmed"]

UNSEEN_CODE = -1.0
"""Code of a category that the dictionary does not hold."""

MAX_CATEGORIES = 10_000
"""Entries of one dictionary; later categories stay unseen. A column with more is free text, not a category."""

MAX_CLASSES = 1_000
"""Classes of one target. More would be free text, or a number to regress on."""

MAX_COLUMNS = 10_000
"""Columns of a schema."""

MAX_NAME = 128
"""Characters of a column's name, and of the ids of batches and rows."""

LABEL = "label"
"""Name that is never a column: in a record it is the label."""


class Column(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One feature.

    Attributes
    ----------
    name : str
        Unique in its schema.
    kind : {"numeric", "integer", "boolean", "category"}
        How values are read; all end up as float64.
    categories : tuple of str
        The dictionary of a category column; a value's code is its position. Empty for other kinds.
    missing_allowed : bool
        Whether ``null`` is accepted.
    observed : bool
        Whether any value was there when the kind was inferred; an unobserved column takes the kind of its first
        value while the schema is a draft.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    missing_allowed: bool = True
    observed: bool = True

    @cached_property
    def codes(self) -> dict[str | None, float]:
        """Code of each category; None, which is missing, has NaN.

        Examples
        --------
        >>> Column(name="colour", kind="category", categories=("red", "blue")).codes
        {None: nan, 'red': 0.0, 'blue': 1.0}
        """
        return {None: math.nan, **{text: float(code) for code, text in enumerate(self.categories)}}


class Target(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What is predicted.

    Attributes
    ----------
    task : {"classification", "regression"} or None
        None until the first label came.
    kind : {"integer", "number", "boolean", "string"} or None
        How labels look in JSON. Stored labels are float64: numbers as they are, booleans as 0 and 1, strings by
        their position in `classes`.
    classes : tuple
        Classes seen so far. Strings: in order of appearance, since the position is the code. Numbers: ascending.
        Empty for regression.
    """

    task: Task | None = None
    kind: LabelKind | None = None
    classes: tuple[bool | int | float | str, ...] = ()

    @cached_property
    def codes(self) -> dict[bool | int | float | str | None, float]:
        """Stored value of each class; None, which is not known yet, has NaN."""
        if self.kind == "string":
            return {None: math.nan, **{text: float(code) for code, text in enumerate(self.classes)}}
        return {None: math.nan, **{value: float(value) for value in self.classes}}


class Schema(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Columns in their order, and the target.

    Attributes
    ----------
    version : int
        Counts from 1; a person's edit makes a new one, growth does not.
    columns : tuple of Column
        Order of the columns of every matrix.
    target : Target
        What is predicted.
    status : {"draft", "confirmed"}
        Whether a person has confirmed it.
    """

    version: int
    columns: tuple[Column, ...]
    target: Target = Target()
    status: Status = "draft"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def places(self) -> dict[str, int]:
        """Position of each column by its name."""
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def takes_any_number(self) -> bool:
        """Whether every number, and a missing one, fits every column, so that nothing needs checking."""
        free = ("numeric",) if self.status == "confirmed" else ("numeric", "integer")
        return all(column.kind in free and column.missing_allowed for column in self.columns)

    @cached_property
    def _by_kind(self) -> dict[Kind, list[int]]:
        kinds = dict.fromkeys(column.kind for column in self.columns)
        return {kind: [place for place, column in enumerate(self.columns) if column.kind == kind] for kind in kinds}

    def of_kind(self, kind: Kind) -> list[int]:
        """Return the positions of the columns of one kind."""
        return self._by_kind.get(kind, [])

    @cached_property
    def required(self) -> list[int]:
        """Positions of columns that allow no missing values."""
        return [place for place, column in enumerate(self.columns) if not column.missing_allowed]

    @property
    def width(self) -> int:
        """Number of columns, d."""
        return len(self.columns)
