"""``/predict`` for one row beside a naive Flask view and a constant one, in the same run, in turn.

All run under gunicorn gthread with one worker and the same number of threads; 8 keep-alive connections; mlpipe and the
naive view log every row durably before they answer. mlpipe's worker keeps to one core, so the other two are measured
both as people start them and kept to one core as well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import requests

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from benchmarks import load  # noqa: E402
from mlpipe import cores  # noqa: E402
from tests.server import Server, free_ports, wait_for  # noqa: E402

FEATURES = 20
ROWS = 20_000


def train(server: Server) -> Path:
    """Ingest rows and wait for the first model; return its file."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(ROWS, FEATURES))
    y = (X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(0, 0.5, ROWS) > 0).astype(int)
    for start in range(0, ROWS, 5000):
        part = slice(start, start + 5000)
        server.post("/ingest/batch", {"features": X[part].tolist(), "labels": y[part].tolist()}).raise_for_status()
    server.wait_for_version(1, seconds=180)
    return server.home / "models" / "1" / "model.joblib"


@contextlib.contextmanager
def naive(model: Path, folder: Path, threads: int, *, pinned: bool) -> Iterator[int]:
    """Serve the naive app with the same model file, on a database of its own; yield its port."""
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "gunicorn", "-c", "/dev/null", "-k", "gthread", "--threads", str(threads)]
    command += ["--keep-alive", "30", "-b", f"127.0.0.1:{port}", "benchmarks.naive:app"]
    environment = os.environ | {
        "NAIVE_MODEL": str(model),
        "NAIVE_DATABASE": f"sqlite:///{folder / f'naive-{pinned}.db'}",
    }
    process = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stderr=subprocess.DEVNULL)
    if pinned:
        cores.keep_to(cores.ALLOWED[:1], process=process.pid)
    try:
        wait_for(lambda: _answers(port), seconds=60)
        yield port
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        return requests.post(f"http://127.0.0.1:{port}/constant", timeout=5).ok
    except requests.RequestException:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=4, help="of each worker; the default of mlpipe is 4")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "home")
        try:
            server.start(MLPIPE_TRAINING_WINDOW=str(ROWS), MLPIPE_THREADS=str(options.threads))
            model = train(server)
            with (
                naive(model, Path(folder), options.threads, pinned=False) as port,
                naive(model, Path(folder), options.threads, pinned=True) as pinned,
            ):
                report(compare(server.ports[0], port, pinned, options))
        finally:
            server.stop()


def compare(mlpipe: int, other: int, pinned: int, options: argparse.Namespace) -> dict[str, list[load.Result]]:
    """Run them in turn, several rounds."""
    body = json.dumps({"features": [np.random.default_rng(2).normal(size=FEATURES).tolist()]}).encode()
    targets = {
        "mlpipe": (mlpipe, "/predict"),
        "naive": (other, "/predict"),
        "naive, one core": (pinned, "/predict"),
        "constant": (other, "/constant"),
        "constant, one core": (pinned, "/constant"),
    }
    found: dict[str, list[load.Result]] = {name: [] for name in targets}
    for _ in range(options.rounds):
        for name, (port, path) in targets.items():
            found[name].append(load.run(port, path, body, seconds=options.seconds))
            time.sleep(0.2)
    return found


def report(found: dict[str, list[load.Result]]) -> None:
    """Print medians and ratios."""
    rates = {name: median(result.requests_per_s for result in results) for name, results in found.items()}
    print(f"{'':20}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'failures':>10}{'mlpipe is':>12}")
    for name, results in found.items():
        p50, p99 = (median(getattr(result, field) for result in results) for field in ("p50_ms", "p99_ms"))
        failures = sum(result.failures for result in results)
        ratio = f"{rates['mlpipe'] / rates[name]:.2f} x"
        print(f"{name:20}{rates[name]:12.0f}{p50:9.1f}{p99:9.1f}{failures:10}{ratio:>12}")


if __name__ == "__main__":
    main()
