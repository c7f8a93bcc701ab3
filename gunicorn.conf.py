"""How gunicorn runs mlpipe; it reads this file by itself when it is started in this folder."""

from __future__ import annotations

import os as _os

from config import load as _load
from mlpipe import cores as _cores

_settings = _load()

bind = _settings.binds
workers = _settings.workers
worker_class = "gthread"
threads = _settings.threads
keepalive = 30
timeout = 60
graceful_timeout = 25
preload_app = False  # threads that are started before the fork would be dead in the workers
control_socket_disable = True
proc_name = "mlpipe"
errorlog = "-"
loglevel = "warning"


def when_ready(server: object) -> None:
    """Say where to look; every path answers on every address."""
    names = ("ingestion", "prediction", "dashboard")
    for name, address in zip(names, _settings.binds * len(names), strict=False):
        print(f"mlpipe {name:10} http://{address}/", flush=True)  # noqa: T201


def pre_fork(server: object, worker: object) -> None:
    """Choose the core that a new worker keeps to."""
    others = getattr(server, "WORKERS", {}).values()
    taken = [getattr(other, "core", None) for other in others]
    worker.core = _cores.least_taken(taken, first=_os.getpid()) if _settings.pin_workers else None  # type: ignore[attr-defined]


def post_fork(server: object, worker: object) -> None:
    """Keep to that core, before there are threads."""
    core = getattr(worker, "core", None)
    _cores.keep_to([] if core is None else [core])


def worker_exit(server: object, worker: object) -> None:
    """Stop what runs beside the requests, before Python waits for its threads: a fit would keep them for long."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions["mlpipe.background"].stop()
