"""What follows from the stretches of serving [pure]."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Protocol


class Stretch(Protocol):
    """One stretch of serving, as it is stored."""

    @property
    def model_version(self) -> int:
        """Which version served."""

    @property
    def kind(self) -> str:
        """How it came to serve: ``deploy`` or ``rollback``."""


def previous(history: Sequence[Stretch]) -> int | None:
    """Return the version that a rollback goes back to: the newest that served and was not left by a rollback.

    Parameters
    ----------
    history : sequence of Stretch
        Newest first.
    """
    if not history:
        return None
    away = {history[0].model_version}
    for newer, older in itertools.pairwise(history):
        if newer.kind == "rollback":
            away.add(older.model_version)
    return next((row.model_version for row in history if row.model_version not in away), None)


def left(history: Sequence[Stretch]) -> frozenset[int]:
    """Return the versions whose newest stretch of serving was ended by a rollback; `history` is newest first."""
    ended: dict[int, bool] = {}
    for newer, older in itertools.pairwise(history):
        ended.setdefault(older.model_version, newer.kind == "rollback")
    return frozenset(version for version, rolled_back in ended.items() if rolled_back)


def last_served(history: Sequence[Stretch], n: int) -> frozenset[int]:
    """Return the n versions that served last; `history` is newest first."""
    distinct = dict.fromkeys(row.model_version for row in history)
    return frozenset(itertools.islice(distinct, n))


def to_prune(numbers: Iterable[int], *, keep: int, held: frozenset[int]) -> list[int]:
    """Return the versions whose files may go: older than the newest `keep`, and held by nothing.

    Parameters
    ----------
    numbers : iterable of int
        Versions that have their files.
    keep : int
        Newest versions that stay in any case.
    held : frozenset of int
        Versions that serve, may be gone back to, or have a name.

    Examples
    --------
    >>> to_prune([1, 2, 3, 4, 5], keep=2, held=frozenset({2}))
    [1, 3]
    """
    older = sorted(numbers)[:-keep] if keep else sorted(numbers)
    return [number for number in older if number not in held]
