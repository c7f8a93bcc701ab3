from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe.drift import service
from mlpipe.registry import artifacts
from mlpipe.settings import Settings


@pytest.fixture
def split(
    trained_app: Flask, trained_settings: Settings, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> Settings:
    """Settings that split by a number, on a reference that is long enough to be split."""
    kept = {"X": rng.normal(size=(900, 3)), "scores": rng.dirichlet([1, 1], size=900), "importance": np.ones(3)}
    monkeypatch.setattr(artifacts, "load_reference", lambda *_: kept)
    settings = replace(trained_settings, segments="f1,colour", threshold=20.0)
    trained_app.config["MLPIPE"] = settings
    return settings


def ask(client: FlaskClient, X: np.ndarray) -> list[str]:
    found: list[str] = client.post("/predict", json={"features": X.tolist()}).json["prediction_ids"]
    return found


def parts(report: dict[str, Any]) -> dict[str, Any]:
    return {item["value"]: item for item in report["segments"]["items"]}


def test_a_report_is_split_by_the_declared_columns(
    served: FlaskClient, split: Settings, rng: np.random.Generator
) -> None:
    ask(served, rng.normal(size=(400, 3)))
    report = served.post("/drift/check").json
    assert sum(item["rows"] for item in report["segments"]["items"]) == 400
    assert [item["reference_rows"] for item in report["segments"]["items"]] == [300, 300, 300]
    assert report["segments"]["unknown"] == ["colour"]
    assert "MLPIPE_SEGMENTS names columns that the schema lacks: colour." in report["notes"]
    assert served.get("/drift").json == report


def test_a_drift_of_one_segment_is_a_note_and_changes_no_verdict(
    served: FlaskClient, trained_app: Flask, split: Settings, rng: np.random.Generator
) -> None:
    trained_app.config["MLPIPE"] = replace(split, threshold=2.0, deciding_detectors="ks,chi_square")
    X = rng.normal(size=(600, 3))
    X[X[:, 1] > 0.5, 2] += 3
    ask(served, X)
    report = served.post("/drift/check").json
    above = next(item for value, item in parts(report).items() if value.startswith("above"))
    assert (report["verdict"], above["verdict"]) == ("stable", "drift")
    assert any(note.startswith("Only where f1 = above ") for note in report["notes"])
    assert [job["state"] for job in served.get("/retraining/jobs").json["items"]] == ["done"]


def test_the_weakest_segment_is_found_among_labelled_predictions(
    served: FlaskClient, split: Settings, rng: np.random.Generator
) -> None:
    X = rng.normal(size=(600, 3))
    ids = ask(served, X)
    answers = served.post("/predict", json={"features": X.tolist()}).json["predictions"]
    flipped = (X[:, 1] > 0.5) & (rng.random(600) < 0.6)
    labels = np.where(flipped, 1 - np.array(answers), answers)
    served.post("/feedback", json={"prediction_ids": ids, "labels": labels.tolist()})
    report = served.post("/drift/check").json
    assert report["segments"]["weakest"].startswith("f1 = above ")
    assert report["segments"]["metric"] == "accuracy"
    assert report["segments"]["sentence"] in report["notes"]
    quality = parts(report)[report["segments"]["weakest"].removeprefix("f1 = ")]["quality"]
    assert quality["rows"] == int((X[:, 1] > float(report["segments"]["weakest"].split("above ")[1])).sum())


def test_without_declared_columns_nothing_is_split(served: FlaskClient, rng: np.random.Generator) -> None:
    ask(served, rng.normal(size=(100, 3)))
    report = served.post("/drift/check").json
    assert report["verdict"] in {"stable", "drift"}
    assert report["segments"] is None


def test_a_replay_splits_nothing_and_still_agrees(
    served: FlaskClient, split: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(served, rng.normal(size=(100, 3)))
    served.post("/drift/check")

    def fails(*_: Any, **__: Any) -> Any:
        raise AssertionError("a replay has split a check")

    monkeypatch.setattr(service.splitting, "split", fails)
    assert served.post("/drift/backtest").json["agrees"]
