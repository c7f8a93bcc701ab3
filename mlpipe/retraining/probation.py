"""Does a new champion keep its promise? Pass, continue or roll back [pure]."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlpipe.drift.detectors import autocorrelation

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ALPHA = 0.01
"""Chance, over a whole probation, that a version as good as the one before is rolled back for its labels."""

TIGHTEST = 300
"""Labelled rows at which the confidence sequence is narrowest: where a version 5 points worse is told."""

MIN_LABELLED = 50
"""Labelled rows before which a variance is too uncertain for a limit theorem; as for the gate's holdout."""

FAILURES = 3
"""Requests that only the version before could answer: one may be a fault of the machine."""

SLOWER, SLOWER_S = 5.0, 0.05
"""A version is too slow when it takes so many times as long AND so much longer: either alone is no harm to callers."""

MIN_TIMED = 10
"""Requests on which both were timed before their speed is judged."""

MIN_JUMP_ROWS = 200
"""Rows of traffic before answers are compared with what they were on the reference."""

MIN_REFERENCE_ROWS = 100
"""Rows of the reference below which it says too little of what a version would answer."""

JUMP = 0.35
"""Share of answers that neither the data nor the reference explain. Of 136 retrainings on real streams none was above
0.26; versions that answered the opposite reached 0.8 (benchmarks/probation.py)."""

PATIENCE = 5
"""A probation without enough labels ends after so many times its rows were answered."""

BINS = 4
"""Quarters into which a regressor's values are cut, so that 200 rows fill the table of both versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a new version beside the one before, on the same rows.

    Attributes
    ----------
    n_rows : int
        Rows that both have scored.
    worse : float64 (n,)
        Loss of the new version minus that of the old one, by labelled row, in the order of the predictions.
    jump : float or None
        See `jump`; None before there is enough to compare.
    failures : int
        Requests that the new version could not answer and the old one could.
    new_s, old_s : float64 (m,)
        Seconds that each took for the same requests.
    """

    n_rows: int
    worse: Floats
    jump: float | None
    failures: int
    new_s: Floats
    old_s: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the rule says.

    Attributes
    ----------
    decision : {"pass", "continue", "roll_back"}
    because : {"quality", "jump", "errors", "latency", "enough"} or None
        What decided.
    worse : float or None
        Mean loss of the new version minus that of the old one; None before the first label.
    low, high : float or None
        Confidence sequence of it: both bounds hold at all looks together, each but for `ALPHA`.
    sentence : str
        For a person.
    """

    decision: Literal["pass", "continue", "roll_back"]
    because: str | None
    n_rows: int
    n_labelled: int
    worse: float | None
    low: float | None
    high: float | None
    jump: float | None
    failures: int
    new_p95_ms: float | None
    old_p95_ms: float | None
    sentence: str


def judge(evidence: Evidence, *, rows: int) -> Verdict:
    """Say whether a new version stays.

    Parameters
    ----------
    evidence : Evidence
    rows : int
        Labelled rows after which a version has passed.

    Notes
    -----
    Labels decide wherever they are: answers that changed (`jump`) roll back only while labels do not say that the
    new version is at least as good. A version that has learned another world answers otherwise, and must stay.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> none = np.empty(0)
    >>> seen = Evidence(
    ...     n_rows=400, worse=rng.normal(0.3, 0.5, 400), jump=None, failures=0, new_s=none, old_s=none)
    >>> judge(seen, rows=1000).decision
    'roll_back'
    """
    worse = evidence.worse
    low, high = bounds(worse)
    because, why = _reason(evidence, low)
    decision: Literal["pass", "continue", "roll_back"] = "roll_back" if because else "continue"
    if not because and (len(worse) >= rows or evidence.n_rows >= PATIENCE * rows):
        decision, because, why = "pass", "enough", "Nothing speaks against it."
    return Verdict(
        decision=decision,
        because=because,
        n_rows=evidence.n_rows,
        n_labelled=len(worse),
        worse=float(worse.mean()) if len(worse) else None,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        jump=evidence.jump,
        failures=evidence.failures,
        new_p95_ms=_p95_ms(evidence.new_s),
        old_p95_ms=_p95_ms(evidence.old_s),
        sentence=f"{why} {_figures(evidence, low, high)}".strip(),
    )


def _reason(evidence: Evidence, low: float) -> tuple[str | None, str]:
    """Return what speaks against the new version, surest first, and in words."""
    if evidence.failures >= FAILURES:
        return "errors", f"It failed with {evidence.failures} requests that the version before could answer."
    if low > 0:
        return "quality", "Its answers are worse on the same rows."
    if _is_slow(evidence.new_s, evidence.old_s):
        return "latency", "It is too slow for the same requests."
    if evidence.jump is not None and evidence.jump > JUMP and not _labels_speak_for_it(evidence.worse):
        share = f"{evidence.jump:.0%} of its answers are others than its reference and the data explain"
        return "jump", f"{share}, and no labels speak for them."
    return None, ""


def _labels_speak_for_it(worse: Floats) -> bool:
    return len(worse) >= MIN_LABELLED and float(worse.mean()) <= 0


def _is_slow(new_s: Floats, old_s: Floats) -> bool:
    if len(new_s) < MIN_TIMED:
        return False
    new, old = (float(np.percentile(taken, 95)) for taken in (new_s, old_s))
    return new > SLOWER * old and new > old + SLOWER_S


def _p95_ms(taken_s: Floats) -> float | None:
    return float(np.percentile(taken_s, 95)) * 1000 if len(taken_s) else None


def _figures(evidence: Evidence, low: float, high: float) -> str:
    n = len(evidence.worse)
    if n == 0:
        return f"{evidence.n_rows:,} rows were scored by both, none is labelled yet."
    mean = float(evidence.worse.mean())
    reach = f", at all looks together from {low:+.4f} to {high:+.4f}" if math.isfinite(low) else ""
    return f"{evidence.n_rows:,} rows were scored by both; loss on {n:,} labelled ones {mean:+.4f}{reach}."


def bounds(worse: Floats) -> tuple[float, float]:
    r"""Return a confidence sequence of a mean: it may be looked at after every row.

    Parameters
    ----------
    worse : float64 (n,)
        Differences in the order of the rows.

    Returns
    -------
    low, high : float
        Infinite below `MIN_LABELLED` rows. Each holds at all n together with probability 1 - `ALPHA`.

    Notes
    -----
    One-sided asymptotic confidence sequences: mean -+ s sqrt(2 (n r^2 + 1) / (n r)^2 log(1 + sqrt(n r^2 + 1) / 2a)),
    with r chosen so that it is narrowest at `TIGHTEST` rows. Neighbours in a stream are wrong together, so the
    variance is multiplied by the integrated autocorrelation time.

    References
    ----------
    Waudby-Smith, I., Arbour, D., Sinha, R., Kennedy, E. H. and Ramdas, A. (2024) Time-uniform central limit theory
    and asymptotic confidence sequences, Annals of Statistics 52(6), theorem 2.2 and appendix B.1.
    doi:10.1214/24-AOS2408

    Examples
    --------
    >>> low, high = bounds(np.random.default_rng(1).normal(0, 1, 1000))
    >>> low < 0 < high
    True
    """
    n = len(worse)
    if n < MIN_LABELLED:
        return -math.inf, math.inf
    mean = float(worse.mean())
    centred = worse - mean
    variance = float(centred @ centred) / (n - 1)
    if variance > 0:
        variance *= float(autocorrelation.integrated_time(centred[None, None])[0])
    r2 = (-2 * math.log(ALPHA) + math.log(-2 * math.log(ALPHA) + 1)) / TIGHTEST
    inside = n * r2 + 1
    reach = math.sqrt(variance * 2 * inside / (n * n * r2) * math.log1p(math.sqrt(inside) / (2 * ALPHA)))
    return mean - reach, mean + reach


def jump(reference: tuple[Floats, Floats], traffic: tuple[Floats, Floats], *, is_classifier: bool) -> float | None:
    """Return the share of a version's answers that neither the data nor its reference explain.

    Parameters
    ----------
    reference : (float64 (n,), float64 (n,))
        Answers of the old version, and of models like the new one that had not seen the rows, to the new version's
        reference.
    traffic : (float64 (m,), float64 (m,))
        Answers of the old and of the new version to the same rows of traffic.

    Returns
    -------
    float or None
        From 0 to 1; None below `MIN_JUMP_ROWS` rows of traffic or `MIN_REFERENCE_ROWS` of the reference.

    Notes
    -----
    Total variation distance between what the new version says given what the old one says, on the reference and in
    the traffic, averaged over what the old one says in the traffic, less its expectation by chance. Traffic that has
    moved moves what the old version says, which is divided out; a version that has learned another world contradicts
    the old one on its reference as well.

    Examples
    --------
    >>> old = np.tile([0.0, 1.0], 200)
    >>> jump((old, old), (old, 1 - old), is_classifier=True) > 0.9
    True
    >>> jump((old, 1 - old), (old, 1 - old), is_classifier=True)
    0.0
    """
    if len(reference[0]) < MIN_REFERENCE_ROWS or len(traffic[0]) < MIN_JUMP_ROWS:
        return None
    cells = [_cells(before, now, is_classifier) for before, now in zip(reference, traffic, strict=True)]
    size = 1 + max(int(part.max()) for pair in cells for part in pair)
    then, now = (_counts(cells[0][side], cells[1][side], size) for side in (0, 1))
    shares_then, shares_now = (table / np.maximum(table.sum(axis=1, keepdims=True), 1) for table in (then, now))
    n_then, n_now = then.sum(axis=1), now.sum(axis=1)
    apart = np.abs(shares_now - shares_then).sum(axis=1) / 2
    comparable = (n_then > 0) & (n_now > 0)  # what the old version never said there cannot be compared
    if not comparable.any():
        return None
    pooled = (then + now)[comparable] / (n_then + n_now)[comparable, None]
    noise = _by_chance(pooled, n_then[comparable], n_now[comparable])
    weight = n_now[comparable] / n_now.sum()
    return float(np.maximum(apart[comparable] - noise, 0) @ weight)


def _by_chance(pooled: Floats, n_then: Floats, n_now: Floats) -> Floats:
    """Return the expected distance between rows of counts that have the same shares: mean of |normal|, summed."""
    variance = pooled * (1 - pooled) * (1 / n_then + 1 / n_now)[:, None]
    found: Floats = np.sqrt(2 / np.pi * variance).sum(axis=1) / 2
    return found


def _cells(before: Floats, now: Floats, is_classifier: bool) -> tuple[Ints, Ints]:
    """Return the class of each answer, or its quarter among those to the reference."""
    if is_classifier:
        known = np.unique(np.concatenate([before, now]))
        return np.searchsorted(known, before), np.searchsorted(known, now)
    edges = np.quantile(before, np.arange(1, BINS) / BINS)
    return np.searchsorted(edges, before), np.searchsorted(edges, now)


def _counts(old: Ints, new: Ints, size: int) -> Floats:
    return np.bincount(old * size + new, minlength=size * size).reshape(size, size).astype(np.float64)
