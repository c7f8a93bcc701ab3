"""Realised quality by the hour that predictions were made in [pure]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe.drift import bands, drop

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOUR_US = 3600 * 1_000_000
"""Microseconds of an hour."""

QUANTILES = (0.5, 0.9, 0.99)
"""Of the absolute error, in regression."""


@dataclass(frozen=True)
class Requests:
    """Logged requests: columns of one length, in order of their ids.

    Parameters
    ----------
    id, at_us, version, n_rows : (r,) int64
        Log row, time of prediction, version that answered, predicted rows.
    """

    id: Ints
    at_us: Ints
    version: Ints
    n_rows: Ints

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.id)


@dataclass(frozen=True)
class Labels:
    """Labelled predictions in the order in which they were made: columns of one length.

    Parameters
    ----------
    at_us : (n,) int64
        Time of prediction.
    label, output : (n,) float64
        What was true, and what was answered.
    """

    at_us: Ints
    label: Floats
    output: Floats


@dataclass(frozen=True)
class Hour:
    """One hour of predictions.

    Parameters
    ----------
    at_us : int
        Its beginning.
    model_versions : tuple of int
        Which have answered, ascending.
    predicted, labelled : int
        Predicted rows, and those of them whose label is known.
    figures : dict
        Classification: ``accuracy, low, high, no_change``. Regression: ``mae, low, high, mean_error, rmse, quantiles,
        no_change``. None where no label is known. ``no_change`` is what repeating the label before would have reached,
        within the hour.
    """

    at_us: int
    model_versions: tuple[int, ...]
    predicted: int
    labelled: int
    figures: dict[str, Any]

    @property
    def coverage(self) -> float | None:
        """Share of the hour's predictions whose label is known."""
        return self.labelled / self.predicted if self.predicted else None


def labels_of(rows: Sequence[Any]) -> Labels:
    """Return label rows, which have ``predicted_at, label, output``, as columns."""
    return Labels(
        at_us=np.array([row.predicted_at for row in rows], dtype=np.int64),
        label=np.array([row.label for row in rows], dtype=np.float64),
        output=np.array([row.output for row in rows], dtype=np.float64),
    )


def errors(labels: Labels, task: drop.Task) -> Floats:
    """Return 0 and 1 for right and wrong answers, or absolute errors."""
    if task == "classification":
        wrong: Floats = (labels.output != labels.label).astype(np.float64)
        return wrong
    misses: Floats = np.abs(labels.output - labels.label)
    return misses


def by_hour(requests: Requests, labels: Labels, task: drop.Task, taus: Mapping[int, float]) -> list[Hour]:
    """Work out the quality of each hour in which something was predicted, newest first.

    Parameters
    ----------
    requests : Requests
    labels : Labels
        Of these requests' rows, as far as they are known.
    task : {"classification", "regression"}
    taus : mapping of int to float
        How many errors in sequence are worth one, by version, where that is known; else the hour's own errors tell.

    Notes
    -----
    An hour rests on its own rows alone, so it is the same on whatever page it stands.

    Examples
    --------
    >>> requests = Requests(*(np.array(values) for values in ([1, 2], [0, HOUR_US], [3, 3], [4, 4])))
    >>> labels = Labels(np.zeros(2, np.int64), label=np.array([1.0, 0.0]), output=np.array([1.0, 1.0]))
    >>> newest, oldest = by_hour(requests, labels, "classification", {3: 1.0})
    >>> oldest.figures["accuracy"], oldest.coverage, newest.figures["accuracy"]
    (0.5, 0.5, None)
    """
    asked, known = requests.at_us // HOUR_US, labels.at_us // HOUR_US
    found = []
    for hour in np.unique(asked)[::-1].tolist():
        own, rows = asked == hour, known == hour
        versions = tuple(np.unique(requests.version[own]).tolist())
        tau = max((taus[version] for version in versions if version in taus), default=None)
        figures = _figures(Labels(labels.at_us[rows], labels.label[rows], labels.output[rows]), task, tau)
        found.append(Hour(hour * HOUR_US, versions, int(requests.n_rows[own].sum()), int(rows.sum()), figures))
    return found


def _figures(labels: Labels, task: drop.Task, tau: float | None) -> dict[str, Any]:
    wrong = errors(labels, task)
    tau = bands.error_time(wrong) if tau is None else tau
    step = np.diff(labels.label)
    if task == "classification":
        return _classification(wrong, tau) | {"no_change": _mean((step == 0).astype(np.float64))}
    return _regression(labels.output - labels.label, wrong, tau) | {"no_change": _mean(np.abs(step))}


def _classification(wrong: Floats, tau: float) -> dict[str, Any]:
    accuracy = _mean(1 - wrong)
    low, high = bands.share_band(accuracy or 0.0, len(wrong), tau=tau)
    return {"accuracy": accuracy, "low": low, "high": high}


def _regression(off: Floats, wrong: Floats, tau: float) -> dict[str, Any]:
    low, high = bands.mean_band(wrong, tau=tau)
    spread = np.quantile(wrong, QUANTILES).tolist() if len(wrong) else [None] * len(QUANTILES)
    return {
        "mae": _mean(wrong),
        "low": low,
        "high": high,
        "mean_error": _mean(off),
        "rmse": float(np.sqrt((off**2).mean())) if len(off) else None,
        "quantiles": dict(zip(map(str, QUANTILES), spread, strict=True)),
    }


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def sample(n_rows: Ints, quota: int) -> Ints:
    """Choose requests, evenly over an hour, that together have about `quota` rows.

    Parameters
    ----------
    n_rows : (r,) int64
        Rows of each request, in order of time; at least one.
    quota : int
        Rows wanted; of a request with more of them, the first `quota` are meant to be read.

    Returns
    -------
    (k,) int64
        Positions, ascending, 1 <= k <= r.

    Examples
    --------
    >>> sample(np.ones(10, np.int64), 5).tolist()
    [0, 2, 4, 7, 9]
    >>> sample(np.array([3, 4]), 100).tolist()
    [0, 1]
    """
    total = int(np.minimum(n_rows, quota).sum())
    wanted = max(1, min(len(n_rows), len(n_rows) * quota // total))
    return np.unique(np.linspace(0, len(n_rows) - 1, wanted).round().astype(np.int64))
