"""The demo: its last word, its examples, and the whole story on a real server."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import requests

import demo
from demonstration import features, scoring, table
from demonstration.home import MARK
from tests.demonstration.build import closed_story

CHECKOUT = Path(demo.__file__).parent


def test_judge_says_what_is_missing_and_what_was_decided_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert not demo.judge(["no check saw drift"], closed_story()[0])
    said = capsys.readouterr().out
    assert "- no check saw drift" in said
    assert "<temp> moved" in said


@pytest.mark.parametrize("module", [features, scoring, table])
def test_examples_run(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_demo_closes_the_loop_on_a_real_server(tmp_path: Path) -> None:
    """The slow one: some 30 s for a tenth of the sample."""
    home = tmp_path / "home"
    command = [sys.executable, "demo.py", "--flights", "200", "--seconds", "15", "--home", str(home)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The loop closed" in done.stdout
    assert "the same answers on the first flights of version 1" in done.stdout
    assert "Feb-Dec    2,200" in done.stdout
    assert (home / "report.html").stat().st_size > 1_000_000
    with pytest.raises(OSError, match="refused"):
        requests.get(json.loads((home / MARK).read_text())["url"], timeout=5)
