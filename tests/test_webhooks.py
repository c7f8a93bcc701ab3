from __future__ import annotations

import pytest

from mlpipe import webhooks


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hooks.example/x", "does not begin with https:// or http://"),
        ("ftp://hooks.example/x", "does not begin with"),
        ("file:///etc/passwd", "does not begin with"),
        ("https://", "no host name"),
        ("https:///x", "no host name"),
        ("https://hooks..example/x", "no host name"),
        ("https://-x.example/", "no host name"),
        ("https://hooks.example:0/", "port 0"),
        ("https://hooks.example:99999/", "is not a URL"),
        ("https://hooks.example:x/", "is not a URL"),
        ("https://[::1/", "is not a URL"),
        ("https://[::1%25eth0]/", "not an IPv6 address"),
        ("https://hooks.example/a b", "has a space"),
        ("https://hooks.example/a\r\nX: 1", "has a space"),
        ("https://hooks.example\\@evil.example/", "backslash"),
        ("https://höoks.example/", "outside of ASCII"),
        ("http://2130706433/", "number for a host"),
        ("http://0x7f000001/", "number for a host"),
        ("http://0x7f.0.0.1/", "number for a host"),
        ("http://017700000001/", "number for a host"),
        ("http://0177.0.0.1/", "number for a host"),
        ("http://127.1/", "number for a host"),
        ("http://127.0.0.1./", "no host name"),
        ("http://1.2.3.4.5/", "number for a host"),
        ("http://hooks.0x1/", "number for a host"),
        ("https://hooks.example/" + "x" * 2000, "at most 2,000"),
    ],
)
def test_what_cannot_be_an_address_is_refused_and_not_repeated(text: str, why: str) -> None:
    with pytest.raises(ValueError, match="address 2") as caught:
        webhooks.parse_all(f"https://first.example, {text}")
    assert why in str(caught.value)
    assert text not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("https://hooks.example", "hooks.example", 443, "https://hooks.example"),
        ("HTTP://Hooks.Example:80/", "hooks.example", 80, "http://hooks.example"),
        ("http://me:secret@hooks.example:81/T0/B0", "hooks.example", 81, "http://hooks.example:81/..."),
        ("https://[2606:2800:021f::1]:8443/x", "2606:2800:21f::1", 8443, "https://[2606:2800:21f::1]:8443/..."),
        ("http://127.0.0.1:9/?token=1", "127.0.0.1", 9, "http://127.0.0.1:9/..."),
        ("https://xn--hks-sna.example/#x", "xn--hks-sna.example", 443, "https://xn--hks-sna.example"),
    ],
)
def test_an_address_is_shown_without_its_secrets(text: str, host: str, port: int, shown: str) -> None:
    webhook = webhooks.parse(text)
    assert (webhook.host, webhook.port, webhook.shown) == (host, port, shown)
    assert not any(secret in repr(webhook) for secret in ("secret", "T0", "token", "Basic"))


def test_an_address_may_stand_once() -> None:
    with pytest.raises(ValueError, match="address 3 stands there twice"):
        webhooks.parse_all("https://a.example,https://b.example,https://a.example")


def test_at_most_ten_may_be_named() -> None:
    assert len(webhooks.parse_all(",".join(f"https://a{place}.example" for place in range(10)))) == 10
    with pytest.raises(ValueError, match="11 addresses are named, at most 10"):
        webhooks.parse_all(",".join(f"https://a{place}.example" for place in range(11)))


def test_two_addresses_of_one_host_are_two() -> None:
    one, two = webhooks.parse_all(" https://a.example/x ,, https://a.example/y,")
    assert one.key != two.key
