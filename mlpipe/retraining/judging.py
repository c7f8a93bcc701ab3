"""From what a fit has measured to a verdict: the gate, then what speaks against the challenger whatever its gain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mlpipe.retraining import evaluate, gate, guards, learnable, plan
from mlpipe.settings import Settings

Floats = evaluate.Floats
Scores = Mapping[str, Any]


def judge(planned: plan.Plan, scores: Scores, settings: Settings, *, trigger: str) -> gate.Verdict | None:
    """Compare champion and challenger; None where there is nothing to compare with.

    Parameters
    ----------
    planned : Plan
    scores : mapping
        As `child.run` returns them. What was not measured does not count against the challenger.
    settings : Settings
    trigger : str
        What asked for the retraining: it decides how much is asked.
    """
    if "champion_scores" not in scores:
        return None
    kind = loss_of(planned, settings)
    y = planned.samples.y[planned.holdout]
    kept = evaluate.losses(y, *_answers(scores, "champion"), kind=kind)
    tried = evaluate.losses(y, *_answers(scores, "challenger"), kind=kind)
    mode = gate.mode_for(settings.gate, trigger)
    rng = np.random.default_rng(settings.random_state)
    verdict = gate.judge(kept, tried, loss=evaluate.LOSSES[kind], mode=mode, rng=rng)
    broken = [
        *_doubts(planned, scores, settings),
        *_guards(planned, scores, settings, kept=kept, tried=tried),
        *refit_faults(planned, scores, settings),
    ]
    return gate.refuse(verdict, broken)


def loss_of(planned: plan.Plan, settings: Settings) -> str:
    """Return the name of the loss that decides."""
    return settings.gate_loss if planned.schema.target.task == "classification" else settings.gate_error


def refit_faults(planned: plan.Plan, scores: Scores, settings: Settings) -> list[str]:
    """Say what is wrong with the refit on all rows, which is what would be deployed."""
    if "whole_scores" not in scores:
        return []
    y, holdout, classes = planned.samples.y, planned.holdout, scores["classes"]
    kind = loss_of(planned, settings)
    trial = evaluate.losses(y[holdout], *_answers(scores, "challenger"), kind=kind)
    whole = evaluate.losses(y[holdout], scores["whole_scores"][holdout], classes, kind=kind)
    told = [guards.refit_loss(float(trial.mean()), float(whole.mean()))]
    # weights move the shares on purpose: of rows, by age; of classes, by how rare they are
    if len(classes) and settings.class_weight == "none" and settings.window_policy not in {"weighted", "auto"}:
        told.append(guards.refit_shares(y, scores["whole_scores"], classes))
    return [sentence for sentence in told if sentence]


def _answers(scores: Scores, name: str) -> tuple[Floats, Floats]:
    return scores[f"{name}_scores"], scores[f"{name}_classes"]


def _doubts(planned: plan.Plan, scores: Scores, settings: Settings) -> list[str]:
    """Say whether the new labels look wrong: the champion fails on them, and nothing is learned from them."""
    if "probe_errors" not in scores or settings.suspicious_data == "allow":
        return []
    classification = planned.schema.target.task == "classification"
    old, y, holdout = ~planned.fresh, planned.samples.y, planned.holdout
    expected = learnable.errors(y[old], _said(scores["cross_scores"][old], scores["classes"]), classification)
    kept, tried = (
        learnable.errors(y[holdout], _said(*_answers(scores, name)), classification)
        for name in ("champion", "challenger")
    )
    learners = ((scores["champion_errors"], scores["probe_errors"]), (kept, tried))
    # the rows that decide must be believed; wrong ones before them are in the training, whose harm the gate measures
    found = learnable.examine(expected, kept, learners=learners, classification=classification)
    return [found.sentence] if found.doubtful else []


def _said(scores: Floats, classes: Floats) -> Floats:
    return classes[scores.argmax(axis=1)] if len(classes) else scores


def _guards(planned: plan.Plan, scores: Scores, settings: Settings, *, kept: Floats, tried: Floats) -> list[str]:
    y = planned.samples.y[planned.holdout]
    told: list[str | None] = []
    if len(scores["challenger_classes"]):
        told.append(guards.calibration(y, _answers(scores, "champion"), _answers(scores, "challenger")))
    told += [guards.weakest_segment(kept, tried, column, name=name) for name, column in _segments(planned, settings)]
    if "champion_s" in scores:
        told.append(guards.latency(float(scores["champion_s"]), float(scores["challenger_s"])))
        told.append(guards.size(float(scores["champion_bytes"]), float(scores["challenger_bytes"])))
    return [sentence for sentence in told if sentence]


def _segments(planned: plan.Plan, settings: Settings) -> Iterator[tuple[str, Floats]]:
    """Give the columns that split the report; unknown names are for drift to complain of."""
    for name in settings.segment_columns:
        place = planned.schema.places.get(name)
        if place is not None:
            yield name, planned.samples.X[planned.holdout, place]
