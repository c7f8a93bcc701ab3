"""The rule of the probation on real streams: honest retrainings, and versions that answer the opposite.

A forest is fitted every 1,000 rows on the last 2,000, and the one before scores the next 1,000 rows beside it, whose
labels come. Each such probation is looked at every 50 rows, once with labels and once without any; then again with a
version whose answers are inverted, and with one that always gives the most common answer.

    python benchmarks/probation.py [--data FOLDER]      two minutes
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package is run from its checkout

import streams

from mlpipe.retraining import evaluate, fit, probation

STEP, WINDOW, LOOK, MOST_ROWS = 1_000, 2_000, 50, 60_000
PARAMETERS = fit.Parameters(n_estimators=30)
CLASSES = np.array([0.0, 1.0])
NONE = np.empty(0)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """One honest retraining: what old and new say to the reference, and to the rows after it."""

    reference: tuple[Floats, Floats]
    old: Floats
    new: Floats
    y: Floats


def changes(X: Floats, y: Floats) -> Iterator[Change]:
    """Retrain every so many rows."""
    old = None
    for end in range(WINDOW, len(X) - STEP + 1, STEP):
        rows, following = slice(end - WINDOW, end), slice(end, end + STEP)
        new = fit.fit(X[rows], y[rows], task="classification", parameters=PARAMETERS, n_jobs=1)
        if old is not None:
            crossed = fit.cross_scores(X[rows], y[rows], task="classification", parameters=PARAMETERS, n_jobs=1)
            crossed = crossed if crossed.shape[1] == 2 else np.column_stack([1 - crossed[:, 0], crossed[:, 0]])
            said = [fit.score(model, X[following], CLASSES) for model in (old, new)]
            yield Change(
                (fit.score(old, X[rows], CLASSES).argmax(1) * 1.0, crossed.argmax(1) * 1.0), *said, y[following]
            )
        old = new


def judged(change: Change, new: Floats, *, labels: bool) -> tuple[probation.Verdict, float]:
    """Return the verdict at which a probation ends, and the largest jump that was seen."""
    worse = evaluate.losses(change.y, new, CLASSES) - evaluate.losses(change.y, change.old, CLASSES)
    largest = 0.0
    for n in range(LOOK, STEP + 1, LOOK):
        jump = probation.jump(
            change.reference, (change.old[:n].argmax(1) * 1.0, new[:n].argmax(1) * 1.0), is_classifier=True
        )
        largest = max(largest, jump or 0.0)
        seen = probation.Evidence(
            n_rows=n, worse=worse[:n] if labels else NONE, jump=jump, failures=0, new_s=NONE, old_s=NONE
        )
        verdict = probation.judge(seen, rows=STEP)
        if verdict.decision != "continue":
            break
    return verdict, largest


def told(name: str, found: list[tuple[probation.Verdict, float]]) -> str:
    """Return a line of the table."""
    back = [verdict for verdict, _ in found if verdict.decision == "roll_back"]
    why = {because: sum(verdict.because == because for verdict in back) for because in ("quality", "jump")}
    median = f"{np.median([verdict.n_rows for verdict in back]):.0f}" if back else ""
    largest = np.array([jump for _, jump in found])
    return (
        f"| {name} | {len(back)} of {len(found)} | {why['quality']} / {why['jump']} | {median} | "
        f"{np.median(largest):.2f} / {np.percentile(largest, 99):.2f} / {largest.max():.2f} |"
    )


def main() -> None:
    """Print a line for each stream and kind of version."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=streams.DATA)
    folder = parser.parse_args().data
    print(
        "| stream, version, labels | rolled back | for labels / jump | rows, median | jump: median / 99 % / largest |"
    )
    print("|---|---|---|---|---|")
    for name, build in streams.STREAMS.items():
        stream = build(streams.read(folder / f"{name}.csv.gz"))
        found = list(changes(stream.X[:MOST_ROWS], stream.y[:MOST_ROWS]))
        for labels in (True, False):
            kind = "labelled" if labels else "no labels"
            print(told(f"{name}, honest, {kind}", [judged(one, one.new, labels=labels) for one in found]))
            opposite = [judged(one, 1 - one.new, labels=labels) for one in found]
            print(told(f"{name}, inverted, {kind}", opposite))
            constant = [
                judged(one, np.tile(np.eye(2)[int(one.y.mean() > 0.5)], (STEP, 1)), labels=labels) for one in found
            ]
            print(told(f"{name}, constant, {kind}", constant), flush=True)


if __name__ == "__main__":
    main()
