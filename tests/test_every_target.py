"""Each kind of target goes the whole way: ingest, train, predict, feedback, training data again."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe.settings import Settings
from tests import trained


def give_feedback(client: FlaskClient, answer: dict[str, Any], labels: list[Any]) -> list[Any]:
    """Label predictions and return the labels of the newest rows of the training data."""
    body = {"prediction_ids": answer["prediction_ids"], "labels": labels}
    assert client.post("/feedback", json=body).json == {"matched": len(labels), "corrected": 0, "parked": 0}
    lines = client.get("/features/export?format=ndjson&labelled=true").text.splitlines()
    return [json.loads(line)["label"] for line in lines[-len(labels) :]]


def test_classes_by_name_from_records_of_every_kind_in_any_order(
    client: FlaskClient, app: Flask, settings: Settings
) -> None:
    rng = random.Random(5)

    def record(kind: str, **members: Any) -> dict[str, Any]:
        size = {"cat": 1.0, "dog": 5.0, "cow": 20.0}[kind] + rng.random()
        items = {
            "size": size,
            "colour": rng.choice(["red", "blue", None]),
            "tame": kind != "cow",
            "legs": rng.choice([4, None]),
        }
        return dict(rng.sample(list(items.items()), len(items))) | members

    kinds = [rng.choice(["cat", "dog", "cow"]) for _ in range(200)]
    records = [record(kind, label=kind) for kind in kinds]
    assert client.post("/ingest/batch", json={"records": records}).json["labelled"] == 200
    trained.train(app, settings)

    asked = [record("cow"), record("cat") | {"colour": "never seen"}, record("dog") | {"tame": None, "colour": None}]
    answer = client.post("/predict?proba=all", json={"records": asked}).json
    assert answer["predictions"] == ["cow", "cat", "dog"]
    assert sorted(answer["classes"]) == ["cat", "cow", "dog"]
    places = [answer["classes"].index(kind) for kind in answer["predictions"]]
    assert [max(p) for p in answer["probabilities"]] == [
        p[at] for p, at in zip(answer["probabilities"], places, strict=True)
    ]
    assert client.get("/predictions").json["items"][1]["features"]["colour"] is None
    assert give_feedback(client, answer, ["cow", "cat", "horse"]) == ["cow", "cat", "horse"]
    assert "horse" in client.get("/features/schema").json["target"]["classes"]
    trained.champion(app).refresh()
    assert client.post("/predict", json={"records": asked}).json["predictions"] == ["cow", "cat", "dog"]


def test_yes_and_no(client: FlaskClient, app: Flask, settings: Settings, rng: np.random.Generator) -> None:
    X, y = trained.rows(150, rng)
    client.post("/ingest/batch", json={"features": X, "labels": [bool(label) for label in y]})
    trained.train(app, settings)
    answer = client.post("/predict?proba=all", json={"features": [[2, 0, 0], [-2, None, 0]]}).json
    assert answer["predictions"] == [True, False]
    assert answer["classes"] == [False, True]
    assert give_feedback(client, answer, [False, True]) == [False, True]
    refused = client.post("/feedback", json={"prediction_ids": answer["prediction_ids"], "labels": [0, 1]})
    assert refused.status_code == 422


def test_a_quantity(client: FlaskClient, app: Flask, settings: Settings, rng: np.random.Generator) -> None:
    X, _ = trained.rows(200, rng)
    client.post("/ingest/batch", json={"features": X, "labels": [10 * row[0] + 0.5 for row in X]})
    trained.train(app, settings)
    answer = client.post("/predict", json={"features": [[1.0, 0, 0], [-1.0, 0, None]]}).json
    assert "probabilities" not in answer
    assert np.allclose(answer["predictions"], [10.5, -9.5], atol=3)
    assert client.get("/models/1").json["metrics"]["r2"] > 0.8
    assert "probability" not in client.get("/predictions").json["items"][0]
    assert give_feedback(client, answer, [10.25, -7]) == [10.25, -7]
    X, _ = trained.rows(60, rng)
    client.post("/predict", json={"features": X})
    assert client.post("/drift/check").json["verdict"] == "stable"


@pytest.mark.parametrize("database", ["sqlite"])
def test_integers_as_classes_that_are_not_zero_and_one(
    client: FlaskClient, app: Flask, settings: Settings, rng: np.random.Generator
) -> None:
    X, y = trained.rows(150, rng)
    labels = [-3 if row[1] > 1 else 7 * label + 2 for row, label in zip(X, y, strict=True)]
    client.post("/ingest/batch", json={"features": X, "labels": labels})
    trained.train(app, settings)
    answer = client.post("/predict?proba=all", json={"features": [[2, 0, 0], [-2, 0, 0], [0, 2.5, 0]]}).json
    assert answer["classes"] == [-3, 2, 9]
    assert answer["predictions"] == [9, 2, -3]
    assert give_feedback(client, answer, [9, 2, 4]) == [9, 2, 4]


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_quantity_of_whole_numbers(client: FlaskClient, app: Flask, settings: Settings) -> None:
    rows = [[place, place % 7] for place in range(100)]
    client.post("/ingest/batch", json={"features": rows, "labels": [3 * place for place in range(100)]})
    assert client.get("/features/schema").json["target"]["task"] == "regression"
    trained.train(app, settings)
    (value,) = client.post("/predict", json={"features": [[50, 1]]}).json["predictions"]
    assert abs(value - 150) < 20
