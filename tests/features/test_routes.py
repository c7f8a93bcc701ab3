from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe.features import service, store
from tests import threads, trained

RECORDS = [
    {"n": 1, "x": 1.5, "flag": True, "colour": "red", "label": "yes"},
    {"colour": 'b"l,ue', "flag": None, "n": None, "x": -0.25, "label": None},
    {"x": None, "n": 3, "flag": False, "colour": None, "label": "no"},
]
TIMES = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00+01:00", "2026-01-03T00:00:00.000001Z"]


@pytest.fixture
def filled(client: FlaskClient) -> FlaskClient:
    """A client of a store with three rows of every kind, some of it missing."""
    body = {"records": RECORDS, "event_times": TIMES, "batch_id": "one"}
    assert client.post("/ingest/batch", json=body).status_code == 201
    return client


def lines(client: FlaskClient, query: str = "") -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.get(f"/features/export?format=ndjson{query}").text.splitlines()]


@pytest.mark.parametrize("path", ["/features/schema", "/features/export", "/features/export?format=ndjson"])
def test_before_the_first_batch_there_is_no_schema(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"


def test_before_the_first_batch_the_counts_are_zero(client: FlaskClient) -> None:
    found = client.get("/features/stats").json
    assert (found["batches"], found["rows"], found["labelled"], found["columns"]) == (0, 0, 0, [])
    assert client.put("/features/schema", json={}).status_code == 404


def test_the_schema_is_a_draft_of_the_first_batch(filled: FlaskClient) -> None:
    found = filled.get("/features/schema").json
    assert (found["schema_version"], found["status"]) == (1, "draft")
    assert [(column["name"], column["kind"]) for column in found["columns"]] == [
        ("n", "integer"),
        ("x", "numeric"),
        ("flag", "boolean"),
        ("colour", "category"),
    ]
    assert found["target"] == {"task": "classification", "kind": "string", "classes": ["yes", "no"]}


def test_what_is_shown_can_be_sent_back_and_confirms(filled: FlaskClient) -> None:
    shown = filled.get("/features/schema").json
    answer = filled.put("/features/schema", json=shown | {"status": "confirmed"})
    assert answer.status_code == 200
    assert (answer.json["schema_version"], answer.json["status"]) == (2, "confirmed")
    kept = filled.get("/features/schema").json
    assert kept["columns"] == shown["columns"]
    assert "Schema 2 was confirmed by hand" in filled.get("/ledger").json["items"][0]["sentence"]


def test_an_edited_draft_stays_one_and_the_ledger_does_not_say_otherwise(filled: FlaskClient) -> None:
    assert filled.put("/features/schema", json=filled.get("/features/schema").json).json["status"] == "draft"
    assert "Schema 2 was edited by hand" in filled.get("/ledger").json["items"][0]["sentence"]


def test_an_edit_that_rests_on_an_old_version_is_refused(filled: FlaskClient) -> None:
    shown = filled.get("/features/schema").json
    filled.put("/features/schema", json=shown)
    answer = filled.put("/features/schema", json=shown)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["code"] == "stale_version"


def test_edits_that_come_at_once_are_each_kept_or_refused(filled: FlaskClient, app: Flask) -> None:
    results = threads.at_once(app, lambda _: app.test_client().put("/features/schema", json={}), range(6))
    made = [answer.json["schema_version"] for answer in results if answer.status_code == 200]
    assert sorted(made) == list(range(2, 2 + len(made)))
    assert filled.get("/features/schema").json["schema_version"] == 1 + len(made)


def test_a_confirmed_schema_holds_the_line(filled: FlaskClient) -> None:
    filled.put("/features/schema", json={"columns": [{"missing_allowed": False}, {}, {}, {}]})
    bad = [{"n": 1.5, "x": 1, "flag": True, "colour": "red"}, {"n": None, "x": 1, "flag": True, "colour": "red"}]
    answer = filled.post("/ingest/batch", json={"records": bad})
    assert [(error["pointer"], error["code"]) for error in answer.json["errors"]] == [
        ("/records/0/n", "not_an_integer"),
        ("/records/1/n", "missing_value"),
    ]


def test_a_renamed_column_keeps_its_rows(filled: FlaskClient) -> None:
    filled.put("/features/schema", json={"columns": [{"name": "count"}, {}, {}, {}]})
    assert [line["record"]["count"] for line in lines(filled)] == [1, None, 3]
    assert filled.get("/features/stats").json["columns"][0]["name"] == "count"


def test_statistics_are_those_of_the_rows(client: FlaskClient, rng: np.random.Generator) -> None:
    X = rng.normal(size=(200, 2))
    y = rng.normal(size=200)
    client.post("/ingest/batch", json={"features": X.tolist(), "labels": [*y[:150], *[None] * 50]})
    found = client.get("/features/stats").json
    assert (found["rows"], found["labelled"], found["columns_rest_on_rows"]) == (200, 150, 200)
    assert found["columns"][1]["mean"] == pytest.approx(X[:, 1].mean())
    assert found["columns"][1]["sd"] == pytest.approx(X[:, 1].std())
    assert found["target"]["mean"] == pytest.approx(y[:150].mean())


def test_statistics_count_categories_classes_and_what_is_missing(filled: FlaskClient) -> None:
    found = filled.get("/features/stats").json
    assert [column["missing"] for column in found["columns"]] == [1, 1, 1, 1]
    assert found["columns"][3]["values"] == {"red": 1, 'b"l,ue': 1}
    assert found["target"]["counts"] == [{"label": "yes", "rows": 1}, {"label": "no", "rows": 1}]


@pytest.mark.parametrize("label", [3.4e38, -3.4e38])
def test_statistics_stand_the_largest_labels(client: FlaskClient, label: float) -> None:
    client.post("/ingest/batch", json={"features": [[1.5]] * 4, "labels": [label, label, 0.5, 1]})
    assert client.get("/features/stats").json["target"]["mean"] == pytest.approx(label / 2)


def test_ndjson_is_what_was_ingested(filled: FlaskClient) -> None:
    found = lines(filled)
    assert [line["record"] | {"label": line["label"]} for line in found] == RECORDS
    assert [line["event_time"] for line in found] == [
        "2026-01-01T00:00:00.000000Z",
        "2026-01-01T23:00:00.000000Z",
        "2026-01-03T00:00:00.000001Z",
    ]
    assert [line["sample_id"].partition("-")[2] for line in found] == ["0", "1", "2"]


def test_csv_is_what_was_ingested(filled: FlaskClient) -> None:
    answer = filled.get("/features/export?format=csv")
    assert answer.mimetype == "text/csv"
    assert "attachment" in answer.headers["Content-Disposition"]
    header, *found = csv.reader(io.StringIO(answer.text, newline=""))
    assert header == ["n", "x", "flag", "colour", "label", "event_time", "sample_id"]
    assert [row[:5] for row in found] == [
        ["1", "1.5", "true", "red", "yes"],
        ["", "-0.25", "", 'b"l,ue', ""],
        ["3", "", "false", "", "no"],
    ]


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("&labelled=true", [0, 2]),
        ("&labelled=false", [1]),
        ("&since=2026-01-01T23:00:00Z", [1, 2]),
        ("&until=2026-01-01T23:00:00Z", [0]),
        ("&since=2026-01-01T00:00:01Z&until=2026-01-03T00:00:00.000001Z", [1]),
        ("&since=2027-01-01T00:00:00Z", []),
    ],
)
def test_an_export_keeps_what_is_asked_for(filled: FlaskClient, query: str, kept: list[int]) -> None:
    assert [line["record"] for line in lines(filled, query)] == [
        {name: value for name, value in RECORDS[place].items() if name != "label"} for place in kept
    ]


def test_an_export_is_streamed_and_holds_every_row_once(
    client: FlaskClient, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "EXPORT_ROWS", 70)
    X, y = trained.rows(300, rng)
    for start in range(0, 300, 30):
        client.post("/ingest/batch", json={"features": X[start : start + 30], "labels": y[start : start + 30]})
    answer = client.get("/features/export?format=ndjson", buffered=False)
    parts = list(answer.iter_encoded())
    found = [json.loads(line) for line in b"".join(parts).splitlines()]
    assert len(parts) == 5
    assert [list(line["record"].values()) for line in found] == X
    assert [line["label"] for line in found] == y


def test_an_export_can_be_ingested_again(filled: FlaskClient) -> None:
    first = lines(filled)
    again = [{name: line[name] for name in ("record", "label", "event_time")} for line in first]
    body = "\n".join(map(json.dumps, again))
    answer = filled.post("/ingest/stream", data=body, content_type="application/x-ndjson")
    assert answer.json["accepted"] == 3
    assert [line | {"sample_id": 0} for line in lines(filled)] == [line | {"sample_id": 0} for line in first * 2]


def test_a_late_label_shows_in_the_export(filled: FlaskClient) -> None:
    filled.post("/ingest/stream", json={"record": {"n": 1, "x": 1, "flag": True, "colour": "red"}, "row_id": "r"})
    filled.post("/feedback", json={"labels": [{"row_id": "r", "label": "no"}]})
    assert lines(filled)[-1]["label"] == "no"
    assert service.statistics()["labelled"] == 3
