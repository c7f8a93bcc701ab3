"""What a version came from, short enough to be stored with it: numbers as stretches, the code, the settings."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mlpipe
from mlpipe.settings import Settings

PACKAGE = Path(mlpipe.__file__).resolve().parent

NAMES = (
    "training_window",
    "holdout_share",
    "holdout_max",
    "n_estimators",
    "max_depth",
    "random_state",
    "window_size",
    "reference_size",
    "n_bins",
)
"""Settings that make a version what it is."""


def runs(numbers: NDArray[np.int64]) -> list[list[int]]:
    """Return positive whole numbers as stretches [first, last], ascending; zeros are left out.

    Examples
    --------
    >>> runs(np.array([5, 0, 3, 4, 9]))
    [[3, 5], [9, 9]]
    """
    there = np.unique(numbers[numbers > 0])
    parts = np.split(there, np.flatnonzero(np.diff(there) > 1) + 1)
    return [[int(part[0]), int(part[-1])] for part in parts if len(part)]


@functools.cache
def code() -> dict[str, str]:
    """Return the package's version and one hash of its sources: an edited checkout is another code."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE)}\0{path.read_text()}\0".encode())
    return {"version": mlpipe.__version__, "sources_sha256": digest.hexdigest()}


def settings(given: Settings) -> dict[str, Any]:
    """Return the settings that make a version what it is."""
    return {name: getattr(given, name) for name in NAMES}
