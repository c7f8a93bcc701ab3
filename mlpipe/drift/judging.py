"""What a check does, and what a replay does again: the basis of a version, the window, the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlpipe import db, errors
from mlpipe.drift import newest, segments, splitting, stored, verdict
from mlpipe.drift import reference as references
from mlpipe.drift import report as reports
from mlpipe.drift.detectors import DETECTORS
from mlpipe.prediction import store as predictions
from mlpipe.registry import artifacts
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.schema.contract import Column, Schema
from mlpipe.settings import Settings

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Basis:
    """What a version's traffic is compared with."""

    version: int
    columns: tuple[Column, ...]
    reference: references.Reference
    importance: Floats
    splits: segments.Splits | None


def load(models: Path, version: int, schema: Schema, settings: Settings, *, n_reference: int | None = None) -> Basis:
    """Read what a version's traffic is compared with, or prepare it under other settings than it was kept with.

    `n_reference` leaves the newest of its rows.

    Raises
    ------
    errors.NotFound, errors.ArtifactCorrupt
        The version has no row, or its folder is gone or altered.
    """
    with db.reading() as connection:
        row = versions.get(connection, version)
    if row is None:
        raise errors.NotFound(f"Version {version} has no row.")
    arrays = stored.newest(artifacts.load_reference(registry.folder(models, version), row.files), n_reference)
    classes = row.parameters["classes"]
    made = stored.Made(n_bins=settings.n_bins, n_window=settings.window_size)
    reference = stored.unpack(arrays, schema.columns, made)
    if reference is None:
        reference = stored.prepare(arrays, classes, schema.columns, made)
    splits = splitting.prepare(arrays, classes, schema, settings)
    return Basis(version, schema.columns, reference, arrays["importance"], splits)


def read_window(basis: Basis, settings: Settings, *, upto: int | None = None) -> predictions.Window:
    """Read the newest rows that a check looks at; `upto` is the newest log row that counts.

    Raises
    ------
    errors.TooFewSamples
        There are none.
    """
    n = newest.rows_needed(basis.reference, rule(settings))
    with db.reading() as connection:
        window = predictions.window(connection, basis.version, n, upto=upto)
    if window is None:
        raise errors.TooFewSamples("The prediction log lost its rows between two looks; check again.")
    return window


def judge(basis: Basis, window: predictions.Window, settings: Settings, *, now: int) -> reports.Report:
    """Judge a window under the settings, as of a time: what a check does, and what a replay does again."""
    return verdict.judge(
        basis.reference,
        window.X,
        stored.summarise(window.outputs, window.probabilities),
        rule=rule(settings),
        importance=basis.importance,
        at=window.predicted_at,
        now=now,
    )


def rule(settings: Settings) -> reports.Rule:
    """Return what the settings want a verdict to be reached with.

    Raises
    ------
    errors.InvalidSetting
        They name a detector that cannot decide, or none at all.
    """
    able = [detector.name for detector in DETECTORS.values() if detector.role == "evidence"]
    unknown = [name for name in settings.deciding if name not in able]
    if unknown or not settings.deciding:
        raise errors.InvalidSetting(
            f"MLPIPE_DECIDING_DETECTORS={settings.deciding_detectors!r}: "
            f"{', '.join(unknown) or 'nothing'} can not decide; name at least one of {', '.join(able)}."
        )
    return reports.Rule(
        threshold=settings.threshold,
        alpha=settings.alpha,
        window_size=settings.window_size,
        min_samples=settings.min_samples,
        deciding=settings.deciding,
    )


def too_few(n: int, settings: Settings) -> str:
    """Say why a check with n new rows waits."""
    return (
        f"{n:,} of the {settings.min_samples:,} new rows that a check needs are here; "
        "testing the same rows again would be the same draw."
    )
