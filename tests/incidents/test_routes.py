from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from mlpipe import db
from mlpipe.incidents import store
from tests.moments import Time

HOUR = 3600


def open_one(kind: str = "drift", sentence: str = "temp moved.") -> None:
    with db.transaction() as connection:
        store.open_or_update(connection, kind, sentence, {"report": 7})


def resolve(kind: str = "drift") -> None:
    with db.transaction() as connection:
        assert store.resolve(connection, kind, "It is back.")


def history(client: FlaskClient, number: int = 1) -> list[tuple[str, str | None, str | None]]:
    return [(step["event"], step["by"], step["note"]) for step in client.get(f"/incidents/{number}").json["history"]]


def decisions(client: FlaskClient) -> list[str]:
    return [entry["sentence"] for entry in client.get("/ledger?kind=incident").json["items"]][::-1]


def test_an_incident_that_goes_on_is_updated_and_not_repeated(client: FlaskClient, time: Time) -> None:
    for sentence in ("temp moved.", "temp moved more.", "temp moved most."):
        open_one(sentence=sentence)
        time.passes(60)
    (incident,) = client.get("/incidents").json["items"]
    assert (incident["times"], incident["sentence"], incident["evidence"]) == (3, "temp moved most.", {"report": 7})
    assert (incident["opened_at"], incident["updated_at"]) == (
        "2027-01-15T08:00:00.000000Z",
        "2027-01-15T08:02:00.000000Z",
    )
    assert history(client) == [("opened", None, None)]
    assert len(decisions(client)) == 1


def test_a_life_from_opened_to_resolved_is_told_in_order(client: FlaskClient) -> None:
    open_one()
    client.post("/incidents/1/acknowledge", json={"by": "Ada", "note": "new sensor"})
    client.post("/incidents/1/mute", json={"hours": 2, "by": "Bo"})
    client.post("/incidents/1/unmute")
    resolve()
    assert [event for event, *_ in history(client)] == ["opened", "acknowledged", "muted", "unmuted", "resolved"]
    assert history(client)[1] == ("acknowledged", "Ada", "new sensor")
    assert history(client)[-1] == ("resolved", None, "It is back.")
    assert [sentence.split("(drift) ")[-1] for sentence in decisions(client)][:2] == [
        "was opened: temp moved.",
        "was acknowledged by Ada: new sensor",
    ]
    assert len(decisions(client)) == 5


def test_acknowledging_says_who_when_and_why(client: FlaskClient, time: Time) -> None:
    open_one()
    time.passes(60)
    answer = client.post("/incidents/1/acknowledge", json={"by": "Ada", "note": "new sensor"})
    assert answer.status_code == 200
    shown = answer.json
    assert (shown["state"], shown["acknowledged_by"], shown["note"]) == ("open", "Ada", "new sensor")
    assert shown["acknowledged_at"] == "2027-01-15T08:01:00.000000Z"
    assert client.get("/incidents/1").json == shown
    assert client.get("/incidents").json["items"][0]["acknowledged_by"] == "Ada"


def test_acknowledging_needs_no_body(client: FlaskClient) -> None:
    open_one()
    assert client.post("/incidents/1/acknowledge").json["acknowledged_by"] == "api"


def test_the_next_incident_of_a_kind_is_not_acknowledged(client: FlaskClient) -> None:
    open_one()
    client.post("/incidents/1/acknowledge", json={})
    resolve()
    open_one()
    assert client.get("/incidents/2").json["acknowledged_at"] is None


def test_a_mute_is_of_the_kind_ends_by_itself_and_outlives_the_incident(client: FlaskClient, time: Time) -> None:
    open_one()
    open_one("model_load")
    assert client.post("/incidents/1/mute", json={"hours": 1.5}).json["muted_until"] == "2027-01-15T09:30:00.000000Z"
    resolve()
    open_one()
    assert client.get("/incidents/3").json["muted_until"] == "2027-01-15T09:30:00.000000Z"
    assert client.get("/incidents/2").json["muted_until"] is None
    time.passes(1.5 * HOUR)
    assert client.get("/incidents/3").json["muted_until"] is None


def test_a_second_mute_replaces_the_first(client: FlaskClient, time: Time) -> None:
    open_one()
    client.post("/incidents/1/mute", json={"hours": 10})
    assert client.post("/incidents/1/mute", json={"hours": 1}).json["muted_until"] == "2027-01-15T09:00:00.000000Z"


def test_unmuting_works_when_the_incident_is_over_and_says_nothing_twice(client: FlaskClient) -> None:
    open_one()
    client.post("/incidents/1/mute", json={"hours": 1})
    resolve()
    for _ in range(2):
        assert client.post("/incidents/1/unmute", json={"by": "Ada"}).json["muted_until"] is None
    assert [step for step in history(client) if step[0] == "unmuted"] == [("unmuted", "Ada", None)]


@pytest.mark.parametrize("act", ["acknowledge", "mute", "unmute"])
@pytest.mark.parametrize("number", ["1", "9223372036854775807", "99999999999999999999", "x"])
def test_an_unknown_incident_is_a_404(client: FlaskClient, act: str, number: str) -> None:
    answer = client.post(f"/incidents/{number}/{act}", json={"hours": 1} if act == "mute" else {})
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


@pytest.mark.parametrize(("act", "body"), [("acknowledge", {}), ("mute", {"hours": 1})])
def test_an_incident_that_is_over_is_a_409_that_says_so(client: FlaskClient, act: str, body: Any) -> None:
    open_one()
    resolve()
    answer = client.post(f"/incidents/1/{act}", json=body)
    assert (answer.status_code, answer.json["code"], answer.json["state"]) == (409, "incident_conflict", "resolved")
    assert "Incident 1 (drift) was resolved at 20" in answer.json["detail"]
    assert len(history(client)) == 2


@pytest.mark.parametrize(
    ("act", "body", "pointer", "code"),
    [
        ("mute", {}, "/hours", "missing_member"),
        ("mute", {"hours": None}, "/hours", "not_a_number"),
        ("mute", {"hours": "2"}, "/hours", "not_a_number"),
        ("mute", {"hours": True}, "/hours", "not_a_number"),
        ("mute", {"hours": 0}, "/hours", "out_of_range"),
        ("mute", {"hours": -1}, "/hours", "out_of_range"),
        ("mute", {"hours": 720.5}, "/hours", "out_of_range"),
        ("mute", {"hours": 1, "by": 3}, "/by", "not_a_text"),
        ("mute", {"hour": 1}, "/hour", "unknown_member"),
        ("mute", [], "", "not_an_object"),
        ("acknowledge", {"by": "x" * 81}, "/by", "not_a_text"),
        ("acknowledge", {"note": "two\nlines"}, "/note", "not_a_text"),
        ("acknowledge", {"note": "x" * 501}, "/note", "not_a_text"),
        ("acknowledge", {"hours": 1}, "/hours", "unknown_member"),
        ("unmute", {"note": "x"}, "/note", "unknown_member"),
    ],
)
@pytest.mark.parametrize("database", ["sqlite"])
def test_a_wrong_body_is_a_422_that_points_at_it(
    client: FlaskClient, act: str, body: Any, pointer: str, code: str
) -> None:
    open_one()
    answer = client.post(f"/incidents/1/{act}", json=body)
    assert (answer.status_code, answer.json["code"]) == (422, "schema_violation")
    assert [(fault["pointer"], fault["code"]) for fault in answer.json["errors"]] == [(pointer, code)]
    assert history(client) == [("opened", None, None)]


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_mute_without_a_body_is_refused(client: FlaskClient) -> None:
    open_one()
    assert client.post("/incidents/1/mute").status_code == 415
    assert client.post("/incidents/1/mute", data="{", content_type="application/json").status_code == 400


def health(client: FlaskClient) -> tuple[str, str]:
    line = client.get("/health").json["components"]["incidents"]
    return line["status"], line["detail"]


def test_health_is_degraded_by_what_nobody_has_acknowledged_or_muted(client: FlaskClient) -> None:
    assert health(client) == ("ok", "No incident is open.")
    open_one("labels_silent", "No label for 2 h.")
    assert health(client) == ("degraded", "labels_silent: No label for 2 h.")
    client.post("/incidents/1/acknowledge", json={"by": "Ada"})
    assert health(client) == ("ok", "labels_silent (acknowledged by Ada): No label for 2 h.")
    open_one("model_load", "Version 2 is damaged.")
    assert health(client)[0] == "degraded"
    client.post("/incidents/2/mute", json={"hours": 1})
    status, detail = health(client)
    assert status == "ok"
    assert "model_load (muted until 20" in detail


def test_drift_alone_does_not_degrade_health(client: FlaskClient) -> None:
    open_one("drift", "temp moved.")
    assert health(client) == ("ok", "drift: temp moved.")
