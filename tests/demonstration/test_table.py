"""The table is aligned, the words are honest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from demonstration import scoring, table
from tests.demonstration.build import closed_story


def test_table_is_aligned_and_a_second_deployment_gets_its_own_line() -> None:
    scores = scoring.Score(0.75, 0.7, 0.5), scoring.Score(0.8, 0.71, 0.45)
    rows = [
        scoring.Row("Feb", 2000, scores, ("v2: temp moved", "v3: visib moved")),
        scoring.Row("Feb-Dec", 22_000, scores),
    ]
    assert table.as_text(rows, january=1999).splitlines() == [
        "month    flights      accuracy             AUC            log loss",
        "                    frozen  mlpipe    frozen  mlpipe    frozen  mlpipe   deployed, and why",
        "Jan        1,999               both were trained on these                v1",
        "Feb        2,000     0.750   0.800     0.700   0.710     0.500   0.450   v2: temp moved",
        "                                                                         v3: visib moved",
        "Feb-Dec   22,000     0.750   0.800     0.700   0.710     0.500   0.450",
    ]


def test_words_say_so_when_mlpipe_was_not_better() -> None:
    story = closed_story()[0]
    whole = scoring.Row("Feb-Dec", 100, (scoring.Score(0.8, 0.7, 0.4), scoring.Score(0.8, 0.7, 0.5)))
    words = table.sentences(story, whole, on_time=0.75, difference=0.25)
    assert "was not better than" in words[0]
    assert "75.0 %" in words[1]
    assert "up to 0.25 apart" in words[3]


def test_version_that_came_after_the_last_flight_stands_in_the_last_month() -> None:
    story, answers, _ = closed_story()
    found = table.deployments(story, replace(answers, version=[1, 1]), np.array([2, 12]))
    assert found == {12: ["v2: temp moved by +1.4 sd"]}
