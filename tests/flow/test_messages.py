"""A person is told: from moved traffic to a signed message, while another receiver hangs."""

from __future__ import annotations

import socket

import numpy as np
import pytest

from mlpipe.incidents import message
from tests.flow import streams
from tests.incidents.receiver import hmac_sha256, receiving
from tests.server import Server, wait_for

SECRET = "correct horse battery"


@pytest.mark.parametrize("database", ["sqlite"])
def test_drift_reaches_a_person_once_and_a_hanging_receiver_holds_up_nothing(
    server: Server, rng: np.random.Generator
) -> None:
    with receiving() as receiver, socket.create_server(("127.0.0.1", 0)) as hanging:
        server.start(
            WEB_CONCURRENCY="2",
            MLPIPE_CHECK_INTERVAL="1",
            MLPIPE_QUIET_S="0",
            MLPIPE_MIN_SAMPLES="50",
            MLPIPE_N_ESTIMATORS="10",
            MLPIPE_PREDICTIONS_SILENT_S="4",
            MLPIPE_WEBHOOK_URLS=f"http://127.0.0.1:{hanging.getsockname()[1]}/,{receiver.url}",
            MLPIPE_WEBHOOK_SECRET=SECRET,
            MLPIPE_WEBHOOK_ALLOW_PRIVATE="true",
            MLPIPE_WEBHOOK_TIMEOUT_S="2",
        )
        streams.train_first(server, rng, 300)
        for _ in range(2):
            streams.predict_and_label(server, rng, 60, shift=3.0)
            wait_for(lambda: server.get("/drift").ok)
        wait_for(lambda: "opened" in receiver.events, seconds=20)
        before = _checks(server)
        wait_for(lambda: "predictions_silent" in [one.get("kind") for one in receiver.messages], seconds=20)
        opened = [(one["kind"], one["event"]) for one in receiver.messages]
        assert len(opened) == len(set(opened))
        _, headers, body = receiver.got[0]
        at, signed = (part.partition("=")[2] for part in headers[message.SIGNATURE].split(","))
        assert signed == hmac_sha256(SECRET.encode(), f"{at}.".encode() + body)
        assert _checks(server) >= before + 3, "a check a second goes on beside tries of two seconds"
        assert server.get("/health").json()["components"]["incidents"]["status"] == "degraded"
        assert SECRET not in server.output() + server.get("/incidents/1").text
        assert "/hook" not in server.get("/incidents/1").text


def _checks(server: Server) -> int:
    """Count the checks that waited for data: those that follow when traffic has stopped."""
    return sum(entry["times"] for entry in server.get("/ledger?kind=waiting_for_data").json()["items"])
