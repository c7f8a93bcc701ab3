"""Which processor core a worker keeps to.

A worker is one Python interpreter, and one of its threads runs at a time. Left to roam, they hand the interpreter
from core to core, which makes four threads a third slower than one (docs/decisions/0006-a-worker-keeps-to-one-core.md).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence

ALLOWED = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
"""Cores that this process might use when it started; empty where the system does not say (macOS)."""


def least_taken(taken: Iterable[int | None], *, among: Sequence[int] = ALLOWED, first: int = 0) -> int | None:
    """Return the core that the fewest other workers keep to.

    Parameters
    ----------
    taken : iterable of int or None
        A core for each other worker.
    among : sequence of int
        Cores to choose from.
    first : int
        Where the search begins, modulo their number, so that two servers of one machine do not begin alike.

    Returns
    -------
    int or None
        None where there is no choice.

    Examples
    --------
    >>> least_taken([0, 1, 2, 0], among=(0, 1, 2))
    1
    >>> least_taken([], among=(0, 1, 2), first=7)
    1
    """
    if len(among) < 2:
        return None
    others = list(taken)
    start = first % len(among)
    return min([*among[start:], *among[:start]], key=others.count)


def keep_to(cores: Sequence[int], *, process: int = 0) -> None:
    """Keep a process, by default this one, to some cores; threads and processes that it starts later keep to them too.

    A system that does not know of it, or forbids it, leaves the process free.
    """
    if cores and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(process, cores)
