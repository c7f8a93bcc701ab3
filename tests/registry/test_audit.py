from __future__ import annotations

import functools
import json
import shutil

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import errors
from mlpipe.prediction import champion as champions
from mlpipe.registry import artifacts, audit, pruning
from mlpipe.settings import Settings
from tests import trained


def findings(settings: Settings) -> list[tuple[int, str]]:
    try_on = functools.partial(champions.try_on, settings.models_folder)
    return [(one.version, one.code) for one in audit.verify(settings.models_folder, try_on=try_on)[1]]


def command(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=["mlpipe", *arguments])


@pytest.fixture
def other_sklearn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts.sklearn, "__version__", "99.1")


# Verify ---------------------------------------------------------------------------------------------------------


def test_a_whole_registry_has_no_findings(trained_app: Flask, trained_settings: Settings) -> None:
    assert findings(trained_settings) == []
    done = command(trained_app, "verify", "--json")
    assert (done.exit_code, json.loads(done.output)) == (0, {"ok": True, "versions": 1, "findings": []})


def test_each_kind_of_damage_is_found(trained_app: Flask, trained_settings: Settings) -> None:
    for number in range(2, 6):
        trained.add_version(trained_settings, number)
    models = trained_settings.models_folder
    shutil.rmtree(models / "2")
    (models / "3" / artifacts.SMOKE).unlink()
    (models / "4" / artifacts.REFERENCE).write_bytes(b"x")
    (models / "5" / "extra.txt").write_text("x")
    trained.add_folder(trained_settings, 9)
    assert findings(trained_settings) == [
        (2, "missing_folder"),
        (3, "missing_file"),
        (4, "altered_file"),
        (5, "unknown_file"),
        (9, "orphan_folder"),
    ]


def test_a_version_that_serves_and_cannot_be_loaded_is_found(
    trained_app: Flask, trained_settings: Settings, other_sklearn: None
) -> None:
    assert findings(trained_settings) == [(1, "not_loadable")]
    done = command(trained_app, "verify")
    assert done.exit_code == 1
    assert "flask mlpipe accept-versions 1" in done.output
    assert done.output.endswith("1 versions were checked: 1 fault.\n")


def test_pruned_versions_have_no_folder_to_miss(trained_app: Flask, trained_settings: Settings) -> None:
    for number in range(2, 5):
        trained.add_version(trained_settings, number)
    pruning.prune(trained_settings.models_folder, keep=1)
    assert findings(trained_settings) == []
    trained.add_folder(trained_settings, 2)
    assert findings(trained_settings) == [(2, "pruned_folder")]


# Other libraries ------------------------------------------------------------------------------------------------


def test_a_version_of_another_scikit_learn_serves_after_it_was_accepted(
    trained_app: Flask, served: FlaskClient, trained_settings: Settings, other_sklearn: None
) -> None:
    trained.add_version(trained_settings, 2)
    answer = served.post("/models/2/activate")
    assert answer.json["code"] == "deploy_failed"
    assert "flask mlpipe accept-versions 2" in answer.json["detail"]
    done = command(trained_app, "accept-versions", "2")
    assert done.exit_code == 0, done.output
    assert "was accepted under 99.1" in done.output
    assert served.post("/models/2/activate").status_code == 200
    assert served.get("/models/2").json["accepted_libraries"]["scikit-learn"] == "99.1"
    entry = served.get("/ledger?kind=accept").json["items"][0]
    assert (entry["model_version"], entry["evidence"]["here"]["scikit-learn"]) == (2, "99.1")


def test_an_acceptance_counts_for_one_release_alone(
    trained_app: Flask, trained_settings: Settings, other_sklearn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(trained_app, "accept-versions", "1").exit_code == 0
    assert findings(trained_settings) == []
    monkeypatch.setattr(artifacts.sklearn, "__version__", "99.2")
    assert findings(trained_settings) == [(1, "not_loadable")]


def test_a_version_that_answers_otherwise_is_not_accepted(
    trained_app: Flask, served: FlaskClient, other_sklearn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def otherwise(*_: object, **__: object) -> None:
        raise errors.ArtifactCorrupt("Version 1 answers otherwise than when it was registered.")

    monkeypatch.setattr(artifacts, "check_answers", otherwise)
    done = command(trained_app, "accept-versions", "1")
    assert done.exit_code == 1
    assert "answers otherwise" in done.output
    assert served.get("/models/1").json["accepted_libraries"] is None


def test_a_version_of_the_release_that_is_here_needs_no_acceptance(trained_app: Flask, served: FlaskClient) -> None:
    assert "nothing to accept" in command(trained_app, "accept-versions", "1").output
    assert served.get("/ledger?kind=accept").json["items"] == []


def test_a_version_that_is_not_there_cannot_be_accepted(trained_app: Flask) -> None:
    assert command(trained_app, "accept-versions", "7").exit_code == 1
