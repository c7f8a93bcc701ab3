from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import clock, db
from mlpipe.drift import service as drift
from mlpipe.incidents import store as incidents
from mlpipe.jobs import asking as jobs_asking
from mlpipe.jobs import ledger
from mlpipe.jobs import store as jobs
from mlpipe.retraining import asking, service
from mlpipe.settings import Settings
from tests import threads, trained
from tests.moments import Time

MONDAY = 1_780_272_000_000_000
"""2026-06-01 00:00 UTC."""
HOUR = 3600.0


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The present, which stands still an hour from now: after all that the fixtures have done."""
    time = Time(clock.now_us() + 3_600_000_000)
    monkeypatch.setattr(clock, "now_us", lambda: time.us)
    return time


def newest() -> jobs.Job:
    with db.reading() as connection:
        return jobs.page(connection, asking.KIND, limit=1)[0]


def triggers_of(job: jobs.Job) -> list[str]:
    return [one["trigger"] for one in job.evidence["triggers"]]


def sentences(client: FlaskClient, kind: str) -> list[str]:
    return [entry["sentence"] for entry in client.get(f"/ledger?kind={kind}&limit=1000").json["items"]]


def by_drift(report: int = 7, incident: int = 3) -> tuple[jobs.Job, bool]:
    with db.transaction() as connection:
        evidence = {"report": report, "incident": incident, "model_version": 1}
        return jobs_asking.ask(connection, "Drift: x moved.", trigger="drift", because="x moved.", evidence=evidence)


def ended(outcome: str, at: int, *, version: int = 1) -> None:
    """Write a retraining that was carried out, without carrying it out."""
    result = {"last_batch": 0, "last_label": 0, "version": version}
    with db.transaction() as connection:
        job = jobs.enqueue(connection, asking.KIND, "", holder="t")
        assert job is not None
        jobs.finish(connection, job, "t", state="done", outcome=outcome, sentence="", result=result)
        connection.execute(db.sa.update(jobs.jobs).where(jobs.jobs.c.id == job).values(finished_at=at))


def open_incident(kind: str = "drift") -> None:
    with db.transaction() as connection:
        incidents.open_or_update(connection, kind, "it moved")


def incidents_of(client: FlaskClient, kind: str) -> list[dict[str, Any]]:
    items = client.get("/incidents?limit=1000").json["items"]
    return [one for one in items if one["kind"] == kind]


# Asking ---------------------------------------------------------------------------------------------------------


def test_duplicates_merge_and_the_job_lists_all_that_asked(served: FlaskClient) -> None:
    first, made = by_drift(7)
    again, made_again = by_drift(8)
    asking.ask("The sensor was changed.")
    job = newest()
    assert (made, made_again, first.id, again.id) == (True, False, job.id, job.id)
    assert (job.evidence["trigger"], job.evidence["report"], job.evidence["incident"]) == ("drift", 7, 3)
    assert triggers_of(job) == ["drift", "manual"]
    assert (job.evidence["triggers"][0]["report"], job.evidence["triggers"][0]["times"]) == (8, 2)
    told = sentences(served, "trigger")
    assert f"job {job.id}, which is open, was asked for once more, because a person wants it" in told[0]
    assert f"job {job.id} was asked for, because x moved." in told[1]


def test_many_that_ask_at_once_share_one_job(trained_app: Flask) -> None:
    found = threads.at_once(trained_app, lambda n: by_drift(n)[0].id, range(8))
    assert not threads.faults(found)
    assert len(set(found)) == 1
    assert newest().evidence["triggers"][0]["times"] == 8


def test_age_asks_once_and_again_only_after_as_many_new_labels(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator
) -> None:
    old = replace(trained_settings, max_age_rows=80)
    trained.ingest(served, 79, rng)
    asking.ask_if_due(old)
    assert newest().id == 1
    trained.ingest(served, 1, rng)
    asking.ask_if_due(old)
    asking.ask_if_due(old)
    job = newest()
    assert (job.id, triggers_of(job), job.evidence["model_version"]) == (2, ["age"], 1)
    with db.transaction() as connection:
        assert jobs.claim(connection, asking.KIND, "t", lease_until=2**60)
        last_batch, last_label, _ = service.features.newest_marks(connection)
        seen = {"last_batch": last_batch, "last_label": last_label}
        jobs.finish(connection, job.id, "t", state="done", outcome="rejected", sentence="", result=seen)
    asking.ask_if_due(old)
    assert newest().id == 2
    trained.ingest(served, 80, rng)
    asking.ask_if_due(old)
    assert newest().id == 3


def test_n_new_labels_ask_where_that_is_set(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator
) -> None:
    trained.ingest(served, 70, rng)
    asking.ask_if_due(trained_settings)
    assert newest().id == 1
    asking.ask_if_due(replace(trained_settings, retrain_every_labels=70))
    assert triggers_of(newest()) == ["labels"]


def test_time_asks_where_that_is_set_but_waits_for_labels(
    served: FlaskClient, trained_settings: Settings, time: Time
) -> None:
    asking.ask_if_due(replace(trained_settings, max_age_s=7200.0))
    assert newest().id == 1
    time.passes(2 * HOUR)
    asking.ask_if_due(replace(trained_settings, max_age_s=7200.0))
    assert triggers_of(newest()) == ["age"]
    service.run_next(trained_settings, holder="t")
    shown = served.get(f"/retraining/jobs/{newest().id}").json
    assert shown["waits"]["for"] == "labels"
    assert "0 of 60 new labelled rows" in shown["waits"]["sentence"]


def test_the_calendar_asks_once_a_time_however_many_look_and_once_after_a_stop(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, time: Time
) -> None:
    nightly = replace(trained_settings, retrain_cron="0 3 * * *")
    start = MONDAY + (time.us - MONDAY) // 86_400_000_000 * 86_400_000_000 + 2 * 86_400_000_000
    time.us = start + 3 * 3_600_000_000
    threads.at_once(trained_app, lambda _: asking.ask_if_due(nightly), range(6))
    assert triggers_of(newest()) == ["cron"]
    assert newest().evidence["triggers"][0]["times"] == 1
    asking.cancel(newest().id)
    asking.ask_if_due(nightly)
    assert newest().state == "cancelled"
    time.passes(5 * 86_400)
    asking.ask_if_due(nightly)
    assert newest().state == "queued"
    asking.cancel(newest().id)
    asking.ask_if_due(nightly)
    assert newest().state == "cancelled"
    time.us = start + 6 * 86_400_000_000 + 3 * 3_600_000_000
    asking.ask_if_due(nightly)
    assert newest().state == "queued"


# Waiting --------------------------------------------------------------------------------------------------------


def test_a_job_that_waits_says_why_and_until_when(served: FlaskClient, trained_settings: Settings, time: Time) -> None:
    slow = replace(trained_settings, retrain_cooldown_s=600.0)
    ended("promoted", time.us)
    job, _ = by_drift()
    assert service.run_next(slow, holder="t") is None
    assert service.run_next(slow, holder="t") is None
    shown = served.get(f"/retraining/jobs/{job.id}").json
    assert (shown["state"], shown["waits"]["for"]) == ("queued", "cooldown")
    assert shown["waits"]["until"] == clock.iso(time.us + 600_000_000)
    (told,) = served.get("/ledger?kind=skip").json["items"]
    assert (told["times"], told["job_id"], told["evidence"]["until"]) == (1, job.id, shown["waits"]["until"])
    time.passes(600)
    assert served.get(f"/retraining/jobs/{job.id}").json["waits"] is None
    assert service.run_next(slow, holder="t") is not None
    assert newest().state == "waiting_for_labels"


def test_useless_retrainings_open_one_incident_and_the_end_of_the_drift_closes_it(
    served: FlaskClient, trained_settings: Settings, time: Time
) -> None:
    open_incident()
    for _ in range(3):
        time.passes(60)
        ended("rejected", time.us)
    by_drift()
    for _ in range(3):
        service.run_next(trained_settings, holder="t")
        time.passes(60)
    (useless,) = incidents_of(served, "retraining_useless")
    assert (useless["state"], useless["times"]) == ("open", 1)
    assert "None of the last 3 retrainings" in useless["sentence"]
    with db.transaction() as connection:
        incidents.resolve(connection, "drift", "it moved back")
    asking.hold_up(trained_settings)
    assert incidents_of(served, "retraining_useless")[0]["state"] == "resolved"
    assert "What had asked for retrainings is over." in sentences(served, "incident")[0]


def test_a_promotion_closes_the_incident_only_when_its_drift_is_over(
    served: FlaskClient, trained_settings: Settings, time: Time
) -> None:
    open_incident()
    open_incident("quality")
    for _ in range(3):
        ended("rejected", time.us)
    by_drift()
    service.run_next(trained_settings, holder="t")
    asking.cancel(newest().id)
    ended("promoted", time.us, version=2)
    asking.hold_up(trained_settings)
    assert incidents_of(served, "retraining_useless")[0]["state"] == "open"
    with db.transaction() as connection:
        incidents.resolve(connection, "drift", "it is learned")
    asking.hold_up(trained_settings)
    assert "A retraining has helped." in sentences(served, "incident")[0]


def test_promotions_count_as_useless_once_checks_of_their_versions_say_drift(
    served: FlaskClient, trained_settings: Settings, time: Time
) -> None:
    open_incident()
    with db.reading() as connection:
        drift_id = incidents.open_id(connection, "drift")
    for version in (2, 3, 4):
        ended("promoted", time.us, version=version)
    by_drift()
    with db.transaction() as connection:
        for version in (2, 3, 4):
            ledger.record(connection, "drift", "still", model_version=version, incident_id=drift_id)
    service.run_next(trained_settings, holder="t")
    assert served.get(f"/retraining/jobs/{newest().id}").json["waits"]["for"] == "back_off"


def test_in_quiet_times_retrainings_that_are_not_needed_are_no_incident(
    served: FlaskClient, trained_settings: Settings, time: Time
) -> None:
    for _ in range(3):
        ended("rejected", time.us)
    by_drift()
    service.run_next(trained_settings, holder="t")
    assert served.get(f"/retraining/jobs/{newest().id}").json["waits"]["for"] == "back_off"
    assert incidents_of(served, "retraining_useless") == []


def test_a_person_is_not_held_up_but_told(served: FlaskClient, trained_settings: Settings, time: Time) -> None:
    open_incident()
    for _ in range(3):
        ended("rejected", time.us)
    by_drift()
    service.run_next(trained_settings, holder="t")
    shown = served.post("/retraining/jobs", json={"reason": "I know better."}).json
    assert (shown["state"], shown["waits"]) == ("queued", None)
    assert "I know better. Automatic ones wait: None of the last 3" in sentences(served, "trigger")[0]
    assert service.run_next(trained_settings, holder="t") is not None


def test_one_class_waits_instead_of_failing(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator, time: Time
) -> None:
    narrow = replace(trained_settings, training_window=100)
    X, _ = trained.rows(200, rng)
    served.post("/ingest/batch", json={"features": X, "labels": [1] * 200})
    job, _ = by_drift()
    service.run_next(narrow, holder="t")
    shown = served.get(f"/retraining/jobs/{job.id}").json
    assert (shown["state"], shown["waits"]["for"], shown["attempts"]) == ("queued", "data", 0)
    assert "at least two classes are needed" in shown["waits"]["sentence"]
    assert service.run_next(narrow, holder="t") is None


# A day of drift that cannot be learned ---------------------------------------------------------------------------


def day(app: Flask, client: FlaskClient, settings: Settings, time: Time, *, coins: bool) -> None:
    """Let 24 hours pass in intervals of 300 s: the traffic is elsewhere, and labels come for rows like the old ones."""
    monitor: drift.Monitor = app.extensions["mlpipe.monitor"]
    rng = np.random.default_rng(11)
    for slot in range(288):
        time.passes(300)
        X, _ = trained.rows(100, rng, shift=3.0)
        assert client.post("/predict", json={"features": X}).status_code == 200
        X, y = trained.rows(100, rng)
        labels = rng.integers(0, 2, size=100).tolist() if coins else y
        assert client.post("/ingest/batch", json={"features": X, "labels": labels}).status_code == 201
        drift.run_slot(monitor, settings, slot=slot, holder="t")
        asking.ask_if_due(settings)
        service.run_next(settings, holder="t")
        trained.champion(app).refresh()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("coins", [True, False])
def test_a_day_of_drift_that_cannot_be_learned_costs_six_trainings_and_one_incident(
    served: FlaskClient, trained_app: Flask, trained_settings: Settings, time: Time, coins: bool
) -> None:
    day(trained_app, served, replace(trained_settings, min_new_labels=500), time, coins=coins)
    tried = [job for job in served.get("/retraining/jobs?limit=1000").json["items"] if job["outcome"] and job["id"] > 1]
    verdicts = [report["verdict"] for report in served.get("/drift/reports?limit=1000").json["items"]]
    assert verdicts.count("drift") == len(verdicts) == 288
    assert 3 <= len(tried) <= 6
    assert {job["outcome"] for job in tried} <= set(asking.TRAINED)
    assert [one["state"] for one in incidents_of(served, "retraining_useless")] == ["open"]
    assert [one["state"] for one in incidents_of(served, "drift")] == ["open"]
    with db.reading() as connection:
        skips = ledger.entries(connection, limit=1000, kind="skip")
    assert len(skips) < 30
