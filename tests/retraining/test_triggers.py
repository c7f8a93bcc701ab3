from __future__ import annotations

from typing import Literal

import pytest

from mlpipe import errors, settings
from mlpipe.retraining import triggers
from mlpipe.retraining.triggers import Age, Try
from mlpipe.settings import Settings

S = triggers.SECOND_US
HOUR = 3600 * S
QUIET = Settings(retrain_cooldown_s=0.0)

DRIFT = frozenset({"drift"})


def names(age: Age, **changes: object) -> list[str]:
    return [one.trigger for one in triggers.due(age, Settings(**changes))]  # type: ignore[arg-type]


def age(**figures: int) -> Age:
    return Age(**({"now": 100 * S, "version": 1, "since": 0, "n_new": 0} | figures))  # type: ignore[arg-type]


def useless(n: int, *, last: int = 0) -> list[Try]:
    return [Try(ended_at=last - k, promoted=False) for k in range(n)]


# When to train --------------------------------------------------------------------------------------------------


def test_a_model_is_old_after_one_window_of_labels_by_default() -> None:
    assert names(age(n_new=999)) == []
    assert names(age(n_new=1000)) == ["age"]
    assert names(age(n_new=300), max_age_rows=300) == ["age"]
    assert names(age(n_new=50), window_size=50) == ["age"]


def test_time_ages_a_model_where_somebody_says_so() -> None:
    assert names(age(), max_age_s=101.0) == []
    assert names(age(), max_age_s=100.0) == ["age"]
    assert names(age(n_new=5000), max_age_s=1.0) == ["age"]


def test_labels_and_the_calendar_are_off_by_default() -> None:
    assert names(age(n_new=700), retrain_every_labels=700) == ["labels"]
    assert names(age(n_new=699), retrain_every_labels=700) == []
    assert names(age(cron_at=90 * S), retrain_cron="0 3 * * mon") == ["cron"]


def test_a_trigger_says_what_it_rests_on() -> None:
    (one,) = triggers.due(age(n_new=1000), Settings())
    assert "1,000 labelled rows have come since version 1" in one.sentence


@pytest.mark.parametrize("text", ["0 3 * *", "61 3 * * *", "0 3 * * 1", "often", "0 3 * * noday"])
def test_a_calendar_that_cannot_be_read_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(errors.InvalidSetting, match=r"MLPIPE_RETRAIN_CRON.*mon\."):
        settings.load({"MLPIPE_RETRAIN_CRON": text}, home=Settings().home)


def test_a_calendar_that_can_be_read_is_kept() -> None:
    assert settings.load({"MLPIPE_RETRAIN_CRON": "*/5 3 * * mon-fri"}, home=Settings().home).retrain_cron


# When not to ----------------------------------------------------------------------------------------------------


def test_nothing_holds_up_a_first_retraining() -> None:
    assert triggers.hold(DRIFT, [], Settings(), now=0) is None


def test_the_next_one_waits_for_the_cooldown() -> None:
    tries = [Try(ended_at=10 * S, promoted=True)]
    pause = Settings(retrain_cooldown_s=60.0)
    held = triggers.hold(DRIFT, tries, pause, now=20 * S)
    assert held is not None
    assert (held.why, held.until) == ("cooldown", 70 * S)
    assert "1970-01-01 00:01:10 UTC" in held.sentence
    assert triggers.hold(DRIFT, tries, pause, now=70 * S) is None


def test_the_budget_frees_one_when_the_oldest_is_a_day_ago() -> None:
    tries = [Try(ended_at=hour * HOUR, promoted=True) for hour in (5, 4, 3)]
    few = Settings(retrain_budget=3, retrain_cooldown_s=0.0)
    held = triggers.hold(DRIFT, tries, few, now=6 * HOUR)
    assert held is not None
    assert (held.why, held.until) == ("budget", 27 * HOUR)
    assert triggers.hold(DRIFT, tries, few, now=27 * HOUR) is None
    assert triggers.hold(DRIFT, tries, Settings(retrain_budget=0, retrain_cooldown_s=0.0), now=6 * HOUR) is None


@pytest.mark.parametrize(("n", "pause"), [(3, 2), (4, 4), (5, 8), (6, 16)])
def test_useless_retrainings_double_the_pause(n: int, pause: int) -> None:
    held = triggers.hold(DRIFT, useless(n), QUIET, now=1)
    assert held is not None
    assert (held.why, held.until) == ("back_off", pause * HOUR)
    assert f"None of the last {n} retrainings" in held.sentence
    assert triggers.hold(DRIFT, useless(n), QUIET, now=pause * HOUR) is None


def test_two_useless_ones_may_be_bad_luck() -> None:
    assert triggers.hold(DRIFT, useless(2), QUIET, now=1) is None


def test_a_pause_never_overflows() -> None:
    longest = Settings(retrain_cooldown_s=0.0, retrain_backoff_s=604_800.0)
    held = triggers.hold(DRIFT, useless(5000), longest, now=1)
    assert held is not None
    assert held.sentence


@pytest.mark.parametrize("trigger", sorted(triggers.OBEYED))
def test_what_a_person_has_set_is_not_backed_off(trigger: str) -> None:
    assert triggers.hold(DRIFT | {trigger}, useless(9), QUIET, now=1) is None


def test_one_that_helps_ends_the_pause() -> None:
    tries = [Try(ended_at=0, promoted=True), *useless(9)]
    assert triggers.hold(DRIFT, tries, QUIET, now=1) is None


def test_a_promotion_is_of_no_use_when_a_check_of_its_version_says_drift_still() -> None:
    def held(drift: Literal["over", "goes_on", "unseen"]) -> bool:
        tries = [Try(ended_at=0, promoted=True, drift=drift)] * 3
        return triggers.hold(frozenset({"drift", "age"}), tries, QUIET, now=1) is not None

    assert (held("goes_on"), held("unseen"), held("over")) == (True, False, False)


def test_rows_that_cannot_be_trained_on_are_looked_at_again() -> None:
    held = triggers.untrainable("All labels are equal.", now=0)
    assert (held.why, held.until) == ("data", 300 * S)
    assert held.sentence == "All labels are equal. The rows are looked at again at 1970-01-01 00:05:00 UTC."
