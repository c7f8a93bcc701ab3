"""MLflow away, MLflow gone in the middle, MLflow back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import requests
from flask import Flask

from mlpipe import clock, db
from mlpipe.incidents import message
from mlpipe.jobs import ledger
from mlpipe.mlflow import service
from mlpipe.registry import service as registry
from mlpipe.settings import Settings
from tests.mlflow.relay import Relay
from tests.trained import activate, add_version


@pytest.fixture
def named(trained_settings: Settings, relay: Relay, request: pytest.FixtureRequest) -> Settings:
    """Settings with a server between, under a name that no other test has."""
    name = request.node.name.replace("[", "-").replace("]", "")
    return replace(trained_settings, mlflow_tracking_uri=relay.url, model_name=name)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message, "pause_s", lambda _attempts: 0)


def aliases(url: str, name: str) -> dict[str, str]:
    """Return alias -> number of the version in mlpipe."""
    found = ask(url, "registered-models/get", name=name)["registered_model"]
    meant = {one["alias"]: one["version"] for one in found["aliases"]}
    return {alias: own_number(ask(url, "model-versions/get", name=name, version=v)) for alias, v in meant.items()}


def own_number(answer: dict[str, Any]) -> str:
    return next(tag["value"] for tag in answer["model_version"]["tags"] if tag["key"] == "mlpipe.version")


def ask(url: str, path: str, **query: str) -> dict[str, Any]:
    answer = requests.get(f"{url}/api/2.0/mlflow/{path}", params=query, timeout=30)
    assert answer.ok, answer.text
    found: dict[str, Any] = answer.json()
    return found


def of_model(url: str, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(url, "model-versions/search", filter=f"name='{name}'").get("model_versions", [])
    return found


def test_without_an_address_nothing_is_told(trained_app: Flask, trained_settings: Settings) -> None:
    assert service.tell(trained_settings) == 0
    assert "mlflow" not in trained_app.test_client().get("/health").json["components"]


def test_aliases_follow_deploys_and_rollbacks(trained_app: Flask, named: Settings, mlflow_url: str) -> None:
    assert service.health(named)[0] == "waiting"
    assert service.tell(named) == 2
    assert aliases(mlflow_url, named.model_name) == {"champion": "1"}
    add_version(named, 2)
    activate(2)
    assert service.tell(named) == 2
    assert aliases(mlflow_url, named.model_name) == {"champion": "2", "previous": "1"}
    registry.rollback(by="test", reason="worse")
    assert service.tell(named) == 1
    assert aliases(mlflow_url, named.model_name) == {"champion": "1", "previous": "2"}
    assert (service.tell(named), service.health(named)[0]) == (0, "ok")


def test_what_was_deployed_while_mlflow_was_away_is_told_when_it_is_back(
    trained_app: Flask, named: Settings, relay: Relay, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.admits = 0
    add_version(named, 2)
    activate(2)
    assert service.tell(named) == 0
    status, sentence = service.health(named)
    assert status == "degraded"
    assert sentence.startswith("2 versions and the alias champion to be told to MLflow")
    assert "try 1" in sentence
    assert service.tell(named) == 0
    assert relay.n_asked == 1, "it waits before it tries again"
    relay.admits = math.inf
    now = clock.now_us()
    monkeypatch.setattr(clock, "now_us", lambda: now + 6 * clock.MICROSECONDS)
    assert service.tell(named) == 3
    assert aliases(mlflow_url, named.model_name) == {"champion": "2", "previous": "1"}
    with db.reading() as connection:
        told = [entry for entry in ledger.entries(connection, limit=50) if "MLflow" in entry.sentence]
    assert [entry.kind for entry in reversed(told)] == ["failure", "mlflow", "mlflow", "mlflow"]


@pytest.mark.usefixtures("at_once")
def test_a_break_at_any_place_makes_nothing_twice(
    trained_app: Flask, named: Settings, relay: Relay, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for admitted in range(30):
        relay.admits = admitted
        service.tell(named)
        if service.health(named)[0] == "ok":
            break
    assert admitted > 8, "each break came one request later"
    assert len(of_model(mlflow_url, named.model_name)) == 1
    experiment = ask(mlflow_url, "experiments/get-by-name", experiment_name=named.model_name)["experiment"]
    body = {"experiment_ids": [experiment["experiment_id"]]}
    runs = requests.post(f"{mlflow_url}/api/2.0/mlflow/runs/search", json=body, timeout=30).json()["runs"]
    assert len(runs) == 1


@pytest.mark.usefixtures("at_once")
def test_an_answer_that_was_lost_makes_nothing_twice(
    trained_app: Flask, named: Settings, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_args: Any, **_values: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(service.store, "add_version", crash)
        with pytest.raises(KeyboardInterrupt):
            service.tell(named)
    now = clock.now_us()
    monkeypatch.setattr(clock, "now_us", lambda: now + 6 * clock.MICROSECONDS)
    assert service.tell(named) == 2
    assert len(of_model(mlflow_url, named.model_name)) == 1


def test_a_damaged_version_is_left_out_and_said(trained_app: Flask, named: Settings, mlflow_url: str) -> None:
    (named.models_folder / "1" / "model.joblib").write_bytes(b"other")
    assert service.tell(named) == 2
    status, sentence = service.health(named)
    assert (status, "sha256" in sentence) == ("degraded", True)
    assert of_model(mlflow_url, named.model_name) == []
