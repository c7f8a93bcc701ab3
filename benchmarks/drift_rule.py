"""What the drift rule costs, misses and raises falsely, beside the naive readings of the same statistics.

Run ``python benchmarks/drift_rule.py`` (about 20 minutes on one core) or with ``--quick`` (2 minutes);
``--part false|power|elec2|time`` for one table alone. Every figure is seeded.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from mlpipe.drift import reference as references
from mlpipe.drift import verdict
from mlpipe.drift.detectors import ks, psi
from mlpipe.drift.report import Rule
from mlpipe.schema import contract

Floats = NDArray[np.float64]
Stream = Callable[[np.random.Generator, int], Floats]

N_FEATURES = 20
N_REFERENCE = 10_000
ELEC2 = Path(__file__).resolve().parents[2] / "shared" / "data" / "elec2.csv.gz"
ELEC2_SHIFT = 17_400
COLUMNS = [contract.Column(name=f"f{i}", kind="numeric") for i in range(N_FEATURES)]
NAIVE = ("any KS p < 0.05", "Bonferroni KS", "PSI > 0.1", "PSI > 0.2")


def autoregressive(phi: float) -> Stream:
    def draw(rng: np.random.Generator, n: int) -> Floats:
        noise = rng.normal(size=(n + 2000, N_FEATURES))
        rows: Floats = signal.lfilter([np.sqrt(1 - phi**2)], [1, -phi], noise, axis=0)[2000:]
        return rows

    return draw


def bursts(rng: np.random.Generator, n: int) -> Floats:
    rows: Floats = np.repeat(rng.normal(size=(n // 20 + 1, N_FEATURES)), 20, axis=0)[:n]
    return rows


def cycle(period: int) -> Stream:
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


def prepare(rows: Floats) -> references.Reference:
    return references.prepare(rows, COLUMNS, predictions=None, prediction_kind="numeric")


def naive_alarms(reference: references.Reference, window: Floats) -> tuple[bool, ...]:
    """What the four naive rules say of one window of 1,000 rows, autocorrelation ignored."""
    values = references.stacked(window, None, n_features=window.shape[1])
    every = np.arange(window.shape[1])
    placed = references.place(reference, values)
    compared = references.compare(reference, placed, every, np.ones(len(every)), n_window=len(window))
    distance = ks.ks(compared)
    p = 1.0 if distance.p_value is None else distance.p_value.min()
    moved = psi.psi(compared).statistic.max()
    return bool(p < 0.05), bool(p < 0.05 / len(every)), bool(moved > 0.1), bool(moved > 0.2)


def false_alarms(name: str, seconds: float, seed: int = 7) -> str:
    """Share of checks that alarm on a stationary stream; four checks per reference, 5,000 rows apart."""
    rng, until = np.random.default_rng(seed), time.monotonic() + seconds
    said: list[tuple[bool, ...]] = []
    taus: list[float] = []
    while time.monotonic() < until:
        rows = STREAMS[name](rng, N_REFERENCE + 20_000)
        reference = prepare(rows[:N_REFERENCE])
        taus += [column.tau for column in reference.columns]
        for end in range(N_REFERENCE + 5000, len(rows) + 1, 5000):
            rule = verdict.judge(reference, rows[end - 4000 : end], None).verdict == "drift"
            said.append((rule, *naive_alarms(reference, rows[end - 1000 : end])))
    shares = np.mean(said, axis=0)
    naive = " | ".join(f"{share:6.1%}" for share in shares[1:])
    alarms = sum(one[0] for one in said)
    return f"| {name:12} | {np.mean(taus):6.1f} | {alarms} of {len(said)} = {shares[0]:.5f} | {naive} |"


SHIFTS: dict[str, Callable[[Floats], Floats]] = {
    "mean +0.5 sd in 1 of 20": lambda rows: np.add(rows[:, :1], 0.5, out=rows[:, :1]),
    "mean +1 sd in 1 of 20": lambda rows: np.add(rows[:, :1], 1.0, out=rows[:, :1]),
    "sd x 1.5 in 1 of 20": lambda rows: np.multiply(rows[:, :1], 1.5, out=rows[:, :1]),
    "all 20 +0.25 sd": lambda rows: np.add(rows, 0.25, out=rows),
}


def detection(name: str, runs: int, step: int = 10, seed: int = 3) -> str:
    """Median rows after a shift until the rule, and until PSI > 0.1 over the newest 1,000 rows, alarm."""
    rng = np.random.default_rng(seed)
    delays = np.array([_delays(rng, SHIFTS[name], step) for _ in range(runs)])
    ours, raw = np.median(delays, axis=0)
    return f"| {name:24} | {ours:6.0f} | {raw:6.0f} |"


def _delays(rng: np.random.Generator, shift: Callable[[Floats], Floats], step: int) -> tuple[float, float]:
    reference = prepare(rng.normal(size=(N_REFERENCE, N_FEATURES)))
    rows = rng.normal(size=(3000, N_FEATURES))
    shift(rows[1000:])
    delays = [np.inf, np.inf]
    for delay in range(step, 2001, step):
        newest = rows[delay : 1000 + delay]
        alarms = (
            verdict.judge(reference, newest, None).verdict == "drift",
            naive_alarms(reference, newest)[2],
        )
        delays = [min(old, delay if alarm else np.inf) for old, alarm in zip(delays, alarms, strict=True)]
        if np.isfinite(delays).all():
            break
    return delays[0], delays[1]


def read_elec2() -> tuple[Floats, list[contract.Column]]:
    """The electricity market without its clock and its class."""
    with gzip.open(ELEC2, "rt") as lines:
        table = list(csv.reader(lines))
    keep = [i for i, name in enumerate(table[0]) if name not in {"date", "class"}]
    columns = [contract.Column(name=table[0][i], kind="numeric") for i in keep]
    return np.array(table[1:], dtype=np.float64)[:, keep], columns


def elec2_checks(step: int = 100) -> Iterator[tuple[int, verdict.Report]]:
    """Reference: rows 0 to 10,000; a check every `step` rows from there."""
    rows, columns = read_elec2()
    reference = references.prepare(rows[:N_REFERENCE], columns, predictions=None, prediction_kind="numeric")
    for end in range(N_REFERENCE + step, len(rows) + 1, step):
        yield end, verdict.judge(reference, rows[max(0, end - 4000) : end], None)


def elec2() -> str:
    checks = list(elec2_checks())
    before = [report.verdict == "drift" for end, report in checks if end <= ELEC2_SHIFT]
    after = [report.verdict == "drift" for end, report in checks if end > ELEC2_SHIFT]
    first = next(((end, report.sentence) for end, report in checks if report.verdict == "drift"), None)
    return (
        f"elec2: {sum(before)} of {len(before)} checks fire up to row {ELEC2_SHIFT:,}, {sum(after)} of "
        f"{len(after)} after it; first: {first}"
    )


def timing(repeats: int = 50, seed: int = 1) -> str:
    """Medians on one core; set OMP_NUM_THREADS=1."""
    rng = np.random.default_rng(seed)
    rows, newest = rng.normal(size=(N_REFERENCE, N_FEATURES)), rng.normal(size=(1000, N_FEATURES))
    reference = prepare(rows)
    once = _median_ms(lambda: prepare(rows), 10)
    check = _median_ms(lambda: verdict.judge(reference, newest, None), repeats)
    words = tuple(map(str, range(30)))
    coded = [_category(i, words) for i in range(N_FEATURES)]
    codes = rng.integers(0, 30, size=(N_REFERENCE, N_FEATURES)).astype(np.float64)
    kept = references.prepare(codes, coded, predictions=None, prediction_kind="numeric")
    once_coded = _median_ms(lambda: references.prepare(codes, coded, predictions=None, prediction_kind="numeric"), 10)
    check_coded = _median_ms(lambda: verdict.judge(kept, codes[:1000], None), repeats)
    return (
        f"20 numbers: check {check:.1f} ms, preparation {once:.0f} ms; "
        f"20 categories of 30 values: check {check_coded:.1f} ms, preparation {once_coded:.0f} ms; "
        f"100 numbers in a window of 100,000: check {_long_ms(rng):.0f} ms"
    )


def _long_ms(rng: np.random.Generator) -> float:
    columns = [contract.Column(name=f"f{i}", kind="numeric") for i in range(100)]
    rows, newest = rng.normal(size=(N_REFERENCE, 100)), rng.normal(size=(100_000, 100))
    kept = references.prepare(rows, columns, predictions=None, prediction_kind="numeric", n_window=100_000)
    rule = Rule(window_size=100_000)
    return _median_ms(lambda: verdict.judge(kept, newest, None, rule=rule), 5)


def _category(i: int, words: tuple[str, ...]) -> contract.Column:
    return contract.Column(name=f"c{i}", kind="category", categories=words)


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
    parser.add_argument("--part", choices=("false", "power", "elec2", "time"))
    chosen = parser.parse_args()
    wanted = {chosen.part} if chosen.part else {"false", "power", "elec2", "time"}
    if "time" in wanted:
        print(timing(), flush=True)
    if "elec2" in wanted:
        print(elec2(), flush=True)
    if "power" in wanted:
        print("| shift | rule, median rows | raw PSI > 0.1 |\n|---|---|---|")
        for name in SHIFTS:
            print(detection(name, runs=10 if chosen.quick else 80), flush=True)
    if "false" in wanted:
        print(f"| stream | tau | this rule | {' | '.join(NAIVE)} |\n|---|---|---|---|---|---|---|")
        for name in STREAMS:
            print(false_alarms(name, seconds=10 if chosen.quick else 140), flush=True)


if __name__ == "__main__":
    main()
