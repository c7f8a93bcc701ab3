from __future__ import annotations

from mlpipe.prediction import sticky

KEYS = [f"meter {n}" for n in range(2000)]


def chosen(version: int, share: float) -> set[str]:
    return {key for key in KEYS if sticky.chosen(key, version, share)}


def test_a_larger_share_keeps_the_callers_of_a_smaller_one() -> None:
    assert chosen(3, 0.1) < chosen(3, 0.3) < chosen(3, 1.0) == set(KEYS)
    assert abs(len(chosen(3, 0.3)) - 600) < 5 * (2000 * 0.3 * 0.7) ** 0.5


def test_the_next_canary_meets_other_callers() -> None:
    both = chosen(3, 0.3) & chosen(4, 0.3)
    assert abs(len(both) - 180) < 5 * (2000 * 0.09 * 0.91) ** 0.5


def test_the_choice_is_the_same_in_every_process() -> None:
    assert [sticky.chosen(key, 3, 0.5) for key in KEYS[:6]] == CHOICE


CHOICE = [False, False, True, True, False, False]
