from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from mlpipe import db, web
from mlpipe.prediction import store
from tests import trained


def predict(client: FlaskClient, rows: Any, path: str = "/predict", **members: Any) -> Any:
    return client.post(path, json={"features": rows} | members)


def test_before_the_first_model_the_answer_says_what_is_missing(client: FlaskClient, rng: np.random.Generator) -> None:
    trained.ingest(client, 12, rng)
    answer = predict(client, [[1, 2, 3]])
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == str(web.RETRY_AFTER_S["no_active_model"])
    assert answer.json["code"] == "no_active_model"
    assert (answer.json["labelled_rows"], answer.json["labelled_rows_needed"]) == (12, 40)
    assert "12 of 40 labelled rows" in answer.json["detail"]


def test_before_the_first_batch_nothing_fits_and_nothing_breaks(client: FlaskClient) -> None:
    assert predict(client, [[1]]).status_code == 503
    assert predict(client, [[1]], version=1).status_code == 404
    assert client.get("/predictions").json == {"items": [], "next": None}


def test_the_fixed_example_is_answered_with_all_its_members(served: FlaskClient) -> None:
    answer = predict(served, [[1.0, 2.0, 3.0]])
    assert answer.status_code == 200
    found = answer.json
    assert found["predictions"] == [1]
    assert 0.5 < found["probabilities"][0] <= 1
    assert (found["model_version"], found["model_revision"]) == (1, 0)
    assert found["request_id"] == answer.headers["X-Request-ID"]
    assert found["prediction_ids"] == ["1-0"]


def test_a_probability_is_that_of_the_predicted_class(served: FlaskClient, rng: np.random.Generator) -> None:
    X, _ = trained.rows(50, rng)
    short, long = predict(served, X).json, predict(served, X, "/predict?proba=all").json
    assert long["classes"] == [0, 1]
    assert np.allclose(np.sum(long["probabilities"], axis=1), 1)
    assert np.max(long["probabilities"], axis=1).tolist() == short["probabilities"]
    assert np.argmax(long["probabilities"], axis=1).tolist() == short["predictions"]


def test_records_may_come_in_any_order(served: FlaskClient) -> None:
    straight = predict(served, [[1.5, -2, 0.5]]).json
    turned = served.post("/predict", json={"records": [{"f2": 0.5, "f0": 1.5, "f1": -2}]}).json
    assert turned["probabilities"] == straight["probabilities"]


def test_every_answer_is_logged_as_it_was_given(served: FlaskClient) -> None:
    answer = served.post(
        "/predict", json={"features": [[1, None, 3], [-1, 2, 3]]}, headers={"X-Request-ID": "mine"}
    ).json
    newest = served.get("/predictions").json["items"]
    assert [item["prediction_id"] for item in newest] == answer["prediction_ids"]
    assert newest[0]["features"] == {"f0": 1, "f1": None, "f2": 3}
    assert [item["prediction"] for item in newest] == answer["predictions"]
    assert [item["probability"] for item in newest] == answer["probabilities"]
    assert {item["request_id"] for item in newest} == {"mine"}
    assert served.get(f"/predictions/{answer['prediction_ids'][1]}").json["features"]["f0"] == -1


def test_a_prediction_that_cannot_be_logged_is_not_answered(served: FlaskClient) -> None:
    with db.transaction() as connection:
        connection.execute(db.sa.text("ALTER TABLE predictions RENAME TO elsewhere"))
    answer = predict(served, [[1, 2, 3]])
    assert answer.status_code == 503
    assert answer.json["code"] == "store_unavailable"
    assert answer.headers["Retry-After"] == "1"
    assert "predictions" not in answer.json


def test_a_version_can_be_asked_for(served: FlaskClient, trained_settings: Any, trained_app: Any) -> None:
    trained.add_version(trained_settings, 2)
    trained.activate(2)
    trained.champion(trained_app).refresh()
    assert predict(served, [[1, 2, 3]]).json["model_version"] == 2
    assert predict(served, [[1, 2, 3]], version=1).json["model_version"] == 1
    with db.reading() as connection:
        routes = [
            connection.execute(db.sa.select(store.predictions.c.route).order_by(store.predictions.c.id)).scalars().all()
        ]
    assert routes == [["champion", "asked"]]


def test_a_version_can_be_asked_for_by_an_alias(served: FlaskClient, trained_settings: Any, trained_app: Any) -> None:
    trained.add_version(trained_settings, 2)
    trained.activate(2)
    trained.champion(trained_app).refresh()
    assert served.put("/models/aliases/summer", json={"version": 1}).status_code == 200
    found = [predict(served, [[1, 2, 3]], version=name).json["model_version"] for name in ("champion", "summer")]
    assert found == [2, 1]
    assert predict(served, [[1, 2, 3]], version="previous").json["model_version"] == 1
    unknown = predict(served, [[1, 2, 3]], version="winter")
    assert (unknown.status_code, unknown.json["code"]) == (404, "not_found")
    assert unknown.json["detail"].endswith("Known are champion (2), previous (1), summer (1).")


@pytest.mark.parametrize("version", [2, 10**9, 2**40, 2**63 - 1])
def test_an_unknown_version_is_not_found(served: FlaskClient, version: int) -> None:
    answer = predict(served, [[1, 2, 3]], version=version)
    assert answer.status_code == 404
    assert answer.json["code"] == "not_found"


def test_a_version_that_is_asked_for_reads_rows_by_the_newest_schema(
    served: FlaskClient, trained_settings: Any, trained_app: Any
) -> None:
    trained.add_version(trained_settings, 2)
    assert predict(served, [[1, 2, 3]], version=2).status_code == 200
    served.put("/features/schema", json={"columns": [{"name": "a"}, {"name": "b"}, {"name": "c"}]})
    trained.champion(trained_app).refresh()
    record = {"records": [{"a": 1, "b": 2, "c": 3}]}
    assert served.post("/predict", json=record).status_code == 200
    assert served.post("/predict", json=record | {"version": 2}).status_code == 200


@pytest.mark.parametrize("name", ["x", "1", "0-0", "-1-0", "1-99", "9" * 30 + "-0", "1-" + "9" * 30, "1-0-0", "%00"])
def test_an_unknown_prediction_is_not_found(served: FlaskClient, name: str) -> None:
    predict(served, [[1, 2, 3]])
    assert served.get(f"/predictions/{name}").status_code == 404


def test_an_unknown_choice_of_probabilities_is_refused(served: FlaskClient) -> None:
    answer = predict(served, [[1, 2, 3]], "/predict?proba=some")
    assert answer.status_code == 400
    assert answer.json["code"] == "invalid_query"


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_the_log_pages_by_prediction_also_within_a_request(served: FlaskClient, limit: int) -> None:
    for place in range(5):
        predict(served, [[place, 0, 0], [place, 1, 1]])
    seen, cursor = [], ""
    while cursor is not None:
        page = served.get(f"/predictions?limit={limit}{cursor and '&cursor=' + cursor}").json
        assert len(page["items"]) <= limit
        seen += [item["prediction_id"] for item in page["items"]]
        cursor = page["next"]
    assert seen == [f"{row}-{place}" for row in range(5, 0, -1) for place in (0, 1)]


@pytest.mark.parametrize("value", [3.4e38, -3.4e38, 1e-300, 2**53, -(2**53), 0, -0.0])
def test_every_number_in_range_is_answered(served: FlaskClient, value: float) -> None:
    answer = predict(served, [[value, value, value]])
    assert answer.status_code == 200
    assert json.loads(answer.data)["probabilities"][0] >= 0.5
