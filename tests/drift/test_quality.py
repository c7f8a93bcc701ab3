from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import clock, db
from mlpipe.drift import hours, realised, service
from mlpipe.drift import quality as quality_tests
from mlpipe.registry import artifacts
from mlpipe.registry import store as versions
from mlpipe.registry.tables import model_versions
from mlpipe.settings import Settings
from tests import threads, trained

HOUR = hours.HOUR_US
NOON = 1_780_000_000_000_000 // HOUR * HOUR
"""Beginning of an hour in 2026."""


@pytest.fixture
def monitor(trained_app: Flask) -> service.Monitor:
    found: service.Monitor = trained_app.extensions["mlpipe.monitor"]
    return found


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the clock to some hours after noon."""

    def set_clock(after: float) -> None:
        monkeypatch.setattr(clock, "now_us", lambda: NOON + int(after * HOUR))

    set_clock(0)
    return set_clock


def ask(client: FlaskClient, n: int, rng: np.random.Generator) -> tuple[list[str], list[int]]:
    """Let some rows be predicted; return their ids and what is true of them."""
    X, y = trained.rows(n, rng)
    return client.post("/predict", json={"features": X}).json["prediction_ids"], y


def tell(client: FlaskClient, ids: list[str], labels: list[Any]) -> dict[str, int]:
    found: dict[str, int] = client.post("/feedback", json={"prediction_ids": ids, "labels": labels}).json
    return found


def answered(client: FlaskClient, n: int, rng: np.random.Generator, *, wrong: float = 0.0) -> None:
    """Let rows be predicted and labelled, some of them with the other class."""
    ids, y = ask(client, n, rng)
    tell(client, ids, [1 - label if rng.random() < wrong else label for label in y])


def check(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.post("/drift/check").json["quality"]
    return found


def quality(client: FlaskClient, query: str = "") -> dict[str, Any]:
    answer = client.get(f"/quality{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


# Hours ----------------------------------------------------------------------------------------------------------


def test_before_the_first_model_there_is_no_quality(client: FlaskClient) -> None:
    found = client.get("/quality").json
    assert (found["task"], found["items"], found["next"]) == (None, [], None)
    assert found["change"]["verdict"] == "waiting_for_labels"
    assert client.get("/quality/checks").json == {"items": [], "next": None}
    assert check(client)["verdict"] == "waiting_for_labels"


def test_predictions_without_labels_have_an_estimate(served: FlaskClient, rng: np.random.Generator) -> None:
    ask(served, 60, rng)
    found = quality(served)
    (item,) = found["items"]
    assert (item["predicted"], item["labelled"], item["coverage"], item["accuracy"]) == (60, 0, 0.0, None)
    assert (item["low"], item["high"], item["model_versions"], item["partial"]) == (None, None, [1], False)
    assert 0.8 < item["expected_accuracy"] <= 1
    assert item["expected_rows"] == 60
    assert found["estimate"]["available"]
    assert found["estimate"]["trustworthy"] is None
    assert found["estimate"]["sentence"].startswith("Not checked yet")


def test_late_and_corrected_labels_move_the_hour_of_the_prediction(
    served: FlaskClient, at: Any, rng: np.random.Generator
) -> None:
    at(0.5)
    ids, y = ask(served, 40, rng)
    at(1.2)
    ask(served, 10, rng)
    before = quality(served)["items"]
    at(20)
    tell(served, ids[:20], y[:20])
    late = quality(served)["items"]
    assert [(item["hour"], item["labelled"], item["predicted"]) for item in late] == [
        (clock.iso(NOON + HOUR), 0, 10),
        (clock.iso(NOON), 20, 40),
    ]
    assert late[0] == before[0]
    assert late[1]["accuracy"] > 0.8
    tell(served, ids[:20], [1 - label for label in y[:20]])
    corrected = quality(served)["items"]
    assert corrected[1]["labelled"] == 20
    assert corrected[1]["accuracy"] == pytest.approx(1 - late[1]["accuracy"])
    assert corrected[1]["expected_accuracy"] == before[1]["expected_accuracy"]


def test_hours_page_and_are_bounded_by_times(served: FlaskClient, at: Any, rng: np.random.Generator) -> None:
    for hour in range(5):
        at(hour + 0.3)
        answered(served, 10, rng)
    first = quality(served, "?limit=2")
    second = quality(served, f"?limit=2&cursor={first['next']}")
    third = quality(served, f"?limit=2&cursor={second['next']}")
    seen = [item["hour"] for page in (first, second, third) for item in page["items"]]
    assert seen == [clock.iso(NOON + hour * HOUR) for hour in (4, 3, 2, 1, 0)]
    assert third["next"] is None
    some = quality(served, f"?since={clock.iso(NOON + HOUR)}&until={clock.iso(NOON + 3 * HOUR)}")
    assert [item["hour"] for item in some["items"]] == seen[2:4]
    at(40)
    assert quality(served)["items"] == []
    assert quality(served, f"?since={clock.iso(NOON)}")["items"][-1]["hour"] == seen[-1]


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "until=2026-01-01T00:00:00",
        "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
        "limit=0",
    ],
)
def test_times_that_cannot_be_used_are_refused(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/quality?{query.replace('+', '%2B')}")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_query")


def test_a_page_reads_no_more_than_its_bound_and_the_next_goes_on(
    served: FlaskClient, at: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in range(3):
        at(hour + 0.3)
        for _ in range(4):
            answered(served, 5, rng)
    whole = quality(served)["items"]
    monkeypatch.setattr(realised, "MAX_LABELS", 30)
    first = quality(served)
    assert first["items"] == whole[:1]
    assert quality(served, f"?cursor={first['next']}")["items"] == whole[1:2]
    monkeypatch.setattr(realised, "MAX_REQUESTS", 3)
    (cut,) = quality(served)["items"]
    assert (cut["partial"], cut["predicted"], cut["hour"]) == (True, 15, whole[0]["hour"])


def test_an_estimate_reads_a_sample_of_a_busy_hour(
    served: FlaskClient, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in (300, 5, 5):
        ask(served, n, rng)
    monkeypatch.setattr(realised, "HOUR_ROWS", 40)
    (item,) = quality(served)["items"]
    assert item["predicted"] == 310
    assert 0 < item["expected_rows"] <= 50


# The test -------------------------------------------------------------------------------------------------------


def test_a_drop_opens_an_incident_and_asks_for_a_retraining(
    served: FlaskClient, at: Any, rng: np.random.Generator
) -> None:
    answered(served, 300, rng)
    held = check(served)
    assert held["verdict"] == "ok"
    assert held["sentence"].startswith("Accuracy holds: ")
    at(1.25)
    answered(served, 200, rng, wrong=0.5)
    fallen = check(served)
    assert fallen["verdict"] == "drop"
    assert "(since 2026-" in fallen["sentence"]
    assert fallen["sentence"].startswith("Accuracy fell from ")
    (incident,) = served.get("/incidents?state=open").json["items"]
    assert (incident["kind"], incident["sentence"]) == ("quality", fallen["sentence"])
    job = served.get("/retraining/jobs").json["items"][0]
    assert (job["state"], job["evidence"]["quality_check"]) == ("queued", fallen["id"])
    assert [entry["kind"] for entry in served.get("/ledger").json["items"][:5]].count("quality_drop") == 1
    trigger = served.get("/ledger?kind=trigger").json["items"][0]
    assert trigger["evidence"] == incident["evidence"] | {"incident": incident["id"]}
    assert trigger["incident_id"] == incident["id"]
    assert served.get("/quality/checks").json["items"] == [fallen, held]
    assert quality(served)["change"] == fallen


def test_what_goes_on_is_one_incident_and_one_job_and_resolves(served: FlaskClient, rng: np.random.Generator) -> None:
    answered(served, 150, rng, wrong=0.5)
    assert check(served)["verdict"] == "drop"
    answered(served, 60, rng, wrong=0.5)
    assert check(served)["verdict"] == "drop"
    (incident,) = served.get("/incidents?state=open").json["items"]
    assert incident["times"] == 2
    assert len(served.get("/retraining/jobs").json["items"]) == 2
    answered(served, 1000, rng)
    assert check(served)["verdict"] == "ok"
    assert served.get("/incidents?state=open").json["items"] == []


def test_labels_are_tested_once_and_need_no_new_predictions(served: FlaskClient, rng: np.random.Generator) -> None:
    ids, y = ask(served, 300, rng)
    assert check(served)["verdict"] == "waiting_for_labels"
    tell(served, ids[:99], y[:99])
    assert check(served)["sentence"].startswith("99 of the 100 labelled predictions")
    tell(served, ids[99:120], y[99:120])
    assert check(served)["verdict"] == "ok"
    assert check(served)["verdict"] == "waiting_for_labels"
    tell(served, ids[120:169], y[120:169])
    assert check(served)["sentence"].startswith("49 of the 50 new labels")
    tell(served, ids[169:170], y[169:170])
    report = served.post("/drift/check").json
    assert (report["verdict"], report["quality"]["verdict"]) == ("waiting_for_data", "ok")
    assert [found["rows"] for found in served.get("/quality/checks").json["items"]] == [170, 120]


def test_corrected_labels_are_new_ones(served: FlaskClient, rng: np.random.Generator) -> None:
    ids, y = ask(served, 200, rng)
    tell(served, ids, y)
    assert check(served)["verdict"] == "ok"
    tell(served, ids[-60:], [1 - label for label in y[-60:]])
    found = check(served)
    assert (found["verdict"], found["rows"]) == ("drop", 200)


def test_labels_of_another_version_say_nothing_of_the_one_that_serves(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    ids, y = ask(served, 200, rng)
    trained.add_version(trained_settings, 2)
    trained.activate(2)
    trained.champion(trained_app).refresh()
    tell(served, ids, [1 - label for label in y])
    assert check(served)["sentence"].startswith("0 of the 100")
    answered(served, 100, rng)
    found = check(served)
    assert (found["verdict"], found["model_version"], found["rows"]) == ("ok", 2, 100)
    (item,) = quality(served)["items"]
    assert item["model_versions"] == [1, 2]


def test_processes_that_test_the_same_labels_leave_one_check(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    answered(served, 200, rng, wrong=0.5)
    monitors = [service.Monitor(trained_settings.models_folder) for _ in range(4)]
    found = threads.at_once(trained_app, lambda monitor: monitor.quality.check(trained_settings), monitors)
    assert not threads.faults(found)
    assert len(served.get("/quality/checks").json["items"]) == 1
    assert served.get("/incidents").json["items"][0]["times"] == 1


def test_the_size_of_a_drop_is_a_setting(
    served: FlaskClient, trained_settings: Settings, monitor: service.Monitor, rng: np.random.Generator
) -> None:
    answered(served, 200, rng, wrong=0.5)
    assert monitor.quality.check(replace(trained_settings, quality_drop=0.9))["verdict"] == "ok"


def test_the_first_thousand_labelled_predictions_become_the_measure(
    served: FlaskClient, rng: np.random.Generator
) -> None:
    answered(served, 900, rng)
    assert check(served)["baseline"]["source"] != "first_labelled"
    answered(served, 150, rng)
    assert check(served)["sentence"].startswith("The first 1,000 labelled predictions say how good the model is; 50 ")
    answered(served, 100, rng, wrong=0.5)
    found = check(served)
    assert (found["verdict"], found["baseline"]["source"], found["baseline"]["n_rows"]) == (
        "drop",
        "first_labelled",
        1000,
    )


# The estimate ---------------------------------------------------------------------------------------------------


def test_an_estimate_is_not_trusted_once_labels_contradict_it(served: FlaskClient, rng: np.random.Generator) -> None:
    answered(served, 200, rng)
    assert check(served)["estimate"]["trustworthy"] is True
    answered(served, 300, rng, wrong=0.5)
    found = check(served)["estimate"]
    assert found["trustworthy"] is False
    assert found["sentence"].startswith("Not trustworthy: ")
    assert found["expected"] > 0.8 > found["actual"]
    assert quality(served)["estimate"] == found
    assert check(served)["estimate"] == found


def without_labels(settings: Settings) -> None:
    """Make version 1 one that was made before labels were kept with its reference."""
    place = settings.models_folder / "1"
    arrays = artifacts.load_arrays(place / artifacts.REFERENCE)
    artifacts.dump_arrays({name: arrays[name] for name in arrays if name != "y"}, place / artifacts.REFERENCE)
    with db.transaction() as connection:
        connection.execute(sa.update(model_versions).values(files=artifacts.digests(place)))


def test_a_version_of_before_has_no_estimate_but_is_tested(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator
) -> None:
    without_labels(trained_settings)
    answered(served, 200, rng, wrong=0.5)
    found = check(served)
    assert (found["verdict"], found["baseline"]["source"]) == ("drop", "holdout")
    assert found["estimate"]["available"] is False
    assert "before labels were kept with the reference" in found["estimate"]["sentence"]
    (item,) = quality(served)["items"]
    assert (item["expected_accuracy"], item["expected_rows"], item["labelled"]) == (None, 0, 200)


def test_a_damaged_folder_costs_the_estimate_not_the_test(
    served: FlaskClient, trained_settings: Settings, monitor: service.Monitor, rng: np.random.Generator
) -> None:
    reference = trained_settings.models_folder / "1" / artifacts.REFERENCE
    content = reference.read_bytes()
    reference.write_bytes(b"x")
    answered(served, 200, rng, wrong=0.5)
    found = monitor.quality.check(trained_settings)
    assert found["verdict"] == "drop"
    assert "reference.npz is not the file" in found["estimate"]["sentence"]
    assert quality(served)["items"][0]["expected_accuracy"] is None
    reference.write_bytes(content)
    assert quality(served)["items"][0]["expected_accuracy"] > 0.8


def test_three_classes_one_of_them_new(
    client: FlaskClient, app: Flask, settings: Settings, rng: np.random.Generator
) -> None:
    def rows(n: int) -> tuple[list[list[float]], list[str]]:
        X = rng.normal(size=(n, 2))
        return X.tolist(), [["low", "mid", "high"][int(x > -0.5) + int(x > 0.5)] for x in X[:, 0]]

    X, y = rows(300)
    client.post("/ingest/batch", json={"features": X, "labels": y})
    trained.train(app, settings)
    X, y = rows(200)
    tell(client, client.post("/predict", json={"features": X}).json["prediction_ids"], y)
    found = check(client)
    assert (found["verdict"], found["estimate"]["trustworthy"]) == ("ok", True)
    X, y = rows(100)
    tell(client, client.post("/predict", json={"features": X}).json["prediction_ids"], ["never seen"] * 100)
    (item,) = quality(client)["items"]
    assert item["labelled"] == 300
    assert item["accuracy"] < 0.7 < item["expected_accuracy"]
    found = check(client)
    assert (found["verdict"], found["estimate"]["trustworthy"]) == ("drop", False)


def test_regression_has_errors_and_an_error_model(
    client: FlaskClient, app: Flask, settings: Settings, rng: np.random.Generator
) -> None:
    def rows(n: int, noise: float) -> tuple[list[list[float]], list[float]]:
        X = rng.normal(size=(n, 2))
        return X.tolist(), (3 * X[:, 0] + noise * rng.normal(size=n)).tolist()

    X, y = rows(600, 1.0)
    client.post("/ingest/batch", json={"features": X, "labels": y})
    trained.train(app, settings)
    X, y = rows(300, 1.0)
    tell(client, client.post("/predict", json={"features": X}).json["prediction_ids"], y)
    found = quality(client)
    (item,) = found["items"]
    assert found["task"] == "regression"
    assert item["low"] < item["mae"] < item["high"]
    assert item["rmse"] > item["mae"] > item["quantiles"]["0.5"]
    assert item["expected_mae"] == pytest.approx(item["mae"], rel=0.25)
    assert check(client)["verdict"] == "ok"
    X, y = rows(200, 4.0)
    tell(client, client.post("/predict", json={"features": X}).json["prediction_ids"], y)
    fallen = check(client)
    assert (fallen["verdict"], fallen["estimate"]["trustworthy"]) == ("drop", False)
    assert fallen["sentence"].startswith("Mean absolute error rose from ")


def test_a_version_without_rows_in_its_metrics_waits_for_its_first_thousand(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator
) -> None:
    without_labels(trained_settings)
    with db.transaction() as connection:
        connection.execute(sa.update(model_versions).values(metrics={}))
    answered(served, 200, rng)
    assert check(served)["sentence"].startswith("200 of the 1,000 labelled predictions are here that others")
    with db.reading() as connection:
        assert versions.get(connection, 1) is not None


def test_tests_that_look_at_the_same_labels_are_kept_once(
    served: FlaskClient, trained_settings: Settings, monitor: service.Monitor, rng: np.random.Generator
) -> None:
    answered(served, 200, rng, wrong=0.5)
    early = monitor.quality.look(trained_settings)
    answered(served, 60, rng)
    late = service.Monitor(trained_settings.models_folder).quality.look(trained_settings)
    kept = quality_tests.settle(late)
    assert quality_tests.settle(early)["id"] == kept["id"]
    (item,) = served.get("/quality/checks").json["items"]
    assert (item["id"], item["rows"]) == (kept["id"], 260)
    assert served.get("/incidents").json["items"][0]["times"] == 1
