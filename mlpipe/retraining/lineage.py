"""Which rows a version was trained on, which versions a row has taught, and the same training once more."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mlpipe import db, errors
from mlpipe.features import store as features
from mlpipe.registry import artifacts
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.retraining import fit, provenance, roll
from mlpipe.schema import matrix
from mlpipe.settings import Settings

VERSIONS_A_LOOK = 200


# Both ways ------------------------------------------------------------------------------------------------------


def rows(version: int, *, after: int, limit: int) -> list[dict[str, Any]]:
    """Return rows that a version was trained on, in the order of the training.

    Parameters
    ----------
    version : int
    after : int
        Place of the row after which to begin; 0 for the first.
    limit : int
        Most rows.

    Raises
    ------
    errors.NotFound, errors.NotComparable
        There is no such version, or it was made before its labels were kept.
    """
    with db.reading() as connection:
        row = _version(connection, version)
        schema = features.schema_version(connection, row.schema_version)
        read = _exact(connection, row)
    here = read.take(slice(after, after + limit))
    labels = [] if schema is None else matrix.decode_label(here.y, schema.target)
    found = zip(here.ids.tolist(), labels, here.counted.tolist(), strict=True)
    return [
        {"place": after + n, "sample_id": f"{batch}-{position}", "label": label, "label_id": counted or None}
        for n, ((batch, position), label, counted) in enumerate(found, start=1)
    ]


def versions_of(batch: int, position: int) -> dict[str, Any]:
    """Return the versions that were trained on a row, newest first.

    Raises
    ------
    errors.NotFound
        There is no such row.
    """
    found: list[int] = []
    before: int | None = None
    with db.reading() as connection:
        if not features.has(connection, batch, position):
            raise errors.NotFound(f"There is no sample {batch}-{position}.")
        while page := versions.page(connection, limit=VERSIONS_A_LOOK, before=before):
            found += [row.version for row in page if _knows(connection, row, batch, position)]
            before = page[-1].version
    return {"sample_id": f"{batch}-{position}", "versions": found}


def _knows(connection: db.Connection, row: versions.Version, batch: int, position: int) -> bool:
    """Say whether a version was trained on a row; only a stretch with gaps needs a look at the labels."""
    for place, first, last, n in row.lineage["batches"]:
        if place == batch and first <= position <= last:
            whole = n == last - first + 1 or "labels" not in row.lineage
            read = None if whole else features.rows_of(connection, [[batch, position, position]], row.lineage["labels"])
            return read is None or len(read) == 1
    return False


def _version(connection: db.Connection, version: int) -> versions.Version:
    row = versions.get(connection, version)
    if row is None:
        raise errors.NotFound(f"There is no version {version}. GET /models lists all.")
    return row


def _exact(connection: db.Connection, row: versions.Version) -> features.Samples:
    if "labels" not in row.lineage:
        raise errors.NotComparable(
            f"Version {row.version} was made before it was kept which labels counted, so its rows cannot be told "
            "exactly. Versions that are trained from now on can."
        )
    return features.rows_of(connection, row.lineage["batches"], row.lineage["labels"])


# Once more ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """How a training that was done again compares with the version.

    Attributes
    ----------
    version, rows : int
    data_equal : bool
        Whether the rows and labels are those that it was trained on, by their hash.
    predictions_equal : bool
        Whether the answers for its smoke rows are equal, bit for bit.
    largest_difference : float or None
        Of a probability or value; None where they have other shapes.
    code_equal : bool
        Whether the sources are those that it was trained by.
    sentence : str
    """

    version: int
    rows: int
    data_equal: bool
    predictions_equal: bool
    largest_difference: float | None
    code_equal: bool
    sentence: str


def reproduce(version: int, settings: Settings) -> Reproduction:
    """Train a version again on its very rows, and compare.

    Raises
    ------
    errors.NotFound, errors.NotComparable, errors.ArtifactCorrupt
        There is no such version, it was made before its labels were kept, or its folder is damaged or of another
        scikit-learn.
    """
    with db.reading() as connection:
        row = _version(connection, version)
        read = _exact(connection, row)
    if "continues" in row.parameters:
        raise errors.NotComparable(
            f"Version {version} was not trained: it goes on from version {row.parameters['continues']}, as that was at "
            "the time. Reproduce that one; GET /learning shows the steps between."
        )
    data_equal = artifacts.digest_arrays(read.X, read.y, read.ids) == row.lineage["sha256"]
    kept = artifacts.load(registry.folder(settings.models_folder, version), row.files)
    scores = _again(row, read, kept.smoke_X)
    same_shape = scores.shape == kept.smoke_scores.shape
    difference = float(np.abs(scores - kept.smoke_scores).max()) if same_shape else None
    code_equal = row.lineage["code"] == provenance.code()
    return Reproduction(
        version=version,
        rows=len(read),
        data_equal=data_equal,
        predictions_equal=difference == 0,
        largest_difference=difference,
        code_equal=code_equal,
        sentence=_sentence(row, len(read), data_equal, difference, code_equal),
    )


def _again(row: versions.Version, read: features.Samples, smoke: fit.Floats) -> fit.Floats:
    if not len(read):
        return np.empty(0)
    task: fit.Task = "regression" if row.task == "regression" else "classification"
    model = _trained(row, read, task)
    classes = np.asarray(row.parameters["classes"], dtype=np.float64)
    return fit.score(model, smoke, classes)


def _trained(row: versions.Version, read: features.Samples, task: fit.Task) -> Any:
    if row.kind != roll.KIND:
        return fit.fit(read.X, read.y, task=task, parameters=_parameters(row))
    first, fresh = row.parameters["first_rows"], row.parent is None
    return roll.roll(read.X, read.y, first=first, task=task, parameters=_parameters(row), fresh=fresh).model


def _parameters(row: versions.Version) -> fit.Parameters:
    """Read how a version was trained; what is newer than the version has its default, as it had then."""
    names = [field.name for field in fields(fit.Parameters) if field.name in row.parameters]
    known = {name: row.parameters[name] for name in names}
    return fit.Parameters(**known | {"categories": tuple(known.get("categories", ()))})


def _sentence(row: versions.Version, n: int, data_equal: bool, difference: float | None, code_equal: bool) -> str:
    rows_said = (
        f"The {n:,} rows are" if data_equal else f"{n:,} of {row.lineage['rows']:,} rows are there, but they are not"
    )
    parts = [f"{rows_said} those that version {row.version} was trained on."]
    if difference == 0:
        parts.append("Its predictions are equal.")
    else:
        told = "have another shape" if difference is None else f"differ by up to {difference:.3g}"
        parts.append(f"Its predictions {told}.")
    if not code_equal:
        parts.append("The code is another one than then.")
    return " ".join(parts)
