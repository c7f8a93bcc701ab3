from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np

from mlpipe.schema import export, matrix
from mlpipe.schema.contract import Column, Target
from tests.schema.build import body, schema

FOUND = schema(
    Column(name='a "quoted", name', kind="numeric"),
    Column(name="label_", kind="category", categories=("x,y\n", "é")),
    Column(name="flag", kind="boolean"),
    target=Target(task="classification", kind="string", classes=("no", "yes")),
)


def block(**changes: Any) -> export.Block:
    members: dict[str, Any] = {
        "X": np.array([[0.1, 0.0, 1.0], [np.nan, -1.0, np.nan]]),
        "y": np.array([1.0, np.nan]),
        "event_times": np.array([0, 1_500_000]),
        "sample_ids": ["1-0", "1-1"],
    }
    return export.Block(**members | changes)


def test_csv_is_quoted_and_read_back() -> None:
    text = b"".join(export.iter_csv([block(), block(y=None)], FOUND)).decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == [*FOUND.names, "label", "event_time", "sample_id"]
    assert rows[1] == ["0.1", "x,y\n", "true", "yes", "1970-01-01T00:00:00.000000Z", "1-0"]
    assert rows[2] == ["", "", "", "", "1970-01-01T00:00:01.500000Z", "1-1"]
    assert rows[3][3] == ""
    assert len(rows) == 5


def test_header_is_sent_though_there_are_no_rows() -> None:
    assert len(list(export.iter_csv([], FOUND))) == 1


def test_ndjson_has_a_line_for_each_row() -> None:
    lines = b"".join(export.iter_ndjson([block()], FOUND)).splitlines()
    assert json.loads(lines[0]) == {
        "record": {'a "quoted", name': 0.1, "label_": "x,y\n", "flag": True},
        "label": "yes",
        "event_time": "1970-01-01T00:00:00.000000Z",
        "sample_id": "1-0",
    }
    assert list(json.loads(lines[1])["record"].values()) == [None, None, None]


def test_exported_records_can_be_ingested_again() -> None:
    (line,) = b"".join(export.iter_ndjson([block(X=np.array([[0.1, 1.0, 0.0]]), y=None, **_one())], FOUND)).splitlines()
    table = matrix.decode_sample(body(record=json.loads(line)["record"]))
    np.testing.assert_array_equal(matrix.encode(table, FOUND), [[0.1, 1.0, 0.0]])


def _one() -> dict[str, Any]:
    return {"event_times": np.array([0]), "sample_ids": ["1-0"]}


def test_blocks_are_taken_one_by_one() -> None:
    taken = []

    def blocks() -> Any:
        for n in range(3):
            taken.append(n)
            yield block()

    rows = export.iter_csv(blocks(), FOUND)
    next(rows)
    assert taken == []
    next(rows)
    assert taken == [0]
