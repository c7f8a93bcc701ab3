from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import db
from mlpipe.incidents import store as incidents
from mlpipe.jobs import ledger
from mlpipe.jobs import store as jobs
from mlpipe.prediction import routed, shadow
from mlpipe.registry import store as versions
from mlpipe.retraining import asking, probations
from mlpipe.settings import Settings
from tests import trained


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "SETTLED_S", 0.0)


def deploy(app: Flask, number: int) -> None:
    trained.activate(number)
    assert trained.champion(app).refresh()


def watch(app: Flask, settings: Settings, **values: Any) -> probations.Watch:
    """Do what the leader does: twice, so that the probation is open and has its first look."""
    made = probations.Watch(trained.champion(app), replace(settings, **values))
    made.step()
    look(app, made)
    return made


def look(app: Flask, made: probations.Watch) -> None:
    shadow.step(trained.champion(app))
    made.step()


def ask(client: FlaskClient, rng: np.random.Generator, n: int, *, labels: bool = True) -> None:
    X, y = trained.rows(n, rng)
    ids = client.post("/predict", json={"features": X}).json["prediction_ids"]
    if labels:
        client.post("/feedback", json={"prediction_ids": ids, "labels": y})


def state(client: FlaskClient) -> list[tuple[int, str]]:
    return [(row["model_version"], row["state"]) for row in client.get("/models/probations").json["items"]]


def active() -> int:
    with db.reading() as connection:
        found = versions.active(connection)
    assert found is not None
    return found.version


def test_a_sabotaged_version_is_rolled_back_by_its_labels(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    trained.sabotage(trained_settings, 2)
    deploy(trained_app, 2)
    made = watch(trained_app, trained_settings)
    assert state(served) == [(2, "open")]
    ask(served, rng, 100)
    look(trained_app, made)
    assert (active(), state(served)) == (1, [(2, "rolled_back")])
    history = served.get("/models/history").json["items"]
    assert [(row["version"], row["kind"], row["by"]) for row in history[:2]] == [
        (1, "rollback", "probation"),
        (2, "deploy", "test"),
    ]
    assert "Its answers are worse on the same rows" in history[0]["reason"]
    assert history[1]["reason"] == "because"
    with db.reading() as connection:
        told = {row.kind: row.evidence for row in incidents.open_ones(connection)}["rolled_back"]
        said = [row.sentence for row in ledger.entries(connection, limit=9, kind="probation")]
        assert routed.open_routes(connection) == []
    assert (told["version"], told["rival"], told["because"], told["n_labelled"]) == (2, 1, "quality", 100)
    assert [
        words in sentence for words, sentence in zip(("was rolled back", "is on probation"), said, strict=True)
    ] == [
        True,
        True,
    ]


def test_a_sabotaged_version_is_rolled_back_without_any_label(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    trained.sabotage(trained_settings, 2)
    deploy(trained_app, 2)
    ask(served, rng, 250, labels=False)
    watch(trained_app, trained_settings)
    assert active() == 1
    found = served.get("/models/probations").json["items"][0]
    assert (found["state"], found["figures"]["because"], found["figures"]["n_labelled"]) == ("rolled_back", "jump", 0)


def kinds() -> dict[str, Any]:
    with db.reading() as connection:
        return {row.kind: row for row in incidents.open_ones(connection)}


@pytest.mark.parametrize("by", ["setting", "person"])
def test_what_is_frozen_is_not_rolled_back_but_people_are_told(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator, by: str
) -> None:
    trained.sabotage(trained_settings, 2)
    deploy(trained_app, 2)
    if by == "person":
        assert served.post("/models/freeze", json={"reason": "Holidays."}).status_code == 200
    made = watch(trained_app, trained_settings, deploy="freeze" if by == "setting" else "auto")
    ask(served, rng, 100)
    look(trained_app, made)
    made.step()
    assert (active(), state(served)) == (2, [(2, "open")])
    held = kinds()["rollback_held"]
    assert held.sentence.startswith("Version 2 would be rolled back to version 1, but what serves is frozen")
    assert (held.evidence["because"], held.times) == ("quality", 1)
    with db.reading() as connection:
        said = ledger.entries(connection, limit=9, kind="probation")
    assert [row.sentence == held.sentence for row in said] == [True, False]


def test_a_held_rollback_is_made_up_for_when_what_serves_is_frozen_no_more(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    trained.sabotage(trained_settings, 2)
    deploy(trained_app, 2)
    served.post("/models/freeze", json={})
    made = watch(trained_app, trained_settings)
    ask(served, rng, 100)
    look(trained_app, made)
    assert active() == 2
    served.post("/models/unfreeze", json={})
    made.step()
    assert (active(), state(served)) == (1, [(2, "rolled_back")])
    assert set(kinds()) == {"rolled_back"}


def test_a_rollback_by_hand_ends_what_is_held(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    trained.sabotage(trained_settings, 2)
    deploy(trained_app, 2)
    made = watch(trained_app, trained_settings, deploy="freeze")
    ask(served, rng, 100)
    look(trained_app, made)
    trained.activate(1)
    trained.champion(trained_app).refresh()
    made.step()
    assert (state(served)[-1], "rollback_held" in kinds()) == ((2, "ended"), False)


def test_a_rollback_needs_no_approval_where_deploys_do(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    trained.sabotage(trained_settings, 2)
    deploy(trained_app, 2)
    made = watch(trained_app, trained_settings, deploy="propose")
    ask(served, rng, 100)
    look(trained_app, made)
    assert active() == 1


def test_an_equal_version_passes(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    trained.add_version(trained_settings, 2)
    deploy(trained_app, 2)
    made = watch(trained_app, trained_settings, probation_rows=300)
    ask(served, rng, 290)
    look(trained_app, made)
    assert state(served) == [(2, "open")]
    ask(served, rng, 10)
    look(trained_app, made)
    assert (active(), state(served)) == (2, [(2, "passed")])
    look(trained_app, made)
    assert len(state(served)) == 1
    with db.reading() as connection:
        assert routed.open_routes(connection) == []
        assert incidents.open_ones(connection) == []


def test_another_leader_goes_on(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    trained.sabotage(trained_settings, 2)
    deploy(trained_app, 2)
    watch(trained_app, trained_settings)
    ask(served, rng, 100)
    shadow.step(trained.champion(trained_app))
    probations.Watch(trained.champion(trained_app), trained_settings).step()
    assert active() == 1


def test_requests_that_fail_roll_back(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    trained.add_version(trained_settings, 2)
    deploy(trained_app, 2)
    champion = trained.champion(trained_app)
    whole = champion.model
    assert whole is not None

    def fail(_: Any) -> Any:
        raise FloatingPointError("no number")

    champion._model = replace(whole, score=fail)
    for _ in range(3):
        ask(served, rng, 1)
    made = watch(trained_app, trained_settings)
    assert active() == 1
    assert "It failed with 3 requests" in served.get("/models/history").json["items"][0]["reason"]
    made.step()
    with db.reading() as connection:
        assert {row.kind for row in incidents.open_ones(connection)} == {"rolled_back"}


def test_a_version_that_is_too_slow_is_rolled_back(
    served: FlaskClient,
    trained_app: Flask,
    trained_settings: Settings,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained.add_version(trained_settings, 2)
    deploy(trained_app, 2)
    for _ in range(12):
        ask(served, rng, 1)
    monkeypatch.setattr(probations, "_seconds", lambda model, _: 0.2 if model.version == 2 else 0.001)
    watch(trained_app, trained_settings)
    assert active() == 1
    assert served.get("/models/probations").json["items"][0]["figures"]["because"] == "latency"


def test_a_rollback_by_hand_ends_the_probation_and_begins_none(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings
) -> None:
    trained.add_version(trained_settings, 2)
    deploy(trained_app, 2)
    made = watch(trained_app, trained_settings)
    assert served.post("/models/rollback").status_code == 200
    look(trained_app, made)
    look(trained_app, made)
    assert state(served) == [(2, "ended")]


def test_a_probation_without_its_shadow_ends(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings
) -> None:
    trained.add_version(trained_settings, 2)
    deploy(trained_app, 2)
    made = watch(trained_app, trained_settings)
    assert served.delete("/models/routes/1").status_code == 200
    look(trained_app, made)
    assert (active(), state(served)) == (2, [(2, "ended")])


def test_probations_can_be_switched_off(served: FlaskClient, trained_app: Flask, trained_settings: Settings) -> None:
    trained.add_version(trained_settings, 2)
    deploy(trained_app, 2)
    watch(trained_app, trained_settings, probation_rows=0)
    assert state(served) == []


def test_the_first_model_and_an_old_deployment_are_not_tried(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(trained_app, trained_settings)
    assert state(served) == []
    trained.add_version(trained_settings, 2)
    deploy(trained_app, 2)
    monkeypatch.setattr(probations, "LATE_US", 0)
    watch(trained_app, trained_settings)
    assert state(served) == []


def test_after_a_rollback_only_new_labels_are_a_reason_to_retrain(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    trained.sabotage(trained_settings, 2)
    deploy(trained_app, 2)
    made = watch(trained_app, trained_settings)
    ask(served, rng, 100)
    look(trained_app, made)
    job = jobs.Job(9, "retraining", "queued", "drift", {}, created_at=0, attempts=0)
    with db.reading() as connection:
        assert asking.new_labels(connection, job, trained_settings) == (0, 60)
        assert asking.new_labels(connection, replace(job, evidence={"asked": True}), trained_settings) == (50, 50)
    trained.ingest(served, 60, rng)
    with db.reading() as connection:
        assert asking.new_labels(connection, job, trained_settings) == (60, 60)
    made.step()
    with db.reading() as connection:
        assert incidents.open_ones(connection) == []


def test_a_canary_that_becomes_the_champion_is_a_canary_no_more(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings
) -> None:
    trained.add_version(trained_settings, 2)
    assert served.put("/models/routes", json={"version": 2, "route": "canary", "share": 0.5}).status_code == 200
    deploy(trained_app, 2)
    watch(trained_app, trained_settings)
    shown = [(row["version"], row["route"], row["open"]) for row in served.get("/models/routes").json["items"]]
    assert shown == [(1, "shadow", True), (2, "canary", False)]
