"""kill -9 at a random point during ingest: every acknowledged row is there, once."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import pytest
import requests

from tests.flow import streams
from tests.server import Server

KILLS = 10
ROWS = 20


class Sender:
    """Sends batches until the server is gone; remembers what was acknowledged."""

    def __init__(self, server: Server, rng: np.random.Generator) -> None:
        self._server = server
        self._rng = rng
        self.acknowledged: list[str] = []
        self.sent = 0

    def run(self) -> None:
        while True:
            name = f"batch-{self.sent}"
            self.sent += 1
            X, y = streams.rows(self._rng, ROWS)
            try:
                answer = requests.post(
                    self._server.url + "/ingest/batch",
                    json={"features": X, "labels": y, "batch_id": name},
                    timeout=5,
                )
            except requests.RequestException:
                return
            assert answer.status_code == 201, answer.text
            self.acknowledged.append(name)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_acknowledged_row_is_lost_or_doubled_by_kill_9(server: Server, rng: np.random.Generator) -> None:
    chance = random.Random(11)
    sender = Sender(server, rng)
    for _ in range(KILLS):
        server.start(MLPIPE_MIN_LABELLED="1000000")
        thread = threading.Thread(target=sender.run)
        thread.start()
        time.sleep(chance.uniform(0.05, 0.6))
        server.kill()
        thread.join()
    server.start(MLPIPE_MIN_LABELLED="1000000")
    stored = _batches(server)
    assert len(sender.acknowledged) > KILLS
    assert set(sender.acknowledged) <= set(stored)
    assert len(stored) == len(set(stored)) <= sender.sent
    assert server.get("/features/stats").json()["rows"] == ROWS * len(stored)


def _batches(server: Server) -> list[str]:
    names: list[str] = []
    cursor = ""
    while True:
        page = server.get(f"/ingest/batches?limit=1000{cursor}").json()
        names += [batch["batch_id"] for batch in page["items"]]
        if page["next"] is None:
            return names
        cursor = f"&cursor={page['next']}"
