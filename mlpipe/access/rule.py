"""Which callers count as local [pure].

Loopback alone is not enough: a web page opened on this machine can reach loopback ports too (DNS rebinding, forms of
foreign sites), and a proxy makes strangers look local.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

FORWARDING_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def is_local(remote: str | None, headers: Mapping[str, str]) -> bool:
    """Say whether a request comes from this machine by the caller's own will.

    Parameters
    ----------
    remote : str or None
        Address of the peer.
    headers : mapping
        Headers of the request, looked up without regard to case.

    Examples
    --------
    >>> is_local("127.0.0.1", {"Host": "localhost:8001"})
    True
    >>> is_local("127.0.0.1", {"Host": "evil.example:8001"})
    False
    >>> is_local("127.0.0.1", {"Host": "localhost:8001", "Origin": "https://evil.example"})
    False
    """
    if not _is_loopback(remote or "") or not _is_loopback(_host(headers.get("Host", ""))):
        return False
    if any(name in headers for name in FORWARDING_HEADERS):
        return False
    origin = headers.get("Origin")
    return origin is None or _is_loopback(urlsplit(origin).hostname or "")


def _host(text: str) -> str:
    try:
        return urlsplit("//" + text).hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
