from __future__ import annotations

import json
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import db, errors, web
from mlpipe.jobs import ledger
from mlpipe.settings import Settings

PROBLEM = {"type", "title", "status", "detail", "code", "request_id"}


# Problems -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database", ["sqlite"])
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/predict", 405, "method_not_allowed"),
        ("PATCH", "/features/schema", 405, "method_not_allowed"),
        ("POST", "/predict", 415, "unsupported_media_type"),
        ("GET", "/models?limit=x", 400, "invalid_query"),
        ("GET", "/models/7", 404, "not_found"),
    ],
)
def test_every_error_has_the_one_form(client: FlaskClient, method: str, path: str, status: int, code: str) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert set(answer.json) >= PROBLEM
    assert (answer.json["status"], answer.json["code"]) == (status, code)
    assert answer.json["type"] == f"urn:mlpipe:problem:{code}"
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize("database", ["sqlite"])
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/predict", {"POST", "OPTIONS"}),
        ("POST", "/health", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/features/schema", {"GET", "HEAD", "OPTIONS", "PUT"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(client: FlaskClient, method: str, path: str, allowed: set[str]) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_body_that_is_too_large_is_refused_with_the_limit(client: FlaskClient, settings: Settings) -> None:
    body = b" " * (settings.max_body_bytes + 1)
    answer = client.post("/predict", data=body, content_type="application/json")
    assert answer.status_code == 413
    assert (answer.json["code"], answer.json["limit"]) == ("body_too_large", settings.max_body_bytes)


def test_a_fault_of_ours_shows_no_stack(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(db, "reading", breaks)
    answer = client.get("/models")
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_every_error_that_a_client_can_cause_has_a_status() -> None:
    mistakes = {cls.code for cls in errors.MlpipeError.__subclasses__()} - {
        "fit_failed",
        "invalid_setting",
        "label_leak",
    }
    assert mistakes == set(web.STATUS)
    assert set(web.STATUS.values()) <= {400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 503}


def test_unavailable_answers_say_when_to_come_back(client: FlaskClient) -> None:
    assert {code for code, status in web.STATUS.items() if status == 503} == set(web.RETRY_AFTER_S)
    answer = client.post("/predict", json={"features": [[1]]})
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_long_value_of_a_client_is_cut(client: FlaskClient) -> None:
    answer = client.post("/ingest/batch", json={"x" * 100_000: 1})
    assert answer.status_code == 422
    assert len(answer.data) < 2000


# Requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_sane_request_id_is_kept(client: FlaskClient) -> None:
    answer = client.get("/health", headers={"X-Request-ID": "my-id_1.2:3"})
    assert answer.headers["X-Request-ID"] == "my-id_1.2:3"


@pytest.mark.parametrize("database", ["sqlite"])
@pytest.mark.parametrize("wanted", ["", " ", "a b", "a;b", "x" * 129, "é", "<script>", "a\tb"])
def test_another_request_id_is_replaced(client: FlaskClient, wanted: str) -> None:
    answer = client.get("/health", headers={"X-Request-ID": wanted})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


@pytest.mark.parametrize("database", ["sqlite"])
@pytest.mark.parametrize("path", ["/health", "/nowhere", "/models/x", "/", "/ingest/batches"])
def test_every_answer_carries_an_id_and_forbids_guessing(client: FlaskClient, path: str) -> None:
    first, second = client.get(path), client.get(path)
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    assert first.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_content_type_may_have_parameters(client: FlaskClient) -> None:
    for kind in ("application/json; charset=utf-8", "Application/JSON"):
        assert client.post("/ingest/batch", data=b'{"features": [[1]]}', content_type=kind).status_code == 201


def test_a_name_outside_of_ascii_comes_back_as_it_was(client: FlaskClient) -> None:
    body = json.dumps({"records": [{"größe": "naïve ☃ 𝄞"}]}, ensure_ascii=False).encode()
    assert client.post("/ingest/batch", data=body, content_type="application/json").status_code == 201
    line = json.loads(client.get("/features/export?format=ndjson").data)
    assert line["record"] == {"größe": "naïve ☃ 𝄞"}


# Lists ----------------------------------------------------------------------------------------------------------


def fill_ledger(n: int) -> None:
    with db.transaction() as connection:
        for place in range(n):
            ledger.record(connection, "a" if place % 2 else "b", f"number {place}")


def walk(client: FlaskClient, path: str) -> list[Any]:
    """Return the pages of a list by following its cursors."""
    pages, cursor = [], ""
    while cursor is not None:
        page = client.get(path + (f"&cursor={cursor}" if cursor else "")).json
        assert set(page) >= {"items", "next"}
        pages.append(page["items"])
        cursor = page["next"]
    return pages


@pytest.mark.parametrize("limit", [1, 3, 5, 11, 12, 1000])
def test_a_walk_over_the_pages_sees_every_item_once(client: FlaskClient, limit: int) -> None:
    fill_ledger(12)
    pages = walk(client, f"/ledger?limit={limit}")
    assert [item["sentence"] for page in pages for item in page] == [f"number {place}" for place in range(11, -1, -1)]
    assert max(map(len, pages)) == min(limit, 12)


def test_a_walk_is_not_disturbed_by_new_items(client: FlaskClient) -> None:
    fill_ledger(6)
    first = client.get("/ledger?limit=4").json
    fill_ledger(3)
    rest = client.get(f"/ledger?limit=4&cursor={first['next']}").json
    assert [item["sentence"] for item in rest["items"]] == ["number 1", "number 0"]


def test_a_filter_stays_on_every_page(client: FlaskClient) -> None:
    fill_ledger(12)
    pages = walk(client, "/ledger?limit=4&kind=a")
    assert [len(page) for page in pages if page] == [4, 2]
    assert {item["kind"] for page in pages for item in page} == {"a"}


@pytest.mark.parametrize(
    "path",
    [
        "/ingest/batches",
        "/predictions",
        "/models",
        "/models/history",
        "/retraining/jobs",
        "/drift/reports",
        "/incidents",
        "/ledger",
    ],
)
def test_every_list_is_empty_at_first_and_pages_alike(client: FlaskClient, path: str) -> None:
    found = client.get(path).json
    assert (found["items"], found["next"]) == ([], None)
    for query in ("limit=0", "limit=1001", "limit=-1", "limit=1e3", "limit=", "cursor=x", "cursor=-1", "limit=%D9%A3"):
        answer = client.get(f"{path}?{query}")
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_query"), query


def test_lists_show_fifty_unless_asked(client: FlaskClient) -> None:
    fill_ledger(60)
    assert len(client.get("/ledger").json["items"]) == 50


# Health ---------------------------------------------------------------------------------------------------------


def test_health_names_every_component(client: FlaskClient) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    components = answer.json["components"]
    assert set(components) >= {
        "database",
        "model",
        "scheduler",
        "drift_monitor",
        "retraining",
        "incidents",
        "prediction_log",
        "disk",
    }
    assert all(set(part) == {"status", "detail"} for part in components.values())


def test_a_database_that_is_gone_is_a_503_and_the_process_lives(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Any:
        raise errors.StoreUnavailable("It does not answer.")

    monkeypatch.setattr(db, "reading", gone)
    client = app.test_client()
    answer = client.get("/health")
    assert (answer.status_code, answer.json["status"]) == (503, "down")
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 503


def test_ready_means_that_a_model_is_loaded(served: FlaskClient, client: FlaskClient) -> None:
    assert client.get("/health/ready").status_code == 503
    assert served.get("/health/ready").status_code == 200
