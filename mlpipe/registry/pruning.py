"""Files of old versions are removed; never of what serves, may be gone back to, or has a name."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from mlpipe import db
from mlpipe.db import Connection
from mlpipe.jobs import ledger
from mlpipe.registry import marks, preparations, serving, store

logger = logging.getLogger("mlpipe.retraining.pruning")

KEPT_SERVED = 5
"""Versions that served last and stay: a rollback goes back to one of them, and another one beyond it."""

HISTORY = 1000
"""Stretches of serving that are looked at."""


def prune(models: Path, *, keep: int) -> list[int]:
    """Remove the files of old versions; their rows stay, in the state ``pruned``.

    Parameters
    ----------
    models : Path
        The registry folder.
    keep : int
        Newest versions that stay in any case.

    Returns
    -------
    list of int
        The versions that were pruned now.

    Notes
    -----
    Row first, then folder: a crash between leaves a folder that the next call removes, never a version that looks
    whole and is not.
    """
    with db.transaction() as connection:
        chosen = _choose(connection, keep)
        for version in chosen:
            store.set_state(connection, version, store.PRUNED)
        if chosen:
            names = ", ".join(map(str, chosen))
            told = f"The files of {len(chosen)} old versions were removed ({names}); the newest {keep} stay, and what "
            told += "serves, may be gone back to, is proposed or has an alias."
            ledger.record(connection, "prune", told, evidence={"versions": chosen, "keep": keep})
        gone = store.in_state(connection, store.PRUNED)
    for version in gone:
        _remove(models / str(version))
    return chosen


def _choose(connection: Connection, keep: int) -> list[int]:
    """Choose while the rows of all candidates are held, so that none of them is deployed meanwhile."""
    numbers = store.with_files(connection)
    candidates = set(serving.to_prune(numbers, keep=keep, held=frozenset()))
    if not candidates:
        return []
    store.hold(connection, candidates)
    return serving.to_prune(numbers, keep=keep, held=_held(connection))


def _held(connection: Connection) -> frozenset[int]:
    history = store.history(connection, limit=HISTORY)
    wish, active, before = preparations.wanted(connection), store.active(connection), serving.previous(history)
    singles = {wish.model_version if wish else None, active.version if active else None, before}
    named = frozenset(row.model_version for row in marks.aliases(connection))
    held = named | serving.last_served(history, KEPT_SERVED) | frozenset(store.in_state(connection, store.PROPOSED))
    return held | frozenset(version for version in singles if version is not None)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as fault:
        logger.warning("models/%s cannot be removed, and is tried again after the next deploy: %s", folder.name, fault)
