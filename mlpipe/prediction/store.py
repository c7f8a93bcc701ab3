"""The prediction log: one request, one row; labels join by id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from mlpipe import clock, db
from mlpipe.prediction.tables import SERVED, prediction_labels, predictions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

KEYS_A_QUERY = 500
"""Ids in one IN list."""

WINDOW_REQUESTS = 4000
"""Log rows that one look at the window reads; a window of one-row requests needs that many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One logged request as arrays.

    Attributes
    ----------
    X : float64 (n, d)
    outputs : float64 (n,)
        Class label as stored, or value.
    probabilities : float64 (n, k) or None
        Classes in the order of the version that answered.
    """

    id: int
    request_id: str
    predicted_at: int
    model_version: int
    model_revision: int
    route: str
    X: Floats
    outputs: Floats
    probabilities: Floats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Newest rows that a version has answered, oldest first: arrays as in `Logged`, and the ids at both ends.

    Attributes
    ----------
    predicted_at : int64 (n,)
        When each row was answered, microseconds since 1970.
    """

    X: Floats
    outputs: Floats
    probabilities: Floats | None
    predicted_at: Ints
    first: int
    last: int


def append(row: dict[str, Any]) -> int:
    """Log one request in a transaction of its own; return its id."""
    return db.log(predictions, row)


def logged(connection: sa.Connection, ids: Iterable[int]) -> dict[int, Logged]:
    """Return logged requests by id; unknown ids, and those of shadow rows, are left out."""
    wanted = sorted(set(ids))
    found: dict[int, Logged] = {}
    for start in range(0, len(wanted), KEYS_A_QUERY):
        part = wanted[start : start + KEYS_A_QUERY]
        for row in connection.execute(sa.select(predictions).where(predictions.c.id.in_(part), SERVED)):
            found[row.id] = _logged(row)
    return found


def _logged(row: sa.Row[Any]) -> Logged:
    n = row.n_rows
    return Logged(
        id=row.id,
        request_id=row.request_id,
        predicted_at=row.predicted_at,
        model_version=row.model_version,
        model_revision=row.model_revision,
        route=row.route,
        X=_block(row.features, n),
        outputs=np.frombuffer(row.outputs),
        probabilities=None if row.probabilities is None else _block(row.probabilities, n),
    )


def _block(content: bytes, n: int) -> Floats:
    return np.frombuffer(content).reshape(n, -1)


def page(connection: sa.Connection, *, limit: int, before: int | None = None) -> list[Logged]:
    """Return logged requests, newest first, older than the row `before`."""
    query = sa.select(predictions).where(SERVED).order_by(predictions.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(predictions.c.id < before)
    return [_logged(row) for row in connection.execute(query)]


def newest(connection: sa.Connection) -> int:
    """Return the id of the newest log row, 0 when there is none."""
    return connection.execute(sa.select(sa.func.max(predictions.c.id))).scalar() or 0


def newest_at(connection: sa.Connection, at: int) -> int:
    """Return the id of the newest log row that was predicted by then, 0 when there is none."""
    query = sa.select(predictions.c.id).where(predictions.c.predicted_at <= at)
    order = (predictions.c.predicted_at.desc(), predictions.c.id.desc())
    return connection.execute(query.order_by(*order).limit(1)).scalar() or 0


def count_since(connection: sa.Connection, version: int, last: int, *, enough: int, upto: int | None = None) -> int:
    """Count rows that a version has answered after a log row, and up to another where one is given.

    It stops at `enough`, so it costs the same always.
    """
    query = _after(sa.select(predictions.c.n_rows), version, last).limit(enough)
    if upto is not None:
        query = query.where(predictions.c.id <= upto)
    return int(min(enough, sum(connection.execute(query).scalars())))


def reach(connection: sa.Connection, version: int, last: int, n: int) -> tuple[int, int] | None:
    """Return id and time of the log row with which a version had answered n rows after a log row, if it ever did."""
    columns = sa.select(predictions.c.id, predictions.c.predicted_at, predictions.c.n_rows)
    missing = n
    for row in connection.execute(_after(columns, version, last).limit(n)):
        missing -= row.n_rows
        if missing <= 0:
            return row.id, row.predicted_at
    return None


def _after(columns: sa.Select[Any], version: int, last: int) -> sa.Select[Any]:
    newer = columns.where(predictions.c.model_version == version, predictions.c.id > last, SERVED)
    return newer.order_by(predictions.c.id)


_WINDOW = (
    predictions.c.id,
    predictions.c.n_rows,
    predictions.c.predicted_at,
    predictions.c.features,
    predictions.c.outputs,
    predictions.c.probabilities,
)


def window(connection: sa.Connection, version: int, n: int, *, upto: int | None = None) -> Window | None:
    """Return the newest n rows that a version has answered, oldest first; None when there are none.

    `upto` is the newest log row that counts; without it, all do.
    """
    rows: list[Sequence[Any]] = []
    missing, before = n, None if upto is None else upto + 1
    while missing > 0:
        query = sa.select(*_WINDOW).where(predictions.c.model_version == version, SERVED)
        if before is not None:
            query = query.where(predictions.c.id < before)
        part = connection.execute(query.order_by(predictions.c.id.desc()).limit(min(missing, WINDOW_REQUESTS))).all()
        if not part:
            break
        for row in part:
            if missing <= 0:
                break
            rows.append(row)
            missing -= row.n_rows
        before = part[-1].id
    return _window(rows[::-1], n) if rows else None


def _window(rows: Sequence[Sequence[Any]], n: int) -> Window:
    """Join log rows; the oldest may hold more rows than are wanted."""
    ids, n_rows, moments, features, outputs, probabilities = zip(*rows, strict=True)
    total = sum(n_rows)
    return Window(
        X=_block(b"".join(features), total)[-n:],
        outputs=np.frombuffer(b"".join(outputs))[-n:],
        probabilities=None if probabilities[0] is None else _block(b"".join(probabilities), total)[-n:],
        predicted_at=np.repeat(np.array(moments, dtype=np.int64), n_rows)[-n:],
        first=ids[0],
        last=ids[-1],
    )


def last_at(connection: sa.Connection) -> int | None:
    """Return when the newest prediction was made."""
    at: int | None = connection.execute(sa.select(sa.func.max(predictions.c.predicted_at))).scalar()
    return at


def first_at(connection: sa.Connection, *, after_us: int) -> int | None:
    """Return when the oldest prediction after a time was made."""
    query = sa.select(sa.func.min(predictions.c.predicted_at)).where(predictions.c.predicted_at > after_us)
    at: int | None = connection.execute(query).scalar()
    return at


# Labels ---------------------------------------------------------------------------------------------------------


def last_label_at(connection: sa.Connection) -> int | None:
    """Return when the newest label of a prediction arrived."""
    query = sa.select(prediction_labels.c.received_at).order_by(prediction_labels.c.id.desc()).limit(1)
    at: int | None = connection.execute(query).scalar()
    return at


def labels(
    connection: sa.Connection, ids: Iterable[int], *, within: range | None = None
) -> dict[tuple[int, int], sa.Row[Any]]:
    """Return the label rows that count now, by prediction row and position; `within` some positions alone."""
    wanted = sorted(set(ids))
    found: dict[tuple[int, int], sa.Row[Any]] = {}
    for start in range(0, len(wanted), KEYS_A_QUERY):
        part = wanted[start : start + KEYS_A_QUERY]
        query = sa.select(prediction_labels).where(
            prediction_labels.c.prediction_id.in_(part), prediction_labels.c.current
        )
        if within is not None:
            query = query.where(prediction_labels.c.position.between(within.start, within.stop - 1))
        for row in connection.execute(query):
            found[row.prediction_id, row.position] = row
    return found


def add_labels(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Store labels of predictions; those they correct must have been retired before."""
    if rows:
        now = clock.now_us()
        connection.execute(sa.insert(prediction_labels), [row | {"received_at": now, "current": True} for row in rows])


def retire_labels(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Mark label rows as corrected by later ones."""
    for start in range(0, len(ids), KEYS_A_QUERY):
        part = list(ids[start : start + KEYS_A_QUERY])
        query = sa.update(prediction_labels).where(prediction_labels.c.id.in_(part))
        connection.execute(query.values(current=False))


def parked(connection: sa.Connection, *, limit: int) -> list[sa.Row[Any]]:
    """Return labels whose prediction has turned up since they were parked."""
    query = (
        sa.select(prediction_labels)
        .join(predictions, predictions.c.id == prediction_labels.c.prediction_id)
        .where(
            prediction_labels.c.sample_batch.is_(None),
            prediction_labels.c.current,
            prediction_labels.c.position < predictions.c.n_rows,
            SERVED,
        )
        .order_by(prediction_labels.c.id)
        .limit(limit)
    )
    return list(connection.execute(query))


def join_parked(connection: sa.Connection, row_id: int, values: dict[str, Any]) -> None:
    """Write what a parked label turned out to belong to."""
    connection.execute(sa.update(prediction_labels).where(prediction_labels.c.id == row_id).values(**values))


def label_history(connection: sa.Connection, prediction: int, position: int) -> list[sa.Row[Any]]:
    """Return all labels that came for one prediction, oldest first."""
    query = sa.select(prediction_labels).where(
        prediction_labels.c.prediction_id == prediction, prediction_labels.c.position == position
    )
    return list(connection.execute(query.order_by(prediction_labels.c.id)))
