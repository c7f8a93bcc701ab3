"""What a retraining works on: the window, the rows to compare on, and who it has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mlpipe import clock, db, errors
from mlpipe.features import store as features
from mlpipe.learning import store as learning
from mlpipe.registry import artifacts
from mlpipe.registry import store as versions
from mlpipe.retraining import leaks, provenance, windows
from mlpipe.schema.contract import Schema
from mlpipe.settings import Settings

MIN_HOLDOUT = 50
"""Rows without which two models cannot be told apart at all."""

FRESH_SHARE = 0.5
"""Most of the new rows that the comparison may take: a challenger that has seen none of them is no challenger."""


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
    fresh : bool (n,)
        All rows that are new to the champion.
    champion : Version or None
        What serves now.
    last_batch, last_label : int
        Newest batch and later label of the store; what comes after is new to the version that is made.
    known : tuple of float or None
        Classes where there may be more than those of the window.
    stated : tuple of str
        What a person should know of the rows.
    broken : tuple of str
        Why the new rows must not be trained on.
    """

    schema: Schema
    samples: features.Samples
    holdout: NDArray[np.bool_]
    champion: versions.Version | None
    last_batch: int
    last_label: int
    fresh: NDArray[np.bool_]
    known: tuple[float, ...] | None = None
    stated: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    def newest(self, n: int) -> Plan:
        """Return the plan with its newest n rows alone: a window that was chosen among several."""
        last = slice(len(self.samples) - n, None)
        return replace(self, samples=self.samples.take(last), holdout=self.holdout[last], fresh=self.fresh[last])

    @property
    def classes(self) -> list[float]:
        """Labels as stored, ascending; empty for regression."""
        if self.known is not None:
            return list(self.known)
        return [] if self.schema.target.task == "regression" else np.unique(self.samples.y).tolist()


def read(settings: Settings, evidence: Mapping[str, Any] | None = None) -> Plan:
    """Read the window and choose the rows to compare on.

    Parameters
    ----------
    settings : Settings
    evidence : mapping, optional
        Of the job; ``since``, its own or of one of its triggers, is when the drift began (microseconds since 1970).

    Raises
    ------
    errors.TooFewSamples
        There are not enough labelled rows, or all of the rows to train on are of one class.
    errors.NotComparable
        The target has changed its task since the champion was trained.
    errors.LabelLeak
        A column is the label.
    """
    with db.reading() as connection:
        schema = features.current_schema(connection)
        champion = serving(connection)
        samples = _admitted(_mature(connection, settings), settings, evidence or {})
        samples = _without_refused(connection, samples, champion)
        last_batch, last_label, _ = features.newest_marks(connection)
    if schema is not None and champion is not None and champion.task != schema.target.task:
        raise errors.NotComparable(
            f"The schema's target is {schema.target.task} now, but version {champion.version}, which serves, is for "
            f"{champion.task}: their losses cannot be compared. Set the target back with PUT /features/schema."
        )
    if schema is None or len(samples) < 2:
        raise errors.TooFewSamples(f"{len(samples)} labelled rows are here; a model needs at least two.")
    return checked(
        Plan(
            schema=schema,
            samples=samples,
            holdout=choose_holdout(samples, champion, settings),
            champion=champion,
            last_batch=last_batch,
            last_label=last_label,
            fresh=choose_fresh(samples, champion),
        ),
        settings,
    )


def _without_refused(
    connection: db.Connection, samples: features.Samples, champion: versions.Version | None
) -> features.Samples:
    """Leave labels out that the champion holds back because they contradict it, and those that somebody discarded."""
    if champion is None or not len(samples):
        return samples
    kept = np.ones(len(samples), dtype=bool)
    batch, label = samples.ids[:, 0], samples.label_ids
    for after, upto in learning.refused(connection, champion.version):
        kept &= (label > 0) | (batch <= after.batch) | (batch > upto.batch)
        kept &= (label == 0) | (label <= after.label) | (label > upto.label)
    return samples.take(kept)


def _mature(connection: db.Connection, settings: Settings) -> features.Samples:
    """Read the newest labelled rows whose labels are complete; reads further back while too many are too young."""
    now, maturity = clock.now_us(), int(settings.label_maturity_s * clock.MICROSECONDS)
    n = settings.training_window
    while True:
        samples = features.newest_labelled(connection, n)
        old = samples.take(windows.mature(samples.event_times, now=now, maturity=maturity))
        if len(old) >= settings.training_window or len(samples) < n:
            return old.take(slice(max(0, len(old) - settings.training_window), None))
        n *= 2


def _admitted(samples: features.Samples, settings: Settings, evidence: Mapping[str, Any]) -> features.Samples:
    since: int | None = None
    if settings.window_policy == "time":
        since = clock.now_us() - int(settings.window_age_s * clock.MICROSECONDS)
    elif settings.window_policy == "since_drift":
        since = _drift_began(evidence)
    policy = cast("windows.Policy", settings.window_policy)
    least = max(settings.min_labelled, settings.min_new_labels)
    return samples.take(windows.admitted(samples.event_times, policy, since=since, least=least))


def _drift_began(evidence: Mapping[str, Any]) -> int | None:
    """Return when the newest drift began that asks for a job: it may have joined one that something else asked for."""
    known: list[int] = [one["since"] for one in evidence.get("triggers", ()) if "since" in one]
    return known[-1] if known else evidence.get("since")


def checked(plan: Plan, settings: Settings) -> Plan:
    """Check that the rows can be learned and compared on; say what is wrong with them.

    Raises
    ------
    errors.TooFewSamples, errors.LabelLeak
        As `read`.
    """
    champion, n_holdout = plan.champion, int(plan.holdout.sum())
    if champion is not None and n_holdout < MIN_HOLDOUT:
        raise errors.TooFewSamples(
            f"Only {n_holdout} rows of the window are new to version {champion.version}; {MIN_HOLDOUT} are needed to "
            "tell two models apart. Corrected labels of old rows do not count."
        )
    y = plan.samples.y
    if plan.schema.target.task == "classification" and len(np.unique(y[~plan.holdout])) < 2:
        raise errors.TooFewSamples(
            f"All labels of the {int((~plan.holdout).sum()):,} rows to train on are equal; at least two classes are "
            "needed."
        )
    refuses = settings.suspicious_data == "refuse"
    stated = _leaks(plan, refuses=refuses)
    plan = replace(plan, stated=(*stated, *_shares(plan)))
    return plan if champion is None else _suspicious(plan, champion, settings)


def _leaks(plan: Plan, *, refuses: bool) -> list[str]:
    X, y = plan.samples.X, plan.samples.y
    found = leaks.find_leaks(X, y, plan.schema.names, classification=plan.schema.target.task == "classification")
    if found.equal and refuses:
        raise errors.LabelLeak(
            f"Column {', '.join(found.equal)} is the label in all {len(y):,} rows: a model of it would look perfect "
            "and know nothing. Leave the column out of what is ingested, or set MLPIPE_SUSPICIOUS_DATA=allow if it is "
            "known when a prediction is asked for."
        )
    return found.sentences


def _shares(plan: Plan) -> list[str]:
    """State how common each class is: rare ones are what a mean loss says least of."""
    if not plan.classes:
        return []
    values, counts = np.unique(plan.samples.y, return_counts=True)
    told = zip(values.tolist(), (100 * counts / counts.sum()).tolist(), strict=True)
    return ["Labels: " + ", ".join(f"{value:g} {share:.1f} %" for value, share in told) + "."]


def _suspicious(plan: Plan, champion: versions.Version, settings: Settings) -> Plan:
    """Leave copies out that came with the new rows, and say what speaks against training on what is left."""
    samples, classification = plan.samples, plan.schema.target.task == "classification"
    surplus = leaks.surplus_copies(samples.X, samples.y, plan.fresh)
    still = leaks.stuck(samples.X, samples.y, plan.fresh, plan.schema.names, classification=classification)
    n_new, n_copies = int(plan.fresh.sum()), int(surplus.sum())
    told = []
    if still:
        told.append(f"{', '.join(still)} has one value in all {n_new:,} new rows, which never happened before.")
    if n_copies > n_new / 2:
        told.append(f"{n_copies:,} of {n_new:,} new rows are exact copies of others.")
    if told and settings.suspicious_data == "refuse":
        return replace(plan, broken=tuple(told))
    if n_copies:
        told.append(f"{n_copies:,} exact copies among the new rows were left out.")
        plan = replace(plan, samples=samples.take(~surplus), fresh=plan.fresh[~surplus])
        plan = replace(plan, holdout=choose_holdout(plan.samples, champion, settings))
    known = leaks.across_split(plan.samples.X, plan.samples.y, plan.holdout)
    if known.sum() and plan.holdout.sum() - known.sum() >= MIN_HOLDOUT:
        told.append(f"{int(known.sum()):,} rows were not compared on, because they are copies of rows trained on.")
        plan = replace(plan, samples=plan.samples.take(~known), holdout=plan.holdout[~known], fresh=plan.fresh[~known])
    return replace(plan, stated=(*plan.stated, *told))


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


def choose_fresh(samples: features.Samples, champion: versions.Version | None) -> NDArray[np.bool_]:
    """Mark the rows that the champion has not trained on."""
    if champion is None:
        return np.ones(len(samples), dtype=bool)
    fresh: NDArray[np.bool_] = (samples.ids[:, 0] > champion.last_batch) | (samples.label_ids > champion.last_label)
    return fresh


def choose_holdout(
    samples: features.Samples, champion: versions.Version | None, settings: Settings
) -> NDArray[np.bool_]:
    """Choose the newest rows, none of which the champion has trained on.

    Returns
    -------
    bool (n,)
        ``holdout_share`` of the window, at most ``holdout_max`` rows, at least `MIN_HOLDOUT` if so many are there
        (beside a first model at most half of the rows), and at most `FRESH_SHARE` of the new ones.
    """
    n, fresh = len(samples), choose_fresh(samples, champion)
    wanted = max(min(MIN_HOLDOUT, n // 2), min(settings.holdout_max, round(settings.holdout_share * n)))
    if champion is not None:
        wanted = min(wanted, max(MIN_HOLDOUT, round(FRESH_SHARE * fresh.sum())))
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
