"""The training process: spawned, nice, limited, and gone when it is done.

Parent and child share a work folder: ``task.json`` and ``window.npz`` go in, ``model.joblib`` and ``scores.npz`` come
out. The parent only waits; when the child dies, serving does not notice.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from mlpipe import cores, errors
from mlpipe.prediction import forest
from mlpipe.registry import artifacts, revision_files
from mlpipe.retraining import evaluate, fit, importance, learnable, roll, search
from mlpipe.rolling import checkpoint
from mlpipe.rolling.state import State

Floats = NDArray[np.float64]

TASK = "task.json"
WINDOW = "window.npz"
SCORES = "scores.npz"
CHAMPION = "champion.joblib"
OUTPUT = "output.txt"

POLL_S = 0.1
BEAT_S = 1.0
NICENESS = 19
SHOWN_OUTPUT = 600
"""Characters of a failed child's last words that the error repeats."""

REFUSED = 3
"""Exit code of a child whose last line says, for a person, why there is no model."""

CHECKOUT = Path(__file__).resolve().parent.parent.parent


class Cancelled(Exception):
    """Somebody asked to stop the job, or it belongs to another process by now."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a champion has become by learning lies beside the task, with this sha256; empty if it is as it was."""

    sha256: str


class Stopped(Exception):
    """The server is told to end; somebody else will do the job."""


def write_task(  # noqa: PLR0913  all that the other process is told
    work: Path,
    *,
    X: Floats,
    y: Floats,
    holdout: NDArray[np.bool_],
    task: str,
    parameters: fit.Parameters,
    champion: tuple[Path, dict[str, str], dict[str, str] | None] | None,
    fresh: NDArray[np.bool_] | None = None,
    policy: str = "newest",
    search_s: float = 0.0,
    learned: Learned | None = None,
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
        Kind, seed and the rest.
    champion : (Path, dict, dict or None) or None
        Folder, digests and accepted library versions of the version to compare with.
    fresh : bool (n,), optional
        Rows that are new to the champion; the holdout where it is not given.
    policy : str
        "auto" compares windows.
    search_s : float
        Seconds for comparing windows and options; 0 leaves options as they are.
    learned : Learned, optional
        What the champion has become by learning since it was registered.
    """
    fresh = holdout if fresh is None else fresh
    artifacts.dump_arrays({"X": X, "y": y, "holdout": holdout, "fresh": fresh}, work / WINDOW)
    spec: dict[str, Any] = {"task": task, "parameters": asdict(parameters), "champion": None}
    spec |= {"policy": policy, "search_s": search_s}
    if champion is not None:
        spec["champion"] = {"folder": str(champion[0]), "files": champion[1], "accepted": champion[2]}
        spec["champion"]["learned"] = None if learned is None else asdict(learned)
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
        _end_all(process)
    if process.returncode != 0 or not (work / SCORES).exists():
        raise errors.FitFailed(_why(process.returncode, (work / OUTPUT).read_text(errors="replace"), memory_mb))
    return artifacts.load_arrays(work / SCORES)


def _end_all(process: subprocess.Popen[bytes]) -> None:
    """End the fit and whatever it has started: they share a process group, which is the child's own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


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
    if returncode == REFUSED:
        return output.strip().splitlines()[-1]
    if returncode < 0:
        name = signal.Signals(-returncode).name
        often = "; often the machine ran out of memory" if name == "SIGKILL" else "; compiled code has crashed in it"
        return f"The training process was killed by {name}{often}."
    if "MemoryError" in output:
        return (
            f"The fit needed more than its {memory_mb} MB. Raise MLPIPE_FIT_MEMORY_MB or lower MLPIPE_TRAINING_WINDOW."
        )
    said = output.strip()[-SHOWN_OUTPUT:] or "it said nothing"
    return f"The training process ended with code {returncode} and left no model: {said}"


# The child's side -----------------------------------------------------------------------------------------------


def _die_with(parent: int) -> None:
    """End this process when its parent has died: nobody waits for the result any more."""
    while os.getppid() == parent:
        time.sleep(BEAT_S)
    os.killpg(os.getpgrp(), signal.SIGKILL)  # with whatever the fit has started


def main(work: Path, memory_mb: int) -> None:
    """Fit on the older rows, score both models on the newest, refit on all, write."""
    os.nice(NICENESS)
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    if memory_mb:
        limit = memory_mb * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    spec = orjson.loads((work / TASK).read_bytes())
    try:
        _work(work, spec, artifacts.load_arrays(work / WINDOW))
    except errors.FitFailed as fault:
        traceback.print_exc()
        print(" ".join(fault.detail.split()))  # noqa: T201  its parent reads the last line
        sys.exit(REFUSED)


def _work(work: Path, spec: dict[str, Any], window: dict[str, NDArray[Any]]) -> None:
    wanted = spec["parameters"] | {"categories": tuple(spec["parameters"]["categories"])}
    task: fit.Task = spec["task"]
    made = _MADE.get(wanted["kind"], _fitted)(spec, window, fit.Parameters(**wanted))
    found, seed = made.found, wanted["random_state"]
    if not np.isfinite(found["challenger_scores"]).all():
        raise errors.FitFailed(f"The {made.kind} answers NaN or infinity on rows of the holdout.")
    X, y = window["X"][-made.rows :], window["y"][-made.rows :]
    classes, holdout = found["classes"], window["holdout"][-made.rows :]
    found["whole_scores"] = fit.score(made.model, X, classes)
    found["importance"] = importance.importance(made.model, X[holdout], y[holdout], classes, seed=seed)
    found["smoke_scores"] = fit.score(made.model, X[-SMOKE_ROWS:], classes)
    found |= {"used": np.array(made.rows), "kind": np.array(made.kind), "note": np.array(made.note)}
    artifacts.dump_model(made.model, work / artifacts.MODEL)
    if made.state is not None:
        artifacts.dump_arrays(checkpoint.pack(made.state), work / revision_files.START)
    found |= _cost("challenger", made.model, X, work / artifacts.MODEL)
    if spec["champion"] is not None:
        found |= _champion(work, spec["champion"], window, task=task, seed=seed)
    artifacts.dump_arrays(found, work / SCORES)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A model that is ready, of which kind, on how many of the newest rows, and what it has shown."""

    kind: str
    model: Any
    rows: int
    found: dict[str, Any]
    state: State | None = None
    note: str = ""


def _fitted(spec: dict[str, Any], window: dict[str, NDArray[Any]], wanted: fit.Parameters) -> _Made:
    """Fit on the older rows, answer the holdout, refit on all."""
    X, y, holdout = window["X"], window["y"], window["holdout"]
    task: fit.Task = spec["task"]
    n_jobs = os.cpu_count()
    chosen = _choose(spec, X[~holdout], y[~holdout], wanted, n_jobs=n_jobs)
    # the holdout stays; of the rows before it those that the chosen window leaves out go
    used = min(len(y), chosen.rows + int(holdout.sum())) if chosen.rows else len(y)
    X, y, holdout = X[-used:], y[-used:], holdout[-used:]
    how: dict[str, Any] = {"task": task, "parameters": chosen.parameters, "n_jobs": n_jobs}
    found: dict[str, Any] = {"classes": _classes(y, task), "chosen": np.array(orjson.dumps(asdict(chosen)).decode())}
    found |= _scores("challenger", fit.fit(X[~holdout], y[~holdout], **how), X[holdout])
    found["cross_scores"] = fit.cross_scores(X, y, **how)
    return _Made(kind=chosen.parameters.kind, model=fit.fit(X, y, **how), rows=used, found=found)


def _rolled(spec: dict[str, Any], window: dict[str, NDArray[Any]], wanted: fit.Parameters) -> _Made:
    """Let a rolling forest answer and learn the window in order."""
    X, y, holdout = window["X"], window["y"], window["holdout"]
    task: fit.Task = spec["task"]
    wanted = replace(wanted, kind=roll.KIND)
    n = roll.n_first(len(y), holdout)
    rolled = roll.roll(X, y, first=n, task=task, parameters=wanted, fresh=spec["champion"] is None)
    classes = _classes(y, task)
    # nobody has answered the first rows; they are cross-fitted, and no reference for drift
    plain = replace(wanted, kind="forest")
    first = fit.cross_scores(X[:n], y[:n], task=task, parameters=plain, classes=classes)
    found: dict[str, Any] = {
        "classes": classes,
        "chosen": np.array(orjson.dumps(asdict(search.Choice(rows=0, parameters=wanted))).decode()),
        "challenger_scores": rolled.scores[holdout[n:]],
        "challenger_classes": classes,
        "cross_scores": np.concatenate([first, rolled.scores]),
        "honest_from": np.array(n),
    }
    return _Made(kind=roll.KIND, model=rolled.model, rows=len(y), found=found, state=rolled.state)


def _better(spec: dict[str, Any], window: dict[str, NDArray[Any]], wanted: fit.Parameters) -> _Made:
    """Make a rolling forest and gradient boosting; return the one with the lower log loss on the holdout.

    Where a rolling forest serves, boosting alone is tried: what a rolling forest can do is seen in what it does.
    """
    boosting = _fitted(spec, window, replace(wanted, kind="hist_gradient_boosting"))
    champion = spec["champion"]
    if champion is not None and champion["learned"] is not None:
        return boosting
    rolled = _rolled(spec, window, wanted)
    kind = "log_loss" if spec["task"] == "classification" else "absolute"
    y = window["y"]
    loss = {
        made.kind: evaluate.losses(
            y[-made.rows :][window["holdout"][-made.rows :]],
            made.found["challenger_scores"],
            made.found["challenger_classes"],
            kind=kind,
        ).mean()
        for made in (boosting, rolled)
    }
    best = min((rolled, boosting), key=lambda made: loss[made.kind])
    told = " and ".join(f"{name} {value:.4f}" for name, value in loss.items())
    return replace(best, note=f"Of the kinds compared, {best.kind} has the lower {evaluate.LOSSES[kind]}: {told}.")


_MADE = {roll.KIND: _rolled, "auto": _better}
"""Kinds that are more than an estimator."""


def _classes(y: Floats, task: fit.Task) -> Floats:
    return np.unique(y) if task == "classification" else np.empty(0)


def _choose(spec: dict[str, Any], X: Floats, y: Floats, wanted: fit.Parameters, *, n_jobs: int | None) -> search.Choice:
    """Compare windows, then options, until the time is over."""
    chosen = search.Choice(rows=0, parameters=wanted)
    until = time.monotonic() + (spec["search_s"] or WINDOWS_S)
    how: dict[str, Any] = {
        "task": spec["task"],
        "may_go_on": lambda: time.monotonic() < until,
        "n_jobs": n_jobs,
    }
    if spec["policy"] == "auto":
        chosen = search.choose(X, y, first=chosen, candidates=search.over_windows(len(y), chosen), **how)
    if spec["search_s"]:
        chosen = search.choose(X, y, first=chosen, candidates=search.over_options(chosen), **how)
    return chosen


WINDOWS_S = 120.0
"""Most seconds for comparing windows where no time for a search is set: three fits of 10,000 rows take some ten."""


def _champion(
    work: Path, champion: dict[str, Any], window: dict[str, NDArray[Any]], *, task: fit.Task, seed: int
) -> dict[str, Any]:
    """Score the champion, or say why it cannot be: a damaged model must not keep a new one from being made."""
    folder = Path(champion["folder"])
    try:
        kept = artifacts.load(folder, champion["files"], accepted=champion["accepted"]).estimator
        if champion["learned"] and champion["learned"]["sha256"]:
            kept = artifacts.load_model(work, CHAMPION, {CHAMPION: champion["learned"]["sha256"]})
    except errors.ArtifactCorrupt as fault:
        return {"champion_fault": np.array(fault.detail)}
    X, y, recent = window["X"], window["y"], learnable.recent(window["fresh"])
    found = _scores("champion", kept, X[window["holdout"]]) | _cost("champion", kept, X, folder / artifacts.MODEL)
    if recent.sum() < 2:
        return found
    answers = kept.predict(X[recent])
    is_classifier = task == "classification"
    found["champion_errors"] = learnable.errors(y[recent], answers, is_classifier)
    found["probe_errors"] = learnable.probe_errors(X[recent], y[recent], classification=is_classifier, seed=seed)
    return found


def _cost(name: str, estimator: Any, X: Floats, path: Path) -> dict[str, Any]:
    """Measure what serving a model costs: the quickest of some requests of fifty rows, and the file."""
    score = forest.compile_estimator(estimator)
    seconds = []
    for _ in range(TIMED):
        began = time.perf_counter()
        score(X[-SMOKE_ROWS:])
        seconds.append(time.perf_counter() - began)
    return {f"{name}_s": np.array(min(seconds)), f"{name}_bytes": np.array(path.stat().st_size)}


TIMED = 5
"""Requests of which the quickest counts; the others were disturbed."""

SMOKE_ROWS = 50
"""Rows whose answers are stored with the version and compared at every load."""


def _scores(name: str, estimator: Any, X: Floats) -> dict[str, Any]:
    classes = np.asarray(getattr(estimator, "classes_", np.empty(0)), dtype=np.float64)
    return {f"{name}_scores": fit.score(estimator, X, classes), f"{name}_classes": classes}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
