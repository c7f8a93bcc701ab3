"""Time the compiled forest against scikit-learn's public call, and check that they are equal.

    python benchmarks/forest_kernel.py            about a minute
    python benchmarks/forest_kernel.py --quick    a smaller forest, a few seconds

Both are asked in turn, on new rows in every round (asked the same rows again and again, the processor learns
the paths by heart, which flatters whoever walks them one by one). The figures are medians of as many rounds as
`SIZES` says; the third line of each block is the public call's time over the compiled forest's. n_jobs is None.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package is run from its checkout

from mlpipe.prediction import forest

SIZES = {1: 40, 3: 40, 10: 40, 30: 40, 100: 40, 300: 25, 1_000: 15, 10_000: 7}
N_FEATURES = 20
N_CHECKED = 10_000
TARGETS = {1: 25.0, 10: 12.0, 100: 4.0, 1_000: 1.4, 10_000: 1.0}
FLOOR = 0.95

Call = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true", help="5,000 rows of training and 30 trees")
    quick = arguments.parse_args().quick
    n_rows, n_trees = (5_000, 30) if quick else (50_000, 100)
    print(f"{n_trees} trees, depth 10, {N_FEATURES} features, {n_rows:,} training rows")
    print(f"{'rows':>31}" + "".join(f"{n:>9,}" for n in SIZES))
    print(f"{'wanted':>31}" + "".join(f"{TARGETS.get(n, FLOOR):>8.2f}x" for n in SIZES))
    for name, kind, missing in [
        ("binary", 2, 0.0),
        ("5 classes", 5, 0.0),
        ("regression", 0, 0.0),
        ("binary, 5 % missing", 2, 0.05),
    ]:
        model, pool = trained(kind, missing, n_rows, n_trees)
        report(name, model, pool)
    if not quick:
        model, pool = trained(2, 0.0, n_rows // 10, n_trees, max_depth=None)
        report("binary, unlimited depth", model, pool)


def trained(kind: int, missing: float, n_rows: int, n_trees: int, **options: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(kind)
    X = rng.normal(size=(n_rows, N_FEATURES))
    score = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + X[:, 3:6].sum(axis=1) / 2 + rng.normal(size=n_rows) / 2
    X[rng.random(X.shape) < missing] = np.nan
    family: Any = RandomForestClassifier if kind else RandomForestRegressor
    y = np.digitize(score, np.quantile(score, np.arange(1, kind) / kind)) if kind else score
    # regression would try all features at each split and train for minutes; its trees are as deep either way
    settings = {"max_depth": 10, "max_features": "sqrt", "n_jobs": 2, "random_state": 42, **options}
    model = family(n_trees, **settings).fit(X, y)
    model.n_jobs = None
    pool = rng.normal(size=(4 * N_CHECKED, N_FEATURES))
    pool[rng.random(pool.shape) < missing] = np.nan
    return model, pool


def report(name: str, model: Any, pool: NDArray[np.float64]) -> None:
    started = time.perf_counter()
    scorer = forest.compile_estimator(model)
    compiled_s = time.perf_counter() - started
    public = getattr(model, "predict_proba", model.predict)
    assert scorer.exact_kernel, name
    check(scorer, public, pool)
    times = np.array([[medians(public, scorer, pool, n, rounds)] for n, rounds in SIZES.items()])[:, 0]
    print(f"{name:<23} public, us" + "".join(f"{1e6 * t:>9,.0f}" for t in times[:, 0])[2:])
    print(f"{f'compiled in {compiled_s:.2f} s':<23}  flat, us" + "".join(f"{1e6 * t:>9,.0f}" for t in times[:, 1])[2:])
    print(f"{'':>31}" + "".join(f"{a / b:>8.2f}x" for a, b in times), flush=True)


def check(scorer: Call, public: Call, pool: NDArray[np.float64]) -> None:
    X = pool[:N_CHECKED].copy()
    X[np.random.default_rng(0).random(X.shape) < 0.05] = np.nan
    wanted = public(X)
    assert np.array_equal(scorer(X), wanted)
    assert np.array_equal(np.concatenate([scorer(X[i : i + 1]) for i in range(500)]), wanted[:500])


def medians(public: Call, scorer: Call, pool: NDArray[np.float64], n: int, rounds: int) -> tuple[float, float]:
    rng = np.random.default_rng(n)
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        X = pool[rng.integers(0, len(pool), n)]
        ways = list(zip((public, scorer), taken, strict=True))
        for call, times in ways if turn % 2 else reversed(ways):
            started = time.perf_counter()
            call(X)
            times.append(time.perf_counter() - started)
    return float(np.median(taken[0])), float(np.median(taken[1]))


if __name__ == "__main__":
    main()
