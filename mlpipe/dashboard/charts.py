"""The three large charts of the overview: finding, figure and data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlpipe.dashboard import answers, figures, series, words
from mlpipe.dashboard.picture import Picture
from mlpipe.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A large chart: its finding in a sentence, its figure, and its newest rows as a table."""

    name: str
    finding: str
    figure: figures.Figure | None
    header: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def _traffic_chart(picture: Picture, _settings: Settings) -> Chart:
    grid = series.grid_of(picture)
    rows = series.rows_by_bin(picture.traffic, grid)
    table = [(words.iso(start), n) for start, n in zip(grid.starts, rows, strict=True)]
    step, total = words.duration(grid.step_us), sum(rows)
    since, most = words.moment(grid.start_us, picture.now_us), words.number(max(rows, default=0))
    finding = f"{words.plural(total, 'prediction')} since {since}, at most {most} in {step}."
    return Chart(
        name="predictions",
        finding=finding if total else "Nothing was predicted yet.",
        figure=figures.traffic(grid, rows, picture.stretches, picture.now_us) if total else None,
        header=("from", "predictions"),
        rows=table,
    )


def _drift_chart(picture: Picture, settings: Settings) -> Chart:
    reports = picture.reports
    table = [
        (words.iso(one.checked_us), one.id, one.version, one.verdict, one.score, one.score_ungated, one.n_rows)
        for one in reports
    ]
    figure = None
    if reports:
        figure = figures.drift(
            reports,
            threshold=settings.threshold,
            interval_us=int(settings.check_interval * series.SECOND_US),
            stretches=picture.stretches,
        )
    return Chart(
        name="drift",
        finding=_drift_finding(picture, settings),
        figure=figure,
        header=("checked_at", "check", "version", "verdict", "score", "score_with_chance", "rows"),
        rows=table,
    )


def _drift_finding(picture: Picture, settings: Settings) -> str:
    latest = picture.latest
    if latest is None:
        return "No drift check was made yet."
    fired = [report for report in picture.reports if report.score > settings.threshold]
    checks = words.plural(len(picture.reports), "check")
    above = f"{len(fired)} of the newest {checks} above the alarm at {settings.threshold:g}"
    last = f", last {words.at(fired[-1].checked_us, picture.now_us)}" if fired else ""
    return f"Drift score {words.figure(latest.score)} now; {above}{last}."


def _quality_chart(picture: Picture, _settings: Settings) -> Chart:
    serving = picture.serving
    task = serving.task if serving else "classification"
    bins = series.quality_bins(picture, series.grid_of(picture), task)
    whole = series.quality_of(series.whole_labels(picture), task)
    figure = None
    if whole and serving:
        common = series.most_common(series.whole_labels(picture))
        named = words.class_name(common[0], serving.target) if common else "the average"
        figure = figures.quality(
            bins, task=task, baseline=whole.baseline, baseline_name=named, stretches=picture.stretches
        )
    measured = "mean_absolute_error" if task == "regression" else "share_right"
    return Chart(
        name="quality",
        finding=_quality_finding(whole, task),
        figure=figure,
        header=("from", "predictions", "labels", measured, "low_95", "high_95", "always_the_same"),
        rows=[_quality_row(one) for one in bins],
    )


def _quality_row(one: series.QualityBin) -> tuple[Any, ...]:
    quality = one.quality
    values = (quality.n, quality.value, quality.low, quality.high, quality.baseline) if quality else (0, *[None] * 4)
    return (words.iso(one.at_us), one.n_rows, *values)


def _quality_finding(whole: series.Quality | None, task: str) -> str:
    if whole is None:
        return "No prediction has a label yet, so nobody can say how often they are right."
    value, baseline = answers.measure(whole.value, task), answers.measure(whole.baseline, task)
    n = words.plural(whole.n, "labelled prediction")
    if task == "regression":
        return f"The mean error is {value} over {n}; always answering the average would miss by {baseline}."
    return f"{value} of {n} are right; always answering the most common class would be on {baseline}."


CHARTS: dict[str, Callable[[Picture, Settings], Chart]] = {
    "predictions": _traffic_chart,
    "drift": _drift_chart,
    "quality": _quality_chart,
}
"""Name in the URL -> how the chart is made."""
