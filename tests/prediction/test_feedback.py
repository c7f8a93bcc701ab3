from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import db
from mlpipe.features import store as features
from mlpipe.prediction import feedback
from tests import threads, trained


@pytest.fixture
def ids(served: FlaskClient, rng: np.random.Generator) -> list[str]:
    """Ids of five predictions that version 1 has answered."""
    X, _ = trained.rows(5, rng)
    found: list[str] = served.post("/predict", json={"features": X}).json["prediction_ids"]
    return found


def send(client: FlaskClient, *items: tuple[str, Any]) -> Any:
    return client.post("/feedback", json={"labels": [{"prediction_id": id_, "label": label} for id_, label in items]})


def newest() -> features.Samples:
    with db.reading() as connection:
        return features.newest_labelled(connection, 5)


def test_labels_join_their_predictions(served: FlaskClient, ids: list[str]) -> None:
    answer = served.post("/feedback", json={"prediction_ids": ids, "labels": [0, 1, 0, 1, 0]})
    assert answer.status_code == 200
    assert answer.json == {"matched": 5, "corrected": 0, "parked": 0}
    assert [item["label"] for item in served.get("/predictions").json["items"]] == [0, 1, 0, 1, 0]


def test_a_labelled_prediction_becomes_a_training_row(served: FlaskClient, ids: list[str]) -> None:
    before = served.get("/features/stats").json
    send(served, (ids[3], 1), (ids[1], 0))
    after = served.get("/features/stats").json
    assert (after["rows"], after["labelled"]) == (before["rows"] + 2, before["labelled"] + 2)
    logged = {item["prediction_id"]: item for item in served.get("/predictions").json["items"]}
    samples = newest()
    assert samples.y[-2:].tolist() == [1, 0]
    assert samples.X[-2].tolist() == list(logged[ids[3]]["features"].values())


def test_the_same_label_again_changes_nothing(served: FlaskClient, ids: list[str]) -> None:
    send(served, (ids[0], 1))
    before = trained.counts()
    assert send(served, (ids[0], 1)).json == {"matched": 1, "corrected": 0, "parked": 0}
    assert trained.counts() == before


def test_a_correction_counts_and_the_history_stays(served: FlaskClient, ids: list[str]) -> None:
    send(served, (ids[0], 1))
    rows = served.get("/features/stats").json["rows"]
    assert send(served, (ids[0], 0)).json == {"matched": 0, "corrected": 1, "parked": 0}
    found = served.get(f"/predictions/{ids[0]}").json
    assert found["label"] == 0
    assert [(label["label"], label["current"]) for label in found["labels"]] == [(1, False), (0, True)]
    assert newest().y[-1] == 0
    assert served.get("/features/stats").json["rows"] == rows


def test_of_two_labels_in_one_body_the_last_counts(served: FlaskClient, ids: list[str]) -> None:
    assert send(served, (ids[0], 1), (ids[0], 0)).status_code == 200
    assert served.get(f"/predictions/{ids[0]}").json["label"] == 0


def test_an_unknown_id_is_parked_and_joined_when_it_turns_up(served: FlaskClient, ids: list[str]) -> None:
    row = int(ids[0].partition("-")[0])
    assert send(served, (f"{row + 1}-0", 1)).json == {"matched": 0, "corrected": 0, "parked": 1}
    assert feedback.join_parked() == 0
    served.post("/predict", json={"features": [[9, 9, 9]]})
    assert feedback.join_parked() == 1
    assert served.get(f"/predictions/{row + 1}-0").json["label"] == 1
    assert newest().X[-1].tolist() == [9, 9, 9]
    assert feedback.join_parked() == 0


def test_a_parked_label_can_be_corrected_before_its_prediction_turns_up(served: FlaskClient, ids: list[str]) -> None:
    row = int(ids[0].partition("-")[0])
    send(served, (f"{row + 1}-0", 1))
    assert send(served, (f"{row + 1}-0", 0)).json["corrected"] == 1
    served.post("/predict", json={"features": [[9, 9, 9]]})
    assert feedback.join_parked() == 1
    assert newest().y[-1] == 0


def test_a_position_beyond_the_request_is_parked_for_good(served: FlaskClient, ids: list[str]) -> None:
    row = ids[0].partition("-")[0]
    assert send(served, (f"{row}-5", 1)).json["parked"] == 1
    assert feedback.join_parked() == 0


def test_what_was_answered_stands_beside_the_label(served: FlaskClient) -> None:
    found = served.post("/predict?proba=all", json={"features": [[1.2, 0, 0], [-1.2, 0, 0]]}).json
    send(served, *zip(found["prediction_ids"], [0, 2], strict=True))
    with db.reading() as connection:
        kept = connection.execute(db.sa.select(feedback.store.prediction_labels).order_by(db.sa.text("id"))).all()
    assert [row.output for row in kept] == found["predictions"]
    assert kept[0].p_label == found["probabilities"][0][0]
    assert kept[1].p_label == 0
    assert {row.model_version for row in kept} == {1}


def test_ingested_rows_get_their_labels_by_row_id(served: FlaskClient) -> None:
    served.post("/ingest/batch", json={"features": [[1, 2, 3], [4, 5, 6]], "labels": [None, 1], "row_ids": ["a", "b"]})
    body = {"labels": [{"row_id": "a", "label": 0}, {"row_id": "b", "label": 0}, {"row_id": "?", "label": 0}]}
    answer = served.post("/feedback", json=body)
    assert answer.json == {"matched": 1, "corrected": 1, "parked": 0, "unknown_row_ids": 1}
    assert newest().y[-2:].tolist() == [0, 0]


def test_an_observation_time_is_kept(served: FlaskClient, ids: list[str]) -> None:
    item = {"prediction_id": ids[0], "label": 1, "observed_at": "2026-01-31T13:00:00+01:00"}
    served.post("/feedback", json={"labels": [item]})
    assert served.get(f"/predictions/{ids[0]}").json["labels"][0]["observed_at"] == "2026-01-31T12:00:00.000000Z"


def test_a_bad_label_refuses_all_of_them(served: FlaskClient, ids: list[str]) -> None:
    before = trained.counts()
    answer = send(served, (ids[0], 1), (ids[1], "one"))
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/labels/1"
    assert trained.counts() == before


def test_a_label_that_comes_from_all_sides_at_once_makes_one_row(
    served: FlaskClient, trained_app: Flask, ids: list[str]
) -> None:
    rows = served.get("/features/stats").json["rows"]
    results = threads.at_once(trained_app, lambda _: send(trained_app.test_client(), (ids[0], 1)), range(8))
    assert [answer.json["matched"] for answer in results] == [1] * 8
    assert served.get("/features/stats").json["rows"] == rows + 1


def test_corrections_that_come_at_once_leave_one_current_label(
    served: FlaskClient, trained_app: Flask, ids: list[str]
) -> None:
    send(served, (ids[0], 0))
    results = threads.at_once(trained_app, lambda n: send(trained_app.test_client(), (ids[0], n)), range(1, 9))
    assert [answer.status_code for answer in results] == [200] * 8
    found = served.get(f"/predictions/{ids[0]}").json
    assert [label["current"] for label in found["labels"]] == [False] * 8 + [True]
    assert newest().y[-1] == found["label"]


def test_parked_labels_that_are_corrected_while_they_are_joined_make_one_row_each(
    served: FlaskClient, trained_app: Flask, ids: list[str]
) -> None:
    row = int(ids[0].partition("-")[0]) + 1
    send(served, *((f"{row}-{place}", 0) for place in range(20)))
    served.post("/predict", json={"features": [[place, 9, 9] for place in range(20)]})
    rows = served.get("/features/stats").json["rows"]

    def work(n: int) -> Any:
        if n % 2:
            return feedback.join_parked()
        return send(trained_app.test_client(), *((f"{row}-{place}", 1) for place in range(20)))

    assert not threads.faults(threads.at_once(trained_app, work, range(8)))
    feedback.join_parked()
    assert served.get("/features/stats").json["rows"] == rows + 20
    assert {item["label"] for item in served.get("/predictions?limit=1").json["items"]} == {1}
    with db.reading() as connection:
        assert features.newest_labelled(connection, 20).y.tolist() == [1.0] * 20
