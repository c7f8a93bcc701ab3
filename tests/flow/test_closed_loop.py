"""The pipeline's figure as a test: ingest, train, predict, drift, retrain, reload; on both databases."""

from __future__ import annotations

import numpy as np

from tests.flow import streams
from tests.server import Server, wait_for

FAST = {"MLPIPE_CHECK_INTERVAL": "1", "MLPIPE_QUIET_S": "0.5", "MLPIPE_N_ESTIMATORS": "20"}


def test_the_loop_closes_by_itself(server: Server, rng: np.random.Generator) -> None:
    server.start(**FAST)
    waiting = server.post("/predict", {"features": [[1.0, 2.0, 3.0]]})
    assert (waiting.status_code, waiting.json()["code"]) == (503, "no_active_model")
    assert server.get("/health").json()["components"]["model"]["status"] == "waiting"

    streams.train_first(server, rng)
    answer = server.post("/predict", {"features": [[3.0, 3.0, 0.0], [-3.0, -3.0, 0.0]]}).json()
    assert answer["predictions"] == [1, 0]
    assert min(answer["probabilities"]) > 0.8

    for _ in range(7):
        streams.predict_and_label(server, rng, 100, shift=2.0)
    wait_for(lambda: _verdicts(server).count("drift") >= 1, seconds=20)
    server.wait_for_version(2)

    wait_for(lambda: server.post("/predict", {"features": [[3.0, 5.0, 0.0]]}).json()["model_version"] == 2, seconds=3)
    kinds = [entry["kind"] for entry in server.get("/ledger?limit=100").json()["items"]][::-1]
    assert [kind for kind in kinds if kind != "waiting_for_data"][:4] == ["schema", "trigger", "verdict", "deploy"]
    assert kinds.index("drift") < kinds.index("trigger", 3) < kinds.index("deploy", kinds.index("drift"))
    history = server.get("/models/history").json()["items"]
    assert [stretch["version"] for stretch in history] == [2, 1]
    assert server.get("/models/2").json()["verdict"]["gain"] > 0


def test_first_model_sees_the_first_upload_whole(server: Server, rng: np.random.Generator) -> None:
    server.start(MLPIPE_QUIET_S="2", MLPIPE_N_ESTIMATORS="10")
    for _ in range(8):
        X, y = streams.rows(rng, 150)
        server.post("/ingest/batch", {"features": X, "labels": y}).raise_for_status()
    server.wait_for_version(1)
    assert server.get("/models/1").json()["lineage"]["rows"] == 8 * 150


def _verdicts(server: Server) -> list[str]:
    return [report["verdict"] for report in server.get("/drift/reports").json()["items"]]
