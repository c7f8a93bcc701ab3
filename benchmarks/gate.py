"""What the gate lets pass and what it keeps out: luck, harm, wrong labels, copies, dead columns, a turned concept.

Run ``python benchmarks/gate.py`` (some 15 minutes on one core) or with ``--part gate|stationary|poison|flip|quiet``.
Every figure is seeded. The parts but `gate` fit real models by the files that the training process uses, without a
database: the window, the holdout, the checks of the rows, the trial, the probe and the verdict are mlpipe's own.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mlpipe.features.store import Samples
from mlpipe.registry.store import Version
from mlpipe.retraining import evaluate, fit, gate, judging, learnable, plan
from mlpipe.schema.contract import Column, Schema, Target
from mlpipe.settings import Settings

Floats = NDArray[np.float64]
Rows = tuple[Floats, Floats]

N_FEATURES = 6
WINDOW = 2000
NEW = 500
"""MLPIPE_MIN_NEW_LABELS as it is by default: the fewest rows that a retraining by itself may rest on."""

SETTINGS = Settings(training_window=WINDOW, n_estimators=20)
SCHEMA = Schema(
    version=1,
    columns=tuple(Column(name=f"x{n}", kind="numeric") for n in range(N_FEATURES)),
    target=Target(task="classification", kind="integer", classes=(0, 1)),
)
CLASSES = np.array([0.0, 1.0])


def draw(rng: np.random.Generator, n: int, *, sharp: float, turned: bool = False) -> Rows:
    """Draw rows of a boundary that is not straight; `sharp` 4 makes the best model right on 88 %, 1.5 on 74 %."""
    X = rng.normal(size=(n, N_FEATURES))
    score = sharp * (X[:, 0] + 0.5 * X[:, 1] * X[:, 2] - 0.3 * X[:, 3])
    y = (rng.random(n) < 1 / (1 + np.exp(-score))) * 1.0
    return X, 1 - y if turned else y


# A retraining without a database --------------------------------------------------------------------------------


@dataclass
class Loop:
    """The rows so far and the model that serves."""

    X: Floats
    y: Floats
    champion: Any
    last: int
    seed: int = 0

    @classmethod
    def begin(cls, X: Floats, y: Floats) -> Loop:
        return cls(X, y, train(X, y), len(y))

    def add(self, X: Floats, y: Floats) -> None:
        self.X = np.concatenate([self.X, X])[-WINDOW:]
        self.last -= max(0, len(self.y) + len(y) - WINDOW)
        self.y = np.concatenate([self.y, y])[-WINDOW:]

    def verdicts(self, triggers: tuple[str, ...], settings: Settings = SETTINGS) -> list[tuple[str, str]]:
        """Return decision and sentence of a retraining for each trigger, from one fit."""
        planned = plan.checked(self._plan(settings), settings)
        if planned.broken:
            return [("reject", " ".join(planned.broken))] * len(triggers)
        scores = self._scores(planned)
        found = [judging.judge(planned, scores, settings, trigger=trigger) for trigger in triggers]
        return [(verdict.decision, verdict.sentence) for verdict in found if verdict is not None]

    def retrain(self, trigger: str, settings: Settings = SETTINGS) -> tuple[str, str]:
        """Return decision and sentence; a promotion changes the model that serves."""
        ((decision, sentence),) = self.verdicts((trigger,), settings)
        if decision == "promote":
            self.champion, self.last = train(self.X, self.y), len(self.y)
        return decision, sentence

    def _plan(self, settings: Settings) -> plan.Plan:
        n = len(self.y)
        ids = np.column_stack([np.arange(n), np.zeros(n, dtype=np.int64)])
        none = np.zeros(n, dtype=np.int64)
        samples = Samples(X=self.X, y=self.y, ids=ids, label_ids=none, counted=none, event_times=np.arange(n))
        version = champion_of(self.last - 1)
        return plan.Plan(
            schema=SCHEMA,
            samples=samples,
            holdout=plan.choose_holdout(samples, version, settings),
            champion=version,
            last_batch=n,
            last_label=0,
            fresh=plan.choose_fresh(samples, version),
        )

    def _scores(self, planned: plan.Plan) -> dict[str, Any]:
        X, y, holdout, recent = (planned.samples.X, planned.samples.y, planned.holdout, learnable.recent(planned.fresh))
        trial = train(X[~holdout], y[~holdout])
        return {
            "classes": CLASSES,
            "champion_scores": fit.score(self.champion, X[holdout], CLASSES),
            "champion_classes": CLASSES,
            "challenger_scores": fit.score(trial, X[holdout], CLASSES),
            "challenger_classes": CLASSES,
            "cross_scores": fit.cross_scores(X, y, task="classification", parameters=PARAMETERS),
            "champion_errors": learnable.errors(y[recent], self.champion.predict(X[recent]), True),
            "probe_errors": learnable.probe_errors(X[recent], y[recent], classification=True, seed=0),
        }


PARAMETERS = fit.Parameters(n_estimators=SETTINGS.n_estimators)


def train(X: Floats, y: Floats) -> Any:
    return fit.fit(X, y, task="classification", parameters=PARAMETERS)


def champion_of(last_batch: int) -> Version:
    return Version(
        version=1,
        created_at=0,
        kind="forest",
        task="classification",
        schema_version=1,
        parent=None,
        job_id=1,
        parameters={},
        metrics={},
        lineage={},
        verdict={},
        files={},
        last_batch=last_batch,
        last_label=0,
    )


# Parts ----------------------------------------------------------------------------------------------------------


def degraded(scores: Floats, rng: np.random.Generator, share: float) -> Floats:
    """Give a share of the rows the scores of other rows."""
    rows = np.flatnonzero(rng.random(len(scores)) < share)
    worse = scores.copy()
    worse[rows] = scores[rng.permutation(rows)]
    return worse


def part_gate(n_runs: int) -> None:
    """A challenger that is worse by a known number of points, on as many rows as the defaults compare."""
    rng = np.random.default_rng(1)
    X, y = draw(rng, 20_000, sharp=4)
    model = train(X[:WINDOW], y[:WINDOW])
    scores, y = fit.score(model, X[WINDOW:], CLASSES), y[WINDOW:]
    right = (scores.argmax(axis=1) == y).mean()
    print(f"champion right on {100 * right:.1f} %")
    for points in (1.7, 5.0):
        share = points / 100 / (right - 0.5)
        for n in (250, 500):
            found: Counter[str] = Counter()
            for _ in range(n_runs):
                rows = rng.choice(len(y), n, replace=False)
                worse = degraded(scores[rows], rng, share)
                losses = [evaluate.losses(y[rows], answers, CLASSES) for answers in (scores[rows], worse)]
                for mode in ("improve", "no_harm"):
                    found[mode] += gate.judge(*losses, loss="", mode=mode, rng=rng).decision == "promote"
            told = ", ".join(f"{mode} {100 * k / n_runs:.1f} %" for mode, k in found.items())
            print(f"worse by {points} points, {n} rows compared, {n_runs} runs: promoted {told}", flush=True)


def part_correlated(n_runs: int) -> None:
    """Equal models whose paired losses are an autoregression: how often is one called better."""
    for r in (0.0, 0.3, 0.6, 0.9):
        rng = np.random.default_rng(2)
        found: Counter[str] = Counter()
        for _ in range(n_runs):
            noise, series = rng.normal(size=700), np.zeros(700)
            for place in range(1, 700):
                series[place] = r * series[place - 1] + noise[place]
            difference = series[-500:]
            for name, block in (("blocks", gate.block_length(difference)), ("rows", 1)):
                means = gate.resampled_means(difference, block=block, rng=rng)
                found[name] += bool(np.quantile(means, 0.025) > 0)
        told = ", ".join(f"{name} {100 * found[name] / n_runs:.1f} %" for name in ("blocks", "rows"))
        print(f"lag-1 correlation {r}, 500 rows, {n_runs} runs: called better, resampled by {told}", flush=True)


def part_stationary(n_runs: int) -> None:
    """One loop in a world where nothing moves."""
    for sharp in (4.0, 1.5):
        for trigger in ("cron", "drift"):
            rng = np.random.default_rng(3)
            loop = Loop.begin(*draw(rng, WINDOW, sharp=sharp))
            found: Counter[str] = Counter()
            for _ in range(n_runs):
                loop.add(*draw(rng, NEW, sharp=sharp))
                found[loop.retrain(trigger)[0]] += 1
            print(f"stationary, sharp {sharp}, trigger {trigger}, {n_runs} retrainings: {dict(found)}", flush=True)


def flipped(rng: np.random.Generator, X: Floats, y: Floats) -> Rows:
    wrong = rng.random(len(y)) < 0.4
    return X, np.where(wrong, 1 - y, y)


def dead(rng: np.random.Generator, X: Floats, y: Floats) -> Rows:
    stuck = X.copy()
    stuck[:, 0] = stuck[0, 0]
    return stuck, y


def dead_all(rng: np.random.Generator, X: Floats, y: Floats) -> Rows:
    return np.tile(X[:1], (len(y), 1)), y


def doubled(rng: np.random.Generator, X: Floats, y: Floats) -> Rows:
    rows = rng.integers(0, len(y) // 10, len(y))
    return X[rows], y[rows]


def one_class(rng: np.random.Generator, X: Floats, y: Floats) -> Rows:
    return X, np.ones(len(y))


POISONS: dict[str, Callable[[np.random.Generator, Floats, Floats], Rows]] = {
    "40 % of labels flipped": flipped,
    "one feature constant": dead,
    "all features constant": dead_all,
    "ten copies of each row": doubled,
    "all labels 1": one_class,
}


def part_poison(n_seeds: int) -> None:
    """A batch of `NEW` wrong rows is all that is new; then as many good ones come."""
    for name, poison in POISONS.items():
        for sharp in (4.0, 1.5):
            kept: Counter[str] = Counter()
            after: Counter[str] = Counter()
            for seed in range(n_seeds):
                rng = np.random.default_rng(seed)
                loop = Loop.begin(*draw(rng, WINDOW, sharp=sharp))
                loop.add(*poison(rng, *draw(rng, NEW, sharp=sharp)))
                for mode, (decision, _) in zip(("no_harm", "improve"), loop.verdicts(("quality", "cron")), strict=True):
                    kept[mode] += decision != "promote"
                loop.add(*draw(rng, NEW, sharp=sharp))
                after[loop.retrain("quality")[0]] += 1
            print(
                f"{name}, sharp {sharp}: champion kept, of {n_seeds}, {dict(kept)}; with 500 good rows more, no_harm: "
                f"{dict(after)}",
                flush=True,
            )


def part_flip(n_seeds: int) -> None:
    """The concept turns over, wholly or in a part; the first retraining has `NEW` rows of it."""
    for name, part in (("turned over", 1.0), ("turned over where x3 > 0", 0.5), ("no change", 0.0)):
        for sharp in (4.0, 1.5):
            found: dict[str, Counter[str]] = {"no_harm": Counter(), "improve": Counter()}
            for seed in range(n_seeds):
                rng = np.random.default_rng(seed)
                loop = Loop.begin(*draw(rng, WINDOW, sharp=sharp))
                X, y = draw(rng, NEW, sharp=sharp)
                there = np.full(NEW, True) if part == 1 else (X[:, 3] > 0) & (part > 0)
                loop.add(X, np.where(there, 1 - y, y))
                for counts, (decision, _) in zip(found.values(), loop.verdicts(("quality", "cron")), strict=True):
                    counts[decision] += 1
            told = ", ".join(f"{mode} {dict(counts)}" for mode, counts in found.items())
            print(f"{name}, sharp {sharp}, {n_seeds} seeds: {told}", flush=True)


def part_streams(n_rows: int) -> None:
    """What the doubt about labels costs where nothing is wrong: real streams, retrained every `NEW` rows."""
    from benchmarks import elec2  # noqa: PLC0415  needs the folder of the streams

    _, X, y = elec2.read()
    global SCHEMA  # noqa: PLW0603  the loop's schema is that of the stream
    SCHEMA = replace(SCHEMA, columns=tuple(Column(name=f"x{n}", kind="numeric") for n in range(X.shape[1])))
    for allowed in ("refuse", "allow"):
        settings = replace(SETTINGS, suspicious_data=allowed)
        loop, right = Loop.begin(X[:2000], y[:2000] * 1.0), 0
        found: Counter[str] = Counter()
        said: Counter[str] = Counter()
        for start in range(2000, min(n_rows, len(y)) - NEW, NEW):
            rows = slice(start, start + NEW)
            right += int((loop.champion.predict(X[rows]) == y[rows]).sum())
            loop.add(X[rows], y[rows] * 1.0)
            decision, sentence = loop.retrain("drift", settings)
            found[decision] += 1
            said[sentence[:40] if decision == "reject" else ""] += 1
        n = sum(found.values()) * NEW
        print(
            f"elec2, {n} rows, suspicious_data={allowed}: {100 * right / n:.2f} % right, {dict(found)}, {said}",
            flush=True,
        )


def main() -> None:
    parts = {
        "gate": lambda: part_gate(200),
        "correlated": lambda: part_correlated(200),
        "stationary": lambda: part_stationary(100),
        "poison": lambda: part_poison(20),
        "flip": lambda: part_flip(20),
        "streams": lambda: part_streams(45_000),
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=parts)
    wanted = parser.parse_args().part
    for name, run in parts.items():
        if wanted in (None, name):
            run()


if __name__ == "__main__":
    main()
