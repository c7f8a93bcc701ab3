from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlpipe import errors
from mlpipe.schema import matrix, messages
from tests.schema.build import ROWS, body, fault_of, places, refused


def batch(**members: Any) -> matrix.Table:
    return messages.decode_batch(body(**members), max_rows=ROWS)


def predict(**members: Any) -> messages.PredictBody:
    return messages.decode_predict(body(**members), max_rows=ROWS)


def test_plain_numbers_become_a_matrix_at_once() -> None:
    table = batch(features=[[1.0, 2.0], [3, None]], labels=[0, None], batch_id="batch_001")
    assert isinstance(table.rows, np.ndarray)
    np.testing.assert_array_equal(table.rows, [[1.0, 2.0], [3.0, np.nan]])
    assert (table.labels, table.batch_id, table.n_rows) == ([0, None], "batch_001", 2)


def test_literals_can_be_told_apart_later() -> None:
    assert [list(map(type, row)) for row in batch(features=[[1, 1.0]]).literal().rows] == [[int, float]]


def test_strings_and_booleans_keep_their_python_values() -> None:
    assert batch(features=[["a", True, 1, 1.0, None]]).rows == [["a", True, 1, 1.0, None]]


def test_records_give_their_labels_away() -> None:
    table = batch(records=[{"a": 1, "label": "x"}, {"a": 2}])
    assert (table.rows, table.labels) == ([{"a": 1}, {"a": 2}], ["x", None])


def test_records_without_labels_have_none() -> None:
    assert batch(records=[{"a": 1}]).labels is None


def test_everything_beside_the_rows_is_read() -> None:
    table = batch(
        features=[[1], [2]],
        feature_names=["age"],
        event_times=["1970-01-01T00:00:01Z", "1970-01-01T01:00:00+01:00"],
        row_ids=["r:1", "r:2"],
    )
    assert table.names == ("age",)
    assert table.row_ids == ("r:1", "r:2")
    assert table.event_times is not None
    assert table.event_times.tolist() == [1_000_000, 0]


WRONG: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({}, ("", "missing_member")),
    ({"features": [[1]], "records": [{"a": 1}]}, ("/records", "two_forms")),
    ({"features": [[1]], "lables": [1]}, ("/lables", "unknown_member")),
    ({"features": []}, ("/features", "empty")),
    ({"features": [[]]}, ("/features/0", "empty_row")),
    ({"features": [[], []]}, ("/features/0", "empty_row")),
    ({"features": [1, 2]}, ("/features", "not_a_matrix")),
    ({"features": ["a"]}, ("/features", "not_a_matrix")),
    ({"features": [[1, 2], [3]]}, ("/features/1", "ragged")),
    ({"features": [[1], 2]}, ("/features/1", "not_a_row")),
    ({"features": {"a": [1]}}, ("/features", "not_a_list")),
    ({"features": [{"a": 1}]}, ("/features/0", "not_a_row")),
    ({"features": "[[1]]"}, ("/features", "not_a_list")),
    ({"features": None}, ("/features", "not_a_list")),
    ({"records": []}, ("/records", "empty")),
    ({"records": {"a": 1}}, ("/records", "not_a_list")),
    ({"records": [{}]}, ("/records/0", "empty_row")),
    ({"records": [{"a": 1}, [1]]}, ("/records/1", "not_a_record")),
]


@pytest.mark.parametrize(("members", "place"), WRONG)
def test_wrong_rows_of_a_batch_are_pointed_at(members: dict[str, Any], place: tuple[str, str]) -> None:
    assert places(refused(lambda: batch(**members)))[0] == place


@pytest.mark.parametrize(("members", "place"), [case for case in WRONG if "lables" not in case[0]])
def test_wrong_rows_of_a_prediction_are_pointed_at(members: dict[str, Any], place: tuple[str, str]) -> None:
    assert places(refused(lambda: predict(**members)))[0] == place


BESIDE: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"labels": [1]}, ("/labels", "wrong_length")),
    ({"labels": 1}, ("/labels", "not_a_list")),
    ({"labels": [1, [2]]}, ("/labels/1", "label_kind")),
    ({"labels": [{}, 1]}, ("/labels/0", "label_kind")),
    ({"labels": [2**53 + 1, 1]}, ("/labels/0", "integer_too_large")),
    ({"labels": [1, 10**400]}, ("/labels/1", "out_of_range")),
    ({"batch_id": ""}, ("/batch_id", "not_an_id")),
    ({"batch_id": "a" * 129}, ("/batch_id", "not_an_id")),
    ({"batch_id": 7}, ("/batch_id", "not_an_id")),
    ({"batch_id": "a\u0000"}, ("/batch_id", "not_an_id")),
    ({"batch_id": "a\nb"}, ("/batch_id", "not_an_id")),
    ({"batch_id": "../a"}, ("/batch_id", "not_an_id")),
    ({"batch_id": "a\\b"}, ("/batch_id", "not_an_id")),
    ({"batch_id": ".."}, ("/batch_id", "not_an_id")),
    ({"row_ids": ["a"]}, ("/row_ids", "wrong_length")),
    ({"row_ids": ["a", "a"]}, ("/row_ids/1", "duplicate_row_id")),
    ({"row_ids": ["a", None]}, ("/row_ids/1", "not_an_id")),
    ({"row_ids": ["a", []]}, ("/row_ids/1", "not_an_id")),
    ({"event_times": [0, 1]}, ("/event_times/0", "not_a_time")),
    ({"event_times": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00"]}, ("/event_times/1", "not_a_time")),
    ({"event_times": "2026-01-01T00:00:00Z"}, ("/event_times", "not_a_list")),
    ({"feature_names": ["a", "b"]}, ("/feature_names", "wrong_length")),
    ({"feature_names": ["label"]}, ("/feature_names/0", "reserved_name")),
    ({"feature_names": [1]}, ("/feature_names/0", "not_a_name")),
    ({"feature_names": "a"}, ("/feature_names", "not_a_list")),
]


@pytest.mark.parametrize("rows", [[[1], [2]], [["x"], ["y"]]], ids=["numbers", "strings"])
@pytest.mark.parametrize(("members", "place"), BESIDE)
def test_wrong_things_beside_the_rows_are_pointed_at(
    members: dict[str, Any], place: tuple[str, str], rows: list[Any]
) -> None:
    assert places(refused(lambda: batch(features=rows, **members)))[0] == place


def test_name_given_twice_is_refused() -> None:
    fault = refused(lambda: batch(features=[[1, 2]], feature_names=["a", "a"]))
    assert places(fault) == [("/feature_names/1", "duplicate_name")]


@pytest.mark.parametrize("member", ["labels", "feature_names"])
def test_what_records_hold_themselves_is_not_taken_beside_them(member: str) -> None:
    assert places(refused(lambda: batch(records=[{"a": 1}], **{member: ["a"]}))) == [(f"/{member}", "unknown_member")]


def test_member_that_stands_twice_is_refused() -> None:
    twice = b'{"features": [[1]], "features": [[2]]}'
    for decode in (messages.decode_batch, messages.decode_predict):
        assert places(refused(lambda decode=decode: decode(twice, max_rows=9))) == [("", "duplicate_member")]  # type: ignore[misc]


def test_one_list_is_told_to_be_wrapped() -> None:
    assert "wrap it: [[...]]" in refused(lambda: predict(features=[1.0, 2.0])).detail


@pytest.mark.parametrize("rows", [[[1]] * 3, [["x"]] * 3])
def test_too_many_rows_are_refused(rows: list[Any]) -> None:
    for decode in (messages.decode_batch, messages.decode_predict):
        with pytest.raises(errors.TooManyRows):
            decode(body(features=rows), max_rows=2)


def test_prediction_may_ask_for_a_version() -> None:
    assert predict(features=[[1]], version=3).version == 3
    assert predict(records=[{"a": 1}], version=None).version is None
    assert predict(features=[[1]], version="previous").version == "previous"
    assert predict(records=[{"a": 1}], version="my-model.1").version == "my-model.1"


@pytest.mark.parametrize("version", [0, -1, 1.0, "1", True, 2**63, [1]])
def test_version_that_is_none_is_refused(version: object) -> None:
    assert places(refused(lambda: predict(features=[[1]], version=version))) == [("/version", "not_a_positive_integer")]


def sample(**members: Any) -> matrix.Table:
    return messages.decode_sample(body(**members))


def test_sample_is_a_table_of_one_row() -> None:
    table = sample(features=[1, "a"], label=1, event_time="1970-01-01T00:00:01Z", row_id="r")
    assert (table.rows, table.labels, table.row_ids) == ([[1, "a"]], [1], ("r",))
    assert table.event_times is not None
    assert table.event_times.tolist() == [1_000_000]


@pytest.mark.parametrize("members", [{"record": {"a": 1, "label": 0}}, {"record": {"a": 1}, "label": 0}])
def test_label_of_a_record_stands_in_it_or_beside_it(members: dict[str, Any]) -> None:
    assert sample(**members).labels == [0]


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"features": [[1]]}, ("/features", "not_a_row")),
        ({"features": []}, ("/features", "empty_row")),
        ({"features": 1}, ("/features", "not_a_row")),
        ({"record": []}, ("/record", "not_a_record")),
        ({"record": {"label": 1}}, ("/record", "empty_row")),
        ({"record": {"a": 1, "label": 1}, "label": 1}, ("/label", "duplicate_member")),
        ({"record": {"a": 1, "label": []}}, ("/record/label", "label_kind")),
        ({"features": [1], "label": []}, ("/label", "label_kind")),
        ({"features": [1], "labels": [1]}, ("/labels", "unknown_member")),
        ({"features": [1], "event_time": 5}, ("/event_time", "not_a_time")),
        ({"features": [1], "row_id": ""}, ("/row_id", "not_an_id")),
    ],
)
def test_wrong_sample_is_pointed_at(members: dict[str, Any], place: tuple[str, str]) -> None:
    assert places(refused(lambda: sample(**members))) == [place]


@pytest.mark.parametrize("reason", [1, "a\nb", "a" * 501, []])
def test_reason_that_is_no_line_of_text_is_refused(reason: object) -> None:
    assert places(refused(lambda: messages.decode_reason(body(reason=reason)))) == [("/reason", "not_a_text")]


def test_reason_may_be_left_out() -> None:
    assert messages.decode_reason(b"{}") is None
    assert messages.decode_reason(body(reason=" ")) is None


TEXT = st.text("ab/~\0\u00e9\U0001f600", max_size=3)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
NAMES = ("features", "records", "record", "labels", "label", "batch_id", "version", "event_times", "row_ids", "other")
BODIES = st.dictionaries(st.sampled_from(NAMES), ANYTHING | st.lists(st.lists(SCALARS, max_size=2), max_size=2))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(BODIES)
def test_any_object_is_read_or_refused_with_pointers_that_resolve(members: dict[str, Any]) -> None:
    raw = json.dumps(members).encode()
    for decode in (messages.decode_batch, messages.decode_predict):
        fault = fault_of(lambda decode=decode: decode(raw, max_rows=2))  # type: ignore[misc]
        if isinstance(fault, errors.SchemaViolation):
            assert fault.violations
            assert all(_resolves(violation.pointer, members) for violation in fault.violations)


def _resolves(pointer: str, value: Any) -> bool:
    for step in pointer.split("/")[1:]:
        if step.endswith("..."):
            return True
        value = value[int(step) if isinstance(value, list) else step.replace("~1", "/").replace("~0", "~")]
    return True
