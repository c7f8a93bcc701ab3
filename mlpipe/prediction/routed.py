"""Routes beside the champion's, and shadow rows. A part of the prediction log's store."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from mlpipe import clock, db
from mlpipe.prediction.store import KEYS_A_QUERY
from mlpipe.prediction.tables import SERVED, prediction_labels, predictions, routes

Floats = NDArray[np.float64]

CANARY, SHADOW = "canary", "shadow"
TRAFFIC = ("champion", CANARY)
"""Routes whose requests a shadow scores too: not those that named a version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row of `routes`."""

    id: int
    model_version: int
    route: str
    share: float
    since: int
    until: int | None
    by: str
    reason: str
    first_prediction: int
    last_prediction: int
    skipped: int
    open: bool | None


def open_routes(connection: sa.Connection, route: str | None = None) -> list[Route]:
    """Return what is routed now, oldest first; of one kind where it is named."""
    query = sa.select(routes).where(routes.c.open).order_by(routes.c.id)
    if route is not None:
        query = query.where(routes.c.route == route)
    return [Route(**row._mapping) for row in connection.execute(query)]


def page(connection: sa.Connection, *, limit: int, before: int | None = None) -> list[Route]:
    """Return routes that are or were, newest first."""
    query = sa.select(routes).order_by(routes.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(routes.c.id < before)
    return [Route(**row._mapping) for row in connection.execute(query)]


def start(
    connection: sa.Connection,
    version: int,
    route: str,
    share: float,
    *,
    by: str,
    reason: str,
    after: int | None = None,
) -> int | None:
    """Open a route; None when its version has one already, or when it would be the second canary.

    `after` is the newest log row that does not belong to it; without it, the newest that is there.
    """
    newest = sa.select(sa.func.coalesce(sa.func.max(predictions.c.id), 0))
    first = connection.execute(newest).scalar_one() if after is None else after
    row = {"model_version": version, "route": route, "share": share, "since": clock.now_us(), "by": by}
    marks = {"reason": reason, "first_prediction": first, "last_prediction": first, "skipped": 0, "open": True}
    return db.insert_new(connection, routes, row | marks)


def stop(connection: sa.Connection, version: int, *, by: str | None = None) -> Route | None:
    """Close the open route of a version and return it; None when there was none, or when another had opened it."""
    still = sa.update(routes).where(routes.c.model_version == version, routes.c.open)
    if by is not None:
        still = still.where(routes.c.by == by)
    closed = still.values(open=None, until=clock.now_us()).returning(*routes.c)
    row = connection.execute(closed).first()
    return None if row is None else Route(**row._mapping)


# Shadow rows ----------------------------------------------------------------------------------------------------


def unseen(connection: sa.Connection, route: Route, *, settled_us: int, limit: int) -> list[sa.Row[Any]]:
    """Return requests that a shadow has not looked at, oldest first: ``id, request_id, n_rows, route, ...``.

    Only those up to the first that was predicted after `settled_us`: an older one may be about to be committed beside
    it, and would be left out for ever once the mark has passed it.
    """
    names = ("id", "request_id", "predicted_at", "model_version", "route", "n_rows")
    query = sa.select(*(predictions.c[name] for name in names)).where(predictions.c.id > route.last_prediction)
    rows = connection.execute(query.order_by(predictions.c.id).limit(limit))
    return list(itertools.takewhile(lambda row: row.predicted_at <= settled_us, rows))


def newest_after(connection: sa.Connection, route: Route, most: int) -> tuple[int, int]:
    """Return where a shadow goes on that is more than `most` requests behind, and how many it leaves out; else 0, 0."""
    ahead = sa.select(predictions.c.id).where(predictions.c.id > route.last_prediction, SERVED)
    far = connection.execute(ahead.order_by(predictions.c.id).offset(most).limit(1)).scalar()
    if far is None:
        return 0, 0
    middle = connection.execute(ahead.order_by(predictions.c.id).offset(most // 2 - 1).limit(1)).scalar_one()
    return int(middle), most // 2


def features(connection: sa.Connection, ids: Sequence[int]) -> dict[int, bytes]:
    """Return the features of some requests as they are stored."""
    found: dict[int, bytes] = {}
    for start in range(0, len(ids), KEYS_A_QUERY):
        part = predictions.c.id.in_(list(ids[start : start + KEYS_A_QUERY]))
        rows = connection.execute(sa.select(predictions.c.id, predictions.c.features).where(part))
        found.update({row.id: row.features for row in rows})
    return found


def record(connection: sa.Connection, route: Route, rows: Sequence[dict[str, Any]], *, last: int, skipped: int) -> bool:
    """Store shadow rows and move the mark; False, and nothing stored, when another process has moved it."""
    own = sa.update(routes).where(
        routes.c.id == route.id, routes.c.last_prediction == route.last_prediction, routes.c.open
    )
    moved = own.values(last_prediction=last, skipped=routes.c.skipped + skipped)
    if connection.execute(moved).rowcount != 1:
        return False
    if rows:
        connection.execute(sa.insert(predictions), list(rows))
    return True


def shadows_of(connection: sa.Connection, answered: int) -> list[sa.Row[Any]]:
    """Return what others would have answered to one request: ``model_version, outputs, probabilities, n_rows``."""
    names = ("model_version", "model_revision", "n_rows", "outputs", "probabilities")
    query = sa.select(*(predictions.c[name] for name in names)).where(predictions.c.answered == answered)
    return list(connection.execute(query.order_by(predictions.c.model_version)))


# Comparing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What one version said to some rows.

    Attributes
    ----------
    outputs : float64 (n,)
    probabilities : float64 (n, k) or None
    """

    outputs: Floats
    probabilities: Floats | None

    @property
    def scores(self) -> Floats:
        """Probabilities of a classifier, values of a regressor."""
        return self.outputs if self.probabilities is None else self.probabilities


def labelled_pairs(
    connection: sa.Connection, version: int, shadow: int, *, after: int, limit: int
) -> tuple[Floats, Scored, Scored]:
    """Return the first labelled rows that a version has answered and another has scored in the shadow.

    Returns
    -------
    y : float64 (n,)
        Labels that count now, in the order of the predictions.
    answered, shadow : Scored
        Of the same rows.
    """
    labels = prediction_labels.c
    query = (
        sa.select(labels.prediction_id, labels.position, labels.label)
        .join(predictions, predictions.c.answered == labels.prediction_id)
        .where(
            labels.model_version == version,
            labels.current,
            labels.prediction_id > after,
            predictions.c.model_version == shadow,
        )
        .order_by(labels.prediction_id, labels.position)
        .limit(limit)
    )
    rows = list(connection.execute(query))
    y = np.array([row.label for row in rows], dtype=np.float64)
    places = [(row.prediction_id, row.position) for row in rows]
    return y, said(connection, places), said(connection, places, shadow=shadow)


def labelled_group(
    connection: sa.Connection, version: int, route: str, *, after: int, limit: int
) -> tuple[Floats, Scored, int]:
    """Return the newest labelled rows that a version has answered on a route since a log row, and of how many rows.

    Returns
    -------
    y : float64 (n,)
    said : Scored
    n_answered : int
        Rows answered, labelled or not.
    """
    labels, log = prediction_labels.c, predictions.c
    own = (log.model_version == version, log.route == route, log.id > after)
    query = sa.select(labels.prediction_id, labels.position, labels.label).join(
        predictions, log.id == labels.prediction_id
    )
    mine = query.where(labels.model_version == version, labels.current, *own)
    newest = mine.order_by(labels.prediction_id.desc(), labels.position.desc()).limit(limit)
    rows = list(connection.execute(newest))[::-1]
    n = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(log.n_rows), 0)).where(*own)).scalar_one()
    y = np.array([row.label for row in rows], dtype=np.float64)
    return y, said(connection, [(row.prediction_id, row.position) for row in rows]), int(n)


def pairs(
    connection: sa.Connection, version: int, shadow: int, *, after: int, limit: int
) -> tuple[int, Scored, Scored, list[int]]:
    """Return the newest rows that a version has answered and another has scored too, labelled or not.

    Returns
    -------
    n : int
        All rows of this kind since the log row `after`.
    answered, shadow : Scored
        At most `limit` of them, or one request.
    ids : list of int
        The requests that these are from, oldest first.
    """
    other = predictions.alias("shadow")
    both = (
        predictions.c.model_version == version,
        predictions.c.id > after,
        SERVED,
        other.c.answered == predictions.c.id,
        other.c.model_version == shadow,
    )
    n = int(connection.execute(sa.select(sa.func.coalesce(sa.func.sum(other.c.n_rows), 0)).where(*both)).scalar_one())
    query = sa.select(predictions.c.id, predictions.c.n_rows).where(*both).order_by(predictions.c.id.desc())
    ids, places, room = [], [], limit
    for number, n_rows in connection.execute(query.limit(limit)):
        if room <= 0:
            break
        ids.append(number)
        places.append([(number, position) for position in range(min(n_rows, room))])
        room -= n_rows
    flat = [place for request in places[::-1] for place in request]
    return n, said(connection, flat), said(connection, flat, shadow=shadow), ids[::-1]


def said(connection: sa.Connection, places: Sequence[tuple[int, int]], *, shadow: int | None = None) -> Scored:
    """Return what was said to rows by log row and position: what was answered, or what a shadow said.

    Notes
    -----
    Each request is read once, however many of its rows are wanted.
    """
    if not places:
        return Scored(outputs=np.empty(0), probabilities=None)
    ids, positions = np.array(places, dtype=np.int64).T
    found = {
        number: (outputs[positions[ids == number]], None if scores is None else scores[positions[ids == number]])
        for number, outputs, scores in _requests(connection, np.unique(ids).tolist(), shadow)
    }
    outputs = np.empty(len(ids))
    first = next(iter(found.values()))[1]
    probabilities = None if first is None else np.empty((len(ids), first.shape[1]))
    for number, (own, scores) in found.items():
        outputs[ids == number] = own
        if probabilities is not None:
            probabilities[ids == number] = scores
    return Scored(outputs=outputs, probabilities=probabilities)


def _requests(
    connection: sa.Connection, ids: Sequence[int], shadow: int | None
) -> Iterable[tuple[int, Floats, Floats | None]]:
    log = predictions.c
    key = log.id if shadow is None else log.answered
    columns = sa.select(key, log.n_rows, log.outputs, log.probabilities)
    for start in range(0, len(ids), KEYS_A_QUERY):
        query = columns.where(key.in_(list(ids[start : start + KEYS_A_QUERY])))
        if shadow is not None:
            query = query.where(log.model_version == shadow)
        for number, n, outputs, scores in connection.execute(query):
            block = None if scores is None else np.frombuffer(scores).reshape(n, -1)
            yield number, np.frombuffer(outputs), block
