"""The label guard: what it holds back of honest streams, what it costs them, and what poison does with it.

    python benchmarks/label_guard.py [--data FOLDER] [--stream sea]

Labels come in batches of 100, 1 to 100 rows late. *Holds*: batches held back at first, released, never released.
*Poison*: in one batch of 500 each label is changed with probability 0.4; twenty seeds, each at another row. The loss is
that of the accuracy on the next 500 rows (in portions of 100, their true labels learned) against the same forest
without the batch. *Flip*: from some row on every label is the other one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package is run from its checkout

from benchmarks import prequential
from mlpipe.rolling import guard, learning, vote
from mlpipe.rolling.parameters import Parameters

N_POISON = 500


class Guarded(prequential.Rolling):
    """A rolling forest that keeps back what the guard holds, and looks at it again at each batch."""

    def __init__(self, X: Any, y: Any, seed: int) -> None:
        super().__init__(X, y, seed)
        self.waiting: list[tuple[Any, Any, list[guard.Judgement]]] = []
        self.batches = self.holds = self.released = 0

    def learn(self, X: Any, y: Any) -> None:
        if not len(y):
            return
        since = [sum(len(one.held) for one in later) for _, _, later in self.waiting]
        judgement = guard.judge(self.state, X, y, wary=any(map(guard.recent, since)))
        self.batches += 1
        for _, _, later in self.waiting:
            later.append(judgement)
        if judgement.held.any():
            self.holds += 1
            self.waiting.append((X, y, []))
        else:
            super().learn(X, y)
        self._release()

    def _release(self) -> None:
        ready = [guard.agreed(self.state, X, y, later=later) for X, y, later in self.waiting]
        changed = any(why is not None and "world" in why for why in ready)
        for (X, y, _), why in zip(self.waiting, ready, strict=True):
            if changed or why is not None:
                super().learn(X, y)
                self.released += 1
        self.waiting = [] if changed else [w for w, why in zip(self.waiting, ready, strict=True) if why is None]

    def close(self, X: Any) -> str:
        held = f"{self.holds} of {self.batches} batches held ({self.holds / self.batches:.1%})"
        return f"{held}, {self.released} released, {len(self.waiting)} kept"


def honest(name: str, X: Any, y: Any) -> None:
    """Print accuracy with and without the guard."""
    plain, guarded = (prequential.run(make, X, y, 0, (100, "block")) for make in (prequential.Rolling, Guarded))
    print(f"{name:11}{plain.accuracy:.2f} % without, {guarded.accuracy:.2f} % with; {guarded.note}", flush=True)


def flip(name: str, X: Any, y: Any, at: int = 10_000) -> None:
    """Print accuracy around a row from which every label is the other one."""
    changed = np.where(np.arange(len(y)) < at, y, 1 - y)[: at + 3000]
    for label, make in (("without", prequential.Rolling), ("with", Guarded)):
        model, right = make(X[:2000], changed[:2000], 0), np.zeros(len(changed))
        for rows, _ in prequential.portions(len(changed), block=100, late="block"):
            right[rows] = (model.answer(X[rows]) > 0.5) == changed[rows]
            model.learn(X[rows], changed[rows])
        parts = [100 * right[at + a : at + b].mean() for a, b in ((-1000, 0), (0, 1000), (1000, 2000), (2000, 3000))]
        print(f"{name:11}flip, {label:8}", " ".join(f"{part:.1f}" for part in parts), flush=True)


def poison(name: str, X: Any, y: Any, *, portion: int) -> None:
    """Print the losses of twenty seeds, without and with the guard."""
    rng = np.random.default_rng(0)
    places = np.sort(rng.choice(np.arange(4000, min(len(y), 30_000) - 2000, 100), 20, replace=False))
    classes, losses = np.unique(y), {"without": [], "with": []}
    state, done, caught = learning.start(X[:2000], y[:2000], classes=classes, parameters=Parameters()), 2000, 0
    for at in places:
        state, done = learning.learn(state, X[done:at], y[done:at]), at
        batch, clean = slice(at, at + N_POISON), slice(at + N_POISON, at + N_POISON + 1000)
        bad = np.where(rng.random(N_POISON) < 0.4, 1 - y[batch], y[batch])
        usual = _portions(state, X[clean], y[clean])
        for label, lost in losses.items():
            model = Guarded(X[:200], y[:200], 0) if label == "with" else prequential.Rolling(X[:200], y[:200], 0)
            model.state = state
            for i in range(0, N_POISON, portion):
                model.learn(X[batch][i : i + portion], bad[i : i + portion])
            caught += label == "with" and model.holds > 0
            lost.append(usual - _portions(model.state, X[clean], y[clean]))
    for label, all_ in losses.items():
        table = np.array(all_)
        first, later = table[:, :5].mean(axis=1), table[:, 5:].mean(axis=1)
        print(
            f"{name:11}poison in portions of {portion}, {label:8} loss on the next 500 rows: mean {first.mean():.2f}, "
            f"worst {first.max():.2f}, above 2 points {np.sum(first > 2)} of 20; on the 500 after: mean "
            f"{later.mean():.2f}, worst {later.max():.2f}" + (f"; caught {caught} of 20" if label == "with" else ""),
            flush=True,
        )


def _portions(state: Any, X: Any, y: Any) -> Any:
    """Return the accuracy in percent of portions of 100 rows, each learned after it was answered."""
    right = []
    for i in range(0, len(y), 100):
        rows = slice(i, i + 100)
        right.append(100 * (vote.scores(state, X[rows]).argmax(axis=1) == y[rows]).mean())
        state = learning.learn(state, X[rows], y[rows])
    return np.array(right)


def main() -> None:
    """Print a line a stream and question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stream", choices=prequential.STREAMS, action="append")
    parser.add_argument("--data", type=Path, default=prequential.DATA)
    asked = parser.parse_args()
    for name in asked.stream or prequential.STREAMS:
        X, y = prequential.STREAMS[name](asked.data)
        honest(name, X, y)
        flip(name, X, y)
        for portion in (N_POISON, 100):
            poison(name, X, y, portion=portion)


if __name__ == "__main__":
    main()
