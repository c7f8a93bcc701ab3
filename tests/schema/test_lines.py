from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlpipe import errors
from mlpipe.schema import growth, lines, matrix
from mlpipe.schema.contract import Target
from tests.schema.build import body, numeric, schema


def read(*bodies: bytes, first_line: int = 1) -> lines.Lines:
    return lines.decode_lines(bodies, first_line=first_line)


def test_lines_of_one_form_share_a_table() -> None:
    found = read(*[body(features=[value, "x"], label=value) for value in range(3)], first_line=1001)
    (part,) = found.parts
    assert part.table.rows == [[0, "x"], [1, "x"], [2, "x"]]
    assert part.table.labels == [0, 1, 2]
    assert part.lines == (1001, 1002, 1003)


def test_bad_line_is_refused_alone_with_its_number() -> None:
    found = read(
        body(features=[1]), b"{", b"", body(features=1), b'{"features":[NaN]}', body(features=[2]), first_line=10
    )
    assert [part.lines for part in found.parts] == [(10, 15)]
    assert [(error.line, error.code) for error in found.errors] == [
        (11, "malformed_body"),
        (13, "not_a_row"),
        (14, "malformed_body"),
    ]


def test_lines_of_other_forms_have_tables_of_their_own() -> None:
    found = read(body(features=[1]), body(record={"a": 1}), body(features=[1, 2]), body(features=[3], row_id="r"))
    assert [part.lines for part in found.parts] == [(1,), (2,), (3,), (4,)]


def test_times_and_ids_are_joined() -> None:
    found = read(*[body(features=[1], event_time=f"1970-01-01T00:00:0{n}Z", row_id=f"r{n}") for n in range(2)])
    table = found.parts[0].table
    assert table.event_times is not None
    assert table.event_times.tolist() == [0, 1_000_000]
    assert table.row_ids == ("r0", "r1")


def test_row_id_that_comes_again_is_refused() -> None:
    found = read(body(features=[1], row_id="r"), body(features=[1], row_id="r"))
    assert [(error.line, error.code) for error in found.errors] == [(2, "duplicate_row_id")]


def stored(part: lines.LinePart, found: Any) -> tuple[lines.LinePart, list[lines.LineError]]:
    refused: list[lines.LineError] = []
    while part.table.n_rows:
        try:
            matrix.encode(part.table, found)
            matrix.encode_labels(part.table, found.target)
        except errors.SchemaViolation as fault:
            part, bad = part.without(fault)
            assert bad
            refused += bad
        else:
            break
    return part, refused


def test_rows_that_do_not_fit_are_taken_out() -> None:
    values: list[Any] = [1, "x", 2, True, 3]
    part, refused = stored(read(*[body(features=[value]) for value in values]).parts[0], schema(*numeric("a")))
    assert part.lines == (1, 3, 5)
    assert [(error.line, error.code) for error in refused] == [(2, "not_a_number"), (4, "boolean_for_number")]


def test_all_bad_rows_are_taken_out_at_once() -> None:
    part = read(*[body(features=["x" if n % 2 else n]) for n in range(1000)]).parts[0]
    with pytest.raises(errors.SchemaViolation) as caught:
        matrix.encode(part.table, schema(*numeric("a")))
    rest, bad = part.without(caught.value)
    assert (rest.table.n_rows, len(bad)) == (500, 500)
    assert {error.code for error in bad[:20]} == {"not_a_number"}


def test_wrong_labels_are_taken_out() -> None:
    found = schema(*numeric("a"), target=Target(task="regression", kind="number"))
    part, refused = stored(read(*[body(features=[1], label=label) for label in (1, "x", 2)]).parts[0], found)
    assert part.table.labels == [1, 2]
    assert [error.line for error in refused] == [2]


def test_wrong_width_takes_the_whole_part_out() -> None:
    part, refused = stored(read(body(features=[1, 2]), body(features=[1, 2])).parts[0], schema(*numeric("a")))
    assert part.table.n_rows == 0
    assert [(error.line, error.code) for error in refused] == [(1, "wrong_width"), (2, "wrong_width")]


def test_first_line_decides_what_kind_a_column_has() -> None:
    part = read(body(record={"a": 1}), body(record={"a": "x"})).parts[0]
    with pytest.raises(errors.SchemaViolation) as caught:
        growth.infer(part.table)
    rest, bad = part.without(caught.value)
    assert (rest.lines, [error.line for error in bad]) == ((1,), [2])


def test_times_follow_the_rows_that_stay() -> None:
    part = read(*[body(features=[n or "x"], event_time=f"1970-01-01T00:00:0{n}Z") for n in range(3)]).parts[0]
    rest, _ = stored(part, schema(*numeric("a")))
    np.testing.assert_array_equal(rest.table.event_times, [1_000_000, 2_000_000])
