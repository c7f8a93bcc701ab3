from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mlpipe.dashboard import figures, series
from mlpipe.dashboard.picture import Report
from mlpipe.dashboard.series import Quality, QualityBin

STATIC = Path(__file__).resolve().parents[2] / "static"
HOUR_US = 3600 * series.SECOND_US


def tokens(theme):
    css = (STATIC / "mlpipe.css").read_text()
    head = r':root\[data-theme="dark"\]' if theme == "dark" else ":root"
    block = re.search(head + r" \{(.*?)\n\}", css, re.DOTALL)
    return dict(re.findall(r"--([\w-]+): ([^;]+);", block[1]))


def report(i, score, *, version=1, at_us=None):
    at_us = i * HOUR_US if at_us is None else at_us
    return Report(
        id=i, checked_us=at_us, version=version, n_rows=1, verdict="stable", score=score, score_ungated=score + 0.01
    )


def drift(reports):
    return figures.drift(reports, threshold=0.05, interval_us=HOUR_US, stretches=())


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_template_has_the_colours_of_the_stylesheet(theme):
    layout = json.loads((STATIC / "plotly-template.json").read_text())[theme]["layout"]
    token = tokens("light") | tokens(theme)
    assert layout["colorway"] == [token[f"c{i}"] for i in range(1, 7)]
    assert layout["font"]["color"] == layout["annotationdefaults"]["font"]["color"] == token["muted"]
    assert layout["yaxis"]["gridcolor"] == token["line"]
    assert layout["xaxis"]["linecolor"] == token["edge"]
    assert layout["hoverlabel"]["font"]["color"] == token["text"]
    steps = [colour for _, colour in layout["coloraxis"]["colorscale"][::2]]
    assert steps == [token[f"h{i}"] for i in range(6)]


def test_both_ways_to_darkness_have_the_same_tokens():
    css = (STATIC / "mlpipe.css").read_text()
    system = re.search(r':root:not\(\[data-theme="light"\]\) \{(.*?)\n\} \}', css, re.DOTALL)
    assert dict(re.findall(r"--([\w-]+): ([^;]+);", system[1])) == tokens("dark")


def test_figures_name_only_tokens_that_exist():
    bins = [QualityBin(i * HOUR_US, 10, Quality(10, 0.7, 0.5, 0.9, 0.6) if i % 3 else None) for i in range(9)]
    made = [
        drift([report(0, 0.0), report(1, 0.1), report(99, 0.0)]),
        figures.quality(bins, task="classification", baseline=0.6, baseline_name="x", stretches=()),
        figures.traffic(series.Grid(0, HOUR_US, 3), [1, 0, 2], (), HOUR_US),
    ]
    named = set(re.findall(r"var\(--([\w-]+)\)", json.dumps(made)))
    assert named
    assert named <= set(tokens("light"))


def test_drift_line_is_broken_by_missing_checks_and_by_a_new_version():
    line = drift([report(i, 0.0) for i in range(3)] + [report(50, 0.1)])["data"][1]
    assert line["y"] == [0.0, 0.0, 0.0, None, 0.1]
    line = drift([report(0, 0.0), report(1, 0.1, version=2)])["data"][1]
    assert line["y"] == [0.0, None, 0.1]
    assert line["connectgaps"] is False


def test_one_check_is_a_marker_inside_the_axis():
    figure = drift([report(5, 0.2)])
    low, high = figure["layout"]["xaxis"]["range"]
    assert low < figure["data"][1]["x"][0] < high
    assert "markers" in figure["data"][1]["mode"]


def test_quality_band_and_line_leave_gaps():
    known = Quality(10, 0.7, 0.5, 0.9, 0.6)
    bins = [QualityBin(i * HOUR_US, 10, known if i != 2 else None) for i in range(5)]
    figure = figures.quality(bins, task="classification", baseline=0.6, baseline_name="x", stretches=())
    band, line, coverage, hatch = figure["data"]
    assert line["y"] == [0.7, 0.7, None, 0.7, 0.7]
    assert band["y"].count(None) == 2
    assert coverage["y"][2] == 0.0
    assert hatch["width"] == [3_600_000]


def test_a_class_cannot_write_tags_into_a_chart():
    bins = [QualityBin(0, 10, Quality(10, 0.7, 0.5, 0.9, 0.6))]
    figure = figures.quality(bins, task="classification", baseline=0.6, baseline_name="<b>x", stretches=())
    assert figure["layout"]["annotations"][0]["text"] == "always &lt;b&gt;x"


def test_the_unfinished_bin_is_paler():
    figure = figures.traffic(series.Grid(0, HOUR_US, 2), [5, 1], (), int(1.5 * HOUR_US))
    assert figure["data"][0]["marker"]["opacity"] == [1.0, figures.UNFINISHED]


def test_sparkline_breaks_at_unknown_values_and_needs_two():
    assert figures.spark([1.0]) is None
    assert figures.spark([None, None]) is None
    line = figures.spark([1.0, 1.0, None, 1.0, 1.0])
    assert line.path.count("M") == 2
    assert line.last_x == 100.0
