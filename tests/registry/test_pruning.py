from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import db, errors
from mlpipe.registry import pruning, rollout, service, store
from mlpipe.settings import Settings
from tests import trained

N = 12


@pytest.fixture
def versions(trained_app: Flask, trained_settings: Settings) -> Settings:
    """Versions 1 (serving) to 12."""
    for number in range(2, N + 1):
        trained.add_version(trained_settings, number)
    return trained_settings


def folders(settings: Settings) -> set[int]:
    return {int(path.name) for path in settings.models_folder.glob("[0-9]*")}


def test_the_newest_and_what_serves_keep_their_files(versions: Settings, served: FlaskClient) -> None:
    assert pruning.prune(versions.models_folder, keep=3) == list(range(2, 10))
    assert folders(versions) == {1, 10, 11, 12}
    assert pruning.prune(versions.models_folder, keep=3) == []
    assert served.get("/models/5").json["state"] == "pruned"
    assert "(2, 3, 4, 5, 6, 7, 8, 9)" in served.get("/ledger?kind=prune").json["items"][0]["sentence"]


def test_what_may_be_gone_back_to_is_proposed_or_has_a_name_keeps_its_files(
    versions: Settings, served: FlaskClient
) -> None:
    for number in (2, 3, 4, 5, 6, 7):
        trained.activate(number)
    with db.transaction() as connection:
        store.set_state(connection, 9, store.PROPOSED)
    assert served.put("/models/aliases/audit", json={"version": 8}).status_code == 200
    assert pruning.prune(versions.models_folder, keep=1) == [1, 2, 10, 11]
    for expected in (6, 5, 4, 3):
        assert service.rollback(by="test", reason="")[0] == expected


def test_what_a_second_chain_of_rollbacks_reaches_stays(versions: Settings) -> None:
    for number in range(2, 9):
        trained.activate(number)
    for _ in range(5):
        service.rollback(by="test", reason="")
    pruning.prune(versions.models_folder, keep=1)
    assert 2 in folders(versions)
    assert service.rollback(by="test", reason="")[0] == 2


def test_a_pruned_version_says_that_it_is(versions: Settings, served: FlaskClient) -> None:
    pruning.prune(versions.models_folder, keep=3)
    for path in ("/models/4/activate", "/models/4/approve"):
        assert served.post(path).status_code in {409, 410}
    answer = served.post("/models/4/activate")
    assert (answer.status_code, answer.json["code"], answer.json["version"]) == (410, "version_pruned", 4)
    answer = served.post("/predict", json={"features": [[1, 0, 0]], "version": 4})
    assert (answer.status_code, answer.json["code"]) == (410, "version_pruned")
    assert served.put("/models/aliases/old", json={"version": 4}).status_code == 410


def test_what_is_being_prepared_is_not_pruned(versions: Settings) -> None:
    with db.transaction() as connection:
        rollout.ask(connection, 4, by="test", reason="", wait_s=5)
    assert 4 not in pruning.prune(versions.models_folder, keep=1)
    assert 4 in folders(versions)


def test_a_folder_that_a_crash_left_is_removed_by_the_next(versions: Settings) -> None:
    pruning.prune(versions.models_folder, keep=3)
    trained.add_folder(versions, 4)
    assert pruning.prune(versions.models_folder, keep=3) == []
    assert 4 not in folders(versions)


def test_a_version_is_either_pruned_or_deployed_at_one_moment(versions: Settings, trained_app: Flask) -> None:
    asked, told = threading.Event(), []

    def deploy() -> None:
        with trained_app.app_context():
            asked.wait(10)
            try:
                told.append(trained.activate(4))
            except errors.VersionPruned as fault:
                told.append(fault)

    thread = threading.Thread(target=deploy)
    thread.start()
    with db.transaction() as connection:
        chosen = pruning._choose(connection, 1)
        asked.set()
        thread.join(0.3)  # it waits for the row that is held
        for version in chosen:
            store.set_state(connection, version, store.PRUNED)
    thread.join()
    assert 4 in chosen
    outcome: Any = told[0]
    assert isinstance(outcome, errors.VersionPruned)
