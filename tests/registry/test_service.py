from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import db, errors
from mlpipe.registry import service, store
from mlpipe.settings import Settings
from tests import threads, trained

N_VERSIONS = 20


@pytest.fixture
def versions(trained_app: Flask, trained_settings: Settings) -> Flask:
    """An app with versions 1 (serving), 2 and 3."""
    for number in (2, 3):
        trained.add_version(trained_settings, number)
    return trained_app


def history() -> list[Any]:
    """Return stretches of serving, oldest first."""
    with db.reading() as connection:
        return store.history(connection, limit=1000)[::-1]


def check_linear(stretches: list[Any]) -> None:
    """See that one version after another has served, without gap, overlap or repetition."""
    assert [row.open for row in stretches] == [None] * (len(stretches) - 1) + [True]
    assert all(older.until == newer.since for older, newer in itertools.pairwise(stretches))
    assert all(a.model_version != b.model_version for a, b in itertools.pairwise(stretches))
    assert all(row.since <= row.until for row in stretches[:-1])


def test_activating_opens_a_new_generation(versions: Flask) -> None:
    generation = service.activate(2, by="test", reason="It is newer.")
    check_linear(history())
    newest = history()[-1]
    assert (newest.id, newest.model_version, newest.by, newest.reason) == (generation, 2, "test", "It is newer.")


def test_a_deploy_leaves_a_sentence(versions: Flask, served: FlaskClient) -> None:
    service.activate(3, by="test", reason="It is newer.")
    entry = served.get("/ledger?kind=deploy").json["items"][0]
    assert entry["sentence"] == "Version 3 serves instead of version 1. It is newer."
    assert entry["model_version"] == 3


def test_the_version_that_serves_cannot_be_activated(versions: Flask) -> None:
    with pytest.raises(errors.DeployConflict, match="serves already"):
        service.activate(1, by="test", reason="")
    assert len(history()) == 1


def test_an_unknown_version_cannot_be_activated(versions: Flask) -> None:
    with pytest.raises(errors.NotFound):
        service.activate(4, by="test", reason="")


def test_a_deploy_that_rests_on_an_old_generation_loses(versions: Flask) -> None:
    first = history()[0].id
    trained.activate(2)
    with db.transaction() as connection:
        assert store.switch(connection, 3, expected=first, kind="deploy", by="late", reason="") is None
        assert store.switch(connection, 3, expected=None, kind="deploy", by="blind", reason="") is None
    assert [row.model_version for row in history()] == [1, 2]
    check_linear(history())


def test_rollback_returns_to_what_served_before(versions: Flask) -> None:
    trained.activate(2)
    trained.activate(3)
    assert service.rollback(by="test", reason="Worse.")[0] == 2
    assert [row.model_version for row in history()] == [1, 2, 3, 2]
    assert history()[-1].reason == "Rolled back from version 3: Worse."
    check_linear(history())


def test_the_first_model_cannot_be_rolled_back(versions: Flask) -> None:
    with pytest.raises(errors.DeployConflict, match="nothing to roll back to"):
        service.rollback(by="test", reason="")


def test_versions_that_are_activated_at_once_serve_one_after_another(
    trained_app: Flask, trained_settings: Settings
) -> None:
    for number in range(2, N_VERSIONS + 2):
        trained.add_version(trained_settings, number)
    results = threads.at_once(trained_app, trained.activate, range(2, N_VERSIONS + 2))
    won = [result for result in results if isinstance(result, int)]
    assert all(isinstance(fault, errors.DeployConflict) for fault in threads.faults(results))
    assert won
    assert sorted(won) == sorted(row.id for row in history()[1:])
    check_linear(history())


def test_one_version_that_is_activated_from_all_sides_is_deployed_once(versions: Flask) -> None:
    results = threads.at_once(versions, lambda _: trained.activate(2), range(N_VERSIONS))
    assert len(threads.faults(results)) == N_VERSIONS - 1
    assert all(isinstance(fault, errors.DeployConflict) for fault in threads.faults(results))
    assert [row.model_version for row in history()] == [1, 2]


def test_a_second_rollback_does_not_return_to_the_version_that_the_first_left(versions: Flask) -> None:
    trained.activate(2)
    trained.activate(3)
    assert service.rollback(by="test", reason="Worse.")[0] == 2
    assert service.rollback(by="test", reason="Worse too.")[0] == 1
    with pytest.raises(errors.DeployConflict, match="nothing to roll back to"):
        service.rollback(by="test", reason="")


def test_activations_and_rollbacks_at_once_keep_the_history_linear(versions: Flask) -> None:
    trained.activate(2)

    def work(n: int) -> Any:
        return service.rollback(by="t", reason="") if n % 2 else trained.activate(n % 3 + 1)

    results = threads.at_once(versions, work, range(12))
    assert all(isinstance(fault, errors.DeployConflict) for fault in threads.faults(results))
    check_linear(history())


def test_routes_tell_what_serves(versions: Flask, served: FlaskClient) -> None:
    answer = served.post("/models/2/activate", json={"reason": "A try."})
    assert answer.status_code == 200
    assert (answer.json["version"], answer.json["state"]) == (2, "active")
    found = served.get("/models").json
    assert (found["name"], found["active"]) == ("mlpipe", 2)
    assert [(item["version"], item["state"]) for item in found["items"]] == [
        (3, "registered"),
        (2, "active"),
        (1, "retired"),
    ]
    assert served.get("/models/history").json["items"][0]["reason"] == "A try."


def test_a_version_shows_what_it_rests_on(served: FlaskClient) -> None:
    found = served.get("/models/1").json
    assert found["lineage"]["rows"] == trained.N_ROWS
    assert found["parameters"]["classes"] == [0.0, 1.0]
    assert found["metrics"]["accuracy"] > found["metrics"]["baseline_accuracy"]
    assert {"model.joblib", "manifest.json", "reference.npz", "smoke.npz", "MLmodel"} < set(found["files"])


def test_a_deploy_without_a_body_needs_no_content_type(versions: Flask, served: FlaskClient) -> None:
    assert served.post("/models/2/activate").status_code == 200
    assert served.post("/models/rollback").json["version"] == 1
    assert served.get("/models/history").json["items"][0]["reason"] == "Rolled back from version 2: Asked for by hand."


@pytest.mark.parametrize("path", ["/models/2/activate", "/retraining/jobs"])
def test_a_reason_without_a_length_is_read_too(versions: Flask, served: FlaskClient, path: str) -> None:
    answer = served.post(
        path,
        input_stream=io.BytesIO(b'{"raison": "typo"}'),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )
    assert answer.status_code == 422


def test_stretches_of_a_time_are_those_that_overlap_it(versions: Flask) -> None:
    for number in (2, 3):
        trained.activate(number)
    first, second, third = history()
    with db.reading() as connection:
        spans = {
            "all": (0, 2**62),
            "second": (second.since, second.until),
            "from the third on": (third.since, 2**62),
            "before": (0, first.since),
        }
        found = {
            name: [row.model_version for row in store.stretches(connection, since_us=since, until_us=until)]
            for name, (since, until) in spans.items()
        }
    assert found == {"all": [1, 2, 3], "second": [2], "from the third on": [3], "before": []}
