from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import db, errors
from mlpipe.drift import service as drift
from mlpipe.registry.tables import model_versions
from mlpipe.retraining import asking, fit, lineage, provenance, service
from mlpipe.settings import Settings
from tests import trained


def retrain(client: FlaskClient, app: Flask, settings: Settings, rng: np.random.Generator) -> None:
    """Let version 2 be trained on rows of which some got their labels later, and some had them corrected."""
    X, y = trained.rows(100, rng)
    names = [f"r{n}" for n in range(100)]
    turned: list[int | None] = [1 - label for label in y]
    body = {"features": X, "labels": turned[:60] + [None] * 40, "row_ids": names, "batch_id": "second"}
    assert client.post("/ingest/batch", json=body).status_code == 201
    later = [{"row_id": name, "label": label} for name, label in zip(names[50:90], turned[50:90], strict=True)]
    flipped = [{"row_id": "r3", "label": y[3]}]
    assert client.post("/feedback", json={"labels": later + flipped}).status_code == 200
    asking.ask("")
    assert service.run_next(settings, holder="t") is not None
    assert trained.champion(app).refresh()


def rows(client: FlaskClient, version: int) -> list[dict[str, Any]]:
    """Return all rows of a version, page by page."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = client.get(f"/retraining/versions/{version}/rows?limit=70{cursor}").json
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


# Both ways ------------------------------------------------------------------------------------------------------


def test_a_version_names_its_very_rows_with_the_labels_that_counted(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    retrain(served, trained_app, trained_settings, rng)
    before = rows(served, 2)
    assert len(before) == trained.N_ROWS + 90
    assert [row["place"] for row in before] == list(range(1, len(before) + 1))
    assert before[0]["sample_id"] == "1-0"
    assert [row["sample_id"] for row in before[-2:]] == ["2-88", "2-89"]
    assert sum(row["label_id"] is not None for row in before) >= 31
    assert served.post("/feedback", json={"labels": [{"row_id": "r95", "label": 1}]}).status_code == 200
    flip = {"row_id": "r0", "label": 1 - before[trained.N_ROWS]["label"]}
    assert served.post("/feedback", json={"labels": [flip]}).status_code == 200
    assert rows(served, 2) == before


def test_a_row_names_the_versions_that_it_has_taught(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    retrain(served, trained_app, trained_settings, rng)
    assert served.get("/features/samples/1-7/versions").json == {"sample_id": "1-7", "versions": [2, 1]}
    assert served.get("/features/samples/2-89/versions").json["versions"] == [2]
    assert served.get("/features/samples/2-95/versions").json["versions"] == []


@pytest.mark.parametrize("path", ["/features/samples/9-0/versions", "/features/samples/1-999/versions"])
@pytest.mark.parametrize("other", ["/features/samples/x/versions", "/retraining/versions/9/rows"])
def test_what_is_not_there_is_said(served: FlaskClient, path: str, other: str) -> None:
    assert served.get(path).json["code"] == "not_found"
    assert served.get(other).json["code"] == "not_found"


def test_a_version_from_before_labels_were_kept_says_so(served: FlaskClient, trained_settings: Settings) -> None:
    forget_labels()
    assert served.get("/retraining/versions/1/rows").status_code == 409
    assert "before it was kept which labels counted" in served.get("/retraining/versions/1/rows").json["detail"]
    with pytest.raises(errors.NotComparable):
        lineage.reproduce(1, trained_settings)


def forget_labels() -> None:
    with db.transaction() as connection:
        known = connection.execute(db.sa.select(model_versions.c.lineage)).scalar_one()
        known.pop("labels")
        connection.execute(db.sa.update(model_versions).values(lineage=known))


# Once more ------------------------------------------------------------------------------------------------------


def test_a_training_can_be_done_again_whatever_came_since(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    retrain(served, trained_app, trained_settings, rng)
    served.post("/feedback", json={"labels": [{"row_id": f"r{n}", "label": 0} for n in range(100)]})
    trained.ingest(served, 50, rng)
    for version in (1, 2):
        told = lineage.reproduce(version, trained_settings)
        assert (told.data_equal, told.predictions_equal, told.largest_difference) == (True, True, 0.0)
    done = trained_app.test_cli_runner().invoke(args=["mlpipe", "reproduce", "2"])
    assert done.exit_code == 0
    assert "The 210 rows are those that version 2 was trained on. Its predictions are equal." in done.output


@pytest.mark.parametrize(
    "how",
    [
        {"model_kind": "hist_gradient_boosting", "class_weight": "balanced"},
        {"model_kind": "logistic", "window_policy": "weighted", "window_half_life": 50},
        {"model_kind": "tests.retraining.own_models:tree", "search_s": 1.0},
        {"model_kind": "forest", "window_policy": "auto"},
    ],
    ids=lambda how: how["model_kind"],
)
def test_every_kind_can_be_done_again_as_it_was_set_then(
    client: FlaskClient, app: Flask, settings: Settings, rng: np.random.Generator, how: dict[str, Any]
) -> None:
    X, y = trained.rows(1800 if how.get("window_policy") == "auto" else 150, rng)
    noisy = [1 - label if rng.random() < 0.2 else label for label in y]
    assert client.post("/ingest/batch", json={"features": X, "labels": noisy}).status_code == 201
    trained.train(app, replace(settings, **how))
    trained.ingest(client, 50, rng)
    told = lineage.reproduce(1, settings)
    assert (told.data_equal, told.predictions_equal, told.largest_difference) == (True, True, 0.0)
    assert client.get("/models/1").json["parameters"]["kind"] == how["model_kind"]


def test_what_cannot_be_repeated_is_told_and_ends_with_code_1(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fit.fit

    def other(X: Any, y: Any, *, task: Any, parameters: fit.Parameters, n_jobs: int | None = None) -> Any:
        return real(X, 1 - y, task=task, parameters=parameters, n_jobs=n_jobs)

    monkeypatch.setattr(fit, "fit", other)
    monkeypatch.setattr(provenance, "code", lambda: {"version": "9", "sources_sha256": ""})
    done = trained_app.test_cli_runner().invoke(args=["mlpipe", "reproduce", "1"])
    assert done.exit_code == 1
    assert "Its predictions differ by up to" in done.output
    assert "The code is another one than then." in done.output


def test_altered_rows_are_noticed(served: FlaskClient, trained_app: Flask, trained_settings: Settings) -> None:
    with db.transaction() as connection:
        known = connection.execute(db.sa.select(model_versions.c.lineage)).scalar_one()
        connection.execute(db.sa.update(model_versions).values(lineage=known | {"sha256": "0" * 64}))
    told = lineage.reproduce(1, trained_settings)
    assert (told.data_equal, told.predictions_equal) == (False, True)
    assert trained_app.test_cli_runner().invoke(args=["mlpipe", "reproduce", "1", "--json"]).exit_code == 1


def test_an_edited_source_is_another_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provenance.code.cache_clear()
    before = provenance.code()
    (tmp_path / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    provenance.code.cache_clear()
    assert provenance.code()["version"] == before["version"]
    assert provenance.code()["sources_sha256"] != before["sources_sha256"]
    provenance.code.cache_clear()


# From a prediction to its rows ----------------------------------------------------------------------------------


def test_one_can_walk_from_a_live_prediction_to_the_rows_behind_it(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    let_a_drift_promote(served, trained_app, trained_settings, rng)
    prediction = served.get("/predictions?limit=1").json["items"][0]
    version = served.get(f"/models/{prediction['model_version']}").json
    assert version["verdict"]["decision"] == "promote"
    job = served.get(f"/retraining/jobs/{version['job_id']}").json
    assert job["evidence"]["trigger"] == "drift"
    incident = served.get(f"/incidents/{job['evidence']['incident']}").json
    assert incident["kind"] == "drift"
    checks = [one for one in served.get(f"/ledger?incident={incident['id']}").json["items"] if one["kind"] == "drift"]
    assert job["evidence"]["report"] in {check["report_id"] for check in checks}
    report = served.get(f"/drift/reports/{job['evidence']['report']}").json
    assert report["verdict"] == "drift"
    moved = served.get(f"/predictions/{report['last_prediction']}-0").json
    assert moved["model_version"] == report["model_version"] == version["parent"]
    found = rows(served, version["version"])
    assert len(found) == version["lineage"]["rows"]
    back = served.get(f"/features/samples/{found[-1]['sample_id']}/versions").json
    assert version["version"] in back["versions"]
    told = {one["kind"] for one in served.get(f"/ledger?version={version['version']}").json["items"]}
    assert {"verdict", "deploy"} <= told
    assert {one["kind"] for one in served.get(f"/ledger?job={job['id']}").json["items"]} >= {"trigger", "verdict"}


def let_a_drift_promote(client: FlaskClient, app: Flask, settings: Settings, rng: np.random.Generator) -> None:
    monitor: drift.Monitor = app.extensions["mlpipe.monitor"]
    X, y = trained.rows(300, rng, shift=2.0)
    client.post("/predict", json={"features": X})
    assert monitor.check(settings)["verdict"] == "drift"
    client.post("/ingest/batch", json={"features": X, "labels": [1 - label for label in y]})
    assert service.run_next(settings, holder="t") is not None
    assert trained.champion(app).refresh()
    client.post("/predict", json={"features": X[:5]})


# Why ------------------------------------------------------------------------------------------------------------


def why(client: FlaskClient, question: str, at: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/ledger?why={question}" + (f"&at={at}" if at else "")).json
    return found


def test_the_ledger_says_why_it_was_retrained(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    let_a_drift_promote(served, trained_app, trained_settings, rng)
    told = why(served, "retrained")
    assert (told["job_id"], told["model_version"]) == (2, 2)
    assert "asked for by drift. Drift: " in told["sentence"]
    assert "promoted: Version 2 was promoted." in told["sentence"]
    kinds = [entry["kind"] for entry in told["items"]]
    assert kinds.index("incident") < kinds.index("drift") < kinds.index("trigger") < kinds.index("verdict")
    assert why(served, "retrained", served.get("/models/1").json["created_at"])["job_id"] == 1
    assert why(served, "retrained", "2020-01-01T00:00:00Z")["job_id"] is None


def test_the_ledger_says_why_it_was_not_retrained(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    assert "Nobody had asked for a retraining" in why(served, "not-retrained")["sentence"]
    served.post("/drift/check")
    told = why(served, "not-retrained")
    assert "the newest check said waiting_for_data" in told["sentence"]
    assert [entry["kind"] for entry in told["items"]] == ["waiting_for_data"]
    asking.ask("")
    assert "it was in the queue" in why(served, "not-retrained")["sentence"]
    service.run_next(trained_settings, holder="t")
    told = why(served, "not-retrained")
    assert "had to wait: Retraining waits. 0 of 50 new labelled rows" in told["sentence"]
    assert (told["job_id"], [entry["kind"] for entry in told["items"]]) == (2, ["trigger", "waiting_for_labels"])


@pytest.mark.parametrize("query", ["why=never", "why=retrained&at=noon", "job=x", "version=99999999999"])
def test_a_question_that_cannot_be_read_is_refused(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/ledger?{query}")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_query")
