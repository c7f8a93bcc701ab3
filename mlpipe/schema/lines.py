"""Lines of NDJSON -> tables, with the way back from a row to its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpipe import errors
from mlpipe.schema import faults, messages
from mlpipe.schema.table import Table


@dataclass(frozen=True, slots=True)
class LineError:
    """Why a line was refused."""

    line: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class LinePart:
    """Lines of one form, as one table.

    Parameters
    ----------
    table : Table
        A row for each line.
    lines : tuple of int
        The number of each row's line.
    """

    table: Table
    lines: tuple[int, ...]

    def without(self, fault: errors.SchemaViolation) -> tuple[LinePart, list[LineError]]:
        """Return what is left when the rows are taken out that a fault names.

        Parameters
        ----------
        fault : SchemaViolation
            Raised for this table. One that does not name rows concerns all of them.

        Returns
        -------
        LinePart
            The rest, maybe empty.
        list of LineError
            One for each line taken out, never empty unless the part is.
        """
        if not isinstance(fault, faults.RowFaults):
            return self._keep([]), [_whole(fault, line) for line in self.lines]
        told: dict[int, errors.Violation] = {}
        for row, violation in zip(fault.listed_rows, fault.violations, strict=True):
            told.setdefault(row, violation)
        bad = fault.rows.tolist()
        kept = np.setdiff1d(np.arange(self.table.n_rows), fault.rows).tolist()
        return self._keep(kept), [_line_error(self.lines[row], told.get(row)) for row in bad]

    def _keep(self, rows: Sequence[int]) -> LinePart:
        return LinePart(self.table.take(rows), tuple(self.lines[row] for row in rows))


def _line_error(line: int, violation: errors.Violation | None) -> LineError:
    if violation is None:
        return LineError(line, "schema_violation", "The line does not fit the schema; see the errors of earlier lines.")
    return LineError(line, violation.code, violation.detail)


def _whole(fault: errors.SchemaViolation, line: int) -> LineError:
    return LineError(line, fault.violations[0].code if fault.violations else fault.code, fault.detail)


@dataclass(frozen=True, slots=True)
class Lines:
    """What a chunk of lines holds.

    Parameters
    ----------
    parts : list of LinePart
        The lines that could be read, in one table for each form.
    errors : list of LineError
        Lines that could not.
    """

    parts: list[LinePart]
    errors: list[LineError]


def decode_lines(lines: Sequence[bytes], *, first_line: int) -> Lines:
    """Read lines, each as a body of ``POST /ingest/stream``.

    Parameters
    ----------
    lines : sequence of bytes
        Blank ones are passed over.
    first_line : int
        Number of the first.

    Returns
    -------
    Lines
        Lines of the same form (member, width, with or without label, time and id) share a table, so that a stray
        line does not cut a chunk into pieces; within a table they keep their order.

    Examples
    --------
    >>> read = decode_lines([b'{"features": [1]}', b'{"features": 1}', b'{"features": [2]}'], first_line=1)
    >>> [part.lines for part in read.parts], [error.line for error in read.errors]
    ([(1, 3)], [2])
    """
    groups: dict[Any, list[tuple[int, Table]]] = {}
    refused: list[LineError] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, start=first_line):
        if not line.strip():
            continue
        try:
            table = messages.decode_sample(line)
            _check_new(table, seen)
        except errors.SchemaViolation as fault:
            refused.append(_whole(fault, number))
        except errors.MalformedBody as fault:
            refused.append(LineError(number, fault.code, fault.detail.replace("The body", "The line", 1)))
        else:
            groups.setdefault(_form(table), []).append((number, table))
    return Lines([_joined(group) for group in groups.values()], refused)


def _check_new(table: Table, seen: set[str]) -> None:
    for row_id in table.row_ids or ():
        if row_id in seen:
            faults.refuse("/row_id", "duplicate_row_id", f"The row id {errors.quoted(row_id)} stood in a line before.")
        seen.add(row_id)


def _form(table: Table) -> tuple[object, ...]:
    width = 0 if table.named else len(table.rows[0])
    return table.form, width, table.labels is None, table.event_times is None, table.row_ids is None


def _joined(group: Sequence[tuple[int, Table]]) -> LinePart:
    tables = [table for _, table in group]
    first = tables[0]
    whole = Table(
        rows=[table.rows[0] for table in tables],
        form=first.form,
        labels=None if first.labels is None else [table.labels[0] for table in tables if table.labels],
        event_times=None
        if first.event_times is None
        else np.concatenate([table.event_times for table in tables if table.event_times is not None]),
        row_ids=None if first.row_ids is None else tuple(table.row_ids[0] for table in tables if table.row_ids),
    )
    return LinePart(whole, tuple(number for number, _ in group))
