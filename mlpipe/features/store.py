"""The feature store: blocks in, arrays out.

A batch of n samples is one row with an (n, d) float64 block. Labels that come later, and corrections, are rows of
their own that are laid over the blocks when they are read; so rows can be read as they were known at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from mlpipe import clock, db
from mlpipe.features.tables import feature_batches, sample_keys, sample_labels, schema_versions
from mlpipe.schema.contract import Column, Schema, Target

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PAGE_BATCHES = 2000
"""Batches that one look at the index covers."""

EXPORT_ROWS = 20_000
"""Rows that an export holds in memory at a time (at least one batch)."""

KEYS_A_QUERY = 500
"""Keys in one IN list; SQLite takes at most 32,766 variables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch that is to be stored.

    Attributes
    ----------
    X : float64 (n, d)
        Samples in the order of the schema.
    y : float64 (n,) or None
        Labels; NaN is "not known yet".
    event_times : int64 (n,) or None
        Microseconds since 1970; None means when they were received.
    origins : int64 (n, 2) or None
        Prediction row and position that each sample comes from.
    """

    batch_id: str
    content_hash: str
    schema_version: int
    source: str
    X: Floats
    y: Floats | None = None
    event_times: Ints | None = None
    origins: Ints | None = None
    row_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Rows read from the store, oldest first.

    Attributes
    ----------
    X : float64 (n, d)
    y : float64 (n,)
        Newest label known; NaN where none is.
    ids : int64 (n, 2)
        Batch row and position; a sample's id is ``<row>-<position>``.
    label_ids : int64 (n,)
        Row of the first label where it came later than the sample, else 0. Corrections do not make a row new.
    counted : int64 (n,)
        Row of the label that counts, corrections included; 0 where it came with the sample.
    event_times : int64 (n,)
        Microseconds since 1970.
    """

    X: Floats
    y: Floats
    ids: Ints
    label_ids: Ints
    counted: Ints
    event_times: Ints

    def __len__(self) -> int:
        """Return n."""
        return len(self.y)

    def take(self, rows: Any) -> Samples:
        """Return some of the rows, chosen by mask, slice or positions."""
        names = self.__dataclass_fields__
        return Samples(**{name: getattr(self, name)[rows] for name in names})


# Schema ---------------------------------------------------------------------------------------------------------


def current_schema(connection: sa.Connection, *, for_update: bool = False) -> Schema | None:
    """Return the newest schema version, or None before the first batch."""
    query = sa.select(schema_versions).order_by(schema_versions.c.version.desc()).limit(1)
    row = connection.execute(query.with_for_update() if for_update else query).first()
    # an edit that was waited for has made a newer row: lock on until the newest is ours
    while for_update and (newest := connection.execute(query.with_for_update()).first()) != row:
        row = newest
    return None if row is None else _schema(row)


def schema_version(connection: sa.Connection, version: int) -> Schema | None:
    """Return one schema version."""
    row = connection.execute(sa.select(schema_versions).where(schema_versions.c.version == version)).first()
    return None if row is None else _schema(row)


def _schema(row: sa.Row[Any]) -> Schema:
    return Schema(
        version=row.version,
        columns=msgspec.convert(row.columns, tuple[Column, ...]),
        target=msgspec.convert(row.target, Target),
        status=row.status,
    )


def add_schema(connection: sa.Connection, schema: Schema) -> bool:
    """Store a new schema version; say whether it is new (another process may have been faster)."""
    now = clock.now_us()
    return db.insert_new(connection, schema_versions, _schema_values(schema) | {"created_at": now}) is not None


def grow_schema(connection: sa.Connection, schema: Schema) -> None:
    """Overwrite a schema version with one whose dictionaries or classes have grown."""
    query = sa.update(schema_versions).where(schema_versions.c.version == schema.version)
    connection.execute(query.values(**_schema_values(schema)))


def _schema_values(schema: Schema) -> dict[str, Any]:
    return {
        "version": schema.version,
        "columns": msgspec.to_builtins(schema.columns),
        "target": msgspec.to_builtins(schema.target),
        "status": schema.status,
        "changed_at": clock.now_us(),
    }


# Writing --------------------------------------------------------------------------------------------------------


def append(connection: sa.Connection, batch: Batch) -> int | None:
    """Store a batch.

    Returns
    -------
    int or None
        Its row, or None when its batch id is taken.
    """
    values = {
        "batch_id": batch.batch_id,
        "content_hash": batch.content_hash,
        "schema_version": batch.schema_version,
        "source": batch.source,
        "received_at": clock.now_us(),
        "n_rows": len(batch.X),
        "n_labelled": 0 if batch.y is None else int(np.count_nonzero(~np.isnan(batch.y))),
        "features": batch.X.tobytes(),
        "labels": None if batch.y is None else batch.y.tobytes(),
        "event_times": None if batch.event_times is None else batch.event_times.tobytes(),
        "origins": None if batch.origins is None else batch.origins.tobytes(),
    }
    row = db.insert_new(connection, feature_batches, values)
    if row is not None and batch.row_ids is not None:
        _name_samples(connection, row, batch.row_ids)
    return row


def _name_samples(connection: sa.Connection, batch: int, row_ids: Sequence[str]) -> None:
    rows = [{"row_id": name, "batch": batch, "position": place} for place, name in enumerate(row_ids)]
    db.replace_all(connection, sample_keys, sorted(rows, key=itemgetter("row_id")))  # in one order: no deadlock


def find_batch(connection: sa.Connection, batch_id: str) -> sa.Row[Any] | None:
    """Return what is known of a batch, without its blocks."""
    return connection.execute(sa.select(*_FACTS).where(feature_batches.c.batch_id == batch_id)).first()


_FACTS = [
    feature_batches.c[name]
    for name in ("id", "batch_id", "content_hash", "schema_version", "source", "received_at", "n_rows", "n_labelled")
]


def page(connection: sa.Connection, *, limit: int, before: int | None = None) -> list[sa.Row[Any]]:
    """Return facts of batches, newest first, older than the row `before`."""
    query = sa.select(*_FACTS).order_by(feature_batches.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(feature_batches.c.id < before)
    return list(connection.execute(query))


def find_samples(connection: sa.Connection, row_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return batch row and position of samples that the client has named; unknown names are left out."""
    found: dict[str, tuple[int, int]] = {}
    for start in range(0, len(row_ids), KEYS_A_QUERY):
        part = list(row_ids[start : start + KEYS_A_QUERY])
        rows = connection.execute(sa.select(sample_keys).where(sample_keys.c.row_id.in_(part)))
        found |= {row.row_id: (row.batch, row.position) for row in rows}
    return found


def labels_of(connection: sa.Connection, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], float]:
    """Return the newest known label of each sample (batch row, position); NaN where none is known."""
    known: dict[tuple[int, int], float] = {}
    wanted = set(places)
    for batch in sorted({batch for batch, _ in places}):
        samples = _read(connection, [batch], known_at=None)
        rows = zip(map(tuple, samples.ids.tolist()), samples.y.tolist(), strict=True)
        known |= {place: label for place, label in rows if place in wanted}
    return known


def add_labels(connection: sa.Connection, labels: Sequence[dict[str, Any]], *, first: Sequence[bool]) -> None:
    """Store labels that came after their samples.

    Parameters
    ----------
    connection : Connection
        A transaction.
    labels : sequence of dict
        ``batch, position, label, observed_at``.
    first : sequence of bool
        Whether the sample had no label before: its batch's count of labelled rows grows.
    """
    if not labels:
        return
    now = clock.now_us()
    rows = [label | {"received_at": now, "first": is_first} for label, is_first in zip(labels, first, strict=True)]
    for label, is_first in zip(labels, first, strict=True):  # batches first, as all who write them and who lock them
        if is_first:
            query = sa.update(feature_batches).where(feature_batches.c.id == label["batch"])
            connection.execute(query.values(n_labelled=feature_batches.c.n_labelled + 1))
    connection.execute(sa.insert(sample_labels), rows)


# Reading --------------------------------------------------------------------------------------------------------


def newest_labelled(connection: sa.Connection, n: int, *, known_at: int | None = None) -> Samples:
    """Return the newest n labelled rows, oldest first.

    Parameters
    ----------
    connection : Connection
        A transaction.
    n : int
        Most rows.
    known_at : int, optional
        Read the store as it was known at this time (microseconds since 1970): later rows and labels do not count.

    Notes
    -----
    One block is one ``frombuffer``: 100,000 x 20 rows take some 70 ms, a twentieth of an ORM with JSON.
    """
    parts: list[Samples] = []
    missing, before = n, None
    while missing > 0:
        batches = _labelled_batches(connection, missing, before=before, known_at=known_at)
        if not batches:
            break
        read = _read(connection, batches, known_at=known_at)
        labelled = read.take(~np.isnan(read.y))
        parts.append(labelled)
        missing, before = missing - len(labelled), min(batches)
    whole = join(parts[::-1])
    return whole.take(slice(max(0, len(whole) - n), None))


def _labelled_batches(connection: sa.Connection, n: int, *, before: int | None, known_at: int | None) -> list[int]:
    """Return the newest batches that hold at least n labelled rows together, as far as one page shows."""
    batches = feature_batches.c
    query = sa.select(batches.id, batches.n_labelled).where(batches.n_labelled > 0)
    if before is not None:
        query = query.where(batches.id < before)
    if known_at is not None:
        query = query.where(batches.received_at <= known_at)
    found: list[int] = []
    for row in connection.execute(query.order_by(batches.id.desc()).limit(PAGE_BATCHES)):
        found.append(row.id)
        n -= row.n_labelled
        if n <= 0:
            break
    return found


def rows_of(connection: sa.Connection, places: Sequence[Sequence[int]], labels: Sequence[Sequence[int]]) -> Samples:
    """Return rows exactly as a training has seen them.

    Parameters
    ----------
    connection : Connection
        A transaction.
    places : sequence of (batch, first, last)
        Stretches of positions within batches; further members are ignored.
    labels : sequence of (first, last)
        Stretches of `sample_labels` that counted; all later and corrected ones do not. Rows without a label then are
        left out.
    """
    parts = []
    for start in range(0, len(places), PAGE_BATCHES):
        part = places[start : start + PAGE_BATCHES]
        read = _read(connection, [place[0] for place in part], known_at=None, counted=labels)
        wanted = np.zeros(len(read), dtype=bool)
        for batch, first, last, *_ in part:
            low, high = np.searchsorted(read.ids[:, 0], [batch, batch + 1])
            wanted[low + first : min(high, low + last + 1)] = True
        parts.append(read.take(wanted & ~np.isnan(read.y)))
    return join(parts)


def as_ingested(connection: sa.Connection, batches: Sequence[int]) -> Samples:
    """Return all rows of these batches, in their order, with the labels that came with them."""
    return join([_samples(row) for row in _blocks(connection, batches)])


def _blocks(connection: sa.Connection, batches: Sequence[int]) -> list[Any]:
    block = feature_batches.c
    query = sa.select(block.id, block.n_rows, block.features, block.labels, block.event_times, block.received_at)
    return list(connection.execute(query.where(block.id.in_(batches)).order_by(block.id)))


def _read(
    connection: sa.Connection,
    batches: Sequence[int],
    *,
    known_at: int | None,
    counted: Sequence[Sequence[int]] | None = None,
) -> Samples:
    """Return all rows of these batches, in their order, with the labels known at a time, or with those that counted."""
    low, high = min(batches), max(batches)
    rows = _blocks(connection, batches)
    whole = join([_samples(row) for row in rows])
    starts = dict(zip((row.id for row in rows), np.cumsum([0] + [row.n_rows for row in rows]), strict=False))
    later = sa.select(sample_labels).where(sample_labels.c.batch.between(low, high)).order_by(sample_labels.c.id)
    if known_at is not None:
        later = later.where(sample_labels.c.received_at <= known_at)
    firsts, lasts = np.array(counted or [(0, 0)], dtype=np.int64).T
    for label in connection.execute(later):
        stretch = int(np.searchsorted(firsts, label.id, side="right")) - 1
        if counted is not None and (stretch < 0 or label.id > lasts[stretch]):
            continue
        if label.batch in starts:
            place = starts[label.batch] + label.position
            whole.y[place] = label.label
            whole.counted[place] = label.id
            if label.first:
                whole.label_ids[place] = label.id
    return whole


def _samples(row: Any) -> Samples:
    n = row.n_rows
    times = np.full(n, row.received_at, dtype=np.int64)
    if row.event_times is not None:
        times = np.frombuffer(row.event_times, dtype=np.int64)
    y = np.full(n, np.nan) if row.labels is None else np.frombuffer(row.labels, dtype=np.float64)
    return Samples(
        X=np.frombuffer(row.features, dtype=np.float64).reshape(n, -1),
        y=y,
        ids=np.column_stack((np.full(n, row.id, dtype=np.int64), np.arange(n, dtype=np.int64))),
        label_ids=np.zeros(n, dtype=np.int64),
        counted=np.zeros(n, dtype=np.int64),
        event_times=times,
    )


def join(parts: Sequence[Samples]) -> Samples:
    """Return the rows of several parts behind one another."""
    parts = [part for part in parts if len(part)]
    if not parts:
        empty = np.empty(0, dtype=np.int64)
        return Samples(
            X=np.empty((0, 0)),
            y=np.empty(0),
            ids=empty.reshape(0, 2),
            label_ids=empty,
            counted=empty,
            event_times=empty,
        )
    names = Samples.__dataclass_fields__
    return Samples(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def has(connection: sa.Connection, batch: int, position: int) -> bool:
    """Say whether there is such a sample."""
    n_rows = connection.execute(sa.select(feature_batches.c.n_rows).where(feature_batches.c.id == batch)).scalar()
    return n_rows is not None and position < n_rows


def newest(connection: sa.Connection, n: int) -> Samples:
    """Return the newest n rows, labelled or not, oldest first."""
    query = sa.select(feature_batches.c.id, feature_batches.c.n_rows).order_by(feature_batches.c.id.desc())
    found: list[int] = []
    missing = n
    for row in connection.execute(query.limit(PAGE_BATCHES)):
        found.append(row.id)
        missing -= row.n_rows
        if missing <= 0:
            break
    if not found:
        return join([])
    whole = _read(connection, found, known_at=None)
    return whole.take(slice(max(0, len(whole) - n), None))


def walk(connection: sa.Connection, *, after: int) -> tuple[Samples, int | None]:
    """Return the next rows of a walk over the whole store, and where it goes on.

    Parameters
    ----------
    connection : Connection
        A transaction; a long walk opens a new one for each part, so that it holds up nobody.
    after : int
        Batch row where the last part ended; 0 to begin.

    Returns
    -------
    Samples, int or None
        Rows of the next batches, about `EXPORT_ROWS`, and the `after` of the next call; None at the end.
    """
    query = sa.select(feature_batches.c.id, feature_batches.c.n_rows).where(feature_batches.c.id > after)
    found: list[int] = []
    n_rows = 0
    for row in connection.execute(query.order_by(feature_batches.c.id).limit(PAGE_BATCHES)):
        if found and n_rows + row.n_rows > EXPORT_ROWS:
            break
        found.append(row.id)
        n_rows += row.n_rows
    if not found:
        return join([]), None
    return _read(connection, found, known_at=None), found[-1]


def totals(connection: sa.Connection) -> tuple[int, int, int]:
    """Return how many batches, rows and labelled rows there are."""
    counts = sa.select(
        sa.func.count(), sa.func.sum(feature_batches.c.n_rows), sa.func.sum(feature_batches.c.n_labelled)
    )
    batches, rows, labelled = connection.execute(counts.select_from(feature_batches)).one()
    return batches, rows or 0, labelled or 0


def count_new_labels(connection: sa.Connection, *, last_batch: int, last_label: int, enough: int) -> int:
    """Count labelled rows that came after a batch and a later label; stops counting at `enough`.

    Notes
    -----
    Reads at most `enough` entries of each index, so it costs the same however long the history is.
    """
    batches = feature_batches.c
    fresh = (
        sa.select(batches.n_labelled)
        .where(batches.id > last_batch, batches.n_labelled > 0)
        .order_by(batches.id)
        .limit(enough)
    )
    n = sum(row.n_labelled for row in connection.execute(fresh))
    if n < enough:
        late = sa.select(sample_labels.c.id).where(
            sample_labels.c.id > last_label, sample_labels.c.batch <= last_batch, sample_labels.c.first
        )
        n += len(connection.execute(late.order_by(sample_labels.c.id).limit(enough)).all())
    return int(min(n, enough))


def began_at(connection: sa.Connection) -> int:
    """Return when the first batch came, in microseconds since 1970; 0 before it."""
    first = sa.select(feature_batches.c.received_at).order_by(feature_batches.c.id).limit(1)
    return connection.execute(first).scalar() or 0


def newest_marks(connection: sa.Connection) -> tuple[int, int, int]:
    """Return newest batch row, newest later label row (0 where none is), and when the last batch came."""
    batch = connection.execute(
        sa.select(feature_batches.c.id, feature_batches.c.received_at).order_by(feature_batches.c.id.desc()).limit(1)
    ).first()
    label = connection.execute(sa.select(sa.func.max(sample_labels.c.id))).scalar()
    return (0, label or 0, 0) if batch is None else (batch.id, label or 0, batch.received_at)


def last_label_at(connection: sa.Connection) -> int | None:
    """Return when the newest label arrived, with its row or later."""
    with_row = sa.select(feature_batches.c.received_at).where(feature_batches.c.n_labelled > 0)
    later = sa.select(sample_labels.c.received_at)
    newest = (with_row.order_by(feature_batches.c.id.desc()), later.order_by(sample_labels.c.id.desc()))
    found = (connection.execute(query.limit(1)).scalar() for query in newest)
    return max((at for at in found if at is not None), default=None)
