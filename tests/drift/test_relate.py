"""Relations in a check: silent on stationary traffic, and soon when a pair breaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from mlpipe.drift import reference as references
from mlpipe.drift import verdict
from mlpipe.drift.report import Rule
from mlpipe.schema import contract

D, M = 20, 10_000
BOND = np.linalg.cholesky(0.6 * np.ones((D, D)) + 0.4 * np.eye(D))
"""Every pair of columns correlates with 0.6."""


def autoregressive(rng, n, phi):
    return signal.lfilter([np.sqrt(1 - phi**2)], [1, -phi], rng.normal(size=(n + 1000, D)), axis=0)[1000:]


def waves(rng, n):
    at = np.arange(n)[:, None] + rng.uniform(0, 2000, size=D)
    return np.sqrt(2) * np.sin(2 * np.pi * at / 2000) + rng.normal(size=(n, D))


STATIONARY = {
    "iid": lambda rng, n: rng.normal(size=(n, D)),
    "autoregressive 0.9": lambda rng, n: autoregressive(rng, n, 0.9),
    "autoregressive 0.99": lambda rng, n: autoregressive(rng, n, 0.99),
    "bursts": lambda rng, n: np.repeat(rng.normal(size=(n // 20, D)), 20, axis=0),
    "waves": waves,
}


@pytest.mark.parametrize("bound", [False, True], ids=["independent", "correlated"])
@pytest.mark.parametrize("stream", STATIONARY)
def test_stationary_streams_break_no_relation(stream, bound, prepared):
    rng = np.random.default_rng(21)
    fired = []
    for _ in range(3):
        rows = STATIONARY[stream](rng, M + 20_000)
        rows = rows @ BOND.T if bound else rows
        kept = prepared(rows[:M])
        for end in range(M + 2000, len(rows) + 1, 2000):
            report = verdict.judge(kept, rows[end - 4000 : end], None)
            fired += [relation for relation in report.relations if relation.significant]
    assert fired == []


def broken_after(rows, start):
    """Let column 0 go its own way, as wide as before."""
    rows[start:, 0] = np.random.default_rng(9).permutation(rows[start:, 0])
    return rows


def test_a_broken_pair_is_seen_and_named(prepared, rng):
    kept = prepared(rng.normal(size=(M, D)) @ BOND.T)
    report = verdict.judge(kept, broken_after(rng.normal(size=(1000, D)) @ BOND.T, 0), None)
    assert (report.verdict, report.score, report.since) == ("drift", 0.0, None)
    assert {"f0"} == set.intersection(*({r.a, r.b} for r in report.relations if r.significant))
    assert report.sentence.startswith("f0 and f")
    assert " no longer move together: correlation 0.6" in report.sentence
    assert report.sentence.endswith(" Also 18 more pairs.")
    assert len(report.relations) == 10
    assert any("no longer move together" in note for note in report.notes)


def test_half_of_the_broken_pairs_are_seen_within_500_rows(prepared):
    rng = np.random.default_rng(5)
    kept = prepared(rng.normal(size=(M, D)) @ BOND.T)
    seen = []
    for _ in range(10):
        rows = broken_after(rng.normal(size=(1500, D)) @ BOND.T, 1000)
        seen.append(verdict.judge(kept, rows, None).verdict == "drift")
    assert np.mean(seen) >= 0.5


def test_a_pair_of_a_column_that_moved_is_not_said_twice(prepared, rng):
    kept = prepared(rng.normal(size=(M, D)) @ BOND.T)
    X = rng.normal(size=(1000, D)) @ BOND.T
    X[:, 0] += 9
    report = verdict.judge(kept, X, None)
    assert report.sentence.startswith("f0 moved by +8.9 sd")
    assert not any("move together" in note for note in report.notes)


def test_a_broken_pair_that_the_model_hardly_uses_is_harmless(rng, prepared):
    kept = prepared(rng.normal(size=(M, 3)) @ BOND[:3, :3].T, predictions=rng.uniform(size=M))
    X, outputs = rng.normal(size=(1000, 3)), rng.uniform(size=1000)
    X[:, 2] = 0.7 * X[:, 0] + 0.7 * X[:, 1]
    unused, used = np.array([0.004, 0.004, 0.992]), np.array([0.3, 0.004, 0.696])
    kept_two = replace(kept, pairs=kept.pairs[:2], bonds=kept.bonds.take(np.array([0, 1])))
    report = verdict.judge(kept_two, X, outputs, importance=unused)
    assert report.verdict == "harmless"
    assert report.sentence.startswith("f0 and f1 have changed their relation, but the model hardly uses them")
    assert verdict.judge(kept_two, X, outputs, importance=used).verdict == "drift"


def test_a_detector_that_does_not_decide_is_still_shown(prepared, rng):
    kept = prepared(rng.normal(size=(M, 3)) @ BOND[:3, :3].T)
    X = rng.normal(size=(1000, 3))
    silent = verdict.judge(kept, X, None, rule=Rule(deciding=("ks", "chi_square")))
    assert (silent.verdict, silent.relations[0].significant) == ("stable", False)
    assert silent.relations[0].p_adjusted < 1e-6
    moved = verdict.judge(kept, X + 1, None, rule=Rule(deciding=("relations",))).features[0]
    assert not moved.significant
    assert moved.ks_p is not None
    assert moved.ks_p < 1e-9


def test_bonferroni_follows_the_deciding_detectors(prepared, rng):
    kept, X = prepared(rng.normal(size=(5000, 1))), rng.normal(0.2, 1, size=(100, 1))
    p = {
        names: verdict.judge(kept, X, None, rule=Rule(deciding=names)).features[0]
        for names in [("ks",), ("chi_square",), ("ks", "chi_square")]
    }
    assert p["ks",].p_adjusted == pytest.approx(p["ks",].ks_p)
    assert p["chi_square",].p_adjusted == pytest.approx(p["chi_square",].chi2_p)
    both = p["ks", "chi_square"]
    assert both.p_adjusted == pytest.approx(2 * min(both.ks_p, both.chi2_p))


def test_categories_that_no_deciding_detector_reads_never_fire(rng, prepared):
    kept = prepared(rng.integers(0, 3, size=(2000, 1)).astype(float), "category")
    report = verdict.judge(kept, np.zeros((500, 1)), None, rule=Rule(deciding=("ks",)))
    assert (report.verdict, report.features[0].p_adjusted) == ("stable", 1.0)


def test_only_the_most_important_numbers_are_paired():
    columns = [contract.Column(name=f"f{i}", kind="numeric") for i in range(60)]
    assert references.paired(columns, np.arange(60.0)).tolist() == list(range(10, 60))
    assert references.paired(columns, None).tolist() == list(range(50))


def test_lost_values_do_not_break_a_relation(prepared, rng):
    kept = prepared(rng.normal(size=(M, 2)) @ BOND[:2, :2].T)
    X = rng.normal(size=(1000, 2)) @ BOND[:2, :2].T
    X[rng.uniform(size=1000) < 0.6, 0] = np.nan
    assert not any(relation.significant for relation in verdict.judge(kept, X, None).relations)


@pytest.mark.parametrize("n_rows", [2, 30, 150])
def test_a_short_reference_breaks_nothing(n_rows, prepared, rng):
    kept = prepared(rng.normal(size=(n_rows, 3)))
    report = verdict.judge(kept, rng.normal(size=(400, 3)), None)
    assert not any(relation.significant for relation in report.relations)
