from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import clock, db, errors
from mlpipe.jobs import store as jobs
from mlpipe.registry import artifacts
from mlpipe.retraining import asking, child, service
from mlpipe.settings import Settings
from tests import threads, trained


def run(settings: Settings, holder: str = "t") -> jobs.Job:
    """Carry out the next job; return how it ended."""
    job = service.run_next(settings, holder=holder)
    assert job is not None
    return newest()


def newest() -> jobs.Job:
    with db.reading() as connection:
        return jobs.page(connection, service.KIND, limit=1)[0]


def sentences(client: FlaskClient, kind: str) -> list[str]:
    return [entry["sentence"] for entry in client.get(f"/ledger?kind={kind}").json["items"]]


def scores(work: Path, *, challenger: float, champion: float | None) -> dict[str, Any]:
    """Return what a fit would say of models that give the true class these probabilities."""
    window = artifacts.load_arrays(work / child.WINDOW)
    y = window["y"][window["holdout"]]
    classes = np.array([0.0, 1.0])

    def given(p: float) -> Any:
        return np.where(y[:, None] == classes, p, 1 - p)

    found = {"challenger_scores": given(challenger), "challenger_classes": classes, "classes": classes}
    return found if champion is None else found | {"champion_scores": given(champion), "champion_classes": classes}


def instead(monkeypatch: pytest.MonkeyPatch, fit: Callable[..., Any]) -> None:
    """Let something else happen in place of the training process."""
    monkeypatch.setattr(child, "run", lambda work, *, timeout_s, memory_mb, beat: fit(work, beat))


# The first model ------------------------------------------------------------------------------------------------


def test_the_first_model_is_asked_for_once(client: FlaskClient, settings: Settings, rng: np.random.Generator) -> None:
    trained.ingest(client, 39, rng)
    assert not asking.ask_for_first(settings)
    trained.ingest(client, 1, rng)
    assert asking.ask_for_first(settings)
    assert not asking.ask_for_first(settings)
    assert len(client.get("/retraining/jobs").json["items"]) == 1


def test_processes_that_ask_for_the_first_model_at_once_ask_once(
    client: FlaskClient, app: Flask, settings: Settings, rng: np.random.Generator
) -> None:
    trained.ingest(client, 60, rng)
    asked = threads.at_once(app, lambda _: asking.ask_for_first(settings), range(8))
    assert sorted(asked) == [False] * 7 + [True]


def test_one_class_is_not_learned(client: FlaskClient, settings: Settings) -> None:
    client.post("/ingest/batch", json={"features": [[n, 1.5] for n in range(100)], "labels": [1] * 100})
    assert not asking.ask_for_first(settings)
    assert "at least two classes" in client.post("/predict", json={"features": [[1, 2]]}).json["detail"]


def test_one_class_among_the_rows_to_train_on_fails_with_a_sentence(client: FlaskClient, settings: Settings) -> None:
    labels = [0] * 90 + [1] * 10
    client.post("/ingest/batch", json={"features": [[n, 1.5] for n in range(100)], "labels": labels})
    assert asking.ask_for_first(settings)
    job = run(settings)
    assert (job.state, job.outcome) == ("failed", "failed")
    assert job.sentence is not None
    assert "at least two classes are needed" in job.sentence
    assert not asking.ask_for_first(settings)


def test_the_first_model_waits_until_ingestion_is_quiet(
    client: FlaskClient, settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained.ingest(client, 60, rng)
    monkeypatch.setitem(settings.__dict__, "quiet_s", 5.0)
    assert not asking.ask_for_first(settings)
    later = clock.now_us() + 6_000_000
    monkeypatch.setattr(clock, "now_us", lambda: later)
    assert asking.ask_for_first(settings)


def test_after_a_failure_the_first_model_is_tried_again_when_rows_come(
    client: FlaskClient, settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise errors.FitFailed("The training process was killed.")

    instead(monkeypatch, fails)
    trained.ingest(client, 60, rng)
    asking.ask_for_first(settings)
    assert run(settings).outcome == "failed"
    assert client.get("/health").json["components"]["retraining"]["status"] == "degraded"
    assert not asking.ask_for_first(settings)
    trained.ingest(client, 1, rng)
    assert asking.ask_for_first(settings)


def test_a_cancelled_first_training_is_not_asked_for_again_at_once(
    client: FlaskClient, settings: Settings, rng: np.random.Generator
) -> None:
    trained.ingest(client, 60, rng)
    asking.ask_for_first(settings)
    client.post(f"/retraining/jobs/{newest().id}/cancel")
    assert not asking.ask_for_first(settings)
    trained.ingest(client, 1, rng)
    assert asking.ask_for_first(settings)


def test_a_first_model_knows_what_it_rests_on(served: FlaskClient) -> None:
    job = served.get("/retraining/jobs/1").json
    assert (job["state"], job["outcome"], job["result"]["version"]) == ("done", "promoted", 1)
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    assert sentences(served, "verdict")[0].startswith("Version 1 was promoted. It is the first one")


# Retraining -----------------------------------------------------------------------------------------------------


def test_a_retraining_waits_for_labels_and_goes_on_when_they_come(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator
) -> None:
    asking.ask("The sensor was changed.")
    assert run(trained_settings).state == "waiting_for_labels"
    assert service.run_next(trained_settings, holder="t") is None
    assert "0 of 50 new labelled rows" in sentences(served, "waiting_for_labels")[0]
    trained.ingest(served, 50, rng)
    asking.resume_waiting(trained_settings)
    assert newest().state == "queued"
    assert newest().attempts == 0


def test_a_retraining_that_is_asked_for_twice_is_one(served: FlaskClient) -> None:
    first = served.post("/retraining/jobs", json={"reason": "one"})
    again = served.post("/retraining/jobs", json={"reason": "two"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json["id"] == again.json["id"]
    assert first.json["state"] == "queued"


def test_a_better_challenger_is_promoted(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    X, y = trained.rows(900, rng)
    served.post("/ingest/batch", json={"features": X, "labels": [1 - label for label in y]})
    asking.ask("The world has turned over.")
    job = run(trained_settings)
    assert (job.state, job.outcome) == ("done", "promoted")
    assert trained.champion(trained_app).refresh()
    assert served.post("/predict", json={"features": [[2, 0, 0]]}).json["predictions"] == [0]
    version = served.get("/models/2").json
    assert (version["parent"], version["verdict"]["decision"], version["state"]) == (1, "promote", "active")
    assert list(trained_settings.models_folder.glob(".fit-*")) == []


def test_a_worse_challenger_is_rejected_and_says_why(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead(monkeypatch, lambda work, _: scores(work, challenger=0.6, champion=0.9))
    trained.ingest(served, 100, rng)
    asking.ask("")
    job = run(trained_settings)
    assert (job.state, job.outcome) == ("done", "rejected")
    assert served.get("/models").json["active"] == 1
    assert len(served.get("/models").json["items"]) == 1
    assert "Version 1 stays" in sentences(served, "verdict")[0]
    assert sorted(path.name for path in trained_settings.models_folder.iterdir()) == ["1"]


def test_champion_and_challenger_are_compared_on_rows_the_champion_has_not_seen(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fit(work: Path, _: Any) -> dict[str, Any]:
        seen.append(artifacts.load_arrays(work / child.WINDOW))
        return scores(work, challenger=0.6, champion=0.9)

    instead(monkeypatch, fit)
    trained.ingest(served, 60, rng)
    asking.ask("")
    run(trained_settings)
    (window,) = seen
    assert len(window["y"]) == trained.N_ROWS + 60
    assert np.flatnonzero(window["holdout"]).min() >= trained.N_ROWS


def test_a_challenger_of_another_kind_of_target_does_not_replace_the_champion_unseen(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator
) -> None:
    edit = served.put("/features/schema", json={"target": {"task": "regression"}})
    if edit.status_code != 200:
        assert edit.status_code == 422
        return
    trained.ingest(served, 100, rng)
    asking.ask("")
    job = run(trained_settings)
    assert job.outcome != "rejected"
    assert "mean absolute error" not in (job.sentence or "")


def test_copies_of_one_row_do_not_teach_and_nothing_is_trained(
    served: FlaskClient, trained_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead(monkeypatch, lambda *_: pytest.fail("nothing is to be trained"))
    served.post("/ingest/batch", json={"features": [[0.1, 0.2, 0.3]] * 100, "labels": [1] * 100})
    asking.ask("")
    job = run(trained_settings)
    assert (job.state, job.outcome) == ("done", "rejected")
    assert "99 of 100 new rows are exact copies" in sentences(served, "verdict")[0]


def test_a_column_that_is_the_label_ends_the_job_with_its_name(client: FlaskClient, settings: Settings) -> None:
    rows = [[n % 2, (n * 7) % 10] for n in range(100)]
    client.post("/ingest/batch", json={"features": rows, "labels": [n % 2 for n in range(100)]})
    assert asking.ask_for_first(settings)
    job = run(settings)
    assert job.outcome == "failed"
    assert "is the label in all 100 rows" in (job.sentence or "")


# Jobs -----------------------------------------------------------------------------------------------------------


def silence(holder: str) -> None:
    """Let a holder claim the job and never be heard of again."""
    with db.transaction() as connection:
        assert jobs.claim(connection, service.KIND, holder, lease_until=1) is not None


def test_the_job_of_a_dead_process_is_tried_again(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead(monkeypatch, lambda work, _: scores(work, challenger=0.6, champion=0.9))
    trained.ingest(served, 100, rng)
    asking.ask("")
    silence("dead")
    job = run(trained_settings)
    assert (job.attempts, job.outcome, job.holder) == (2, "rejected", "t")


def test_a_job_that_kills_its_processes_is_given_up_with_a_sentence(
    served: FlaskClient, trained_settings: Settings
) -> None:
    asking.ask("")
    silence("dead")
    silence("dead too")
    assert service.run_next(trained_settings, holder="t") is None
    assert (newest().state, newest().outcome) == ("failed", "interrupted")
    assert "died 2 times" in sentences(served, "failure")[0]


def test_a_job_that_was_taken_over_registers_nothing(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loses_it(work: Path, beat: Callable[[], bool | None]) -> Any:
        with db.transaction() as connection:
            connection.execute(db.sa.update(jobs.jobs).where(jobs.jobs.c.state == "running").values(holder="other"))
        assert beat() is None
        raise child.Cancelled

    instead(monkeypatch, loses_it)
    trained.ingest(served, 100, rng)
    asking.ask("")
    job = run(trained_settings)
    assert (job.state, job.holder) == ("running", "other")
    assert len(served.get("/models").json["items"]) == 1


def test_a_queued_job_is_cancelled_at_once_and_only_once(served: FlaskClient) -> None:
    job = served.post("/retraining/jobs").json
    answer = served.post(f"/retraining/jobs/{job['id']}/cancel")
    assert (answer.status_code, answer.json["state"]) == (202, "cancelled")
    again = served.post(f"/retraining/jobs/{job['id']}/cancel")
    assert (again.status_code, again.json["code"]) == (409, "job_conflict")


def test_a_running_job_is_cancelled_by_its_holder(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled_meanwhile(_: Path, beat: Callable[[], bool | None]) -> Any:
        assert beat() is False
        served.post(f"/retraining/jobs/{newest().id}/cancel")
        assert beat() is True
        raise child.Cancelled

    instead(monkeypatch, cancelled_meanwhile)
    trained.ingest(served, 100, rng)
    asking.ask("")
    job = run(trained_settings)
    assert (job.state, job.outcome) == ("cancelled", "cancelled")
    assert served.get("/models").json["active"] == 1


def test_a_job_is_carried_out_once_however_many_look(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, rng: np.random.Generator, monkeypatch: Any
) -> None:
    instead(monkeypatch, lambda work, _: scores(work, challenger=0.6, champion=0.9))
    trained.ingest(served, 100, rng)
    asking.ask("")
    found = threads.at_once(trained_app, lambda n: service.run_next(trained_settings, holder=str(n)), range(6))
    assert not threads.faults(found)
    assert sum(job is not None for job in found) == 1


def test_a_deploy_during_a_training_is_not_overwritten_unseen(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained.add_version(trained_settings, 2)
    real = child.run

    def deployed_meanwhile(work: Path, **options: Any) -> Any:
        found = real(work, **options)
        trained.activate(2)
        return found

    monkeypatch.setattr(child, "run", deployed_meanwhile)
    X, y = trained.rows(150, rng)
    served.post("/ingest/batch", json={"features": X, "labels": [1 - label for label in y]})
    asking.ask("")
    job = run(trained_settings)
    assert served.get("/models").json["active"] == 2
    assert (job.state, job.outcome) == ("done", "superseded")


def test_a_damaged_champion_does_not_keep_a_new_model_from_being_made(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator
) -> None:
    (trained_settings.models_folder / "1" / artifacts.MODEL).unlink()
    trained.ingest(served, 100, rng)
    asking.ask("the file is gone")
    job = run(trained_settings)
    assert job.outcome == "promoted"
    assert "Nothing was compared, because version 1 cannot be loaded" in (job.sentence or "")
    assert served.get("/models").json["active"] == 2


def test_corrected_labels_do_not_make_old_rows_new(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator
) -> None:
    names = [f"r{n}" for n in range(100)]
    trained.ingest(served, 100, rng, row_ids=names)
    with db.reading() as connection:
        last_batch, last_label, _ = service.features.newest_marks(connection)
    corrections = [{"row_id": name, "label": n % 2} for n, name in enumerate(names)]
    assert served.post("/feedback", json={"labels": corrections}).json["corrected"] > 20
    with db.reading() as connection:
        marks = {"last_batch": last_batch, "last_label": last_label}
        assert service.features.count_new_labels(connection, enough=1000, **marks) == 0
        samples = service.features.newest_labelled(connection, 100)
    assert samples.label_ids.tolist() == [0] * 100


def test_an_early_ask_by_hand_does_not_keep_the_first_model_from_training(
    client: FlaskClient, settings: Settings, rng: np.random.Generator
) -> None:
    asking.ask("too early")
    assert run(settings).outcome == "failed"
    trained.ingest(client, 60, rng)
    assert asking.ask_for_first(settings)


def test_a_stream_that_is_never_quiet_gets_its_first_model_too(
    client: FlaskClient, settings: Settings, rng: np.random.Generator
) -> None:
    trained.ingest(client, 60, rng)
    assert not asking.ask_for_first(replace(settings, quiet_s=3600.0))
    assert asking.ask_for_first(replace(settings, quiet_s=1e-9))


def test_a_fit_whose_server_is_told_to_end_is_queued_again_without_counting(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator
) -> None:
    trained.ingest(served, 100, rng)
    asking.ask("")
    service.run_next(trained_settings, holder="t", stopping=lambda: True)
    job = newest()
    assert (job.state, job.attempts, job.holder) == ("queued", 0, None)
    assert run(trained_settings).state == "done"


def test_versions_are_never_numbered_twice(served: FlaskClient, trained_settings: Settings) -> None:
    (trained_settings.models_folder / "2").mkdir()
    assert served.get("/models/2").status_code == 404
    with db.reading() as connection:
        assert service.versions.next_number(connection) == 2
