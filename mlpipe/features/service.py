"""Schema, statistics, export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from mlpipe import clock, db, errors
from mlpipe.features import store
from mlpipe.jobs import ledger
from mlpipe.schema import edit, export, matrix
from mlpipe.schema.contract import Schema

STATS_ROWS = 10_000
"""Newest rows that the statistics of columns rest on; the counts are of all rows."""


def schema() -> Schema:
    """Return the newest schema.

    Raises
    ------
    errors.NotFound
        Nothing was ingested yet.
    """
    with db.reading() as connection:
        found = store.current_schema(connection)
    if found is None:
        raise errors.NotFound("There is no schema yet; it is worked out from the first batch to POST /ingest/batch.")
    return found


def confirm(body: bytes) -> Schema:
    """Confirm or edit the schema; a new version is made.

    Raises
    ------
    errors.SchemaViolation
        The edit would change the meaning of stored rows.
    """
    with db.transaction() as connection:
        old = store.current_schema(connection, for_update=True)
        if old is None:
            raise errors.NotFound("There is no schema to confirm yet; send a first batch to POST /ingest/batch.")
        new = edit.edited(old, body)
        store.add_schema(connection, new)
        done = "confirmed" if new.status == "confirmed" else "edited"
        ledger.record(
            connection, "schema", f"Schema {new.version} was {done} by hand; it follows schema {old.version}."
        )
    return new


def statistics() -> dict[str, Any]:
    """Return counts of all rows, and figures of the columns over the newest rows."""
    with db.reading() as connection:
        batches, rows, labelled = store.totals(connection)
        found = store.current_schema(connection)
        samples = store.newest(connection, STATS_ROWS)
    columns = [] if found is None else [_column(found, samples, place) for place in range(found.width)]
    counts = {"batches": batches, "rows": rows, "labelled": labelled, "columns_rest_on_rows": len(samples)}
    return counts | {"columns": columns, "target": None if found is None else _target(found, samples)}


def _column(found: Schema, samples: store.Samples, place: int) -> dict[str, Any]:
    column = found.columns[place]
    values = samples.X[:, place]
    present = values[~np.isnan(values)]
    figures: dict[str, Any] = {"name": column.name, "kind": column.kind, "missing": int(len(values) - len(present))}
    if column.kind == "category":
        codes, counts = np.unique(present, return_counts=True)
        top = sorted(zip(counts.tolist(), codes.tolist(), strict=True), reverse=True)[:20]
        names = {code: column.categories[int(code)] for _, code in top if code >= 0}
        return figures | {"values": {names.get(code, "(unseen)"): n for n, code in top}, "distinct": len(codes)}
    if not len(present):
        return figures
    spread = {"mean": present.mean(), "sd": present.std(), "min": present.min(), "max": present.max()}
    return figures | {name: float(value) for name, value in spread.items()}


def _target(found: Schema, samples: store.Samples) -> dict[str, Any]:
    known = samples.y[~np.isnan(samples.y)]
    figures: dict[str, Any] = msgspec.to_builtins(found.target)
    if found.target.task == "classification":
        codes, counts = np.unique(known, return_counts=True)
        labels = matrix.decode_label(codes, found.target)
        return figures | {
            "counts": [{"label": label, "rows": n} for label, n in zip(labels, counts.tolist(), strict=True)]
        }
    return figures | ({"mean": float(known.mean()), "sd": float(known.std())} if len(known) else {})


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows an export holds: event time from `since` up to but not `until` (microseconds), labelled or not."""

    since: int | None = None
    until: int | None = None
    labelled: bool | None = None


def export_rows(kind: str, wanted: Wanted) -> Iterator[bytes]:
    """Yield the store's rows as CSV or NDJSON, part by part.

    Parameters
    ----------
    kind : {"csv", "ndjson"}
    wanted : Wanted
        Filter.
    """
    found = schema()
    write = export.iter_csv if kind == "csv" else export.iter_ndjson
    return write(_blocks(wanted), found)


def _blocks(wanted: Wanted) -> Iterator[export.Block]:
    after: int | None = 0
    while after is not None:
        with db.reading() as connection:
            samples, after = store.walk(connection, after=after)
        kept = samples.take(_mask(samples, wanted))
        if len(kept):
            ids = [f"{batch}-{position}" for batch, position in kept.ids.tolist()]
            yield export.Block(X=kept.X, y=kept.y, event_times=kept.event_times, sample_ids=ids)


def _mask(samples: store.Samples, wanted: Wanted) -> Any:
    mask = np.ones(len(samples), dtype=bool)
    if wanted.since is not None:
        mask &= samples.event_times >= wanted.since
    if wanted.until is not None:
        mask &= samples.event_times < wanted.until
    if wanted.labelled is not None:
        mask &= np.isnan(samples.y) != wanted.labelled
    return mask


def shown(found: Schema) -> dict[str, Any]:
    """Return a schema as the API shows it."""
    return {
        "schema_version": found.version,
        "status": found.status,
        "columns": msgspec.to_builtins(found.columns),
        "target": msgspec.to_builtins(found.target),
        "read_at": clock.iso(clock.now_us()),
    }
