from __future__ import annotations

import numpy as np
import pytest
from flask.testing import FlaskClient

from mlpipe import db
from mlpipe.prediction import store
from tests import trained


@pytest.fixture
def asked(served: FlaskClient, rng: np.random.Generator) -> list[list[list[float]]]:
    requests = [trained.rows(n, rng)[0] for n in (3, 1, 4)]
    for X in requests:
        assert served.post("/predict", json={"features": X}).status_code == 200
    return requests


def window(n: int) -> store.Window:
    with db.reading() as connection:
        found = store.window(connection, 1, n)
    assert found is not None
    return found


def test_a_window_holds_the_newest_rows_oldest_first(asked: list[list[list[float]]]) -> None:
    found = window(6)
    assert found.X.tolist() == [row for X in asked for row in X][-6:]
    assert found.outputs.shape == (6,)
    assert found.probabilities is not None
    assert found.probabilities.shape == (6, 2)


def test_a_window_says_when_each_row_was_answered(served: FlaskClient, asked: list[list[list[float]]]) -> None:
    with db.reading() as connection:
        moments = [request.predicted_at for request in store.page(connection, limit=3)][::-1]
    assert window(6).predicted_at.tolist() == [moments[0], moments[1], *[moments[2]] * 4]
    assert window(100).predicted_at.tolist() == [*[moments[0]] * 3, moments[1], *[moments[2]] * 4]


def test_a_window_is_read_in_parts(asked: list[list[list[float]]], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = window(8)
    monkeypatch.setattr(store, "WINDOW_REQUESTS", 1)
    parts = window(8)
    assert np.array_equal(parts.X, whole.X)
    assert (parts.first, parts.last) == (whole.first, whole.last)


def test_a_version_without_traffic_has_no_window(served: FlaskClient) -> None:
    with db.reading() as connection:
        assert store.window(connection, 1, 5) is None
