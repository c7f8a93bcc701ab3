"""What the drift rule costs, misses and raises falsely, beside four naive readings of the same rows.

Run ``python benchmarks/drift_rule.py`` (about 7 minutes on two cores) or with ``--quick`` (half a minute);
``--part false|power|time`` for one table alone. Every figure is seeded and does not depend on the number of processes.
The naive rules are what people write first: scipy's asymptotic KS and PSI over deciles, the newest 1,000 rows, each
row counted as independent.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal, stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package is run from its checkout

from mlpipe.drift import reference as references
from mlpipe.drift import segments, verdict
from mlpipe.drift.report import Rule
from mlpipe.schema import contract

Floats = NDArray[np.float64]
Stream = Callable[[np.random.Generator, int], Floats]

N_FEATURES = 20
N_REFERENCE = 10_000
N_WINDOW = 1_000
N_GIVEN = 4_000
"""Rows a check is given; the rule takes more than 1,000 of them where neighbours are alike."""

APART = 5_300
"""Rows from one check to the next: no multiple of a cycle, so that each check meets another phase."""

CHECKS_A_REFERENCE = 8
COLUMNS = [contract.Column(name=f"f{i}", kind="numeric") for i in range(N_FEATURES)]
RULES = ("this rule", "any KS p < 0.05", "KS, Bonferroni", "any PSI > 0.1", "any PSI > 0.2")

DELAYS = (*range(10, 300, 10), *range(300, 500, 25), *range(500, 2001, 50))
"""Rows after a shift at which a check is made."""


# Streams --------------------------------------------------------------------------------------------------------


def autoregressive(phi: float) -> Stream:
    """Rows of mean 0 and sd 1, each `phi` times the one before plus noise."""

    def draw(rng: np.random.Generator, n: int) -> Floats:
        noise = rng.normal(size=(n + 2000, N_FEATURES))
        rows: Floats = signal.lfilter([np.sqrt(1 - phi**2)], [1, -phi], noise, axis=0)[2000:]
        return rows

    return draw


def bursts(rng: np.random.Generator, n: int) -> Floats:
    rows: Floats = np.repeat(rng.normal(size=(n // 20 + 1, N_FEATURES)), 20, axis=0)[:n]
    return rows


def cycle(period: int) -> Stream:
    """A sine of sd 1 under noise of sd 1, each feature with a phase of its own."""

    def draw(rng: np.random.Generator, n: int) -> Floats:
        at = np.arange(n)[:, None] + rng.uniform(0, period, size=N_FEATURES)
        wave: Floats = np.sqrt(2) * np.sin(2 * np.pi * at / period)
        return wave + rng.normal(size=(n, N_FEATURES))

    return draw


def volatility(rng: np.random.Generator, n: int) -> Floats:
    """Spread that clusters in time: the log of the sd is AR(1) 0.99 with a spread of 1."""
    log_sd: Floats = signal.lfilter([0.14], [1, -0.99], rng.normal(size=(n + 2000, N_FEATURES)), axis=0)[2000:]
    return np.exp(log_sd) * rng.normal(size=(n, N_FEATURES))


STREAMS: dict[str, Stream] = {
    "iid": autoregressive(0.0),
    "AR(1) 0.5": autoregressive(0.5),
    "AR(1) 0.9": autoregressive(0.9),
    "AR(1) 0.99": autoregressive(0.99),
    "bursts of 20": bursts,
    "cycle 2,000": cycle(2000),
    "cycle 5,000": cycle(5000),
    "volatility": volatility,
}

SHIFTS: dict[str, Callable[[Floats], Floats]] = {
    "mean +0.5 sd in 1 of 20": lambda rows: np.add(rows[:, :1], 0.5, out=rows[:, :1]),
    "mean +1 sd in 1 of 20": lambda rows: np.add(rows[:, :1], 1.0, out=rows[:, :1]),
    "sd x 1.5 in 1 of 20": lambda rows: np.multiply(rows[:, :1], 1.5, out=rows[:, :1]),
    "all 20 +0.25 sd": lambda rows: np.add(rows, 0.25, out=rows),
}


# Rules ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """What one check says: the rule's verdict and score, and the two figures that the naive rules read."""

    drift: bool
    score: float
    least_p: float
    largest_psi: float

    @property
    def alarms(self) -> tuple[bool, ...]:
        """In the order of `RULES`."""
        p, psi = self.least_p, self.largest_psi
        return self.drift, p < 0.05, p < 0.05 / N_FEATURES, psi > 0.1, psi > 0.2


class Checker:
    """A reference, kept as the rule and as the naive readings want it."""

    def __init__(self, rows: Floats) -> None:
        self.reference = prepare(rows)
        self._ordered = np.sort(rows, axis=0).T
        self._edges = np.quantile(rows, np.arange(1, 10) / 10, axis=0).T

    def __call__(self, newest: Floats) -> Said:
        report = verdict.judge(self.reference, newest[-N_GIVEN:], None)
        figures = [self._naive(j, np.sort(column)) for j, column in enumerate(newest[-N_WINDOW:].T)]
        least_p, largest_psi = min(p for p, _ in figures), max(psi for _, psi in figures)
        return Said(report.verdict == "drift", report.score, least_p, largest_psi)

    def _naive(self, j: int, ordered: Floats) -> tuple[float, float]:
        """Return KS p and PSI of one feature; the differences of the two ECDFs are largest at the window's values."""
        n, m = len(ordered), self._ordered.shape[1]
        steps, shares = np.arange(n + 1) / n, np.searchsorted(self._ordered[j], ordered) / m
        distance = max((steps[1:] - shares).max(), (shares - steps[:-1]).max())
        counts = np.diff(np.searchsorted(ordered, self._edges[j]), prepend=0, append=n)
        q, p = (counts + 0.5) / (n + 5), (m / 10 + 0.5) / (m + 5)
        return float(stats.kstwobign.sf(distance * np.sqrt(n * m / (n + m)))), float(((q - p) * np.log(q / p)).sum())


def prepare(rows: Floats) -> references.Reference:
    return references.prepare(rows, COLUMNS, predictions=None, prediction_kind="numeric")


# Simulations ----------------------------------------------------------------------------------------------------


def quiet(stream: str, seed: int) -> list[Said]:
    """Check a stationary stream against one reference, `CHECKS_A_REFERENCE` times."""
    rows = STREAMS[stream](np.random.default_rng([seed, 7]), N_REFERENCE + APART * CHECKS_A_REFERENCE)
    check = Checker(rows[:N_REFERENCE])
    return [check(rows[end - N_GIVEN : end]) for end in range(N_REFERENCE + APART, len(rows) + 1, APART)]


def shifted(stream: str, shift: str, seed: int) -> list[Said]:
    """Check after each of `DELAYS` rows of a shift; before it there were enough quiet rows for any window."""
    rows = STREAMS[stream](np.random.default_rng([seed, 3]), N_REFERENCE + N_GIVEN + DELAYS[-1])
    check, begins = Checker(rows[:N_REFERENCE]), N_REFERENCE + N_GIVEN
    SHIFTS[shift](rows[begins:])
    return [check(rows[begins + delay - N_GIVEN : begins + delay]) for delay in DELAYS]


def false_alarms(pool: futures.Executor, stream: str, n_references: int) -> str:
    """Return a line of the table: the share of checks that alarm although nothing has moved."""
    runs = pool.map(partial(quiet, stream), range(n_references))
    alarms = np.array([said.alarms for run in runs for said in run])
    naive = " | ".join(f"{share:.2%}" for share in alarms.mean(axis=0)[1:])
    return f"| {stream} | {alarms[:, 0].sum()} of {len(alarms):,} = {alarms[:, 0].mean():.2%} | {naive} |"


def delays(pool: futures.Executor, shift: str, n_runs: int) -> str:
    """Return a line of the table: the median rows until the first alarm."""
    runs = pool.map(partial(shifted, "iid", shift), range(n_runs))
    firsts = [[first([said.alarms[rule] for said in run]) for rule in range(len(RULES))] for run in runs]
    return f"| {shift} | {' | '.join(map(rows_told, np.median(firsts, axis=0)))} |"


def first(alarms: list[bool]) -> float:
    """Return the rows after which the first alarm came; infinite if none came."""
    return next((delay for delay, alarm in zip(DELAYS, alarms, strict=True) if alarm), np.inf)


def rows_told(median: float) -> str:
    return f"{median:,.0f}" if np.isfinite(median) else f"over {DELAYS[-1]:,}"


# Time -----------------------------------------------------------------------------------------------------------


def timing(repeats: int = 50, seed: int = 1) -> str:
    """Return medians on one core: numbers, and categories of 30 values."""
    rng = np.random.default_rng(seed)
    words = tuple(map(str, range(30)))
    coded = [contract.Column(name=f"c{i}", kind="category", categories=words) for i in range(N_FEATURES)]
    codes = rng.integers(0, 30, size=(N_REFERENCE, N_FEATURES)).astype(np.float64)
    cases = {
        "numbers": (rng.normal(size=(N_REFERENCE, N_FEATURES)), COLUMNS),
        "categories of 30 values": (codes, coded),
    }
    told = [f"20 {name}: {_times(rows, columns, repeats)}" for name, (rows, columns) in cases.items()]
    told += [f"segments of {n:,} rows: {_segments_ms(rng, n, repeats):.0f} ms" for n in (N_WINDOW, N_GIVEN)]
    return "; ".join([*told, f"100 numbers in a window of 100,000: check {_long_ms(rng):.0f} ms"])


def _segments_ms(rng: np.random.Generator, n_rows: int, repeats: int) -> float:
    """Split by two columns of ten values, eighteen numbers beside them."""
    coded = [contract.Column(name=f"c{i}", kind="category", categories=tuple("abcdefghij")) for i in range(2)]

    def draw(n: int) -> Floats:
        return np.column_stack([rng.normal(size=(n, N_FEATURES - 2)), rng.integers(10, size=(n, 2))])

    then, now = draw(N_REFERENCE), draw(n_rows)
    names = [column.name for column in coded]
    kept = segments.prepare(
        then, [*COLUMNS[:-2], *coded], names, predictions=then[:, 0] ** 2, prediction_kind="numeric"
    )
    return _median_ms(lambda: segments.split(kept, now, now[:, 0] ** 2, whole="stable"), repeats)


def _long_ms(rng: np.random.Generator) -> float:
    columns = [contract.Column(name=f"f{i}", kind="numeric") for i in range(100)]
    rows, newest = rng.normal(size=(N_REFERENCE, 100)), rng.normal(size=(100_000, 100))
    kept = references.prepare(rows, columns, predictions=None, prediction_kind="numeric", n_window=100_000)
    return _median_ms(lambda: verdict.judge(kept, newest, None, rule=Rule(window_size=100_000)), 5)


def _times(rows: Floats, columns: list[contract.Column], repeats: int) -> str:
    def once() -> references.Reference:
        return references.prepare(rows, columns, predictions=None, prediction_kind="numeric")

    reference, newest = once(), rows[:N_WINDOW].copy()
    check = _median_ms(lambda: verdict.judge(reference, newest, None), repeats)
    return f"check {check:.1f} ms, preparation {_median_ms(once, 10):.0f} ms"


def _median_ms(call: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - begun))
    return float(np.median(taken))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--part", choices=("false", "power", "time"))
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    wanted = {chosen.part} if chosen.part else {"false", "power", "time"}
    if "time" in wanted:
        print(timing(), flush=True)
    with futures.ProcessPoolExecutor(chosen.processes) as pool:
        if "power" in wanted:
            print(f"\n| median rows until | {' | '.join(RULES)} |\n|{'---|' * 6}")
            for shift in SHIFTS:
                print(delays(pool, shift, 6 if chosen.quick else 60), flush=True)
        if "false" in wanted:
            print(f"\n| false alarms per check | {' | '.join(RULES)} |\n|{'---|' * 6}")
            for stream in STREAMS:
                print(false_alarms(pool, stream, 15 if chosen.quick else 300), flush=True)


if __name__ == "__main__":
    main()
