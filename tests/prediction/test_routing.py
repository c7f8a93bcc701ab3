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
from mlpipe.prediction import routes, routing, shadow, store
from mlpipe.registry import store as versions
from mlpipe.settings import Settings
from tests import trained


@pytest.fixture(autouse=True)
def two_versions(trained_settings: Settings, trained_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    trained.sabotage(trained_settings, 2)
    monkeypatch.setattr(shadow, "SETTLED_S", 0.0)


def put(client: FlaskClient, **members: Any) -> Any:
    return client.put("/models/routes", json={"version": 2, "route": "canary"} | members)


def predict(client: FlaskClient, n: int = 1, **members: Any) -> Any:
    return client.post("/predict", json={"features": [[1.0, 2.0, 3.0]] * n} | members).json


def router(app: Flask) -> routing.Router:
    found: routing.Router = app.extensions[routes.ROUTER]
    return found


def kinds() -> set[str]:
    with db.reading() as connection:
        return {row.kind for row in incidents.open_ones(connection)}


def test_a_canary_answers_its_share_and_keeps_to_its_entities(served: FlaskClient) -> None:
    assert put(served, share=0.5).json["open"]
    first = {name: predict(served, entity_id=f"meter {name}")["model_version"] for name in range(40)}
    again = {name: predict(served, entity_id=f"meter {name}")["model_version"] for name in range(40)}
    assert first == again
    assert 8 < sum(version == 2 for version in first.values()) < 32


def test_the_entity_may_stand_in_the_header_or_be_the_request(served: FlaskClient) -> None:
    put(served, share=0.5)
    for header, member in (({"X-Entity-ID": "m7"}, {}), ({"X-Entity-ID": "other"}, {"entity_id": "m7"})):
        body = {"features": [[1.0, 2.0, 3.0]]} | member
        found = {served.post("/predict", json=body, headers=header).json["model_version"] for _ in range(5)}
        assert found == {predict(served, entity_id="m7")["model_version"]}
    assert {predict(served)["model_version"] for _ in range(40)} == {1, 2}


def test_answers_are_logged_with_their_route(served: FlaskClient) -> None:
    put(served, share=1)
    assert predict(served)["model_version"] == 2
    served.delete("/models/routes/2")
    assert predict(served)["model_version"] == 1
    assert predict(served, version=2)["model_version"] == 2
    assert [item["route"] for item in served.get("/predictions").json["items"]] == ["asked", "champion", "canary"]


def test_a_canary_that_raises_is_taken_off_and_the_champion_answers(served: FlaskClient, trained_app: Flask) -> None:
    put(served, share=1)
    broken = router(trained_app)
    assert broken.canary is not None

    def fail(_: Any) -> Any:
        raise FloatingPointError("no number")

    broken.canary = replace(broken.canary, model=replace(broken.canary.model, score=fail))
    assert predict(served)["model_version"] == 1
    assert broken.canary is None
    assert "route_failed" in kinds()
    assert served.get("/models/routes").json["items"][0]["open"] is False


def test_a_canary_that_cannot_be_loaded_is_taken_off(served: FlaskClient, trained_settings: Settings) -> None:
    (trained_settings.models_folder / "2" / "model.joblib").write_bytes(b"damaged")
    put(served, share=1)
    assert predict(served)["model_version"] == 1
    assert "route_failed" in kinds()


def test_a_champion_that_raises_is_helped_out_by_the_version_before(served: FlaskClient, trained_app: Flask) -> None:
    trained.activate(2)
    champion = trained.champion(trained_app)
    champion.refresh()

    def fail(_: Any) -> Any:
        raise FloatingPointError("no number")

    champion._model = replace(champion._model, score=fail)  # type: ignore[type-var]
    assert predict(served)["model_version"] == 1
    assert predict(served)["model_version"] == 1
    with db.reading() as connection:
        found = [row.evidence for row in incidents.open_ones(connection) if row.kind == "answers_fail"]
    assert found == [{"version": 2, "failures": 2}]
    assert served.get("/predictions").json["items"][0]["route"] == "fallback"


def test_only_one_version_is_the_canary(served: FlaskClient, trained_settings: Settings) -> None:
    trained.add_version(trained_settings, 3)
    assert put(served).status_code == 200
    refused = put(served, version=3)
    assert (refused.status_code, refused.json["code"]) == (409, "deploy_conflict")
    assert put(served, version=3, route="shadow").status_code == 200
    assert put(served, version=1).status_code == 409
    assert put(served, version=9).status_code == 404


def test_a_second_route_of_a_version_ends_the_first(served: FlaskClient) -> None:
    put(served)
    put(served, route="shadow", share=0.5)
    shown = [(row["route"], row["open"]) for row in served.get("/models/routes").json["items"]]
    assert shown == [("shadow", True), ("canary", False)]
    with db.reading() as connection:
        sentence = ledger.entries(connection, limit=1, kind="route")[0].sentence
    assert "scores 50% in the shadow beside version 1 instead of being the canary" in sentence


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"version": None}, "/version"),
        ({"version": 2.5}, "/version"),
        ({"route": "champion"}, "/route"),
        ({"share": 0}, "/share"),
        ({"share": 1.1}, "/share"),
        ({"share": True}, "/share"),
        ({"more": 1}, "/more"),
    ],
)
def test_what_is_no_route_is_refused_and_changes_nothing(served: FlaskClient, members: Any, pointer: str) -> None:
    answer = put(served, **members)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == pointer
    assert served.get("/models/routes").json["items"] == []


@pytest.mark.parametrize("entity", ["", 1.5, True, ["a"], "a\nb"])
def test_what_is_no_entity_is_refused(served: FlaskClient, entity: Any) -> None:
    answer = served.post("/predict", json={"features": [[1.0, 2.0, 3.0]], "entity_id": entity})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/entity_id"


def test_a_route_that_is_not_there_cannot_be_stopped(served: FlaskClient) -> None:
    assert served.delete("/models/routes/2").status_code == 404


# Shadow ---------------------------------------------------------------------------------------------------------


def test_a_shadow_scores_what_was_answered_and_counts_as_no_traffic(served: FlaskClient, trained_app: Flask) -> None:
    predict(served, 2)
    put(served, route="shadow")
    answer = predict(served, 3)
    named = predict(served, version=2)
    assert shadow.step(trained.champion(trained_app)) == 3
    assert shadow.step(trained.champion(trained_app)) == 0
    seen = served.get(f"/predictions/{answer['prediction_ids'][1]}").json["shadows"]
    assert [(row["model_version"], row["prediction"]) for row in seen] == [(2, 1 - answer["predictions"][1])]
    with db.reading() as connection:
        shadows = store.newest(connection)
        assert shadows == int(named["prediction_ids"][0].split("-")[0]) + 1
        assert store.count_since(connection, 2, 0, enough=99) == 1  # the row that named it
        window = store.window(connection, 2, 99)
        assert window is not None
        assert len(window.X) == 1
        assert store.logged(connection, [shadows]) == {}
    assert len(served.get("/predictions").json["items"]) == 6
    assert served.get(f"/predictions/{shadows}-0").status_code == 404
    label = served.post("/feedback", json={"prediction_ids": [f"{shadows}-0"], "labels": [1]}).json
    assert label["parked"] == 1


def test_a_shadow_takes_requests_in_steps(
    served: FlaskClient, trained_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "STEP_ROWS", 4)
    put(served, route="shadow")
    for n in (3, 2, 7, 1):
        predict(served, n)
    steps = [shadow.step(trained.champion(trained_app)) for _ in range(5)]
    assert steps == [3, 2, 7, 1, 0]


def test_a_shadow_far_behind_leaves_out_and_counts(
    served: FlaskClient, trained_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "BEHIND_REQUESTS", 4)
    put(served, route="shadow")
    for _ in range(6):
        predict(served)
    found = [shadow.step(trained.champion(trained_app)) for _ in range(3)]
    assert found == [0, 4, 0]
    assert served.get("/models/routes").json["items"][0]["skipped_requests"] == 2


def test_two_leaders_score_each_request_once(served: FlaskClient, trained_app: Flask) -> None:
    put(served, route="shadow")
    predict(served, 2)
    with db.reading() as connection:
        route = shadow.routed.open_routes(connection)[0]
    champion = trained.champion(trained_app)
    assert [shadow._step(route, champion), shadow._step(route, champion)] == [2, 0]


def test_a_shadow_that_fails_is_stopped_and_told(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings
) -> None:
    (trained_settings.models_folder / "2" / "model.joblib").write_bytes(b"damaged")
    put(served, route="shadow")
    predict(served)
    assert shadow.step(trained.champion(trained_app)) == 0
    assert "route_failed" in kinds()
    with db.reading() as connection:
        assert shadow.routed.open_routes(connection) == []
        assert versions.active(connection).version == 1  # type: ignore[union-attr]


# Comparing ------------------------------------------------------------------------------------------------------


def labelled(client: FlaskClient, rng: np.random.Generator, n: int, **members: Any) -> None:
    X, y = trained.rows(n, rng)
    ids = client.post("/predict", json={"features": X} | members).json["prediction_ids"]
    assert client.post("/feedback", json={"prediction_ids": ids, "labels": y}).json["matched"] == n


def test_a_shadow_is_compared_on_the_same_rows(
    served: FlaskClient, trained_app: Flask, rng: np.random.Generator
) -> None:
    put(served, route="shadow")
    assert served.get("/models/comparisons").json["items"][0]["sentence"] == "Too few labels to compare."
    labelled(served, rng, 60)
    predict(served, 5)
    shadow.step(trained.champion(trained_app))
    found = served.get("/models/comparisons").json["items"][0]
    assert (found["route"], found["basis"], found["rows"], found["labelled"]) == ("shadow", "the same rows", 65, 60)
    assert 0 < found["low"] < found["difference"] < found["high"]
    assert found["difference"] == pytest.approx(found["version_loss"] - found["champion_loss"])
    assert found["sentence"].startswith("The version is worse")


def test_a_canary_is_compared_by_groups(served: FlaskClient, rng: np.random.Generator) -> None:
    put(served, share=0.5)
    for _ in range(30):
        labelled(served, rng, 10)
    found = served.get("/models/comparisons").json["items"][0]
    assert found["labelled"] + found["champion_labelled"] == 300
    assert (found["rows"], found["champion_rows"]) == (found["labelled"], found["champion_labelled"])
    assert 0 < found["low"] < found["high"]
    assert found["basis"] == "groups of callers"
