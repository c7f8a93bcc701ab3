"""The rule in a small seeded simulation; benchmarks/drift_rule.py has the full one."""

from __future__ import annotations

import numpy as np
import pytest

from mlpipe.drift import verdict

D, M = 20, 10_000


def autoregressive(rng, n, phi):
    rows = rng.normal(size=(n, D))
    for i in range(1, n):
        rows[i] = phi * rows[i - 1] + np.sqrt(1 - phi**2) * rows[i]
    return rows


def waves(rng, n):
    at = np.arange(n)[:, None] + rng.uniform(0, 2000, size=D)
    return np.sqrt(2) * np.sin(2 * np.pi * at / 2000) + rng.normal(size=(n, D))


STATIONARY = {
    "iid": lambda rng, n: rng.normal(size=(n, D)),
    "autoregressive": lambda rng, n: autoregressive(rng, n, 0.9),
    "bursts": lambda rng, n: np.repeat(rng.normal(size=(n // 20, D)), 20, axis=0),
    "waves": waves,
}


@pytest.mark.parametrize("stream", STATIONARY)
def test_stationary_streams_do_not_alarm(stream, prepared):
    rng = np.random.default_rng(12)
    alarms = 0
    for _ in range(8):
        rows = STATIONARY[stream](rng, M + 20_000)
        kept = prepared(rows[:M])
        alarms += sum(
            verdict.judge(kept, rows[end - 4000 : end], None).verdict == "drift"
            for end in range(M + 5000, len(rows) + 1, 5000)
        )
    assert alarms == 0


def move(rows, name):
    if name == "all":
        rows += 0.25
    elif name == "wider":
        rows[:, 0] *= 1.5
    else:
        rows[:, 0] += float(name)


@pytest.mark.parametrize(("name", "most"), [("0.5", 150), ("1.0", 100), ("wider", 200), ("all", 250)])
def test_half_of_the_shifts_are_seen_in_time(name, most, prepared):
    # 80 runs: with 20 the median of "wider" (170 rows over 250 runs) wanders from 150 to 230.
    rng = np.random.default_rng(2)
    seen = []
    for _ in range(8):
        kept = prepared(rng.normal(size=(M, D)))
        seen += [seen_in_time(kept, rng, name, most) for _ in range(10)]
    assert np.mean(seen) >= 0.5


def seen_in_time(kept, rng, name, most):
    rows = rng.normal(size=(1000 + most, D))
    move(rows[1000:], name)
    ends = range(most, 0, -25)  # the likeliest first; any() does not mind
    return any(verdict.judge(kept, rows[end : 1000 + end], None).verdict == "drift" for end in ends)
