"""Files of revisions: a model, and now and then the whole state, beside the files of their version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mlpipe.registry import artifacts

FOLDER = "revisions"
START = "start.npz"
"""Name, in the version's own folder, of the state that learning starts from."""

KEPT = 10
"""Newest revisions whose model files are kept: a worker that is slow to look still finds what it was told of."""

KEPT_CHECKPOINTS = 5
"""Newest states that one can go back to, besides the start."""

SPARE_CHECKPOINTS = 3
"""Older ones that are kept besides: somebody may go back to the oldest just when newer ones are published."""

Arrays = dict[str, NDArray[Any]]


def model_name(revision: int) -> str:
    """Return the name of a revision's model file."""
    return f"{revision}.joblib"


def checkpoint_name(revision: int) -> str:
    """Return the name of a revision's checkpoint."""
    return f"{revision}.npz"


def model_path(version_folder: Path, revision: int) -> Path:
    """Return where a revision's model lies."""
    return version_folder / FOLDER / model_name(revision)


def write(version_folder: Path, revision: int, estimator: Any, checkpoint: Arrays | None) -> dict[str, str]:
    """Write a revision's files whole, and return their sha256 by name."""
    folder = version_folder / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    dumps: dict[str, Callable[[Path], None]] = {
        model_name(revision): lambda path: artifacts.dump_model(estimator, path)
    }
    if checkpoint is not None:
        dumps[checkpoint_name(revision)] = lambda path: artifacts.dump_arrays(checkpoint, path)
    return {name: artifacts.write_whole(folder / name, dump) for name, dump in dumps.items()}


def load_model(version_folder: Path, revision: int, files: Mapping[str, str]) -> Any:
    """Read a revision's model.

    Raises
    ------
    errors.ArtifactCorrupt
        The file is missing or altered.
    """
    return artifacts.load_model(version_folder / FOLDER, model_name(revision), files)


def load_checkpoint(version_folder: Path, revision: int, files: Mapping[str, str]) -> Arrays:
    """Read the state of a revision; 0 is the one that the version started from.

    Parameters
    ----------
    version_folder : Path
    revision : int
    files : mapping of str to str
        File name -> sha256, of the revision, or of the version for 0.

    Raises
    ------
    errors.ArtifactCorrupt
        The file is missing or altered.
    """
    if not revision:
        return artifacts.load_verified_arrays(version_folder, START, files)
    return artifacts.load_verified_arrays(version_folder / FOLDER, checkpoint_name(revision), files)


def prune(version_folder: Path, *, newest_revision: int) -> None:
    """Remove the files of old revisions; the last checkpoints stay."""
    paths = sorted((version_folder / FOLDER).glob("*.*"), key=_number)
    models = [path for path in paths if path.suffix == ".joblib"]
    checkpoints = [path for path in paths if path.suffix == ".npz"]
    for path in [*models[:-KEPT], *checkpoints[: -KEPT_CHECKPOINTS - SPARE_CHECKPOINTS]]:
        if _number(path) < newest_revision:
            path.unlink(missing_ok=True)


def _number(path: Path) -> int:
    return int(path.stem) if path.stem.isdigit() else -1
