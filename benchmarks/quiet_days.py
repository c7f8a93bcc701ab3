"""Thirty quiet days through a running server: how often does it cry wolf?

The server is the real one, started as `make run` starts it, but for its clock (`simulated_clock.py`). The script puts
that clock forward by 300 s, sends the rows of that interval to /predict and asks for the check; 8,640 times. The rows
are AR(1) 0.9 in 20 features, one stream from the first training row to the last predicted one: nothing ever moves. At
most two drift incidents may be opened.

    python benchmarks/quiet_days.py              a quarter of an hour
    python benchmarks/quiet_days.py --days 3     two minutes
"""

from __future__ import annotations

import argparse
import mmap
import struct
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import requests
from scipy import signal

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from tests.server import Server  # noqa: E402

N_FEATURES = 20
N_TRAINING = 10_000
PHI = 0.9
INTERVAL_S = 300
DAY_S = 86_400
MOST_INCIDENTS = 2


class Stream:
    """AR(1) rows of mean 0 and sd 1 that go on where the last call ended."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._state = np.zeros((1, N_FEATURES))
        self.rows(1000)

    def rows(self, n: int) -> np.ndarray:
        noise = np.sqrt(1 - PHI**2) * self._rng.normal(size=(n, N_FEATURES))
        rows, self._state = signal.lfilter([1], [1, -PHI], noise, axis=0, zi=self._state)
        return rows.round(4)

    def labels(self, rows: np.ndarray) -> list[int]:
        return (rows[:, 0] + rows[:, 1] + self._rng.normal(size=len(rows)) > 0).astype(int).tolist()


class Clock:
    """The server's clock, ahead of ours."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(struct.pack("<q", 0))
        with path.open("r+b") as file:
            self._ahead = mmap.mmap(file.fileno(), 8)
        self._ahead_s = 0

    def forward(self, seconds: int) -> None:
        self._ahead_s += seconds
        self._ahead[:8] = struct.pack("<q", self._ahead_s * 1_000_000)


def first_model(server: Server, stream: Stream) -> None:
    rows = stream.rows(N_TRAINING)
    server.post("/ingest/batch", {"features": rows.tolist(), "labels": stream.labels(rows)}).raise_for_status()
    server.wait_for_version(1, seconds=300)
    time.sleep(2)  # until the worker serves it


def live(server: Server, stream: Stream, clock: Clock, n_checks: int, n_rows: int) -> Counter[str]:
    """Let the days pass; return how often each verdict was given."""
    said: Counter[str] = Counter()
    with requests.Session() as session:
        for done in range(1, n_checks + 1):
            clock.forward(INTERVAL_S)
            body = {"features": stream.rows(n_rows).tolist()}
            session.post(server.url + "/predict", json=body, timeout=60).raise_for_status()
            said[_check(session, server.url)] += 1
            if done % (10 * DAY_S // INTERVAL_S) == 0:
                print(f"day {done * INTERVAL_S // DAY_S}: {dict(said)}", flush=True)
    return said


def _check(session: requests.Session, url: str) -> str:
    """Return the verdict on these rows; once a day the server's own check, on its slot, has come first."""
    report = session.post(url + "/drift/check", timeout=60).json()
    if report["verdict"] == "waiting_for_data":
        report = session.get(url + "/drift", timeout=60).json()
    verdict: str = report["verdict"]
    return verdict


def tell(server: Server, said: Counter[str]) -> int:
    """Print verdicts and incidents; return the number of drift incidents."""
    incidents: list[dict[str, Any]] = server.get("/incidents?limit=1000").json()["items"]
    newest = server.get("/drift").json()
    first = server.get("/models/history").json()["items"][-1]["since"]
    passed = datetime.fromisoformat(newest["checked_at"]) - datetime.fromisoformat(first)
    print(f"checks: {said.total():,}, over {passed.total_seconds() / DAY_S:.1f} days of the server's clock")
    print(f"verdicts: {dict(said)}; largest tau {max(one['tau'] for one in newest['features']):.1f}")
    print(f"incidents by kind: {dict(Counter(one['kind'] for one in incidents))}")
    drifts = [one for one in incidents if one["kind"] == "drift"]
    for one in reversed(drifts):
        print(f"  {one['opened_at']} to {one['resolved_at']}, {one['times']} checks: {one['sentence']}")
    return len(drifts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="three days")
    parser.add_argument("--rows", type=int, default=100, help="rows of an interval; a check needs 100")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    days, stream, begun = 3 if options.quick else options.days, Stream(options.seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clock"
        clock, server = Clock(path), Server(Path(folder) / "home")
        config = str(CHECKOUT / "benchmarks" / "simulated_clock.py")
        try:
            server.start(
                GUNICORN_CMD_ARGS=f"--config {config}", SIMULATED_CLOCK=str(path), MLPIPE_CHECK_INTERVAL=str(DAY_S)
            )
            first_model(server, stream)
            said = live(server, stream, clock, days * DAY_S // INTERVAL_S, options.rows)
            n_incidents = tell(server, said)
        finally:
            server.stop()
    print(f"{time.monotonic() - begun:.0f} s")
    if n_incidents > MOST_INCIDENTS:
        sys.exit(f"{n_incidents} drift incidents in {days} quiet days; at most {MOST_INCIDENTS} may be.")


if __name__ == "__main__":
    main()
