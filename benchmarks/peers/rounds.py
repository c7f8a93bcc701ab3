"""Run one peer over the windows of `peers_drift.py`, in the peer's own environment: NumPy and nothing of mlpipe."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

Check = Callable[[np.ndarray], Mapping[str, bool]]
"""The newest rows (n, d) in; whether each of the peer's rules alarms out."""

SHIFTS_SD = (0.0, 0.5, 1.0)
N_MOVED = 1_000
"""Rows of the window, and of the shift of its first feature."""


def run(prepare: Callable[[np.ndarray], Check], versions: dict[str, str]) -> None:
    """Check every window, as it is and with each shift; print alarms and median times as JSON.

    The first window of all is checked once before, untimed: imports and caches are no part of a check.
    """
    setups: list[float] = []
    times: list[float] = []
    alarms: dict[str, Counter[str]] = {}
    for name, reference, windows in drawn():
        check, took_ms = timed(prepare, reference)
        setups.append(took_ms)
        if not times:
            check(windows[0])
        for shift_sd, window in itertools.product(SHIFTS_SD, windows):
            said, took_ms = timed(check, moved(window, shift_sd))
            times.append(took_ms)
            for rule, alarm in said.items():
                alarms.setdefault(rule, Counter())[f"{name} +{shift_sd:g}"] += bool(alarm)
    figures = {"setup_ms": float(np.median(setups)), "check_ms": float(np.median(times))}
    print(json.dumps(figures | {"alarms": alarms, "versions": versions}))


def drawn() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Give stream, reference (m, d) and later windows (w, n, d)."""
    with np.load(sys.argv[1]) as kept:
        for name in [key.removesuffix("/references") for key in kept if key.endswith("/references")]:
            for reference, windows in zip(kept[f"{name}/references"], kept[f"{name}/windows"], strict=True):
                yield name, reference, windows


def moved(window: np.ndarray, shift_sd: float) -> np.ndarray:
    rows = window.copy()
    rows[-N_MOVED:, 0] += shift_sd
    return rows


def timed(call: Callable[[np.ndarray], Any], rows: np.ndarray) -> tuple[Any, float]:
    """Return the answer and the processor time in ms: what else the machine does is no part of it."""
    begun = time.process_time()
    answer = call(rows)
    return answer, 1000 * (time.process_time() - begun)
