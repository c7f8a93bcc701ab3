"""Labelled predictions: what quality is worked out from. A part of the prediction log's store."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from mlpipe.prediction.store import KEYS_A_QUERY
from mlpipe.prediction.tables import SERVED, prediction_labels, predictions

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Picture:
    """What was there at an earlier time: label rows up to `label`, of predictions made by `at`."""

    label: int
    at: int


def newest_label(connection: sa.Connection) -> int:
    """Return the id of the newest label row, 0 when there is none."""
    return connection.execute(sa.select(sa.func.max(prediction_labels.c.id))).scalar() or 0


def label_reach(connection: sa.Connection, version: int, last: int, n: int) -> tuple[int, int] | None:
    """Return id and time of arrival of the n-th label of a version after a label row, if there are as many."""
    table = prediction_labels.c
    query = sa.select(table.id, table.received_at).where(table.model_version == version, table.id > last)
    row = connection.execute(query.order_by(table.id).offset(n - 1).limit(1)).first()
    return None if row is None else (row.id, row.received_at)


def label_at(connection: sa.Connection, since: int, at: int) -> int:
    """Return the newest label row that was received by a time, which a row `since` was: reads no further than that."""
    table = prediction_labels.c
    query = sa.select(table.id).where(table.id > since, table.received_at > at).order_by(table.id).limit(1)
    later: int | None = connection.execute(query).scalar()
    return newest_label(connection) if later is None else later - 1


def label_ids(connection: sa.Connection, version: int, *, limit: int) -> list[int]:
    """Return the label rows of the newest labelled predictions of a version; the index alone answers."""
    query = _labelled(version, sa.select(prediction_labels.c.id), newest=True, limit=limit)
    return list(connection.execute(query).scalars())


def labelled(
    connection: sa.Connection, version: int, *, newest: bool, limit: int, seen: Picture | None = None
) -> list[sa.Row[Any]]:
    """Return labelled predictions of a version, in the order in which they were made.

    Parameters
    ----------
    version : int
        Which has answered.
    newest : bool
        The newest ones, or the first.
    limit : int
        Most of them.
    seen : Picture, optional
        What was there; without it, what is there now.

    Returns
    -------
    list of rows
        ``id, prediction_id, position, label, predicted_at, output`` of labels that count now, or counted then.
    """
    table = prediction_labels.c
    names = (table.id, table.prediction_id, table.position, table.label, table.predicted_at, table.output)
    query = sa.select(*names)
    if seen is None:
        rows = list(connection.execute(_labelled(version, query, newest=newest, limit=limit)))
        return rows[::-1] if newest else rows
    there = query.where(table.id <= seen.label, table.predicted_at <= seen.at)
    rows = list(connection.execute(_labelled(version, there, newest=newest, limit=limit)))
    corrected = there.where(~_later(version, seen))
    rows += connection.execute(_labelled(version, corrected, newest=newest, limit=limit, current=False))
    rows.sort(key=lambda row: (row.prediction_id, row.position))
    return rows[-limit:] if newest else rows[:limit]


def _later(version: int, seen: Picture) -> sa.Exists:
    """Say whether a label row had been corrected by then."""
    own, other = prediction_labels.c, prediction_labels.alias().c
    same = (other.prediction_id == own.prediction_id, other.position == own.position)
    known = (other.model_version == version, other.current.in_([False, True]))  # so that the index finds them
    return sa.exists().where(*known, *same, other.id > own.id, other.id <= seen.label)


def blocks(connection: sa.Connection, rows: Sequence[Any], column: str) -> Floats:
    """Return the log's numbers of some labelled predictions: ``features`` or ``probabilities``.

    Parameters
    ----------
    rows : sequence
        At least one, with ``prediction_id`` and ``position``.
    column : {"features", "probabilities"}

    Returns
    -------
    float64 (n, k)
        In the order of `rows`.

    Notes
    -----
    Each request is read once, and one at a time, however many of its rows are wanted: one may hold many megabytes.
    """
    ids, position = np.array([[row.prediction_id, row.position] for row in rows], dtype=np.int64).T
    found: dict[int, Floats] = {}
    wanted = np.unique(ids).tolist()
    for start in range(0, len(wanted), KEYS_A_QUERY):
        part = predictions.c.id.in_(wanted[start : start + KEYS_A_QUERY])
        query = sa.select(predictions.c.id, predictions.c.n_rows, predictions.c[column]).where(part)
        for number, n, content in connection.execute(query, execution_options={"yield_per": 1}):
            found[number] = np.frombuffer(content).reshape(n, -1)[position[ids == number]]
    block = np.empty((len(rows), next(iter(found.values())).shape[1]))
    for number, own in found.items():
        block[ids == number] = own
    return block


def _labelled(version: int, query: sa.Select[Any], *, newest: bool, limit: int, current: bool = True) -> sa.Select[Any]:
    table = prediction_labels.c
    order = [table.prediction_id, table.position]
    own = query.where(table.model_version == version, table.current if current else ~table.current)
    return own.order_by(*((column.desc() for column in order) if newest else order)).limit(limit)


def labels_between(connection: sa.Connection, since_us: int, until_us: int, *, limit: int) -> Floats:
    """Return the newest labelled predictions of a time, newest first.

    Returns
    -------
    float64 (n, 6)
        ``predicted_at, prediction_id, position, model_version, label, output`` of labels that count now.
    """
    table = prediction_labels.c
    query = sa.select(
        table.predicted_at, table.prediction_id, table.position, table.model_version, table.label, table.output
    )
    during = query.where(table.predicted_at >= since_us, table.predicted_at < until_us, table.current)
    return _matrix(connection, during.order_by(table.predicted_at.desc()).limit(limit), 6)


def requests_between(connection: sa.Connection, since_us: int, until_us: int, *, limit: int) -> Floats:
    """Return the newest requests of a time, newest first.

    Returns
    -------
    float64 (n, 4)
        ``predicted_at, id, model_version, n_rows``.
    """
    table = predictions.c
    query = sa.select(table.predicted_at, table.id, table.model_version, table.n_rows)
    during = query.where(table.predicted_at >= since_us, table.predicted_at < until_us, SERVED)
    return _matrix(connection, during.order_by(table.predicted_at.desc()).limit(limit), 4)


def _matrix(connection: sa.Connection, query: sa.Select[Any], width: int) -> Floats:
    """Return numbers as a matrix: whole ones are exact up to 2^53, which times in microseconds stay under."""
    rows = connection.execute(query).all()
    return np.fromiter(itertools.chain.from_iterable(rows), np.float64, len(rows) * width).reshape(-1, width)


def first_rows(connection: sa.Connection, ids: Sequence[int], block: str, *, n: int) -> list[sa.Row[Any]]:
    """Return the first n rows of requests: ``predicted_at, outputs, block`` (``features`` or ``probabilities``)."""
    whole = predictions.c[block]
    wanted = sa.func.length(whole, type_=sa.Integer) // predictions.c.n_rows * n
    columns = (
        predictions.c.predicted_at,
        sa.func.substr(predictions.c.outputs, 1, 8 * n, type_=sa.LargeBinary).label("outputs"),
        sa.func.substr(whole, 1, wanted, type_=sa.LargeBinary).label("block"),
    )
    found: list[sa.Row[Any]] = []
    for start in range(0, len(ids), KEYS_A_QUERY):
        part = list(ids[start : start + KEYS_A_QUERY])
        found += connection.execute(sa.select(*columns).where(predictions.c.id.in_(part)))
    return found
