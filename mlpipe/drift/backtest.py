"""Replay the logged history under other settings: what would have alarmed, beside what did. Nothing is written."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mlpipe import clock, db, errors
from mlpipe import settings as all_settings
from mlpipe.drift import drop, judging, occasions, quality, replay, retests
from mlpipe.drift.occasions import History, Occasion
from mlpipe.drift.retests import Retest
from mlpipe.features import store as features
from mlpipe.schema.backtest import REHEARSED, Rehearsal
from mlpipe.schema.contract import Schema
from mlpipe.settings import Settings

MAX_CHECKS = 500
"""Checks that one request replays, nearly two days of them. One takes 37 ms where each request of 20 features held one
row (reading the log, then 10 ms of the rule): 18 s of one thread that serves nobody else."""

PLANNED = 4
"""Times the limit up to which a request counts the checks of its time: counting more takes as long as replaying."""

BUDGET_S = 45.0
"""Longest time of a request's replay; gunicorn ends a worker that is silent for 60 s (gunicorn.conf.py)."""

Tell = Callable[[int, int], None]
"""Told before each check: how many are done, of how many."""


def quick(settings: Settings, wanted: Rehearsal) -> dict[str, Any]:
    """Replay what one request may ask for; see `run`.

    Raises
    ------
    errors.TooManyChecks
        More than `MAX_CHECKS`, or more than `BUDGET_S` allows.
    """
    end = time.monotonic() + BUDGET_S

    def tell(done: int, total: int) -> None:
        if done < total and time.monotonic() > end:
            raise errors.TooManyChecks(
                f"{done:,} of {total:,} checks were replayed in {BUDGET_S:g} s, the longest that a request may take. "
                "Narrow it with since and until, or run: flask mlpipe backtest",
                replayed=done,
                checks=total,
            )

    return run(settings, wanted, limit=MAX_CHECKS, tell=tell)


def run(
    settings: Settings, wanted: Rehearsal, *, limit: int | None = None, tell: Tell = lambda *_: None
) -> dict[str, Any]:
    """Replay the checks of a time under other settings.

    Parameters
    ----------
    settings : Settings
        The present ones; those that `wanted` does not change are used as they are.
    wanted : Rehearsal
        Which time, and what is changed.
    limit : int, optional
        Most checks.
    tell : callable
        Progress.

    Returns
    -------
    dict
        As in ``POST /drift/backtest``.

    Raises
    ------
    errors.SchemaViolation
        The changed settings do not go together.
    errors.TooManyChecks
        There are more than `limit`.

    Notes
    -----
    A check that really ran is replayed on the log rows that it saw: up to the newest one of its report. Whether a
    check waits depends on `min_samples` and the instants alone, so only another `min_samples` or `check_interval`
    makes checks where none ran: at the beginning of each interval, on what was predicted by then. What served is what
    served. One check costs what it cost then. Tests of quality are replayed on the labels that were there, each after
    the check of the same time.
    """
    rehearsed = _changed(settings, wanted)
    since = 0 if wanted.since is None else wanted.since
    until = clock.now_us() + 1 if wanted.until is None else wanted.until
    if since >= until:
        raise errors.SchemaViolation("since must be earlier than until: no check lies between them.", [])
    most = None if limit is None else PLANNED * limit
    with db.reading() as connection:
        history = occasions.history(connection, since, until)
        calendar = occasions.Calendar(connection, history, settings, rehearsed).occasions(since, until)
        tests = retests.retests(connection, history, settings, rehearsed, (since, until))
        both: Iterator[Occasion | Retest] = heapq.merge(calendar, tests, key=lambda one: one.at)
        planned = list(itertools.islice(both, most))
        schema = features.current_schema(connection)
    if limit is not None and len(planned) > limit:
        raise _too_many(planned, limit)
    newest = rehearsed.reference_rows if "reference_size" in wanted.changes else None
    judge = _Judge(schema, rehearsed, newest)
    checks = []
    for done, occasion in enumerate(planned):
        tell(done, len(planned))
        checks.append(judge.test(occasion) if isinstance(occasion, Retest) else judge.check(occasion))
    tell(len(planned), len(planned))
    return _told(checks, history, rehearsed, judge.lost)


def _changed(settings: Settings, wanted: Rehearsal) -> Settings:
    try:  # segments do not make a verdict, so nobody waits for them
        changed = all_settings.altered(settings, **wanted.changes, segments="")
        judging.rule(changed)
    except errors.InvalidSetting as fault:
        raise errors.SchemaViolation(fault.detail, []) from fault
    return changed


def _too_many(planned: Sequence[Occasion | Retest], limit: int) -> errors.TooManyChecks:
    whole = len(planned) < PLANNED * limit
    which = f" (since {clock.iso(planned[-limit].at)} holds the newest {limit})" if whole else ""
    return errors.TooManyChecks(
        f"{'' if whole else 'At least '}{len(planned):,} checks lie in this time; a request replays at most {limit}. "
        f"Narrow it with since and until{which}, or run: flask mlpipe backtest",
        checks=len(planned),
        limit=limit,
    )


# What -----------------------------------------------------------------------------------------------------------


class _Judge:
    """Judges again what checks saw; keeps the reference of one version, and why others are lost."""

    def __init__(self, schema: Schema | None, settings: Settings, n_reference: int | None) -> None:
        self._schema = schema
        self._settings = settings
        self._n_reference = n_reference
        self._watch = quality.Watch(settings.models_folder, n_reference=n_reference)
        self._basis: judging.Basis | None = None
        self.lost: dict[int, str] = {}

    def check(self, occasion: Occasion) -> replay.Check:
        """Replay one check."""
        if occasion.n_new < self._settings.min_samples:
            return _check(occasion, replay.WAITING, sentence=judging.too_few(occasion.n_new, self._settings))
        basis = self._load(occasion.version)
        if basis is None:
            return _check(occasion, None, sentence=self.lost[occasion.version])
        window = judging.read_window(basis, self._settings, upto=occasion.upto)
        report = judging.judge(basis, window, self._settings, now=occasion.at)
        return _check(occasion, report.verdict, sentence=report.sentence, rows=report.n_rows, score=report.score)

    def test(self, retest: Retest) -> replay.Check:
        """Replay one test of quality."""
        if self._load(retest.version) is None:
            return _check(retest, None, sentence=self.lost[retest.version])
        with db.reading() as connection:
            known = self._watch.known(connection, retest.version)
            rule = quality.of_settings(self._settings, known.task)
            tested = quality.examine(connection, known, rule, seen=retest.seen)
        if isinstance(tested, str):
            return _check(retest, quality.WAITING, sentence=tested)
        score = drop.largest_rise(tested.windows)
        return _check(retest, tested.verdict, sentence=tested.sentence, rows=len(tested.rows), score=score)

    def _load(self, version: int) -> judging.Basis | None:
        if version in self.lost or self._schema is None:
            return None
        if self._basis is None or self._basis.version != version:
            try:
                models = self._settings.models_folder
                self._basis = judging.load(models, version, self._schema, self._settings, n_reference=self._n_reference)
            except (errors.ArtifactCorrupt, errors.NotFound) as fault:
                self.lost[version] = fault.detail
                return None
        return self._basis


def _check(
    occasion: Occasion | Retest, found: str | None, *, sentence: str, rows: int = 0, score: float | None = None
) -> replay.Check:
    return replay.Check(
        kind="quality" if isinstance(occasion, Retest) else "drift",
        at=occasion.at,
        version=occasion.version,
        rows=rows,
        verdict=found,
        score=score,
        sentence=sentence,
        recorded=occasion.recorded,
    )


# Telling --------------------------------------------------------------------------------------------------------


def _told(checks: Sequence[replay.Check], history: History, settings: Settings, lost: dict[int, str]) -> dict[str, Any]:
    asked = replay.asking(checks, history.retrainings, causes={cause for cause, _ in history.recorded})
    paired = list(zip(checks, asked, strict=True))
    return {
        "settings": {name: getattr(settings, name) for name in REHEARSED},
        "checks": _count(checks, "drift"),
        "quality_checks": _count(checks, "quality"),
        "alarms": [_alarm(check, asks) for check, asks in paired if check.verdict in replay.ALARMS],
        "retrainings": sum(asked),
        "recorded": _recorded(history),
        "agrees": replay.agree(checks, asked, n_recorded=len(history.recorded)),
        "notes": _notes(checks, lost),
        "items": [_item(check) for check in checks],
    }


def _count(checks: Sequence[replay.Check], kind: str) -> int:
    """Count the checks of a kind that judged."""
    return sum(check.kind == kind and check.verdict not in {None, replay.WAITING, quality.WAITING} for check in checks)


def sentence(told: dict[str, Any]) -> str:
    """Return what `run` found in two sentences."""
    then = told["recorded"]
    found = (
        f"{_judged(told):,} checks, {len(told['alarms']):,} alarms, {told['retrainings']:,} retrainings asked for; "
        f"really {_judged(then):,}, {len(then['alarms']):,} and {then['retrainings']:,}."
    )
    return found + (" The replay is what happened." if told["agrees"] else " The replay differs from what happened.")


def _judged(told: dict[str, Any]) -> int:
    found: int = told["checks"] + told["quality_checks"]
    return found


def _recorded(history: History) -> dict[str, Any]:
    triggers = history.triggers
    alarms = [(cause, row) for cause, row in history.recorded if row.verdict in replay.ALARMS]
    return {
        "checks": len(history.reports),
        "quality_checks": len(history.tests),
        "alarms": [
            {
                "at": clock.iso(row.checked_at),
                "model_version": row.model_version,
                "score": occasions.score(cause, row),
                "retraining": cause in triggers,
            }
            | _ids(cause)
            for cause, row in alarms
        ],
        "retrainings": sum(cause in triggers for cause, _ in alarms),
    }


def _ids(cause: replay.Cause | None) -> dict[str, int | None]:
    """Return the two ids of which a check has one, or none."""
    return {name: cause[1] if cause and cause[0] == name else None for name in occasions.CAUSES}


def _alarm(check: replay.Check, asks: bool) -> dict[str, Any]:
    return {
        "kind": check.kind,
        "at": clock.iso(check.at),
        "model_version": check.version,
        "score": check.score,
        "retraining": asks,
        "sentence": check.sentence,
    }


def _item(check: replay.Check) -> dict[str, Any]:
    then = check.recorded
    return {
        "kind": check.kind,
        "at": clock.iso(check.at),
        "model_version": check.version,
        "rows": check.rows,
        "verdict": check.verdict,
        "score": check.score,
        "sentence": check.sentence,
        "recorded_verdict": then.verdict if then else None,
        "recorded_score": then.score if then else None,
    } | _ids(then.cause if then else None)


def _notes(checks: Sequence[replay.Check], lost: dict[int, str]) -> list[str]:
    n = {version: sum(check.version == version and check.verdict is None for check in checks) for version in lost}
    return [f"{n[version]:,} checks of version {version} cannot be replayed: {why}" for version, why in lost.items()]
