"""The three questions, fresh? right? fast?, and the sentence that sums them up.

A verdict may be "cannot be seen": nothing is green because nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mlpipe.dashboard import series, words
from mlpipe.dashboard.picture import Latency, Picture, Report, Stretch
from mlpipe.settings import Settings

State = Literal["ok", "info", "warn", "bad", ""]

MIN_LABELS = 30
"""Labels from which "right?" is answered: with fewer, a 95 % range is wider than 36 points."""

DROP = 0.02
"""Points below the holdout's figure that count as a drop; in regression, the share of its error (drift.md)."""

SLOW_US = 100_000
"""99th percentile from which answers feel slow: 0.1 s is felt as at once (Nielsen 1993, Usability Engineering, 5.5)."""

STUCK_US = 1_000_000
"""99th percentile from which a person's flow of thought is broken (the same source)."""

MIN_REQUESTS = 100
"""Requests from which a 99th percentile is more than the slowest one."""

SILENT_US = 24 * 3600 * 1_000_000
"""Age of the newest request from which latency is history."""

LATE_CHECKS = 3
"""Check intervals without a check, though enough rows are there, from which the answer is old."""

MAX_HEADLINE = 120
"""Characters of the page's sentence."""

RANKS: dict[str, int] = {"bad": 0, "warn": 1, "": 2, "info": 2, "ok": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question with its verdict, figure, reason and the clause that it gives to the page's sentence."""

    name: str
    question: str
    anchor: str
    state: State
    word: str
    icon: str
    figure: str
    unit: str
    reason: str
    clause: str


def fresh(picture: Picture, settings: Settings) -> Answer:
    """Answer whether the data still look like those that the model was trained on."""
    report, serving = picture.latest, picture.serving
    if report is None or serving is None:
        return _fresh("", "Cannot be seen", "wait", picture, settings, reason=_awaited(picture, settings))
    if report.version != serving.version:
        reason = f"The last check was of version {report.version}. {_awaited(picture, settings)}"
        return _fresh("info", "Not checked yet", "wait", picture, settings, reason=reason)
    if is_overdue(picture, settings):
        since = words.moment(report.checked_us, picture.now_us)
        reason = f"Nothing has been checked since {since}, though enough new rows are here. Look at System below."
        return _fresh("bad", "Not checked", "bad", picture, settings, reason=reason)
    state, word, icon = _VERDICTS.get(report.verdict, ("", words.kind_name(report.verdict), "quiet"))
    return _fresh(state, word, icon, picture, settings, reason=report.sentence or "")


_VERDICTS: dict[str, tuple[State, str, str]] = {
    "stable": ("ok", "Yes", "ok"),
    "harmless": ("info", "Moved, harmless", "ok"),
    "drift": ("bad", "Drift", "drift"),
}


def _fresh(state: State, word: str, icon: str, picture: Picture, settings: Settings, *, reason: str) -> Answer:
    report = picture.latest
    alarm = f"drift score, alarm at {settings.threshold:g}"
    clauses = {
        "Yes": "fresh",
        "Drift": f"drift: {_moved(report, settings)}",
        "Moved, harmless": "fresh enough (what moved is hardly used)",
        "Not checked": f"not checked for drift since {words.moment(report.checked_us, picture.now_us)}"
        if report
        else "",
        "Not checked yet": "the new version is not checked for drift yet",
        "Cannot be seen": "not checked for drift yet",
    }
    return Answer(
        name="fresh",
        question="Fresh?",
        anchor="drift",
        state=state,
        word=word,
        icon=icon,
        figure=words.figure(report.score) if report else words.UNKNOWN,
        unit=alarm if report else "no drift check yet",
        reason=reason,
        clause=clauses.get(word, word.lower()),
    )


def _moved(report: Report | None, settings: Settings) -> str:
    if report and report.score <= settings.threshold:
        return "features no longer move together as they did"
    ranked = rank(report.features) if report else []
    if not ranked:
        return "the data have moved"
    return f"{words.short(ranked[0].get('name'))} has moved"


def _awaited(picture: Picture, settings: Settings) -> str:
    here = picture.totals.rows_since_check
    if here >= settings.min_samples:
        return f"Enough new rows are here; the next check comes within {words.duration(settings.check_interval * 1e6)}."
    return f"{here} of the {settings.min_samples} new rows that a check needs are here."


def is_overdue(picture: Picture, settings: Settings) -> bool:
    """Say whether a check should have been made long ago."""
    report = picture.latest
    if report is None or picture.totals.rows_since_check < settings.min_samples:
        return False
    return picture.now_us - report.checked_us > LATE_CHECKS * settings.check_interval * 1e6


def rank(features: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the features of a report, those first that chance does not explain and that moved furthest.

    Examples
    --------
    >>> [one["name"] for one in rank([{"name": "a", "psi_corrected": 0.01}, {"name": "b", "psi_corrected": 0.2}])]
    ['b', 'a']
    """
    return sorted(features, key=lambda one: (not one.get("significant"), -(one.get("psi_corrected") or 0.0)))


def right(picture: Picture) -> Answer:
    """Answer how often the serving version is right, against the best constant answer on the same rows."""
    serving = picture.serving
    quality = quality_of_version(picture, serving.version, serving.task) if serving else None
    if serving is None or quality is None:
        return _right("", "Cannot be seen", "quiet", words.UNKNOWN, unit="no label yet", reason=_unlabelled(picture))
    unit = _unit(quality, serving.task)
    shown = measure(quality.value, serving.task)
    if quality.n < MIN_LABELS:
        known = words.plural(quality.n, "label")
        reason = f"{known} of version {serving.version} so far; with {MIN_LABELS} this is answered."
        return _right("", "Too few labels", "wait", shown, unit=unit, reason=reason)
    state, word, icon = _judge(quality, serving)
    return _right(state, word, icon, shown, unit=unit, reason=_compared(quality, picture, serving))


def quality_of_version(picture: Picture, version: int, task: str) -> series.Quality | None:
    """Return the quality of one version's labelled predictions of the last days."""
    parts = [part for part in series.whole_labels(picture) if part.version == version]
    return series.quality_of(parts, task)


def holdout(serving: Stretch) -> float | None:
    """Return the accuracy, or the mean absolute error, that the version had when it was accepted."""
    value = serving.metrics.get("mae" if serving.task == "regression" else "accuracy")
    return float(value) if isinstance(value, int | float) else None


def measure(value: float, task: str) -> str:
    """Return a quality figure in its unit."""
    return words.amount(value) if task == "regression" else words.share(value)


def _judge(quality: series.Quality, serving: Stretch) -> tuple[State, str, str]:
    accepted = holdout(serving)
    if serving.task == "regression":
        worse, better = quality.low > quality.baseline, quality.high < quality.baseline
        fallen = accepted is not None and quality.low > accepted * (1 + DROP)
    else:
        worse, better = quality.high < quality.baseline, quality.low > quality.baseline
        fallen = accepted is not None and quality.high < accepted - DROP
    if worse:
        return "bad", "No", "bad"
    if fallen:
        return "warn", "Less than it was", "drift"
    return ("ok", "Yes", "ok") if better else ("info", "Not certain", "quiet")


def _unit(quality: series.Quality, task: str) -> str:
    ends = f"{measure(quality.low, task)} to {measure(quality.high, task)}"
    what = "mean error" if task == "regression" else "right"
    return f"{what} of {words.plural(quality.n, 'label')}, 95\N{NO-BREAK SPACE}%: {ends}"


def _compared(quality: series.Quality, picture: Picture, serving: Stretch) -> str:
    baseline = measure(quality.baseline, serving.task)
    if serving.task == "regression":
        sentence = f"“Always the average” would miss by {baseline} on the same rows."
    else:
        sentence = f"“Always {constant(picture, serving)}” would be right on {baseline} of the same rows."
    accepted = holdout(serving)
    if accepted is None:
        return sentence
    verb = "missed by" if serving.task == "regression" else "was right on"
    return f"{sentence} When version {serving.version} was accepted it {verb} {measure(accepted, serving.task)}."


def constant(picture: Picture, serving: Stretch) -> str:
    """Return the most common class among the labels of the serving version."""
    common = series.most_common(part for part in series.whole_labels(picture) if part.version == serving.version)
    return words.class_name(common[0], serving.target) if common else words.UNKNOWN


def _unlabelled(picture: Picture) -> str:
    if not picture.traffic:
        return "Nothing was predicted yet, so there is nothing to be right about."
    return "No prediction of this version has a label. Send outcomes to /feedback under the ids of the answers."


def _right(state: State, word: str, icon: str, shown: str, *, unit: str, reason: str) -> Answer:
    of = "mean error " if "error" in unit else "right on "
    clauses = {
        "Yes": f"{of}{shown}",
        "No": f"{of}{shown}, less good than a constant answer",
        "Less than it was": f"{of}{shown}, less good than when it was accepted",
        "Not certain": f"{of}{shown}, not certainly better than a constant answer",
        "Too few labels": "too few labels to say how often it is right",
        "Cannot be seen": "no label says whether it is right",
    }
    return Answer(
        name="right",
        question="Right?",
        anchor="performance",
        state=state,
        word=word,
        icon=icon,
        figure=shown,
        unit=unit,
        reason=reason,
        clause=clauses[word],
    )


def fast(picture: Picture) -> Answer:
    """Answer how long a request takes, from the newest requests in the log."""
    latencies = picture.latencies
    if not latencies:
        reason = "Nothing was asked for yet. Post rows to /predict."
        return _fast("", "Cannot be seen", "quiet", words.UNKNOWN, unit="no request yet", reason=reason)
    p50, p99 = (series.percentile([request.latency_us for request in latencies], part) for part in (0.5, 0.99))
    slowest = "slowest 1 in 100" if len(latencies) >= MIN_REQUESTS else f"slowest of {len(latencies)}"
    unit = f"{slowest}, median {words.milliseconds(p50)}" if len(latencies) > 1 else "the only request so far"
    shown, reason = words.milliseconds(p99), _requests(latencies, picture.now_us)
    if picture.now_us - latencies[-1].at_us > SILENT_US:
        return _fast("", "Nothing to see now", "quiet", shown, unit=unit, reason=reason)
    if p99 >= STUCK_US:
        return _fast("bad", "No", "bad", shown, unit=unit, reason=reason)
    if p99 >= SLOW_US:
        return _fast("warn", "Slow", "wait", shown, unit=unit, reason=reason)
    return _fast("ok", "Yes", "ok", shown, unit=unit, reason=reason)


def _requests(latencies: Sequence[Latency], now_us: int) -> str:
    rows = series.percentile([request.n_rows for request in latencies], 0.5)
    newest = words.moment(latencies[-1].at_us, now_us)
    asked = (
        "The newest request came"
        if len(latencies) == 1
        else f"The newest {words.number(len(latencies))} requests, the last"
    )
    typical = f"; half of them had {words.plural(int(rows), 'row')} or fewer" if len(latencies) > 1 else ""
    return f"{asked} at {newest}{typical}. Measured inside mlpipe, without the network."


def _fast(state: State, word: str, icon: str, shown: str, *, unit: str, reason: str) -> Answer:
    clauses = {
        "Yes": "fast",
        "Slow": f"slow: 1 request in 100 takes {shown} or more",
        "No": f"very slow: 1 request in 100 takes {shown} or more",
        "Nothing to see now": "nobody has asked for a day",
        "Cannot be seen": "nobody has asked for a prediction yet",
    }
    return Answer(
        name="fast",
        question="Fast?",
        anchor="traffic",
        state=state,
        word=word,
        icon=icon,
        figure=shown,
        unit=unit,
        reason=reason,
        clause=clauses[word],
    )


def headline(answers: Sequence[Answer], health: str = "ok") -> str:
    """Return the page's sentence: what is worst first, in at most 120 characters.

    Parameters
    ----------
    answers : sequence of Answer
        In the order in which equal ranks are told.
    health : {"ok", "degraded", "down"}
        The worst state of any component.
    """
    ranked = sorted(answers, key=lambda answer: RANKS[answer.state])
    troubled = {"down": ["a part of mlpipe is down"], "degraded": ["a part of mlpipe is not well"]}.get(health, [])
    clauses = [*troubled, *(answer.clause for answer in ranked if answer.state != "ok")]
    good = [answer.clause for answer in ranked if answer.state == "ok"]
    while len(text := _joined(clauses, good)) > MAX_HEADLINE and (clauses or good):
        (good or clauses).pop()
    return text


def _joined(clauses: Sequence[str], good: Sequence[str]) -> str:
    sentences = [*clauses, *([_listed(good)] if good else [])]
    return " ".join(sentence[:1].upper() + sentence[1:] + "." for sentence in sentences)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def title(answers: Sequence[Answer], name: str) -> str:
    """Return the text of the browser's tab: the worst verdict, then the model's name."""
    worst = min(answers, key=lambda answer: RANKS[answer.state])
    sign = {"bad": "✕", "warn": "△", "": "◌", "info": "◌", "ok": "✓"}[worst.state]
    state = "Fresh, right, fast" if worst.state == "ok" else f"{worst.question} {worst.word}"
    return f"{sign} {state} · {name}"
