"""The card of a version: what it is, how good it is and where, what it rests on, when it served."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mlpipe import clock, db, errors
from mlpipe.registry import artifacts, card, marks, service, store
from mlpipe.schema import matrix
from mlpipe.schema.contract import Schema

CAVEAT = (
    "Measured on the newest rows that it was trained on, each scored by a sibling that had not seen it nor its "
    "neighbours in time. The 95 % intervals take rows as independent, so they are rather too narrow."
)


def read(models: Path, version: int, *, model_name: str, configured: str) -> dict[str, Any]:
    """Return the card of a version.

    Parameters
    ----------
    models : Path
        The registry folder.
    version : int
    model_name : str
    configured : str
        The setting `deploy`.

    Raises
    ------
    errors.NotFound
        There is no such version.
    errors.ArtifactCorrupt
        Its files are missing or altered, so that nothing can be said about it.
    """
    with db.reading() as connection:
        row = store.get(connection, version)
        standing = service.standing(connection, configured)
        notes = marks.notes(connection, version) if row is not None else []
        stretches = store.stretches_of(connection, version)
    if row is None:
        raise errors.NotFound(f"There is no version {version}. GET /models lists all.")
    return {
        "name": model_name,
        "version": version,
        "state": standing.state(row),
        "aliases": [name for name, named in standing.aliases.items() if named == version],
        "created_at": clock.iso(row.created_at),
        "kind": row.kind,
        "task": row.task,
        "parameters": row.parameters,
        "data": row.lineage,
        "metrics_on_holdout": row.metrics,
        "verdict": row.verdict,
        "parent": row.parent,
        "job_id": row.job_id,
        **_measured(models, row),
        "serving": [_stretch(one) for one in stretches],
        "notes": [{"at": clock.iso(one.at), "by": one.by, "note": one.note} for one in notes],
    }


def _stretch(row: Any) -> dict[str, Any]:
    told = {"generation": row.id, "since": clock.iso(row.since), "until": clock.iso(row.until)}
    return told | {"kind": row.kind, "by": row.by, "reason": row.reason}


def _measured(models: Path, row: store.Version) -> dict[str, Any]:
    """Return what the kept rows show; nothing for a version whose files were pruned."""
    if row.state == store.PRUNED:
        return {"measured": None, "limits": None, "libraries": None}
    folder = service.folder(models, row.version)
    manifest = artifacts.load_manifest(folder, row.files)
    schema = msgspec.convert(manifest["schema"], Schema)
    arrays = artifacts.load_reference(folder, row.files)
    found = card.measure(
        arrays["X"],
        arrays["y"],
        arrays["scores"],
        classes=np.asarray(row.parameters["classes"], dtype=np.float64),
        importance=arrays["importance"],
        columns=schema.columns,
    )
    labels = matrix.decode_label([label for label, _ in found.label_shares], schema.target)
    limits = {
        "caveat": CAVEAT,
        "ranges": [asdict(one) for one in found.ranges],
        "classes": [
            {"label": label, "share": share} for label, (_, share) in zip(labels, found.label_shares, strict=True)
        ],
        "first_event": row.lineage.get("first_event"),
        "last_event": row.lineage.get("last_event"),
    }
    shown = asdict(found)
    for name in ("ranges", "label_shares"):
        del shown[name]
    shown["importances"] = [{"name": name, "importance": value} for name, value in found.importances]
    return {"measured": shown, "limits": limits, "libraries": manifest["libraries"]}
