"""What a retraining works on: the window, the rows to compare on, and who it has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe import clock, db, errors
from mlpipe.features import store as features
from mlpipe.registry import artifacts
from mlpipe.registry import store as versions
from mlpipe.retraining import provenance
from mlpipe.schema.contract import Schema
from mlpipe.settings import Settings

MIN_HOLDOUT = 50
"""Rows without which two models cannot be told apart at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One picture of the store.

    Attributes
    ----------
    schema : Schema
    samples : Samples
        The window, oldest first.
    holdout : bool (n,)
        The newest rows; the champion has trained on none of them.
    champion : Version or None
        What serves now.
    last_batch, last_label : int
        Newest batch and later label of the store; what comes after is new to the version that is made.
    """

    schema: Schema
    samples: features.Samples
    holdout: NDArray[np.bool_]
    champion: versions.Version | None
    last_batch: int
    last_label: int

    @property
    def classes(self) -> list[float]:
        """Labels as stored, ascending; empty for regression."""
        return [] if self.schema.target.task == "regression" else np.unique(self.samples.y).tolist()


def read(settings: Settings) -> Plan:
    """Read the window and choose the rows to compare on.

    Raises
    ------
    errors.TooFewSamples
        There are not enough labelled rows, or all of the rows to train on are of one class.
    errors.NotComparable
        The target has changed its task since the champion was trained.
    """
    with db.reading() as connection:
        schema = features.current_schema(connection)
        champion = serving(connection)
        samples = features.newest_labelled(connection, settings.training_window)
        last_batch, last_label, _ = features.newest_marks(connection)
    if schema is not None and champion is not None and champion.task != schema.target.task:
        raise errors.NotComparable(
            f"The schema's target is {schema.target.task} now, but version {champion.version}, which serves, is for "
            f"{champion.task}: their losses cannot be compared. Set the target back with PUT /features/schema."
        )
    if schema is None or len(samples) < 2:
        raise errors.TooFewSamples(f"{len(samples)} labelled rows are here; a model needs at least two.")
    holdout = choose_holdout(samples, champion, settings)
    n_holdout = int(holdout.sum())
    if champion is not None and n_holdout < MIN_HOLDOUT:
        raise errors.TooFewSamples(
            f"Only {n_holdout} rows of the window are new to version {champion.version}; {MIN_HOLDOUT} are needed to "
            "tell two models apart. Corrected labels of old rows do not count."
        )
    if schema.target.task == "classification" and len(np.unique(samples.y[~holdout])) < 2:
        raise errors.TooFewSamples(
            f"All labels of the {int((~holdout).sum()):,} rows to train on are equal; at least two classes are needed."
        )
    return Plan(
        schema=schema,
        samples=samples,
        holdout=holdout,
        champion=champion,
        last_batch=last_batch,
        last_label=last_label,
    )


def still_holds(connection: db.Connection, plan: Plan) -> None:
    """Check at the end of a training that it answers the question that is open now.

    Raises
    ------
    errors.DeployConflict
        Another version serves than the one that was compared with.
    errors.NotComparable
        The target has changed its task.
    """
    active = versions.active(connection)
    before = plan.champion.version if plan.champion else None
    if (active.version if active else None) != before:
        raise errors.DeployConflict(
            f"Version {active.version if active else 'none'} was activated while this was trained and compared with "
            f"version {before}; it stays. Ask for another retraining if it should be challenged too."
        )
    schema = features.current_schema(connection)
    if schema is None or schema.target.task != plan.schema.target.task:
        raise errors.NotComparable("The target changed its task while this was trained; ask for another retraining.")


def serving(connection: db.Connection) -> versions.Version | None:
    """Return the version that serves now."""
    active = versions.active(connection)
    return versions.get(connection, active.version) if active else None


def choose_holdout(
    samples: features.Samples, champion: versions.Version | None, settings: Settings
) -> NDArray[np.bool_]:
    """Choose the newest rows, none of which the champion has trained on.

    Returns
    -------
    bool (n,)
        ``holdout_share`` of the window, at most ``holdout_max`` rows, at least `MIN_HOLDOUT` if so many are there
        (beside a first model at most half of the rows).
    """
    n = len(samples)
    wanted = max(min(MIN_HOLDOUT, n // 2), min(settings.holdout_max, round(settings.holdout_share * n)))
    fresh = np.ones(n, dtype=bool)
    if champion is not None:
        fresh = (samples.ids[:, 0] > champion.last_batch) | (samples.label_ids > champion.last_label)
    holdout = np.zeros(n, dtype=bool)
    holdout[np.flatnonzero(fresh)[-wanted:]] = True
    return holdout


def lineage(plan: Plan) -> dict[str, Any]:
    """Name the rows that a version saw: stretches of positions within batches, and one hash of their contents."""
    samples = plan.samples
    starts = np.flatnonzero(np.diff(samples.ids[:, 0], prepend=-1))
    ends = [*starts[1:].tolist(), len(samples)]
    batches = [
        [int(samples.ids[start, 0]), int(samples.ids[start, 1]), int(samples.ids[end - 1, 1]), end - start]
        for start, end in zip(starts.tolist(), ends, strict=True)
    ]
    return {
        "rows": len(samples),
        "holdout_rows": int(plan.holdout.sum()),
        "schema_version": plan.schema.version,
        "batches": batches,
        "batches_are": "[batch row, first position, last position, rows]",
        "first_event": clock.iso(int(samples.event_times.min())),
        "last_event": clock.iso(int(samples.event_times.max())),
        "labels": provenance.runs(samples.counted),
        "labels_are": "[first, last] label row that counted; of all others the label came with the row",
        "holdout": provenance.runs(np.flatnonzero(plan.holdout) + 1),
        "holdout_is": "[first, last] place among the rows, from 1",
        "code": provenance.code(),
        "sha256": artifacts.digest_arrays(samples.X, samples.y, samples.ids),
    }
