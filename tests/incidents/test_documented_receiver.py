"""The receiver of docs/incidents.md does what it says."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from mlpipe import clock, webhooks
from mlpipe.incidents import delivery, message
from tests.server import CHECKOUT

SECRET = "correct horse battery"


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("MLPIPE_WEBHOOK_SECRET", SECRET)
    page = (CHECKOUT / "docs" / "incidents.md").read_text()
    (source,) = re.findall(r"```python\n(.*?)^HTTPServer[^\n]*\n```", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(source, names)
    handler: type[BaseHTTPRequestHandler] = names["Receiver"]
    monkeypatch.setattr(handler, "log_message", lambda *_: None)
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def post(url: str, signed: bytes | None, *, at_s: int | None = None, secret: str = SECRET) -> int | None:
    at_s = clock.now_us() // clock.MICROSECONDS if at_s is None else at_s
    headers = {} if signed is None else {message.SIGNATURE: message.signature(secret, signed, at_s=at_s)}
    return delivery.post(webhooks.parse(url), b'{"text": "x"}', headers, allow_private=True, timeout_s=5).status


def test_the_documented_receiver_takes_what_is_signed_and_refuses_the_rest(url: str) -> None:
    body = b'{"text": "x"}'
    assert post(url, body) == 204
    assert post(url, None) == 401
    assert post(url, b'{"text": "y"}') == 401
    assert post(url, body, secret="another one, just as long") == 401
    assert post(url, body, at_s=clock.now_us() // clock.MICROSECONDS - 600) == 401
