"""A version that answers the opposite is forced live under load: it is rolled back by itself, and nothing fails."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mlpipe.settings import Settings
from tests import trained
from tests.flow import streams, test_workers
from tests.server import Server, wait_for

WITHIN_S = 60
ROWS = 25


@dataclass(frozen=True)
class Sabotage:
    """What was seen: seconds from the deploy to the rollback, the callers, the history, answers by version."""

    seconds: float
    callers: test_workers.Callers
    history: list[dict[str, Any]]
    answers: Counter[int]


def force_live(server: Server, rng: np.random.Generator, *, labels: bool = True) -> Sabotage:
    """Activate a sabotaged version 2 while callers ask and labels come in; wait until version 1 serves again."""
    with trained.opened(Settings(home=server.home, database_url=server.database_url)):
        trained.sabotage(Settings(home=server.home, database_url=server.database_url), 2)
    with test_workers.Callers(server) as callers:
        server.post("/models/2/activate", {"reason": "a mistake"}).raise_for_status()
        began = time.monotonic()
        wait_for(lambda: set(streams.serving(server)) == {2})
        send = streams.predict_and_label if labels else _predict
        wait_for(lambda: send(server, rng, ROWS, shift=0.0) and server.active() == 1, seconds=WITHIN_S, pause=0.02)
        seconds = time.monotonic() - began
        wait_for(lambda: set(streams.serving(server)) == {1})
        time.sleep(1)
    history = server.get("/models/history").json()["items"]
    return Sabotage(seconds, callers, history, Counter(version for _, version in callers.versions))


def _predict(server: Server, rng: np.random.Generator, n: int, *, shift: float) -> Any:
    answer = server.post("/predict", {"features": streams.rows(rng, n, shift=shift)[0]})
    answer.raise_for_status()
    return answer


@pytest.mark.parametrize("labels", [True, False])
def test_a_sabotaged_version_is_rolled_back_under_load(server: Server, rng: np.random.Generator, labels: bool) -> None:
    server.start(**test_workers.FOUR | {"WEB_CONCURRENCY": "2"})
    streams.train_first(server, rng)
    found = force_live(server, rng, labels=labels)
    assert found.callers.failures == []
    assert set(found.answers) == {1, 2}
    rollback, mistake = found.history[:2]
    assert (rollback["version"], rollback["kind"], rollback["by"]) == (1, "rollback", "probation")
    assert rollback["reason"].startswith("Rolled back from version 2: ")
    shown = ("worse on the same rows",) if labels else ()  # answers alone may tell before the first labels come
    assert any(why in rollback["reason"] for why in (*shown, "others than its reference"))
    assert (mistake["version"], mistake["by"], mistake["reason"]) == (2, "api", "a mistake")
    told = server.get("/incidents?state=open").json()["items"]
    assert "rolled_back" in {row["kind"] for row in told}
    assert server.get("/models/probations").json()["items"][0]["state"] == "rolled_back"
