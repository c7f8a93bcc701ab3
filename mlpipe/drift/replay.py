"""A replay beside what happened: which alarms ask for a retraining, and whether the two agree [pure]."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

ALARMS = ("drift", "drop")
"""The verdicts that ask for a retraining: of rows, and of answers."""

Cause = tuple[str, int]
"""What may have asked for a retraining: ``report`` or ``quality_check``, and its id."""

WAITING = "waiting_for_data"
"""What is said of a check that has too few new rows."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a check found when it really ran.

    Parameters
    ----------
    cause : (str, int) or None
        Its report or quality check; None for a check that waited.
    verdict : str
    score : float or None
        None for a check that waited.
    asked : bool
        Whether it asked for a retraining.
    """

    cause: Cause | None
    verdict: str
    score: float | None
    asked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check of a replay, of rows or of answers.

    Parameters
    ----------
    kind : {"drift", "quality"}
    at : int
        Time of the check in microseconds since 1970 UTC.
    version : int
        What served.
    rows : int
        Rows that were judged, 0 when it waits.
    verdict : str or None
        None when the version's reference is gone, so that it cannot be replayed.
    score : float or None
        Of the rows; of answers, the rise of the error that counts.
    sentence : str
    recorded : Recorded or None
        None when no check ran then.
    """

    at: int
    version: int
    rows: int
    verdict: str | None
    score: float | None
    sentence: str
    recorded: Recorded | None
    kind: str = "drift"


@dataclass(frozen=True, slots=True)
class Retraining:
    """A retraining that was open from `asked_at` until `ended_at` (infinity: still open).

    Parameters
    ----------
    cause : (str, int) or None
        The report or quality check that asked for it; None for one that a person or the first model asked for.
    """

    asked_at: float
    ended_at: float
    cause: Cause | None


def absorbed(retrainings: Sequence[Retraining], alarms: Iterable[float]) -> list[Retraining]:
    """Let each retraining be open until the last alarm that asked for nothing because of it.

    A job's end and a report are stamped before they are stored, so two that meet may be stamped the other way round.

    Parameters
    ----------
    retrainings : sequence of Retraining
        Oldest first.
    alarms : iterable of float
        Times of recorded alarms that asked for nothing.

    Examples
    --------
    >>> absorbed([Retraining(10, 20, None), Retraining(30, 40, None)], [21, 25])
    [Retraining(asked_at=10, ended_at=26, cause=None), Retraining(asked_at=30, ended_at=40, cause=None)]
    """
    found = list(retrainings)
    for alarm in alarms:
        before = [n for n, retraining in enumerate(found) if retraining.asked_at <= alarm]
        if before:
            newest = found[before[-1]]
            found[before[-1]] = replace(newest, ended_at=max(newest.ended_at, alarm + 1))
    return found


def usual_length(retrainings: Sequence[Retraining]) -> float:
    """Return the median time for which retrainings were open (one that still is counts as for ever), 0 without any."""
    return median([one.ended_at - one.asked_at for one in retrainings]) if retrainings else 0.0


def asking(checks: Sequence[Check], retrainings: Sequence[Retraining], *, causes: Collection[Cause]) -> list[bool]:
    """Say which checks ask for a retraining: an alarm does, unless one is open.

    Parameters
    ----------
    checks : sequence of Check
        Oldest first.
    retrainings : sequence of Retraining
        What was really asked for, from `absorbed`.
    causes : collection of (str, int)
        All reports and quality checks of the replayed time, whether or not the replay has their checks.

    Returns
    -------
    list of bool
        One for each check.

    Notes
    -----
    A retraining that no check of this time asked for (a person did, or an earlier check) is open when it was. One
    that a check of this time asked for exists if the replay has that check and it alarms, and is open for as long as
    it was. One that nothing asked for then is open for the median time of all. So where a replay finds what was
    found then, it asks where was asked then.

    Examples
    --------
    >>> seen = Recorded(cause=("report", 7), verdict="drift", score=0.3, asked=True)
    >>> alarm = Check(at=10, version=1, rows=100, verdict="drift", score=0.3, sentence="", recorded=seen)
    >>> again = replace(alarm, at=15, recorded=None)
    >>> asking([alarm, again, replace(again, at=30)], [Retraining(10, 20, ("report", 7))], causes=[("report", 7)])
    [True, False, True]
    """
    own = {one.cause: one for one in retrainings if one.cause is not None and one.cause in causes}
    given = [one for one in retrainings if one.cause not in own]
    length = usual_length(retrainings)
    asked, made, known = [], -math.inf, -math.inf
    for check in checks:
        cause = check.recorded.cause if check.recorded else None
        mine = own.get(cause) if cause is not None else None
        is_open = check.at < made or (mine is None and (check.at < known or _any_open(given, check.at)))
        asks = check.verdict in ALARMS and not is_open
        asked.append(asks)
        if asks and mine is not None:
            known = mine.ended_at
        elif asks:
            made = check.at + length
    return asked


def _any_open(retrainings: Sequence[Retraining], at: float) -> bool:
    return any(one.asked_at <= at < one.ended_at for one in retrainings)


def agree(checks: Sequence[Check], asked: Sequence[bool], *, n_recorded: int) -> bool:
    """Say whether a replay is what happened: the same checks, verdicts, scores and retrainings.

    Parameters
    ----------
    checks : sequence of Check
    asked : sequence of bool
        From `asking`.
    n_recorded : int
        Reports and quality checks that there are of that time.
    """
    known = sum(check.recorded is not None and check.recorded.cause is not None for check in checks)
    return known == n_recorded and all(_same(check, asks) for check, asks in zip(checks, asked, strict=True))


def _same(check: Check, asks: bool) -> bool:
    then = check.recorded
    return then is not None and (check.verdict, check.score, asks) == (then.verdict, then.score, then.asked)
