from __future__ import annotations

import pytest

from mlpipe.incidents import address

NEVER = {
    "0.0.0.0": "an unspecified",
    "::": "an unspecified",
    "169.254.169.254": "a link-local",
    "fe80::1": "a link-local",
    "fe80::1%eth0": "a link-local",
    "224.0.0.1": "a multicast",
    "ff02::1": "a multicast",
    "240.0.0.1": "a reserved",
    "255.255.255.255": "a reserved",
    "::ffff:169.254.169.254": "a link-local",
    "64:ff9b::a9fe:a9fe": "a link-local",
    "2002:a9fe:a9fe::": "a link-local",
    "0.1.2.3": "a private",
    "192.0.2.7": "a private",
    "2001:db8::1": "a private",
}
PRIVATE = {
    "127.0.0.1": "a loopback",
    "127.255.255.254": "a loopback",
    "::1": "a loopback",
    "::ffff:127.0.0.1": "a loopback",
    "::127.0.0.1": "a loopback",
    "2002:7f00:1::": "a loopback",
    "10.0.0.1": "a private",
    "172.16.0.1": "a private",
    "172.31.255.255": "a private",
    "192.168.1.1": "a private",
    "64:ff9b::c0a8:101": "a private",
    "fc00::1": "a private",
    "fd12:3456::1": "a private",
    "100.64.0.1": "not a public",
}
PUBLIC = ("93.184.215.14", "172.32.0.1", "2606:2800:21f:cb07::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "100.63.0.1")


@pytest.mark.parametrize(("text", "name"), [*NEVER.items(), *PRIVATE.items()])
def test_what_is_not_public_is_refused_and_named(text: str, name: str) -> None:
    assert f" is {name} address" in (address.refusal(text, allow_private=False) or "")


@pytest.mark.parametrize("text", PUBLIC)
@pytest.mark.parametrize("allow", [True, False])
def test_public_addresses_are_admitted(text: str, allow: bool) -> None:
    assert address.refusal(text, allow_private=allow) is None


@pytest.mark.parametrize("text", PRIVATE)
def test_private_addresses_are_admitted_when_that_is_set(text: str) -> None:
    assert address.refusal(text, allow_private=True) is None


@pytest.mark.parametrize("text", NEVER)
def test_some_addresses_are_never_admitted(text: str) -> None:
    assert address.refusal(text, allow_private=True) is not None
