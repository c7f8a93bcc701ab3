from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import clock, db
from mlpipe.jobs import leases
from mlpipe.prediction.champion import Champion
from mlpipe.registry import proposals, rollout, store
from mlpipe.retraining import asking as asking_of
from mlpipe.retraining import gate
from mlpipe.retraining import service as retraining
from mlpipe.settings import Settings
from tests import trained

PROMOTE = gate.Verdict(
    decision="promote", mode="improve", block=1, gain=0.1, low=0.05, high=0.15, n_rows=50, sentence="It is better."
)


def offer(settings: Settings, number: int, *, configured: str) -> str:
    """Offer a copy of version 1 as a retraining does."""
    trained.add_folder(settings, number)
    with db.reading() as connection:
        first = store.get(connection, 1)
    assert first is not None
    look = Champion(settings.models_folder).prepare
    return proposals.offer(
        replace(first, version=number),
        reason="It is better.",
        configured=configured,
        terms=rollout.Terms(look=look, wait_s=5),
        begin=lambda _connection: None,
        finish=lambda _connection, _outcome: None,
    )


def state(client: FlaskClient, number: int) -> str:
    return str(client.get(f"/models/{number}").json["state"])


def sentences(client: FlaskClient, kind: str) -> list[str]:
    return [entry["sentence"] for entry in client.get(f"/ledger?kind={kind}").json["items"]]


def test_what_passes_the_gate_is_deployed_by_itself(served: FlaskClient, trained_settings: Settings) -> None:
    assert offer(trained_settings, 2, configured="auto") == "deployed"
    assert served.get("/models").json["active"] == 2


def test_a_proposal_waits_for_a_person(served: FlaskClient, trained_settings: Settings) -> None:
    assert offer(trained_settings, 2, configured="propose") == "proposed"
    found = served.get("/models").json
    assert (found["active"], found["aliases"]) == (1, {"champion": 1, "challenger": 2})
    assert state(served, 2) == "proposed"
    assert len(served.get("/models/history").json["items"]) == 1
    assert sentences(served, "propose") == [
        "Version 2 is proposed. It waits for a person (MLPIPE_DEPLOY=propose). It is better."
    ]
    answer = served.post("/models/2/approve", json={"reason": "Looks good."})
    assert (answer.status_code, answer.json["state"]) == (200, "active")
    newest = served.get("/models/history").json["items"][0]
    assert (newest["version"], newest["reason"]) == (2, "Approved: Looks good.")
    assert state(served, 2) == "active"
    assert state(served, 1) == "retired"


def test_a_rejected_proposal_is_put_aside(served: FlaskClient, trained_settings: Settings) -> None:
    offer(trained_settings, 2, configured="propose")
    assert served.post("/models/2/reject", json={"reason": "Too slow."}).json["state"] == "rejected"
    assert state(served, 2) == "rejected"
    assert sentences(served, "reject") == ["Version 2 was rejected by api: Too slow."]
    assert served.post("/models/2/approve").json["code"] == "deploy_conflict"
    assert served.post("/models/2/activate").status_code == 200
    assert state(served, 2) == "active"


def test_a_newer_proposal_replaces_an_older_one(served: FlaskClient, trained_settings: Settings) -> None:
    offer(trained_settings, 2, configured="propose")
    offer(trained_settings, 3, configured="propose")
    assert (state(served, 2), state(served, 3)) == ("superseded", "proposed")
    answer = served.post("/models/2/approve")
    assert (answer.status_code, answer.json["proposed"]) == (409, 3)
    assert "version 3 is" in answer.json["detail"]


@pytest.mark.parametrize("action", ["approve", "reject", "activate"])
def test_what_is_not_there_is_not_found(served: FlaskClient, action: str) -> None:
    assert served.post(f"/models/77/{action}").status_code == 404


# Freeze ---------------------------------------------------------------------------------------------------------


def test_a_freeze_lets_only_people_change_what_serves(served: FlaskClient, trained_settings: Settings) -> None:
    answer = served.post("/models/freeze", json={"reason": "Holidays."})
    assert (answer.json["deploy"], answer.json["frozen"]["reason"]) == ("freeze", "Holidays.")
    assert served.get("/models").json["frozen"]["by"] == "api"
    assert offer(trained_settings, 2, configured="auto") == "proposed"
    assert served.get("/models").json["active"] == 1
    assert served.post("/models/2/activate").status_code == 200
    assert served.post("/models/rollback").status_code == 200
    assert sentences(served, "freeze")[0].startswith("What serves was frozen by api: Holidays.")


def test_after_the_freeze_the_setting_counts_again(served: FlaskClient, trained_settings: Settings) -> None:
    served.post("/models/freeze")
    assert served.post("/models/freeze").status_code == 409
    assert served.post("/models/unfreeze").json == {"deploy": "auto", "frozen": None}
    assert served.post("/models/unfreeze").status_code == 409
    assert offer(trained_settings, 2, configured="auto") == "deployed"


def test_a_setting_can_freeze_too(served: FlaskClient, trained_settings: Settings) -> None:
    assert offer(trained_settings, 2, configured="freeze") == "proposed"
    assert "frozen" in sentences(served, "propose")[0]


# With a retraining ----------------------------------------------------------------------------------------------


def test_a_first_model_is_proposed_once_and_serves_after_its_approval(
    app: Flask, client: FlaskClient, settings: Settings, rng: Any
) -> None:
    asking = replace(settings, deploy="propose")
    trained.ingest(client, trained.N_ROWS, rng)
    assert asking_of.ask_for_first(asking)
    assert retraining.run_next(asking, holder="t") is not None
    job = client.get("/retraining/jobs").json["items"][0]
    assert (job["state"], job["outcome"]) == ("done", "proposed")
    trained.ingest(client, 5, rng)
    assert not asking_of.ask_for_first(asking)
    assert client.post("/models/1/approve").status_code == 200
    assert client.post("/predict", json={"features": [[1, 0, 0]]}).json["model_version"] == 1


def test_a_retraining_whose_version_a_worker_does_not_get_ready_fails_and_the_old_one_stays(
    served: FlaskClient, trained_settings: Settings, rng: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "judge", lambda *_, **__: PROMOTE)
    now = clock.now_us()
    silent = {"id": "stuck", "host": "h", "pid": 1, "started_at": now, "seen_at": now + 60_000_000}
    with db.transaction() as connection:
        leases.beat(connection, silent | {"model_version": 1, "model_revision": 0})
    trained.ingest(served, 150, rng, batch_id="more")
    asking_of.ask("Again.")
    hasty = replace(trained_settings, deploy_wait_s=0.2, reload_interval_s=0.1)
    assert retraining.run_next(hasty, holder="t") is not None
    job = served.get("/retraining/jobs").json["items"][0]
    assert (job["state"], job["outcome"]) == ("failed", "failed")
    assert "worker stuck was not ready within 0.3 s" in job["sentence"]
    assert served.get("/models").json["active"] == 1
    assert state(served, 2) == "registered"
