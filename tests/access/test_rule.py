from __future__ import annotations

import pytest

from mlpipe.access import rule

HERE = {"HTTP_HOST": "localhost:8001"}


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.8.9.1", "::1"])
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8001", "127.0.0.1:8001", "[::1]:8001"])
def test_loopback_to_loopback_is_local(remote: str, host: str) -> None:
    assert rule.is_local(remote, {"HTTP_HOST": host})


@pytest.mark.parametrize(
    "remote", [None, "", "10.0.0.1", "192.168.1.7", "0.0.0.0", "::", "fe80::1", "unix:", "localhost.evil"]
)
def test_a_peer_elsewhere_is_not_local(remote: str | None) -> None:
    assert not rule.is_local(remote, HERE)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "10.0.0.1:8001",
        "0.0.0.0:8001",
        "[::",
        "localhost@evil.example",
    ],
)
def test_a_name_from_elsewhere_is_not_local(host: str) -> None:
    assert not rule.is_local("127.0.0.1", {"HTTP_HOST": host})


def test_a_request_without_a_host_is_not_local() -> None:
    assert not rule.is_local("127.0.0.1", {})


@pytest.mark.parametrize("name", sorted(rule.FORWARDING_HEADERS))
@pytest.mark.parametrize("value", ["127.0.0.1", "", "for=127.0.0.1"])
def test_a_request_that_was_passed_on_is_not_local(name: str, value: str) -> None:
    assert not rule.is_local("127.0.0.1", HERE | {name: value})


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:8050", "http://[::1]:8050"])
def test_a_page_of_this_machine_is_local(origin: str) -> None:
    assert rule.is_local("127.0.0.1", HERE | {"HTTP_ORIGIN": origin})


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        "localhost",
        "http://localhost.evil.example",
        "http://[",
        "http://[x]",
        "file://",
    ],
)
def test_a_page_from_elsewhere_is_not_local(origin: str) -> None:
    assert not rule.is_local("127.0.0.1", HERE | {"HTTP_ORIGIN": origin})
