"""The rows of a message: their shape is settled here, their values when they are encoded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe import errors
from mlpipe.schema import faults, numbers
from mlpipe.schema.contract import LABEL


def matrix_of(rows: list[list[float | None]]) -> NDArray[np.float64] | None:
    """Return rows of numbers as a matrix, or None where somebody has to look closer.

    Examples
    --------
    >>> matrix_of([[1.0, None]])
    array([[ 1., nan]])
    >>> matrix_of([[1.0], [2.0, 3.0]]) is None
    True
    """
    try:
        X = np.array(rows, dtype=np.float64)
    except ValueError:
        return None
    return X if X.ndim == 2 and X.size and numbers.all_exact(X) else None


def check_count(n_rows: int, most: int) -> None:
    """Refuse more rows than one request may have.

    Raises
    ------
    errors.TooManyRows
        There are more.
    """
    if n_rows > most:
        detail = f"The body has {n_rows:,} rows, at most {most:,} are taken at once. Send it in parts."
        raise errors.TooManyRows(detail, rows=n_rows, limit=most)


def check_positional(rows: Any, *, max_rows: int) -> list[list[Any]]:
    """Return positional rows that all have the same, positive, width.

    Raises
    ------
    errors.SchemaViolation
        They do not; the pointers say where.
    errors.TooManyRows
        There are more than `max_rows`.
    """
    _check_list(rows, "features", max_rows=max_rows)
    if not any(isinstance(row, (list, dict)) for row in rows):
        faults.refuse("/features", "not_a_matrix", "features is one list of values; wrap it: [[...]], a list of rows.")
    found = faults.Faults()
    bad = [place for place, row in enumerate(rows) if not isinstance(row, list) or not row]
    found.add(bad, 0, where=_row("features"), tell=lambda place: _row_fault(rows[place]))
    found.raise_any()
    _check_widths(rows)
    listed: list[list[Any]] = rows
    return listed


def _check_widths(rows: list[list[Any]]) -> None:
    if len(set(map(len, rows))) == 1:
        return
    width = len(rows[0])
    found = faults.Faults()
    ragged = [place for place, row in enumerate(rows) if len(row) != width]
    found.add(
        ragged,
        0,
        where=_row("features"),
        tell=lambda place: ("ragged", f"Row {place} has {len(rows[place]):,} values, row 0 has {width:,}."),
    )
    found.raise_any()


def _row_fault(row: object) -> tuple[str, str]:
    if isinstance(row, dict):
        return "not_a_row", "A row of features is a list of values; send named values under 'records'."
    if isinstance(row, list):
        return "empty_row", "The row is empty; send at least one value."
    return "not_a_row", f"A row is a list of values; found {faults.a_value(row)}."


def check_one(row: Any) -> list[list[Any]]:
    """Return the single row of a sample as rows.

    Raises
    ------
    errors.SchemaViolation
        It is no list of values.
    """
    if not isinstance(row, list):
        faults.refuse("/features", "not_a_row", f"features is {faults.a_value(row)}; expected a list of values.")
    if not row:
        faults.refuse("/features", "empty_row", "features is empty; send at least one value.")
    if all(isinstance(value, list) for value in row):
        detail = "features holds lists; one sample is one list of values. Send many rows to POST /ingest/batch."
        faults.refuse("/features", "not_a_row", detail)
    return [row]


def check_records(records: Any, *, max_rows: int) -> list[dict[str, Any]]:
    """Return records that each name at least one value.

    Raises
    ------
    errors.SchemaViolation
        They do not; the pointers say where.
    errors.TooManyRows
        There are more than `max_rows`.
    """
    _check_list(records, "records", max_rows=max_rows)
    found = faults.Faults()
    bad = [place for place, record in enumerate(records) if not _is_record(record)]
    found.add(bad, 0, where=_row("records"), tell=lambda place: record_fault(records[place]))
    found.raise_any()
    listed: list[dict[str, Any]] = records
    return listed


def _is_record(record: object) -> bool:
    return isinstance(record, dict) and (len(record) > 1 or (len(record) == 1 and LABEL not in record))


def record_fault(record: object) -> tuple[str, str]:
    """Return the code and the sentence of what is wrong with a record."""
    if isinstance(record, dict):
        return "empty_row", "The record names no feature; send at least one."
    return "not_a_record", f"A record is an object of names and values; found {faults.a_value(record)}."


def check_one_record(record: Any) -> list[dict[str, Any]]:
    """Return the single record of a sample as records.

    Raises
    ------
    errors.SchemaViolation
        It is no object, or names no feature.
    """
    if not _is_record(record):
        faults.refuse("/record", *record_fault(record))
    return [record]


def take_labels(records: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[object] | None]:
    """Return records without their labels, and the labels; None where no record has one.

    Examples
    --------
    >>> take_labels([{"age": 3, "label": 1}, {"age": 4}])
    ([{'age': 3}, {'age': 4}], [1, None])
    """
    if not any(LABEL in record for record in records):
        return records, None
    labels = [record.get(LABEL) for record in records]
    return [{name: value for name, value in record.items() if name != LABEL} for record in records], labels


def _check_list(rows: Any, member: str, *, max_rows: int) -> None:
    if not isinstance(rows, list):
        faults.refuse(f"/{member}", "not_a_list", f"{member} is {faults.a_value(rows)}; expected a list of rows.")
    if not rows:
        faults.refuse(f"/{member}", "empty", f"{member} is empty; send at least one row.")
    check_count(len(rows), max_rows)


def _row(member: str) -> faults.Where:
    return faults.at_list(member)
