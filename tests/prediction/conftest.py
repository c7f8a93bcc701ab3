from __future__ import annotations

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import clock
from tests import trained


@pytest.fixture
def log(
    trained_app: Flask, served: FlaskClient, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[int], list[list[float]]]:
    """Ids and rows of four requests with 1, 2, 3 and 4 rows, predicted at 10, 20, 30 and 40."""
    ids, rows = [], []
    for n in (1, 2, 3, 4):
        X, _ = trained.rows(n, rng)
        monkeypatch.setattr(clock, "now_us", lambda at=10 * n: at)
        answer = served.post("/predict", json={"features": X}).json
        ids.append(int(answer["prediction_ids"][0].split("-")[0]))
        rows += X
    return ids, rows
