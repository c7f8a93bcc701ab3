"""The progress is fit for a log."""

from __future__ import annotations

import io

from demonstration import progress


def test_progress_writes_a_line_a_month_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    bar = progress.Progress(30, out)
    for done, month in ((10, "Feb"), (20, "Feb"), (30, "Mar")):
        bar.show(done, month, "version 1")
    assert out.getvalue().count("\n") == 2
    assert "\r" not in out.getvalue()
