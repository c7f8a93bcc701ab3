"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

import html
import itertools
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from demonstration.closure import Story
from demonstration.flights import MONTHS
from demonstration.scoring import Row
from demonstration.server import CHECKOUT, THRESHOLD
from demonstration.stream import Answers

PAGE = Path(__file__).with_name("report.html")

CHAMPION, DRIFT, CHALLENGER, REFERENCE = 0, 1, 3, 5
"""Places in the series colours of the dashboard's template."""

Figure = dict[str, Any]


def page(story: Story, answers: Answers, rows: Sequence[Row], *, table: str, words: Sequence[str]) -> str:
    """Return the report as HTML."""
    figures = figures_of(story, answers, rows)
    plotly = resources.files("plotly") / "package_data" / "plotly.min.js"
    return Template(PAGE.read_text("utf-8")).substitute(
        title=html.escape(words[0]),
        words="".join(f"<p>{html.escape(line)}</p>" for line in words[1:]),
        plots="".join(_plot(name, figure["say"]) for name, figure in figures.items()),
        table=html.escape(table),
        decisions="".join(_decision(entry, answers) for entry in story.ledger[::-1]),
        plotly=plotly.read_text("utf-8"),
        template=(CHECKOUT / "static" / "plotly-template.json").read_text("utf-8"),
        figures=json.dumps(figures).replace("</", "<\\/"),
    )


def figures_of(story: Story, answers: Answers, rows: Sequence[Row]) -> dict[str, Figure]:
    """Return the three plots, all over the flights' own time, with every later deployment marked in each."""
    marks = [_mark(stretch, answers) for stretch in story.history[1:]]
    groups = itertools.groupby(story.reports, key=lambda one: one["model_version"])
    lines = [_scores(list(reports), answers) for _, reports in groups]  # a new reference breaks the line
    level = {"xref": "paper", "x0": 0, "x1": 1, "y0": THRESHOLD, "y1": THRESHOLD}
    alarm = level | {"type": "line", "line": {"dash": "dot", "width": 1}, "colour": DRIFT}
    key = "Blue: mlpipe. Grey, dashed: the model that knows only January. Upright lines: a new version was deployed."
    return {
        "Log loss of each month (lower is better)": _figure(_both(rows, "log_loss"), marks, key),
        "Accuracy of each month": _figure(_both(rows, "accuracy"), marks, key),
        "Drift score of each check": _figure(lines, [*marks, alarm], f"Dotted: the alarm at {THRESHOLD:g}."),
    }


def _figure(data: list[Figure], shapes: list[Figure], say: str) -> Figure:
    axis = {"type": "date", "tickformat": "%b", "dtick": "M1", "range": ["2013-02-01", "2014-01-01"]}
    return {"data": data, "layout": {"shapes": shapes, "xaxis": axis, "margin": {"t": 24}}, "say": say}


def _scores(reports: Sequence[Mapping[str, Any]], answers: Answers) -> Figure:
    times = [answers.flight_time(one["checked_at"]) for one in reports]
    scores = [one["score"] for one in reports]
    return {"x": times, "y": scores, "mode": "lines+markers", "name": "drift score", "colour": DRIFT}


def _both(rows: Sequence[Row], figure: str) -> list[Figure]:
    months = [row for row in rows if row.name in MONTHS]
    dates = [f"2013-{MONTHS.index(row.name) + 1:02}-15" for row in months]
    frozen, mlpipe = zip(*([getattr(one, figure) for one in row.scores] for row in months), strict=True)
    shared = {"x": dates, "mode": "lines+markers"}
    return [
        shared | {"y": frozen, "name": "frozen", "line": {"dash": "dash"}, "colour": REFERENCE},
        shared | {"y": mlpipe, "name": "mlpipe", "colour": CHAMPION},
    ]


def _mark(stretch: Mapping[str, Any], answers: Answers) -> Figure:
    at = answers.flight_time(stretch["since"])
    words = {"text": f"v{stretch['version']}", "textposition": "end", "textangle": 0, "yanchor": "bottom"}
    place = {"type": "line", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1}
    return place | {"line": {"width": 1}, "label": words, "colour": CHALLENGER}


def _plot(name: str, say: str) -> str:
    return (
        f'<h2>{name}</h2><figure><div class="plot" id="{name}" role="img" aria-label="{name}. {say}"></div>'
        f"<figcaption>{say}</figcaption></figure>"
    )


def _decision(entry: Mapping[str, Any], answers: Answers) -> str:
    cells = answers.flight_time(entry["at"])[:10], entry["kind"].replace("_", " "), entry["times"], entry["sentence"]
    return "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)
