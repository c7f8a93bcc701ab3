"""Labelled rows in the order in which their labels arrived."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from mlpipe import db
from mlpipe.features import store
from mlpipe.features.tables import feature_batches, sample_labels

MAX_ROWS = 100
"""Rows from which a stretch ends, but never within a batch: what came together is looked at together."""


LEAST_ROWS = 30
"""Rows below which a stretch does not end where the source changes: fewer could not be judged."""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in the order of arrivals: newest batch row and newest later label row that stand before it."""

    batch: int
    label: int


def settled(connection: sa.Connection) -> Mark:
    """Return the present end of the order; nothing that stands before it can appear any more.

    Notes
    -----
    On PostgreSQL a row with a lower number may be committed after one with a higher. The lock waits for those who are
    writing and holds up who comes next, for the time of two look-ups. On SQLite a transaction writes alone anyway.
    """
    if db.is_postgresql(connection):
        connection.execute(sa.text("LOCK TABLE feature_batches, sample_labels IN SHARE MODE"))
    newest = (sa.func.max(table.c.id) for table in (feature_batches, sample_labels))
    batch, label = connection.execute(sa.select(*(sa.select(top).scalar_subquery() for top in newest))).one()
    return Mark(batch or 0, label or 0)


def next_end(connection: sa.Connection, after: Mark, upto: Mark) -> Mark:
    """Return where the stretch that begins after a mark ends: at about `MAX_ROWS` rows, or where the source changes.

    Parameters
    ----------
    connection : Connection
    after, upto : Mark
        From `settled`; the stretch does not go beyond `upto`. Later labels follow when all batches are through.
    """
    batch = feature_batches.c
    wanted = sa.select(batch.id, batch.n_rows, batch.source).where(batch.id > after.batch, batch.id <= upto.batch)
    n_rows, last = 0, None
    for row in connection.execute(wanted.where(batch.labels.is_not(None)).order_by(batch.id).limit(MAX_ROWS)):
        of_another = last is not None and row.source != last.source and n_rows >= LEAST_ROWS
        if last is not None and (n_rows + row.n_rows > MAX_ROWS or of_another):
            return Mark(last.id, after.label)
        n_rows, last = n_rows + row.n_rows, row
    if last is not None:
        return Mark(upto.batch if n_rows < MAX_ROWS else last.id, after.label)
    labels = sa.select(sample_labels.c.id).where(sample_labels.c.id > after.label, sample_labels.c.id <= upto.label)
    beyond = connection.execute(labels.order_by(sample_labels.c.id).offset(MAX_ROWS).limit(1)).scalar()
    return upto if beyond is None else Mark(upto.batch, beyond - 1)


def between(connection: sa.Connection, after: Mark, upto: Mark) -> store.Samples:
    """Return the rows whose first label stands between two marks: batches first, then later labels.

    Returns
    -------
    Samples
        In the order of arrival. A label that came with its row is the one of then, whatever corrected it since; so the
        same marks give the same rows for ever.
    """
    with_row = _with_their_rows(connection, after, upto)
    return store.join([with_row, _later(connection, after, upto)])


def _with_their_rows(connection: sa.Connection, after: Mark, upto: Mark) -> store.Samples:
    batch = feature_batches.c
    query = sa.select(batch.id).where(batch.id > after.batch, batch.id <= upto.batch, batch.labels.is_not(None))
    found = list(connection.execute(query.order_by(batch.id)).scalars())
    if not found:
        return store.join([])
    samples = store.as_ingested(connection, found)
    return samples.take(~np.isnan(samples.y))


def _later(connection: sa.Connection, after: Mark, upto: Mark) -> store.Samples:
    label = sample_labels.c
    query = sa.select(label.id, label.batch, label.position, label.label).where(
        label.id > after.label, label.id <= upto.label, label.first
    )
    rows = connection.execute(query.order_by(label.id)).all()
    if not rows:
        return store.join([])
    samples = store.as_ingested(connection, sorted({row.batch for row in rows}))
    places = {place: n for n, place in enumerate(map(tuple, samples.ids.tolist()))}
    found = samples.take([places[row.batch, row.position] for row in rows])
    found.y[:] = [row.label for row in rows]
    found.label_ids[:] = [row.id for row in rows]
    found.counted[:] = found.label_ids
    return found
