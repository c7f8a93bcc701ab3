"""Assembly, and nothing else."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask

from mlpipe import __version__, cli, db, logs, scheduler, web
from mlpipe.access import routes as access
from mlpipe.dashboard import routes as dashboard
from mlpipe.drift import routes as drift
from mlpipe.features import routes as features
from mlpipe.incidents import routes as incidents
from mlpipe.ingestion import routes as ingestion
from mlpipe.jobs import routes as jobs
from mlpipe.learning import routes as learning
from mlpipe.mlflow import service as mlflow
from mlpipe.prediction import routes as prediction
from mlpipe.prediction.champion import Champion
from mlpipe.prediction.routing import Router
from mlpipe.registry import routes as registry
from mlpipe.retraining import routes as retraining
from mlpipe.settings import Settings

CHECKOUT = Path(__file__).resolve().parent.parent
STAGES = (ingestion, features, prediction, drift, retraining, registry, learning, jobs, incidents, dashboard)

STARTS = ("mlpipe.ingestion", "mlpipe.prediction", "mlpipe.drift", "mlpipe.retraining", "mlpipe.dashboard")
"""Loggers that note the start: one a file."""

SWITCH_INTERVAL_S = 0.0005
"""How long a busy thread keeps the interpreter from one that has just stored its row; Python's own is 5 ms, longer than
a prediction takes."""

PRIVATE = 0o077
"""Whatever a server writes belongs to its user alone: rows, models, logs."""

LOW_DISK_BYTES = 512 * 1024 * 1024
"""Free space under which /health warns: a fit and its version folder need some tens of megabytes."""


class App(Flask):
    """Flask without its look at each function for whether it is a coroutine: none is."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as it is."""
        return func


def create_app(settings: Settings) -> Flask:
    """Put an app together; nothing runs in the background yet (see `serve`).

    Parameters
    ----------
    settings : Settings
        Checked settings.
    """
    app = App("mlpipe", template_folder=str(CHECKOUT / "templates"), static_folder=str(CHECKOUT / "static"))
    settings.home.mkdir(parents=True, exist_ok=True)
    logs.configure(settings.logs_folder, level=settings.log_level, as_json=settings.log_json)
    web.init(app, settings)
    access.init(app, settings)
    db.init(app, settings)
    app.extensions[prediction.EXTENSION] = champion = Champion(settings.models_folder)
    registry.init(app, look=champion.refresh)
    app.extensions[prediction.ROUTER] = Router(champion)
    drift.init(app, settings)
    for stage in STAGES:
        app.register_blueprint(stage.blueprint)
    app.cli.add_command(cli.commands)
    _add_health(app, settings)
    return app


def serve(settings: Settings) -> Flask:
    """Put an app together, bring its database up to date, and start what runs in the background."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    os.umask(PRIVATE)
    app = create_app(settings)
    db.upgrade(app, settings)
    for name in STARTS:
        logging.getLogger(name).info("mlpipe %s starts, home folder %s", __version__, settings.home)
    scheduler.start(app, settings)
    return app


def work_for_a_command(settings: Settings) -> Flask:
    """Put an app together for ``flask mlpipe ...`` or ``flask db ...``: it leads nothing and migrates nothing."""
    os.umask(PRIVATE)
    return create_app(settings)


def _add_health(app: Flask, settings: Settings) -> None:
    def disk() -> tuple[web.HealthStatus, str]:
        free = shutil.disk_usage(settings.home).free
        state: web.HealthStatus = "ok" if free > LOW_DISK_BYTES else "degraded"
        return state, f"{free / 1e9:.1f} GB are free."

    web.add_health(app, "database", db.health)
    web.add_health(app, "model", prediction.model_health)
    web.add_health(app, "scheduler", scheduler.health)
    web.add_health(app, "drift_monitor", drift.health)
    web.add_health(app, "retraining", retraining.health)
    web.add_health(app, "probation", retraining.probation_health)
    web.add_health(app, "incidents", incidents.health)
    web.add_health(app, "prediction_log", prediction.log_health)
    if settings.mlflow is not None:
        web.add_health(app, "mlflow", lambda: mlflow.health(settings))
    web.add_health(app, "disk", disk)
