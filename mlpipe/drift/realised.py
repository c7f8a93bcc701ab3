"""Quality of each hour of predictions: what labels say so far, and what is expected until they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe import clock, db
from mlpipe.drift import drop, estimate, hours, quality, store
from mlpipe.prediction import labelled as log
from mlpipe.registry import store as versions

MAX_REQUESTS = 50_000
"""Newest requests that a page of hours rests on: about 0.1 s in SQLite. Older hours are on the next page."""

MAX_LABELS = 50_000
"""The same for labels."""

HOUR_ROWS = 500
"""Predictions of an hour that its estimate rests on: their mean chance to be right is known to half a percent."""

PAGE_ROWS = 20_000
"""The same for a page."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which hours are wanted: all that begin before `until_us` and end after `since_us`, at most `limit`."""

    since_us: int
    until_us: int
    limit: int


def page(watch: quality.Watch, wanted: Page) -> dict[str, Any]:
    """Return the quality of the hours of a time, newest first.

    Returns
    -------
    dict
        ``task``, ``items``, ``next``, ``change`` (the newest test) and ``estimate`` (whether it can be believed).
    """
    with db.reading() as connection:
        active = versions.active(connection)
        if active is None:
            empty: dict[str, Any] = {"task": None, "items": [], "next": None}
            return empty | {"change": quality.waiting("No model serves yet."), "estimate": None}
        serving = watch.known(connection, active.version)
        last = store.latest_quality(connection, active.version)
        lacking = quality.missing(connection, active.version, last)
        listed = _listed(connection, watch, serving.task, wanted)
    change = (
        quality.as_json(last) if last else quality.waiting(lacking or "The next check tests the labels that are here.")
    )
    return {"task": serving.task} | listed | {"change": change, "estimate": _estimate(serving, last)}


def _estimate(serving: quality.Known, last: Any) -> dict[str, Any]:
    if serving.estimator is None or last is None:
        unchecked = estimate.Trust(0, None, None, None, None) if serving.estimator else None
        told = quality.told(unchecked, serving)
        return told | ({"sentence": "Not checked yet: no labels were tested so far."} if unchecked else {})
    found: dict[str, Any] = last.estimate
    return found


def _listed(connection: db.Connection, watch: quality.Watch, task: drop.Task, wanted: Page) -> dict[str, Any]:
    span = (wanted.since_us // hours.HOUR_US * hours.HOUR_US, -(-wanted.until_us // hours.HOUR_US) * hours.HOUR_US)
    asked = log.requests_between(connection, *span, limit=MAX_REQUESTS)
    labelled = log.labels_between(connection, *span, limit=MAX_LABELS)
    if not len(asked):
        return {"items": [], "next": None}
    newest = int(asked[0, 0]) // hours.HOUR_US * hours.HOUR_US
    whole = max(span[0], _first_whole(asked, MAX_REQUESTS), _first_whole(labelled, MAX_LABELS))
    start = min(whole, newest)
    known = {version: watch.known(connection, version) for version in np.unique(asked[:, 2]).astype(int).tolist()}
    own = [version for version, found in known.items() if found.task == task]
    requests = _requests(asked[(asked[:, 0] >= start) & np.isin(asked[:, 2], own)])
    labels = _labels(labelled[(labelled[:, 0] >= start) & np.isin(labelled[:, 3], own)])
    found = hours.by_hour(requests, labels, task, _taus(known))
    shown = found[: wanted.limit]
    expected = _expected(connection, known, requests, shown)
    items = [_hour(hour, task, expected.get(hour.at_us)) | {"partial": whole > newest} for hour in shown]
    more = len(found) > len(shown) or start > span[0]
    oldest = shown[-1].at_us if shown else start
    return {"items": items, "next": str(oldest // hours.HOUR_US) if more else None}


def _first_whole(rows: NDArray[np.float64], most: int) -> int:
    """Return the first hour that is whole among rows that were cut at `most`, newest first."""
    return (int(rows[-1, 0]) // hours.HOUR_US + 1) * hours.HOUR_US if len(rows) == most else 0


def _requests(rows: NDArray[np.float64]) -> hours.Requests:
    at_us, number, version, n_rows = rows[np.argsort(rows[:, 1])].T.astype(np.int64)
    return hours.Requests(number, at_us, version, n_rows)


def _labels(rows: NDArray[np.float64]) -> hours.Labels:
    rows = rows[np.lexsort((rows[:, 2], rows[:, 1]))]
    return hours.Labels(rows[:, 0].astype(np.int64), label=rows[:, 4], output=rows[:, 5])


def _taus(known: dict[int, quality.Known]) -> dict[int, float]:
    return {version: found.reference.tau for version, found in known.items() if found.reference is not None}


def _expected(
    connection: db.Connection, known: dict[int, quality.Known], requests: hours.Requests, shown: Sequence[hours.Hour]
) -> dict[int, tuple[float, int]]:
    """Return what is expected of each hour, and from how many of its predictions that was worked out."""
    quota = max(1, min(HOUR_ROWS, PAGE_ROWS // max(1, len(shown))))
    chosen = _sampled(requests, shown, quota)
    expected, at_us = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    for version in np.unique(requests.version[chosen]).tolist():
        estimator = known[version].estimator
        if estimator is None:
            continue
        ids = requests.id[chosen[requests.version[chosen] == version]].tolist()
        rows = log.first_rows(connection, ids, estimator.reads, n=quota)
        outputs = np.frombuffer(b"".join(row.outputs for row in rows))
        block = np.frombuffer(b"".join(row.block for row in rows)).reshape(len(outputs), -1)
        expected.append(estimator.expect(outputs, block))
        at_us.append(np.repeat([row.predicted_at for row in rows], [len(row.outputs) // 8 for row in rows]))
    return _means(np.concatenate(expected), np.concatenate(at_us) // hours.HOUR_US * hours.HOUR_US)


def _sampled(requests: hours.Requests, shown: Sequence[hours.Hour], quota: int) -> NDArray[np.int64]:
    """Return the places of the requests that each hour's estimate rests on."""
    found = [np.zeros(0, dtype=np.int64)]
    of_hour = requests.at_us // hours.HOUR_US * hours.HOUR_US
    for hour in shown:
        place = np.flatnonzero(of_hour == hour.at_us)
        found.append(place[hours.sample(requests.n_rows[place], quota)])
    return np.concatenate(found)


def _means(values: NDArray[np.float64], keys: NDArray[np.int64]) -> dict[int, tuple[float, int]]:
    """Return the mean of the values of each key, and their number."""
    found, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=values, minlength=len(found)) / counts
    return {key: (mean, n) for key, mean, n in zip(found.tolist(), means.tolist(), counts.tolist(), strict=True)}


def _hour(hour: hours.Hour, task: drop.Task, expected: tuple[float, int] | None) -> dict[str, Any]:
    value, n_rows = expected or (None, 0)
    name = "expected_accuracy" if task == "classification" else "expected_mae"
    return {
        "hour": clock.iso(hour.at_us),
        "model_versions": hour.model_versions,
        "predicted": hour.predicted,
        "labelled": hour.labelled,
        "coverage": hour.coverage,
        **hour.figures,
        name: value,
        "expected_rows": n_rows,
    }
