"""Decoded rows on their way to a matrix, and the way back to a place in the body."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlpipe.schema import faults

Floats = NDArray[np.float64]
Form = Literal["features", "records", "sample", "record"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of a body, not yet encoded.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, d), or list
        A matrix where all values are plain numbers (exact, at most 2**53 in size; NaN is null). Otherwise the n rows
        as Python values: lists by position, or dictionaries by name.
    form : {"features", "records", "sample", "record"}
        Member of the body that held the rows; ``sample`` is one list under ``features``.
    names : tuple of str, optional
        Names of positional rows, where the body gave some.
    labels : list, optional
        Raw labels; None: the body had none. An entry None: not known yet.
    event_times : ndarray of int64, shape (n,), optional
        Microseconds since 1970 UTC.
    row_ids : tuple of str, optional
        The client's own ids.
    batch_id : str, optional
        The client's own id of the whole.
    reread : callable, optional
        Returns the rows of a matrix as Python values, which tell 1 from 1.0.

    Examples
    --------
    >>> table = Table(rows=[{"age": 3}, {"age": None}], form="records")
    >>> table.n_rows, table.pointer(1, "age")
    (2, '/records/1/age')
    """

    rows: Floats | list[Any]
    form: Form = "features"
    names: tuple[str, ...] | None = None
    labels: list[object] | None = None
    event_times: NDArray[np.int64] | None = None
    row_ids: tuple[str, ...] | None = None
    batch_id: str | None = None
    reread: Callable[[], list[Any]] | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows, n."""
        return len(self.rows)

    @property
    def named(self) -> bool:
        """Whether each row names its values."""
        return self.form in ("records", "record")

    def pointer(self, row: int, member: int | str | None = None) -> str:
        """Return the JSON pointer of a row, or of one of its values by position or name."""
        start = f"/{'features' if self.form == 'sample' else self.form}"
        if self.form in ("features", "records"):
            start += f"/{row}"
        return start if member is None else f"{start}/{faults.step(str(member))}"

    def label_pointer(self, row: int, _: int = 0) -> str:
        """Return the JSON pointer of a row's label."""
        pointers = {"features": f"/labels/{row}", "records": f"/records/{row}/label"}
        return pointers.get(self.form, "/label")

    def literal(self) -> Table:
        """Return the same rows as Python values, with whole numbers apart from others."""
        if self.reread is None or not isinstance(self.rows, np.ndarray):
            return self
        return replace(self, rows=self.reread(), reread=None)

    def take(self, rows: Sequence[int]) -> Table:
        """Return some of the rows."""
        places = np.asarray(rows, dtype=np.int64)
        literal = self.literal()
        return replace(
            literal,
            rows=[literal.rows[row] for row in rows],
            labels=None if self.labels is None else [self.labels[row] for row in rows],
            event_times=None if self.event_times is None else self.event_times[places],
            row_ids=None if self.row_ids is None else tuple(self.row_ids[row] for row in rows),
        )


@dataclass(frozen=True, slots=True)
class Arranged:
    """Values column by column in the order of a schema.

    Attributes
    ----------
    columns : ndarray of float64, shape (n, d), or list of d sequences of n values
        The values.
    where : callable
        From row and column to the JSON pointer of the cell.
    """

    columns: Floats | list[Sequence[Any]]
    where: faults.Where


def arrange(table: Table, names: tuple[str, ...]) -> Arranged:
    """Bring a table's values into the order of some columns.

    Parameters
    ----------
    table : Table
        Positional rows must have as many values as there are names, named ones exactly these names in any order.
    names : tuple of str
        The columns.

    Raises
    ------
    errors.SchemaViolation
        The width or the names differ.
    """
    if table.named:
        _check_records(table, names)
        take = itemgetter(*names) if len(names) > 1 else lambda record: (record[names[0]],)
        cells: list[Sequence[Any]] = list(zip(*map(take, table.rows), strict=True))
        return Arranged(cells, lambda row, column: table.pointer(row, names[column]))
    order = list(range(len(names))) if table.names is None else _order(table.names, names)
    _check_width(table, names)
    in_order = table.names is None or table.names == names
    if isinstance(table.rows, np.ndarray):
        columns: Any = table.rows if in_order else np.ascontiguousarray(table.rows[:, order])
    else:
        cells = list(zip(*table.rows, strict=True))
        columns = cells if in_order else [cells[place] for place in order]
    return Arranged(columns, lambda row, column: table.pointer(row, order[column]))


def _check_width(table: Table, names: tuple[str, ...]) -> None:
    width = len(table.rows[0])
    if width == len(names):
        return
    detail = f"A row has {width:,} values, the schema has {len(names):,} columns: {faults.some(names)}."
    faults.refuse(table.pointer(0), "wrong_width", detail)


def _order(given: tuple[str, ...], names: tuple[str, ...]) -> list[int]:
    """Return the position in the body of each column."""
    places = {name: place for place, name in enumerate(given)}
    missing = [name for name in names if name not in places]
    unknown = [name for name in given if name not in set(names)]
    if missing:
        detail = f"feature_names lacks {faults.some(missing)}; the schema has {faults.some(names)}."
        faults.refuse("/feature_names", "missing_column", detail)
    if unknown:
        detail = f"The schema has no column {faults.some(unknown)}; it has {faults.some(names)}."
        faults.refuse(f"/feature_names/{given.index(unknown[0])}", "unknown_column", detail)
    return [places[name] for name in names]


def _check_records(table: Table, names: tuple[str, ...]) -> None:
    wanted = dict.fromkeys(names).keys()
    bad = [row for row, record in enumerate(table.rows) if record.keys() != wanted]
    found = faults.Faults()
    found.add(
        bad,
        0,
        where=lambda row, _: _place_of_difference(table, row, wanted),
        tell=lambda row: _difference(table.rows[row], names),
    )
    found.raise_any()


def _place_of_difference(table: Table, row: int, wanted: Any) -> str:
    missing = wanted - table.rows[row].keys()
    unknown = next((name for name in table.rows[row] if name not in wanted), None)
    return table.pointer(row, None if missing else unknown)


def _difference(record: dict[str, Any], names: tuple[str, ...]) -> tuple[str, str]:
    missing = [name for name in names if name not in record]
    unknown = [name for name in record if name not in set(names)]
    if not missing:
        return "unknown_column", f"The schema has no column {faults.some(unknown)}; it has {faults.some(names)}."
    also = f" It names {faults.some(unknown)}, which the schema has not." if unknown else ""
    return "missing_column", f"The record lacks {faults.some(missing)}; send null where a value is missing.{also}"
