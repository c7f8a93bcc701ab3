"""Collect broken rules: all are counted, the first few are told.

A batch may hold a million bad cells; what is built for each of them is one integer, not one object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mlpipe import errors

Where = Callable[[int, int], str]
"""From row and column to the JSON pointer of the cell."""

Tell = Callable[[int], tuple[str, str]]
"""From row to the code and the sentence of its violation."""


class RowFaults(errors.SchemaViolation):
    """Rows that break rules, with the positions of all of them.

    Parameters
    ----------
    detail : str
        The whole in one sentence.
    faults : Faults
        What was collected.
    """

    def __init__(self, detail: str, faults: Faults) -> None:
        listed = faults.listed()
        super().__init__(detail, [violation for _, violation in listed], total=faults.total)
        self.listed_rows = tuple(row for row, _ in listed)
        self.rows = faults.rows


@dataclass(slots=True)
class Faults:
    """Broken rules of cells, collected column by column and told row by row.

    Examples
    --------
    >>> faults = Faults()
    >>> faults.add([4, 2], 0, where=at_rows, tell=lambda row: ("not_a_number", f"row {row} is not a number"))
    >>> [violation.pointer for violation in faults.violations]
    ['/features/2/0', '/features/4/0']
    >>> faults.total
    2
    """

    total: int = 0
    _first: list[tuple[int, int, Where, Tell]] = field(default_factory=list)
    _rows: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, rows: Any, column: int, *, where: Where, tell: Tell) -> None:
        """Note that cells of one column break a rule.

        Parameters
        ----------
        rows : sequence of int
            Positions of the rows; may be empty.
        column : int
            Position of the column, 0 where there is only one.
        where, tell : callable
            Are called only for violations that are listed.
        """
        found = np.sort(np.asarray(rows, dtype=np.int64))
        if not len(found):
            return
        self.total += len(found)
        self._rows.append(found)
        self._first += [(row, column, where, tell) for row in found[: errors.MAX_LISTED].tolist()]

    def __bool__(self) -> bool:
        """Return whether anything is wrong."""
        return self.total > 0

    @property
    def rows(self) -> NDArray[np.int64]:
        """Positions of all rows that break a rule, ascending."""
        return np.unique(np.concatenate(self._rows)) if self._rows else np.empty(0, dtype=np.int64)

    @property
    def violations(self) -> list[errors.Violation]:
        """The first violations in the order of rows."""
        return [violation for _, violation in self.listed()]

    def listed(self) -> list[tuple[int, errors.Violation]]:
        """Return the first violations with their rows."""
        first = sorted(self._first, key=lambda fault: fault[:2])[: errors.MAX_LISTED]
        return [(row, errors.Violation(where(row, column), *tell(row))) for row, column, where, tell in first]

    def raise_any(self) -> None:
        """Raise what was collected.

        Raises
        ------
        RowFaults
            Something was.
        """
        if not self.total:
            return
        first = self.violations[0]
        if self.total == 1:
            raise RowFaults(f"{first.pointer}: {first.detail}", self)
        raise RowFaults(f"{self.total:,} values break a rule. The first, {first.pointer}: {first.detail}", self)


def refuse(pointer: str, code: str, detail: str) -> NoReturn:
    """Raise one violation that concerns the whole body.

    Raises
    ------
    errors.SchemaViolation
        Always.
    """
    raise errors.SchemaViolation(detail, [errors.Violation(pointer, code, detail)])


def at_rows(row: int, column: int) -> str:
    """Return the pointer of a cell of positional rows."""
    return f"/features/{row}/{column}"


def at_list(member: str) -> Where:
    """Return the pointers of a list's entries.

    Examples
    --------
    >>> at_list("labels")(3, 0)
    '/labels/3'
    """
    return lambda row, _: f"/{member}/{row}"


def step(name: str) -> str:
    """Return a member's name as one step of a JSON pointer; a very long one is cut.

    Examples
    --------
    >>> step("a/b")
    'a~1b'
    """
    cut = name if len(name) <= errors.MAX_QUOTED else name[: errors.MAX_QUOTED] + "..."
    return cut.replace("~", "~0").replace("/", "~1")


def a_value(value: object) -> str:
    """Say in words what a JSON value is; only scalars are repeated.

    Examples
    --------
    >>> a_value("1.5"), a_value(True), a_value([1]), a_value(None)
    ("the string '1.5'", 'the boolean true', 'a list', 'null')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {errors.quoted(value)}"
    if isinstance(value, str):
        return f"the string {errors.quoted(value)}"
    return "a list" if isinstance(value, list) else "an object"


def some(names: Sequence[str], *, most: int = 10) -> str:
    """Return names as a list in words, the first few of many.

    Examples
    --------
    >>> some(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    shown = ", ".join(errors.quoted(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
