from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from mlpipe.drift import newest, verdict
from mlpipe.drift import reference as references
from mlpipe.drift.report import Rule, Since
from mlpipe.schema import contract

NOON = 1_800_014_400_000_000
"""2027-01-15 12:00 UTC."""
SECOND = 1_000_000


def repeated(rng, length, n, d):
    return np.repeat(rng.normal(size=(n // length + 1, d)), length, axis=0)[:n]


@pytest.fixture
def kept(rng, prepared):
    return prepared(rng.normal(size=(5000, 4)), predictions=rng.uniform(size=5000))


def test_stable_says_score_and_alarm(kept, rng):
    report = verdict.judge(kept, rng.normal(size=(1000, 4)), rng.uniform(size=1000))
    assert report.verdict == "stable"
    assert report.score == 0
    assert report.score_ungated > 0
    assert report.sentence.startswith("Nothing has moved: drift score 0, alarm at 0.05")


def test_drift_names_the_feature_the_shift_and_the_evidence(kept, rng):
    X = rng.normal(size=(1000, 4))
    X[:, 2] -= 0.6
    report = verdict.judge(kept, X, rng.uniform(size=1000))
    worst = report.features[0]
    assert (report.verdict, worst.name) == ("drift", "f2")
    assert report.score == worst.psi_corrected
    assert worst.shift_sd == pytest.approx(-0.6, abs=0.1)
    assert report.sentence.startswith("f2 moved by \N{MINUS SIGN}0.")
    assert "effective rows of" in report.sentence


def test_a_moved_prediction_alone_is_drift(kept, rng):
    report = verdict.judge(kept, rng.normal(size=(1000, 4)), rng.uniform(0.4, 1, size=1000))
    assert report.verdict == "drift"
    assert report.sentence.startswith("prediction moved")


def test_worst_feature_comes_first(kept, rng):
    X = rng.normal(size=(1000, 4)) + np.array([0, 0.5, 1.0, 0])
    names = [result.name for result in verdict.judge(kept, X, rng.uniform(size=1000)).features]
    assert names[:2] == ["f2", "f1"]


def test_report_is_json(kept, rng):
    report = verdict.judge(kept, rng.normal(size=(150, 4)), rng.uniform(size=150))
    again = json.loads(json.dumps(dataclasses.asdict(report), allow_nan=False))
    assert again["features"][0]["cells"]["labels"][-1] == "missing"
    assert sum(again["features"][0]["cells"]["window"]) == again["features"][0]["window"]


def test_corrected_is_psi_minus_floor(kept, rng):
    X = rng.normal(0.4, 1, size=(1000, 4))
    for result in verdict.judge(kept, X, rng.uniform(size=1000)).features:
        assert result.psi_corrected == pytest.approx(max(0, result.psi - result.noise_floor))
        assert result.visible_shift_sd == pytest.approx(np.sqrt(0.05 + result.noise_floor))
        assert result.noise_floor == pytest.approx(9 * result.tau * (1 / result.window + 1 / 5000))


def test_harmless_when_hardly_used_and_predictions_did_not_move(kept, rng):
    X = rng.normal(size=(1000, 4)) + np.array([1.0, 0, 0, 0])
    importance = np.array([0.005, 0.5, 0.3, 0.195])
    report = verdict.judge(kept, X, rng.uniform(size=1000), importance=importance)
    assert report.verdict == "harmless"
    assert "noted, not retrained" in report.sentence


def test_not_harmless_when_used_or_predictions_moved(kept, rng):
    X = rng.normal(size=(1000, 4)) + np.array([1.0, 0, 0, 0])
    used, unused = np.array([0.5, 0.5, 0, 0]), np.array([0, 0.5, 0.3, 0.2])
    assert verdict.judge(kept, X, rng.uniform(size=1000), importance=used).verdict == "drift"
    assert verdict.judge(kept, X, rng.uniform(0.5, 1, size=1000), importance=unused).verdict == "drift"


def test_harmless_needs_predictions(rng, prepared):
    kept = prepared(rng.normal(size=(5000, 1)))
    report = verdict.judge(kept, rng.normal(1, 1, size=(1000, 1)), None, importance=np.zeros(1))
    assert report.verdict == "drift"


@pytest.mark.parametrize(
    ("n_rows", "tau", "sizes"),
    [
        (1000, 1, (1000, 500, 250, 125)),
        (999, 1, (999, 500, 250, 125)),
        (110, 1, (110,)),
        (5000, 10, (1000, 500, 250, 125)),
        (5000, 11, (2000, 1000, 500, 250)),
        (5000, 200, (4000, 2000, 1000, 500)),
        (3000, 200, (3000, 2000, 1000, 500)),
        (150, 200, (150,)),
    ],
)
def test_windows_fit_rows_and_memory(n_rows, tau, sizes):
    assert newest.window_sizes(n_rows, tau, 1000, 100) == sizes


def test_small_windows_never_go_under_min_samples():
    assert newest.window_sizes(500, 1, 50, 100) == (100,)
    assert newest.window_sizes(500, 1, 400, 100) == (400, 200, 100)


def test_too_few_rows_are_refused(kept):
    with pytest.raises(ValueError, match="needs 100 rows, got 99"):
        verdict.judge(kept, np.zeros((99, 4)), np.zeros(99))


def test_missing_predictions_are_refused(kept):
    with pytest.raises(ValueError, match="predictions"):
        verdict.judge(kept, np.zeros((200, 4)), None)


def test_only_the_newest_rows_count(kept, rng):
    X, outputs = rng.normal(size=(1000, 4)), rng.uniform(size=1000)
    older = rng.normal(9, 1, size=(3000, 4))
    at = NOON + SECOND * np.arange(4000)
    longer = verdict.judge(kept, np.concatenate([older, X]), np.concatenate([np.zeros(3000), outputs]), at=at)
    assert longer == verdict.judge(kept, X, outputs, at=at[3000:])
    assert longer.n_rows == newest.rows_needed(kept, Rule()) == 1000


def test_alike_neighbours_are_said(rng, prepared):
    kept = prepared(repeated(rng, 20, 10_000, 2))
    report = verdict.judge(kept, repeated(rng, 20, 4000, 2), None)
    assert "effective rows of" in report.notes[0]
    assert "only shifts above" in report.notes[0]


def test_reference_shorter_than_two_cycles_is_said(rng, prepared):
    wave = np.sin(2 * np.pi * np.arange(6000) / 5000)[:, None] + 0.5 * rng.normal(size=(6000, 1))
    report = verdict.judge(prepared(wave[:2000]), wave[2000:6000], None)
    assert any("shorter than two cycles" in note for note in report.notes)
    long = prepared(np.tile(wave[:5000], (3, 1)))
    assert not any("cycles" in note for note in verdict.judge(long, wave[:4000], None).notes)


def test_unordered_reference_takes_tau_from_the_window(rng, prepared):
    kept = prepared(rng.permutation(repeated(rng, 20, 10_000, 2)), ordered=False)
    report = verdict.judge(kept, repeated(rng, 20, 4000, 2), None)
    assert report.verdict == "stable"
    assert report.features[0].tau > 10
    assert any("not in time order" in note for note in report.notes)


def test_new_categories_and_lost_values_get_a_line(rng):
    columns = [
        contract.Column(name="carrier", kind="category", categories=("AA", "UA", "DL")),
        contract.Column(name="temp", kind="numeric"),
    ]
    before = np.column_stack([rng.integers(0, 2, size=5000), rng.normal(size=5000)])
    now = np.column_stack([rng.integers(0, 2, size=1000), rng.normal(size=1000)])
    now[-100:, 0] = -1
    now[::3, 1] = np.nan
    kept = references.prepare(before, columns, predictions=None, prediction_kind="numeric")
    report = verdict.judge(kept, now, None)
    assert report.verdict == "drift"
    assert any(note.startswith("temp is missing in 33 %") for note in report.notes)
    assert any(note.startswith("carrier: ") and "reference lacks" in note for note in report.notes)


def test_class_codes_are_compared_as_categories(rng, prepared):
    kept = prepared(rng.normal(size=(3000, 1)), predictions=rng.integers(0, 3, 3000) * 1.0, prediction_kind="category")
    report = verdict.judge(kept, rng.normal(size=(500, 1)), np.zeros(500))
    assert report.verdict == "drift"
    assert report.prediction is not None
    assert report.prediction.ks is None
    assert report.sentence.startswith("prediction changed its mix")


ODD = {
    "constant": np.full(4000, 7.0),
    "missing": np.full(4000, np.nan),
    "nearly constant": np.where(np.arange(4000) == 150, 1.0, 0.0),
    "huge": 1e308 * np.linspace(-1, 1, 4000),
    "infinite": np.where(np.arange(4000) % 2, np.inf, -np.inf),
    "trend": np.arange(4000.0),
    "one present": np.where(np.arange(4000) == 3999, 1.0, np.nan),
}


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("kind", ["numeric", "integer", "boolean", "category"])
@pytest.mark.parametrize("before", ODD)
def test_odd_columns_get_a_verdict(before, kind, ordered, prepared):
    kept = prepared(ODD[before][:, None], kind, ordered=ordered)
    for now in ODD.values():
        report = verdict.judge(kept, now[:, None], None)
        assert report.verdict in {"stable", "drift"}
        assert len(report.sentence) <= 240
        json.dumps(dataclasses.asdict(report), allow_nan=False)


@pytest.mark.parametrize("name", ["constant", "missing", "nearly constant"])
def test_odd_columns_that_stay_are_stable(name, prepared):
    kept = prepared(ODD[name][:, None])
    assert verdict.judge(kept, ODD[name][:1000, None], None).verdict == "stable"


def test_of_a_very_long_window_some_rows_are_looked_at(kept, rng):
    X, outputs = rng.normal(size=(60_001, 4)), rng.uniform(size=60_001)
    X[45_000:, 1] += 1.5
    at = NOON + SECOND * np.arange(60_001)
    report = verdict.judge(kept, X, outputs, rule=Rule(window_size=50_000, min_samples=30_000), at=at)
    assert report.n_rows == 50_000
    assert report.notes[0] == "One in 5 of the newest 50,000 rows was looked at; windows count those."
    assert {result.window for result in report.features} == {10_000}
    assert abs(report.since.at - at[45_000]) < 200 * SECOND
    assert report.features[0].name == "f1"


def moved_late(rng, n_moved, shift=1.0):
    X = rng.normal(size=(1000, 4))
    X[1000 - n_moved :, 2] += shift
    return {"X": X, "predictions": rng.uniform(size=1000), "at": NOON + SECOND * np.arange(1000)}


def test_since_is_the_row_from_which_the_worst_has_moved(kept, rng):
    report = verdict.judge(kept, **moved_late(rng, 400), now=NOON + 2000 * SECOND)
    assert report.since is not None
    assert abs(report.since.at - (NOON + 600 * SECOND)) < 15 * SECOND
    assert report.sentence.startswith("f2 moved by +0.")
    assert " sd since 12:10 UTC (PSI 0." in report.sentence


def test_since_of_another_day_has_its_date(kept, rng):
    report = verdict.judge(kept, **moved_late(rng, 400), now=NOON + 86_400 * SECOND)
    assert " sd since 2027-01-15 12:10 UTC (PSI" in report.sentence


def test_what_had_moved_before_the_first_row_says_so(kept, rng):
    report = verdict.judge(kept, **moved_late(rng, 1000), now=NOON)
    assert report.since == Since(at=NOON, earlier=True)
    assert " sd since before 12:00 UTC (" in report.sentence


def test_what_has_not_moved_has_no_since(kept, rng):
    report = verdict.judge(kept, **moved_late(rng, 0), now=NOON)
    assert (report.verdict, report.since) == ("stable", None)


def test_the_sentence_names_the_weight_of_the_worst(kept, rng):
    report = verdict.judge(kept, **moved_late(rng, 1000), importance=np.array([0.5, 0.3, 0.18, 0.02]))
    assert report.sentence.endswith(" effective rows of 500); it carries 18 % of the importance.")


def test_features_are_ranked_by_what_they_carry(kept, rng):
    X = rng.normal(size=(1000, 4)) + np.array([0, 0.6, 0.8, 0])
    importance = np.array([0.1, 0.6, 0.1, 0.2])
    names = [result.name for result in verdict.judge(kept, X, rng.uniform(size=1000), importance=importance).features]
    assert names[:2] == ["f1", "f2"]


@pytest.mark.parametrize("importance", [None, np.array([0.9, *[0.0] * 29]), np.full(30, 0.1)])
def test_sentences_stay_short(importance, rng):
    columns = [contract.Column(name=f"a very long column name of the {i}th sensor", kind="numeric") for i in range(30)]
    kept = references.prepare(
        rng.normal(size=(3000, 30)), columns, predictions=rng.uniform(size=3000), prediction_kind="numeric"
    )
    X = rng.normal(size=(1000, 30))
    X[:, 1:] += 1
    at = NOON + np.arange(1000)
    report = verdict.judge(kept, X, rng.uniform(size=1000), importance=importance, at=at, now=0)
    assert len(report.sentence) <= 240


def test_a_column_that_was_constant_in_training_is_never_harmless() -> None:
    rng = np.random.default_rng(5)
    columns = [contract.Column(name="used", kind="numeric"), contract.Column(name="constant", kind="numeric")]
    kept = references.prepare(
        np.column_stack((rng.normal(size=2000), np.zeros(2000))),
        columns,
        predictions=rng.normal(size=2000),
        prediction_kind="numeric",
    )
    window = rng.normal(size=(500, 2))
    report = verdict.judge(kept, window, rng.normal(size=500), importance=np.array([1.0, 0.0]))
    assert report.verdict == "drift"
    assert report.features[0].importance is None


def autocorrelated(rng, n, d, phi=0.9):
    rows = rng.normal(size=(n, d))
    for at in range(1, n):
        rows[at] = phi * rows[at - 1] + np.sqrt(1 - phi**2) * rows[at]
    return rows


def test_a_shuffled_upload_does_not_alarm_on_autocorrelated_traffic(rng, prepared):
    kept = prepared(rng.permutation(autocorrelated(rng, 10_000, 5)))
    reports = [verdict.judge(kept, autocorrelated(rng, 1000, 5), None) for _ in range(10)]
    assert {report.verdict for report in reports} == {"stable"}
    assert "were they shuffled?" in reports[0].notes[0]


def test_a_step_of_every_column_is_no_sign_of_a_shuffled_upload(rng, prepared):
    kept = prepared(rng.normal(size=(10_000, 5)))
    rows = rng.normal(size=(1000, 5)) + (np.arange(1000) > 800)[:, None]
    report = verdict.judge(kept, rows, None)
    assert report.verdict == "drift"
    assert not any("shuffled" in note for note in report.notes)


def test_many_small_importances_are_not_harmless_together(rng, prepared):
    kept = prepared(rng.normal(size=(2000, 150)), predictions=rng.uniform(size=2000))
    rows, answers = rng.normal(1, 1, size=(1000, 150)), rng.uniform(size=1000)
    assert verdict.judge(kept, rows, answers, importance=np.full(150, 1 / 150)).verdict == "drift"
    assert verdict.judge(kept, rows, answers, importance=np.zeros(150)).verdict == "drift"


def test_a_constant_column_that_begins_to_vary_is_no_sign_of_a_shuffled_upload(rng, prepared):
    kept = prepared(np.column_stack([np.full(10_000, 0.5), rng.normal(size=10_000)]))
    walk = np.column_stack([np.cumsum(rng.normal(size=130)), rng.normal(size=130)])
    report = verdict.judge(kept, walk, None)
    assert report.verdict == "drift"
    assert not any("shuffled" in note for note in report.notes)


def test_missing_share_decides_where_it_is_named(rng):
    columns = [contract.Column(name=name, kind="numeric") for name in ("lost", "shifted")]
    reference = references.prepare(rng.normal(size=(5000, 2)), columns, predictions=None, prediction_kind="numeric")
    X = rng.normal(loc=(0, 3), size=(1000, 2))
    X[::5, 0] = np.nan
    found = verdict.judge(reference, X, None, rule=Rule(deciding=("missing_share",)))
    assert [result.name for result in found.features if result.significant] == ["lost"]
    assert found.verdict == "drift"
    assert "missing_share" not in Rule().deciding


def test_a_brief_says_to_the_letter_what_the_report_says(rng):
    kinds = ("numeric", "integer", "boolean", "category")
    described = [contract.Column(name=f"c{i}", kind=kinds[i % 4]) for i in range(8)]
    said = set()
    for number in range(60):
        then, now = rng.normal(size=(800, 8)), rng.normal(size=(int(rng.integers(100, 900)), 8))
        for rows in (then, now):
            rows[:, 4] = rows[:, 0] + rows[:, 4] * (0.3 if rows is then or number % 4 else 30)
            rows[:, 1::4], rows[:, 2::4], rows[:, 3::4] = (
                rows[:, 1::4].round(),
                rows[:, 2::4] > 0,
                rows[:, 3::4].round(),
            )
            rows[rng.random(rows.shape) < 0.02 * (number % 3)] = np.nan
        now[:, number % 8] += number % 5 * 0.2
        kept = references.prepare(then, described, predictions=rng.uniform(size=800), prediction_kind="numeric")
        importance = np.where(np.arange(8) == number % 8, 0.001, 1.0) if number % 2 else None
        outputs = rng.uniform(size=len(now))
        report = verdict.judge(kept, now, outputs, importance=importance)
        brief = verdict.brief(kept, now, outputs, importance=importance)
        assert (brief.verdict, brief.score, brief.sentence) == (report.verdict, report.score, report.sentence)
        said.add(report.verdict)
    assert said == {"stable", "drift", "harmless"}
