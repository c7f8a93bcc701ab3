"""Let the year pass: January is taught, the other months are predicted, and labelled when they have landed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demonstration import features, flights
from demonstration.errors import DemoFailed
from demonstration.flights import Flights
from demonstration.progress import Progress
from demonstration.server import Server

REQUESTS = 330
"""Requests in which February to December pass: about one a day."""

FIRST_MODEL_S, LAST_TRAINING_S = 60, 30
"""Longest time that the demo waits for them."""


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
    revision : list of int
        Which of its revisions: 0 before it learned anything.
    clock : list of (float, float)
        Seconds since 1970 of our clock, and minutes since 1970 of the flights' clock, at each request.
    """

    ids: list[str] = field(default_factory=list)
    p_late: list[float] = field(default_factory=list)
    version: list[int] = field(default_factory=list)
    revision: list[int] = field(default_factory=list)
    clock: list[tuple[float, float]] = field(default_factory=list)

    def add(self, answer: Mapping[str, Any]) -> None:
        """Take the answer to one request."""
        late = answer["classes"].index(1)
        self.ids.extend(answer["prediction_ids"])
        self.p_late.extend(row[late] for row in answer["probabilities"])
        self.version.extend([answer["model_version"]] * len(answer["prediction_ids"]))
        self.revision.extend([answer["model_revision"]] * len(answer["prediction_ids"]))

    def flight_time(self, at: str) -> str:
        """Return which time of the flights' year was passing at a time of our clock."""
        ours, theirs = zip(*self.clock, strict=True)
        return flights.moment(np.interp(datetime.fromisoformat(at).timestamp(), ours, theirs)).isoformat()


def teach(server: Server, january: Flights) -> None:
    """Ingest January and wait for the first model, which nobody asks for.

    Raises
    ------
    DemoFailed
        None came.
    """
    batch = {
        "feature_names": features.NAMES,
        "features": january.rows,
        "labels": january.late.tolist(),
        "event_times": [flights.moment(at).isoformat() for at in january.scheduled],
        "batch_id": "january-2013",
    }
    stored = server.ask("/ingest/batch", batch)
    print(f"January is ingested: {stored['rows']:,} flights with labels. The first model follows by itself.")
    refused = server.call("POST", "/predict", {"features": january.rows[:1]})
    if refused.status_code == 503:
        print(f"  /predict says 503 until then: {refused.json()['detail']}")
    end = time.monotonic() + FIRST_MODEL_S
    while not server.call("GET", "/health/ready").ok:
        if time.monotonic() > end:
            raise DemoFailed(f"No first model within {FIRST_MODEL_S} s. {server.call('GET', '/health').text}")
        time.sleep(0.2)


def play(server: Server, year: Flights, *, seconds: float, progress: Progress) -> Answers:
    """Let flights pass: predict them before they leave, send what became of them after they landed.

    Parameters
    ----------
    server : Server
    year : Flights
        February to December.
    seconds : float
        How long it shall take at least, so that checks and trainings see the year in pieces.
    progress : Progress
        Shown after every request.
    """
    answers = Answers()
    waiting = np.zeros(len(year), dtype=bool)
    began = time.monotonic()
    size = max(1, len(year) // REQUESTS)
    for start in range(0, len(year), size):
        block = slice(start, min(start + size, len(year)))
        now = year.scheduled[start]
        _send_labels(server, year, answers.ids, waiting, until=now)
        answers.clock.append((time.time(), now))
        answers.add(server.ask("/predict?proba=all", {"features": year.rows[block]}))
        waiting[block] = True
        progress.show(block.stop, flights.MONTHS[int(year.month[start]) - 1], f"version {answers.version[-1]}")
        time.sleep(max(0.0, began + seconds * block.stop / len(year) - time.monotonic()))
    _send_labels(server, year, answers.ids, waiting, until=np.inf)
    progress.end()
    return answers


def _send_labels(
    server: Server, year: Flights, ids: Sequence[str], waiting: NDArray[np.bool_], *, until: float
) -> None:
    landed = np.flatnonzero(waiting & (year.landed <= until))
    if len(landed):
        body = {"prediction_ids": [ids[row] for row in landed.tolist()], "labels": year.late[landed].tolist()}
        server.ask("/feedback", body)
        waiting[landed] = False


def wait_for_trainings(server: Server) -> None:
    """Wait until no training runs, so that the story has its end."""
    end = time.monotonic() + LAST_TRAINING_S
    while time.monotonic() < end:
        if not any(job["state"] in {"queued", "running"} for job in server.ask("/retraining/jobs")["items"]):
            return
        time.sleep(0.5)
