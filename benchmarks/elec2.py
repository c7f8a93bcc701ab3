"""elec2 through HTTP, in order: features first, the label 100 rows later; mlpipe beside a frozen first model.

The first 2,000 rows are ingested with labels; the rest is predicted row block by row block. The previous label as a
prediction is published beside it: on this stream it is hard to beat when labels come at once, and cannot be known
when they come 100 rows late.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from mlpipe.retraining import fit  # noqa: E402
from tests.server import Server, wait_for  # noqa: E402

DATA = CHECKOUT.parent / "shared" / "data" / "elec2.csv.gz"
FIRST = 2000
KNOWN_SHIFT = 17_400
"""Row where Victoria joins the market: three columns that were constant begin to move."""

LABEL_DELAY = 100


def read() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return names, features (n, 7) without the clock column, labels."""
    with gzip.open(DATA, "rt") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in {"date", "class"}]
    X = np.array([[float(row[name]) for name in names] for row in rows])
    return names, X, np.array([int(float(row["class"])) for row in rows])


def stream(server: Server, X: np.ndarray, y: np.ndarray, *, block: int, check_every: int) -> np.ndarray:
    """Predict the rows in order, send each label 100 rows later; return what was answered."""
    answers = np.zeros(len(X), dtype=int)
    ids: list[str] = []
    labelled = 0
    for start in range(FIRST, len(X), block):
        rows = slice(start, min(start + block, len(X)))
        answer = server.post("/predict", {"features": X[rows].tolist()}).json()
        answers[rows] = answer["predictions"]
        ids += answer["prediction_ids"]
        known = len(ids) - LABEL_DELAY
        if known > labelled:
            labels = y[FIRST + labelled : FIRST + known].tolist()
            server.post("/feedback", {"prediction_ids": ids[labelled:known], "labels": labels}).raise_for_status()
            labelled = known
        if (start - FIRST) % check_every == 0:
            server.post("/drift/check").raise_for_status()
            settle(server)
    return answers


def settle(server: Server) -> None:
    """Wait while a retraining is queued or runs: simulated time is fast, a fit is not."""

    def idle() -> bool:
        newest = server.get("/retraining/jobs?limit=1").json()["items"]
        if newest and newest[0]["state"] in {"queued", "running"}:
            return False
        active = server.active()
        return all(worker["model_version"] == active for worker in server.get("/workers").json()["items"])

    wait_for(idle, seconds=300, pause=0.05)


def main() -> None:
    """Run the stream and print what the issue asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=45_312)
    parser.add_argument("--block", type=int, default=50)
    parser.add_argument("--check-every", type=int, default=100)
    parser.add_argument("--window", type=int, default=0, help="MLPIPE_TRAINING_WINDOW; 0: the default")
    parser.add_argument("--home", type=Path, help="keep the home folder here")
    options = parser.parse_args()
    _, X, y = (part[: options.rows] if not isinstance(part, list) else part for part in read())
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(options.home or Path(folder) / "home")
        extra = {"MLPIPE_TRAINING_WINDOW": str(options.window)} if options.window else {}
        try:
            server.start(MLPIPE_CHECK_INTERVAL="86400", **extra)
            first = {"features": X[:FIRST].tolist(), "labels": y[:FIRST].tolist()}
            server.post("/ingest/batch", first).raise_for_status()
            server.wait_for_version(1)
            settle(server)
            answers = stream(server, X, y, block=options.block, check_every=options.check_every)
            report(server, X, y, answers, block=options.block)
        finally:
            server.stop()
    print(f"{time.monotonic() - started:.0f} s")


def report(server: Server, X: np.ndarray, y: np.ndarray, answers: np.ndarray, *, block: int) -> None:
    """Print alarms, deploys and accuracies; a log row is a block of rows, so its number says where it stands."""
    reports = everything(server, "/drift/reports")
    fired = [FIRST + one["last_prediction"] * block for one in reports if one["verdict"] == "drift"]
    history = everything(server, "/models/history")
    frozen = fit.fit(X[:FIRST], y[:FIRST].astype(float), task="classification", parameters=fit.Parameters())
    rest = slice(FIRST, None)
    print(f"checks with enough rows: {len(reports)}, of which drift: {len(fired)}")
    before = [row for row in fired if row < KNOWN_SHIFT]
    print(f"drift before row {KNOWN_SHIFT:,}: {before}")
    print(f"first alarm after it: row {min((row for row in fired if row >= KNOWN_SHIFT), default=None)}")
    outcomes = [job["outcome"] for job in everything(server, "/retraining/jobs")]
    print(
        f"deploys after the first: {len(history) - 1}; outcomes of jobs: { {o: outcomes.count(o) for o in outcomes} }"
    )
    print(f"accuracy over rows {FIRST:,} to {len(y):,}:")
    print(f"  mlpipe                         {np.mean(answers[rest] == y[rest]):.4f}")
    print(f"  frozen first model             {np.mean(frozen.predict(X[rest]) == y[rest]):.4f}")
    print(f"  previous label, known at once  {np.mean(y[FIRST - 1 : -1] == y[rest]):.4f}")
    late = y[FIRST - LABEL_DELAY : len(y) - LABEL_DELAY]
    print(f"  previous label, 100 rows late  {np.mean(late == y[rest]):.4f}")


def everything(server: Server, path: str) -> list[dict]:
    """Return all items of a list, page by page."""
    found: list[dict] = []
    cursor = ""
    while True:
        page = server.get(f"{path}?limit=1000{cursor}").json()
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


if __name__ == "__main__":
    main()
