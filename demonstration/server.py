"""Start the real server on free ports, speak to it by HTTP, stop it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import requests

from demonstration.errors import DemoFailed

CHECKOUT = Path(__file__).resolve().parent.parent

START_S, STOP_S = 60, 40

TRIES = 5
"""How often a request is sent to a server that is busy (429, 503)."""

THRESHOLD = 0.05
"""Drift score of an alarm: mlpipe's default, named here because the report draws it."""


def settings_for(home: Path, per_month: int) -> dict[str, str]:
    """Return settings at the scale of the sample, on ports that are free now."""
    return {
        "MLPIPE_HOME": str(home),
        "MLPIPE_BIND": ",".join(f"127.0.0.1:{port}" for port in _free_ports(3)),
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


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


class Server:
    """The real server in a home folder.

    Parameters
    ----------
    home : Path
        Its home folder.
    settings : dict
        Its settings; none of the caller's own count.
    """

    def __init__(self, home: Path, settings: Mapping[str, str]) -> None:
        self.home, self.settings = home, settings
        binds = settings["MLPIPE_BIND"].split(",")
        self.url, self.dashboard = f"http://{binds[0]}", f"http://{binds[-1]}/"
        self._output = home / "server.txt"
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
        with self._output.open("ab") as output:
            # A session of its own: Ctrl-C reaches the demo alone, which then stops the server in order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "wsgi:app"],
                cwd=CHECKOUT,
                env={**environment, **self.settings},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._wait_until_well(self._process)

    def _wait_until_well(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + START_S
        while not self._is_well():
            if process.poll() is not None:
                raise DemoFailed(f"The server ended with code {process.returncode}. {self._last_words()}")
            if time.monotonic() > end:
                raise DemoFailed(f"The server does not answer within {START_S} s. {self._last_words()}")
            time.sleep(0.1)

    def _is_well(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/health", timeout=5).ok
        return False

    def _last_words(self) -> str:
        return f"Its last words ({self._output}):\n" + self._output.read_text(errors="replace")[-2000:]

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
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Send a request.

        Raises
        ------
        DemoFailed
            The server is gone.
        """
        try:
            return self._session.request(method, self.url + path, json=body, timeout=60)
        except requests.RequestException as fault:
            raise DemoFailed(f"{method} {path} got no answer ({fault}). {self._last_words()}") from None

    def ask(self, path: str, body: Any = None) -> dict[str, Any]:
        """GET, or POST a body, again where the server is busy, and return the JSON of the answer.

        Raises
        ------
        DemoFailed
            The server refuses.
        """
        method = "GET" if body is None else "POST"
        answer = self.call(method, path, body)
        for _ in range(TRIES - 1):
            if answer.status_code not in {429, 503}:
                break
            time.sleep(float(answer.headers.get("Retry-After", 1)))
            answer = self.call(method, path, body)
        if not answer.ok:
            raise DemoFailed(f"{method} {path} was answered {answer.status_code}: {answer.text[:500]}")
        found: dict[str, Any] = answer.json()
        return found

    def every(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, page by page, newest first."""
        cursor = ""
        while cursor is not None:
            page = self.ask(path + (f"?cursor={cursor}" if cursor else ""))
            yield from page["items"]
            cursor = page["next"]
