from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpipe import clock
from mlpipe.schema import faults, times
from tests.schema.build import places, refused


@pytest.mark.parametrize(
    "text",
    ["1970-01-01T00:00:01Z", "1970-01-01T00:00:01+00:00", "1970-01-01T02:00:01+02:00", "1969-12-31T23:00:01-01:00"],
)
def test_same_moment_in_any_zone_is_the_same_number(text: str) -> None:
    assert times.parse(text) == 1_000_000


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("2026-01-31T12:00:00", "no zone"),
        ("2026-01-31", "no zone"),
        ("1969-12-31T23:59:59Z", "outside"),
        ("0001-01-01T00:00:00+14:00", "outside"),
        ("9999-12-31T23:59:59-14:00", "outside"),
        ("2201-01-01T00:00:00Z", "outside"),
        ("2026-02-30T00:00:00Z", "not a time"),
        ("2026-01-31T23:59:60Z", "not a time"),
        ("yesterday", "not a time"),
        ("", "not a time"),
        ("1" * 100_000, "not a time"),
        ("12:00Z", "not a time"),
        (1767225600, "ISO 8601"),
        (None, "ISO 8601"),
        (True, "ISO 8601"),
        ([], "ISO 8601"),
    ],
)
def test_what_is_no_time_is_refused_and_told_why(value: object, word: str) -> None:
    fault = refused(lambda: times.parse_all([value], where=faults.at_list("event_times")))
    assert places(fault) == [("/event_times/0", "not_a_time")]
    assert word in fault.detail
    assert len(fault.detail) < 300


MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2200, 12, 30))  # noqa: DTZ001


@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_time_keeps_its_microseconds(moment: datetime, offset: int) -> None:
    aware = moment.replace(tzinfo=UTC)
    shown = aware.astimezone(timezone(timedelta(minutes=offset))).isoformat()
    micros = times.parse(shown)
    assert micros == clock.to_us(aware)
    assert times.texts(np.array([micros])) == [clock.iso(micros)]
