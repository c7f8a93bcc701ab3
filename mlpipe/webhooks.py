"""Addresses that messages go to: read from the settings, and shown without what is secret in them."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import SplitResult, unquote, urlsplit

MOST = 10
"""Addresses that may be named: a test asks all of them at once, each in a thread."""

LONGEST = 2000
"""Characters of one address."""

PORTS = {"http": 80, "https": 443}

_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One address.

    Attributes
    ----------
    host : str
        Name or IP address, without brackets.
    target : str
        Path and query. Often a secret in itself, so it is not part of the representation.
    authorization : str
        Value of that header, from user and password in the address; empty without them.
    key : str
        First 16 hex digits of the address's sha256: what the database knows it by.
    shown : str
        The address as answers and logs show it.
    """

    scheme: str
    host: str
    port: int
    target: str = field(repr=False)
    authorization: str = field(repr=False)
    key: str
    shown: str

    @property
    def host_header(self) -> str:
        """The host as the request names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def parse_all(text: str) -> tuple[Webhook, ...]:
    """Return the addresses of a list with commas.

    Raises
    ------
    ValueError
        One cannot be used, or they are too many. The message tells its place and never repeats it.

    Examples
    --------
    >>> [webhook.shown for webhook in parse_all("https://hooks.example/T0/secret, http://u:p@other.example:8080")]
    ['https://hooks.example/...', 'http://other.example:8080']
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) > MOST:
        raise ValueError(f"{len(parts)} addresses are named, at most {MOST} may be")
    found: dict[str, Webhook] = {}
    for place, part in enumerate(parts, start=1):
        try:
            webhook = parse(part)
        except ValueError as fault:
            raise ValueError(f"address {place} {fault}") from None
        if webhook.key in found:
            raise ValueError(f"address {place} stands there twice; each gets every message once")
        found[webhook.key] = webhook
    return tuple(found.values())


def parse(text: str) -> Webhook:
    """Return one address.

    Raises
    ------
    ValueError
        It cannot be used; the message says why, as the rest of a sentence, and does not repeat it.

    Examples
    --------
    >>> parse("https://hooks.example:8443/in?key=1").host_header
    'hooks.example:8443'
    >>> parse("http://2130706433/")
    Traceback (most recent call last):
    ValueError: has a number for a host; write an IP address as four numbers, such as 192.0.2.7
    """
    if len(text) > LONGEST:
        raise ValueError(f"has {len(text):,} characters, at most {LONGEST:,} may be")
    if not re.fullmatch(r"[!-~]+", text) or "\\" in text:
        raise ValueError("has a space, a backslash or a character outside of ASCII; percent-encode it (a host: xn--)")
    split = _split(text)
    host = _host(split)
    port = split.port or PORTS[split.scheme]
    known = f"[{host}]" if ":" in host else host
    shown = f"{split.scheme}://{known}" + ("" if port == PORTS[split.scheme] else f":{port}")
    target = (split.path or "/") + (f"?{split.query}" if split.query else "")
    return Webhook(
        scheme=split.scheme,
        host=host,
        port=port,
        target=target,
        authorization=_authorization(split),
        key=hashlib.sha256(text.encode()).hexdigest()[:16],
        shown=shown if target == "/" else f"{shown}/...",
    )


def _split(text: str) -> SplitResult:
    try:
        split = urlsplit(text)
        port = split.port
    except ValueError:
        raise ValueError("is not a URL; expected https://host/path") from None
    if split.scheme not in PORTS:
        raise ValueError("does not begin with https:// or http://")
    if port == 0:
        raise ValueError("names port 0")
    return split


def _host(split: SplitResult) -> str:
    """Return the host in its one form; numbers in unusual forms are refused, as resolvers read them differently."""
    host = split.hostname or ""
    if ":" in host:
        try:
            return str(IPv6Address(host.replace("%", "/")))  # a zone (%eth0) is refused like any other stray character
        except AddressValueError:
            raise ValueError("has a host in brackets that is not an IPv6 address") from None
    if not _HOST_NAME.fullmatch(host):
        raise ValueError("has no host name that can be looked up")
    if not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return host
    try:
        return str(IPv4Address(host))
    except AddressValueError:
        raise ValueError("has a number for a host; write an IP address as four numbers, such as 192.0.2.7") from None


def _authorization(split: SplitResult) -> str:
    if split.username is None and split.password is None:
        return ""
    pair = f"{unquote(split.username or '')}:{unquote(split.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
