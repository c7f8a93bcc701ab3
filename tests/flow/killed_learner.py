"""Kill the server again and again while it learns, and compare its state with an undisturbed one, bit for bit."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import numpy as np
import requests

from mlpipe import db
from mlpipe.app import create_app
from mlpipe.features import arrivals
from mlpipe.features.arrivals import Mark
from mlpipe.learning import store
from mlpipe.learning.learner import Learner
from mlpipe.registry import revision_files
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.rolling import checkpoint, learning
from mlpipe.settings import Settings
from tests.flow import streams
from tests.server import Server, wait_for

SETTINGS = {
    "MLPIPE_MODEL_KIND": "rolling_forest",
    "MLPIPE_LEARN_LABELS": "20",
    "MLPIPE_LEARN_INTERVAL_S": "0.1",
    "MLPIPE_LEASE_S": "1",
    "MLPIPE_N_ESTIMATORS": "20",
}
ROWS = 30


def send_until_gone(server: Server, rng: np.random.Generator) -> None:
    """Send labelled rows until the server does not answer any more."""
    with requests.Session() as session:
        while True:
            X, y = streams.rows(rng, ROWS)
            try:
                session.post(server.url + "/ingest/batch", json={"features": X, "labels": y}, timeout=5)
            except requests.RequestException:
                return
            time.sleep(0.02)


def killed_while_learning(server: Server, rng: np.random.Generator, *, kills: int) -> int:
    """Start, send, kill; return how many labels the version has learned after the last start."""
    chance = random.Random(5)
    server.start(**SETTINGS)
    streams.train_first(server, rng)
    for n in range(kills):
        if n:
            server.start(**SETTINGS)
        thread = threading.Thread(target=send_until_gone, args=(server, rng))
        thread.start()
        time.sleep(chance.uniform(0.3, 2.5))
        server.kill()
        thread.join()
    server.start(**SETTINGS)
    wait_for(lambda: _learned(server)["labels_waiting"] == 0, seconds=120)
    learned = int(_learned(server)["labels_learned"])
    server.stop()
    return learned


def _learned(server: Server) -> Any:
    return server.get("/learning?limit=1").json()


def states(server: Server) -> tuple[dict[str, bytes], dict[str, bytes], int]:
    """Return the state as the server would rebuild it, an undisturbed one of the same labels, and the steps held."""
    settings = Settings(home=server.home, database_url=server.database_url)
    app = create_app(settings)
    with app.app_context():
        with db.reading() as connection:
            version = versions.get(connection, 1)
            assert version is not None
            steps = store.following(connection, 1, after=0, limit=1_000_000)
            end = steps[-1].upto
            samples = arrivals.between(connection, Mark(version.last_batch, version.last_label), end)
        folder = registry.folder(settings.models_folder, 1)
        first = checkpoint.unpack(revision_files.load_checkpoint(folder, 0, version.files))
        whole = learning.learn(first, samples.X, samples.y)
        rebuilt = Learner(settings.models_folder, version).state
        for engine in db.database.engines.values():
            engine.dispose()
    held = sum(step.kind == "held" for step in steps)
    return _bits(rebuilt), _bits(whole), held


def _bits(state: Any) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in checkpoint.pack(state).items()}
