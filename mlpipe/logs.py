"""Five log files, one a stage, a new one at midnight UTC, safe with several processes.

Every line is one ``write`` to a file opened with ``O_APPEND``, so that lines of several workers never mix
(a rotating handler in three processes kept a third of the lines).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

import orjson

FILES = {
    "mlpipe.ingestion": "ingestion_api",
    "mlpipe.features": "ingestion_api",
    "mlpipe.prediction": "prediction_service",
    "mlpipe.registry": "prediction_service",
    "mlpipe.drift": "drift_monitor",
    "mlpipe.incidents": "drift_monitor",
    "mlpipe.retraining": "retraining_worker",
    "mlpipe.mlflow": "retraining_worker",
    "mlpipe.dashboard": "dashboard",
    "mlpipe.web": "dashboard",
}
"""Logger of a package -> name of its file. Packages that serve several stages write where they are called from."""

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}

_trace: ContextVar[str] = ContextVar("trace", default="-")


@contextmanager
def trace(name: str) -> Iterator[None]:
    """Put a request or job id into every line that is written inside."""
    token = _trace.set(name)
    try:
        yield
    finally:
        _trace.reset(token)


def set_trace(name: str) -> None:
    """Put a request id into the lines of this thread from now on."""
    _trace.set(name)


class LineFormatter(logging.Formatter):
    """``time level [request or job id] message``, on one line whatever the message holds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of text."""
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        return f"{moment} {record.levelname:<7} [{_trace.get()}] {_message(record, self)}".translate(_CONTROL)


class JsonFormatter(logging.Formatter):
    """The same as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON object."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "id": _trace.get(),
            "message": _message(record, self).encode(errors="backslashreplace").decode(),
        }
        return orjson.dumps(fields).decode()


def _message(record: logging.LogRecord, formatter: logging.Formatter) -> str:
    text = record.getMessage()
    if record.exc_info:
        text += " | " + formatter.formatException(record.exc_info)
    return text


class DailyFileHandler(logging.Handler):
    """Append lines to ``<name>_YYYYMMDD.log`` of the record's UTC day.

    Parameters
    ----------
    folder : Path
        Where the files lie; made if it is missing.
    name : str
        The service's name.
    """

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__()
        self.folder = folder
        self.service = name
        self._day = ""
        self._file = -1
        self._opening = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; what goes wrong is reported once to stderr by logging's own handler of errors."""
        try:
            line = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
            os.write(self._open(record.created), line)
        except Exception:  # noqa: BLE001  a log that fails must not fail the request
            self.handleError(record)

    def _open(self, created: float) -> int:
        day = datetime.fromtimestamp(created, UTC).strftime("%Y%m%d")
        if day != self._day:
            with self._opening:
                if day != self._day:
                    self._reopen(day)
        return self._file

    def _reopen(self, day: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.service}_{day}.log"
        file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o640)
        old, self._file, self._day = self._file, file, day
        if old >= 0:
            os.close(old)

    def close(self) -> None:
        """Close the file of the day."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._day = -1, ""
        super().close()


def configure(folder: Path, *, level: str, as_json: bool) -> None:
    """Send each stage's logger to its file; replaces an earlier configuration.

    Parameters
    ----------
    folder : Path
        Folder of the log files.
    level : str
        Least level written: debug, info, warning or error.
    as_json : bool
        JSON lines instead of text.
    """
    formatter = JsonFormatter() if as_json else LineFormatter()
    for logger_name, file_name in FILES.items():
        logger = logging.getLogger(logger_name)
        for old in [handler for handler in logger.handlers if isinstance(handler, DailyFileHandler)]:
            logger.removeHandler(old)
            old.close()
        handler = DailyFileHandler(folder, file_name)
        handler.setFormatter(formatter)
        logger.addHandler(handler)
        logger.setLevel(level.upper())
        logger.propagate = False
