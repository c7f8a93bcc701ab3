from __future__ import annotations

import pytest
from scipy import stats

from mlpipe.dashboard import series
from mlpipe.dashboard.picture import LabelBin, Latency, Picture, Report, Totals, TrafficBin

STEP = 5 * series.SECOND_US


def totals(newest_us):
    return Totals(
        newest_prediction=1,
        newest_predicted_us=newest_us,
        oldest_predicted_us=0,
        oldest_in_reach_us=0,
        newest_label_us=None,
        rows_since_check=0,
        n_batches=0,
        batches_cut=False,
        n_rows=0,
        n_labelled=0,
        database_bytes=0,
    )


def picture(traffic, labels=(), **values):
    newest = traffic[-1].at_us if traffic else None
    now = values.pop("now_us", (newest or 0) + STEP)
    return Picture(now_us=now, step_us=STEP, totals=totals(newest), traffic=traffic, labels=labels, **values)


def labelled(at_us, label, n, n_right, version=1):
    return LabelBin(at_us, version, label, n, n_right, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (77, 100), (1, 1)])
def test_wilson_equals_scipy(right, n):
    expected = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert series.wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_steps_divide_each_other():
    assert all(wide % narrow == 0 for narrow, wide in zip(series.STEPS_S, series.STEPS_S[1:], strict=False))


def test_a_bin_without_traffic_is_zero():
    grid = series.grid_of(picture([TrafficBin(0, 1, 1, 2), TrafficBin(3 * STEP, 1, 1, 5)]))
    rows = series.rows_by_bin([TrafficBin(0, 1, 1, 2), TrafficBin(3 * STEP, 1, 1, 5)], grid)
    assert rows[:4] == [2, 0, 0, 5]


def test_a_cut_first_bin_is_left_out():
    traffic = [TrafficBin(0, 1, 1, 2), TrafficBin(STEP, 1, 1, 5)]
    assert series.grid_of(picture(traffic, traffic_cut=True)).start_us == STEP


def test_baseline_is_the_most_common_class():
    quality = series.quality_of([labelled(0, 0.0, 70, 60), labelled(0, 1.0, 30, 10)], "classification")
    assert (quality.n, quality.value, quality.baseline) == (100, 0.7, 0.7)


def test_quality_is_missing_where_no_label_is_known():
    traffic = [TrafficBin(i * STEP, 1, 1, 40) for i in range(3)]
    labels = [labelled(0, 1.0, 40, 30), labelled(2 * STEP, 1.0, 40, 20)]
    bins = series.quality_bins(picture(traffic, labels), series.grid_of(picture(traffic)), "classification")
    assert [one.quality.value if one.quality else None for one in bins[:3]] == [0.75, None, 0.5]
    assert [one.coverage for one in bins[:3]] == [1.0, 0.0, 1.0]


def test_latency_trace_keeps_the_slowest():
    requests = [Latency(i, 1, 10) for i in range(100)] + [Latency(100, 1, 999)]
    assert max(series.latency_trace(requests)) == 999


def test_missing_checks_are_gaps():
    def report(at_us):
        return Report(id=1, checked_us=at_us, version=1, n_rows=1, verdict="stable", score=0, score_ungated=0)

    reports = [report(at) for at in (0, 10, 20, 90, 100)]
    assert series.check_gaps(reports, 10) == [(20, 90)]
    assert series.check_gaps(reports[:1], 10) == []
