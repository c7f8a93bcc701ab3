"""The training process: spawned, nice, limited, and gone when it is done.

Parent and child share a work folder: ``task.json`` and ``window.npz`` go in, ``model.joblib`` and ``scores.npz`` come
out. The parent only waits; when the child dies, serving does not notice.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from mlpipe import cores, errors
from mlpipe.registry import artifacts
from mlpipe.retraining import fit

Floats = NDArray[np.float64]

TASK = "task.json"
WINDOW = "window.npz"
SCORES = "scores.npz"
OUTPUT = "output.txt"

POLL_S = 0.1
BEAT_S = 1.0
NICENESS = 19
SHOWN_OUTPUT = 600
"""Characters of a failed child's last words that the error repeats."""

CHECKOUT = Path(__file__).resolve().parent.parent.parent


class Cancelled(Exception):
    """Somebody asked to stop the job, or it belongs to another process by now."""


class Stopped(Exception):
    """The server is told to end; somebody else will do the job."""


def write_task(
    work: Path,
    *,
    X: Floats,
    y: Floats,
    holdout: NDArray[np.bool_],
    task: str,
    parameters: fit.Parameters,
    champion: tuple[Path, dict[str, str], dict[str, str] | None] | None,
) -> None:
    """Lay out the work folder of a fit.

    Parameters
    ----------
    work : Path
        An empty folder.
    X, y : float64 (n, d), (n,)
        The window, oldest row first.
    holdout : bool (n,)
        Rows on which champion and challenger are compared; the deployed model is refitted with them.
    task : {"classification", "regression"}
        Kind of the forest.
    parameters : fit.Parameters
        Trees, depth, seed.
    champion : (Path, dict, dict or None) or None
        Folder, digests and accepted library versions of the version to compare with.
    """
    artifacts.dump_arrays({"X": X, "y": y, "holdout": holdout}, work / WINDOW)
    spec: dict[str, Any] = {"task": task, "parameters": asdict(parameters), "champion": None}
    if champion is not None:
        spec["champion"] = {"folder": str(champion[0]), "files": champion[1], "accepted": champion[2]}
    (work / TASK).write_bytes(orjson.dumps(spec))


def run(work: Path, *, timeout_s: float, memory_mb: int, beat: Callable[[], bool | None]) -> dict[str, NDArray[Any]]:
    """Fit in a process of its own and return its scores.

    Parameters
    ----------
    work : Path
        As laid out by `write_task`; holds ``model.joblib`` afterwards.
    timeout_s : float
        Longest time.
    memory_mb : int
        Most address space; 0 is no limit.
    beat : callable
        Called about once a second; True asks to stop, None says that the job is no longer ours.

    Raises
    ------
    errors.FitFailed
        The process failed, was killed, or took too long; says which.
    Cancelled
        `beat` asked to stop.
    """
    command = [sys.executable, "-m", "mlpipe.retraining.child", str(work), str(memory_mb)]
    with (work / OUTPUT).open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  our own module with our own paths
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=CHECKOUT, start_new_session=True
        )
    cores.keep_to(cores.ALLOWED, process=process.pid)  # the worker keeps to one, a fit takes what it may
    try:
        _wait(process, timeout_s=timeout_s, beat=beat)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise errors.FitFailed(_why(process.returncode, (work / OUTPUT).read_text(errors="replace"), memory_mb))
    return artifacts.load_arrays(work / SCORES)


def _wait(process: subprocess.Popen[bytes], *, timeout_s: float, beat: Callable[[], bool | None]) -> None:
    started = next_beat = time.monotonic()
    while process.poll() is None:
        if time.monotonic() >= next_beat:
            if beat() is not False:
                raise Cancelled
            next_beat = time.monotonic() + BEAT_S
        if time.monotonic() - started > timeout_s:
            raise errors.FitFailed(
                f"The fit took longer than {timeout_s:g} s and was stopped. Raise MLPIPE_FIT_TIMEOUT_S or lower "
                "MLPIPE_TRAINING_WINDOW."
            )
        time.sleep(POLL_S)


def _why(returncode: int, output: str, memory_mb: int) -> str:
    if returncode < 0:
        name = signal.Signals(-returncode).name
        return f"The training process was killed by {name}; often the machine ran out of memory."
    if "MemoryError" in output:
        return (
            f"The fit needed more than its {memory_mb} MB. Raise MLPIPE_FIT_MEMORY_MB or lower MLPIPE_TRAINING_WINDOW."
        )
    return f"The training process ended with code {returncode}: {output.strip()[-SHOWN_OUTPUT:]}"


# The child's side -----------------------------------------------------------------------------------------------


def _die_with(parent: int) -> None:
    """End this process when its parent has died: nobody waits for the result any more."""
    while os.getppid() == parent:
        time.sleep(BEAT_S)
    os._exit(1)


def main(work: Path, memory_mb: int) -> None:
    """Fit on the older rows, score both models on the newest, refit on all, write."""
    os.nice(NICENESS)
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    if memory_mb:
        limit = memory_mb * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    spec = orjson.loads((work / TASK).read_bytes())
    window = artifacts.load_arrays(work / WINDOW)
    X, y, holdout = window["X"], window["y"], window["holdout"]
    parameters = fit.Parameters(**spec["parameters"])
    task: fit.Task = spec["task"]
    n_jobs = os.cpu_count()
    classes = np.unique(y) if task == "classification" else np.empty(0)
    found: dict[str, Any] = {"classes": classes}
    if spec["champion"] is not None:
        found |= _champion_scores(spec["champion"], X[holdout])
    trial = fit.fit(X[~holdout], y[~holdout], task=task, parameters=parameters, n_jobs=n_jobs)
    found |= _scores("challenger", trial, X[holdout])
    whole = fit.fit(X, y, task=task, parameters=parameters, n_jobs=n_jobs)
    found["importance"] = whole.feature_importances_
    found["smoke_scores"] = fit.score(whole, X[-SMOKE_ROWS:], classes)
    found["cross_scores"] = fit.cross_scores(X, y, task=task, parameters=parameters, n_jobs=n_jobs)
    artifacts.dump_model(whole, work / artifacts.MODEL)
    artifacts.dump_arrays(found, work / SCORES)


def _champion_scores(champion: dict[str, Any], X: Floats) -> dict[str, Any]:
    """Score the champion, or say why it cannot be: a damaged model must not keep a new one from being made."""
    try:
        kept = artifacts.load(Path(champion["folder"]), champion["files"], accepted=champion["accepted"])
    except errors.ArtifactCorrupt as fault:
        return {"champion_fault": np.array(fault.detail)}
    return _scores("champion", kept.estimator, X)


SMOKE_ROWS = 50
"""Rows whose answers are stored with the version and compared at every load."""


def _scores(name: str, estimator: Any, X: Floats) -> dict[str, Any]:
    classes = np.asarray(getattr(estimator, "classes_", np.empty(0)), dtype=np.float64)
    return {f"{name}_scores": fit.score(estimator, X, classes), f"{name}_classes": classes}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
