"""When the checks of a replay look, and at which rows: those that ran, and those that other settings make."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mlpipe import clock, db
from mlpipe.drift import drop, replay, store
from mlpipe.jobs import store as jobs
from mlpipe.prediction import store as predictions
from mlpipe.registry import store as versions
from mlpipe.settings import Settings

CHECK = "drift_check"
RETRAINING = "retraining"
EVER = 2**62
CAUSES = REPORT, TEST = "report", "quality_check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """When a check looks, at what, and what it found when it really ran; it waits when `n_new` rows are too few."""

    at: int
    version: int
    upto: int
    n_new: int = 0
    recorded: replay.Recorded | None = None


@dataclass(frozen=True, slots=True)
class History:
    """What happened in a time, and which rows and labels were seen before it."""

    reports: list[Any]
    tests: list[Any]
    waits: list[jobs.Job]
    stretches: list[Any]
    retrainings: list[replay.Retraining]
    seen: dict[int, int]
    tested: dict[int, int]

    @property
    def recorded(self) -> list[tuple[replay.Cause, Any]]:
        """Reports and tests of quality in the order in which they were stored."""
        return _recorded(self.reports, self.tests)

    @property
    def triggers(self) -> set[replay.Cause]:
        """What asked for a retraining."""
        return {retraining.cause for retraining in self.retrainings if retraining.cause is not None}


def history(connection: db.Connection, since: int, until: int) -> History:
    """Read what happened from `since` on and before `until`, both in microseconds since 1970 UTC."""
    reports = store.between(connection, since_us=since, until_us=until)
    tests = store.quality_between(connection, since_us=since, until_us=until)
    waits = jobs.between(connection, CHECK, since_us=since, until_us=until, outcome=replay.WAITING)
    asked = [
        replay.Retraining(job.created_at, job.finished_at or math.inf, _cause(job.evidence))
        for job in jobs.between(connection, RETRAINING, since_us=since, until_us=EVER)  # stamped just after its report
    ]
    triggers = {retraining.cause for retraining in asked}
    alarms = [(cause, row) for cause, row in _recorded(reports, tests) if row.verdict in replay.ALARMS]
    joined = [row.checked_at for cause, row in alarms if cause not in triggers]
    return History(
        reports=reports,
        tests=tests,
        waits=[job for job in waits if job.result and job.created_at >= since],
        stretches=versions.stretches(connection, since_us=since, until_us=until),
        retrainings=replay.absorbed(asked, joined),
        seen=store.seen_before(connection, since),
        tested=store.tested_before(connection, since),
    )


def _cause(evidence: dict[str, Any]) -> replay.Cause | None:
    if evidence.get("basis") == "estimate":
        return None  # a replay makes no estimates: their retrainings are open when they were
    return next(((name, evidence[name]) for name in CAUSES if evidence.get(name) is not None), None)


def score(cause: replay.Cause, row: Any) -> float:
    """Return the score of a report, or the rise that counts in a test of quality."""
    found: float = row.score if cause[0] == REPORT else largest_rise(row)
    return found


def largest_rise(row: Any) -> float:
    """Return the rise that counts in a test of quality."""
    return drop.largest_rise([drop.Window(**window) for window in row.windows])


def _recorded(reports: list[Any], tests: list[Any]) -> list[tuple[replay.Cause, Any]]:
    pairs = [((REPORT, row.id), row) for row in reports] + [((TEST, row.id), row) for row in tests]
    return sorted(pairs, key=lambda pair: pair[1].checked_at)  # stable: rows are judged before answers are


class Calendar:
    """When the checks of a replay look, and at what.

    Parameters
    ----------
    connection : Connection
        One picture of the log.
    history : History
    before, after : Settings
        The present ones, and those of the replay.
    """

    def __init__(self, connection: db.Connection, history: History, before: Settings, after: Settings) -> None:
        self._connection = connection
        self._history = history
        self._enough = after.min_samples
        self._step = after.check_interval * clock.MICROSECONDS
        self._keeps_slots = after.check_interval == before.check_interval
        self._makes_slots = not self._keeps_slots or after.min_samples != before.min_samples
        self._seen = dict(history.seen)

    def occasions(self, since: int, until: int) -> Iterator[Occasion]:
        """Yield the checks of a time, oldest first; those that ran, and those that would have."""
        ran = self._ran()
        taken = {int(occasion.at // self._step) for occasion, scheduled in ran if scheduled}
        at = since
        for occasion, _ in ran:
            for made in self._between(at, occasion.at, taken):
                yield self._look(made)
            yield self._look(occasion)
            at = occasion.at
        for made in self._between(at, until, taken):
            yield self._look(made)

    def _ran(self) -> list[tuple[Occasion, bool]]:
        """Return the checks that ran and are kept, and whether an interval asked for each (or a person)."""
        triggers = self._history.triggers
        found = [
            (_of_report(row, (REPORT, row.id) in triggers), row.job_id is not None) for row in self._history.reports
        ]
        found += [(_of_wait(job), True) for job in self._history.waits]
        kept = [pair for pair in found if self._keeps_slots or not pair[1]]
        return sorted(kept, key=lambda pair: pair[0].at)

    def _look(self, occasion: Occasion) -> Occasion:
        """Count the new rows of a check; one that has enough has seen them."""
        last = self._seen.get(occasion.version, 0)
        n = predictions.count_since(self._connection, occasion.version, last, enough=self._enough, upto=occasion.upto)
        if n >= self._enough:
            self._seen[occasion.version] = occasion.upto
        return replace(occasion, n_new=n)

    def _between(self, since: int, until: int, taken: set[int]) -> Iterator[Occasion]:
        """Yield the checks of intervals in which none ran, from the first one on that has enough rows."""
        while self._makes_slots and (made := self._next(since, until, taken)):
            yield made
            since = made.at + 1

    def _next(self, since: int, until: int, taken: set[int]) -> Occasion | None:
        for stretch in self._history.stretches:
            start, end = max(since, stretch.since), min(until, stretch.until or until)
            if start >= end:
                continue
            last = self._seen.get(stretch.model_version, 0)
            row = predictions.reach(self._connection, stretch.model_version, last, self._enough)
            if row is None:
                continue
            slot = math.ceil(max(start, row[1]) / self._step)
            while slot in taken:
                slot += 1
            at = int(slot * self._step)
            if at < end:
                upto = max(row[0], predictions.newest_at(self._connection, at))
                return Occasion(at=at, version=stretch.model_version, upto=upto)
        return None


def _of_report(row: Any, asked: bool) -> Occasion:
    recorded = replay.Recorded((REPORT, row.id), row.verdict, row.score, asked)
    return Occasion(at=row.checked_at, version=row.model_version, upto=row.last_prediction, recorded=recorded)


def _of_wait(job: jobs.Job) -> Occasion:
    looked = job.result or {}
    recorded = replay.Recorded(None, replay.WAITING, None, asked=False)
    return Occasion(
        at=looked.get("at", job.created_at),
        version=looked["model_version"],
        upto=looked["last_prediction"],
        recorded=recorded,
    )
