"""The report stands alone."""

from __future__ import annotations

from dataclasses import replace

from demonstration import report, scoring
from tests.demonstration.build import closed_story


def test_report_needs_no_other_file_and_escapes_what_the_server_said() -> None:
    story, answers, _ = closed_story()
    rows = [scoring.Row("Feb", 2, (scoring.Score(0.8, 0.7, 0.4), scoring.Score(0.8, 0.7, 0.5)))]
    page = report.page(story, answers, rows, table="month", words=["a < b"])
    assert "<h1>a &lt; b</h1>" in page
    assert "<td>&lt;temp&gt; moved</td>" in page
    assert " src=" not in page[: page.index("<script>")]
    assert "<link" not in page[: page.index("<script>")]


def test_drift_line_breaks_where_another_version_begins() -> None:
    story, answers, _ = closed_story()
    reports = [story.reports[0] | {"model_version": version} for version in (1, 1, 2)]
    rows = [scoring.Row("Feb", 2, (scoring.Score(0.8, 0.7, 0.4), scoring.Score(0.8, 0.7, 0.5)))]
    figures = report.figures_of(replace(story, reports=reports), answers, rows)
    assert [len(line["x"]) for line in figures["Drift score of each check"]["data"]] == [2, 1]
