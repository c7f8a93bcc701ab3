from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest

from mlpipe import errors
from mlpipe.registry import artifacts
from mlpipe.retraining import child, fit


def work_folder(tmp_path: Path, **changes: object) -> Path:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 3))
    task = {"X": X, "y": (X[:, 0] > 0) * 1.0, "holdout": np.arange(300) >= 240, "task": "classification"}
    parameters = fit.Parameters(n_estimators=10, max_depth=4)
    child.write_task(tmp_path, **(task | {"parameters": parameters, "champion": None} | changes))
    return tmp_path


def run(work: Path, *, timeout_s: float = 60, memory_mb: int = 0, asked: bool | None = False) -> child.artifacts.Any:
    return child.run(work, timeout_s=timeout_s, memory_mb=memory_mb, beat=lambda: asked)


def test_a_fit_leaves_a_model_and_scores_of_rows_it_has_not_seen(tmp_path: Path) -> None:
    scores = run(work_folder(tmp_path))
    assert scores["challenger_scores"].shape == (60, 2)
    assert scores["cross_scores"].shape == (300, 2)
    assert (tmp_path / artifacts.MODEL).exists()


def test_a_fit_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    work = work_folder(tmp_path, parameters=fit.Parameters(n_estimators=100_000))
    with pytest.raises(errors.FitFailed, match="longer than 1 s"):
        run(work, timeout_s=1)


def test_a_fit_is_stopped_when_somebody_asks(tmp_path: Path) -> None:
    work = work_folder(tmp_path, parameters=fit.Parameters(n_estimators=100_000))
    with pytest.raises(child.Cancelled):
        run(work, asked=True)


def test_a_fit_that_needs_too_much_memory_says_so(tmp_path: Path) -> None:
    big = np.zeros((4_000_000, 3))
    work = work_folder(tmp_path, X=big, y=np.arange(4_000_000.0) % 2, holdout=np.zeros(4_000_000, dtype=bool))
    with pytest.raises(errors.FitFailed):
        run(work, memory_mb=700)


def test_a_fit_that_crashes_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "crash.py"
    script.write_text(textwrap.dedent("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    monkeypatch.setattr(child.sys, "executable", "/bin/sh")
    with pytest.raises(errors.FitFailed, match="code"):
        run(work_folder(tmp_path))
