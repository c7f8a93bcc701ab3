from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from mlpipe import webhooks
from mlpipe.incidents import delivery
from tests.incidents.receiver import Receiver, receiving

BODY = b'{"text": "hello"}'


def post(url: str, *, allow_private: bool = True, timeout_s: float = 5.0) -> delivery.Outcome:
    return delivery.post(webhooks.parse(url), BODY, {"X-More": "1"}, allow_private=allow_private, timeout_s=timeout_s)


@contextmanager
def answering(act: Callable[[socket.socket], Any]) -> Iterator[str]:
    """Yield the URL of a server that takes one connection, reads a request, and does what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(10)
                came = b""
                while BODY not in came:
                    came += connection.recv(4096)
                act(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join()


def says(*parts: bytes) -> Callable[[socket.socket], None]:
    def act(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)

    return act


def test_a_body_arrives_whole_with_its_headers(receiver: Receiver) -> None:
    url = receiver.url.replace("http://", "http://me:se%40cret@") + "/deep?key=1"
    assert post(url) == delivery.Outcome(ok=True, detail="answered 200", status=200)
    ((path, headers, body),) = receiver.got
    assert (path, body) == ("/hook/deep?key=1", BODY)
    assert (headers["X-More"], headers["Connection"]) == ("1", "close")
    assert headers["Host"] == receiver.url.split("/")[2]
    assert headers["Authorization"] == "Basic bWU6c2VAY3JldA=="


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_taken(receiver: Receiver, status: int) -> None:
    receiver.answers = [status]
    assert post(receiver.url).ok


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
def test_other_answers_are_refusals_with_their_words(receiver: Receiver, status: int) -> None:
    receiver.answers = [status]
    assert post(receiver.url) == delivery.Outcome(ok=False, detail=f"answered {status}: said so", status=status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    with receiving() as other:

        def redirects(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.send_header("Location", other.url)
            handler.end_headers()

        receiver.answers = [redirects]
        outcome = post(receiver.url)
        assert other.got == []
    assert (outcome.ok, outcome.status) == (False, status)
    assert "redirects are not followed" in outcome.detail


def test_informational_answers_are_passed_over() -> None:
    act = says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b"HTTP/1.1 204 \r\n\r\n")
    with answering(act) as url:
        assert post(url).status == 204


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        (b"", "closed before an answer came"),
        (b"HTTP/1.1 200 OK\r\n", "closed before an answer came"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "the answer is not HTTP/1.1"),
        (b"HTTP/1.1 999 Odd\r\n\r\n", "the answer is not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * delivery.MAX_HEAD, "the head of the answer has more than 16,384 bytes"),
    ],
)
def test_what_is_no_answer_is_a_failure(said: bytes, detail: str) -> None:
    with answering(says(said)) as url:
        outcome = post(url)
    assert (outcome.ok, outcome.status) == (False, None)
    assert detail in outcome.detail


def test_words_of_a_refusal_are_short_and_printable() -> None:
    with answering(says(b"HTTP/1.1 400 Bad\r\n\r\n", b"a\x1b[31m\r\nb" + b"x" * 9000)) as url:
        detail = post(url).detail
    assert detail.startswith("answered 400: a [31m  bxx")
    assert len(detail) < 230


def drips(connection: socket.socket) -> None:
    for _ in range(100):
        try:
            connection.sendall(b"H")
        except OSError:
            return
        time.sleep(0.05)


@pytest.mark.parametrize("act", [drips, lambda connection: connection.recv(1)], ids=["drips", "hangs"])
def test_a_slow_receiver_costs_no_more_than_the_timeout(act: Callable[[socket.socket], Any]) -> None:
    with answering(act) as url:
        began = time.monotonic()
        outcome = post(url, timeout_s=0.3)
        assert time.monotonic() - began < 1.5
    assert (outcome.ok, outcome.detail) == (False, "no answer within 0.3 s")


def test_a_refusal_counts_though_its_words_never_end() -> None:
    def act(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 500 No\r\n\r\n")
        connection.recv(1)

    with answering(act) as url:
        assert post(url, timeout_s=0.3).status == 500


def test_nobody_listens(free_port: int) -> None:
    outcome = post(f"http://127.0.0.1:{free_port}/")
    assert (outcome.ok, outcome.hopeless) == (False, False)
    assert outcome.detail == "the connection failed: Connection refused"


@pytest.fixture
def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


# Names ----------------------------------------------------------------------------------------------------------


def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let the resolver give these addresses, one list a call; return the list of names that were asked."""
    asked: list[str] = []
    left = list(answers)

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in one], socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return asked


def test_the_address_that_was_checked_is_the_one_that_is_called(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = receiver.url.split(":")[2].split("/")[0]
    asked = names(monkeypatch, ["127.0.0.1"], ["192.0.2.1"])
    assert post(f"http://hooks.example:{port}/").ok
    assert asked == ["hooks.example"], "looked up once: a second answer could be another address"
    assert receiver.got[0][1]["Host"] == f"hooks.example:{port}"


@pytest.mark.parametrize("found", [["10.0.0.7"], ["93.184.215.14", "127.0.0.1"], ["93.184.215.14", "fd00::1"]])
def test_one_private_address_of_a_name_is_enough_to_refuse_it(
    found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, found)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("connected"))
    outcome = post("https://hooks.example/", allow_private=False)
    assert (outcome.ok, outcome.hopeless) == (False, True)
    assert f"{found[-1]} is a private address" in outcome.detail or "a loopback address" in outcome.detail


def test_the_next_address_of_a_name_is_tried(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    port = receiver.url.split(":")[2].split("/")[0]
    names(monkeypatch, ["::1", "127.0.0.1"])
    assert post(f"http://hooks.example:{port}/").ok


# TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of hooks.example that signs itself, and its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=hooks.example -keyout key -out crt"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=DNS:hooks.example"], cwd=folder, check=True, capture_output=True
    )
    both = folder / "both.pem"
    both.write_text((folder / "key").read_text() + (folder / "crt").read_text())
    return both


@contextmanager
def secured(certificate: Path) -> Iterator[int]:
    """Yield the port of a server that takes one TLS connection and answers 200."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            plain, _ = server.accept()
            with plain:
                try:
                    with context.wrap_socket(plain, server_side=True) as connection:
                        connection.recv(4096)
                        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                except OSError:
                    return  # the client did not trust it

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def trusting(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    context = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(delivery, "trust", lambda: context)


def test_tls_is_spoken_to_the_checked_address_under_the_name(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, ["127.0.0.1"])
    trusting(monkeypatch, certificate)
    with secured(certificate) as port:
        assert post(f"https://hooks.example:{port}/").ok


def test_tls_refuses_a_certificate_of_another_name(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, ["127.0.0.1"])
    trusting(monkeypatch, certificate)
    with secured(certificate) as port:
        detail = post(f"https://other.example:{port}/").detail
    assert detail.startswith("TLS failed: Hostname mismatch")


def test_tls_refuses_an_authority_that_nobody_knows(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, ["127.0.0.1"])
    with secured(certificate) as port:
        detail = post(f"https://hooks.example:{port}/").detail
    assert detail == "TLS failed: self-signed certificate"


def test_tls_with_a_server_that_speaks_none(receiver: Receiver) -> None:
    assert post(receiver.url.replace("http:", "https:")).detail.startswith("TLS failed: ")
