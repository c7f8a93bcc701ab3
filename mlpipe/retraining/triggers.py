"""When to train and when not to [pure]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Literal

from mlpipe.settings import Settings

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US

RETRY_S = 300.0
"""Pause before a window that cannot be trained on is looked at again: one interval of the checks as by default."""

MAX_DOUBLINGS = 10
"""The pause stops growing there (85 days with two hours at first), so that it never overflows a date."""

OBEYED = frozenset({"manual", "cron", "labels"})
"""Triggers that a person has set: back-off does not know better."""

Why = Literal["cooldown", "budget", "back_off", "data"]


# When to train --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Due:
    """A trigger that has gone off."""

    trigger: Literal["age", "labels", "cron"]
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """How old the version that serves is; times are microseconds since 1970.

    Attributes
    ----------
    now : int
    version : int
        What serves.
    since : int
        When it, or the newest challenger that did not replace it, was trained.
    n_new : int
        Labelled rows that came since, counted up to what matters.
    cron_at : int or None
        A time of the cron expression that has come and was not used.
    """

    now: int
    version: int
    since: int
    n_new: int
    cron_at: int | None = None


def due(age: Age, settings: Settings) -> tuple[Due, ...]:
    """Return the triggers of age, labels and calendar that have gone off.

    Examples
    --------
    >>> age = Age(now=10, version=3, since=0, n_new=1000)
    >>> [one.trigger for one in due(age, Settings(window_size=1000))]
    ['age']
    """
    return tuple(_due(age, settings))


def _due(age: Age, settings: Settings) -> Iterator[Due]:
    rows = f"{age.n_new:,} labelled rows have come since version {age.version} was trained or last challenged"
    seconds = (age.now - age.since) / SECOND_US
    if age.n_new >= settings.max_age_labels:
        yield Due("age", f"{rows}; the limit is {settings.max_age_labels:,}.")
    elif settings.max_age_s and seconds >= settings.max_age_s:
        said = f"Version {age.version} was trained or last challenged {seconds:,.0f} s ago"
        yield Due("age", f"{said}; the limit is {settings.max_age_s:,.0f} s.")
    if settings.retrain_every_labels and age.n_new >= settings.retrain_every_labels:
        yield Due("labels", f"{rows}; one retraining every {settings.retrain_every_labels:,} is asked for.")
    if age.cron_at is not None:
        yield Due("cron", f"It is due by the calendar ({settings.retrain_cron}) since {moment(age.cron_at)}.")


# When not to ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """A retraining that was carried out.

    Attributes
    ----------
    ended_at : int
        Microseconds since 1970.
    promoted : bool
    drift : {"over", "goes_on", "unseen"}
        What became of the drift that was open: over, or there was none; a check has seen its version and says drift
        still; or no check has seen its version.
    """

    ended_at: int
    promoted: bool
    drift: Literal["over", "goes_on", "unseen"] = "over"


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a job must wait, and until when.

    Parameters
    ----------
    why : {"cooldown", "budget", "back_off", "data"}
    until : int
        Microseconds since 1970.
    sentence : str
    """

    why: Why
    until: int
    sentence: str


def helped(tried: Try) -> bool:
    """Say whether a retraining was of any use; one that no check has seen yet is believed to be.

    Examples
    --------
    >>> [helped(Try(ended_at=0, promoted=True, drift=drift)) for drift in ("over", "goes_on", "unseen")]
    [True, False, True]
    """
    return tried.promoted and tried.drift != "goes_on"


def n_useless(tries: Sequence[Try]) -> int:
    """Count the newest retrainings in a row that did not help; `tries` come newest first.

    Examples
    --------
    >>> n_useless([Try(ended_at=2, promoted=False), Try(ended_at=1, promoted=True), Try(ended_at=0, promoted=False)])
    1
    """
    return sum(1 for _ in takewhile(lambda tried: not helped(tried), tries))


def hold(triggers: frozenset[str], tries: Sequence[Try], settings: Settings, *, now: int) -> Hold | None:
    """Say what holds a job up, whoever has asked; the one that lasts longest.

    Parameters
    ----------
    triggers : frozenset of str
        All that asked for the job.
    tries : sequence of Try
        Newest first.
    settings : Settings
    now : int
        Microseconds since 1970.

    Notes
    -----
    After k useless retrainings the pause is ``retrain_backoff_s * 2**(n - k)``, n being how many there were in a row. A
    small gain is no use while the drift goes on: on a day of rows that nobody labels, challengers that had merely seen
    more of the old world gained 0.0004 to 0.005 each, "significantly", and eleven of them were trained.

    Examples
    --------
    >>> useless = [Try(ended_at=0, promoted=False)] * 4
    >>> held = hold(frozenset({"drift"}), useless, Settings(), now=2_000_000)
    >>> held.why, held.until
    ('back_off', 14400000000)
    """
    found = (_cooldown(tries, settings), _budget(tries, settings, now), _back_off(triggers, tries, settings))
    return max((one for one in found if one and one.until > now), key=lambda one: one.until, default=None)


def _cooldown(tries: Sequence[Try], settings: Settings) -> Hold | None:
    if not tries:
        return None
    until = tries[0].ended_at + int(settings.retrain_cooldown_s * SECOND_US)
    said = f"The last retraining has ended less than {settings.retrain_cooldown_s:g} s ago"
    return Hold("cooldown", until, f"{said}; the next may begin at {moment(until)}.")


def _budget(tries: Sequence[Try], settings: Settings, now: int) -> Hold | None:
    today = [tried.ended_at for tried in tries if tried.ended_at > now - DAY_US]
    if not settings.retrain_budget or len(today) < settings.retrain_budget:
        return None
    until = sorted(today, reverse=True)[settings.retrain_budget - 1] + DAY_US
    said = f"{len(today)} retrainings within 24 hours are the budget (MLPIPE_RETRAIN_BUDGET)"
    return Hold("budget", until, f"{said}; the next may begin at {moment(until)}.")


def _back_off(triggers: frozenset[str], tries: Sequence[Try], settings: Settings) -> Hold | None:
    n = n_useless(tries)
    if n < settings.retrain_useless or triggers & OBEYED:
        return None
    pause_s = settings.retrain_backoff_s * 2 ** min(n - settings.retrain_useless, MAX_DOUBLINGS)
    until = tries[0].ended_at + int(pause_s * SECOND_US)
    said = f"None of the last {n} retrainings has helped, so the next one waits {timedelta(seconds=round(pause_s))}"
    return Hold("back_off", until, f"{said}, until {moment(until)}; a person may ask at any time.")


def untrainable(detail: str, *, now: int) -> Hold:
    """Return the wait for better rows, where the present ones cannot be trained on (one class, too few new ones)."""
    until = now + int(RETRY_S * SECOND_US)
    return Hold("data", until, f"{detail} The rows are looked at again at {moment(until)}.")


def moment(at_us: int) -> str:
    """Return a time for a sentence.

    Examples
    --------
    >>> moment(0)
    '1970-01-01 00:00:00 UTC'
    """
    return f"{datetime.fromtimestamp(at_us // SECOND_US, UTC):%Y-%m-%d %H:%M:%S} UTC"
