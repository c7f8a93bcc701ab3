"""Fits of a user's own that raise, crash or hang, through a running server: the job says so, and nothing is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import trained
from tests.flow import streams, test_workers
from tests.server import Server, wait_for

OWN = "tests.retraining.own_models:"


def processes(home: Path) -> list[str]:
    """Return the command lines of fits in a home folder, and of what they have started."""
    found = [path for path in _command_lines() if str(home) in _said(path.with_name("environ"))]
    lines = [_said(path) for path in found]
    return [line for line in lines if "retraining.child" in line or "left-behind" in line]


def _said(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # it ended meanwhile
        return ""


def _command_lines() -> list[Path]:
    return [path for path in Path("/proc").glob("[0-9]*/cmdline") if _readable(path)]


def _readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


@pytest.mark.parametrize("database", ["sqlite"])
@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("raises", "the price list is missing"),
        ("crashes", "killed by SIGSEGV"),
        ("sleeps", "took longer than 20 s"),
    ],
)
def test_a_fit_that_goes_wrong_says_so_and_the_champion_serves_on(
    server: Server, rng: np.random.Generator, function: str, told: str
) -> None:
    server.start(**test_workers.FOUR | {"WEB_CONCURRENCY": "2"})
    streams.train_first(server, rng)
    server.stop()
    server.start(
        **test_workers.FOUR
        | {
            "WEB_CONCURRENCY": "2",
            "MLPIPE_MODEL_KIND": OWN + function,
            "MLPIPE_FIT_TIMEOUT_S": "20" if function == "sleeps" else "90",
        }
    )
    wait_for(lambda: set(streams.serving(server)) == {1})
    X, y = trained.rows(300, rng)
    server.post("/ingest/batch", {"features": X, "labels": y}).raise_for_status()
    with test_workers.Callers(server) as callers:
        server.post("/retraining/jobs", {"reason": "try"}).raise_for_status()
        job = wait_for(lambda: _ended(server), seconds=120)
    assert (job["state"], job["outcome"]) == ("failed", "failed")
    assert told in job["sentence"]
    assert callers.failures == []
    assert {version for _, version in callers.versions} == {1}
    assert list((server.home / "models").glob(".fit-*")) == []
    assert processes(server.home) == []


def _ended(server: Server) -> dict[str, Any] | None:
    job: dict[str, Any] = server.get("/retraining/jobs").json()["items"][0]
    return job if job["reason"] == "try" and job["state"] in {"done", "failed", "cancelled"} else None
