"""Which callers count as local [pure].

Loopback alone is not enough: a web page opened on this machine can reach loopback ports too (DNS rebinding, forms of
foreign sites), and a proxy makes strangers look local.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit


class Headers(Protocol):
    """Headers of a request, looked up without regard to case."""

    def __contains__(self, name: str, /) -> bool:
        """Say whether a header is there."""

    def get(self, name: str, /) -> str | None:
        """Return a header's value, or None."""


FORWARDING_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def is_local(remote: str | None, headers: Headers) -> bool:
    """Say whether a request comes from this machine by the caller's own will.

    Parameters
    ----------
    remote : str or None
        Address of the peer.
    headers : Headers
        Of the request.

    Examples
    --------
    >>> is_local("127.0.0.1", {"Host": "localhost:8001"})
    True
    >>> is_local("127.0.0.1", {"Host": "evil.example:8001"})
    False
    >>> is_local("127.0.0.1", {"Host": "localhost:8001", "Origin": "https://evil.example"})
    False
    """
    if any(name in headers for name in FORWARDING_HEADERS):
        return False
    origin = headers.get("Origin")
    here = _is_loopback(remote or "") and _is_loopback(_host("//" + (headers.get("Host") or "")))
    return here and (origin is None or _is_loopback(_host(origin)))


@lru_cache(maxsize=1000)
def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


@lru_cache(maxsize=1000)
def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
