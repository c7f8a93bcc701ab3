from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import db, errors
from mlpipe.app import create_app
from mlpipe.drift import judging, service
from mlpipe.jobs import store as jobs
from mlpipe.registry import artifacts
from mlpipe.settings import Settings
from tests import threads, trained

REPORT = {
    "verdict",
    "score",
    "checked_at",
    "model_version",
    "rows",
    "features",
    "sentence",
    "since",
    "relations",
    "segments",
    "quality",
}
FEATURE = {"name", "psi", "psi_corrected", "noise_floor", "ks", "p_adjusted", "effective_rows"}


@pytest.fixture
def monitor(trained_app: Flask) -> service.Monitor:
    found: service.Monitor = trained_app.extensions["mlpipe.monitor"]
    return found


def ask(client: FlaskClient, n: int, rng: np.random.Generator, *, shift: float = 0.0) -> None:
    """Let some rows be predicted, all numbers moved by `shift`."""
    X, _ = trained.rows(n, rng, shift=shift)
    assert client.post("/predict", json={"features": X}).status_code == 200


def slots() -> list[Any]:
    with db.reading() as connection:
        return jobs.page(connection, service.CHECK, limit=99)


def test_before_the_first_model_there_is_nothing_to_compare_with(client: FlaskClient) -> None:
    answer = client.post("/drift/check")
    assert answer.status_code == 200
    assert answer.json["verdict"] == "waiting_for_data"
    assert answer.json["model_version"] is None
    assert set(answer.json) >= REPORT
    assert client.get("/drift").status_code == 404
    assert client.get("/drift/reports").json == {"items": [], "next": None}


def test_a_check_waits_for_new_rows_and_stores_no_report(served: FlaskClient, rng: np.random.Generator) -> None:
    ask(served, 49, rng, shift=5)
    found = [served.post("/drift/check").json for _ in range(3)]
    assert {report["verdict"] for report in found} == {"waiting_for_data"}
    assert found[0]["sentence"].startswith("49 of the 50 new rows")
    assert set(found[0]) >= REPORT
    assert served.get("/drift").status_code == 404
    (entry,) = served.get("/ledger?kind=waiting_for_data").json["items"]
    assert entry["times"] == 3


def test_unchanged_traffic_is_stable(served: FlaskClient, rng: np.random.Generator) -> None:
    ask(served, 400, rng)
    report = served.post("/drift/check").json
    assert report["verdict"] == "stable"
    assert (report["model_version"], report["rows"]) == (1, 400)
    assert served.get("/incidents").json["items"] == []
    assert len(served.get("/retraining/jobs").json["items"]) == 1


def test_moved_traffic_is_drift_and_asks_for_a_retraining(served: FlaskClient, rng: np.random.Generator) -> None:
    ask(served, 200, rng, shift=3)
    report = served.post("/drift/check").json
    assert report["verdict"] == "drift"
    assert report["score"] > 0.05
    job = served.get("/retraining/jobs").json["items"][0]
    assert (job["state"], job["evidence"]["report"]) == ("queued", report["id"])
    (incident,) = served.get("/incidents?state=open").json["items"]
    assert (incident["kind"], incident["evidence"]["report"]) == ("drift", report["id"])
    assert served.get("/ledger?kind=trigger").json["items"][0]["report_id"] == report["id"]


def test_a_report_says_since_when(served: FlaskClient, rng: np.random.Generator) -> None:
    ask(served, 200, rng)
    assert served.post("/drift/check").json["since"] is None
    ask(served, 200, rng, shift=3)
    report = served.post("/drift/check").json
    (moved,) = served.get("/predictions?limit=1").json["items"]
    assert report["since"] == moved["predicted_at"]
    assert f" since {moved['predicted_at'][11:16]} UTC (PSI " in report["sentence"]


def test_a_report_has_the_members_of_the_contract(served: FlaskClient, rng: np.random.Generator) -> None:
    ask(served, 100, rng)
    report = served.post("/drift/check").json
    assert set(report) >= REPORT
    assert {feature["name"] for feature in report["features"]} == {"f0", "f1", "f2"}
    assert all(set(feature) >= FEATURE for feature in report["features"])
    assert report["quality"]["verdict"] == "waiting_for_labels"
    assert served.get("/drift").json == report
    assert served.get("/drift/reports").json["items"] == [report]


def test_the_same_rows_are_not_tested_twice(served: FlaskClient, rng: np.random.Generator) -> None:
    ask(served, 100, rng)
    assert served.post("/drift/check").json["verdict"] == "stable"
    assert served.post("/drift/check").json["verdict"] == "waiting_for_data"
    ask(served, 50, rng)
    assert served.post("/drift/check").json["rows"] == 150


@pytest.mark.parametrize("broken", ["jobs", "incidents", "ledger"])
def test_a_report_and_what_follows_from_it_are_stored_together_or_not_at_all(
    served: FlaskClient, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    names = {"jobs": "enqueue", "incidents": "open_or_update", "ledger": "record"}
    ask(served, 200, rng, shift=3)
    before = trained.counts()

    def fails(*_: Any, **__: Any) -> Any:
        raise service.errors.StoreUnavailable("The power is gone.")

    monkeypatch.setattr(getattr(service, broken), names[broken], fails)
    assert served.post("/drift/check").status_code == 503
    assert trained.counts() == before


def test_drift_that_goes_on_updates_its_incident_and_joins_the_open_job(
    served: FlaskClient, rng: np.random.Generator
) -> None:
    for _ in range(3):
        ask(served, 100, rng, shift=3)
        assert served.post("/drift/check").json["verdict"] == "drift"
    (incident,) = served.get("/incidents").json["items"]
    assert incident["times"] == 3
    assert len(served.get("/retraining/jobs").json["items"]) == 2


def test_the_incident_resolves_when_the_traffic_is_as_it_was(
    served: FlaskClient, trained_settings: Settings, monitor: service.Monitor, rng: np.random.Generator
) -> None:
    ask(served, 100, rng, shift=3)
    served.post("/drift/check")
    ask(served, 400, rng)
    assert monitor.check(replace(trained_settings, window_size=100))["verdict"] == "stable"
    assert served.get("/incidents").json["items"][0]["state"] == "resolved"


def test_a_slot_runs_once_however_many_look(
    served: FlaskClient, trained_app: Flask, monitor: service.Monitor, trained_settings: Settings, rng: Any
) -> None:
    ask(served, 100, rng)

    def work(n: int) -> bool:
        return service.run_slot(monitor, trained_settings, slot=7, holder=str(n))

    ran = threads.at_once(trained_app, work, range(8))
    assert sorted(ran) == [False] * 7 + [True]
    assert [(job.state, job.outcome) for job in slots()] == [("done", "stable")]
    assert len(served.get("/drift/reports").json["items"]) == 1


def test_a_slot_without_enough_rows_ends_as_such(
    served: FlaskClient, monitor: service.Monitor, trained_settings: Settings
) -> None:
    assert service.run_slot(monitor, trained_settings, slot=1, holder="a")
    assert [(job.state, job.outcome) for job in slots()] == [("done", "waiting_for_data")]


def test_a_check_that_fails_says_so_and_the_next_one_runs(
    served: FlaskClient, monitor: service.Monitor, trained_settings: Settings, rng: np.random.Generator
) -> None:
    ask(served, 100, rng)
    reference = trained_settings.models_folder / "1" / artifacts.REFERENCE
    content = reference.read_bytes()
    reference.write_bytes(b"x")
    assert service.run_slot(monitor, trained_settings, slot=1, holder="a")
    assert "reference.npz is not the file" in served.get("/ledger?kind=failure").json["items"][0]["sentence"]
    assert served.post("/drift/check").json["code"] == "artifact_corrupt"
    reference.write_bytes(content)
    assert service.run_slot(monitor, trained_settings, slot=2, holder="a")
    assert [job.state for job in slots()] == ["done", "failed"]


def test_a_report_shows_a_column_by_its_newest_name(served: FlaskClient, rng: np.random.Generator) -> None:
    ask(served, 60, rng)
    served.post("/drift/check")
    served.put("/features/schema", json={"columns": [{"name": "a"}, {}, {}]})
    ask(served, 60, rng)
    report = served.post("/drift/check").json
    assert {feature["name"] for feature in report["features"]} == {"a", "f1", "f2"}


def test_a_new_version_is_judged_by_its_own_traffic(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    ask(served, 100, rng, shift=3)
    trained.add_version(trained_settings, 2)
    trained.activate(2)
    trained.champion(trained_app).refresh()
    assert served.post("/drift/check").json["verdict"] == "waiting_for_data"
    ask(served, 60, rng)
    report = served.post("/drift/check").json
    assert (report["verdict"], report["model_version"], report["rows"]) == ("stable", 2, 60)


def test_missing_values_that_nobody_saw_in_training_are_judged(served: FlaskClient, rng: np.random.Generator) -> None:
    X = [[None, x1, x2] for _, x1, x2 in trained.rows(100, rng)[0]]
    served.post("/predict", json={"features": X})
    assert served.post("/drift/check").json["verdict"] == "drift"


def test_reports_page_newest_first(served: FlaskClient, rng: np.random.Generator) -> None:
    for _ in range(3):
        ask(served, 50, rng)
        served.post("/drift/check")
    first = served.get("/drift/reports?limit=2").json
    rest = served.get(f"/drift/reports?limit=2&cursor={first['next']}").json
    ids = [report["id"] for report in first["items"] + rest["items"]]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 3


def test_two_processes_that_check_the_same_rows_leave_one_report(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    ask(served, 100, rng)
    monitors = [service.Monitor(trained_settings.models_folder) for _ in range(4)]
    found = threads.at_once(trained_app, lambda monitor: monitor.check(trained_settings), monitors)
    assert not threads.faults(found)
    assert len(served.get("/drift/reports").json["items"]) == 1


@pytest.mark.parametrize("names", ["", "ks,zodiac", "psi", " , "])
def test_a_setting_that_lets_nothing_decide_is_refused(settings: Settings, names: str) -> None:
    with pytest.raises(errors.InvalidSetting, match="name at least one of chi_square, ks, missing_share, relations"):
        create_app(replace(settings, deciding_detectors=names))


def test_the_deciding_detectors_are_those_of_the_setting(settings: Settings) -> None:
    assert judging.rule(replace(settings, deciding_detectors=" ks ,relations")).deciding == ("ks", "relations")


def test_a_broken_relation_is_drift_and_in_the_report(served: FlaskClient, rng: np.random.Generator) -> None:
    X, _ = trained.rows(400, rng)
    served.post("/predict", json={"features": [[a, a, c] for a, _, c in X]})
    report = served.post("/drift/check").json
    first = report["relations"][0]
    assert (report["verdict"], first["significant"], {first["a"], first["b"]}) == ("drift", True, {"f0", "f1"})
    told = [report["sentence"], *report["notes"]]
    assert any(line.startswith("f0 and f1 move together now: correlation ") for line in told)


def test_the_reference_is_read_not_made(
    served: FlaskClient, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(served, 100, rng)
    monkeypatch.setattr(judging.stored, "prepare", None)
    assert served.post("/drift/check").json["verdict"] == "stable"


def test_a_reference_that_was_made_otherwise_is_made_again(
    served: FlaskClient, trained_settings: Settings, monitor: service.Monitor, rng: np.random.Generator
) -> None:
    ask(served, 200, rng)
    report = monitor.check(replace(trained_settings, n_bins=4))
    assert {len(feature["cells"]["labels"]) for feature in report["features"]} == {5}


def test_two_checks_never_test_the_same_rows(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check of another process stores its report between this one's look and its own report."""
    ask(served, 200, rng)
    first, second = (service.Monitor(trained_settings.models_folder) for _ in range(2))
    judge = judging.judge

    def overtaken(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(judging, "judge", judge)
        second.check(trained_settings)
        ask(served, 1, rng)
        return judge(*args, **options)

    monkeypatch.setattr(judging, "judge", overtaken)
    told = first.check(trained_settings)
    (only,) = served.get("/drift/reports").json["items"]
    assert told["id"] == only["id"]


def test_labels_are_heard_when_the_reference_is_damaged(
    served: FlaskClient, trained_settings: Settings, monitor: service.Monitor, rng: np.random.Generator
) -> None:
    ask(served, 200, rng)
    X, y = trained.rows(200, rng)
    answer = served.post("/predict", json={"features": X}).json
    served.post("/feedback", json={"prediction_ids": answer["prediction_ids"], "labels": y})
    (trained_settings.models_folder / "1" / artifacts.REFERENCE).write_bytes(b"damaged")
    with pytest.raises(errors.ArtifactCorrupt):
        monitor.check(trained_settings)
    assert len(served.get("/quality/checks").json["items"]) == 1


@pytest.mark.parametrize("path", ["/drift/check", "/incidents/test"])
def test_a_body_that_nothing_reads_is_refused(client: FlaskClient, path: str) -> None:
    unknown = client.post(path, json={"force": True})
    assert (unknown.status_code, unknown.json["errors"][0]["pointer"]) == (422, "/force")
    assert unknown.json["detail"] == "Nothing reads 'force'; this body has no members."
    assert client.post(path, json=[1]).status_code == 422
    assert client.post(path, data=b"{", content_type="application/json").status_code == 400
    assert client.post(path, data=b"x", content_type="text/plain").status_code == 415
    assert client.post(path).status_code == client.post(path, json={}).status_code != 415
