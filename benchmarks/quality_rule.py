"""How often the test for a drop of quality alarms falsely, and how many labels it needs.

Run ``python benchmarks/quality_rule.py`` (some 5 minutes on one core) or with ``--quick`` (half a minute). Every figure
is seeded, the runs one after another from ``--seed`` on. A check comes every 50 labels. ``--rows 2000`` keeps to one
length of the baseline, and to classification. With ``--others`` ADWIN, DDM and EDDM run beside it on the same streams;
they need `river`, in an environment of its own: it is no part of mlpipe.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal, special

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package is run from its checkout

from mlpipe.drift import drop

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

CHECK_LABELS = 50
QUIET_LABELS = 5_000
DELAY_AFTER = 2_000
LONGEST = 8_000
BASELINES = (1_000, 2_000, 10_000)
WORSE = (0.15, 0.20, 0.30)


def wrong(share: float) -> Draw:
    return lambda rng, n: (rng.random(n) < share).astype(float)


def wrong_in_runs(phi: float, share: float = 0.1) -> Draw:
    """A share of the answers is wrong, neighbours alike: a thresholded AR(1) series."""

    def draw(rng: np.random.Generator, n: int) -> Floats:
        noise = rng.normal(size=n + 1000) * np.sqrt(1 - phi**2)
        series = signal.lfilter([1.0], [1.0, -phi], noise)[1000:]
        return (series > special.ndtri(1 - share)).astype(float)

    return draw


def sizes(name: str, scale: float = 1.0) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> Floats:
        kinds = {"normal": rng.normal, "Laplace": rng.laplace, "t(3)": lambda size: rng.standard_t(3, size)}
        return scale * np.abs(kinds[name](size=n))

    return draw


def checks(errors: Floats, baseline: drop.Baseline, rule: drop.Rule, *, first: int) -> Iterator[tuple[int, bool]]:
    for n in range(first, len(errors) + 1, CHECK_LABELS):
        windows = drop.compare(errors[max(0, n - drop.LARGEST) : n], baseline, rule)
        yield n, drop.worst(windows) is not None


def false_alarms(draw: Draw, rule: drop.Rule, n_rows: int, seeds: Sequence[int]) -> tuple[float, int]:
    """Return alarms per check, and runs of `QUIET_LABELS` labels with any."""
    fired = [
        [fell for _, fell in checks(draw(rng, QUIET_LABELS), measure(draw, rng, n_rows), rule, first=100)]
        for rng in map(np.random.default_rng, seeds)
    ]
    return float(np.mean(fired)), sum(map(any, fired))


def measure(draw: Draw, rng: np.random.Generator, n_rows: int) -> drop.Baseline:
    return drop.measure(draw(rng, n_rows), "reference")


def median_delay(before: Draw, after: Draw, rule: drop.Rule, n_rows: int, seeds: Sequence[int]) -> float:
    delays = []
    for rng in map(np.random.default_rng, seeds):
        baseline = measure(before, rng, n_rows)
        errors = np.concatenate([before(rng, DELAY_AFTER), after(rng, LONGEST)])
        found = checks(errors, baseline, rule, first=DELAY_AFTER + CHECK_LABELS)
        delays.append(next((n - DELAY_AFTER for n, fell in found if fell), LONGEST))
    return float(np.median(delays))


def classification(seeds: Sequence[int], baselines: Sequence[int]) -> None:
    rule = drop.Rule("classification")
    print("errors .10: baseline rows | false alarms per check | runs with any | labels until .15 / .20 / .30 is seen")
    for n_rows in baselines:
        rate, runs = false_alarms(wrong(0.1), rule, n_rows, seeds)
        delays = [median_delay(wrong(0.1), wrong(share), rule, n_rows, seeds) for share in WORSE]
        told = " / ".join(f"{delay:,.0f}" for delay in delays)
        print(f"{n_rows:6,} | {rate:.5f} | {runs} of {len(seeds)} | {told}", flush=True)
    for phi, n_rows in itertools.product((0.5, 0.9), baselines):
        rate, runs = false_alarms(wrong_in_runs(phi), rule, n_rows, seeds)
        delays = [
            median_delay(wrong_in_runs(phi), wrong_in_runs(phi, share), rule, n_rows, seeds[: len(seeds) // 4])
            for share in WORSE
        ]
        told = " / ".join(f"{delay:,.0f}" for delay in delays)
        print(f"{n_rows:6,}, errors in runs (AR(1) {phi}) | {rate:.5f} | {runs} of {len(seeds)} | {told}", flush=True)


def regression(seeds: Sequence[int]) -> None:
    rule = drop.Rule("regression")
    print("absolute errors: distribution, baseline rows | false alarms per check | runs | labels until +25 % / +50 %")
    for name in ("normal", "Laplace", "t(3)"):
        for n_rows in (1_000, 10_000):
            rate, runs = false_alarms(sizes(name), rule, n_rows, seeds)
            delays = [median_delay(sizes(name), sizes(name, scale), rule, n_rows, seeds) for scale in (1.25, 1.5)]
            told = " / ".join(f"{delay:,.0f}" for delay in delays)
            print(f"{name}, {n_rows:,} | {rate:.5f} | {runs} of {len(seeds)} | {told}", flush=True)


def others(seeds: Sequence[int]) -> None:
    """Let river's detectors read the same streams, label by label, from the first on."""
    adwin = importlib.import_module("river.drift").ADWIN
    binary = importlib.import_module("river.drift.binary")
    print("detector | runs of 5,000 quiet labels with an alarm | labels until .15 / .20 / .30 is seen")
    for name, make in (("ADWIN", adwin), ("DDM", binary.DDM), ("EDDM", binary.EDDM)):
        quiet = [first_alarm(make(), wrong(0.1)(rng, QUIET_LABELS)) for rng in map(np.random.default_rng, seeds)]
        told = []
        for share in WORSE:
            delays = [delay_of(make, share, rng) for rng in map(np.random.default_rng, seeds)]
            told.append(f"{np.median(delays):,.0f}")
        print(f"{name} | {sum(n is not None for n in quiet)} of {len(seeds)} | {' / '.join(told)}", flush=True)


def first_alarm(detector: object, errors: Floats, *, after: int = 0) -> int | None:
    for n, error in enumerate(errors, 1):
        detector.update(bool(error))  # type: ignore[attr-defined]
        if detector.drift_detected and n > after:  # type: ignore[attr-defined]
            return n
    return None


def delay_of(make: Callable[[], object], share: float, rng: np.random.Generator) -> int:
    errors = np.concatenate([wrong(0.1)(rng, DELAY_AFTER), wrong(share)(rng, LONGEST)])
    found = first_alarm(make(), errors, after=DELAY_AFTER)
    return LONGEST if found is None else found - DELAY_AFTER


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--others", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, choices=BASELINES)
    asked = parser.parse_args()
    seeds = range(asked.seed, asked.seed + (40 if asked.quick else 400))
    if asked.others:
        others(seeds[:100])
    else:
        classification(seeds, (asked.rows,) if asked.rows else BASELINES)
        if not asked.rows:
            regression(seeds)
