"""Matrix -> CSV or NDJSON, block by block."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlpipe.schema import matrix, times
from mlpipe.schema.contract import LABEL, Schema

BESIDE = (LABEL, "event_time", "sample_id")
"""Columns of a CSV after those of the schema; they are always the last three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some stored rows.

    Parameters
    ----------
    X : ndarray of float64, shape (n, d)
        Vectors.
    y : ndarray of float64, shape (n,), optional
        Labels, NaN where not known.
    event_times : ndarray of int64, shape (n,)
        Microseconds since 1970 UTC.
    sample_ids : sequence of str
        Ids.
    """

    X: NDArray[np.float64]
    y: NDArray[np.float64] | None = None
    event_times: NDArray[np.int64]
    sample_ids: Sequence[str]


def iter_csv(blocks: Iterable[Block], schema: Schema) -> Iterator[bytes]:
    r"""Yield rows as CSV (RFC 4180, UTF-8), first the header.

    Notes
    -----
    A missing value, an unseen category and a label that is not known yet are empty; booleans are true and false.

    Examples
    --------
    >>> from mlpipe.schema.contract import Column
    >>> schema = Schema(version=1, columns=(Column(name="a", kind="numeric"),))
    >>> block = Block(X=np.array([[1.5]]), event_times=np.array([0]), sample_ids=["1-0"])
    >>> b"".join(iter_csv([block], schema))
    b'a,label,event_time,sample_id\r\n1.5,,1970-01-01T00:00:00.000000Z,1-0\r\n'
    """
    yield _csv([(*schema.names, *BESIDE)])
    for block in blocks:
        yield _csv([[*map(_cell, values), _cell(label), *rest] for values, label, *rest in _rows(block, schema)])


def iter_ndjson(blocks: Iterable[Block], schema: Schema) -> Iterator[bytes]:
    r"""Yield rows as lines of JSON.

    Notes
    -----
    The features stand in ``record``, as in ``POST /ingest/stream``, so that no column's name can clash.

    Examples
    --------
    >>> from mlpipe.schema.contract import Column
    >>> schema = Schema(version=1, columns=(Column(name="a", kind="numeric"),))
    >>> block = Block(X=np.array([[1.5]]), event_times=np.array([0]), sample_ids=["1-0"])
    >>> next(iter_ndjson([block], schema))
    b'{"record":{"a":1.5},"label":null,"event_time":"1970-01-01T00:00:00.000000Z","sample_id":"1-0"}\n'
    """
    encoder = msgspec.json.Encoder()
    for block in blocks:
        yield encoder.encode_lines(
            [
                {"record": dict(zip(schema.names, values, strict=True)), **dict(zip(BESIDE, beside, strict=True))}
                for values, *beside in _rows(block, schema)
            ]
        )


def _rows(block: Block, schema: Schema) -> Iterator[tuple[Any, ...]]:
    labels = repeat(None, len(block.X)) if block.y is None else matrix.decode_label(block.y, schema.target)
    moments = times.texts(block.event_times)
    return zip(matrix.row_values(block.X, schema), labels, moments, block.sample_ids, strict=True)


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
