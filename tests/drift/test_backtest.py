from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import clock, db
from mlpipe.drift import backtest, service
from mlpipe.jobs import store as jobs
from mlpipe.schema.backtest import Rehearsal
from mlpipe.settings import Settings
from tests import trained

CHECKS = ("waiting_for_data", "stable", "harmless", "drift")
TESTS = ("quality_ok", "quality_drop")
STEP_S = 300
BEGIN = 7_000_000 * STEP_S * clock.MICROSECONDS
"""A time after that of the first deployment, at the beginning of a slot."""


class Story:
    """A server's life, on a clock that the test moves."""

    def __init__(self, app: Flask, settings: Settings, rng: np.random.Generator) -> None:
        self.client, self.app, self.settings, self.rng = app.test_client(), app, settings, rng
        self.monitor = service.Monitor(settings.models_folder)
        self.now = BEGIN

    def ask(self, n: int, *, shift: float = 0.0, requests: int = 3) -> None:
        """Let n rows be predicted, a second a request."""
        X, _ = trained.rows(n, self.rng, shift=shift)
        for part in np.array_split(np.array(X), requests):
            self.now += clock.MICROSECONDS
            assert self.client.post("/predict", json={"features": part.tolist()}).status_code == 200

    def tick(self) -> None:
        """Go on to the next slot and run its check, as the leader does."""
        slot = self.now // (STEP_S * clock.MICROSECONDS) + 1
        self.now = slot * STEP_S * clock.MICROSECONDS + 1234
        assert service.run_slot(self.monitor, self.settings, slot=slot, holder="t")

    def check(self) -> None:
        """Run one by hand."""
        self.now += clock.MICROSECONDS
        assert self.client.post("/drift/check").status_code == 200

    def answer(self, n: int, *, wrong: float = 0.0, shift: float = 0.0) -> None:
        """Let n rows be predicted and labelled a second later, some with the other class."""
        X, y = trained.rows(n, self.rng, shift=shift)
        self.now += clock.MICROSECONDS
        ids = self.client.post("/predict", json={"features": X}).json["prediction_ids"]
        self.now += clock.MICROSECONDS
        labels = [1 - label if self.rng.random() < wrong else label for label in y]
        assert self.client.post("/feedback", json={"prediction_ids": ids, "labels": labels}).status_code == 200
        self.corrigible = ids[:30], [1 - label for label in labels[:30]]

    def correct(self) -> None:
        """Take the first labels of the last ones back."""
        self.now += clock.MICROSECONDS
        ids, labels = self.corrigible
        assert self.client.post("/feedback", json={"prediction_ids": ids, "labels": labels}).status_code == 200

    def serve(self, version: int) -> None:
        """Let another version serve."""
        self.now += clock.MICROSECONDS
        trained.activate(version)
        trained.champion(self.app).refresh()

    def end_retraining(self) -> None:
        """Let the open retraining end without a new version."""
        self.now += clock.MICROSECONDS
        with db.transaction() as connection:
            job = jobs.claim(connection, "retraining", "t", lease_until=0)
            assert job is not None
            assert jobs.finish(connection, job.id, "t", state="failed", outcome="failed", sentence="It failed.")

    def replayed(self, **body: Any) -> Any:
        answer = self.client.post("/drift/backtest", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json


@pytest.fixture
def begun(trained_app: Flask, trained_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    # a mixture of moved and unmoved rows changes relations too, whatever the threshold
    settings = replace(trained_settings, threshold=1.0, deciding_detectors="ks,chi_square")
    trained_app.config["MLPIPE"] = settings
    told = Story(trained_app, settings, np.random.default_rng(20240607))
    monkeypatch.setattr(clock, "now_us", lambda: told.now)
    return told


@pytest.fixture
def story(begun: Story) -> Story:
    """Stable, waiting, moved, drift, joined, asked again, another version, back again, and one by hand."""
    begun.ask(100)
    begun.tick()
    begun.ask(20)
    begun.tick()
    begun.ask(100, shift=0.8)
    begun.tick()
    begun.ask(100, shift=4)
    begun.check()
    begun.ask(60, shift=4)
    begun.tick()
    begun.end_retraining()
    begun.ask(60, shift=4)
    begun.tick()
    trained.add_version(begun.settings, 2)
    begun.serve(2)
    begun.ask(30)
    begun.tick()
    begun.ask(70)
    begun.check()
    begun.serve(1)
    begun.end_retraining()
    begun.ask(70, shift=4)
    begun.tick()
    begun.tick()
    return begun


def ledger(client: FlaskClient, since: int = BEGIN) -> list[tuple[Any, ...]]:
    """Return what the ledger says of checks and the retrainings they began; what joined an open one is left out."""
    items = client.get("/ledger?limit=1000").json["items"][::-1]
    items = [item for item in items if "which is open, was asked for once more" not in item["sentence"]]
    wanted = [item for item in items if item["kind"] in {*CHECKS, *TESTS, "trigger"} and item["at"] >= clock.iso(since)]
    return [(item["kind"], item["at"], item["model_version"], _cause(item)) for item in wanted]


def _cause(item: Any) -> int | None:
    found: int | None = item["report_id"] or item["evidence"].get("quality_check")
    return found


def as_ledger(told: Any) -> list[tuple[Any, ...]]:
    """Write a replay as the ledger would have it."""
    asking = {(alarm["kind"], alarm["at"]) for alarm in told["alarms"] if alarm["retraining"]}
    entries = []
    for item in told["items"]:
        ids = (item["at"], item["model_version"], item["report"] or item["quality_check"])
        kind = item["verdict"] if item["kind"] == "drift" else f"quality_{item['verdict']}"
        entries += [(kind, *ids)] + [("trigger", *ids)] * ((item["kind"], item["at"]) in asking)
    return entries


def test_the_story_holds_every_kind_of_check(story: Story) -> None:
    kinds = [entry[0] for entry in ledger(story.client)]
    assert kinds == [
        *("stable", "waiting_for_data", "stable", "drift", "trigger", "drift", "drift", "trigger"),
        *("waiting_for_data", "stable", "drift", "trigger", "waiting_for_data"),
    ]


def test_unchanged_settings_replay_the_ledger_entry_for_entry(story: Story) -> None:
    told = story.replayed()
    assert told["agrees"]
    assert as_ledger(told) == ledger(story.client)
    reports = {row["id"]: row for row in story.client.get("/drift/reports").json["items"]}
    judged = [item for item in told["items"] if item["report"]]
    assert [item["report"] for item in judged] == sorted(reports)
    for item in judged:
        report = reports[item["report"]]
        assert all(item[name] == report[name] for name in ("verdict", "score", "sentence", "rows", "model_version"))
        assert (item["recorded_verdict"], item["recorded_score"]) == (item["verdict"], item["score"])
    then = told["recorded"]
    assert (told["checks"], told["retrainings"]) == (then["checks"], then["retrainings"]) == (7, 3)
    assert [alarm["at"] for alarm in told["alarms"]] == [alarm["at"] for alarm in then["alarms"]]


def test_unchanged_settings_agree_when_relations_decide_too(trained_app: Flask, begun: Story) -> None:
    begun.settings = trained_app.config["MLPIPE"] = replace(
        begun.settings, deciding_detectors="ks,chi_square,relations"
    )
    for shift in (0, 0.5, 2, 2):
        begun.ask(100, shift=shift)
        begun.tick()
    assert "drift" in [entry[0] for entry in ledger(begun.client)]
    assert as_ledger(begun.replayed()) == ledger(begun.client)


def test_any_part_of_the_history_replays_as_it_was(story: Story) -> None:
    times = [entry[1] for entry in ledger(story.client)]
    for since, until in [(times[3], None), (times[5], times[10]), (None, times[6])]:
        told = story.replayed(**{name: at for name, at in (("since", since), ("until", until)) if at})
        assert told["agrees"]
        wanted = [entry for entry in ledger(story.client) if (since or "") <= entry[1] < (until or "9")]
        assert as_ledger(told) == wanted


def test_a_replay_writes_nothing(story: Story) -> None:
    before = trained.counts()
    story.replayed()
    story.replayed(threshold=0.01, min_samples=10, check_interval=60)
    assert trained.counts() == before


def test_a_higher_threshold_alarms_less_and_a_lower_one_more(story: Story) -> None:
    as_it_was, high, low = story.replayed(), story.replayed(threshold=10), story.replayed(threshold=0.05)
    assert len(high["alarms"]) < len(as_it_was["alarms"]) < len(low["alarms"])
    assert high["retrainings"] < as_it_was["retrainings"]
    assert low["recorded"] == high["recorded"] == as_it_was["recorded"]
    assert not low["agrees"]
    assert not high["agrees"]
    assert low["settings"]["threshold"] == 0.05


def test_an_earlier_alarm_asks_and_the_next_ones_join_for_the_usual_time(story: Story) -> None:
    low = story.replayed(threshold=0.05)
    asked = [alarm["retraining"] for alarm in low["alarms"]]
    assert asked[0]
    assert low["alarms"][0]["at"] < story.replayed()["alarms"][0]["at"]


def test_fewer_samples_judge_what_waited(story: Story) -> None:
    told = story.replayed(min_samples=15)
    then = [item["recorded_verdict"] for item in told["items"]]
    assert told["checks"] == told["recorded"]["checks"] + 2
    waited = [item for item in told["items"] if item["recorded_verdict"] == "waiting_for_data"]
    assert [item["verdict"] for item in waited] == ["stable", "stable", "waiting_for_data"]
    assert then.count(None) == 0


def test_fewer_samples_judge_what_waited_when_the_rows_of_waiting_are_gone(story: Story) -> None:
    with_rows = story.replayed(min_samples=15)
    with db.transaction() as connection:
        jobs.forget(connection, service.CHECK, before_us=2**62)
    told = story.replayed(min_samples=15)
    shown = [(item["model_version"], item["rows"], item["verdict"], item["score"]) for item in told["items"]]
    wanted = [(item["model_version"], item["rows"], item["verdict"], item["score"]) for item in with_rows["items"]]
    assert shown == wanted, "the newest is kept"


def test_more_samples_make_fewer_checks(story: Story) -> None:
    told = story.replayed(min_samples=150, window_size=1000)
    assert 0 < told["checks"] < told["recorded"]["checks"]
    assert told["items"][0]["verdict"] == "waiting_for_data"


def test_a_shorter_interval_looks_in_between(begun: Story) -> None:
    for _ in range(3):
        begun.ask(50, requests=1)
        begun.now += 100 * clock.MICROSECONDS
    begun.tick()
    begun.check()
    told = begun.replayed(check_interval=100)
    ats = [item["at"] for item in told["items"]]
    assert ats == [clock.iso(BEGIN + n * 100 * clock.MICROSECONDS) for n in (1, 2, 3)]
    assert [item["rows"] for item in told["items"]] == [50, 100, 150]
    assert [item["recorded_verdict"] for item in told["items"]] == [None] * 3
    assert not told["agrees"]


def test_a_longer_interval_looks_at_more_at_once(begun: Story) -> None:
    for _ in range(4):
        begun.ask(60, requests=1)
        begun.tick()
    begun.now += 2 * STEP_S * clock.MICROSECONDS
    told = begun.replayed(check_interval=2 * STEP_S)
    assert [item["rows"] for item in told["items"]] == [120, 240]
    assert told["recorded"]["checks"] == 4


def test_another_interval_asks_for_its_own_retrainings(begun: Story) -> None:
    for _ in range(2):
        begun.ask(100, shift=4, requests=1)
        begun.tick()
    told = begun.replayed(check_interval=100)
    assert [alarm["retraining"] for alarm in told["alarms"]] == [True, False]
    assert told["recorded"]["retrainings"] == 1


def test_what_a_person_asked_for_stays_with_another_interval(begun: Story) -> None:
    begun.ask(60)
    begun.check()
    told = begun.replayed(check_interval=3600)
    (item,) = told["items"]
    assert (item["verdict"], item["recorded_verdict"]) == ("stable", "stable")


def test_a_version_without_its_folder_cannot_be_replayed_and_the_rest_is(story: Story) -> None:
    shutil.rmtree(story.settings.models_folder / "2")
    told = story.replayed()
    assert not told["agrees"]
    assert [item["verdict"] for item in told["items"] if item["model_version"] == 2] == ["waiting_for_data", None]
    (note,) = told["notes"]
    assert note.startswith("1 checks of version 2 cannot be replayed: 2/reference.npz cannot be read")
    assert all(item["verdict"] == item["recorded_verdict"] for item in told["items"] if item["model_version"] == 1)


def test_a_check_that_failed_is_left_out(begun: Story) -> None:
    begun.ask(60)
    reference = begun.settings.models_folder / "1" / "reference.npz"
    content = reference.read_bytes()
    reference.write_bytes(b"x")
    begun.tick()
    reference.write_bytes(content)
    begun.tick()
    told = begun.replayed()
    assert told["agrees"]
    assert [item["verdict"] for item in told["items"]] == ["stable"]


def test_nothing_happened_yet(client: FlaskClient) -> None:
    told = client.post("/drift/backtest").json
    assert (told["checks"], told["alarms"], told["items"], told["agrees"]) == (0, [], [], True)


# Quality ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def judged(begun: Story) -> Story:
    """Good answers, corrected ones, worse ones with drift and without, late labels of another version."""
    begun.answer(120)
    begun.tick()
    begun.correct()
    begun.answer(60, wrong=0.1)
    begun.tick()
    begun.answer(150, wrong=0.5)
    begun.tick()
    begun.answer(60, wrong=0.5, shift=4)
    begun.tick()
    begun.end_retraining()
    begun.correct()
    begun.answer(100, wrong=0.5, shift=4)
    begun.check()
    trained.add_version(begun.settings, 2)
    begun.serve(2)
    begun.answer(110)
    begun.tick()
    begun.correct()
    return begun


def test_tests_of_quality_replay_the_ledger_entry_for_entry(judged: Story) -> None:
    told = judged.replayed()
    kinds = [entry[0] for entry in ledger(judged.client)]
    assert {"quality_ok", "quality_drop", "drift", "stable", "trigger"} <= set(kinds)
    assert as_ledger(told) == ledger(judged.client)
    assert told["agrees"]
    tests = {row["id"]: row for row in judged.client.get("/quality/checks").json["items"]}
    replayed = [item for item in told["items"] if item["kind"] == "quality"]
    assert [item["quality_check"] for item in replayed] == sorted(tests)
    for item in replayed:
        test = tests[item["quality_check"]]
        assert all(item[name] == test[name] for name in ("verdict", "sentence", "rows", "model_version"))
        assert item["score"] in {window["rise"] for window in test["windows"]}
    then = told["recorded"]
    assert (told["quality_checks"], told["retrainings"]) == (then["quality_checks"], then["retrainings"])
    assert {alarm["quality_check"] for alarm in then["alarms"]} - {None}


def test_a_larger_drop_alarms_less_and_asks_for_less(judged: Story) -> None:
    as_it_was, large = judged.replayed(), judged.replayed(quality_drop=0.9)
    assert "drop" in {item["verdict"] for item in as_it_was["items"]}
    assert "drop" not in {item["verdict"] for item in large["items"]}
    assert large["recorded"] == as_it_was["recorded"]
    assert not large["agrees"]


def test_another_interval_tests_labels_at_its_own_beginnings(begun: Story) -> None:
    for _ in range(3):
        begun.answer(60, wrong=0.5)
        begun.now += 100 * clock.MICROSECONDS
    begun.tick()
    told = begun.replayed(check_interval=100)
    tests = [
        (item["rows"], item["verdict"], item["quality_check"]) for item in told["items"] if item["kind"] == "quality"
    ]
    assert tests == [(120, "drop", None), (180, "drop", None)]
    assert told["recorded"]["quality_checks"] == 1


def test_other_evidence_and_fewer_reference_rows_judge_otherwise(begun: Story) -> None:
    begun.ask(100, shift=4)
    begun.tick()
    assert [item["verdict"] for item in begun.replayed(deciding_detectors="relations")["items"]] != ["drift"]
    scores = [begun.replayed(reference_size=n)["items"][0]["score"] for n in (0, 10_000, 60)]
    recorded = begun.replayed()["items"][0]["score"]
    assert scores[:2] == [recorded, recorded]
    assert scores[2] != recorded


# Limits and mistakes ----------------------------------------------------------------------------------------------


def test_too_many_checks_are_refused_with_a_time_that_fits(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "MAX_CHECKS", 4)
    answer = story.client.post("/drift/backtest", json={})
    assert (answer.status_code, answer.json["code"]) == (422, "too_many_checks")
    assert (answer.json["checks"], answer.json["limit"]) == (10, 4)
    since = answer.json["detail"].split("(since ")[1].split(" ")[0]
    assert len(story.replayed(since=since)["items"]) == 4


def test_a_replay_that_takes_too_long_ends(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "BUDGET_S", -1)
    answer = story.client.post("/drift/backtest", json={})
    assert (answer.status_code, answer.json["replayed"], answer.json["checks"]) == (422, 0, 10)


def test_the_command_line_has_no_limit(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "MAX_CHECKS", 1)
    seen: list[tuple[int, int]] = []
    told = backtest.run(story.settings, Rehearsal(), tell=lambda *counts: seen.append(counts))
    assert told["agrees"]
    assert seen == [(n, 10) for n in range(11)]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"threshold": -1}, "/threshold"),
        ({"threshold": "0.1"}, "/threshold"),
        ({"alpha": True}, "/alpha"),
        ({"window_size": 100.5}, "/window_size"),
        ({"check_interval": 0}, "/check_interval"),
        ({"since": "yesterday"}, "/since"),
        ({"until": 7}, "/until"),
        ({"treshold": 1}, "/treshold"),
        ({"deciding_detectors": 3}, "/deciding_detectors"),
        ({"reference_size": "all"}, "/reference_size"),
        ({"quality_drop": 2}, "/quality_drop"),
    ],
)
def test_a_body_that_cannot_be_used_is_refused(client: FlaskClient, body: dict[str, Any], pointer: str) -> None:
    answer = client.post("/drift/backtest", json=body)
    assert (answer.status_code, answer.json["code"]) == (422, "schema_violation")
    assert answer.json["errors"][0]["pointer"] == pointer


def test_evidence_that_cannot_decide_is_refused(client: FlaskClient) -> None:
    answer = client.post("/drift/backtest", json={"deciding_detectors": "psi"})
    assert (answer.status_code, answer.json["code"]) == (422, "schema_violation")
    assert "psi can not decide" in answer.json["detail"]


def test_settings_that_do_not_go_together_are_refused(client: FlaskClient) -> None:
    answer = client.post("/drift/backtest", json={"min_samples": 500, "window_size": 400})
    assert (answer.status_code, answer.json["code"]) == (422, "schema_violation")
    assert "no window could ever be tested" in answer.json["detail"]
