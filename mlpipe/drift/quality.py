"""Has quality dropped? The newest labels of the version that serves, tested once and stored."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe import clock, db, errors
from mlpipe.drift import drop, estimate, hours, store, stored
from mlpipe.incidents import kinds
from mlpipe.incidents import store as incidents
from mlpipe.jobs import asking, ledger
from mlpipe.prediction import labelled as log
from mlpipe.registry import artifacts
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.settings import Settings

logger = logging.getLogger("mlpipe.drift.quality")

INCIDENT = kinds.QUALITY
WAITING = "waiting_for_labels"

NEW_LABELS = 50
"""New labels among the newest labelled predictions without which no test is made: the same rows are the same draw."""

KEPT = 16
"""Versions whose estimators are kept at hand: more of them seldom stand on one page of hours."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a version before its first label comes.

    Attributes
    ----------
    version : int
    task : {"classification", "regression"}
    baselines : tuple of Baseline
        How wrong it was on its reference (if the folder says) and on its holdout.
    estimator : Estimator or None
    why : str
        Why there is none.
    expected : Baseline or None
        Of the errors that the estimator expects of its reference.
    """

    version: int
    task: drop.Task
    baselines: tuple[drop.Baseline, ...]
    estimator: estimate.Estimator | None
    why: str
    expected: drop.Baseline | None = None

    @property
    def reference(self) -> drop.Baseline | None:
        """How wrong it was on its reference."""
        return next((baseline for baseline in self.baselines if baseline.source == "reference"), None)


@dataclass(frozen=True, slots=True)
class Tested:
    """What a test rests on, and what it says."""

    rows: Sequence[Any]
    baseline: drop.Baseline
    windows: tuple[drop.Window, ...]
    sentence: str

    @property
    def verdict(self) -> str:
        """``drop`` or ``ok``."""
        return "drop" if drop.worst(self.windows) else "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a test has found, before it is stored: also the newest label row that was there, and the test before."""

    known: Known
    tested: Tested
    estimate: dict[str, Any]
    upto: int
    last: int | None


class Watch:
    """Watches the quality of the version that serves.

    Parameters
    ----------
    models : Path
        The registry folder; what is known of a version is worked out once.
    n_reference : int, optional
        Newest rows of a reference that count; all of them without it.
    """

    def __init__(self, models: Path, *, n_reference: int | None = None) -> None:
        self._models = models
        self._n_reference = n_reference
        self._known: dict[int, Known] = {}

    def known(self, connection: db.Connection, version: int) -> Known:
        """Return what is known of a version; a damaged folder costs the estimate, not the test.

        Raises
        ------
        errors.NotFound
            There is no such version.
        """
        found = self._known.get(version)
        if found is not None:
            return found
        row = versions.get(connection, version)
        if row is None:
            raise errors.NotFound(f"Version {version} has no row.")
        try:
            arrays = artifacts.load_reference(registry.folder(self._models, version), row.files)
        except errors.ArtifactCorrupt as fault:
            return _known(row, None, why=fault.detail)
        if len(self._known) >= KEPT:
            self._known.pop(next(iter(self._known)), None)
        found = self._known[version] = _known(row, stored.newest(arrays, self._n_reference))
        return found

    def check(self, settings: Settings) -> dict[str, Any]:
        """Test the newest labels of the version that serves, unless they were tested before.

        Returns
        -------
        dict
            ``verdict`` (``ok``, ``drop``, ``waiting_for_labels``), ``sentence``, ``baseline``, ``windows``,
            ``estimate`` and, for a check that was made, ``id``, ``checked_at``, ``model_version``, ``rows``.

        Notes
        -----
        A test is stored with its line in the ledger; a drop opens or updates the incident and asks for a retraining in
        the same transaction. Waiting leaves no trace.
        """
        return settle(self.look(settings))

    def look(self, settings: Settings) -> Finding | dict[str, Any]:
        """Test the newest labels and store nothing: a finding for `keep`, or an answer that says what is missing."""
        with db.reading() as connection:
            active = versions.active(connection)
            if active is None:
                return waiting("No model serves yet, so there are no answers to be right or wrong.")
            last = store.latest_quality(connection, active.version)
            lacking = missing(connection, active.version, last)
            if lacking is not None:
                return waiting(lacking, last)
            known = self.known(connection, active.version)
            rule = of_settings(settings, known.task)
            tested = examine(connection, known, rule)
            if isinstance(tested, str):
                return waiting(tested, last)
            trust = _trust(connection, known, tested.rows, rule)
            return Finding(known, tested, trust, log.newest_label(connection), last.id if last else None)


def of_settings(settings: Settings, task: drop.Task) -> drop.Rule:
    """Return the rule that the settings ask for."""
    return drop.Rule(task, drop=settings.quality_drop, rise=settings.quality_rise, alpha=settings.alpha)


# What is known of a version -------------------------------------------------------------------------------------


def _known(row: versions.Version, arrays: Mapping[str, NDArray[Any]] | None, *, why: str = "") -> Known:
    task: drop.Task = "regression" if row.task == "regression" else "classification"
    holdout = _holdout(row.metrics, task)
    baselines = (holdout,) if holdout else ()
    if arrays is None or "y" not in arrays:
        reason = why or f"version {row.version} was made before labels were kept with the reference; retrain."
        return Known(row.version, task, baselines, None, reason)
    classes = np.asarray(row.parameters["classes"], dtype=np.float64)
    scores, y = np.nan_to_num(arrays["scores"]), arrays["y"]
    if task == "regression":
        measured = drop.measure(np.abs(scores - y), "reference")
        estimator: estimate.Estimator = estimate.model_errors(arrays["X"], scores, y)
        expected = estimator.expect(scores, arrays["X"])
    else:
        answers = classes[scores.argmax(axis=1)]
        measured = drop.measure((answers != y).astype(float), "reference")
        estimator = estimate.calibrate(scores, y, classes)
        expected = 1 - estimator.expect(answers, scores)
    alike = tuple(replace(baseline, tau=measured.tau) for baseline in baselines)
    return Known(row.version, task, (measured, *alike), estimator, "", drop.measure(expected, "reference"))


def _holdout(metrics: dict[str, Any], task: drop.Task) -> drop.Baseline | None:
    """Read the holdout's error off a version's metrics, which have no rows in order: tau comes from elsewhere."""
    if not metrics.get("rows"):
        return None
    if task == "regression":
        error, variance = metrics["mae"], metrics["rmse"] ** 2 - metrics["mae"] ** 2
    else:
        error = 1 - metrics["accuracy"]
        variance = error * (1 - error)
    return drop.Baseline("holdout", error, max(0.0, variance), metrics["rows"], tau=1.0)


# The test -------------------------------------------------------------------------------------------------------


def missing(connection: db.Connection, version: int, last: Any) -> str | None:
    """Say which labels a test waits for, or None when it can be made."""
    ids = log.label_ids(connection, version, limit=drop.LARGEST)
    n_new = sum(label > (last.last_label if last else 0) for label in ids)
    if len(ids) < drop.WINDOWS[0]:
        return f"{len(ids)} of the {drop.WINDOWS[0]} labelled predictions that a test of quality needs are here."
    if n_new < NEW_LABELS:
        return f"{n_new} of the {NEW_LABELS} new labels that a test of quality needs are here."
    return None


def examine(
    connection: db.Connection, known: Known, rule: drop.Rule, *, seen: log.Picture | None = None
) -> Tested | str:
    """Test the newest labels, of now or of an earlier time; a text says why they cannot be tested yet."""
    rows = log.labelled(connection, known.version, newest=True, limit=drop.LARGEST, seen=seen)
    candidates, first = list(known.baselines), []
    if known.reference is None or max(baseline.n_rows for baseline in candidates) < drop.LARGEST:
        first = log.labelled(connection, known.version, newest=False, limit=drop.LARGEST, seen=seen)
    if known.reference is None:
        tau = drop.careful_time(_errors(first, known.task))
        candidates = [replace(baseline, tau=tau) for baseline in candidates]
    baseline = drop.choose(candidates, _errors(first, known.task), rule)
    if baseline is None:
        return f"{len(first):,} of the {drop.LARGEST:,} labelled predictions are here that others can be compared with."
    fresh = rows
    if baseline.source == "first_labelled":
        fresh = [row for row in rows if _place(row) > _place(first[-1])]
    windows = drop.compare(_errors(fresh, known.task), baseline, rule)
    if not windows:
        return (
            f"The first {drop.LARGEST:,} labelled predictions say how good the model is; {len(fresh)} of the "
            f"{drop.WINDOWS[0]} after them that a test needs are here."
        )
    fallen = drop.worst(windows)
    since = _moment(fresh[-fallen.n_rows].predicted_at) if fallen else ""
    return Tested(rows, baseline, windows, drop.sentence(baseline, windows, rule, since=since))


def _place(row: Any) -> tuple[int, int]:
    return row.prediction_id, row.position


def _errors(rows: Sequence[Any], task: drop.Task) -> Floats:
    return hours.errors(hours.labels_of(rows), task)


def _trust(connection: db.Connection, known: Known, rows: Sequence[Any], rule: drop.Rule) -> dict[str, Any]:
    if known.estimator is None or known.reference is None:
        return told(None, known)
    known_rows = hours.labels_of(rows)
    expected = known.estimator.expect(known_rows.output, log.blocks(connection, rows, known.estimator.reads))
    if known.task == "classification":
        expected = 1 - expected
    return told(estimate.check(expected, hours.errors(known_rows, known.task), known.reference, rule), known)


def told(trust: estimate.Trust | None, known: Known) -> dict[str, Any]:
    """Return an estimate's part of an answer, in accuracies or mean absolute errors."""
    said: dict[str, Any] = {"available": trust is not None}
    said |= asdict(trust) if trust else dict.fromkeys(("rows", "expected", "actual", "z", "trustworthy"))
    if known.task == "classification":
        said |= {name: None if said[name] is None else 1 - said[name] for name in ("expected", "actual")}
    return said | {"sentence": estimate.sentence(trust, known.task, why=known.why)}


def _moment(at_us: int) -> str:
    return f"{clock.from_us(at_us):%Y-%m-%d %H:%M} UTC"


def settle(found: Finding | dict[str, Any]) -> dict[str, Any]:
    """Store a test, if there was one, in a transaction of its own; see `keep`."""
    if isinstance(found, dict):
        return found
    with db.transaction() as connection:
        return keep(connection, found)


def keep(connection: db.Connection, found: Finding) -> dict[str, Any]:
    """Store a test and act on it, in a transaction of the caller's; return it as the API shows it.

    Another process may have stored a test of the same labels meanwhile: then that one is returned, and nothing is done.
    """
    tested, version = found.tested, found.known.version
    versions.active(connection, for_update=True)  # checks take turns here, so that no label is tested twice
    newest = store.latest_quality(connection, version)
    if newest is not None and newest.id != found.last:
        return as_json(newest)
    values = {
        "model_version": version,
        "last_label": found.upto,
        "n_rows": len(tested.rows),
        "verdict": tested.verdict,
        "sentence": tested.sentence,
        "baseline": asdict(tested.baseline),
        "windows": [asdict(window) for window in tested.windows],
        "estimate": found.estimate,
    }
    check = store.add_quality(connection, values)
    if check is not None:
        _act(connection, values, check, upto=tested.rows[-1].prediction_id)
        logger.info("quality %s: %s", values["verdict"], tested.sentence)
    return as_json(store.latest_quality(connection, version))


def _act(connection: db.Connection, values: dict[str, Any], check: int, *, upto: int) -> None:
    """Open, update or close the incident, tell the ledger, and ask for a retraining."""
    version, sentence = values["model_version"], values["sentence"]
    evidence = {"quality_check": check, "model_version": version, "basis": "labels"}
    fell = values["verdict"] == "drop"
    if fell:
        incidents.open_or_update(connection, INCIDENT, sentence, evidence)
    ids = {"model_version": version, "incident_id": incidents.open_id(connection, INCIDENT)}
    ledger.record(connection, f"quality_{values['verdict']}", sentence, evidence=evidence, **ids)
    if not fell:
        if upto >= estimated_upto(connection):
            incidents.resolve(connection, INCIDENT, sentence)
        return
    asking.ask(
        connection,
        f"Quality: {sentence}",
        trigger="quality",
        because=f"the answers have become worse: {sentence}",
        evidence=evidence | {"incident": ids["incident_id"]},
    )


def estimated_upto(connection: db.Connection) -> int:
    """Return the newest prediction that the open incident is an estimate of: older labels cannot refute it; else 0."""
    open_one = next((row for row in incidents.open_ones(connection) if row.kind == INCIDENT), None)
    if open_one is None or open_one.evidence.get("basis") != "estimate":
        return 0
    return int(open_one.evidence["last_prediction"])


def waiting(sentence: str, last: Any = None) -> dict[str, Any]:
    """Return what stands for a test that was not made; what the last one said of the estimate still holds."""
    empty: dict[str, Any] = {"verdict": WAITING, "sentence": sentence, "baseline": None, "windows": []}
    return empty | {"estimate": last.estimate if last else None}


def as_json(row: Any) -> dict[str, Any]:
    """Return a quality check as the API shows it."""
    shown = db.as_dict(row)
    shown["rows"] = shown.pop("n_rows")
    return shown | {"checked_at": clock.iso(row.checked_at)}
