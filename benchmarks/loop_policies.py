"""What each part of the loop is worth on real streams, in process: triggers, gate, doubt of labels, windows, pauses.

The first 2,000 rows train. Then rows are answered in portions of 100 whose labels come when they are answered; a check
of drift and of quality follows each portion. Checks, plan, fits, verdict and pauses are mlpipe's own files; what is
missing is the database and the server, so that a run takes minutes.

    python benchmarks/loop_policies.py --stream elec2 --policy all --policy age [--rows 20000] [--data FOLDER]

Cross-fitting, which the reference and the doubt of labels need, takes 30 trees a fold instead of 100. Of what was not
promoted it says whether it would have answered the next 500 rows better.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package is run from its checkout

from benchmarks import prequential
from benchmarks.gate import champion_of
from mlpipe.drift import drop, verdict
from mlpipe.drift import reference as references
from mlpipe.features.store import Samples
from mlpipe.retraining import evaluate, fit, judging, learnable, plan, search, triggers
from mlpipe.schema.contract import Column, Schema, Target
from mlpipe.settings import Settings

Floats = NDArray[np.float64]

N_FIRST, PORTION, NEXT = 2000, 100, 500
CLASSES = np.array([0.0, 1.0])
CROSS_TREES = 30
SECOND_US = triggers.SECOND_US


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What differs between runs."""

    asks: frozenset[str] = frozenset({"drift", "quality", "age"})
    settings: Settings = field(default_factory=Settings)
    every: int = 0
    """Retrained after so many labels without asking a gate; 0 for the loop."""
    pace_s: float | None = None
    """Simulated seconds that a portion takes; without them nothing is held up."""
    gated: bool = True


def of(asks: str = "drift quality age", *, pace_s: float | None = None, gated: bool = True, **changed: Any) -> Policy:
    return Policy(asks=frozenset(asks.split()), settings=Settings(**changed), pace_s=pace_s, gated=gated)


POLICIES = {
    "2000-old2000": of(window_policy="newest", training_window=2000, max_age_rows=2000),
    "schedule": Policy(every=1000, settings=Settings(training_window=2000, window_policy="newest")),
    "drift": of("drift", window_policy="newest"),
    "quality": of("quality", window_policy="newest"),
    "age": of("age", window_policy="newest"),
    "newest10000": of(window_policy="newest"),
    "newest2000": of(window_policy="newest", training_window=2000),
    "newest3000": of(window_policy="newest", training_window=3000),
    "weighted": of(window_policy="weighted"),
    "auto": of(window_policy="auto"),
    "auto-drift": of("drift", window_policy="auto"),
    "auto-quality": of("quality", window_policy="auto"),
    "auto-age": of("age", window_policy="auto"),
    "auto-improve": of(window_policy="auto", gate="improve"),
    "auto-point": of(window_policy="auto", gate="point"),
    "auto-ungated": of(window_policy="auto", gated=False),
    "auto-undoubted": of(window_policy="auto", suspicious_data="allow"),
    "auto-paced": of(window_policy="auto", pace_s=300.0),
    "auto-fast": of(window_policy="auto", pace_s=1.0),
    "2000-improve": of(window_policy="newest", training_window=2000, gate="improve"),
    "2000-ungated": of(window_policy="newest", training_window=2000, gated=False),
    "2000-undoubted": of(window_policy="newest", training_window=2000, suspicious_data="allow"),
    "2000-paced": of(window_policy="newest", training_window=2000, pace_s=300.0),
    "2000-fast": of(window_policy="newest", training_window=2000, pace_s=1.0),
}


@dataclass
class Serving:
    """The version that answers, and what is known of it."""

    version: int
    model: Any
    trained: int
    """Rows of the stream that were known when it was trained."""
    reference: references.Reference
    baselines: tuple[drop.Baseline, ...]
    checked: int = 0


@dataclass
class Job:
    """An open retraining: what asked first, and what else."""

    trigger: str
    names: set[str]


@dataclass
class Outcome:
    """A retraining that was carried out."""

    at: int
    trigger: str
    decision: str
    why: str
    gain: float
    low: float
    loss: float
    window: str
    later: float = np.nan
    """Points of accuracy on the next 500 rows by which the challenger would have beaten the champion."""


class Run:
    """One policy on one stream."""

    def __init__(self, X: Floats, y: Floats, columns: tuple[Column, ...], policy: Policy) -> None:
        self.X, self.y, self.policy, self.settings = X, y, policy, policy.settings
        self.target = Target(task="classification", kind="integer", classes=(0, 1))
        self.schema = Schema(version=1, columns=columns, target=self.target)
        self.share = np.zeros(len(y))
        self.outcomes: list[Outcome] = []
        self.tries: list[tuple[int, int, int | None]] = []
        """When it ended (microseconds), rows known then, and the version that was promoted."""
        self.job: Job | None = None
        self.drift_at: int | None = None
        self.drifting: set[int] = set()
        self.held: Counter[str] = Counter()
        self.serving = self._first()

    # The stream

    def go(self) -> None:
        for start in range(N_FIRST, len(self.y), PORTION):
            stop = min(start + PORTION, len(self.y))
            self.share[start:stop] = fit.score(self.serving.model, self.X[start:stop], CLASSES)[:, 1]
            if self.policy.every:
                if stop - self.serving.trained >= self.policy.every:
                    self.serving = replace(self.serving, model=self._refit(stop), trained=stop)
                    self.outcomes.append(Outcome(stop, "schedule", "promote", "", 0, 0, 0, ""))
                continue
            self._check(stop)
            self._train_if_due(stop)

    def _now(self, stop: int) -> int:
        return int((stop / PORTION) * (self.policy.pace_s or 0.0) * SECOND_US)

    def _refit(self, stop: int) -> Any:
        rows = slice(max(0, stop - self.settings.training_window), stop)
        return fit.fit(self.X[rows], self.y[rows], task="classification", parameters=fit.Parameters())

    def _check(self, stop: int) -> None:
        serving, asks = self.serving, self.policy.asks
        since = slice(max(serving.trained, stop - 4000), stop)
        if "drift" in asks and stop - serving.trained >= self.settings.min_samples:
            report = verdict.judge(
                serving.reference,
                self.X[since],
                self.share[since],
                importance=getattr(serving.model, "feature_importances_", None),
            )
            self._drift(report.verdict == "drift", stop)
        wrong = ((self.share[serving.trained : stop] > 0.5) != self.y[serving.trained : stop]) * 1.0
        rule = drop.Rule("classification")
        baseline = drop.choose(serving.baselines, wrong[: drop.LARGEST], rule)
        known = baseline is not None and baseline.source != "first_labelled"
        if baseline is not None and known and "quality" in asks:
            fallen = drop.worst(drop.compare(wrong[-drop.LARGEST :], baseline, rule))
            if fallen is not None:
                self._ask("quality")
        tried = self.tries[-1][1] if self.tries else 0
        if "age" in asks and stop - max(serving.trained, tried) >= self.settings.max_age_labels:
            self._ask("age")

    def _drift(self, drifts: bool, stop: int) -> None:
        if not drifts:
            self.drift_at, self.drifting = None, set()
            return
        self.drift_at = self._now(stop) if self.drift_at is None else self.drift_at
        self.drifting.add(self.serving.version)
        self._ask("drift")

    def _ask(self, trigger: str) -> None:
        if self.job is None:
            self.job = Job(trigger, set())
        self.job.names.add(trigger)

    # Retraining

    def _train_if_due(self, stop: int) -> None:
        tried = self.tries[-1][1] if self.tries else 0
        if self.job is None or stop - max(self.serving.trained, tried) < self.settings.min_new_labels:
            return
        if self.policy.pace_s is not None:
            held = triggers.hold(frozenset(self.job.names), self._tries(), self.settings, now=self._now(stop))
            if held is not None:
                self.held[held.why] += 1
                return
        trigger, self.job = self.job.trigger, None
        self._retrain(stop, trigger)

    def _tries(self) -> list[triggers.Try]:
        found = []
        for ended, _, version in reversed(self.tries[-300:]):
            state: Literal["over", "goes_on", "unseen"] = "over"
            if self.drift_at is not None and self.drift_at <= ended:
                state = "goes_on" if version in self.drifting else "unseen"
            found.append(triggers.Try(ended_at=ended, promoted=version is not None, drift=state))
        return found

    def _plan(self, stop: int, champion: Any) -> plan.Plan:
        rows = np.arange(max(0, stop - self.settings.training_window), stop)
        none = np.zeros(len(rows), dtype=np.int64)
        samples = Samples(
            X=self.X[rows],
            y=self.y[rows],
            ids=np.column_stack([rows, none]),
            label_ids=none,
            counted=none,
            event_times=rows,
        )
        return plan.Plan(
            schema=self.schema,
            samples=samples,
            holdout=plan.choose_holdout(samples, champion, self.settings),
            champion=champion,
            last_batch=stop,
            last_label=0,
            fresh=plan.choose_fresh(samples, champion),
        )

    def _retrain(self, stop: int, trigger: str) -> None:
        planned = plan.checked(self._plan(stop, champion_of(self.serving.trained - 1)), self.settings)
        if planned.broken:
            self.outcomes.append(Outcome(stop, trigger, "reject", planned.broken[0], 0, 0, 0, ""))
            self.tries.append((self._now(stop), stop, None))
            return
        whole, planned, scores, window = self._fit(planned)
        found = judging.judge(planned, scores, self.settings, trigger=trigger)
        assert found is not None
        later = self._later(stop, whole)
        kept = evaluate.losses(planned.samples.y[planned.holdout], scores["champion_scores"], CLASSES)
        why = found.sentence if found.decision == "reject" else ""
        decision = found.decision if self.policy.gated else "promote"
        self.outcomes.append(
            Outcome(stop, trigger, decision, why, found.gain, found.low, float(kept.mean()), window, later)
        )
        version = self.serving.version + 1 if decision == "promote" else None
        self.tries.append((self._now(stop), stop, version))
        if version is not None:
            self.serving = self._serve(version, whole, stop, planned, scores)

    def _later(self, stop: int, whole: Any) -> float:
        rows = slice(stop, stop + NEXT)
        if stop + NEXT > len(self.y):
            return np.nan
        right = [(one.predict(self.X[rows]) == self.y[rows]).mean() for one in (whole, self.serving.model)]
        return 100 * float(right[0] - right[1])

    def _fit(self, planned: plan.Plan) -> tuple[Any, plan.Plan, dict[str, Any], str]:
        settings, chosen = self.settings, search.Choice(rows=0, parameters=fit.Parameters())
        recent = learnable.recent(planned.fresh)
        asked, told = planned.samples.X[recent], planned.samples.y[recent]
        if settings.window_policy == "weighted":
            chosen = replace(chosen, parameters=replace(chosen.parameters, half_life=settings.window_half_life))
        if settings.window_policy == "auto":
            X, y = planned.samples.X[~planned.holdout], planned.samples.y[~planned.holdout]
            options = search.over_windows(len(y), chosen)
            chosen = search.choose(
                X, y, task="classification", first=chosen, candidates=options, may_go_on=lambda: True
            )
        n = len(planned.samples)
        planned = planned.newest(min(n, chosen.rows + int(planned.holdout.sum())) if chosen.rows else n)
        X, y, holdout = planned.samples.X, planned.samples.y, planned.holdout
        how: dict[str, Any] = {"task": "classification", "parameters": chosen.parameters}
        trial, whole = fit.fit(X[~holdout], y[~holdout], **how), fit.fit(X, y, **how)
        scores = {
            "classes": CLASSES,
            "champion_scores": fit.score(self.serving.model, X[holdout], CLASSES),
            "champion_classes": CLASSES,
            "challenger_scores": fit.score(trial, X[holdout], CLASSES),
            "challenger_classes": CLASSES,
            "whole_scores": fit.score(whole, X, CLASSES),
            "cross_scores": _cross(X, y, chosen.parameters),
            "champion_errors": learnable.errors(told, self.serving.model.predict(asked), True),
            "probe_errors": learnable.probe_errors(asked, told, classification=True, seed=42),
        }
        return whole, planned, scores, str(chosen.rows or n)

    # Serving

    def _first(self) -> Serving:
        planned = self._plan(N_FIRST, None)
        X, y = planned.samples.X, planned.samples.y
        whole = fit.fit(X, y, task="classification", parameters=fit.Parameters())
        trial = fit.fit(X[~planned.holdout], y[~planned.holdout], task="classification", parameters=fit.Parameters())
        scores = {
            "cross_scores": _cross(X, y, fit.Parameters()),
            "challenger_scores": fit.score(trial, X[planned.holdout], CLASSES),
        }
        return self._serve(1, whole, N_FIRST, planned, scores)

    def _serve(self, version: int, whole: Any, stop: int, planned: plan.Plan, scores: dict[str, Any]) -> Serving:
        y, cross = planned.samples.y, scores["cross_scores"]
        reference = references.prepare(
            planned.samples.X,
            self.schema.columns,
            predictions=cross[:, 1],
            prediction_kind="numeric",
            importance=getattr(whole, "feature_importances_", None),
        )
        expected = drop.measure(learnable.errors(y, cross.argmax(axis=1) * 1.0, True), "reference")
        wrong = learnable.errors(y[planned.holdout], scores["challenger_scores"].argmax(axis=1) * 1.0, True)
        holdout = drop.measure(wrong, "holdout", tau=expected.tau)
        return Serving(version, whole, stop, reference, (expected, holdout))


def _cross(X: Floats, y: Floats, parameters: fit.Parameters) -> Floats:
    return fit.cross_scores(
        X,
        y,
        task="classification",
        parameters=replace(parameters, n_estimators=min(CROSS_TREES, parameters.n_estimators)),
    )


# Streams --------------------------------------------------------------------------------------------------------


def columns_of(stream: str, X: Floats) -> tuple[tuple[Column, ...], Floats]:
    """Return the columns, and the rows with the codes of their categories."""
    few = {"employment": lambda place: place > 0, "flights": lambda place: False}.get(stream, lambda place: False)
    columns, coded = [], X.copy()
    for place in range(X.shape[1]):
        if not few(place):
            columns.append(Column(name=f"x{place}", kind="numeric"))
            continue
        known = np.unique(X[:, place])
        coded[:, place] = np.searchsorted(known, X[:, place])
        names = tuple(f"{value:g}" for value in known)
        columns.append(Column(name=f"x{place}", kind="category", categories=names))
    return tuple(columns), coded


WORDS = {
    "labels look wrong": "doubt",
    "probabilities are too far": "calibration",
    "refit on all rows": "refit",
    "one value in all": "stuck",
    "exact copies": "copies",
    "the challenger is worse": "worse",
}


def reason(outcome: Outcome) -> str:
    found = [word for text, word in WORDS.items() if text in outcome.why]
    return "+".join(found) or outcome.decision


def _refused(word: str, those: list[Outcome]) -> str:
    later = [one.later for one in those if not np.isnan(one.later)]
    mean = f"{np.mean(later):+.1f}" if later else "-"
    return f"{word} {len(those)} (better later {sum(points > 0 for points in later)}, mean {mean})"


def report(name: str, run: Run, cpu_s: float) -> str:
    asked, truth = run.share[N_FIRST:] > 0.5, run.y[N_FIRST:] == 1
    sure = np.clip(np.where(truth, run.share[N_FIRST:], 1 - run.share[N_FIRST:]), 1e-6, 1)
    decided = Counter(one.decision for one in run.outcomes)
    refused = [one for one in run.outcomes if one.decision != "promote"]
    told = [
        _refused(word, [one for one in refused if reason(one) == word]) for word in sorted(set(map(reason, refused)))
    ]
    by = Counter(one.trigger for one in run.outcomes)
    windows = Counter(one.window for one in run.outcomes)
    return (
        f"{name:16}{100 * (asked == truth).mean():7.2f} %{-np.log(sure).mean():7.3f} nats{cpu_s:7.0f} CPU s  "
        f"{len(run.outcomes)} trained {dict(by)}, {dict(decided)}; {', '.join(told)}; "
        f"{dict(windows.most_common(4))}; held {dict(run.held)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stream", choices=prequential.STREAMS, default="elec2")
    parser.add_argument("--policy", choices=POLICIES, action="append")
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--data", type=Path, default=prequential.DATA)
    parser.add_argument("--show", action="store_true", help="a line for every retraining")
    asked = parser.parse_args()
    X, y = (array[: asked.rows] for array in prequential.STREAMS[asked.stream](asked.data))
    columns, X = columns_of(asked.stream, X)
    for name in asked.policy or POLICIES:
        began = time.process_time()
        run = Run(X, y, columns, POLICIES[name])
        run.go()
        print(asked.stream, report(name, run, time.process_time() - began), flush=True)
        if asked.show:
            for one in run.outcomes:
                print(
                    f"  {one.at} {one.trigger} {one.decision} {reason(one) if one.decision != 'promote' else ''} gain "
                    f"{one.gain:+.4f} low {one.low:+.4f} of {one.loss:.3f} window {one.window} later {one.later:+.1f}"
                )


if __name__ == "__main__":
    main()
