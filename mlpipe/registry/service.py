"""Register, activate, roll back."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from mlpipe import db, errors
from mlpipe.db import Connection
from mlpipe.incidents import kinds
from mlpipe.incidents import store as incidents
from mlpipe.jobs import ledger
from mlpipe.registry import artifacts, store


def folder(models: Path, version: int) -> Path:
    """Return the folder of a version."""
    return models / str(version)


def activate(version: int, *, by: str, reason: str) -> int:
    """Let an earlier version serve.

    Returns
    -------
    int
        The new generation.

    Raises
    ------
    errors.NotFound
        There is no such version.
    errors.DeployConflict
        It serves already, or another deploy won.
    """
    with db.transaction() as connection:
        if store.get(connection, version) is None:
            raise errors.NotFound(f"There is no version {version}. GET /models lists all.")
        return deploy(connection, version, by=by, reason=reason)


def rollback(*, by: str, reason: str) -> tuple[int, int]:
    """Let the version serve that served before the present one.

    Returns
    -------
    version, generation : int

    Raises
    ------
    errors.DeployConflict
        No other version ever served.
    """
    with db.transaction() as connection:
        now = store.active(connection)
        target = _earlier(store.history(connection, limit=1000)) if now else None
        if now is None or target is None:
            raise errors.DeployConflict("No earlier version has served, so there is nothing to roll back to.")
        reason = f"Rolled back from version {now.version}: {reason}"
        return target, deploy(connection, target, by=by, reason=reason, kind="rollback")


def _earlier(history: list[Any]) -> int | None:
    """Return the newest version that served before the present one and was not left by a rollback."""
    left = {history[0].model_version}
    for newer, older in itertools.pairwise(history):
        if newer.kind == "rollback":
            left.add(older.model_version)
    return next((row.model_version for row in history if row.model_version not in left), None)


def deploy(
    connection: Connection,
    version: int,
    *,
    by: str,
    reason: str,
    job_id: int | None = None,
    kind: str = "deploy",
) -> int:
    """Switch inside the caller's transaction and leave a sentence; see `activate` for what it raises."""
    now = store.active(connection)
    if now is not None and now.version == version:
        raise errors.DeployConflict(f"Version {version} serves already.", current_version=version)
    generation = store.switch(
        connection,
        version,
        expected=now.generation if now else None,
        kind=kind,
        by=by,
        reason=reason,
        job_id=job_id,
    )
    if generation is None:
        raise errors.DeployConflict("Another deploy won; look at GET /models for what serves now.")
    sentence = f"Version {version} serves" + (f" instead of version {now.version}" if now else "") + f". {reason}"
    ledger.record(connection, kind, sentence, model_version=version, job_id=job_id)
    incidents.resolve(connection, kinds.QUALITY, f"Version {version} serves now; its own labels will tell.")
    return generation


def tidy(models: Path) -> list[str]:
    """Put folders without a row aside; the caller must know that nobody registers now."""
    with db.reading() as connection:
        return artifacts.tidy(models, store.numbers(connection))
