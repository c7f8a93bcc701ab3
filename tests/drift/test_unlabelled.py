from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from tests import trained


def ask(client: FlaskClient, n: int, rng: np.random.Generator, *, hard: bool = False) -> tuple[list[str], list[int]]:
    """Let rows be predicted, easy ones or such near the border of the classes; return ids and labels."""
    X, y = trained.rows(n, rng)
    rows = [[0.02 * row[0], *row[1:]] for row in X] if hard else X
    return client.post("/predict", json={"features": rows}).json["prediction_ids"], y


def tell(client: FlaskClient, ids: list[str], labels: list[int]) -> None:
    assert client.post("/feedback", json={"prediction_ids": ids, "labels": labels}).status_code == 200


def check(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.post("/drift/check").json["quality"]
    return found


@pytest.fixture
def trusted(served: FlaskClient, rng: np.random.Generator) -> FlaskClient:
    """A client of a server whose estimate agrees with the labels so far."""
    tell(served, *ask(served, 600, rng))
    assert check(served)["estimate"]["trustworthy"]
    return served


def incidents(client: FlaskClient) -> list[dict[str, Any]]:
    found = client.get("/incidents?state=open").json["items"]
    return [incident for incident in found if incident["kind"] == "quality"]


def test_a_trusted_estimate_asks_for_a_retraining_before_labels_come(
    trusted: FlaskClient, rng: np.random.Generator
) -> None:
    ask(trusted, 400, rng, hard=True)
    report = trusted.post("/drift/check").json
    said = report["quality"]
    assert said["verdict"] == "estimated_drop"
    assert said["sentence"].startswith("Estimated, as labels are late: ")
    assert said["estimated"]["fell"]
    (incident,) = incidents(trusted)
    assert (incident["sentence"], incident["evidence"]["basis"]) == (said["sentence"], "estimate")
    job = trusted.get("/retraining/jobs").json["items"][0]
    (asked,) = (one for one in job["evidence"]["triggers"] if one["trigger"] == "quality")
    assert (asked["basis"], asked["report"], asked["incident"]) == ("estimate", report["id"], incident["id"])
    entry = trusted.get("/ledger?kind=quality_drop").json["items"][0]
    assert (entry["report_id"], entry["incident_id"]) == (report["id"], incident["id"])
    assert trusted.post("/drift/backtest", json={}).json["agrees"]


def test_an_estimate_of_rows_like_before_says_nothing(trusted: FlaskClient, rng: np.random.Generator) -> None:
    ask(trusted, 400, rng)
    said = check(trusted)
    assert (said["verdict"], said["estimated"]["fell"]) == ("waiting_for_labels", False)
    assert incidents(trusted) == []


def test_where_labels_are_here_they_speak_alone(trusted: FlaskClient, rng: np.random.Generator) -> None:
    tell(trusted, *ask(trusted, 400, rng, hard=True))
    said = check(trusted)
    assert "estimated" not in said
    assert said["verdict"] in {"ok", "drop"}


def test_an_estimate_that_was_not_checked_asks_for_nothing(served: FlaskClient, rng: np.random.Generator) -> None:
    ask(served, 400, rng, hard=True)
    assert "estimated" not in check(served)
    assert incidents(served) == []


def test_older_labels_do_not_refute_an_estimate_and_those_of_its_rows_do(
    trusted: FlaskClient, rng: np.random.Generator
) -> None:
    old, known = ask(trusted, 100, rng)
    X = [[0.02 * row[0], *row[1:]] for row in trained.rows(400, rng)[0]]
    told = trusted.post("/predict", json={"features": X}).json
    assert check(trusted)["verdict"] == "estimated_drop"
    tell(trusted, old, known)
    assert check(trusted)["verdict"] == "ok"
    assert len(incidents(trusted)) == 1
    tell(trusted, told["prediction_ids"], told["predictions"])
    assert check(trusted)["verdict"] == "ok"
    assert incidents(trusted) == []


def test_an_estimate_that_is_well_again_closes_its_own_incident(trusted: FlaskClient, rng: np.random.Generator) -> None:
    ask(trusted, 400, rng, hard=True)
    assert check(trusted)["verdict"] == "estimated_drop"
    for _ in range(3):
        ask(trusted, 1000, rng)
        said = check(trusted)
    assert not said["estimated"]["fell"]
    assert incidents(trusted) == []


def test_an_estimate_neither_closes_nor_rewrites_what_labels_have_shown(
    trusted: FlaskClient, rng: np.random.Generator
) -> None:
    ids, y = ask(trusted, 300, rng)
    tell(trusted, ids, [1 - label for label in y])
    dropped = check(trusted)
    assert dropped["verdict"] == "drop"
    ask(trusted, 400, rng)
    check(trusted)
    (incident,) = incidents(trusted)
    assert (incident["sentence"], incident["evidence"]["basis"]) == (dropped["sentence"], "labels")
