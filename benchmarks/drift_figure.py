"""Draw docs/drift-figure.svg: false alarms against delay, the drift rule beside the naive ones.

    python benchmarks/drift_figure.py             about 4 minutes on two cores; writes the figure
    python benchmarks/drift_figure.py --quick     a minute; coarse, for a look: give --to

Each curve is one rule over all its thresholds: how often it alarms when nothing has moved, and the median rows that it
needs to see a mean move by 1 sd in one of 20 features. The simulations are those of `drift_rule.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import drift_rule
import numpy as np
from drift_rule import Said

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "drift-figure.svg"
STREAMS = {"iid": "Rows independent of one another", "AR(1) 0.9": "Each row like the one before: AR(1) 0.9"}
SHIFT = "mean +1 sd in 1 of 20"

LEFT, TOP, WIDTH, HEIGHT, GAP = 62, 84, 370, 300, 34
NONE_WIDTH = 66
"""Slot at the left of a panel, for thresholds that never alarmed: a log axis has no 0."""

NEVER_HEIGHT = 26
"""Slot at the top, for thresholds that half of the runs did not reach."""

LEAST_SHARE, FASTEST = 2e-4, 8.0
LANE = 12
LABELLED = (10, 30, 100, 300, 1000)

STYLE = """
  svg { --paper: #fff; --line: #d9dde1; --text: #15181c; --muted: #555c65; --c1: #0a66b5; --c2: #c24a00; --c3: #005c46 }
  @media (prefers-color-scheme: dark) { svg { --paper: #171b21; --line: #2b323b; --text: #e9ecef; --muted: #a3abb5;
    --c1: #5badf5; --c2: #ff8d4a; --c3: #4fd1ae } }
  text { font: 12px -apple-system, "Segoe UI", Roboto, Arial, "Liberation Sans", sans-serif; fill: var(--muted) }
  .title { font-size: 14px; font-weight: 600; fill: var(--text) }
  .grid { stroke: var(--line); fill: none } .paper { fill: var(--paper) } .slot { fill: var(--line); opacity: .35 }
  .rule { fill: none; stroke-width: 2 } .name { font-weight: 600 }
  .mark { stroke: var(--paper); stroke-width: 4px; paint-order: stroke }
"""


@dataclass(frozen=True)
class Rule:
    """A rule with a threshold: the figure it reads (it alarms above), the thresholds drawn, those that get a name."""

    name: str
    colour: str
    dash: str
    reads: Callable[[Said], float]
    thresholds: tuple[float, ...]
    named: dict[float, str]


def evidence(said: Said) -> float:
    """Return minus log10 of the least p, so that more is worse as with the other rules."""
    return -float(np.log10(max(said.least_p, 1e-300)))


RULES = (
    Rule("this rule", "--c1", "", lambda said: said.score, tuple(np.geomspace(0.01, 0.4, 33)), {0.05: "0.05"}),
    Rule(
        "any feature's KS p",
        "--c2",
        "7 4",
        evidence,
        tuple(np.geomspace(0.3, 250, 120)),
        {-np.log10(0.05): "p < 0.05", -np.log10(0.05 / 20): "Bonferroni", 6.0: "p < 1e-6"},
    ),
    Rule(
        "any feature's PSI",
        "--c3",
        "2 3",
        lambda said: said.largest_psi,
        tuple(np.geomspace(0.01, 3, 120)),
        {0.1: "PSI > 0.1", 0.2: "PSI > 0.2"},
    ),
)


@dataclass(frozen=True)
class Runs:
    """What was said in quiet checks, and (run by run, in the order of `DELAYS`) after the shift."""

    quiet: list[Said]
    shifted: list[list[Said]]

    def point(self, rule: Rule, threshold: float) -> tuple[float, float]:
        """Return the share of false alarms and the median delay in rows."""
        share = float(np.mean([rule.reads(said) > threshold for said in self.quiet]))
        firsts = [drift_rule.first([rule.reads(said) > threshold for said in run]) for run in self.shifted]
        return share, float(np.median(firsts))


def simulate(pool: futures.Executor, stream: str, n_references: int, n_runs: int) -> Runs:
    quiet = pool.map(partial(drift_rule.quiet, stream), range(n_references))
    shifted = pool.map(partial(drift_rule.shifted, stream, SHIFT), range(n_runs))
    return Runs([said for run in quiet for said in run], list(shifted))


# Drawing --------------------------------------------------------------------------------------------------------


def across(share: float, lane: int = 0) -> float:
    """Return x within a panel; a share of 0 stands in its slot, each rule in a lane of its own."""
    if share == 0:
        return NONE_WIDTH / 2 + LANE * (lane - 1)
    return NONE_WIDTH + (WIDTH - NONE_WIDTH) * (1 - np.log10(share) / np.log10(LEAST_SHARE))


def down(delay: float) -> float:
    """Return y within a panel."""
    if not np.isfinite(delay):
        return NEVER_HEIGHT / 2
    slowest = drift_rule.DELAYS[-1]
    return NEVER_HEIGHT + (HEIGHT - NEVER_HEIGHT) * np.log(slowest / delay) / np.log(slowest / FASTEST)


def text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "", colour: str = "") -> str:
    style = f' style="fill: var({colour})"' if colour else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" class="{kind}"{style}>{escape(words)}</text>'


def escape(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def axes(left: float, title: str, n_checks: int) -> list[str]:
    """Return a panel's frame, grid and words."""
    parts = [text(left, TOP - 14, title, kind="title")]
    parts.append(f'<rect class="slot" x="{left}" y="{TOP}" width="{NONE_WIDTH}" height="{HEIGHT}"/>')
    parts.append(f'<rect class="slot" x="{left}" y="{TOP}" width="{WIDTH}" height="{NEVER_HEIGHT}"/>')
    for share, words in ((1e-3, "0.1 %"), (1e-2, "1 %"), (1e-1, "10 %"), (1.0, "100 %")):
        x = left + across(share)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}v{HEIGHT}"/>')
        parts.append(text(x, TOP + HEIGHT + 18, words, anchor="middle"))
    parts.append(text(left + NONE_WIDTH / 2, TOP + HEIGHT + 18, "none", anchor="middle"))
    parts.append(text(left + NONE_WIDTH / 2, TOP + HEIGHT + 33, f"of {n_checks:,}", anchor="middle"))
    return [*parts, *(f'<path class="grid" d="M{left} {TOP + down(delay):.1f}h{WIDTH}"/>' for delay in LABELLED)]


def curve(left: float, runs: Runs, lane: int) -> list[str]:
    """Return a rule's line over all its thresholds."""
    rule = RULES[lane]
    points = [runs.point(rule, threshold) for threshold in rule.thresholds]
    path = "L".join(f"{left + across(share, lane):.1f} {TOP + down(delay):.1f}" for share, delay in points)
    return [f'<path class="rule" {stroke(rule)} d="M{path}"/>']


def marks(left: float, runs: Runs) -> list[str]:
    """Return the named thresholds of all rules; a name that would cover another moves up."""
    parts: list[str] = []
    taken: list[tuple[float, float]] = []
    for lane, rule in enumerate(RULES):
        for threshold, words in rule.named.items():
            share, delay = runs.point(rule, threshold)
            x, y = left + across(share, lane), TOP + down(delay)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" style="fill: var({rule.colour})"/>')
            while any(abs(x - other) < 110 and abs(y - level) < 14 for other, level in taken):
                y -= 14
            taken.append((x, y))
            place = (x - 8, "end") if x > left + WIDTH - 90 else (x + 8, "start")
            parts.append(text(place[0], y + 4, words, anchor=place[1], kind="mark", colour=rule.colour))
    return parts


def stroke(rule: Rule) -> str:
    return f'style="stroke: var({rule.colour})" stroke-dasharray="{rule.dash or "none"}"'


def legend(right: float) -> list[str]:
    parts, x = [], float(LEFT)
    for rule in RULES:
        parts.append(f'<path class="rule" {stroke(rule)} d="M{x:.0f} 40h30"/>')
        parts.append(text(x + 37, 44, rule.name, kind="name", colour=rule.colour))
        x += 62 + 7.5 * len(rule.name)
    return [*parts, text(right, 44, "lower and further left is better", anchor="end")]


def describe(panels: dict[str, Runs]) -> str:
    """Say in words what the picture shows."""
    told = []
    for name, runs in panels.items():
        for rule in RULES:
            for threshold, words in rule.named.items():
                share, delay = runs.point(rule, threshold)
                told.append(
                    f"{name}, {rule.name} at {words}: {share:.2%} false alarms, {drift_rule.rows_told(delay)} rows"
                )
    return ". ".join(told) + "."


def draw(panels: dict[str, Runs]) -> str:
    right = LEFT + len(panels) * (WIDTH + GAP) - GAP
    parts = legend(right)
    for place, (name, runs) in enumerate(panels.items()):
        left = LEFT + place * (WIDTH + GAP)
        parts += axes(left, STREAMS[name], len(runs.quiet))
        for lane in range(len(RULES)):
            parts += curve(left, runs, lane)
        parts += marks(left, runs)
        parts.append(text(left + WIDTH, TOP + HEIGHT + 40, "false alarms per check, log scale", anchor="end"))
    for delay in LABELLED:
        parts.append(text(LEFT - 8, TOP + down(delay) + 4, f"{delay:,}", anchor="end"))
    parts.append(text(LEFT - 8, TOP + NEVER_HEIGHT / 2 + 4, "later", anchor="end"))
    parts.append(
        text(10, 20, "Median rows until a mean that moved by 1 sd in one of 20 features is seen", kind="title")
    )
    size = f"{right + 24} {TOP + HEIGHT + 54}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img" aria-labelledby="title desc">'
    words = f'<title id="title">False alarms against delay</title>\n<desc id="desc">{escape(describe(panels))}</desc>'
    paper = '<rect class="paper" width="100%" height="100%"/>'
    return "\n".join([head, words, f"<style>{STYLE}</style>", paper, *parts, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--to", type=Path, default=FIGURE)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    n_references, n_runs = (15, 8) if options.quick else (300, 60)
    with futures.ProcessPoolExecutor(options.processes) as pool:
        panels = {name: simulate(pool, name, n_references, n_runs) for name in STREAMS}
    options.to.write_text(draw(panels), "utf-8")
    print(describe(panels).replace(". ", "\n"))


if __name__ == "__main__":
    main()
