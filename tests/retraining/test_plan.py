from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flask.testing import FlaskClient

from mlpipe import clock
from mlpipe.retraining import asking, plan
from mlpipe.settings import Settings
from tests import trained


@pytest.mark.parametrize("joined", [False, True])
def test_a_retraining_after_a_drift_can_be_of_the_rows_since_then(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator, joined: bool
) -> None:
    settings = replace(trained_settings, window_policy="since_drift")
    trained.ingest(served, 80, rng)
    if joined:
        asking.ask("A person asked first.")
    served.post("/predict", json={"features": trained.rows(200, rng)[0]})
    served.post("/predict", json={"features": trained.rows(200, rng, shift=3)[0]})
    report = served.post("/drift/check").json
    trained.ingest(served, 120, rng)
    job = served.get("/retraining/jobs").json["items"][0]
    read = plan.read(settings, job["evidence"])
    assert len(read.samples) == 120
    assert clock.iso(int(read.samples.event_times.min())) >= report["since"]
    assert len(plan.read(settings, {}).samples) == trained.N_ROWS + 200
