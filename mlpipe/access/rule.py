"""Which callers count as local [pure].

Loopback alone is not enough: a web page opened on this machine can reach loopback ports too (DNS rebinding, forms of
foreign sites), and a proxy makes strangers look local.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

FORWARDING_HEADERS = frozenset(
    {"HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP", "HTTP_VIA"}
)


def is_local(remote: str | None, headers: Mapping[str, Any]) -> bool:
    """Say whether a request comes from this machine by the caller's own will.

    Parameters
    ----------
    remote : str or None
        Address of the peer.
    headers : mapping
        Of the request, with the names that WSGI gives them.

    Examples
    --------
    >>> is_local("127.0.0.1", {"HTTP_HOST": "localhost:8001"})
    True
    >>> is_local("127.0.0.1", {"HTTP_HOST": "evil.example:8001"})
    False
    >>> is_local("127.0.0.1", {"HTTP_HOST": "localhost:8001", "HTTP_ORIGIN": "https://evil.example"})
    False
    """
    if not FORWARDING_HEADERS.isdisjoint(headers):
        return False
    origin = headers.get("HTTP_ORIGIN")
    here = _is_loopback(remote or "") and _is_loopback(_host("//" + headers.get("HTTP_HOST", "")))
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
