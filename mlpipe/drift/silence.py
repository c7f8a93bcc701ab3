"""What has been silent for too long, and which model is too old [pure]."""

from __future__ import annotations

from dataclasses import dataclass

from mlpipe.settings import Settings

SECOND_US = 1_000_000

_MISSED = {
    "checks_silent": (
        "drift check",
        "Drift is not seen meanwhile: look for failures (GET /ledger?kind=failure, logs/drift_monitor_*.log).",
    ),
    "predictions_silent": ("prediction", "Look at what calls POST /predict: clients, network, proxy."),
}
"""Kind -> what is missed, and what to do."""

UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the database says; times are microseconds since 1970, None where there is nothing yet.

    Attributes
    ----------
    now : int
    watching_since : int
        When the process that looks was started: silence before it is not held against anybody.
    checked : int or None
        When the newest drift check began that ended without a fault.
    predicted : int or None
        Newest prediction.
    unlabelled : int or None
        Oldest prediction after the arrival of the newest label, whatever way that came.
    version : int or None
        What serves.
    serving_since, trained : int or None
        Since when it serves, and when it was trained.
    """

    now: int
    watching_since: int
    checked: int | None = None
    predicted: int | None = None
    unlabelled: int | None = None
    version: int | None = None
    serving_since: int | None = None
    trained: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one watch found.

    Parameters
    ----------
    kind : str
        Kind of the incident.
    late : bool or None
        None: no cause to open an incident, and none to say that it is over.
    sentence : str
        What is wrong and what to do, or why it is over.
    since : int or None
        What the time is counted from, microseconds since 1970; None where nothing has been yet.
    limit_s : float
        The setting that it is beyond.
    """

    kind: str
    late: bool | None
    sentence: str
    since: int | None = None
    limit_s: float = 0.0


def judge(facts: Facts, settings: Settings) -> tuple[Finding, ...]:
    """Return what each watch finds."""
    return (_checks(facts, settings), _predictions(facts, settings), _labels(facts, settings), _age(facts, settings))


def _checks(facts: Facts, settings: Settings) -> Finding:
    limit = settings.checks_silent_limit_s
    return _silence("checks_silent", facts.checked, since=facts.watching_since, now=facts.now, limit_s=limit)


def _predictions(facts: Facts, settings: Settings) -> Finding:
    since = max(facts.watching_since, facts.serving_since or facts.now)
    limit = settings.predictions_silent_s
    return _silence("predictions_silent", facts.predicted, since=since, now=facts.now, limit_s=limit)


def _silence(kind: str, last: int | None, *, since: int, now: int, limit_s: float) -> Finding:
    """Judge a silence: it opens by what was missed while somebody watched, and is over by a sign of life alone."""
    what, advice = _MISSED[kind]
    if not limit_s:
        return _off(kind)
    if last is not None and now - last <= limit_s * SECOND_US:
        return Finding(kind, False, f"A {what} has come again.")
    if now - max(last or 0, since) <= limit_s * SECOND_US:
        return Finding(kind, None, "")
    silent = f"for {duration(now - last)}" if last else "ever"
    sentence = f"No {what} {silent}; the limit is {duration(limit_s * SECOND_US)}. {advice}"
    return Finding(kind, True, sentence, last, limit_s)


def _labels(facts: Facts, settings: Settings) -> Finding:
    kind, limit_s = "labels_silent", settings.labels_silent_s
    if not limit_s:
        return _off(kind)
    if facts.unlabelled is None or facts.now - facts.unlabelled <= limit_s * SECOND_US:
        return Finding(kind, False, "Labels have come again.")
    if facts.now - max(facts.unlabelled, facts.watching_since) <= limit_s * SECOND_US:
        return Finding(kind, None, "")
    sentence = (
        f"Predictions have waited for {duration(facts.now - facts.unlabelled)}, and no label has come since; the limit "
        f"is {duration(limit_s * SECOND_US)}. Look at what calls POST /feedback: without labels quality is not known, "
        "and no retraining can help."
    )
    return Finding(kind, True, sentence, facts.unlabelled, limit_s)


def _age(facts: Facts, settings: Settings) -> Finding:
    kind, limit_s = "model_old", settings.model_max_age_s
    if not limit_s:
        return _off(kind)
    if facts.trained is None:
        return Finding(kind, False, "No version serves.")
    age = facts.now - facts.trained
    if age <= limit_s * SECOND_US:
        return Finding(kind, False, f"Version {facts.version} serves, trained {duration(age)} ago.")
    sentence = (
        f"Version {facts.version} was trained {duration(age)} ago; the limit is {duration(limit_s * SECOND_US)}. "
        "POST /retraining/jobs asks for a new one."
    )
    return Finding(kind, True, sentence, facts.trained, limit_s)


def _off(kind: str) -> Finding:
    return Finding(kind, False, "It is not watched any more.")


def duration(us: float) -> str:
    """Return a time in its largest unit, with one decimal below ten.

    Examples
    --------
    >>> duration(5_400_000_000), duration(86_400_000_000 * 45), duration(250_000), duration(120_000_000)
    ('1.5 h', '45 d', '0.2 s', '2 min')
    """
    seconds = us / SECOND_US
    size, unit = next(((size, unit) for size, unit in UNITS if seconds >= size), UNITS[-1])
    value = seconds / size
    return f"{value:.1f}".removesuffix(".0") + f" {unit}" if value < 10 else f"{value:.0f} {unit}"
