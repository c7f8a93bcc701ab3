"""Made-up traffic with a known truth, and what flow tests do with a server again and again."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.server import Server, wait_for


def rows(rng: np.random.Generator, n: int, *, shift: float = 0.0) -> tuple[list[list[float]], list[int]]:
    """Return n rows of three columns; the label depends on two of them, and otherwise after a shift."""
    X = rng.normal(size=(n, 3))
    X[:, 1] += shift
    sign = -1 if shift else 1
    return X.tolist(), (X[:, 0] + sign * X[:, 1] > 0).astype(int).tolist()


def train_first(server: Server, rng: np.random.Generator, n: int = 1000) -> None:
    """Ingest labelled rows and wait until every worker serves version 1."""
    X, y = rows(rng, n)
    server.post("/ingest/batch", {"features": X, "labels": y}).raise_for_status()
    server.wait_for_version(1)
    wait_for(lambda: set(serving(server)) == {1})


def serving(server: Server) -> list[int | None]:
    """Return the version of every worker."""
    return [worker["model_version"] for worker in server.get("/workers").json()["items"]]


def predict_and_label(server: Server, rng: np.random.Generator, n: int, *, shift: float) -> dict[str, Any]:
    """Ask for predictions, send the true labels, return the answer of /predict."""
    X, y = rows(rng, n, shift=shift)
    answer: dict[str, Any] = server.post("/predict", {"features": X}).json()
    feedback = server.post("/feedback", {"prediction_ids": answer["prediction_ids"], "labels": y})
    assert feedback.json() == {"matched": n, "corrected": 0, "parked": 0}
    return answer
