from __future__ import annotations

import numpy as np
from flask.testing import FlaskClient

from mlpipe.registry import artifacts, pruning
from mlpipe.settings import Settings
from tests import trained


def test_a_card_says_what_a_version_is_and_how_good(served: FlaskClient, trained_settings: Settings) -> None:
    found = served.get("/models/1/card").json
    assert (found["version"], found["state"], found["aliases"]) == (1, "active", ["champion"])
    assert found["data"]["rows"] == trained.N_ROWS
    accuracy = found["measured"]["metrics"]["accuracy"]
    arrays = artifacts.load_arrays(trained_settings.models_folder / "1" / artifacts.REFERENCE)
    assert accuracy["value"] == np.mean(arrays["scores"].argmax(axis=1) == arrays["y"])
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert sum(cell["rows"] for cell in found["measured"]["calibration"]) == trained.N_ROWS
    assert [one["name"] for one in found["limits"]["ranges"]] == ["f0", "f1", "f2"]
    assert [one["label"] for one in found["limits"]["classes"]] == [0, 1]
    assert found["serving"][0]["until"] is None


def test_a_browser_gets_a_page(served: FlaskClient) -> None:
    served.post("/models/1/notes", json={"note": "<b>bold</b>", "by": "Ada"})
    for answer in (
        served.get("/models/1/card?format=html"),
        served.get("/models/1/card", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}),
    ):
        assert answer.mimetype == "text/html"
        assert "Version 1 of mlpipe" in answer.text
        assert "&lt;b&gt;bold&lt;/b&gt;" in answer.text
        assert "<b>bold" not in answer.text
    assert served.get("/models/1/card", headers={"Accept": "*/*"}).mimetype == "application/json"


def test_an_unknown_format_or_version_is_refused(served: FlaskClient) -> None:
    assert served.get("/models/1/card?format=pdf").json["code"] == "invalid_query"
    assert served.get("/models/9/card").status_code == 404


def test_a_pruned_version_keeps_the_card_of_its_row(served: FlaskClient, trained_settings: Settings) -> None:
    for number in range(2, 5):
        trained.add_version(trained_settings, number)
    pruning.prune(trained_settings.models_folder, keep=1)
    found = served.get("/models/2/card").json
    assert (found["state"], found["measured"], found["data"]["rows"]) == ("pruned", None, trained.N_ROWS)
    assert "were pruned" in served.get("/models/2/card?format=html").text


def test_a_damaged_reference_is_not_believed(served: FlaskClient, trained_settings: Settings) -> None:
    (trained_settings.models_folder / "1" / artifacts.REFERENCE).write_bytes(b"x")
    assert served.get("/models/1/card").json["code"] == "artifact_corrupt"


# Names and notes ------------------------------------------------------------------------------------------------


def test_people_name_versions(served: FlaskClient, trained_settings: Settings) -> None:
    trained.add_version(trained_settings, 2)
    assert served.put("/models/aliases/audit", json={"version": 2}).json == {"alias": "audit", "version": 2}
    assert served.get("/models").json["aliases"] == {"champion": 1, "audit": 2}
    assert served.put("/models/aliases/audit", json={"version": 1}).status_code == 200
    assert served.get("/models/1").json["aliases"] == ["champion", "audit"]
    assert served.delete("/models/aliases/audit").json["version"] is None
    assert served.delete("/models/aliases/audit").status_code == 404
    assert len(served.get("/ledger?kind=alias").json["items"]) == 3


def test_names_of_mlpipe_and_no_names_are_refused(served: FlaskClient) -> None:
    assert served.put("/models/aliases/champion", json={"version": 1}).status_code == 409
    assert served.put("/models/aliases/1st", json={"version": 1}).status_code == 400
    assert served.put("/models/aliases/audit", json={"version": 9}).status_code == 404
    assert served.put("/models/aliases/audit", json={}).status_code == 422
    assert served.put("/models/aliases/audit", json={"version": "1"}).status_code == 422


def test_previous_follows_from_what_served(served: FlaskClient, trained_settings: Settings) -> None:
    trained.add_version(trained_settings, 2)
    trained.activate(2)
    assert served.get("/models").json["aliases"] == {"champion": 2, "previous": 1}
    served.post("/models/rollback")
    assert served.get("/models").json["aliases"] == {"champion": 1}
    assert served.get("/models/2").json["state"] == "rolled_back"


def test_notes_are_kept_in_order(served: FlaskClient) -> None:
    for note in ("first", "second\nline"):
        assert served.post("/models/1/notes", json={"note": note}).status_code == 201
    assert [one["note"] for one in served.get("/models/1").json["notes"]] == ["first", "second\nline"]
    for body in ({}, {"note": ""}, {"note": 3}, {"note": "x", "by": ""}, {"note": "x" * 10_001}, {"nota": "x"}):
        assert served.post("/models/1/notes", json=body).status_code == 422
    assert served.post("/models/9/notes", json={"note": "x"}).status_code == 404
