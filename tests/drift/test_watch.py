from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from mlpipe import clock, db
from mlpipe.drift import service, watch
from mlpipe.jobs import store as jobs
from mlpipe.settings import Settings
from tests.moments import Time

HOUR = 3600
LONG_AGO = 0


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time(clock.now_us())
    monkeypatch.setattr(clock, "now_us", lambda: made.us)
    return made


@pytest.fixture
def monitor(trained_settings: Settings) -> service.Monitor:
    return service.Monitor(trained_settings.models_folder)


@pytest.fixture
def watched(trained_settings: Settings) -> Settings:
    return replace(
        trained_settings,
        predictions_silent_s=HOUR,
        labels_silent_s=2 * HOUR,
        model_max_age_s=30 * HOUR,
        checks_silent_s=0,
    )


def open_kinds(client: FlaskClient) -> set[str]:
    return {item["kind"] for item in client.get("/incidents?state=open").json["items"]}


def look(settings: Settings) -> None:
    watch.look(settings, watching_since=LONG_AGO)


def predict(client: FlaskClient) -> str:
    answer = client.post("/predict", json={"features": [[0.1, 0.2, 0.3]]}).json
    return str(answer["prediction_ids"][0])


def test_predictions_that_stop_and_come_again(served: FlaskClient, watched: Settings, time: Time) -> None:
    predict(served)
    time.passes(HOUR)
    look(watched)
    assert open_kinds(served) == set()
    time.passes(1)
    look(watched)
    (incident,) = served.get("/incidents?state=open").json["items"]
    assert (incident["kind"], incident["times"]) == ("predictions_silent", 1)
    assert incident["sentence"].startswith("No prediction for 1 h; the limit is 1 h. Look at what calls")
    predict(served)
    look(watched)
    (over,) = served.get("/incidents").json["items"]
    assert over["state"] == "resolved"
    assert served.get("/incidents/1").json["history"][-1]["note"] == "A prediction has come again."


def test_labels_that_stop_and_come_again(served: FlaskClient, watched: Settings, time: Time) -> None:
    time.passes(1)
    for _ in range(5):
        last = predict(served)
        time.passes(HOUR / 2)
    look(watched)
    assert open_kinds(served) == {"labels_silent"}
    assert served.post("/feedback", json={"prediction_ids": [last], "labels": [1]}).status_code == 200
    look(watched)
    assert open_kinds(served) == set()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/ingest/batch", {"features": [[1, 2, 3]], "labels": [1]}),
        ("/feedback", {"labels": [{"row_id": "r1", "label": 0}]}),
    ],
    ids=["with rows", "by row id"],
)
def test_labels_count_whatever_way_they_come(
    served: FlaskClient, watched: Settings, time: Time, path: str, body: dict[str, Any]
) -> None:
    served.post("/ingest/batch", json={"features": [[1, 2, 3]], "row_ids": ["r1"]})
    time.passes(1)
    predict(served)
    time.passes(3 * HOUR)
    look(watched)
    assert "labels_silent" in open_kinds(served)
    assert served.post(path, json=body).status_code in {200, 201}
    look(watched)
    assert "labels_silent" not in open_kinds(served)


def test_a_model_that_grows_old_and_is_replaced(served: FlaskClient, watched: Settings, time: Time) -> None:
    quiet = replace(watched, predictions_silent_s=0, labels_silent_s=0)
    time.passes(31 * HOUR)
    look(quiet)
    (incident,) = served.get("/incidents?state=open").json["items"]
    assert incident["sentence"].startswith("Version 1 was trained 1.3 d ago; the limit is 1.2 d. POST /retraining/jobs")
    look(replace(quiet, model_max_age_s=40 * HOUR))
    assert open_kinds(served) == set()


def test_checks_that_stop_and_run_again(
    served: FlaskClient, trained_settings: Settings, time: Time, monitor: service.Monitor
) -> None:
    settings = replace(trained_settings, checks_silent_s=1200, check_interval=300)
    assert service.run_slot(monitor, settings, slot=1, holder="w")
    time.passes(1201)
    look(settings)
    assert open_kinds(served) == {"checks_silent"}
    assert service.run_slot(monitor, settings, slot=2, holder="w")
    look(settings)
    assert open_kinds(served) == set(), "a check that waits for data is a check"


def test_checks_that_fail_are_no_checks(
    served: FlaskClient,
    trained_settings: Settings,
    time: Time,
    monitor: service.Monitor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = replace(trained_settings, checks_silent_s=1200, check_interval=300)
    service.run_slot(monitor, settings, slot=1, holder="w")

    def fails(*_: Any) -> Any:
        raise service.errors.ArtifactCorrupt("The reference is damaged.")

    monkeypatch.setattr(monitor, "_check", fails)
    for slot in range(2, 8):
        time.passes(300)
        service.run_slot(monitor, settings, slot=slot, holder="w")
        look(settings)
    assert open_kinds(served) == {"checks_silent"}
    with db.reading() as connection:
        assert jobs.last_done_at(connection, "drift_check") == time.us - 6 * 300 * 1_000_000


def test_looking_again_writes_seldom(served: FlaskClient, watched: Settings, time: Time) -> None:
    predict(served)
    time.passes(HOUR + 1)
    for _ in range(240):
        look(watched)
        time.passes(5)
    (incident,) = served.get("/incidents?state=open").json["items"]
    assert incident["times"] == 2
    assert len(served.get("/ledger?kind=incident").json["items"]) == 1


def test_a_home_without_a_model_is_not_silent(client: FlaskClient, settings: Settings, time: Time) -> None:
    everything = replace(settings, predictions_silent_s=1, labels_silent_s=1, model_max_age_s=1, checks_silent_s=0)
    look(everything)
    assert open_kinds(client) == set()


def test_drift_opens_one_incident_and_one_event_however_often_it_is_seen(
    served: FlaskClient, rng: np.random.Generator
) -> None:
    for _ in range(3):
        X = (rng.normal(size=(100, 3)) + 3).tolist()
        assert served.post("/predict", json={"features": X}).status_code == 200
        assert served.post("/drift/check").json["verdict"] == "drift"
    assert [step["event"] for step in served.get("/incidents/1").json["history"]] == ["opened"]
    assert served.get("/incidents/1").json["times"] == 3
