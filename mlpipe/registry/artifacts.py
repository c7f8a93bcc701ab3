"""The folder side of the registry: files are written whole, and checked before they are unpickled.

A version's folder is built beside its place, synced, renamed. joblib is used here and nowhere else.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import orjson
import sklearn
from numpy.typing import NDArray

from mlpipe import errors

MODEL = "model.joblib"
MANIFEST = "manifest.json"
REFERENCE = "reference.npz"
SMOKE = "smoke.npz"
ORPHANS = ".orphans"

SMOKE_TOLERANCE = 1e-12
"""Largest difference between a loaded model's answers and those stored with it: the same library must agree."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a version's folder holds.

    Attributes
    ----------
    estimator : object
        The fitted scikit-learn estimator.
    manifest : dict
        Schema, parameters, metrics, lineage, library versions.
    smoke_X : float64 (n, d)
        Rows to try the model on.
    smoke_scores : float64 (n, k) or (n,)
        What it must answer.
    """

    estimator: Any
    manifest: dict[str, Any]
    smoke_X: NDArray[np.float64]
    smoke_scores: NDArray[np.float64]


def libraries() -> dict[str, str]:
    """Return the versions that a pickle depends on."""
    return {
        "python": platform.python_version(),
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "joblib": joblib.__version__,
    }


def dump_model(estimator: Any, path: Path) -> None:
    """Write an estimator to a file that nobody reads yet."""
    joblib.dump(estimator, path, compress=3)


def dump_arrays(arrays: Mapping[str, Any], path: Path) -> None:
    """Write named arrays to a file that nobody reads yet."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read named arrays; pickled objects are refused."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def write_manifest(manifest: Mapping[str, Any], folder: Path) -> None:
    """Write the manifest into a folder that is being built."""
    text = orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)
    (folder / MANIFEST).write_bytes(text)


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write further files, by name, into a folder that is being built."""
    for name, content in files.items():
        (folder / name).write_bytes(content)


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of a folder, by name."""
    return {path.name: _digest(path.read_bytes()) for path in sorted(folder.iterdir()) if path.is_file()}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def publish(built: Path, place: Path) -> None:
    """Move a folder to its place so that it is there whole or not at all.

    Notes
    -----
    Each file and both folders are synced; a folder in the way has no row (a crash left it) and is removed.
    """
    for path in built.iterdir():
        path.chmod(0o600)
        _sync(path)
    built.chmod(0o700)
    _sync(built)
    if place.exists():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    built.rename(place)
    _sync(place.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load(folder: Path, files: Mapping[str, str], *, accepted: Mapping[str, str] | None = None) -> Contents:
    """Read a version's folder, checking before believing.

    Parameters
    ----------
    folder : Path
        The version's folder.
    files : mapping of str to str
        File name -> sha256, from the version's row.
    accepted : mapping of str to str, optional
        Library versions under which a person has accepted it, from the version's row.

    Raises
    ------
    errors.ArtifactCorrupt
        A file is missing or altered, or scikit-learn is neither the one that the model was fitted with nor accepted.
    """
    manifest = load_manifest(folder, files)
    _check_libraries(folder, manifest, accepted or {})
    smoke = np.load(io.BytesIO(verified(folder, SMOKE, files)), allow_pickle=False)
    return Contents(load_model(folder, MODEL, files), manifest, smoke["X"], smoke["scores"])


def load_manifest(folder: Path, files: Mapping[str, str]) -> dict[str, Any]:
    """Read the manifest of a version; see `load` for what is checked."""
    manifest: dict[str, Any] = orjson.loads(verified(folder, MANIFEST, files))
    return manifest


def _unpickle(folder: Path, content: bytes) -> Any:
    try:
        return joblib.load(io.BytesIO(content))
    except (ImportError, AttributeError) as fault:
        raise errors.ArtifactCorrupt(
            f"Version {folder.name} needs code that cannot be imported here: {fault}. A model of your own is stored by "
            "the name of its class: install that module beside mlpipe, or put it on PYTHONPATH."
        ) from fault


def load_reference(folder: Path, files: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Read the drift reference of a version; see `load` for what is checked."""
    return load_verified_arrays(folder, REFERENCE, files)


def load_verified_arrays(folder: Path, name: str, files: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Read named arrays from a file whose sha256 must be the registered one."""
    with np.load(io.BytesIO(verified(folder, name, files)), allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def load_model(folder: Path, name: str, files: Mapping[str, str]) -> Any:
    """Read an estimator from a file whose sha256 must be the registered one."""
    return _unpickle(folder, verified(folder, name, files))


def write_whole(path: Path, dump: Callable[[Path], None]) -> str:
    """Write a file beside its place, sync it and move it there, so that nobody sees half of it; return its sha256."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    dump(part)
    part.chmod(0o600)
    _sync(part)
    digest = _digest(part.read_bytes())
    part.rename(path)
    _sync(path.parent)
    return digest


def verified(folder: Path, name: str, files: Mapping[str, str]) -> bytes:
    """Return the content of one file of a version; see `load` for what is checked."""
    try:
        content = (folder / name).read_bytes()
    except OSError as fault:
        raise errors.ArtifactCorrupt(
            f"{folder.name}/{name} cannot be read ({fault.strerror}). Restore the models folder, or retrain."
        ) from fault
    if _digest(content) != files.get(name):
        raise errors.ArtifactCorrupt(
            f"{folder.name}/{name} is not the file that was registered (sha256 differs). It was not loaded; "
            "restore it, activate another version, or retrain."
        )
    return content


def _check_libraries(folder: Path, manifest: Mapping[str, Any], accepted: Mapping[str, str]) -> None:
    fitted = manifest["libraries"]["scikit-learn"]
    if sklearn.__version__ not in {fitted, accepted.get("scikit-learn")}:
        raise errors.ArtifactCorrupt(
            f"Version {folder.name} was fitted with scikit-learn {fitted}, here is {sklearn.__version__}. Install that "
            f"release, or retrain (POST /retraining/jobs), or run: flask mlpipe accept-versions {folder.name}, which "
            "tries it under the present one and keeps your decision."
        )


def check_answers(contents: Contents, scores: NDArray[np.float64], *, name: str) -> None:
    """Compare a loaded model's answers with the stored ones.

    Raises
    ------
    errors.ArtifactCorrupt
        They differ by more than `SMOKE_TOLERANCE`.
    """
    if scores.shape != contents.smoke_scores.shape or not np.allclose(
        scores, contents.smoke_scores, rtol=SMOKE_TOLERANCE, atol=SMOKE_TOLERANCE
    ):
        raise errors.ArtifactCorrupt(
            f"Version {name} answers otherwise than when it was registered; it is not served. Retrain."
        )


def tidy(models: Path, known: set[int]) -> list[str]:
    """Put folders of versions aside that have no row, and return their names.

    Notes
    -----
    Usually a crash has left them; but they may belong to another database that uses the same folder, so they are
    moved to ``.orphans``, not removed.
    """
    moved = []
    for path in sorted(models.glob("[0-9]*")):
        if path.is_dir() and path.name.isdigit() and int(path.name) not in known:
            aside = models / ORPHANS / f"{path.name}-{time.time_ns()}"
            aside.parent.mkdir(exist_ok=True)
            path.rename(aside)
            moved.append(path.name)
    return moved


def digest_arrays(*arrays: NDArray[Any]) -> str:
    """Return one sha256 over the contents of several arrays."""
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()
