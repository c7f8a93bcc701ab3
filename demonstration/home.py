"""The demo's home folder: made anew, or taken over from an earlier demo."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from pathlib import Path

import requests

from demonstration.errors import DemoFailed
from demonstration.server import Server

MARK = "mlpipe-demo.json"
"""File by which the demo knows a home folder as its own."""


def make(wanted: str | None) -> Path:
    """Return an empty home folder; one that an earlier demo left is emptied, any other is left alone.

    Raises
    ------
    DemoFailed
        It holds something else, or an earlier demo still serves from it.
    """
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="mlpipe-demo-"))
    home = Path(wanted).resolve()
    if home.is_file() or (home.is_dir() and any(home.iterdir())):
        _remove(home)
    home.mkdir(parents=True, exist_ok=True)
    return home


def _remove(home: Path) -> None:
    mark = home / MARK
    if not mark.is_file():
        raise DemoFailed(f"{home} is not empty and was not made by this demo. Nothing in it was touched; name another.")
    earlier = json.loads(mark.read_text())
    with contextlib.suppress(requests.RequestException):
        requests.get(earlier["url"] + "/health/live", timeout=2)
        raise DemoFailed(f"An earlier demo still serves from {home}. Stop it first: kill {earlier['pid']}")
    shutil.rmtree(home)


def mark(server: Server) -> None:
    """Leave word in the server's home folder whose it is."""
    (server.home / MARK).write_text(json.dumps({"url": server.url, "pid": server.pid}))
