"""The year as a printed table, and in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import astuple

from demonstration.closure import Story
from demonstration.features import Ints
from demonstration.flights import MONTHS
from demonstration.scoring import Row
from demonstration.stream import Answers

SAME = 1e-9
"""Probabilities nearer than this are the same: the order of a sum may differ."""

LONGEST_REASON = 46
"""Characters of a reason, so that a line of the table fits a wide terminal."""


def deployments(story: Story, answers: Answers, month: Ints) -> dict[int, list[str]]:
    """Return later versions and why, by the month in which they answered first; one that came too late, in the last."""
    found: dict[int, list[str]] = {}
    for stretch in story.history[1:]:
        version = stretch["version"]
        at = answers.version.index(version) if version in answers.version else len(month) - 1
        found.setdefault(int(month[at]), []).append(f"v{version}: {why(stretch['reason'])}")
    return found


def why(reason: str) -> str:
    """Return the beginning of a deployment's reason, up to its figures.

    Examples
    --------
    >>> why("Drift: temp moved by +1.4 sd since 14:05 UTC (PSI 1.2, adjusted p 1e-9). On the same 500 rows ...")
    'temp moved by +1.4 sd'
    """
    short = re.split(r" since | \(|: |\. ", reason.removeprefix("Drift: "))[0]
    return short if len(short) <= LONGEST_REASON else short[: LONGEST_REASON - 1] + "\N{HORIZONTAL ELLIPSIS}"


def as_text(rows: Sequence[Row], *, january: int) -> str:
    """Return the table as aligned text; a month with several deployments takes several lines."""
    lines = [
        f"{'month':8}{'flights':>8}" + "".join(f"   {name:^15}" for name in ("accuracy", "AUC", "log loss")),
        f"{'':16}" + f"   {'frozen':>7} {'mlpipe':>7}" * 3 + "   deployed, and why",
        f"{MONTHS[0]:8}{january:>8,}   {'both were trained on these':^51}   v1",
    ]
    for row in rows:
        pairs = zip(*map(astuple, row.scores), strict=True)
        figures = "".join(f"   {frozen:7.3f} {mlpipe:7.3f}" for frozen, mlpipe in pairs)
        first, *others = row.deployed or ("",)
        lines.append(f"{row.name:8}{row.flights:>8,}{figures}   {first}")
        lines += [" " * 73 + other for other in others]
    return "\n".join(map(str.rstrip, lines))


def sentences(story: Story, whole: Row, *, on_time: float, difference: float) -> list[str]:
    """Return the year in words.

    Parameters
    ----------
    story : Story
    whole : Row
        Both models over all flights.
    on_time : float
        Share of flights that were not late: what always saying "on time" is right on.
    difference : float
        Largest difference between the frozen model and version 1, on flights that version 1 answered.
    """
    frozen, mlpipe = whole.scores
    better = "better" if mlpipe.log_loss < frozen.log_loss else "not better"
    verdicts = [report["verdict"] for report in story.reports]
    outcomes = [job["outcome"] for job in story.jobs if job["outcome"] is not None]  # one may still wait for labels
    same = "the same answers" if difference < SAME else f"answers up to {difference:.3g} apart"
    return [
        (
            f"mlpipe was {better} than the model that knows only January: "
            f"log loss {mlpipe.log_loss:.3f} against {frozen.log_loss:.3f} (lower is better)."
        ),
        (
            f"Of {whole.flights:,} flights it was right on {_percent(mlpipe.accuracy)}, the January model on "
            f"{_percent(frozen.accuracy)}; always saying 'on time' is right on {_percent(on_time)}."
        ),
        (
            f"{len(verdicts):,} drift checks, {verdicts.count('drift'):,} of them saw drift; {len(outcomes):,} "
            f"trainings: {outcomes.count('promoted')} deployed, {outcomes.count('rejected')} not better and put aside."
        ),
        f"The frozen model is version 1, fitted again here on the same rows: {same} on the first flights of version 1.",
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
