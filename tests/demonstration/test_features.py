"""Nothing from the future is in the features, and what was known is."""

from __future__ import annotations

import numpy as np

from demonstration import features
from tests.demonstration.build import Table, flights_table, prepare, weather_table


def departures(flights: Table) -> features.Floats:
    scheduled = features.minutes(flights["time_hour"]) + features.numbers(flights["minute"])
    return scheduled + features.numbers(flights["dep_delay"])


def test_features_do_not_change_when_the_future_does() -> None:
    flights, weather = flights_table(), weather_table()
    left_at = departures(flights)
    known = prepare(flights, weather)
    for row, now in enumerate(known.scheduled):
        delays = np.where(left_at > now - features.HEARD_AFTER_MIN, "777", flights["dep_delay"]).tolist()
        hours = features.minutes(weather["time_hour"]) > now - 60
        storm = {name: np.where(hours, "999", weather[name]).tolist() for name in features.WEATHER}
        other = prepare(flights | {"dep_delay": delays}, weather | storm)
        assert other.rows[row] == known.rows[row]


def test_features_change_when_the_past_does() -> None:
    flights, weather = flights_table(), weather_table()
    past = {"dep_delay": ["5" if one != "NA" else one for one in flights["dep_delay"]]}
    before, after = prepare(flights, weather), prepare(flights | past, weather)
    place = features.NAMES.index("origin_delay")
    known = [one[place] for one in after.rows if one[place] is not None]
    assert set(known) == {5.0}
    assert any(one[place] not in {None, 5.0} for one in before.rows)


def test_departure_delay_of_the_flight_itself_is_no_feature() -> None:
    assert not {"dep_delay", "dep_time", "arr_delay", "air_time", "month"} & set(features.NAMES)


def test_weather_is_that_of_the_hour_before() -> None:
    flights, weather = flights_table(), weather_table()
    known = prepare(flights, weather)
    place = features.NAMES.index("temp")
    origin = features.NAMES.index("origin")
    hours = zip(weather["origin"], features.minutes(weather["time_hour"]), weather["temp"], strict=True)
    temp = {(where, at): float(text) for where, at, text in hours}
    for row, at in zip(known.rows, known.scheduled, strict=True):
        assert row[place] == temp[row[origin], at // 60 * 60 - 60]


def test_weather_that_nobody_measured_is_null() -> None:
    empty = {name: [] for name in weather_table()}
    assert all(row[-1] is None for row in prepare(flights_table(), empty).rows)
