"""The only place that asks what time it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime

MICROSECONDS = 1_000_000


def now() -> datetime:
    """Return the present as an aware UTC time."""
    return datetime.now(UTC)


def now_us() -> int:
    """Return the present in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000


def to_us(moment: datetime) -> int:
    """Return an aware time as microseconds since 1970-01-01 UTC.

    Examples
    --------
    >>> to_us(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    whole = moment.astimezone(UTC).replace(microsecond=0)
    return int(whole.timestamp()) * MICROSECONDS + moment.microsecond


def from_us(moment_us: int) -> datetime:
    """Return microseconds since 1970-01-01 UTC as an aware time.

    Examples
    --------
    >>> from_us(1_500_000).isoformat()
    '1970-01-01T00:00:01.500000+00:00'
    """
    seconds, micros = divmod(moment_us, MICROSECONDS)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


def iso(moment_us: int | None) -> str | None:
    """Return microseconds since 1970 as ISO 8601 text in UTC, or None for None.

    Examples
    --------
    >>> iso(0)
    '1970-01-01T00:00:00.000000Z'
    """
    if moment_us is None:
        return None
    return from_us(moment_us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
