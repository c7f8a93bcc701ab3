"""Bins of time, and what was right in them."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlpipe.dashboard.picture import LabelBin, Latency, Picture, Report, TrafficBin

SECOND_US = 1_000_000
STEPS_S = (5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 86_400)
"""Widths of a bin. Each divides the next, so that fine bins add up to coarse ones."""

MOST_BINS = 170
"""Bins of the traffic chart: seven days by the hour are 168, a minute's demo has twelve."""

MOST_QUALITY_BINS = 56
LABELS_PER_BIN = 30
"""Labels that a bin of the quality chart should hold on average; with fewer, a 95 % range is wider than 36 points."""

Z95 = 1.959963984540054
"""Quantile of the normal distribution: two-sided 95 %."""

MISSED_CHECKS = 3
"""Time between two checks, in check intervals, from which the drift line is broken."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Bins that lie side by side."""

    start_us: int
    step_us: int
    n: int

    @property
    def starts(self) -> list[int]:
        """When each bin begins."""
        return [self.start_us + i * self.step_us for i in range(self.n)]

    @property
    def end_us(self) -> int:
        """When the last bin ends."""
        return self.start_us + self.n * self.step_us


@dataclass(frozen=True, slots=True)
class Quality:
    """Share right, or mean absolute error, of some labelled predictions, with its 95 % range."""

    n: int
    value: float
    low: float
    high: float
    baseline: float


@dataclass(frozen=True, slots=True)
class QualityBin:
    """Quality of the predictions of one bin; None where no label is known."""

    at_us: int
    n_rows: int
    quality: Quality | None

    @property
    def coverage(self) -> float | None:
        """Share of the bin's predictions with a label; None without predictions."""
        if not self.n_rows:
            return None
        return min(1.0, self.quality.n / self.n_rows) if self.quality else 0.0


def step_for(span_us: int, most: int = MOST_BINS) -> int:
    """Return the width of a bin that cuts a span into at most `most` parts.

    Examples
    --------
    >>> [step_for(hours * 3600 * SECOND_US) // SECOND_US for hours in (0, 2, 168)]
    [5, 60, 3600]
    """
    fitting = (step for step in STEPS_S if step * SECOND_US * most >= span_us)
    return next(fitting, STEPS_S[-1]) * SECOND_US


def end_of(oldest_us: int, newest_us: int, now_us: int) -> int:
    """Return where a chart ends: now, unless the traffic has been silent for longer than it lasted.

    Examples
    --------
    >>> end_of(0, 100, 150), end_of(0, 100, 1_000)
    (150, 100)
    """
    return now_us if now_us - newest_us <= newest_us - oldest_us else newest_us


def grid_of(picture: Picture) -> Grid:
    """Return the bins of the traffic chart; a first bin that was cut is left out."""
    traffic = picture.traffic
    if not traffic:
        return Grid(picture.now_us, picture.step_us, 0)
    step_us = picture.step_us
    oldest = traffic[0].at_us + (step_us if picture.traffic_cut else 0)
    end = end_of(oldest, picture.totals.newest_predicted_us or picture.now_us, picture.now_us)
    return Grid(oldest, step_us, max(1, end // step_us - oldest // step_us + 1))


def rows_by_bin(traffic: Iterable[TrafficBin], grid: Grid) -> list[int]:
    """Return the predicted rows of every bin; a bin without any is 0, which is a fact and no gap."""
    counts: Counter[int] = Counter()
    for part in traffic:
        counts[(part.at_us - grid.start_us) // grid.step_us] += part.n_rows
    return [counts[i] for i in range(grid.n)]


def wilson(n_right: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % range of a share.

    References
    ----------
    E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22, 209-212.

    Examples
    --------
    >>> [round(end, 3) for end in wilson(8, 10)]
    [0.49, 0.943]
    """
    share, z2 = n_right / n, Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def quality_of(parts: Sequence[LabelBin], task: str) -> Quality | None:
    """Return the quality of labelled predictions, and that of the best constant answer on the same rows.

    The constant is the most common class or, in regression, the average label.
    """
    n = sum(part.n for part in parts)
    if not n:
        return None
    if task == "regression":
        return _error(parts, n)
    right = sum(part.n_right for part in parts)
    common = most_common(parts)
    return Quality(n, right / n, *wilson(right, n), baseline=common[1] / n if common else 0.0)


def _error(parts: Sequence[LabelBin], n: int) -> Quality:
    mean = sum(part.error for part in parts) / n
    variance = max(0.0, sum(part.squared_error for part in parts) / n - mean**2)
    half = Z95 * math.sqrt(variance / n)
    baseline = sum(part.baseline_error for part in parts) / n
    return Quality(n, mean, max(0.0, mean - half), mean + half, baseline)


def most_common(parts: Iterable[LabelBin]) -> tuple[float, int] | None:
    """Return the most common label and how often it came."""
    counts: Counter[float] = Counter()
    for part in parts:
        if part.label is not None:
            counts[part.label] += part.n
    return counts.most_common(1)[0] if counts else None


def whole_labels(picture: Picture) -> list[LabelBin]:
    """Return the label bins, without the first one where the range was cut inside it."""
    first = picture.labels[0].at_us if picture.labels_cut else -1
    return [part for part in picture.labels if part.at_us > first]


def quality_bins(picture: Picture, grid: Grid, task: str) -> list[QualityBin]:
    """Return quality by time of PREDICTION, in bins wide enough to say something."""
    labels = whole_labels(picture)
    if not labels or not grid.n:
        return []
    step_us = _quality_step(labels, grid)
    by_bin: defaultdict[int, list[LabelBin]] = defaultdict(list)
    for part in labels:
        by_bin[part.at_us // step_us].append(part)
    rows: Counter[int] = Counter()
    for traffic in picture.traffic:
        rows[traffic.at_us // step_us] += traffic.n_rows
    first = labels[0].at_us if picture.labels_cut else min(labels[0].at_us, grid.start_us)
    numbers = range(first // step_us, (grid.end_us - 1) // step_us + 1)
    return [QualityBin(i * step_us, rows[i], quality_of(by_bin[i], task)) for i in numbers]


def _quality_step(labels: Sequence[LabelBin], grid: Grid) -> int:
    n = sum(part.n for part in labels)
    most = max(1, min(MOST_QUALITY_BINS, n // LABELS_PER_BIN))
    # Sparse labels make bins wider, but never so wide that a day's course is lost.
    widest = max(grid.step_us, step_for(grid.end_us - grid.start_us, 6))
    return max(grid.step_us, min(widest, step_for(grid.end_us - grid.start_us, most)))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed.

    Examples
    --------
    >>> percentile([4, 1, 3, 2], 0.5), percentile([4, 1, 3, 2], 0.99)
    (2, 4)
    """
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def latency_trace(latencies: Sequence[Latency], n_chunks: int = 20) -> list[float]:
    """Return the 99th percentile of consecutive, equally long runs of requests, in microseconds."""
    size = max(1, math.ceil(len(latencies) / n_chunks))
    runs = (latencies[i : i + size] for i in range(0, len(latencies), size))
    return [percentile([request.latency_us for request in run], 0.99) for run in runs]


def check_gaps(reports: Sequence[Report], interval_us: int) -> list[tuple[int, int]]:
    """Return the stretches in which checks were missing: longer than `MISSED_CHECKS` usual steps."""
    times = [report.checked_us for report in reports]
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    if not steps:
        return []
    limit = MISSED_CHECKS * max(interval_us, int(statistics.median(steps)))
    return [pair for pair, step in zip(itertools.pairwise(times), steps, strict=True) if step > limit]
