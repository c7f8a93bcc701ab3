from __future__ import annotations

from dataclasses import replace

import pytest

from mlpipe.drift import silence
from mlpipe.settings import Settings

S = silence.SECOND_US
NOW = 1_800_000_000 * S
LIMIT = 3600
ON = Settings(
    checks_silent_s=LIMIT, predictions_silent_s=LIMIT, labels_silent_s=LIMIT, model_max_age_s=LIMIT, check_interval=60
)
QUIET = silence.Facts(
    now=NOW,
    watching_since=NOW - 9 * LIMIT * S,
    checked=NOW - 30 * S,
    predicted=NOW - 30 * S,
    unlabelled=NOW - 30 * S,
    version=3,
    serving_since=NOW - 9 * LIMIT * S,
    trained=NOW - 50 * S,
)
MEMBER = {
    "checks_silent": "checked",
    "predictions_silent": "predicted",
    "labels_silent": "unlabelled",
    "model_old": "trained",
}


def found(kind: str, facts: silence.Facts, settings: Settings = ON) -> silence.Finding:
    (one,) = (finding for finding in silence.judge(facts, settings) if finding.kind == kind)
    return one


@pytest.mark.parametrize("kind", MEMBER)
def test_each_watch_opens_just_beyond_its_limit(kind: str) -> None:
    at_limit = replace(QUIET, **{MEMBER[kind]: NOW - LIMIT * S})
    beyond = replace(QUIET, **{MEMBER[kind]: NOW - LIMIT * S - 1})
    assert (found(kind, QUIET).late, found(kind, at_limit).late, found(kind, beyond).late) == (False, False, True)
    assert "the limit is 1 h" in found(kind, beyond).sentence


@pytest.mark.parametrize("kind", MEMBER)
def test_only_the_watch_concerned_opens(kind: str) -> None:
    late = replace(QUIET, **{MEMBER[kind]: NOW - 5 * LIMIT * S})
    assert [finding.kind for finding in silence.judge(late, ON) if finding.late] == [kind]


@pytest.mark.parametrize("kind", MEMBER)
def test_zero_turns_a_watch_off_and_closes_what_is_open(kind: str) -> None:
    off = Settings(checks_silent_s=0, predictions_silent_s=0, labels_silent_s=0, model_max_age_s=0)
    late = replace(QUIET, **{MEMBER[kind]: NOW - 99 * LIMIT * S})
    assert found(kind, late, off).late is False


def test_by_default_only_checks_are_watched() -> None:
    years = silence.Facts(now=NOW, watching_since=0, predicted=S, unlabelled=S, version=1, serving_since=S, trained=S)
    assert [finding.kind for finding in silence.judge(years, Settings()) if finding.late] == ["checks_silent"]


@pytest.mark.parametrize("kind", ["checks_silent", "predictions_silent", "labels_silent"])
def test_silence_while_nobody_watched_neither_opens_nor_closes(kind: str) -> None:
    restarted = replace(QUIET, watching_since=NOW - 10 * S, **{MEMBER[kind]: NOW - 5 * LIMIT * S})
    assert found(kind, restarted).late is None


def test_nothing_ever_is_late_after_the_limit_too() -> None:
    never = replace(QUIET, checked=None, predicted=None)
    assert found("checks_silent", never).sentence.startswith("No drift check ever; the limit is 1 h.")
    assert found("predictions_silent", never).sentence.startswith("No prediction ever; the limit is 1 h.")


def test_without_a_model_no_prediction_label_or_age_is_missed() -> None:
    none = silence.Facts(now=NOW, watching_since=NOW - 9 * LIMIT * S, checked=NOW)
    assert not any(finding.late for finding in silence.judge(none, ON))


def test_labels_are_not_missed_while_no_prediction_waits() -> None:
    assert found("labels_silent", replace(QUIET, unlabelled=None)).late is False


def test_a_slow_interval_gives_the_checks_four_of_it() -> None:
    slow = replace(ON, check_interval=86_400)
    late = replace(QUIET, checked=NOW - 3 * 86_400 * S, watching_since=NOW - 99 * 86_400 * S)
    assert found("checks_silent", late, slow).late is False
    assert found("checks_silent", replace(late, checked=NOW - 5 * 86_400 * S), slow).late is True
