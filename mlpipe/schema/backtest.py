"""The body of a backtest -> a time, and the settings to change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mlpipe import settings
from mlpipe.schema import faults, reading, times

REHEARSED = (
    "threshold",
    "alpha",
    "window_size",
    "min_samples",
    "check_interval",
    "n_bins",
    "deciding_detectors",
    "reference_size",
    "quality_drop",
    "quality_rise",
)
"""Settings that a replay may change: those of the check, not of what serves."""

TEXT = "deciding_detectors"
"""The one of them that is no number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What to replay, and how.

    Parameters
    ----------
    since, until : int or None
        Microseconds since 1970 UTC; `until` is exclusive. None: from the beginning, until now.
    changes : dict
        Settings that are other than they are, by name.
    """

    since: int | None = None
    until: int | None = None
    changes: dict[str, Any] = field(default_factory=dict)


def decode(body: bytes | None) -> Rehearsal:
    """Return what a body asks to be replayed; no body asks for everything as it was.

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation
        The body is something else.

    Examples
    --------
    >>> decode(b'{"threshold": 0.1, "since": "1970-01-01T00:00:01Z"}')
    Rehearsal(since=1000000, until=None, changes={'threshold': 0.1})
    """
    read = reading.optional(body, {"since", "until", *REHEARSED})
    changes = {name: _setting(name, read[name]) for name in REHEARSED if read.get(name) is not None}
    return Rehearsal(since=_moment(read, "since"), until=_moment(read, "until"), changes=changes)


def _moment(read: dict[str, Any], name: str) -> int | None:
    if read.get(name) is None:
        return None
    return int(times.parse_all([read[name]], where=lambda *_: f"/{name}")[0])


def _setting(name: str, value: object) -> Any:
    if name == TEXT and not isinstance(value, str):
        faults.refuse(
            f"/{name}", "not_a_text", f"{name} is {faults.a_value(value)}; expected names with commas between."
        )
    try:
        return settings.read(name, str(value) if name == TEXT else repr(value))
    except ValueError as fault:
        return faults.refuse(f"/{name}", "out_of_range", f"{name} is {faults.a_value(value)}; it {fault}.")
