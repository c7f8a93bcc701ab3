"""What a version that goes on learning answered before it knew the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe import db
from mlpipe.features import arrivals
from mlpipe.features import store as features
from mlpipe.learning import store as learning
from mlpipe.registry import store as versions

Floats = NDArray[np.float64]

MOST_STEPS = 2000
"""Newest steps that are read: 200,000 labels where a step holds a hundred."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Rows that a version has learned, oldest first, and what it answered for them before.

    Attributes
    ----------
    samples : Samples
    scores : float64 (n, k) or (n,)
    """

    samples: features.Samples
    scores: Floats


def answers(version: versions.Version, *, rows: int) -> Answers:
    """Return the newest rows that a version has learned, and its answers before."""
    classes = np.asarray(version.parameters["classes"], dtype=np.float64)
    parts: list[features.Samples] = []
    scores: list[Floats] = []
    with db.reading() as connection:
        for step, block in learning.scored(connection, version.version, limit=MOST_STEPS):
            if sum(map(len, parts)) >= rows:
                break
            samples = arrivals.between(connection, step.after, step.upto)
            samples = samples.take(np.isin(samples.y, classes)) if len(classes) and len(samples) else samples
            if len(samples) != step.n_rows:  # rows were forgotten since: what is older cannot be paired
                break
            parts.append(samples)
            scores.append(
                np.frombuffer(block, dtype=np.float64).reshape((step.n_rows, *([-1] if len(classes) else [])))
            )
    samples = features.join(parts[::-1])
    whole = np.concatenate(scores[::-1]) if scores else np.empty((0, len(classes)) if len(classes) else 0)
    return Answers(samples.take(slice(-rows, None)), whole[-rows:])


def over(scores: dict[str, Any], samples: features.Samples, version: versions.Version) -> dict[str, Any]:
    """Return the champion's scores with those that it gave before it knew the label, where it has learned a row.

    Parameters
    ----------
    scores : dict
        With ``champion_scores`` of `samples`, by the champion of today.
    samples : Samples
        The holdout.
    version : Version
        The champion.
    """
    if "champion_scores" not in scores:
        return scores
    known = answers(version, rows=10 * len(samples))
    places = {place: n for n, place in enumerate(map(tuple, known.samples.ids.tolist()))}
    honest = scores["champion_scores"].copy()
    for n, place in enumerate(map(tuple, samples.ids.tolist())):
        if place in places:
            honest[n] = known.scores[places[place]]
    return scores | {"champion_scores": honest}
