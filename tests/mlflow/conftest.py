"""A real MLflow server, one a session, and what stands between it and mlpipe."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.mlflow import environment
from tests.mlflow.relay import Relay
from tests.server import free_ports, wait_for

START_S = 90


def answers(url: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    """Say whether a server listens; fail at once when it has ended."""
    assert process.poll() is None, log.read_text()
    try:
        return requests.get(url, timeout=2).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


@pytest.fixture(scope="session")
def mlflow_python() -> Path:
    return environment.python()


@pytest.fixture(scope="session")
def mlflow_url(mlflow_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("mlflow")
    (port,) = free_ports(1)
    command = [mlflow_python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{place}/mlflow.db", "--artifacts-destination", str(place / "files")]
    with (place / "log.txt").open("wb") as log:
        process = subprocess.Popen([*command, *stores], cwd=place, stdout=log, stderr=log)
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/health", process, place / "log.txt"), seconds=START_S)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def relay(mlflow_url: str) -> Iterator[Relay]:
    with Relay(int(mlflow_url.rpartition(":")[2])) as made:
        yield made
