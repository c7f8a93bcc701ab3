"""Every body that is wrong gets its status and code, and changes nothing."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests import trained

JSON = "application/json"
NDJSON = "application/x-ndjson"
DEEP = b'{"features": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
HUGE = b'{"features": [[' + b"9" * 5000 + b"]]}"

BATCH, STREAM, PREDICT, FEEDBACK = "POST /ingest/batch", "POST /ingest/stream", "POST /predict", "POST /feedback"
SCHEMA, ACTIVATE, RETRAIN = "PUT /features/schema", "POST /models/1/activate", "POST /retraining/jobs"
ROW = [1, 2, 3]


def features(*values: Any) -> dict[str, Any]:
    return {"features": [list(values)]}


def label(value: Any) -> dict[str, Any]:
    return features(*ROW) | {"labels": [value]}


def feedback(**entry: Any) -> dict[str, Any]:
    return {"labels": [entry]}


UNREADABLE: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("blank", b" \n\t "),
    ("words", b"hello"),
    ("half", b'{"features": [[1, 2, 3]'),
    ("trailing_text", b'{"features": [[1, 2, 3]]} x'),
    ("two_values", b"{}{}"),
    ("nan", b'{"features": [[NaN, 2, 3]]}'),
    ("infinity", b'{"features": [[-Infinity, 2, 3]]}'),
    ("single_quotes", b"{'features': [[1, 2, 3]]}"),
    ("trailing_comma", b'{"features": [[1, 2, 3],]}'),
    ("comment", b'{"features": [[1, 2, 3]]} // x'),
    ("hexadecimal", b'{"features": [[0x1, 2, 3]]}'),
    ("leading_zero", b'{"features": [[01, 2, 3]]}'),
    ("plus", b'{"features": [[+1, 2, 3]]}'),
    ("not_utf8", b'{"features": [["\xff", 2, 3]]}'),
    ("utf16", '{"features": [[1, 2, 3]]}'.encode("utf-16")),
    ("byte_order_mark", b'\xef\xbb\xbf{"features": [[1, 2, 3]]}'),
    ("half_surrogate", b'{"features": [["\\ud800", 2, 3]]}'),
    ("control_character", b'{"features": [["a\nb", 2, 3]]}'),
    ("too_deep", DEEP),
]
"""Bodies that are not JSON, whoever reads them."""

WRONG: list[tuple[str, Any, str]] = [
    # The whole body
    (BATCH, None, "not_an_object"),
    (BATCH, [], "not_an_object"),
    (BATCH, "text", "not_an_object"),
    (BATCH, {}, "missing_member"),
    (BATCH, {"feature": [ROW]}, "unknown_member"),
    (BATCH, features(*ROW) | {"lables": [1]}, "unknown_member"),
    (BATCH, features(*ROW) | {"records": [{"f0": 1}]}, "two_forms"),
    (BATCH, b'{"features": [[1, 2, 3]], "features": [[4, 5, 6]]}', "duplicate_member"),
    (BATCH, b'{"records": [{"f0": 1, "f0": 2, "f1": 1, "f2": 1}]}', "duplicate_member"),
    # Rows
    (BATCH, {"features": []}, "empty"),
    (BATCH, {"features": None}, "not_a_list"),
    (BATCH, {"features": 7}, "not_a_list"),
    (BATCH, {"features": {"f0": [1]}}, "not_a_list"),
    (BATCH, {"features": ROW}, "not_a_matrix"),
    (BATCH, {"features": [[]]}, "empty_row"),
    (BATCH, {"features": [ROW, []]}, "empty_row"),
    (BATCH, {"features": [ROW, 3]}, "not_a_row"),
    (BATCH, {"features": [{"f0": 1}]}, "not_a_row"),
    (BATCH, {"features": [ROW, [1, 2]]}, "ragged"),
    (BATCH, features(1, 2), "wrong_width"),
    (BATCH, features(1, 2, 3, 4), "wrong_width"),
    # Values
    (BATCH, features("1", 2, 3), "not_a_number"),
    (BATCH, features("NaN", 2, 3), "not_a_number"),
    (BATCH, features("", 2, 3), "not_a_number"),
    (BATCH, features(True, 2, 3), "boolean_for_number"),
    (BATCH, features([1], 2, 3), "not_a_number"),
    (BATCH, features({}, 2, 3), "not_a_number"),
    (BATCH, features(2**53 + 1, 2, 3), "integer_too_large"),
    (BATCH, features(-(2**63) - 1, 2, 3), "integer_too_large"),
    (BATCH, features(1e39, 2, 3), "out_of_range"),
    (BATCH, features(10**400, 2, 3), "out_of_range"),
    (BATCH, b'{"features": [[1e999, 2, 3]]}', "out_of_range"),
    (BATCH, HUGE.replace(b"]]", b", 2, 3]]"), "out_of_range"),
    # Records
    (BATCH, {"records": []}, "empty"),
    (BATCH, {"records": {}}, "not_a_list"),
    (BATCH, {"records": [ROW]}, "not_a_record"),
    (BATCH, {"records": [{}]}, "empty_row"),
    (BATCH, {"records": [{"label": 1}]}, "empty_row"),
    (BATCH, {"records": [{"f0": 1, "f1": 2}]}, "missing_column"),
    (BATCH, {"records": [{"f0": 1, "f1": 2, "f2": 3, "f3": 4}]}, "unknown_column"),
    (BATCH, {"records": [{"f0": 1, "f1": 2, "f2": 3}], "labels": [1]}, "unknown_member"),
    # Labels
    (BATCH, features(*ROW) | {"labels": 1}, "not_a_list"),
    (BATCH, features(*ROW) | {"labels": []}, "wrong_length"),
    (BATCH, features(*ROW) | {"labels": [0, 1]}, "wrong_length"),
    (BATCH, label("one"), "label_kind"),
    (BATCH, label(True), "label_kind"),
    (BATCH, label(0.5), "label_kind"),
    (BATCH, label([1]), "label_kind"),
    (BATCH, label({}), "label_kind"),
    (BATCH, label(2**60 + 1), "integer_too_large"),
    (BATCH, label(10**400), "out_of_range"),
    (BATCH, label(1.7e308), "out_of_range"),
    # What stands beside
    (BATCH, features(*ROW) | {"batch_id": 7}, "not_an_id"),
    (BATCH, features(*ROW) | {"batch_id": ""}, "not_an_id"),
    (BATCH, features(*ROW) | {"batch_id": "x" * 129}, "not_an_id"),
    (BATCH, features(*ROW) | {"batch_id": "a\nb"}, "not_an_id"),
    (BATCH, features(*ROW) | {"batch_id": "a\0b"}, "not_an_id"),
    (BATCH, features(*ROW) | {"batch_id": "../x"}, "not_an_id"),
    (BATCH, features(*ROW) | {"feature_names": ["f0", "f1"]}, "wrong_length"),
    (BATCH, features(*ROW) | {"feature_names": ["f0", "f1", "f1"]}, "duplicate_name"),
    (BATCH, features(*ROW) | {"feature_names": ["f0", "f1", "f9"]}, "missing_column"),
    (BATCH, features(*ROW) | {"feature_names": ["f0", "f1", "label"]}, "reserved_name"),
    (BATCH, features(*ROW) | {"feature_names": "f0"}, "not_a_list"),
    (BATCH, features(*ROW) | {"row_ids": ["a", "b"]}, "wrong_length"),
    (BATCH, features(*ROW) | {"row_ids": [1]}, "not_an_id"),
    (BATCH, {"features": [ROW, ROW], "row_ids": ["a", "a"]}, "duplicate_row_id"),
    (BATCH, features(*ROW) | {"event_times": ["yesterday"]}, "not_a_time"),
    (BATCH, features(*ROW) | {"event_times": ["2026-01-31T12:00:00"]}, "not_a_time"),
    (BATCH, features(*ROW) | {"event_times": [1769860800]}, "not_a_time"),
    (BATCH, features(*ROW) | {"event_times": ["0001-01-01T00:00:00Z"]}, "not_a_time"),
    # One sample
    (STREAM, {}, "missing_member"),
    (STREAM, {"features": [ROW]}, "not_a_row"),
    (STREAM, {"features": []}, "empty_row"),
    (STREAM, {"features": [1, 2]}, "wrong_width"),
    (STREAM, {"features": ["x", 2, 3]}, "not_a_number"),
    (STREAM, {"record": []}, "not_a_record"),
    (STREAM, {"record": {"f0": 1}}, "missing_column"),
    (STREAM, {"record": {"f0": 1, "f1": 1, "f2": 1, "label": 1}, "label": 1}, "duplicate_member"),
    (STREAM, {"features": ROW, "label": "x"}, "label_kind"),
    (STREAM, {"features": ROW, "labels": [1]}, "unknown_member"),
    (STREAM, {"features": ROW, "event_time": "now"}, "not_a_time"),
    (STREAM, {"features": ROW, "row_id": ""}, "not_an_id"),
    # Predict
    (PREDICT, {}, "missing_member"),
    (PREDICT, {"features": []}, "empty"),
    (PREDICT, {"features": ROW}, "not_a_matrix"),
    (PREDICT, features(1, 2), "wrong_width"),
    (PREDICT, {"features": [ROW, [1]]}, "ragged"),
    (PREDICT, features("x", 2, 3), "not_a_number"),
    (PREDICT, features(True, 2, 3), "boolean_for_number"),
    (PREDICT, features(1e39, 2, 3), "out_of_range"),
    (PREDICT, features(2**53 + 1, 2, 3), "integer_too_large"),
    (PREDICT, features(*ROW) | {"labels": [1]}, "unknown_member"),
    (PREDICT, features(*ROW) | {"version": "1"}, "not_a_positive_integer"),
    (PREDICT, features(*ROW) | {"version": 0}, "not_a_positive_integer"),
    (PREDICT, features(*ROW) | {"version": 1.5}, "not_a_positive_integer"),
    (PREDICT, features(*ROW) | {"version": True}, "not_a_positive_integer"),
    (PREDICT, features(*ROW) | {"version": 2**63}, "not_a_positive_integer"),
    (PREDICT, {"records": [{"f0": 1, "f1": 2}]}, "missing_column"),
    (PREDICT, b'{"features": [[1, 2, 3]], "version": 1, "version": 1}', "duplicate_member"),
    # Feedback
    (FEEDBACK, {}, "not_a_list"),
    (FEEDBACK, {"labels": []}, "empty"),
    (FEEDBACK, {"labels": {}}, "not_a_list"),
    (FEEDBACK, {"labels": [1]}, "not_an_object"),
    (FEEDBACK, {"labels": [1], "prediction_ids": ["1-0", "1-1"]}, "wrong_length"),
    (FEEDBACK, {"labels": [1], "prediction_ids": [1]}, "not_an_id"),
    (FEEDBACK, {"labels": [None], "prediction_ids": ["1-0"]}, "label_missing"),
    (FEEDBACK, feedback(label=1), "missing_member"),
    (FEEDBACK, feedback(prediction_id="1-0"), "missing_member"),
    (FEEDBACK, feedback(prediction_id="1-0", row_id="a", label=1), "missing_member"),
    (FEEDBACK, feedback(prediction_id="1", label=1), "not_an_id"),
    (FEEDBACK, feedback(prediction_id="9" * 19 + "-0", label=1), "not_an_id"),
    (FEEDBACK, feedback(prediction_id="1-0", label="x"), "label_kind"),
    (FEEDBACK, feedback(prediction_id="1-0", label=[]), "label_kind"),
    (FEEDBACK, feedback(prediction_id="1-0", label=1, observed_at=7), "not_a_time"),
    (FEEDBACK, feedback(prediction_id="1-0", label=1, weight=2), "unknown_member"),
    (FEEDBACK, feedback(row_id="", label=1), "not_an_id"),
    # Schema
    (SCHEMA, [], "not_an_object"),
    (SCHEMA, {"column": []}, "unknown_member"),
    (SCHEMA, {"schema_version": 7}, "stale_version"),
    (SCHEMA, {"status": "final"}, "unknown_status"),
    (SCHEMA, {"columns": [{}]}, "wrong_length"),
    (SCHEMA, {"columns": [{}, {}, 3]}, "not_an_object"),
    (SCHEMA, {"columns": [{}, {}, {"name": "f0"}]}, "duplicate_name"),
    (SCHEMA, {"columns": [{}, {}, {"name": 7}]}, "not_a_name"),
    (SCHEMA, {"columns": [{}, {}, {"name": "label"}]}, "reserved_name"),
    (SCHEMA, {"columns": [{}, {}, {"kind": "category"}]}, "kind_is_stored"),
    (SCHEMA, {"columns": [{}, {}, {"kind": "text"}]}, "unknown_word"),
    (SCHEMA, {"columns": [{}, {}, {"kind": ["numeric"]}]}, "unknown_word"),
    (SCHEMA, {"columns": [{}, {}, {"kind": {}}]}, "unknown_word"),
    (SCHEMA, {"columns": [{}, {}, {"missing_allowed": "no"}]}, "not_a_boolean"),
    (SCHEMA, {"columns": [{}, {}, {"categories": ["a"]}]}, "no_dictionary"),
    (SCHEMA, {"target": []}, "not_an_object"),
    (SCHEMA, {"target": {"classes": [1]}}, "entries_are_stored"),
    (SCHEMA, {"target": {"classes": [0, 1, 1]}}, "duplicate_entry"),
    (SCHEMA, {"target": {"classes": [0, 1, "a"]}}, "not_a_list"),
    (SCHEMA, {"target": {"classes": [0, 1, [2]]}}, "not_a_list"),
    (SCHEMA, {"target": {"kind": "string"}}, "kind_is_stored"),
    (SCHEMA, {"target": {"kind": []}}, "unknown_word"),
    (SCHEMA, {"target": {"task": "clustering"}}, "unknown_word"),
    (SCHEMA, {"target": {"task": None}}, "unknown_word"),
    # Reasons
    (ACTIVATE, [], "not_an_object"),
    (ACTIVATE, {"why": "x"}, "unknown_member"),
    (ACTIVATE, {"reason": 7}, "not_a_text"),
    (ACTIVATE, {"reason": "x" * 501}, "not_a_text"),
    (ACTIVATE, {"reason": "a\0b"}, "not_a_text"),
    (RETRAIN, 7, "not_an_object"),
    (RETRAIN, {"reason": ["x"]}, "not_a_text"),
    (RETRAIN, {"reason": "line\nbreak"}, "not_a_text"),
    (RETRAIN, {"because": "x"}, "unknown_member"),
]


def ask(client: FlaskClient, call: str, body: Any, **options: Any) -> Any:
    method, path = call.split()
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.open(path, method=method, data=data, **{"content_type": JSON} | options)


def check(client: FlaskClient, call: str, body: Any, status: int, **options: Any) -> Any:
    """Send a wrong body; see that it is refused in the one form and has changed nothing."""
    before = trained.counts()
    schema = client.get("/features/schema").json
    answer = ask(client, call, body, **options)
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(answer.json)
    assert answer.json["status"] == status
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    assert trained.counts() == before
    assert client.get("/features/schema").json | {"read_at": 0} == schema | {"read_at": 0}
    return answer.json


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(request: pytest.FixtureRequest) -> Any:
    """A client that serves version 1; shared, since nothing may change."""
    with trained.opened(request.getfixturevalue(f"trained_on_{request.param}")) as app:
        trained.champion(app).refresh()
        yield app.test_client()


@pytest.mark.parametrize("call", [BATCH, STREAM, PREDICT, FEEDBACK, SCHEMA])
@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in UNREADABLE])
def test_what_is_not_json_is_a_400(served: FlaskClient, call: str, body: bytes) -> None:
    assert check(served, call, body, 400)["code"] == "malformed_body"


@pytest.mark.parametrize("call", [ACTIVATE, RETRAIN])
@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in UNREADABLE if body])
def test_a_reason_that_is_not_json_is_a_400(served: FlaskClient, call: str, body: bytes) -> None:
    assert check(served, call, body, 400)["code"] == "malformed_body"


@pytest.mark.parametrize(("call", "body", "code"), WRONG)
def test_what_is_well_formed_but_wrong_is_a_422(served: FlaskClient, call: str, body: Any, code: str) -> None:
    problem = check(served, call, body, 422)
    assert problem["code"] == "schema_violation"
    assert problem["errors"][0]["code"] == code
    assert problem["errors_total"] >= len(problem["errors"]) >= 1
    assert all(set(error) == {"pointer", "code", "detail"} for error in problem["errors"])


@pytest.mark.parametrize("body", [item for item in WRONG if item[0] == STREAM])
def test_a_wrong_line_is_named_by_the_same_code(served: FlaskClient, body: Any) -> None:
    problem = check(served, STREAM, body[1], 422, content_type=NDJSON)
    assert (problem["accepted"], problem["rejected"]) == (0, 1)
    assert [(error["line"], error["code"]) for error in problem["errors"]] == [(1, body[2])]


@pytest.mark.parametrize(
    "body", [pytest.param(body, id=name) for name, body in UNREADABLE if body.strip() and b"\n" not in body]
)
def test_a_line_that_is_not_json_is_named(served: FlaskClient, body: bytes) -> None:
    problem = check(served, STREAM, body, 422, content_type=NDJSON)
    assert problem["errors"][0]["code"] == "malformed_body"


@pytest.mark.parametrize("call", [BATCH, STREAM, PREDICT, FEEDBACK, SCHEMA, ACTIVATE, RETRAIN])
@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/xml", "multipart/form-data", "x"])
def test_another_content_type_is_a_415(served: FlaskClient, call: str, kind: str | None) -> None:
    assert check(served, call, features(*ROW), 415, content_type=kind)["code"] == "unsupported_media_type"


@pytest.mark.parametrize("call", [BATCH, STREAM, PREDICT, FEEDBACK])
def test_a_compressed_body_is_a_415(served: FlaskClient, call: str) -> None:
    body = gzip.compress(json.dumps(features(*ROW)).encode())
    check(served, call, body, 415, headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize("call", [BATCH, STREAM, PREDICT, FEEDBACK, SCHEMA, ACTIVATE, RETRAIN])
def test_a_body_that_is_too_large_is_a_413(served: FlaskClient, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(served.application.config, "MAX_CONTENT_LENGTH", 1024)
    problem = check(served, call, b"[" + b"1," * 1024 + b"1]", 413)
    assert problem["code"] == "body_too_large"


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (BATCH, {"features": [ROW] * 100_001}),
        (BATCH, {"records": [{"f0": 1}] * 100_001}),
        (PREDICT, {"features": [ROW] * 100_001}),
        (FEEDBACK, {"labels": [1] * 100_001}),
    ],
    ids=["features", "records", "predict", "feedback"],
)
def test_too_many_rows_are_a_413(served: FlaskClient, call: str, body: Any) -> None:
    problem = check(served, call, body, 413)
    assert problem["code"] == "too_many_rows"
    assert (problem["rows"], problem["limit"]) == (100_001, 100_000)


@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        ("POST /models/99/activate", 404, "not_found"),
        ("POST /models/0/activate", 404, "not_found"),
        ("POST /models/99999999999999999999999/activate", 404, "not_found"),
        ("POST /models/2147483648/activate", 404, "not_found"),
        ("POST /models/x/activate", 404, "not_found"),
        ("POST /models/1/activate", 409, "deploy_conflict"),
        ("POST /models/rollback", 409, "deploy_conflict"),
        ("POST /retraining/jobs/99/cancel", 404, "not_found"),
        ("POST /retraining/jobs/1/cancel", 409, "job_conflict"),
        ("POST /retraining/jobs/99999999999999999999999/cancel", 404, "not_found"),
        ("GET /retraining/jobs/9223372036854775807", 404, "not_found"),
        ("GET /models/9223372036854775807", 404, "not_found"),
        ("GET /models?limit=0", 400, "invalid_query"),
        ("GET /models?limit=1001", 400, "invalid_query"),
        ("GET /models?limit=x", 400, "invalid_query"),
        ("GET /models?limit=", 400, "invalid_query"),
        ("GET /models?cursor=-1", 400, "invalid_query"),
        ("GET /predictions?cursor=99999999999999999999", 400, "invalid_query"),
        ("GET /ledger?kind=%00", 400, "invalid_query"),
        ("GET /incidents?state=x", 400, "invalid_query"),
        ("GET /incidents/99", 404, "not_found"),
        ("GET /incidents/99999999999999999999999", 404, "not_found"),
        ("POST /incidents/99/acknowledge", 404, "not_found"),
        ("POST /incidents/99/unmute", 404, "not_found"),
        ("GET /features/export?format=xml", 400, "invalid_query"),
        ("GET /features/export?since=yesterday", 400, "invalid_query"),
        ("GET /features/export?labelled=maybe", 400, "invalid_query"),
    ],
)
def test_wrong_paths_and_queries(served: FlaskClient, call: str, status: int, code: str) -> None:
    assert check(served, call, b"", status)["code"] == code


@pytest.mark.parametrize("path", ["/ingest/batch", "/ingest/stream"])
def test_nothing_wrong_makes_a_schema(client: FlaskClient, path: str) -> None:
    for body in (
        {"features": [[1, [2]]]},
        {"features": [{}]},
        {"features": [["a", 2], [1, 2]]},
        {"record": {"a\n": 1}},
    ):
        assert client.post(path, json=body).status_code == 422
    for body in ({"records": [{"": 1}]}, {"records": [{"a": "x" * 1001}]}, {"records": [{"a": "\0"}]}):
        assert client.post(path, json=body).status_code == 422
    assert not any(trained.counts().values())
