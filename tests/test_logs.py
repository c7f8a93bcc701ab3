from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlpipe import logs

N_PROCESSES = 4
N_LINES = 500
TODAY = datetime.now(UTC).strftime("%Y%m%d")
WRITER = """
import logging, pathlib, sys
from mlpipe import logs
logs.configure(pathlib.Path(sys.argv[1]), level="info", as_json=False)
for place in range(int(sys.argv[3])):
    logging.getLogger("mlpipe.drift").info("%s %s %s", sys.argv[2], place, "x" * 300)
"""


@pytest.fixture(autouse=True)
def no_handlers_left() -> Iterator[None]:
    yield
    for name in logs.FILES:
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.propagate = True


def configure(folder: Path, *, level: str = "info", as_json: bool = False) -> logging.Logger:
    logs.configure(folder, level=level, as_json=as_json)
    return logging.getLogger("mlpipe.drift")


def record(message: str, created: float = 0.0) -> logging.LogRecord:
    made = logging.LogRecord("mlpipe.drift", logging.INFO, "", 0, message, None, None)
    made.created = created
    return made


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def lines(folder: Path, name: str = "drift_monitor", day: str | None = None) -> list[str]:
    found = folder / f"{name}_{day or datetime.now(UTC).strftime('%Y%m%d')}.log"
    return found.read_text().splitlines()


def test_each_stage_has_its_file(tmp_path: Path) -> None:
    configure(tmp_path)
    for name in logs.FILES:
        logging.getLogger(name + ".part").info("from %s", name)
    assert {path.name.rsplit("_", 1)[0] for path in tmp_path.iterdir()} == {
        "ingestion_api",
        "prediction_service",
        "drift_monitor",
        "retraining_worker",
        "dashboard",
    }
    assert lines(tmp_path)[0].endswith("from mlpipe.drift")


def test_a_line_has_time_level_id_and_message(tmp_path: Path) -> None:
    logger = configure(tmp_path)
    with logs.trace("job 7"):
        logger.warning("moved by %.1f", 2.5)
    logger.info("calm")
    first, second = lines(tmp_path)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING \[job 7\] moved by 2\.5", first)
    assert " [job 7] " not in second


def test_lines_below_the_level_are_not_written(tmp_path: Path) -> None:
    logger = configure(tmp_path, level="warning")
    logger.info("calm")
    logger.error("storm")
    assert len(lines(tmp_path)) == 1


@pytest.mark.parametrize(
    "bad", ["\n", "\r\n", "\0", "\x1b[31m", "\x7f", "\x85", "\x9b31m", "\u2028", "\u2029", "\t", "\x0c"]
)
def test_a_message_is_one_line_without_control_characters(tmp_path: Path, bad: str) -> None:
    configure(tmp_path).info("before%safter", bad)
    (line,) = lines(tmp_path)
    assert all(character.isprintable() for character in line)
    assert "before\\x" in line


def test_a_stack_trace_is_one_line(tmp_path: Path) -> None:
    logger = configure(tmp_path)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("failed")
    (line,) = lines(tmp_path)
    assert "failed | Traceback" in line
    assert "ValueError: two\\x0alines" in line


def test_json_lines_hold_the_same(tmp_path: Path) -> None:
    with logs.trace("r-1"):
        configure(tmp_path, as_json=True).info('a "b"\nc')
    found = json.loads(lines(tmp_path)[0])
    assert (found["level"], found["id"], found["message"]) == ("INFO", "r-1", 'a "b"\nc')
    assert datetime.fromisoformat(found["time"]).tzinfo is not None


@pytest.mark.parametrize("as_json", [False, True])
def test_half_a_surrogate_does_not_lose_the_line(tmp_path: Path, as_json: bool) -> None:
    configure(tmp_path, as_json=as_json).info("file \udc80.csv")
    assert "file" in lines(tmp_path)[0]


def test_the_file_changes_at_midnight_utc_and_back_for_a_late_line(tmp_path: Path) -> None:
    handler = logs.DailyFileHandler(tmp_path, "drift_monitor")
    for created, message in [
        (at("2026-01-31T23:59:59.999+00:00"), "old"),
        (at("2026-02-01T00:00:00+00:00"), "new"),
        (at("2026-01-31T23:59:59.5+00:00"), "late"),
    ]:
        handler.handle(record(message, created))
    handler.close()
    assert lines(tmp_path, day="20260131") == ["old", "late"]
    assert lines(tmp_path, day="20260201") == ["new"]


def test_threads_lose_no_line_at_midnight(tmp_path: Path) -> None:
    handler = logs.DailyFileHandler(tmp_path, "x")
    midnight = at("2026-02-01T00:00:00+00:00")

    def write(n: int) -> None:
        for place in range(100):
            handler.handle(record(f"{n}-{place}", midnight - 50 + place))

    writers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    handler.close()
    found = lines(tmp_path, "x", "20260131") + lines(tmp_path, "x", "20260201")
    assert len(found) == len(set(found)) == 800


def test_processes_that_write_one_file_lose_and_mix_no_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*command, f"p{n}", str(N_LINES)], cwd=Path.cwd()) for n in range(N_PROCESSES)]
    assert [writer.wait(60) for writer in writers] == [0] * N_PROCESSES
    found = [line for path in tmp_path.glob("drift_monitor_*") for line in path.read_text().splitlines()]
    seen = {re.fullmatch(r".* \[-\] (p\d+ \d+) x{300}", line)[1] for line in found}  # type: ignore[index]
    assert len(found) == len(seen) == N_PROCESSES * N_LINES


def test_a_log_that_cannot_be_written_does_not_break_its_caller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    configure(tmp_path / "file").info("nowhere to go")
    assert "Logging error" in capsys.readouterr().err


def test_configuring_again_replaces_the_files(tmp_path: Path) -> None:
    configure(tmp_path / "a")
    configure(tmp_path / "b").info("once")
    assert len(lines(tmp_path / "b")) == 1
    assert not list((tmp_path / "a").glob("*"))


def test_only_the_owner_and_group_can_read_a_log(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        configure(tmp_path).info("x")
    finally:
        os.umask(old)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} <= {0o640, 0o600}
