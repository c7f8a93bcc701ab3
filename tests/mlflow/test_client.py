"""What goes wrong between mlpipe and something that calls itself MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from mlpipe import errors, settings, webhooks
from mlpipe.mlflow import remote
from mlpipe.mlflow.client import Client, Fault
from tests.server import free_ports


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Yield the URL of a server with one answer for all, and the headers of what it was asked."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(dict(self.headers))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        log_message: Callable[..., None] = lambda *_: None

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def get(url: str, *, token: str = "") -> dict[str, object]:
    return Client(webhooks.parse(url), token=token, timeout_s=2.0).get("experiments/get", name="a b")


@pytest.mark.parametrize(
    ("status", "body", "says", "lasts"),
    [
        (200, b"<html>", "did not answer with JSON", False),
        (200, b"[]", "did not answer with JSON", False),
        (302, b"", "answered 302, a redirect", False),
        (400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}', "answered 400: no", True),
        (401, b"go away", "answered 401: Unauthorized", False),
        (503, b"", "answered 503", False),
    ],
)
def test_every_fault_says_what_happened(status: int, body: bytes, says: str, lasts: bool) -> None:
    with answering(status, body, Location="http://127.0.0.1:1/") as (url, _), pytest.raises(Fault, match=says) as met:
        get(url)
    assert met.value.lasts is lasts


def test_nobody_listening_is_a_fault_that_passes() -> None:
    with pytest.raises(Fault, match="cannot be reached") as met:
        get(f"http://127.0.0.1:{free_ports(1)[0]}")
    assert not met.value.lasts


def test_credentials_are_sent_and_never_said() -> None:
    with answering(403, b"{}") as (url, asked):
        for token in ("", "t0ken"):
            with pytest.raises(Fault) as met:
                get(url.replace("//", "//me:secret@"), token=token)
            assert "secret" not in met.value.detail
            assert "t0ken" not in met.value.detail
    assert [one["Authorization"] for one in asked] == ["Basic bWU6c2VjcmV0", "Bearer t0ken"]


def test_files_that_do_not_go_through_the_server_are_not_supported() -> None:
    with pytest.raises(Fault, match="--serve-artifacts"):
        remote._place("s3://bucket/1/run/artifacts")


@pytest.mark.parametrize(
    "variables",
    [
        {"MLPIPE_MLFLOW_TRACKING_URI": "file:///tmp/secret"},
        {"MLPIPE_MLFLOW_TRACKING_URI": "mlflow.example:5000/secret"},
        {"MLPIPE_MLFLOW_TRACKING_URI": "http://mlflow.example/?secret=1"},
        {"MLPIPE_MLFLOW_TRACKING_URI": "http://u:secret@mlflow.example", "MLPIPE_MODEL_NAME": "a/b"},
        {"MLPIPE_MLFLOW_TOKEN": "secret one"},
    ],
)
def test_settings_that_cannot_work_are_refused_without_being_repeated(variables: dict[str, str], tmp_path) -> None:
    with pytest.raises(errors.InvalidSetting) as met:
        settings.load(variables, home=tmp_path)
    assert "secret" not in met.value.detail
