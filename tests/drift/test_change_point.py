"""Since when: the place of a seeded step, and its evidence by a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlpipe.drift.detectors import autocorrelation, cells, change_point


def placed(values: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cut = cells.cut(np.sort(reference), "numeric", n_bins=10)
    return cut.place(values), np.bincount(cut.place(reference), minlength=cut.size)


def plain_evidence(cell: list[int], counts: list[int]) -> list[float]:
    used = [b for b, count in enumerate(counts) if count or b in cell]
    p = {b: (counts[b] + 0.5) / (sum(counts) + len(used) / 2) for b in used}
    found = []
    for i in range(len(cell)):
        rest = cell[i:]
        held = {b: rest.count(b) for b in set(rest)}
        found.append(2 * math.fsum(o * math.log(o / (len(rest) * p[b])) for b, o in held.items()))
    return found


def test_evidence_is_the_plain_loop(rng):
    cell, counts = rng.integers(0, 5, size=60), np.array([40, 30, 0, 20, 10, 0])
    known = plain_evidence(cell.tolist(), counts.tolist())
    np.testing.assert_allclose(change_point.tail_evidence(cell, counts), known, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("move", "within"),
    [(lambda x: x + 1, 10), (lambda x: x + 0.5, 40), (lambda x: x * 2, 30), (lambda x: np.full_like(x, np.nan), 2)],
    ids=["mean +1 sd", "mean +0.5 sd", "sd x 2", "missing"],
)
def test_half_of_the_steps_are_placed_within(move, within):
    errors = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=2000)
        values[1400:] = move(values[1400:])
        errors.append(abs(change_point.turn(*placed(values, rng.normal(size=5000)), 1.0) - 1400))
    assert np.median(errors) <= within


def test_what_has_moved_throughout_has_no_turn():
    turns = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        turns.append(change_point.turn(*placed(rng.normal(0.6, 1, size=2000), rng.normal(size=5000)), 1.0))
    assert turns.count(0) >= 38


def test_alike_neighbours_are_not_taken_for_a_turn():
    turns = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = np.repeat(rng.normal(0.6, 1, size=200), 10)
        cell, counts = placed(values, np.repeat(rng.normal(size=1000), 10))
        tau = autocorrelation.integrated_time(autocorrelation.centred_ranks(values, np.argsort(values))[None, None])[0]
        turns.append(change_point.turn(cell, counts, float(tau)))
    assert turns.count(0) >= 18


@pytest.mark.parametrize("n", [1, 2, 50])
def test_odd_rows_have_a_place(n):
    assert change_point.turn(np.zeros(n, dtype=np.int64), np.array([5, 0, 0]), 1.0) == 0
    assert change_point.turn(np.full(n, 2), np.array([5, 0, 0]), 1.0) == 0
