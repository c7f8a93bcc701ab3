from __future__ import annotations

import pytest

from mlpipe.dashboard import answers
from mlpipe.dashboard.picture import Latency, Picture, Report, Stretch
from mlpipe.settings import Settings
from tests.dashboard.test_series import STEP, labelled, totals

NOW = 10**15
SETTINGS = Settings()


def stretch(**values):
    given = {
        "id": 1,
        "version": 1,
        "since_us": 0,
        "until_us": None,
        "by": "retraining",
        "reason": "First model.",
        "job_id": None,
        "job_reason": None,
        "open": True,
        "kind": "forest",
        "task": "classification",
        "metrics": {"accuracy": 0.78},
        "verdict": {},
        "target": {"kind": "integer"},
    }
    return Stretch(**(given | values))


def picture(**values):
    return Picture(now_us=NOW, step_us=STEP, totals=totals(NOW), stretches=[stretch()], **values)


def report(verdict="stable", score=0.0, version=1):
    return Report(
        id=1,
        checked_us=NOW,
        version=version,
        n_rows=1000,
        verdict=verdict,
        score=score,
        score_ungated=score,
        sentence="Told.",
        features=[{"name": "dep_delay", "psi_corrected": score, "significant": True}],
    )


def rated(n_right, n=1000, majority=650):
    return picture(labels=[labelled(0, 0.0, majority, n_right), labelled(0, 1.0, n - majority, 0)])


def test_nothing_known_is_never_green():
    nothing = picture()
    states = [answers.fresh(nothing, SETTINGS), answers.right(nothing), answers.fast(nothing)]
    assert [answer.state for answer in states] == ["", "", ""]


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (report(), "Yes"),
        (report("drift", 0.2), "Drift"),
        (report("harmless", 0.06), "Moved, harmless"),
        (report(version=9), "Not checked yet"),
    ],
)
def test_fresh_follows_the_verdict_of_the_serving_version(made, word):
    assert answers.fresh(picture(reports=[made]), SETTINGS).word == word


@pytest.mark.parametrize(
    ("n_right", "word"), [(780, "Yes"), (650, "Less than it was"), (500, "No"), (720, "Less than it was")]
)
def test_right_is_judged_by_the_baseline_and_the_holdout(n_right, word):
    assert answers.right(rated(n_right)).word == word


def test_right_needs_labels():
    assert answers.right(rated(9, n=10, majority=9)).word == "Too few labels"


@pytest.mark.parametrize(("latency_us", "state"), [(2_000, "ok"), (200_000, "warn"), (3_000_000, "bad")])
def test_fast_is_judged_by_the_slowest_in_a_hundred(latency_us, state):
    requests = [Latency(NOW, 1, latency_us)] * 5 + [Latency(NOW, 1, 100)] * 95
    assert answers.fast(picture(latencies=requests)).state == state


def test_old_requests_do_not_say_that_it_is_fast_now():
    request = Latency(NOW - 2 * answers.SILENT_US, 1, 100)
    assert answers.fast(picture(latencies=[request])).state == ""


def test_headline_tells_the_worst_first_and_stays_short():
    drifted = picture(reports=[report("drift", 0.2)])
    said = (answers.fresh(drifted, SETTINGS), answers.right(rated(780)), answers.fast(drifted))
    text = answers.headline(said)
    assert text.startswith("Drift: dep_delay has moved.")
    assert text.endswith("Right on 78.0\xa0%.")
    assert answers.headline(said, "down").startswith("A part of mlpipe is down.")
    assert len(answers.headline(said * 5, "down")) <= answers.MAX_HEADLINE


def test_headline_does_not_blame_a_feature_for_a_broken_relation():
    text = answers.headline((answers.fresh(picture(reports=[report("drift", 0.0)]), SETTINGS),))
    assert text.startswith("Drift: features no longer move together as they did.")


def test_title_carries_the_state():
    drifted = picture(reports=[report("drift", 0.2)])
    said = (answers.fresh(drifted, SETTINGS), answers.right(drifted), answers.fast(drifted))
    assert answers.title(said, "flights") == "✕ Fresh? Drift · flights"
