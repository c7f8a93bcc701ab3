"""Start, ask and stop a real gunicorn on free ports of 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

CHECKOUT = Path(__file__).resolve().parent.parent
START_S = 60


def free_ports(n: int) -> list[int]:
    """Return ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_for(condition: Callable[[], Any], *, seconds: float = 30, pause: float = 0.1) -> Any:
    """Return the first true answer of a condition, or fail after some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(pause)
    raise AssertionError(f"not true within {seconds} s: {condition}")


class Server:
    """A server with a home folder of its own."""

    def __init__(self, home: Path, *, database_url: str = "") -> None:
        self.home = home
        self.database_url = database_url
        self.ports = free_ports(3)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def start(self, **environment: str) -> Server:
        self.home.mkdir(parents=True, exist_ok=True)
        clean = {key: value for key, value in os.environ.items() if not key.startswith("MLPIPE_")}
        own = {
            "MLPIPE_HOME": str(self.home),
            "MLPIPE_BIND": ",".join(f"127.0.0.1:{port}" for port in self.ports),
            "MLPIPE_DATABASE_URL": self.database_url,
            "MLPIPE_MODEL_KIND": "forest",  # most tests are about versions that change when they are deployed
        }
        with (self.home / "server.txt").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "wsgi:app"],
                cwd=CHECKOUT,
                env=clean | own | environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_for(self._answers, seconds=START_S)
        return self

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError("the server ended: " + self.output())
        try:
            return requests.get(self.url + "/health/live", timeout=2).ok
        except (requests.ConnectionError, requests.Timeout):
            return False

    def output(self) -> str:
        return (self.home / "server.txt").read_text()

    def get(self, path: str, **options: Any) -> Any:
        """Ask on a connection of its own: one that is kept would stick to a worker, and break when that one dies."""
        return requests.get(self.url + path, timeout=30, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> Any:
        return requests.post(self.url + path, json=json, timeout=60, **options)

    def active(self) -> int | None:
        version: int | None = self.get("/models").json()["active"]
        return version

    def wait_for_version(self, version: int, *, seconds: float = 60) -> None:
        wait_for(lambda: (self.active() or 0) >= version, seconds=seconds)

    def kill(self) -> None:
        """End the whole process group at once, as a power cut of the process would."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def stop(self) -> int | None:
        """Ask the server to end and wait for it; kill it after half a minute."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        self.process = None
        return code
