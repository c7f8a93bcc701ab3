from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import errors
from mlpipe.prediction import champion as champions
from mlpipe.prediction.champion import Champion
from mlpipe.registry import artifacts
from mlpipe.settings import Settings
from tests import threads, trained

ROW = np.array([[1.0, 0.0, 0.0]])


@pytest.fixture
def champion(trained_app: Flask, trained_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Champion:
    """Version 1 serves; version 2 is there and its files can be damaged."""
    monkeypatch.setattr(champions, "RETRY_S", 0.0)
    trained.add_version(trained_settings, 2)
    return trained.champion(trained_app)


def damage(settings: Settings, name: str) -> Path:
    path = settings.models_folder / "2" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def open_incidents(client: FlaskClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/incidents?state=open").json["items"]
    return found


def test_nothing_serves_before_the_first_model(app: Flask) -> None:
    fresh = trained.champion(app)
    assert not fresh.refresh()
    assert fresh.model is None


def test_a_new_generation_is_loaded_once(champion: Champion) -> None:
    before = champion.model
    assert not champion.refresh()
    assert champion.model is before
    generation = trained.activate(2)
    assert champion.refresh()
    assert champion.model is not None
    assert (champion.model.version, champion.model.generation) == (2, generation)
    assert not champion.refresh()


@pytest.mark.parametrize("name", [artifacts.MODEL, artifacts.MANIFEST, artifacts.SMOKE])
def test_a_damaged_file_keeps_the_old_model_and_opens_an_incident(
    champion: Champion, served: FlaskClient, trained_settings: Settings, name: str
) -> None:
    damage(trained_settings, name)
    trained.activate(2)
    assert not champion.refresh()
    assert served.post("/predict", json={"features": ROW.tolist()}).json["model_version"] == 1
    (incident,) = open_incidents(served)
    assert incident["kind"] == "model_load"
    assert "version 1 goes on serving" in incident["sentence"]
    assert name in incident["sentence"]


def test_a_missing_folder_keeps_the_old_model(
    champion: Champion, served: FlaskClient, trained_settings: Settings
) -> None:
    shutil.rmtree(trained_settings.models_folder / "2")
    trained.activate(2)
    assert not champion.refresh()
    assert champion.model is not None
    assert champion.model.version == 1
    assert len(open_incidents(served)) == 1


def test_the_incident_resolves_when_the_file_is_back(
    champion: Champion, served: FlaskClient, trained_settings: Settings
) -> None:
    path = damage(trained_settings, artifacts.MODEL)
    trained.activate(2)
    champion.refresh()
    champion.refresh()
    assert open_incidents(served)[0]["times"] == 2
    shutil.copy(trained_settings.models_folder / "1" / artifacts.MODEL, path)
    assert champion.refresh()
    assert open_incidents(served) == []
    assert served.get("/incidents?state=resolved").json["items"][0]["resolved_at"] is not None


def test_the_incident_resolves_when_the_old_version_is_deployed_again(
    champion: Champion, served: FlaskClient, trained_settings: Settings
) -> None:
    damage(trained_settings, artifacts.MODEL)
    trained.activate(2)
    champion.refresh()
    assert served.post("/models/rollback").status_code == 200
    assert champion.model is not None
    assert champion.model.version == 1
    assert open_incidents(served) == []


def test_a_version_that_failed_is_not_tried_all_the_time(
    champion: Champion, served: FlaskClient, trained_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(champions, "RETRY_S", 60.0)
    damage(trained_settings, artifacts.MODEL)
    trained.activate(2)
    for _ in range(5):
        champion.refresh()
    assert open_incidents(served)[0]["times"] == 1


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_an_altered_file_is_never_unpickled(
    champion: Champion, served: FlaskClient, trained_settings: Settings, tmp_path: Path
) -> None:
    planted = trained_settings.models_folder / "2" / artifacts.MODEL
    planted.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    trained.activate(2)
    champion.refresh()
    answer = served.post("/predict", json={"features": ROW.tolist(), "version": 2})
    assert answer.status_code == 503
    assert answer.json["code"] == "artifact_corrupt"
    assert answer.headers["Retry-After"]
    assert not (tmp_path / "exploded").exists()


def test_a_model_that_answers_otherwise_than_registered_is_not_served(
    champion: Champion, trained_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = artifacts.load

    def other_answers(*args: Any, **options: Any) -> artifacts.Contents:
        found = load(*args, **options)
        return artifacts.Contents(found.estimator, found.manifest, found.smoke_X, 1 - found.smoke_scores)

    monkeypatch.setattr(artifacts, "load", other_answers)
    with pytest.raises(errors.ArtifactCorrupt, match="answers otherwise"):
        champion.version(2)


def test_another_scikit_learn_is_refused(
    champion: Champion, served: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts.sklearn, "__version__", "0.1")
    trained.activate(2)
    assert not champion.refresh()
    assert "Install that release" in open_incidents(served)[0]["sentence"]


def test_a_first_model_that_is_damaged_leaves_nothing_serving(trained_app: Flask, trained_settings: Settings) -> None:
    path = trained_settings.models_folder / "1" / artifacts.MODEL
    path.write_bytes(b"")
    fresh = Champion(trained_settings.models_folder)
    assert not fresh.refresh()
    assert fresh.model is None


def test_a_grown_schema_reaches_the_loaded_model(champion: Champion, served: FlaskClient) -> None:
    before = champion.model
    served.put("/features/schema", json={})
    assert not champion.refresh()
    assert before is not None
    assert champion.model is not None
    assert champion.model.schema.version == 2
    assert champion.model.score is before.score


def test_only_the_newest_of_other_versions_are_kept(champion: Champion, trained_settings: Settings) -> None:
    for number in range(3, 9):
        trained.add_version(trained_settings, number)
    for number in range(2, 9):
        assert champion.version(number).version == number
    assert len(champion._others) == champions.KEPT_VERSIONS


def test_every_answer_during_a_swap_comes_from_one_whole_model(
    champion: Champion, trained_app: Flask, trained_settings: Settings
) -> None:
    def work(n: int) -> list[Any]:
        client = trained_app.test_client()
        if n == 0:
            return [(trained.activate(place % 2 + 1), champion.refresh()) for place in range(1, 12)]
        return [client.post("/predict", json={"features": ROW.tolist()}) for _ in range(15)]

    swaps, *answers = threads.at_once(trained_app, work, range(5))
    assert len(swaps) == 11
    assert {answer.status_code for part in answers for answer in part} == {200}
    assert {answer.json["model_version"] for part in answers for answer in part} <= {1, 2}
