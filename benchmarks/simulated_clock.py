"""gunicorn's configuration for a server whose clock is put forward from outside; for benchmarks alone.

It is what is shipped, ``gunicorn.conf.py``, with `mlpipe.clock` reading the real time plus so many microseconds as
the file ``SIMULATED_CLOCK`` says. The workers are forked from the process that reads this, and inherit it.
"""

from __future__ import annotations

import mmap as _mmap
import os as _os
import struct as _struct
import time as _time
from pathlib import Path as _Path

from mlpipe import clock as _clock

_shipped = _Path("gunicorn.conf.py")
exec(compile(_shipped.read_text(), _shipped, "exec"))

with _Path(_os.environ["SIMULATED_CLOCK"]).open("rb") as _file:
    _ahead = _mmap.mmap(_file.fileno(), 8, access=_mmap.ACCESS_READ)


def _now_us() -> int:
    (ahead_us,) = _struct.unpack("<q", _ahead[:8])
    return _time.time_ns() // 1_000 + int(ahead_us)


_clock.now_us = _now_us
_clock.now = lambda: _clock.from_us(_now_us())
