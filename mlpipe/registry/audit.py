"""Do the folders hold what the rows say; and versions of other libraries, which a person may accept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlpipe import db, errors
from mlpipe.jobs import ledger
from mlpipe.registry import artifacts, rollout, store

TryOn = Callable[[int], object]
"""Loads a version and compares its answers with the stored ones; raises what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as the rows say.

    Attributes
    ----------
    version : int
    code : str
        ``missing_folder``, ``missing_file``, ``altered_file``, ``unknown_file``, ``orphan_folder``, ``pruned_folder``
        or ``not_loadable``.
    detail : str
        What it is, and what to do.
    """

    version: int
    code: str
    detail: str


def verify(models: Path, *, try_on: TryOn) -> tuple[int, list[Finding]]:
    """Check every folder against its row, and that the version that serves can be loaded; nothing is changed.

    Returns
    -------
    n_versions : int
        Versions that were looked at.
    findings : list of Finding
        Empty when all is well.
    """
    with db.reading() as connection:
        rows = store.page(connection, limit=store.MAX_VERSION)[::-1]
        active = store.active(connection)
    findings = [finding for row in rows for finding in _against(models / str(row.version), row)]
    findings += _orphans(models, {row.version for row in rows})
    if active is not None:
        findings += _loadable(active.version, try_on)
    return len(rows), findings


def _against(folder: Path, row: store.Version) -> Iterator[Finding]:
    number = row.version
    if row.state == store.PRUNED:
        if folder.exists():
            yield Finding(number, "pruned_folder", f"models/{number} is there, but its version is pruned; remove it.")
        return
    if not folder.is_dir():
        advice = "restore it from a backup, or retrain"
        yield Finding(number, "missing_folder", f"models/{number} is not there; {advice}.")
        return
    found = artifacts.digests(folder)
    for name, sha256 in row.files.items():
        place = f"models/{number}/{name}"
        if name not in found:
            yield Finding(number, "missing_file", f"{place} is not there; restore it, or retrain.")
        elif found[name] != sha256:
            told = f"{place} is not the file that was registered (sha256 differs); restore it, or retrain."
            yield Finding(number, "altered_file", told)
    for name in sorted(found.keys() - row.files.keys()):
        yield Finding(number, "unknown_file", f"models/{number}/{name} was not registered; nothing reads it.")


def _orphans(models: Path, known: set[int]) -> list[Finding]:
    told = "has no row: a crash left it, or it belongs to another database. The next retraining puts it aside."
    names = [path.name for path in sorted(models.glob("[0-9]*")) if path.is_dir() and path.name.isdigit()]
    return [Finding(int(name), "orphan_folder", f"models/{name} {told}") for name in names if int(name) not in known]


def _loadable(version: int, try_on: TryOn) -> list[Finding]:
    try:
        try_on(version)
    except errors.StoreUnavailable:
        raise
    except errors.MlpipeError as fault:
        return [Finding(version, "not_loadable", f"Version {version} serves and cannot be loaded: {fault.detail}")]
    return []


def accept(models: Path, version: int, *, by: str, try_on: TryOn) -> str:
    """Let a version be loaded under the library versions that are here, if it answers as it did.

    Parameters
    ----------
    models : Path
        The registry folder.
    version : int
    by : str
        Who decides.
    try_on : callable
        Loads the version under the present libraries.

    Returns
    -------
    str
        What was decided, in a sentence.

    Raises
    ------
    errors.NotFound, errors.VersionPruned
        There is no such version, or its files were removed.
    errors.ArtifactCorrupt
        It cannot be loaded, or it answers otherwise: it is not accepted.
    """
    with db.reading() as connection:
        row = store.get(connection, version)
    if row is None:
        raise errors.NotFound(f"There is no version {version}. GET /models lists all.")
    if row.state == store.PRUNED:
        raise rollout.pruned(version)
    here = artifacts.libraries()
    fitted = artifacts.load_manifest(models / str(version), row.files)["libraries"]
    if fitted["scikit-learn"] == here["scikit-learn"]:
        return (
            f"Version {version} was fitted with scikit-learn {here['scikit-learn']}, which is here: nothing to accept."
        )
    try_on(version)
    sentence = (
        f"Version {version}, fitted with scikit-learn {fitted['scikit-learn']}, was accepted under "
        f"{here['scikit-learn']} by {by}: it answers its smoke rows as it did."
    )
    with db.transaction() as connection:
        store.accept(connection, version, here)
        ledger.record(connection, "accept", sentence, model_version=version, evidence={"fitted": fitted, "here": here})
    return sentence
