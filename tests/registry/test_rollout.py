from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import clock, db, errors
from mlpipe.jobs import leases
from mlpipe.prediction.champion import Champion
from mlpipe.registry import artifacts, preparations, rollout, service, store
from mlpipe.registry.preparations import Answer, Preparation
from mlpipe.settings import Settings
from tests import threads, trained

WISH = Preparation(1, 2, 1, "deploy", "test", "because", None, since=0, until=0)


@pytest.fixture
def versions(trained_app: Flask, trained_settings: Settings) -> Flask:
    """An app with versions 1 (serving), 2 and 3."""
    for number in (2, 3):
        trained.add_version(trained_settings, number)
    return trained_app


def damage(settings: Settings, version: int) -> None:
    (settings.models_folder / str(version) / artifacts.MODEL).write_bytes(b"")


def beat(worker: str, *, ago_s: float = 0.0) -> None:
    """Write that a worker was alive some seconds ago."""
    seen = clock.now_us() - int(ago_s * clock.MICROSECONDS)
    row = {"id": worker, "host": "h", "pid": 1, "started_at": seen, "seen_at": seen}
    with db.transaction() as connection:
        leases.beat(connection, row | {"model_version": 1, "model_revision": 0})


def terms(*looks: Champion, wait_s: float = 0.3) -> rollout.Terms:
    """Return terms under which these workers look; others keep silent."""

    def look() -> None:
        for one in looks:
            one.refresh()

    return rollout.Terms(look=look, wait_s=wait_s)


def worker(settings: Settings, name: str) -> Champion:
    """Return another worker, which serves version 1 and is alive."""
    made = Champion(settings.models_folder)
    made.name = name
    made.refresh()
    beat(name)
    return made


def active() -> int:
    with db.reading() as connection:
        found = store.active(connection)
    assert found is not None
    return found.version


def incidents(client: FlaskClient) -> list[Any]:
    found: list[Any] = client.get("/incidents?state=open").json["items"]
    return [(item["kind"], item["sentence"]) for item in found]


# Whom a deploy waits for ----------------------------------------------------------------------------------------


def test_a_deploy_waits_for_those_who_are_alive_and_have_not_answered() -> None:
    said = [Answer("a", ready=True, reason=None)]
    assert rollout.missing(said, ["a", "b"], WISH) == ["b"]
    assert rollout.missing(said, ["a"], WISH) == []
    assert rollout.missing(said, [], WISH) == []


def test_a_deploy_waits_at_least_for_the_process_that_deploys() -> None:
    assert len(rollout.missing([], [], WISH)) == 1


def test_one_worker_that_cannot_serve_it_stops_a_deploy() -> None:
    said = [Answer("a", ready=True, reason=None), Answer("b", ready=False, reason="sha256 differs")]
    with pytest.raises(errors.DeployFailed, match=r"worker b cannot serve it: sha256 differs"):
        rollout.missing(said, ["a", "b"], WISH)


# Two steps ------------------------------------------------------------------------------------------------------


def test_every_worker_has_loaded_a_version_before_it_serves(versions: Flask, trained_settings: Settings) -> None:
    one, two = worker(trained_settings, "one"), worker(trained_settings, "two")
    loaded = []

    def look() -> None:
        one.refresh()
        two.refresh()
        loaded.append((active(), one._prepared and one._prepared.version, two._prepared and two._prepared.version))

    service.activate(2, by="test", reason="", terms=rollout.Terms(look=look, wait_s=5))
    assert loaded == [(1, 2, 2)]
    assert active() == 2


def test_what_was_prepared_serves_without_being_loaded_again(
    versions: Flask, trained_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = worker(trained_settings, "one")
    generation = service.activate(2, by="test", reason="", terms=terms(one))
    damage(trained_settings, 2)
    assert one.refresh()
    assert one.model is not None
    assert (one.model.version, one.model.generation) == (2, generation)
    assert not one.refresh()
    assert not one.expects


def test_a_damaged_version_is_not_deployed_and_the_old_one_stays(
    versions: Flask, served: FlaskClient, trained_settings: Settings
) -> None:
    damage(trained_settings, 2)
    answer = served.post("/models/2/activate")
    assert (answer.status_code, answer.json["code"], answer.json["version"]) == (409, "deploy_failed", 2)
    assert active() == 1
    assert served.post("/predict", json={"features": [[1, 0, 0]]}).json["model_version"] == 1
    ((kind, sentence),) = incidents(served)
    assert kind == "deploy_failed"
    assert "model.joblib" in sentence
    assert served.get("/ledger?kind=failure").json["items"][0]["model_version"] == 2
    assert len(served.get("/models/history").json["items"]) == 1


def test_the_incident_of_a_failed_deploy_is_over_when_one_succeeds(
    versions: Flask, served: FlaskClient, trained_settings: Settings
) -> None:
    damage(trained_settings, 2)
    served.post("/models/2/activate")
    assert served.post("/models/3/activate").status_code == 200
    assert incidents(served) == []


def test_one_worker_of_two_that_cannot_load_it_stops_the_deploy(
    versions: Flask, trained_settings: Settings, tmp_path: Path
) -> None:
    one, two = worker(trained_settings, "one"), worker(trained_settings, "two")
    two._models = tmp_path  # another host, whose folder is not the same
    with pytest.raises(errors.DeployFailed, match="worker two cannot serve it"):
        service.activate(2, by="test", reason="", terms=terms(one, two))
    assert active() == 1
    one.refresh()
    assert one.model is not None
    assert one.model.version == 1
    assert not one.expects


def test_a_worker_that_does_not_answer_in_time_stops_the_deploy(versions: Flask, trained_settings: Settings) -> None:
    one = worker(trained_settings, "one")
    beat("slow")
    with pytest.raises(errors.DeployFailed, match=r"worker slow was not ready within 0.3 s"):
        service.activate(2, by="test", reason="", terms=terms(one))
    assert active() == 1


def test_a_worker_that_died_does_not_hold_up_a_deploy(versions: Flask, trained_settings: Settings) -> None:
    beat("dead", ago_s=rollout.ALIVE_S + 1)
    service.activate(2, by="test", reason="", terms=terms(worker(trained_settings, "one")))
    assert active() == 2


def test_a_process_without_workers_deploys_what_it_has_tried_itself(versions: Flask, served: FlaskClient) -> None:
    assert served.post("/models/2/activate").json["state"] == "active"
    assert served.post("/predict", json={"features": [[1, 0, 0]]}).json["model_version"] == 2


def test_a_rollback_goes_in_two_steps_too(versions: Flask, served: FlaskClient, trained_settings: Settings) -> None:
    served.post("/models/2/activate")
    damage(trained_settings, 1)
    assert served.post("/models/rollback").json["code"] == "deploy_failed"
    assert active() == 2


# At once --------------------------------------------------------------------------------------------------------


def wish(version: int, *, wait_s: float = 5.0) -> Preparation:
    with db.transaction() as connection:
        return rollout.ask(connection, version, by="test", reason="", wait_s=wait_s)


def test_of_two_deploys_at_once_one_wins_and_the_other_is_told_what_serves(versions: Flask) -> None:
    wish(2)
    with pytest.raises(errors.DeployConflict) as fault:
        wish(3)
    assert fault.value.figures == {"current_version": 1}


def test_deploys_at_once_from_many_sides_stay_linear(versions: Flask, trained_settings: Settings) -> None:
    def work(n: int) -> int:
        mine = Champion(trained_settings.models_folder)
        return service.activate(n % 2 + 2, by="t", reason="", terms=rollout.Terms(look=mine.prepare, wait_s=20))

    results = threads.at_once(versions, work, range(20))
    won = [result for result in results if isinstance(result, int)]
    assert won
    assert all(isinstance(fault, errors.DeployConflict) for fault in threads.faults(results))
    with db.reading() as connection:
        stretches = store.history(connection, limit=100)
        assert preparations.wanted(connection) is None
    assert sorted(won) == sorted(row.id for row in stretches[:-1])
    assert sum(bool(row.open) for row in stretches) == 1


def test_a_deploy_that_was_overtaken_loses(versions: Flask, trained_settings: Settings) -> None:
    made = wish(2)
    trained.activate(3)
    one = worker(trained_settings, "one")
    with pytest.raises(errors.DeployConflict, match="Another deploy won"):
        rollout.carry_out(made, terms(one))
    assert active() == 3


def test_what_a_dead_deployer_left_is_given_up(versions: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    made = wish(2, wait_s=0.0)
    later = clock.now_us() + int((rollout.GRACE_S + 1) * clock.MICROSECONDS)
    monkeypatch.setattr(clock, "now_us", lambda: later)
    with db.reading() as connection:
        assert preparations.wanted(connection) is None
    assert wish(3).model_version == 3
    with pytest.raises(errors.DeployConflict, match="was given up"):
        rollout.carry_out(made, rollout.Terms(look=lambda: _answer(made), wait_s=1))
    assert active() == 1


def _answer(made: Preparation) -> None:
    with db.transaction() as connection:
        preparations.answer(connection, made.id, "one", ready=True)


def test_what_ends_a_wait_from_outside_ends_the_preparation(versions: Flask) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rollout.carry_out(wish(2), rollout.Terms(look=lambda: None, wait_s=5, meanwhile=stop))
    assert wish(3).model_version == 3
