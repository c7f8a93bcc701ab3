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


# A user's own model ---------------------------------------------------------------------------------------------


def own(tmp_path: Path, function: str) -> Path:
    return work_folder(tmp_path, parameters=fit.Parameters(kind=f"tests.retraining.own_models:{function}"))


def test_a_users_own_model_is_fitted_and_measured(tmp_path: Path) -> None:
    scores = run(own(tmp_path, "tree"))
    assert scores["challenger_scores"].shape == (60, 2)
    assert scores["challenger_s"] > 0
    assert scores["challenger_bytes"] == (tmp_path / artifacts.MODEL).stat().st_size


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("raises", "ValueError: the price list is missing"),
        ("no_model", "returned object, which has no fit and no predict_proba"),
        ("misspelled", "cannot be imported: AttributeError"),
        ("crashes", "killed by SIGSEGV; compiled code has crashed"),
        ("leaves", "ended with code 0 and left no model"),
    ],
)
def test_a_users_own_model_that_goes_wrong_says_how(tmp_path: Path, function: str, said: str) -> None:
    with pytest.raises(errors.FitFailed, match=said):
        run(own(tmp_path, function))
    assert not (tmp_path / artifacts.MODEL).exists()


def test_a_users_own_model_that_fills_the_memory_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(errors.FitFailed, match="needed more than its 1500 MB"):
        run(own(tmp_path, "allocates"), memory_mb=1500)


def test_a_users_own_model_that_sleeps_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    with pytest.raises(errors.FitFailed, match="longer than 8 s"):
        run(own(tmp_path, "sleeps"), timeout_s=8)
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(b"left-behind" in command for command in commands)


# Choosing -------------------------------------------------------------------------------------------------------


def test_windows_are_compared_and_the_short_one_wins_after_a_turn(tmp_path: Path, rng: np.random.Generator) -> None:
    X = rng.normal(size=(4000, 3))
    y = (X[:, 0] > 0) * 1.0
    y[2000:] = 1 - y[2000:]
    rows = {"X": X, "y": y, "holdout": np.arange(4000) >= 3900}
    scores = run(work_folder(tmp_path, policy="auto", **rows))
    chosen = artifacts.orjson.loads(str(scores["chosen"]))
    assert chosen["rows"] == 1000
    assert scores["used"] == 1100
    assert len(chosen["tried"]) == 3
    assert len(scores["cross_scores"]) == 1100


def test_a_search_names_what_it_has_tried(tmp_path: Path) -> None:
    scores = run(work_folder(tmp_path, search_s=60.0))
    chosen = artifacts.orjson.loads(str(scores["chosen"]))
    assert [trial["what"] for trial in chosen["tried"]][:2] == ["as it comes", "min_samples_leaf 5"]
