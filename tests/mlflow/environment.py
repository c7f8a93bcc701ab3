"""An environment of its own with a real MLflow: made once, kept in a cache. ``python -m tests.mlflow.environment``."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.server import CHECKOUT

RELEASE = "3.17.2"
SHARED = ("numpy", "pandas", "scikit-learn", "scipy", "joblib")
"""Packages that must be the releases of mlpipe itself: a pickle is read by the release that wrote it."""


def pins() -> list[str]:
    """Return what is installed, each with its release."""
    lines = (CHECKOUT / "requirements.txt").read_text().splitlines()
    return [f"mlflow=={RELEASE}", *(line for line in lines if line.partition("==")[0] in SHARED)]


def folder() -> Path:
    """Return where it is kept; the variable ``TESTS_CACHE`` moves it."""
    cache = os.environ.get("TESTS_CACHE") or Path.home() / ".cache" / "mlpipe-tests"
    return Path(cache) / f"mlflow-{RELEASE}-python{sys.version_info.major}.{sys.version_info.minor}"


def python() -> Path:
    """Return the interpreter, making the environment where it is missing or has other releases."""
    place, wanted = folder(), "\n".join(pins())
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        done = place / "done.txt"
        if not done.exists() or done.read_text() != wanted:
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", place], check=True)
            pip = [place / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *pins()], check=True)
            done.write_text(wanted)
    return place / "bin" / "python"


if __name__ == "__main__":
    print(python())  # noqa: T201
