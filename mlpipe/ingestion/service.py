"""Parsed batch -> check -> append; idempotent by batch id."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe import db, errors
from mlpipe.features import store as features
from mlpipe.jobs import ledger
from mlpipe.registry import store as versions
from mlpipe.schema import growth, matrix
from mlpipe.schema.contract import Schema

logger = logging.getLogger("mlpipe.ingestion")

CHUNK_LINES = 1000
"""Lines of NDJSON that are checked and stored together."""

CHUNK_BYTES = 4 * 1024 * 1024
"""Bytes of lines that are held at a time, whatever their number."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a batch."""

    batch_id: str
    rows: int
    labelled: int
    duplicate: bool
    schema_version: int


def ingest(table: matrix.Table, *, source: str) -> Receipt:
    """Check a table of rows and store it whole, or not at all.

    Parameters
    ----------
    table : Table
        Decoded rows; without a batch id one is made up.
    source : str
        ``batch`` or ``stream``.

    Raises
    ------
    errors.SchemaViolation
        Rows do not fit; the pointers say where. Nothing is stored.
    errors.BatchConflict
        The batch id was used for other content.
    """
    batch_id = table.batch_id or f"{source}-{uuid.uuid4().hex}"
    receipt = db.retried(lambda: _ingest(table, batch_id=batch_id, source=source))
    if not receipt.duplicate:
        logger.info("%s: %d rows, %d labelled", batch_id, receipt.rows, receipt.labelled)
    return receipt


def _ingest(table: matrix.Table, *, batch_id: str, source: str) -> Receipt:
    with db.reading() as connection:
        schema = features.current_schema(connection)
        known = features.find_batch(connection, batch_id) if table.batch_id else None
        fixed = versions.active(connection) is not None
    if known is not None and schema is not None:
        return _again(table, known, schema)
    grown = _grown(schema, table, fixed=fixed)
    batch = _batch(table, grown, batch_id=batch_id, source=source)
    if grown is schema:
        with db.transaction() as connection:
            stored = features.append(connection, batch)
    else:
        stored, batch = _store_grown(table, batch, fixed=fixed)
    if stored is None:
        raise errors.WriteConflict(f"Batch {errors.quoted(batch_id)} came twice at the same moment; send it again.")
    return _receipt(batch)


def _grown(schema: Schema | None, table: matrix.Table, *, fixed: bool) -> Schema:
    return growth.infer(table) if schema is None else growth.extend(schema, table, target_fixed=fixed)


def _store_grown(table: matrix.Table, batch: features.Batch, *, fixed: bool) -> tuple[int | None, features.Batch]:
    """Store a batch that brings new categories or classes: the dictionary is read again under the write lock."""
    with db.transaction() as connection:
        before = features.current_schema(connection, for_update=True)
        schema = _grown(before, table, fixed=fixed)
        batch = _batch(table, schema, batch_id=batch.batch_id, source=batch.source)
        if before is None and not features.add_schema(connection, schema):
            raise errors.WriteConflict("Another first batch came at the same moment; send this one again.")
        if before is not None and before != schema:
            features.grow_schema(connection, schema)
        stored = features.append(connection, batch)
        if stored is None:
            raise errors.WriteConflict(f"Batch {errors.quoted(batch.batch_id)} came twice at the same moment.")
        if before is None:
            sentence = f"Schema 1 was worked out from batch {batch.batch_id}: {describe(schema)}."
            ledger.record(connection, "schema", sentence)
    return stored, batch


def describe(schema: Schema) -> str:
    """Say in words what a schema holds."""
    counts = {kind: sum(column.kind == kind for column in schema.columns) for kind in ("numeric", "integer")}
    counts |= {kind: sum(column.kind == kind for column in schema.columns) for kind in ("boolean", "category")}
    kinds = ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)
    return f"{schema.width} columns ({kinds}), target {schema.target.task or 'not known yet'}"


def _batch(table: matrix.Table, schema: Schema, *, batch_id: str, source: str) -> features.Batch:
    X = matrix.encode(table, schema)
    y = None if table.labels is None else matrix.encode_labels(table, schema.target)
    return features.Batch(
        batch_id=batch_id,
        content_hash=_content_hash(table, X, y),
        schema_version=schema.version,
        source=source,
        X=X,
        y=y,
        event_times=table.event_times,
        row_ids=table.row_ids,
    )


def _content_hash(table: matrix.Table, X: Floats, y: Floats | None) -> str:
    whole = hashlib.sha256(X.tobytes())
    whole.update(b"-" if y is None else y.tobytes())
    whole.update(b"-" if table.event_times is None else table.event_times.tobytes())
    whole.update(repr(table.row_ids).encode())
    return whole.hexdigest()


def _again(table: matrix.Table, known: Any, schema: Schema) -> Receipt:
    """Answer a batch id that is taken: the same content is a repetition, other content a conflict."""
    try:
        same = _batch(table, schema, batch_id=known.batch_id, source=known.source).content_hash == known.content_hash
    except errors.SchemaViolation:
        same = False
    if not same:
        raise errors.BatchConflict(
            f"Batch {errors.quoted(known.batch_id)} was stored before with other content "
            f"({known.n_rows:,} rows). Nothing was stored; send this content under a new batch_id.",
            batch_id=known.batch_id,
        )
    return Receipt(
        batch_id=known.batch_id,
        rows=known.n_rows,
        labelled=known.n_labelled,
        duplicate=True,
        schema_version=known.schema_version,
    )


def _receipt(batch: features.Batch) -> Receipt:
    return Receipt(
        batch_id=batch.batch_id,
        rows=len(batch.X),
        labelled=0 if batch.y is None else int(np.count_nonzero(~np.isnan(batch.y))),
        duplicate=False,
        schema_version=batch.schema_version,
    )


# Lines ----------------------------------------------------------------------------------------------------------


def ingest_lines(lines: Iterable[bytes]) -> dict[str, Any]:
    """Store NDJSON lines in chunks, keeping count of what was refused.

    An error that ends the work early carries the same counts among its figures.

    Returns
    -------
    dict
        ``accepted``, ``rejected``, ``labelled``, ``errors`` (the first of them, with line numbers).
    """
    found: dict[str, Any] = {"accepted": 0, "rejected": 0, "labelled": 0, "errors": []}
    try:
        for first_line, chunk in _chunks(lines):
            _ingest_chunk(found, matrix.decode_lines(chunk, first_line=first_line))
    except errors.MlpipeError as fault:
        fault.figures |= found
        raise
    return found


def _ingest_chunk(found: dict[str, Any], read: matrix.Lines) -> None:
    bad = list(read.errors)
    for part in read.parts:
        stored, refused = _ingest_part(part)
        bad += refused
        found["accepted"] += stored.rows if stored else 0
        found["labelled"] += stored.labelled if stored else 0
    found["rejected"] += len(bad)
    room = errors.MAX_LISTED - len(found["errors"])
    listed = sorted(bad, key=_line)[:room]
    found["errors"] += [{"line": fault.line, "code": fault.code, "detail": fault.detail} for fault in listed]


def _line(fault: matrix.LineError) -> int:
    return fault.line


def _chunks(lines: Iterable[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    chunk: list[bytes] = []
    number = size = 0
    for number, line in enumerate(lines, start=1):
        chunk.append(line)
        size += len(line)
        if len(chunk) == CHUNK_LINES or size > CHUNK_BYTES:
            yield number - len(chunk) + 1, chunk
            chunk, size = [], 0
    if chunk:
        yield number - len(chunk) + 1, chunk


def _ingest_part(part: matrix.LinePart) -> tuple[Receipt | None, list[matrix.LineError]]:
    """Store the rows of a part that fit; a row that does not is refused alone."""
    refused: list[matrix.LineError] = []
    while part.table.n_rows:
        try:
            return ingest(part.table, source="stream"), refused
        except errors.SchemaViolation as fault:
            part, bad = part.without(fault)
            refused += bad
            if not bad:
                raise
    return None, refused
