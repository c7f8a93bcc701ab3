"""Bodies of the acts on an incident -> values."""

from __future__ import annotations

from mlpipe.schema import faults, reading

MAX_BY = 80
MAX_NOTE = 500
MAX_HOURS = 720.0
"""Longest mute, 30 days: a mute that is forgotten must end."""

ANONYMOUS = "api"


def decode_acknowledge(body: bytes | None) -> tuple[str, str | None]:
    """Return who acknowledges, and the note or None.

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation
        The body is something else.

    Examples
    --------
    >>> decode_acknowledge(b'{"by": "Ada", "note": "new sensor"}'), decode_acknowledge(None)
    (('Ada', 'new sensor'), ('api', None))
    """
    read = reading.optional(body, {"by", "note"})
    by = reading.line(read.get("by"), "by", most=MAX_BY)
    return by or ANONYMOUS, reading.line(read.get("note"), "note", most=MAX_NOTE)


def decode_mute(body: bytes) -> tuple[float, str]:
    """Return for how many hours, and who says so.

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation
        The body is something else.

    Examples
    --------
    >>> decode_mute(b'{"hours": 1.5}')
    (1.5, 'api')
    """
    read = reading.members(reading.loads(body), {"hours", "by"})
    expected = f"expected a number of hours above 0, at most {MAX_HOURS:g}"
    if "hours" not in read:
        faults.refuse("/hours", "missing_member", f"hours is missing; {expected}.")
    hours = read["hours"]
    if isinstance(hours, bool) or not isinstance(hours, (int, float)):
        faults.refuse("/hours", "not_a_number", f"hours is {faults.a_value(hours)}; {expected}.")
    if not 0 < hours <= MAX_HOURS:
        faults.refuse("/hours", "out_of_range", f"hours is {faults.a_value(hours)}; {expected}.")
    return float(hours), reading.line(read.get("by"), "by", most=MAX_BY) or ANONYMOUS


def decode_by(body: bytes | None) -> str:
    """Return who acts.

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation
        The body is something else.

    Examples
    --------
    >>> decode_by(b"{}")
    'api'
    """
    read = reading.optional(body, {"by"})
    return reading.line(read.get("by"), "by", most=MAX_BY) or ANONYMOUS
