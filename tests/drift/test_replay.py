from __future__ import annotations

import math
from dataclasses import replace

from mlpipe.drift import replay
from mlpipe.drift.replay import Check, Recorded, Retraining


def check(at: int, verdict: str | None = "drift", *, report: int | None = None, asked: bool = False) -> Check:
    recorded = None if report is None else Recorded(("report", report), "drift", 0.3, asked)
    return Check(at=at, version=1, rows=100, verdict=verdict, score=0.3, sentence="", recorded=recorded)


def asking(checks: list[Check], *retrainings: Retraining, dropped: tuple[int, ...] = ()) -> list[bool]:
    causes = {one.recorded.cause for one in checks if one.recorded and one.recorded.cause is not None}
    return replay.asking(checks, list(retrainings), causes=causes | {("report", number) for number in dropped})


def test_an_alarm_asks_unless_a_retraining_of_a_person_is_open():
    by_hand = Retraining(10, 20, None)
    assert asking([check(10), check(19), check(20)], by_hand) == [False, False, True]


def test_only_alarms_ask():
    assert asking([check(1, "stable"), check(2, "harmless"), check(3, None), check(4, replay.WAITING)]) == [False] * 4


def test_alarms_that_were_recorded_ask_where_they_asked():
    checks = [check(10, report=1, asked=True), check(15, report=2), check(20, report=3, asked=True)]
    assert asking(checks, Retraining(10, 18, ("report", 1)), Retraining(20, math.inf, ("report", 3))) == [
        True,
        False,
        True,
    ]


def test_the_next_alarm_asks_when_the_first_one_is_gone():
    checks = [check(10, "stable", report=1, asked=True), check(12, report=2), check(16, report=3)]
    assert asking(checks, Retraining(10, 18, ("report", 1))) == [False, True, False]


def test_a_retraining_of_an_earlier_check_is_open_as_it_was():
    assert asking([check(10, report=2)], Retraining(5, 11, ("report", 1))) == [False]
    assert asking([check(11, report=2)], Retraining(5, 11, ("report", 1))) == [True]


def test_a_retraining_of_a_check_that_the_replay_drops_is_not_there():
    assert asking([check(10)], Retraining(5, 11, ("report", 1)), dropped=(1,)) == [True]


def test_a_new_retraining_is_open_for_the_usual_time():
    assert replay.usual_length([Retraining(0, 4, None), Retraining(0, 10, None), Retraining(0, math.inf, None)]) == 10
    assert replay.usual_length([Retraining(0, math.inf, None)]) == math.inf
    assert replay.usual_length([]) == 0
    checks = [check(100), check(104), check(105), check(109)]
    assert asking(checks, Retraining(0, 5, None)) == [True, False, True, False]


def test_a_new_retraining_stands_in_the_way_of_a_recorded_one():
    checks = [check(100), check(104, report=1, asked=True), check(108, report=2)]
    assert asking(checks, Retraining(0, 5, None), Retraining(104, 109, ("report", 1))) == [True, False, True]


def test_an_alarm_that_joined_a_job_proves_that_it_was_open():
    end_and_report_stamped_the_wrong_way_round = replay.absorbed([Retraining(10, 14, ("report", 1))], [15])
    checks = [check(10, report=1, asked=True), check(15, report=2), check(16, report=3, asked=True)]
    assert asking(checks, *end_and_report_stamped_the_wrong_way_round, Retraining(16, 20, ("report", 3))) == [
        True,
        False,
        True,
    ]


def test_an_alarm_before_any_retraining_proves_nothing():
    assert replay.absorbed([Retraining(10, 14, ("report", 1))], [5]) == [Retraining(10, 14, ("report", 1))]


def test_a_replay_agrees_only_when_nothing_differs():
    same = check(10, report=1, asked=True)
    assert replay.agree([same], [True], n_recorded=1)
    assert not replay.agree([same], [False], n_recorded=1)
    assert not replay.agree([same], [True], n_recorded=2)
    assert not replay.agree([replace(same, score=math.nextafter(0.3, 1))], [True], n_recorded=1)
    assert not replay.agree([replace(same, verdict="stable")], [True], n_recorded=1)
    assert not replay.agree([replace(same, recorded=None)], [True], n_recorded=0)
