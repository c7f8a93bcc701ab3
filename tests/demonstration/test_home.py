"""Only a folder that the demo made is emptied."""

from __future__ import annotations

from pathlib import Path

import pytest

from demonstration import errors, home


def test_home_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(errors.DemoFailed, match="was not made by this demo"):
        home.make(str(tmp_path))
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_home_of_an_earlier_demo_is_emptied(tmp_path: Path) -> None:
    (tmp_path / home.MARK).write_text('{"url": "http://127.0.0.1:9", "pid": 1}')
    (tmp_path / "mlpipe.db").write_text("old")
    assert list(home.make(str(tmp_path)).iterdir()) == []
