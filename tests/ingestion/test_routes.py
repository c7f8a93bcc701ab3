from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from mlpipe.ingestion import routes, service
from tests import trained

NDJSON = "application/x-ndjson"


def lines(client: FlaskClient, *items: Any, **options: Any) -> Any:
    body = b"".join(item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n" for item in items)
    return client.post("/ingest/stream", data=body, content_type=NDJSON, **options)


def stats(client: FlaskClient) -> dict[str, int]:
    found = client.get("/features/stats").json
    return {name: found[name] for name in ("batches", "rows", "labelled")}


def test_the_fixed_example_is_stored_and_answered(client: FlaskClient) -> None:
    body = {"features": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "labels": [0, 1], "batch_id": "batch_001"}
    answer = client.post("/ingest/batch", json=body)
    assert answer.status_code == 201
    assert answer.json == {
        "batch_id": "batch_001",
        "rows": 2,
        "labelled": 2,
        "duplicate": False,
        "schema_version": 1,
    }
    assert stats(client) == {"batches": 1, "rows": 2, "labelled": 2}


def test_the_same_batch_again_is_stored_once(client: FlaskClient) -> None:
    body = {"features": [[1, 2], [3, None]], "labels": [0, None], "batch_id": "one"}
    first = client.post("/ingest/batch", json=body)
    again = client.post("/ingest/batch", json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json | {"duplicate": True}
    assert stats(client) == {"batches": 1, "rows": 2, "labelled": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"features": [[1, 2], [3, 5]]},
        {"features": [[1, 2]], "labels": [0]},
        {"labels": [0, 0]},
        {"labels": None},
        {"row_ids": ["a", "b"]},
        {"event_times": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"]},
        {"features": [[1, 2], ["x", 4]]},
    ],
)
def test_the_same_batch_id_with_other_content_is_a_conflict(client: FlaskClient, change: dict[str, Any]) -> None:
    body = {"features": [[1, 2], [3, 4]], "labels": [0, 1], "batch_id": "one"}
    client.post("/ingest/batch", json=body)
    before = trained.counts()
    answer = client.post("/ingest/batch", json=body | change)
    assert answer.status_code == 409
    assert answer.json["code"] == "batch_conflict"
    assert answer.json["batch_id"] == "one"
    assert trained.counts() == before


def test_a_batch_is_the_same_whatever_the_order_of_its_columns(client: FlaskClient) -> None:
    body = {"features": [[1, 2]], "feature_names": ["a", "b"], "batch_id": "one"}
    turned = {"features": [[2, 1]], "feature_names": ["b", "a"], "batch_id": "one"}
    assert client.post("/ingest/batch", json=body).status_code == 201
    assert client.post("/ingest/batch", json=turned).status_code == 200
    assert client.post("/ingest/batch", json={"records": [{"b": 2, "a": 1}], "batch_id": "one"}).json["duplicate"]


def test_one_bad_row_refuses_the_whole_batch_and_is_pointed_at(client: FlaskClient) -> None:
    client.post("/ingest/batch", json={"features": [[1.5, 2], [3, 4]]})
    before = trained.counts()
    answer = client.post("/ingest/batch", json={"features": [[1, 2], [1, "2"], [True, 2]]})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == ["/features/1/1", "/features/2/0"]
    assert answer.json["errors_total"] == 2
    assert trained.counts() == before


def test_of_many_bad_rows_the_first_twenty_are_listed(client: FlaskClient) -> None:
    client.post("/ingest/batch", json={"features": [[1.5]]})
    answer = client.post("/ingest/batch", json={"features": [["x"]] * 50})
    assert len(answer.json["errors"]) == 20
    assert answer.json["errors_total"] == 50


def test_batches_are_listed_newest_first_with_what_arrived(client: FlaskClient) -> None:
    client.post("/ingest/batch", json={"features": [[1], [2]], "labels": [0, None], "batch_id": "a"})
    client.post("/ingest/stream", json={"features": [3]})
    newest, oldest = client.get("/ingest/batches").json["items"]
    assert (newest["source"], newest["rows"], newest["labelled"]) == ("stream", 1, 0)
    assert client.get("/ingest/batches/a").json == oldest
    assert oldest["received_at"].endswith("Z")
    assert {"batch_id", "rows", "labelled", "received_at", "schema_version", "source"} <= set(oldest)


@pytest.mark.parametrize("name", ["nobody", "%00", "a%00b", "%ff", "x" * 5000])
def test_an_unknown_batch_is_not_found(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/ingest/batches/{name}")
    assert answer.status_code == 404
    assert answer.json["code"] == "not_found"


def test_one_sample_is_stored(client: FlaskClient) -> None:
    answer = client.post("/ingest/stream", json={"features": [1, 2], "label": 1, "event_time": "2026-01-31T12:00:00Z"})
    assert answer.status_code == 201
    assert (answer.json["rows"], answer.json["labelled"]) == (1, 1)
    assert client.post("/ingest/stream", json={"record": {"f1": 2, "f0": 1}, "label": None}).status_code == 201
    assert stats(client) == {"batches": 2, "rows": 2, "labelled": 1}


def test_lines_are_stored_and_counted(client: FlaskClient) -> None:
    answer = lines(client, *({"features": [place, 1.5], "label": place % 2} for place in range(2500)))
    assert answer.status_code == 200
    assert answer.json == {"accepted": 2500, "rejected": 0, "labelled": 2500, "errors": []}
    assert stats(client) == {"batches": 3, "rows": 2500, "labelled": 2500}


def test_bad_lines_are_named_and_the_good_ones_stored(client: FlaskClient) -> None:
    answer = lines(
        client, {"features": [1, 2]}, b"{oops\n", {"features": [1]}, {"features": [3, "x"]}, {"features": [3, 4]}
    )
    assert answer.status_code == 207
    assert (answer.json["accepted"], answer.json["rejected"]) == (2, 3)
    assert [error["line"] for error in answer.json["errors"]] == [2, 3, 4]
    assert answer.json["errors"][0]["code"] == "malformed_body"
    assert stats(client)["rows"] == 2


def test_lines_that_are_all_bad_are_a_problem_and_store_nothing(client: FlaskClient) -> None:
    answer = lines(client, b"1\n", b"[]\n", {"features": []})
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert (answer.json["accepted"], answer.json["rejected"]) == (0, 3)
    assert not any(trained.counts().values())


def test_the_number_of_a_bad_line_counts_blank_lines(client: FlaskClient) -> None:
    answer = lines(client, {"features": [1]}, b"\n", b"  \r\n", b"bad\n", b"\n", b"worse")
    assert [error["line"] for error in answer.json["errors"]] == [4, 6]
    assert answer.json["accepted"] == 1


@pytest.mark.parametrize("body", [b"", b"\n\n", b"  \r\n"])
def test_a_stream_without_lines_is_refused(client: FlaskClient, body: bytes) -> None:
    answer = lines(client, body)
    assert answer.status_code == 422
    assert "The body has no lines" in answer.json["detail"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_may_end_anyhow_and_the_last_one_not_at_all(client: FlaskClient, end: bytes) -> None:
    body = end.join([b'{"features": [1]}'] * 3)
    assert lines(client, body).json["accepted"] == 3


def test_lines_are_cut_right_wherever_the_pieces_end(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "READ_BYTES", 7)
    answer = lines(client, *({"features": [place + 0.25]} for place in range(40)))
    assert answer.json["accepted"] == 40
    export = client.get("/features/export?format=ndjson").text.splitlines()
    assert [json.loads(line)["record"]["f0"] for line in export] == [place + 0.25 for place in range(40)]


def test_a_stream_may_be_longer_than_a_body(client: FlaskClient, app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "MAX_CONTENT_LENGTH", 2000)
    answer = lines(client, *({"features": [place, 0.5, 0.25]} for place in range(2000)))
    assert answer.status_code == 200
    assert stats(client)["rows"] == 2000


def test_a_stream_without_a_length_is_read_to_its_end(client: FlaskClient) -> None:
    body = io.BytesIO(b'{"features": [1.5]}\n' * 3000)
    answer = client.post(
        "/ingest/stream",
        input_stream=body,
        content_type=NDJSON,
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )
    assert answer.json["accepted"] == 3000


def test_a_line_that_is_too_long_is_refused_alone(client: FlaskClient, settings: Any) -> None:
    good = b'{"features": [1.5]}\n'
    long = b'{"features": [' + b"1" * (settings.max_body_bytes + routes.READ_BYTES) + b"]}\n"
    answer = lines(client, good * 1200, long, good * 5, b"bad\n")
    assert answer.status_code == 207
    assert answer.json["accepted"] == stats(client)["rows"] == 1205
    assert [error["line"] for error in answer.json["errors"]] == [1201, 1207]


def test_what_was_stored_before_the_database_failed_is_said(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = service.ingest

    def fails_at_the_third(table: Any, *, source: str) -> Any:
        if stats(client)["batches"] == 2:
            raise routes.errors.StoreUnavailable("The disk is full.")
        return stored(table, source=source)

    monkeypatch.setattr(service, "ingest", fails_at_the_third)
    answer = lines(client, *({"features": [place]} for place in range(2500)))
    assert answer.status_code == 503
    assert answer.json["accepted"] == stats(client)["rows"] == 2000


def test_missing_values_are_null(client: FlaskClient) -> None:
    client.post("/ingest/batch", json={"features": [[1, None], [None, 2.5]], "labels": [None, 1]})
    first, second = client.get("/features/export?format=ndjson").text.splitlines()
    assert json.loads(first)["record"] == {"f0": 1, "f1": None}
    assert json.loads(first)["label"] is None
    assert json.loads(second)["record"] == {"f0": None, "f1": 2.5}


def test_a_new_class_after_the_first_model_is_taken(served: FlaskClient, rng: np.random.Generator) -> None:
    X, _ = trained.rows(3, rng)
    assert served.post("/ingest/batch", json={"features": X, "labels": [0, 1, 2]}).status_code == 201
    assert served.get("/features/schema").json["target"]["classes"] == [0, 1, 2]
    refused = served.post("/ingest/batch", json={"features": X, "labels": [0, 1, 0.5]})
    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"] == "/labels/2"
