"""ISO 8601 text <-> microseconds since 1970-01-01 UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from mlpipe import errors
from mlpipe.schema import faults

FIRST_YEAR, LAST_YEAR = 1970, 2200
"""Years that a time may lie in. Others are mistakes of units or defaults, such as 0001-01-01."""

LONGEST = 64
"""Characters of a time; the longest sensible one has 32."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_END_US = (datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND


def parse(text: str) -> int | None:
    """Return a time as microseconds since 1970, or None where it cannot be used.

    Parameters
    ----------
    text : str
        ISO 8601 with ``Z`` or an offset, in the years 1970 to 2200. Digits beyond microseconds are dropped.

    Examples
    --------
    >>> parse("1970-01-01T01:00:00.5+01:00")
    500000
    >>> parse("2026-01-31T12:00:00") is None
    True
    """
    moment = _read(text)
    if moment is None or moment.tzinfo is None:
        return None
    micros = (moment - _EPOCH) // _MICROSECOND
    return micros if 0 <= micros < _END_US else None


def query(name: str, text: str | None) -> int | None:
    """Return a time of the query string as microseconds since 1970, or None where it was not given.

    Raises
    ------
    errors.InvalidQuery
        It is no time that can be used.
    """
    moment = None if text is None else parse(text)
    if text is not None and moment is None:
        raise errors.InvalidQuery(
            f"?{name}={errors.quoted(text)} must be a time with zone, for example 2026-01-31T12:00:00Z."
        )
    return moment


def _read(text: str) -> datetime | None:
    if len(text) > LONGEST:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def parse_all(values: Sequence[object], *, where: faults.Where) -> NDArray[np.int64]:
    """Return times as microseconds.

    Raises
    ------
    faults.RowFaults
        Some cannot be used; the pointers say which.
    """
    micros = [parse(value) if isinstance(value, str) else None for value in values]
    found = faults.Faults()
    bad = [row for row, moment in enumerate(micros) if moment is None]
    found.add(bad, 0, where=where, tell=lambda row: ("not_a_time", fault(values[row])))
    found.raise_any()
    return np.array(micros, dtype=np.int64)


def fault(value: object) -> str:
    """Say what is wrong with a time that cannot be used.

    Examples
    --------
    >>> fault("2026-01-31T12:00:00")
    "The time '2026-01-31T12:00:00' has no zone; write 2026-01-31T12:00:00Z or with an offset such as +02:00."
    """
    if not isinstance(value, str):
        return f"Found {faults.a_value(value)}; a time is ISO 8601 text with zone, such as 2026-01-31T12:00:00Z."
    shown = errors.quoted(value)
    moment = _read(value)
    if moment is None:
        return f"{shown} is not a time; send ISO 8601 text with zone, such as 2026-01-31T12:00:00Z."
    if moment.tzinfo is None:
        plain = moment.isoformat()
        return f"The time {shown} has no zone; write {plain}Z or with an offset such as +02:00."
    return f"The time {shown} lies outside of {FIRST_YEAR} to {LAST_YEAR}."


def texts(micros: NDArray[np.int64]) -> list[str]:
    """Return times as ISO 8601 text in UTC.

    Examples
    --------
    >>> texts(np.array([0, 1_500_000]))
    ['1970-01-01T00:00:00.000000Z', '1970-01-01T00:00:01.500000Z']
    """
    listed: list[str] = np.datetime_as_string(micros.astype("datetime64[us]"), timezone="UTC").tolist()
    return listed
