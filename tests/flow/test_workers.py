"""Several workers behave as one: each slot runs once, all serve a new version within 2 s, nothing fails meanwhile."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from typing import Self

import numpy as np
import psycopg
import pytest
import requests

from tests.flow import streams
from tests.server import Server, wait_for

FOUR = {"WEB_CONCURRENCY": "4", "MLPIPE_CHECK_INTERVAL": "1", "MLPIPE_N_ESTIMATORS": "20", "MLPIPE_QUIET_S": "0.5"}
WITHIN_S = 2.0


class Callers:
    """Threads that ask for predictions again and again, each request on a connection of its own."""

    def __init__(self, server: Server, n: int = 4) -> None:
        self._url = server.url + "/predict"
        self._stop = threading.Event()
        self.versions: list[tuple[float, int]] = []
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._call) for _ in range(n)]

    def _call(self) -> None:
        while not self._stop.is_set():
            try:
                answer = requests.post(self._url, json={"features": [[1.0, 2.0, 3.0]]}, timeout=10)
                answer.raise_for_status()
                self.versions.append((time.monotonic(), answer.json()["model_version"]))
            except requests.RequestException as fault:
                self.failures.append(repr(fault))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def slots_of(server: Server) -> list[int]:
    """Return the slots of the drift check that ran, from the job rows, in order."""
    query = "SELECT slot FROM jobs WHERE kind = 'drift_check' ORDER BY slot"
    if server.database_url:
        with psycopg.connect(server.database_url) as connection:
            return [row[0] for row in connection.execute(query)]
    with sqlite3.connect(server.home / "mlpipe.db") as connection:
        return [row[0] for row in connection.execute(query)]


def deploy_under_load(server: Server, version: int) -> tuple[float, Callers]:
    """Activate a version while callers ask; return how long old answers went on, and the callers."""
    with Callers(server) as callers:
        time.sleep(1)
        server.post(f"/models/{version}/activate").raise_for_status()
        deployed = time.monotonic()
        time.sleep(WITHIN_S + 1)
    late = [moment - deployed for moment, served in callers.versions if served != version and moment > deployed]
    return max(late, default=0.0), callers


def two_versions(server: Server, rng: np.random.Generator) -> None:
    """Train version 1 and, by hand, version 2."""
    streams.train_first(server, rng)
    X, y = streams.rows(rng, 400, shift=1.0)
    server.post("/ingest/batch", {"features": X, "labels": y}).raise_for_status()
    server.post("/retraining/jobs", {"reason": "a second version"}).raise_for_status()
    server.wait_for_version(2)
    wait_for(lambda: streams.serving(server) == [2] * 4)


def test_four_workers_migrate_once_run_each_slot_once_and_reload_together(
    server: Server, rng: np.random.Generator
) -> None:
    server.start(**FOUR)
    wait_for(lambda: len(streams.serving(server)) == 4)
    two_versions(server, rng)
    old_answers_s, callers = deploy_under_load(server, 1)
    assert callers.failures == []
    assert len(callers.versions) > 100
    assert old_answers_s < WITHIN_S
    assert streams.serving(server) == [1] * 4
    slots = slots_of(server)
    assert len(slots) == len(set(slots)) >= 5
    assert sum(worker["leads"] for worker in server.get("/workers").json()["items"]) == 1


def test_a_dead_leader_is_replaced(server: Server) -> None:
    server.start(**FOUR | {"MLPIPE_LEASE_S": "1"})
    first = wait_for(lambda: leader(server))
    os.kill(first["pid"], signal.SIGKILL)
    second = wait_for(lambda: (found := leader(server)) and found["pid"] != first["pid"] and found, seconds=15)
    n = len(slots_of(server))
    wait_for(lambda: len(slots_of(server)) >= n + 2, seconds=15)
    assert second["pid"] != first["pid"]


def leader(server: Server) -> dict[str, int] | None:
    """Return the worker that leads."""
    workers = server.get("/workers").json()["items"]
    return next((worker for worker in workers if worker["leads"]), None)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_stopped_server_ends_well_and_gives_the_lead_back(server: Server) -> None:
    server.start(MLPIPE_LEASE_S="60")
    wait_for(lambda: leader(server))
    assert server.stop() == 0
    server.start(MLPIPE_LEASE_S="60")
    wait_for(lambda: leader(server), seconds=10)


def test_a_version_that_cannot_be_loaded_never_serves(server: Server, rng: np.random.Generator) -> None:
    server.start(**FOUR)
    wait_for(lambda: len(streams.serving(server)) == 4)
    two_versions(server, rng)
    (server.home / "models" / "1" / "model.joblib").write_bytes(b"")
    with Callers(server) as callers:
        time.sleep(0.5)
        answer = server.post("/models/1/activate")
        time.sleep(WITHIN_S)
    assert (answer.status_code, answer.json()["code"]) == (409, "deploy_failed")
    assert callers.failures == []
    assert {version for _, version in callers.versions} == {2}
    assert server.active() == 2
    assert "deploy_failed" in {item["kind"] for item in server.get("/incidents?state=open").json()["items"]}
    assert [item["version"] for item in server.get("/models/history").json()["items"]] == [2, 1]


def test_a_worker_that_was_killed_holds_up_no_deploy(server: Server, rng: np.random.Generator) -> None:
    server.start(**FOUR)
    wait_for(lambda: len(streams.serving(server)) == 4)
    two_versions(server, rng)
    workers = server.get("/workers").json()["items"]
    os.kill(next(worker["pid"] for worker in workers if not worker["leads"]), signal.SIGKILL)
    began = time.monotonic()
    server.post("/models/1/activate").raise_for_status()
    assert time.monotonic() - began < 15
    assert server.active() == 1
