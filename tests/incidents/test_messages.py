"""From an incident to a message that arrives: a real receiver, the clock of the test, both databases."""

from __future__ import annotations

import socket
from dataclasses import replace
from http.server import BaseHTTPRequestHandler

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import db
from mlpipe.incidents import message, sending, store
from mlpipe.settings import Settings
from tests import threads
from tests.incidents.receiver import Receiver, hmac_sha256, receiving
from tests.moments import Time

SECRET = "correct horse battery"
HOUR = 3600


@pytest.fixture
def told(app: Flask, settings: Settings, receiver: Receiver) -> Settings:
    """Settings that name the receiver."""
    made = replace(settings, webhook_urls=receiver.url, webhook_secret=SECRET, webhook_allow_private=True)
    app.config["MLPIPE"] = made
    return made


def open_one(sentence: str = "temp <moved> & stayed.") -> bool:
    with db.transaction() as connection:
        return store.open_or_update(connection, "drift", sentence, {"score": 0.3})


def resolve() -> bool:
    with db.transaction() as connection:
        return store.resolve(connection, "drift", "Nothing has moved.")


def messages(client: FlaskClient, number: int = 1) -> list[tuple[str, str, int]]:
    found = client.get(f"/incidents/{number}").json["messages"]
    return [(one["event"], one["state"], one["attempts"]) for one in found]


# Once -----------------------------------------------------------------------------------------------------------


def test_an_incident_is_told_once_however_often_it_is_seen(told: Settings, receiver: Receiver, time: Time) -> None:
    for _ in range(5):
        open_one()
        sending.tell(told)
        time.passes(300)
    assert receiver.events == ["opened"]


def test_a_message_says_what_a_person_and_a_program_need(told: Settings, receiver: Receiver, time: Time) -> None:
    open_one()
    sending.tell(told)
    (got,) = receiver.messages
    host = socket.gethostname()
    assert got["text"] == f"mlpipe mlpipe on {host}: Drift. temp &lt;moved&gt; &amp; stayed. (incident 1)"
    assert got == {
        "text": got["text"],
        "event": "opened",
        "incident": 1,
        "title": "Drift",
        "kind": "drift",
        "sentence": "temp <moved> & stayed.",
        "state": "open",
        "opened_at": "2027-01-15T08:00:00.000000Z",
        "updated_at": "2027-01-15T08:00:00.000000Z",
        "resolved_at": None,
        "times": 1,
        "evidence": {"score": 0.3},
        "note": None,
        "model_name": "mlpipe",
        "instance": host,
        "path": "/incidents/1",
    }


def test_the_signature_is_the_hmac_of_time_and_body(told: Settings, receiver: Receiver, time: Time) -> None:
    open_one()
    sending.tell(told)
    path, headers, body = receiver.got[0]
    at, signed = (part.partition("=")[2] for part in headers[message.SIGNATURE].split(","))
    assert (path, headers["Content-Type"], at) == ("/hook", "application/json", "1800000000")
    assert signed == hmac_sha256(SECRET.encode(), at.encode() + b"." + body)


def test_without_a_secret_nothing_is_signed(told: Settings, receiver: Receiver) -> None:
    open_one()
    sending.tell(replace(told, webhook_secret=""))
    assert message.SIGNATURE not in receiver.got[0][1]


def test_the_end_is_told_once_to_those_who_know_of_the_beginning(
    told: Settings, receiver: Receiver, client: FlaskClient, time: Time
) -> None:
    open_one()
    sending.tell(told)
    time.passes(60)
    assert resolve()
    assert not resolve()
    with receiving() as late:
        sending.tell(replace(told, webhook_urls=f"{receiver.url},{late.url}"))
        assert late.got == []
    assert receiver.events == ["opened", "resolved"]
    last = receiver.messages[1]
    assert (last["state"], last["resolved_at"], last["note"]) == (
        "resolved",
        "2027-01-15T08:01:00.000000Z",
        "Nothing has moved.",
    )
    assert "Resolved: Drift. Nothing has moved. (incident 1)" in last["text"]
    assert messages(client) == [("opened", "sent", 1), ("resolved", "sent", 1)]


def test_an_incident_that_opens_again_is_told_again(told: Settings, receiver: Receiver) -> None:
    for _ in range(2):
        open_one()
        sending.tell(told)
        resolve()
        sending.tell(told)
    assert receiver.events == ["opened", "resolved"] * 2
    assert [one["incident"] for one in receiver.messages] == [1, 1, 2, 2]


def test_what_is_over_before_anybody_was_told_is_not_told(
    told: Settings, receiver: Receiver, client: FlaskClient
) -> None:
    open_one()
    resolve()
    assert sending.tell(told) == 0
    assert (receiver.got, messages(client)) == ([], [])


def test_what_is_over_before_the_message_was_tried_is_taken_back(
    told: Settings, receiver: Receiver, client: FlaskClient
) -> None:
    open_one()
    sending.tell(told, stopping=lambda: True)
    assert messages(client) == [("opened", "queued", 0)]
    resolve()
    sending.tell(told)
    assert (receiver.got, messages(client)) == ([], [("opened", "dropped", 0)])


def test_every_address_gets_its_own(told: Settings, receiver: Receiver, client: FlaskClient) -> None:
    with receiving() as other:
        open_one()
        other.answers = [500]
        sending.tell(replace(told, webhook_urls=f"{other.url},{receiver.url}"))
        assert (receiver.events, other.events) == (["opened"], ["opened"])
    assert messages(client) == [("opened", "queued", 1), ("opened", "sent", 1)]


def test_without_an_address_nothing_waits_for_one(settings: Settings, told: Settings, receiver: Receiver) -> None:
    open_one()
    assert sending.tell(settings) == 0
    assert sending.tell(told) == 0
    assert receiver.got == []


def test_what_is_not_committed_is_not_told(told: Settings, receiver: Receiver) -> None:
    def breaks() -> None:
        with db.transaction() as connection:
            store.open_or_update(connection, "drift", "temp moved.")
            raise RuntimeError("rolled back")

    with pytest.raises(RuntimeError, match="rolled back"):
        breaks()
    assert sending.tell(told) == 0


# Again ----------------------------------------------------------------------------------------------------------


def test_a_receiver_that_fails_is_tried_again_with_longer_pauses(
    told: Settings, receiver: Receiver, client: FlaskClient, time: Time
) -> None:
    receiver.answers = [500, 503, 429]
    open_one()
    tries_at: list[float] = []
    for second in range(60):
        before = len(receiver.got)
        sending.tell(told)
        tries_at += [second] * (len(receiver.got) - before)
        time.passes(1)
    assert tries_at == [0, 5, 15, 35]
    assert len({body for _, _, body in receiver.got}) == 1
    assert len({headers[message.SIGNATURE] for _, headers, _ in receiver.got}) == 4, "each try signs its own time"
    assert messages(client) == [("opened", "sent", 4)]


def test_a_message_that_never_arrives_is_given_up_and_said_so_everywhere(
    told: Settings, receiver: Receiver, client: FlaskClient, time: Time
) -> None:
    receiver.answers = [500] * 99
    open_one()
    for _ in range(3 * message.MAX_TRIES):
        sending.tell(told)
        time.passes(HOUR)
    assert len(receiver.got) == message.MAX_TRIES
    (one,) = client.get("/incidents/1").json["messages"]
    assert (one["state"], one["attempts"], one["last_error"]) == ("failed", 12, "answered 500: said so")
    line = client.get("/ledger?kind=failure").json["items"][0]["sentence"]
    assert "opened of incident 1 to http://127.0.0.1" in line
    assert "/hook" not in line + one["url"]
    assert "given up: answered 500" not in client.get("/health").json["components"]["incidents"]["detail"], "a day ago"


def test_health_says_that_messages_are_given_up_until_one_arrives(
    told: Settings, receiver: Receiver, client: FlaskClient, time: Time
) -> None:
    receiver.answers = [500] * message.MAX_TRIES
    open_one()
    while messages(client) != [("opened", "failed", message.MAX_TRIES)]:
        sending.tell(told)
        time.passes(HOUR)
    line = client.get("/health").json["components"]["incidents"]
    assert line["status"] == "degraded"
    assert "was given up: answered 500: said so." in line["detail"]
    resolve()
    sending.tell(told)
    assert messages(client) == [("opened", "failed", message.MAX_TRIES)], "who never heard of it needs no end"
    open_one()
    sending.tell(told)
    assert client.get("/health").json["components"]["incidents"]["status"] == "ok"


def test_the_end_waits_for_a_beginning_that_may_have_arrived(
    told: Settings, receiver: Receiver, client: FlaskClient, time: Time
) -> None:
    receiver.answers = [500]
    open_one()
    sending.tell(told)
    resolve()
    sending.tell(told)
    assert messages(client) == [("opened", "queued", 1), ("resolved", "queued", 0)]
    time.passes(5)
    sending.tell(told)
    assert receiver.events == ["opened", "opened", "resolved"]


def test_an_address_that_is_named_no_more_is_given_up(
    told: Settings, receiver: Receiver, settings: Settings, client: FlaskClient
) -> None:
    open_one()
    sending.tell(told, stopping=lambda: True)
    sending.tell(settings)
    (one,) = client.get("/incidents/1").json["messages"]
    assert (one["state"], one["attempts"]) == ("failed", 1)
    assert "MLPIPE_WEBHOOK_URLS does not name" in one["last_error"]


def test_a_private_address_is_refused_at_once_unless_it_is_allowed(
    told: Settings, receiver: Receiver, client: FlaskClient
) -> None:
    open_one()
    sending.tell(replace(told, webhook_allow_private=False))
    (one,) = client.get("/incidents/1").json["messages"]
    assert (one["state"], receiver.got) == ("failed", [])
    assert "127.0.0.1 is a loopback address; MLPIPE_WEBHOOK_ALLOW_PRIVATE" in one["last_error"]


# Several senders ------------------------------------------------------------------------------------------------


def test_senders_at_once_send_once(told: Settings, receiver: Receiver, app: Flask) -> None:
    open_one()
    results = threads.at_once(app, lambda _: sending.tell(told), range(4))
    assert threads.faults(results) == []
    assert receiver.events == ["opened"]
    resolve()
    threads.at_once(app, lambda _: sending.tell(told), range(4))
    assert receiver.events == ["opened", "resolved"]


def test_a_message_whose_sender_died_is_sent_when_its_lease_has_ended(
    told: Settings, receiver: Receiver, client: FlaskClient, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise SystemExit

    open_one()
    with monkeypatch.context() as patch:
        patch.setattr(sending, "_settle", dies)
        with pytest.raises(SystemExit):
            sending.tell(told)
    sending.tell(told)
    assert receiver.events == ["opened"]
    time.passes(sending.LEASE_S)
    sending.tell(told)
    assert receiver.events == ["opened", "opened"]
    assert messages(client) == [("opened", "sent", 2)]


def test_a_sender_that_was_overtaken_does_not_write_over_the_other(
    told: Settings, receiver: Receiver, client: FlaskClient, time: Time
) -> None:
    def overtaken(handler: BaseHTTPRequestHandler) -> None:
        time.passes(sending.LEASE_S)
        with receiver_app.app_context():
            sending.tell(told)
        handler.send_response(500)
        handler.end_headers()

    receiver_app = client.application
    receiver.answers = [overtaken]
    open_one()
    sending.tell(told)
    assert messages(client) == [("opened", "sent", 2)]


# Mutes ----------------------------------------------------------------------------------------------------------


def test_a_mute_holds_messages_back_and_its_end_lets_what_still_matters_go(
    told: Settings, receiver: Receiver, client: FlaskClient, time: Time
) -> None:
    open_one()
    sending.tell(told)
    client.post("/incidents/1/mute", json={"hours": 1})
    resolve()
    open_one()
    resolve()
    open_one()
    time.passes(HOUR - 1)
    sending.tell(told)
    assert receiver.events == ["opened"]
    time.passes(1)
    sending.tell(told)
    assert [(one["event"], one["incident"]) for one in receiver.messages] == [
        ("opened", 1),
        ("resolved", 1),
        ("opened", 3),
    ]


def test_a_mute_stops_what_is_being_tried_again_and_unmuting_goes_on(
    told: Settings, receiver: Receiver, client: FlaskClient, time: Time
) -> None:
    receiver.answers = [500]
    open_one()
    sending.tell(told)
    client.post("/incidents/1/mute", json={"hours": 1})
    time.passes(60)
    sending.tell(told)
    assert len(receiver.got) == 1
    client.post("/incidents/1/unmute")
    sending.tell(told)
    assert len(receiver.got) == 2


# The test message -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_test_tells_what_happened_for_each_address(
    told: Settings, receiver: Receiver, app: Flask, client: FlaskClient
) -> None:
    with receiving() as other:
        other.answers = [404]
        urls = f"{receiver.url},{other.url},http://unknown.invalid/secret,http://169.254.169.254/latest"
        app.config["MLPIPE"] = replace(told, webhook_urls=urls)
        answer = client.post("/incidents/test")
        assert (receiver.events, other.events) == (["test"], ["test"])
    assert answer.status_code == 200
    assert answer.json["sentence"] == "1 of 4 addresses took the test message."
    assert [(one["ok"], one["status"]) for one in answer.json["items"]] == [
        (True, 200),
        (False, 404),
        (False, None),
        (False, None),
    ]
    details = [one["detail"] for one in answer.json["items"]]
    assert details[:2] == ["answered 200", "answered 404: said so"]
    assert "unknown.invalid cannot be looked up" in details[2]
    assert "169.254.169.254 is a link-local address" in details[3]
    assert "secret" not in answer.text
    assert SECRET not in answer.text


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_test_without_addresses_says_what_to_set(client: FlaskClient) -> None:
    answer = client.post("/incidents/test").json
    assert answer["items"] == []
    assert "MLPIPE_WEBHOOK_URLS" in answer["sentence"]
