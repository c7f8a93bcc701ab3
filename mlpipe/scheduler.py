"""APScheduler's entries; each is one service call.

Every worker watches for new versions. One of them leads: it holds a lease in the database, looks after the slots of
the drift check, and runs retrainings. Whoever leads when a slot begins runs it; a unique row is the proof that it
runs once.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from mlpipe import clock, errors
from mlpipe.drift import routes as drift_routes
from mlpipe.drift import service as drift
from mlpipe.drift import watch as silence
from mlpipe.incidents import sending
from mlpipe.jobs import service as jobs
from mlpipe.learning import turns as learning
from mlpipe.mlflow import service as mlflow
from mlpipe.prediction import feedback, shadow
from mlpipe.prediction import routes as prediction_routes
from mlpipe.retraining import asking, probations
from mlpipe.retraining import service as retraining
from mlpipe.settings import Settings

logger = logging.getLogger("mlpipe.retraining.scheduler")

TICK_S = 0.5
"""Pause between two looks of the leader at what is due."""

EXTENSION = "mlpipe.background"

SWEEP_S = 5.0
"""Pause between two rounds of tidying, and between two looks for what has fallen silent."""

TELL_S = 1.0
"""Pause between two rounds of messages about incidents."""

BEAT_S = 1.0
"""Pause between two signs of life; a deploy waits for workers that gave one lately (registry.rollout.ALIVE_S)."""

DEPLOY_S = 0.05
"""Pause between two looks while a deploy is under way: all workers change within that time."""

SHADOW_S = 1.0
"""Pause between two rounds of shadow scoring, and between two looks at a probation."""

N_ENTRIES = 11
"""A thread for each entry: a fit, a slow check or a slow receiver of messages or MLflow holds up nothing else."""


class Background:
    """What runs beside the requests of one process.

    Parameters
    ----------
    app : Flask
        Gives the context in which the database is reached.
    settings : Settings
    """

    def __init__(self, app: Any, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._champion = app.extensions[prediction_routes.EXTENSION]
        self._router = app.extensions[prediction_routes.ROUTER]
        self._probation = probations.Watch(self._champion, settings)
        self._monitor = app.extensions[drift_routes.EXTENSION]
        self._classroom = learning.Classroom()
        self._leads = threading.Event()
        self._stopping = threading.Event()
        self._last_slot = -1
        self._scheduler: BackgroundScheduler | None = None

    def start(self) -> None:
        """Start the threads of this process."""
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a tick that finds the last one at work is no news
        self.worker = jobs.worker_name()
        self._pid = os.getpid()
        self._started_at = clock.now_us()
        self._champion.name = self.worker
        self._quietly(self._champion.refresh)()
        self._quietly(self.beat)()
        executor = ThreadPoolExecutor(N_ENTRIES)
        self._scheduler = BackgroundScheduler(executors={"default": executor}, timezone="UTC", daemon=True)
        tick = min(TICK_S, self._settings.check_interval / 4)
        self._every(self.watch, self._settings.reload_interval_s)
        self._every(self.beat, BEAT_S)
        self._every(self.lead, tick)
        self._every(self.check, tick)
        self._every(self.retrain, TICK_S)
        self._every(self.learn, min(TICK_S, self._settings.learn_interval_s))
        self._every(self.sweep, SWEEP_S)
        self._every(self.look, SWEEP_S)
        self._every(self.tell, TELL_S)
        self._every(self.accompany, SHADOW_S)
        self._every(self.register, TELL_S)
        self._scheduler.start()
        atexit.register(self.stop)

    def _every(self, entry: Callable[[], None], seconds: float) -> None:
        options = {"seconds": seconds, "max_instances": 1, "coalesce": True, "misfire_grace_time": None}
        if self._scheduler is not None:
            self._scheduler.add_job(self._quietly(entry), "interval", id=entry.__name__, **options)

    def _quietly(self, entry: Callable[[], object]) -> Callable[[], None]:
        """Give an entry its context; a fault is logged, and the entry runs again at its next time."""

        def run() -> None:
            with self._app.app_context():
                try:
                    entry()
                except errors.StoreUnavailable as fault:
                    logger.warning("%s: %s", entry.__name__, fault.detail)
                except Exception:
                    logger.exception("%s failed; it runs again at its next time", entry.__name__)

        return run

    def stop(self) -> None:
        """Stop the threads, give the lead back and leave the list of workers; a fit that runs is put back."""
        if self._scheduler is None or self._pid != os.getpid():
            return
        self._stopping.set()
        self._scheduler.shutdown(wait=True)
        self._scheduler = None
        self._quietly(lambda: jobs.leave(self.worker))()

    # Entries --------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Serve what the registry says; look again and again while a deploy is under way."""
        changed = self._champion.refresh()
        while self._champion.expects and not self._stopping.wait(DEPLOY_S):
            changed |= self._champion.refresh()
        self._router.refresh()
        if changed:
            self.beat()

    def beat(self) -> None:
        """Write that this worker is alive and what it serves, also while a version is being loaded."""
        model = self._champion.model
        version, revision = (model.version, model.revision) if model else (None, None)
        jobs.beat(self.worker, started_at=self._started_at, version=version, revision=revision)

    def lead(self) -> None:
        """Take or keep the lead."""
        if jobs.lead(self.worker, lease_s=self._settings.lease_s):
            if not self._leads.is_set():
                logger.info("this worker leads: %s", self.worker)
            self._leads.set()
        else:
            self._leads.clear()

    def check(self) -> None:
        """Run the drift check of the present slot, once."""
        slot = int(clock.now_us() / (self._settings.check_interval * clock.MICROSECONDS))
        if self._leads.is_set() and slot != self._last_slot:
            self._last_slot = slot
            drift.run_slot(self._monitor, self._settings, slot=slot, holder=self.worker)

    def retrain(self) -> None:
        """Ask for the first model or for another one when it is due, and run the next retraining."""
        if self._leads.is_set():
            asking.ask_for_first(self._settings)
            asking.ask_if_due(self._settings)
            retraining.run_next(self._settings, holder=self.worker, stopping=self._stopping.is_set)

    def learn(self) -> None:
        """Let a version that learns learn what has come."""
        if self._leads.is_set():
            learning.take_turn(self._classroom, self._settings, holder=self.worker)

    def sweep(self) -> None:
        """Join parked labels, and take silent workers off the list."""
        if self._leads.is_set():
            feedback.join_parked()
            drift.sweep()
            jobs.sweep()

    def look(self) -> None:
        """Open and close the incidents of silence and age."""
        if self._leads.is_set():
            silence.look(self._settings, watching_since=self._started_at)

    def accompany(self) -> None:
        """Score in the shadow what was answered, and look whether a new champion keeps its promise."""
        if self._leads.is_set():
            shadow.step(self._champion)
            self._probation.step()

    def tell(self) -> None:
        """Send the messages about incidents."""
        if self._leads.is_set():
            sending.tell(self._settings, stopping=self._stopping.is_set)

    def register(self) -> None:
        """Tell MLflow what is registered and what serves."""
        if self._leads.is_set():
            mlflow.tell(self._settings, stopping=self._stopping.is_set)


def start(app: Any, settings: Settings) -> Background:
    """Start the background of this process, and again in processes that are forked from it."""
    background = Background(app, settings)
    background.start()
    app.extensions[EXTENSION] = background
    os.register_at_fork(after_in_child=background.start)
    return background


def health() -> tuple[Any, str]:
    """Say whether somebody leads."""
    silent_s = jobs.leader_silent_s()
    if silent_s is None:
        return "waiting", "No process has taken the lead yet."
    if silent_s > 0:
        return (
            "degraded",
            f"Nobody has held the scheduler lease for {silent_s:.0f} s; predictions go on. Restart a worker.",
        )
    return "ok", "A worker leads: checks and retrainings run."
