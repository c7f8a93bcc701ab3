"""Choose a window and options on the newest of the rows to train on [pure but for the time that is left]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe.retraining import evaluate, fit, kinds, windows

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen, and against what.

    Attributes
    ----------
    rows : int
        Newest rows to train on; 0 means all.
    parameters : Parameters
        With the half-life and the options that were chosen.
    tried : tuple of dict
        ``what, loss`` of each candidate in the order of the trials.
    """

    rows: int
    parameters: fit.Parameters
    tried: tuple[dict[str, Any], ...] = ()


def choose(
    X: Floats,
    y: Floats,
    *,
    task: fit.Task,
    first: Choice,
    candidates: Sequence[tuple[str, Choice]],
    may_go_on: Callable[[], bool],
    n_jobs: int | None = None,
) -> Choice:
    """Return the candidate with the lowest mean loss on the newest rows, fitted on those before.

    Parameters
    ----------
    X, y : float64 (n, d), (n,)
        Rows to train on in time order, without the holdout.
    task : {"classification", "regression"}
    first : Choice
        What stands where nothing can be compared.
    candidates : sequence of (str, Choice)
        In the order in which they are tried, with what they are called.
    may_go_on : callable
        Asked before each candidate but the first; False ends the search with the best so far.
    n_jobs : int, optional
    """
    n_scored = min(windows.SCORED_ROWS, len(y) // 4)
    if len(candidates) < 2 or n_scored < 1:
        return first
    classes = np.unique(y) if task == "classification" else np.empty(0)
    X_fit, y_fit, X_new, y_new = X[:-n_scored], y[:-n_scored], X[-n_scored:], y[-n_scored:]
    tried: list[tuple[float, str, Choice]] = []
    for name, choice in candidates:
        if tried and not may_go_on():
            break
        kept = windows.keep(len(y_fit), windows.Window(rows=choice.rows))
        model = fit.fit(X_fit[kept], y_fit[kept], task=task, parameters=choice.parameters, n_jobs=n_jobs)
        loss = evaluate.losses(y_new, fit.score(model, X_new, classes), classes).mean()
        tried.append((float(loss), name, choice))
    best = min(tried, key=lambda trial: trial[0])[2]
    told = tuple({"what": name, "loss": loss} for loss, name, _ in tried)
    return replace(best, tried=first.tried + told)


def over_windows(n: int, first: Choice) -> list[tuple[str, Choice]]:
    """Return the windows worth comparing with n rows to train on."""
    found = windows.candidates(n - windows.SCORED_ROWS)
    return [
        (str(window), Choice(rows=window.rows, parameters=replace(first.parameters, half_life=window.half_life)))
        for window in found
    ]


def over_options(first: Choice) -> list[tuple[str, Choice]]:
    """Return the kind's own candidates."""
    found = kinds.find(first.parameters.kind).candidates
    return [
        (_named(options), replace(first, parameters=replace(first.parameters, options=options))) for options in found
    ]


def _named(options: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items()) or "as it comes"
