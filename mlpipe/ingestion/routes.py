"""POST /ingest/batch, POST /ingest/stream, and what arrived."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, request

from mlpipe import clock, db, errors, web
from mlpipe.features import store as features
from mlpipe.ingestion import service
from mlpipe.schema import matrix

blueprint = Blueprint("ingestion", __name__)

NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")
READ_BYTES = 256 * 1024
"""Bytes read at a time from a stream of lines."""


@blueprint.post("/ingest/batch")
def post_batch() -> Response:
    """Store a batch whole, or not at all."""
    table = matrix.decode_batch(web.body(), max_rows=web.settings().max_rows)
    receipt = service.ingest(table, source="batch")
    return web.answer(asdict(receipt), 200 if receipt.duplicate else 201)


@blueprint.post("/ingest/stream")
def post_stream() -> Response:
    """Store one sample, or the lines of an NDJSON body of any length."""
    if request.mimetype in NDJSON:
        return _stream_lines()
    receipt = service.ingest(matrix.decode_sample(web.body("application/json", *NDJSON)), source="stream")
    return web.answer(asdict(receipt), 201)


def _stream_lines() -> Response:
    request.max_content_length = sys.maxsize  # None would mean the app's own limit, 16 MiB
    found = service.ingest_lines(_lines(web.settings().max_body_bytes))
    if found["accepted"]:
        return web.answer(found, 207 if found["rejected"] else 200)
    detail = f"None of the {found['rejected']:,} lines could be stored; the first errors are listed."
    if not found["rejected"]:
        detail = "The body has no lines; send one JSON object a line."
    return web.problem(422, code="schema_violation", title="No line fits the schema", detail=detail, **found)


def _lines(longest: int) -> Iterator[bytes]:
    """Yield the lines of the body, holding one piece and one line in memory.

    A line that is too long is cut there, so that it is refused like any other that is no JSON object; its rest is
    passed over.
    """
    rest, passing = b"", False
    while piece := request.stream.read(READ_BYTES):
        *lines, rest = (rest + piece).split(b"\n")
        if passing and lines:
            lines, passing = lines[1:], False
        yield from lines  # blank ones too: they count when a bad line is named by its number
        if passing or len(rest) > longest:
            if not passing:
                yield rest
            rest, passing = b"", True
    if rest.strip():
        yield rest


@blueprint.get("/ingest/batches")
def get_batches() -> Response:
    """Return batches, newest first."""
    with db.reading() as connection:
        rows = features.page(connection, limit=web.one_more(), before=web.cursor())
    return web.answer(web.listing(rows, show=_shown, key=lambda row: row.id))


@blueprint.get("/ingest/batches/<batch_id>")
def get_batch(batch_id: str) -> Response:
    """Return one batch."""
    with db.reading() as connection:
        row = features.find_batch(connection, batch_id)
    if row is None:
        raise errors.NotFound(f"There is no batch {errors.quoted(batch_id)}.")
    return web.answer(_shown(row))


def _shown(row: Any) -> dict[str, Any]:
    return {
        "batch_id": row.batch_id,
        "rows": row.n_rows,
        "labelled": row.n_labelled,
        "received_at": clock.iso(row.received_at),
        "schema_version": row.schema_version,
        "source": row.source,
    }
