"""Values into pictures: Plotly figures as plain dictionaries, sparklines as SVG paths.

Colours are names of the stylesheet's tokens, ``var(--c1)``; the page's script puts in their values, so that a figure
follows the theme. The template (`static/plotly-template.json`) brings fonts, margins and axes.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlpipe.dashboard import series
from mlpipe.dashboard.picture import Report, Stretch

Figure = dict[str, Any]

SPARK_WIDTH = 1000
"""Units across a sparkline; the picture stretches, its line keeps its width."""

MIN_POINTS = 2
"""Values that make a line."""

DAY_US = 24 * 3600 * series.SECOND_US
MAX_MARKS = 5
"""Deploy lines in one chart; older ones are left out, since their labels would cover each other."""

LEAST_BINS = 12
"""Bins that the traffic chart is wide enough for, so that one prediction is a bar and no wall."""

MANY = 10_000
"""Predictions in a bin from which the axis counts in thousands."""

FEW = 4
"""Predictions in a bin up to which the axis counts one by one."""

UNFINISHED = 0.45
"""Opacity of the bin that is not over."""


@dataclass(frozen=True, slots=True)
class Spark:
    """A small line: its path, where its last point is (in percent and pixels), and the threshold's height."""

    path: str
    height: int
    last_x: float
    last_y: float
    threshold_y: float | None = None
    band: str = ""


def spark(
    values: Sequence[float | None],
    *,
    height: int = 44,
    low: float = 0.0,
    threshold: float | None = None,
    band: Sequence[tuple[float, float] | None] = (),
) -> Spark | None:
    """Return a sparkline, or None where no line can be drawn; None in `values` breaks the line.

    Its scale reaches from `low` to the highest of the values, the threshold and the band.

    Examples
    --------
    >>> spark([0.0, 1.0], height=10).path
    'M0.0 10.0L1000.0 0.0'
    """
    known = [value for value in values if value is not None]
    if len(known) < MIN_POINTS:
        return None
    top = max([*known, threshold or low, *(ends[1] for ends in band if ends)])
    scale = height / ((top - low) or 1.0)
    step = SPARK_WIDTH / max(1, len(values) - 1)

    def point(i: int, value: float) -> str:
        return f"{i * step:.1f} {height - scale * (value - low):.1f}"

    points = [None if value is None else point(i, value) for i, value in enumerate(values)]
    uppers = [None if ends is None else point(i, ends[1]) for i, ends in enumerate(band)]
    lowers = [None if ends is None else point(i, ends[0]) for i, ends in enumerate(band)]
    limit = None if threshold is None else height - scale * (threshold - low)
    last = max(i for i, value in enumerate(values) if value is not None)
    last_x = 100.0 if last == len(values) - 1 else round(100 * last / (len(values) - 1), 1)
    last_y = round(height - scale * (known[-1] - low), 1)
    return Spark(_path(points), height, last_x, last_y, limit, _area(uppers, lowers))


def _area(uppers: Sequence[str | None], lowers: Sequence[str | None]) -> str:
    path = ""
    pairs = zip(uppers, lowers, strict=True)
    for known, group in itertools.groupby(pairs, key=lambda pair: pair[0] is not None):
        run = list(group)
        if known and len(run) > 1:
            path += "M" + "L".join([str(up) for up, _ in run] + [str(low) for _, low in reversed(run)]) + "Z"
    return path


def _path(points: Sequence[str | None]) -> str:
    runs = (list(run) for known, run in itertools.groupby(points, key=lambda point: point is not None) if known)
    return "".join("M" + "L".join(str(point) for point in run) for run in runs)


def traffic(grid: series.Grid, rows: Sequence[int], stretches: Sequence[Stretch], now_us: int) -> Figure:
    """Return the chart of predictions per bin; the bin that is not over is paler."""
    middle = [_ms(start + grid.step_us // 2) for start in grid.starts]
    unfinished = [UNFINISHED if start + grid.step_us > now_us else 1.0 for start in grid.starts]
    bars = {
        "type": "bar",
        "x": middle,
        "y": list(rows),
        "width": _ms(grid.step_us) * 0.9,
        "marker": {"color": "var(--c1)", "opacity": unfinished},
        "hovertemplate": "%{y:,} predictions<extra></extra>",
    }
    most = max(rows, default=0)
    begin_us = min(grid.start_us, grid.end_us - LEAST_BINS * grid.step_us)
    layout = _layout(begin_us, grid.end_us)
    layout["yaxis"] = {"range": [0, 1.15 * max(1, most)], "tickformat": "~s" if most >= MANY else ",d"}
    if most <= FEW:
        layout["yaxis"]["dtick"] = 1
    return _with_marks({"data": [bars], "layout": layout}, stretches, begin_us, grid.end_us)


def drift(reports: Sequence[Report], *, threshold: float, interval_us: int, stretches: Sequence[Stretch]) -> Figure:
    """Return the chart of the drift score; a missing check and a new reference break the line."""
    gaps = series.check_gaps(reports, interval_us)
    start, end = reports[0].checked_us, reports[-1].checked_us
    start, end = (start, end) if end > start else (start - interval_us, end + interval_us)
    times, positions = _broken(reports, {gap[0] for gap in gaps})
    x = [None if time is None else _ms(time) for time in times]
    few = len(reports) <= 60
    data = [
        _line(x, [None if i is None else reports[i].score_ungated for i in positions], "var(--c6)")
        | {
            "line": {"color": "var(--c6)", "width": 1.5, "dash": "dot"},
            "hovertemplate": "%{y:.3f} chance included<extra></extra>",
        },
        _line(x, [None if i is None else reports[i].score for i in positions], "var(--c2)")
        | {"mode": "lines+markers" if few else "lines", "hovertemplate": "score %{y:.3f}<extra></extra>"},
    ]
    top = max(1.25 * threshold, 1.08 * max(max(one.score, one.score_ungated) for one in reports))
    layout = _layout(start, end)
    layout["yaxis"] = {"range": [0, top]}
    layout["shapes"] = [_across(threshold, "var(--c2)")]
    layout["annotations"] = [_label(0, threshold, f"alarm {threshold:g}", yanchor="bottom", xref="paper")]
    figure = {"data": data + _hatch(gaps), "layout": layout | _HATCH_AXIS}
    return _with_marks(figure, stretches, start, end)


def _broken(reports: Sequence[Report], ends: set[int]) -> tuple[list[int | None], list[int | None]]:
    times: list[int | None] = []
    positions: list[int | None] = []
    for i, report in enumerate(reports):
        times.append(report.checked_us)
        positions.append(i)
        follows = reports[i + 1] if i + 1 < len(reports) else report
        if report.checked_us in ends or follows.version != report.version:
            times.append(None)
            positions.append(None)
    return times, positions


def quality(
    bins: Sequence[series.QualityBin], *, task: str, baseline: float, baseline_name: str, stretches: Sequence[Stretch]
) -> Figure:
    """Return the chart of realised quality: line, 95 % band, baseline, and below it the share with a label."""
    step_us = bins[1].at_us - bins[0].at_us if len(bins) > 1 else series.SECOND_US * 60
    start, end = bins[0].at_us, bins[-1].at_us + step_us
    form = ".3~g" if task == "regression" else ".1%"
    layout = _layout(start, end) | _HATCH_AXIS
    layout["yaxis"] = _quality_axis(bins, task, baseline) | {"domain": [0.32, 1]}
    layout["yaxis2"] = {"domain": [0, 0.18], "range": [0, 1], "tickvals": [0, 1], "tickformat": ".0%"}
    layout["yaxis9"] = _HATCH_AXIS["yaxis9"] | {"domain": [0.32, 1]}
    layout["shapes"] = [_across(baseline, "var(--c6)")]
    layout["annotations"] = [
        _label(1, baseline, f"always {baseline_name}", yanchor="bottom", xref="paper", xanchor="right")
    ]
    data = [_band(bins, step_us), _quality_line(bins, step_us, form), _coverage(bins, step_us)]
    gaps = [(one.at_us, one.at_us + step_us) for one in bins if one.quality is None]
    return _with_marks({"data": data + _hatch(_merged(gaps)), "layout": layout}, stretches, start, end)


def _quality_axis(bins: Sequence[series.QualityBin], task: str, baseline: float) -> dict[str, Any]:
    known = [one.quality for one in bins if one.quality]
    high = max([baseline, *(one.high for one in known)])
    if task == "regression":
        return {"range": [0, high * 1.2 or 1.0]}
    low = min([baseline, *(one.low for one in known)])
    pad = 0.08 * (high - low) or 0.05
    return {"range": [max(0.0, low - pad), min(1.02, high + pad)], "tickformat": ".0%"}


def _quality_line(bins: Sequence[series.QualityBin], step_us: int, form: str) -> dict[str, Any]:
    x = [_ms(one.at_us + step_us // 2) for one in bins]
    line = _line(x, [one.quality.value if one.quality else None for one in bins], "var(--c3)")
    of = [[one.quality.low, one.quality.high, one.quality.n] if one.quality else [None] * 3 for one in bins]
    hover = f"%{{y:{form}}} (95 %: %{{customdata[0]:{form}}} to %{{customdata[1]:{form}}}) of %{{customdata[2]}} labels"
    return line | {
        "mode": "lines+markers",
        "marker": {"color": "var(--c3)", "size": 5},
        "customdata": of,
        "hovertemplate": hover + "<extra></extra>",
    }


def _coverage(bins: Sequence[series.QualityBin], step_us: int) -> dict[str, Any]:
    return {
        "type": "bar",
        "x": [_ms(one.at_us + step_us // 2) for one in bins],
        "y": [one.coverage for one in bins],
        "width": _ms(step_us) * 0.9,
        "yaxis": "y2",
        "marker": {"color": "var(--c3)", "opacity": 0.6},
        "hovertemplate": "%{y:.0%} have a label<extra></extra>",
    }


def _band(bins: Sequence[series.QualityBin], step_us: int) -> dict[str, Any]:
    # One polygon a run of bins: "tonexty" would close over a gap.
    x: list[float | None] = []
    y: list[float | None] = []
    for known, group in itertools.groupby(bins, key=lambda one: one.quality is not None):
        run = list(group)
        if not known:
            continue
        middle = [_ms(one.at_us + step_us // 2) for one in run]
        if len(run) == 1:
            middle, run = [middle[0] - _ms(step_us) / 4, middle[0] + _ms(step_us) / 4], run * 2
        ends = [one.quality for one in run if one.quality]
        x += [*middle, *reversed(middle), middle[0], None]
        y += [*(one.high for one in ends), *(one.low for one in reversed(ends)), ends[0].high, None]
    return {
        "type": "scatter", "mode": "lines", "x": x, "y": y, "fill": "toself", "fillcolor": "var(--c3)",
        "line": {"width": 0}, "opacity": 0.18, "hoverinfo": "skip",
    }  # fmt: skip


def _line(x: Sequence[float | None], y: Sequence[float | None], colour: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "connectgaps": False,
        "line": {"color": colour, "width": 2}, "marker": {"color": colour, "size": 6},
    }  # fmt: skip


_HATCH_AXIS: dict[str, Any] = {"yaxis9": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}}
"""An axis of its own, from the bottom to the top of the plot, for what is missing."""


def _hatch(gaps: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    if not gaps:
        return []
    pattern = {"shape": "/", "fgcolor": "var(--edge)", "bgcolor": "rgba(0,0,0,0)", "size": 6, "solidity": 0.15}
    return [
        {
            "type": "bar", "yaxis": "y9", "x": [_ms((start + end) // 2) for start, end in gaps], "y": [1] * len(gaps),
            "width": [_ms(end - start) for start, end in gaps], "hoverinfo": "skip",
            "marker": {"color": "rgba(0,0,0,0)", "pattern": pattern},
        }
    ]  # fmt: skip


def _merged(gaps: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in gaps:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def _layout(start_us: int, end_us: int) -> dict[str, Any]:
    span = end_us - start_us
    axis: dict[str, Any] = {"type": "date", "range": [_ms(start_us), _ms(end_us)]}
    if span > 14 * DAY_US:
        axis["tickformat"] = "%-d %b"
    elif span > 2 * DAY_US:
        axis |= {"tickformat": "%a %-d", "dtick": 86_400_000}
    elif span > 600 * series.SECOND_US:
        axis["tickformat"] = "%H:%M"
    else:
        axis |= {"tickformat": "%H:%M:%S", "nticks": 6}
    if span <= 2 * 3600 * series.SECOND_US:
        axis["hoverformat"] = "%a %-d %b, %H:%M:%S"
    return {"xaxis": axis, "bargap": 0, "barmode": "overlay"}


def _with_marks(figure: Figure, stretches: Sequence[Stretch], start_us: int, end_us: int) -> Figure:
    inside = sorted(one.since_us for one in stretches if start_us < one.since_us <= end_us)[-MAX_MARKS:]
    shown = [one for one in stretches if one.since_us in inside]
    layout = figure["layout"]
    layout["shapes"] = [*layout.get("shapes", []), *(_upright(one.since_us) for one in shown)]
    late = start_us + 0.8 * (end_us - start_us)
    names = [
        _label(_ms(one.since_us), 1, f"version {one.version}", yref="paper", yanchor="top")
        | {"xanchor": "right" if one.since_us > late else "left"}
        for one in shown
    ]
    layout["annotations"] = [*layout.get("annotations", []), *names]
    return figure


def _across(y: float, colour: str) -> dict[str, Any]:
    line = {"color": colour, "width": 1.25, "dash": "6px,4px"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line, "layer": "above"}


def _upright(at_us: int) -> dict[str, Any]:
    line = {"color": "var(--text)", "width": 1, "dash": "solid"}
    return {"type": "line", "yref": "paper", "x0": _ms(at_us), "x1": _ms(at_us), "y0": 0, "y1": 1, "line": line}


def _label(x: float, y: float, text: str, **place: Any) -> dict[str, Any]:
    # Plotly reads tags in texts; a class may be called "<b>".
    return {"x": x, "y": y, "text": html.escape(text, quote=False), "showarrow": False, "xanchor": "left", **place}


def _ms(us: float) -> float:
    return us / 1000 if us % 1000 else us // 1000
