"""Every step that is missing is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from demonstration import closure
from tests.demonstration.build import closed_story


def test_loop_is_closed_when_every_step_is_there() -> None:
    assert closure.open_steps(*closed_story()) == []


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"history": []}, "no first model was trained and deployed by itself"),
        ({"labels": {"1-0": 0}}, "1 answers are not in the prediction log"),
        ({"labels": {"1-0": 0, "2-0": None}}, "1 labels did not reach their prediction"),
        ({"reports": []}, "no check saw drift"),
        ({"reports": [{"id": 7, "verdict": "stable"}]}, "no check saw drift"),
        ({"jobs": []}, "no drift led to a retraining"),
        ({"history": closed_story()[0].history[:1]}, "no retraining after a drift deployed a new version"),
    ],
)
def test_loop_is_open_when_a_step_is_missing(change: dict[str, Any], step: str) -> None:
    story, answers, late = closed_story()
    assert step in closure.open_steps(replace(story, **change), answers, late)


def test_loop_is_open_when_no_flight_met_the_new_version_or_one_got_no_answer() -> None:
    story, answers, late = closed_story()
    assert closure.open_steps(story, replace(answers, version=[1, 1]), late) == [
        "no flight was answered by a new version"
    ]
    assert closure.open_steps(story, answers, [*late, 0]) == ["1 flights got no prediction id"]
