"""A stream through the server, in order: every row is answered before its label comes, up to 100 rows later.

The first 2,000 rows are ingested with labels; then requests of 100 rows, each followed by the labels of its rows.
Settings are the defaults but for the kind of model; the server's clock is put forward by 300 s for each request, so
that cooldowns, budgets and pauses mean what they mean in service, and a drift check is asked for each time.

    python benchmarks/prequential_http.py --stream elec2 --kind rolling_forest [--rows 20000]

`prequential.py` has the models that nobody serves: frozen, refitted on a schedule, boosting, logistic regression, the
previous label.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import requests

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from benchmarks import prequential  # noqa: E402
from benchmarks.quiet_days import INTERVAL_S, Clock  # noqa: E402
from demonstration import flights  # noqa: E402
from tests.server import Server, wait_for  # noqa: E402

N_FIRST = 2000
BLOCK = 100
SURE = 1e-6
"""Least probability that the log loss sees."""

SETTLE_S = 600


def read(stream: str, data: Path, n: int | None) -> tuple[list[list[Any]], np.ndarray]:
    """Return rows as JSON takes them, and labels 0 and 1."""
    if stream == "flights":
        year = flights.load(per_month=10**6)
        rows, y = year.rows[: n or 100_000], year.late[: n or 100_000]
        return rows, np.asarray(y, dtype=int)
    X, y = prequential.STREAMS[stream](data)
    return X[:n].tolist(), y[:n].astype(int)


class Caller:
    """One client; it waits while the server is at work, since simulated time is fast and a fit is not."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server, self._clock, self._session = server, clock, requests.Session()

    def post(self, path: str, body: Any = None) -> Any:
        answer = self._session.post(self._server.url + path, json=body, timeout=300)
        answer.raise_for_status()
        return answer.json()

    def get(self, path: str) -> Any:
        return self._session.get(self._server.url + path, timeout=60).json()

    def through(self, rows: list[list[Any]], y: np.ndarray) -> np.ndarray:
        """Return the probability of class 1 that was answered for each row after the first."""
        p = np.full(len(rows), np.nan)
        for first in range(N_FIRST, len(rows), BLOCK):
            part = slice(first, min(first + BLOCK, len(rows)))
            self._clock.forward(INTERVAL_S)
            answer = self.post("/predict?proba=all", {"features": rows[part]})
            p[part] = np.array(answer["probabilities"])[:, answer["classes"].index(1)]
            self.post("/feedback", {"prediction_ids": answer["prediction_ids"], "labels": y[part].tolist()})
            self.post("/drift/check")
            self.settle()
            if first % 10_000 < BLOCK:
                right = np.mean((p[N_FIRST : part.stop] > 0.5) == y[N_FIRST : part.stop])
                print(f"  row {first:,}: accuracy {right:.4f}", flush=True)
        return p

    def settle(self) -> None:
        """Wait until what came is learned, no retraining runs, and the worker serves the newest state."""
        wait_for(self._idle, seconds=SETTLE_S, pause=0.02)

    def _idle(self) -> bool:
        job = self.get("/retraining/jobs?limit=1")["items"]
        if job and (job[0]["state"] == "running" or (job[0]["state"] == "queued" and not job[0].get("waits"))):
            return False
        learned = self.get("/learning?limit=1")
        if learned["model_version"] is not None and (learned["labels_waiting"] or _unpublished(learned)):
            return False
        active = (self.get("/models?limit=1")["active"], learned.get("model_revision", 0))
        workers = self.get("/workers")["items"]
        return bool(workers) and all((w["model_version"], w["model_revision"]) == active for w in workers)


def _unpublished(learned: dict[str, Any]) -> bool:
    """Say whether a step was written whose state is not published yet."""
    return bool(learned["items"]) and learned["items"][0]["labels_learned"] != learned["labels_learned"]


def tell(caller: Caller, p: np.ndarray, y: np.ndarray) -> None:
    """Print accuracy, log loss, and what the server did by itself."""
    asked, truth = p[N_FIRST:], y[N_FIRST:] == 1
    sure = np.clip(asked, SURE, 1 - SURE)
    loss = -np.mean(np.where(truth, np.log(sure), np.log(1 - sure)))
    jobs = caller.get("/retraining/jobs?limit=1000")["items"]
    history = caller.get("/models/history?limit=1000")["items"]
    versions = caller.get("/models?limit=1000")["items"]
    learned = caller.get("/learning?limit=1")
    print(f"accuracy {100 * np.mean((asked > 0.5) == truth):.2f} %, log loss {loss:.4f}")
    print(f"retrainings: {dict(Counter(one['outcome'] for one in jobs))}")
    print(f"asked for by: {dict(Counter(one['evidence'].get('trigger') for one in jobs))}")
    print(f"deploys and rollbacks: {dict(Counter(one['kind'] for one in history))}")
    print(f"kinds: {dict(Counter(one['kind'] for one in versions))}")
    print(f"renewals of the version that serves: {(learned.get('labels_learned') or 0) // 200}")
    print(f"labels held back: {len(learned.get('held', []))} steps")
    incidents = caller.get("/incidents?limit=1000")["items"]
    print(f"incidents: {dict(Counter(one['kind'] for one in incidents))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stream", choices=sorted(prequential.STREAMS), default="elec2")
    parser.add_argument("--kind", default="rolling_forest")
    parser.add_argument("--rows", type=int, help="rows of the stream; all by default, of flights 100,000")
    parser.add_argument("--data", type=Path, default=prequential.DATA)
    parser.add_argument("--home", type=Path, help="keep the home folder here")
    options = parser.parse_args()
    rows, y = read(options.stream, options.data, options.rows)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clock"
        clock, server = Clock(path), Server(options.home or Path(folder) / "home")
        config = str(CHECKOUT / "benchmarks" / "simulated_clock.py")
        try:
            server.start(
                GUNICORN_CMD_ARGS=f"--config {config}",
                SIMULATED_CLOCK=str(path),
                MLPIPE_MODEL_KIND=options.kind,
                MLPIPE_CHECK_INTERVAL="86400",  # checks are asked for, one for each request
                MLPIPE_LEASE_S="600",  # 300 s pass between two looks
                MLPIPE_LEARN_INTERVAL_S="0.1",  # how often the learner looks and the worker reloads: real time
                MLPIPE_RELOAD_INTERVAL_S="0.1",
            )
            caller = Caller(server, clock)
            caller.post("/ingest/batch", {"features": rows[:N_FIRST], "labels": y[:N_FIRST].tolist()})
            server.wait_for_version(1, seconds=300)
            caller.settle()
            p = caller.through(rows, y)
            print(f"{options.stream}, {options.kind}, {len(y):,} rows")
            tell(caller, p, y)
        finally:
            server.stop()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{used.ru_utime + used.ru_stime:.0f} CPU s of the server and its fits; {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
