"""When the tests of quality of a replay look, and at which labels: those made, and those of other intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlpipe import clock, db
from mlpipe.drift import drop, occasions, quality, replay
from mlpipe.prediction import labelled as log
from mlpipe.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Retest:
    """When a test looks, at what, and what it found when it was really made."""

    at: int
    version: int
    seen: log.Picture
    recorded: replay.Recorded | None = None


def retests(
    connection: db.Connection, history: occasions.History, before: Settings, after: Settings, span: tuple[int, int]
) -> Iterator[Retest]:
    """Yield the tests of a time, oldest first.

    Notes
    -----
    Which labels are enough for a test is no setting, so with the interval as it is the tests are those that were made.
    Another interval looks at its own beginnings, as soon as enough new labels are there.
    """
    if after.check_interval == before.check_interval:
        triggers = history.triggers
        yield from (_of_row(row, (occasions.TEST, row.id) in triggers) for row in history.tests)
        return
    step = after.check_interval * clock.MICROSECONDS
    tested = dict(history.tested)
    for stretch in history.stretches:
        start, end = max(span[0], stretch.since), min(span[1], stretch.until or span[1])
        yield from _made(connection, stretch.model_version, tested, step, (start, end))


def _made(
    connection: db.Connection, version: int, tested: dict[int, int], step: float, span: tuple[int, int]
) -> Iterator[Retest]:
    """Yield the tests of one stretch of serving."""
    last = tested.get(version, 0)
    reached = log.label_reach(connection, version, last, quality.NEW_LABELS)
    while reached is not None:
        at = int(math.ceil(max(span[0], reached[1]) / step) * step)
        if at >= span[1]:
            return
        seen = log.Picture(log.label_at(connection, reached[0], at), at)
        rows = log.labelled(connection, version, newest=True, limit=drop.LARGEST, seen=seen)
        new = sum(row.id > last for row in rows)
        if len(rows) >= drop.WINDOWS[0] and new >= quality.NEW_LABELS:
            last = tested[version] = seen.label
            yield Retest(at=at, version=version, seen=seen)
        wanted = quality.NEW_LABELS if last == seen.label else 1  # at least one more label, before it can be otherwise
        reached = log.label_reach(connection, version, seen.label, wanted)


def _of_row(row: Any, asked: bool) -> Retest:
    recorded = replay.Recorded((occasions.TEST, row.id), row.verdict, occasions.largest_rise(row), asked)
    seen = log.Picture(row.last_label, row.checked_at)
    return Retest(at=row.checked_at, version=row.model_version, seen=seen, recorded=recorded)
