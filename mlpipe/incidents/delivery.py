"""One POST to one address: resolved, checked, connected to the very address that was checked, bounded in time.

The standard library's and requests' clients resolve a name again when they connect, follow redirects, and wait anew
for every byte; a message needs none of it, but an answer's status line.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass

from mlpipe.incidents import address
from mlpipe.webhooks import Webhook

MAX_HEAD = 16 * 1024
"""Bytes of an answer that are read to find its status."""

MAX_SAID = 200
"""Characters of a refusal's own words that are kept."""

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: |\r)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a try ended.

    Parameters
    ----------
    ok : bool
        Whether the receiver has taken the message (status 200 to 299).
    detail : str
        What happened, for a person; without the address's secrets.
    status : int, optional
        The answer's status, if there was one.
    hopeless : bool
        Whether another try makes no sense.
    """

    ok: bool
    detail: str
    status: int | None = None
    hopeless: bool = False


class _Refused(Exception):
    """The address rule forbids it."""


def post(
    webhook: Webhook, body: bytes, headers: Mapping[str, str], *, allow_private: bool, timeout_s: float
) -> Outcome:
    """Send a body and say what came of it; never raises for what the network or the receiver does.

    Parameters
    ----------
    webhook : Webhook
    body : bytes
        JSON.
    headers : mapping
        Beside those that every message has.
    allow_private : bool
        See `address.refusal`.
    timeout_s : float
        Most seconds for connecting, sending and the answer together. Looking up a name goes by the system's own
        limits (``/etc/resolv.conf``).
    """
    try:
        found = resolve(webhook, allow_private=allow_private)
        end = time.monotonic() + timeout_s
        with _connect(webhook, found, end) as connection:
            connection.settimeout(_left(end))
            connection.sendall(_request(webhook, body, headers))
            status, said = _answer(connection, end)
    except _Refused as fault:
        return Outcome(ok=False, detail=str(fault), hopeless=True)
    except TimeoutError:
        return Outcome(ok=False, detail=f"no answer within {timeout_s:g} s")
    except socket.gaierror as fault:
        return Outcome(ok=False, detail=f"the name {webhook.host} cannot be looked up: {fault.strerror}")
    except ssl.SSLError as fault:
        return Outcome(ok=False, detail=f"TLS failed: {getattr(fault, 'verify_message', '') or fault.reason or fault}")
    except (OSError, ValueError) as fault:
        return Outcome(ok=False, detail=f"the connection failed: {getattr(fault, 'strerror', None) or fault}")
    return _outcome(status, said)


def resolve(webhook: Webhook, *, allow_private: bool) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    """Return the addresses of a host; all of them must be admitted."""
    found = socket.getaddrinfo(webhook.host, webhook.port, type=socket.SOCK_STREAM)
    for *_, place in found:
        why = address.refusal(str(place[0]), allow_private=allow_private)
        if why:
            advice = "" if allow_private else "; MLPIPE_WEBHOOK_ALLOW_PRIVATE=true admits private ones"
            raise _Refused(f"nothing is sent there: {why}{advice}")
    return [(family, (str(place[0]), webhook.port)) for family, *_, place in found]


def _connect(webhook: Webhook, found: list[tuple[socket.AddressFamily, tuple[str, int]]], end: float) -> socket.socket:
    """Connect to the first address that answers."""
    fault: OSError = ConnectionError("the name has no address")
    for family, place in found:
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(_left(end))
            connection.connect(place)
            return _wrapped(connection, webhook) if webhook.scheme == "https" else connection
        except OSError as met:
            connection.close()
            fault = met
    raise fault


def _wrapped(connection: socket.socket, webhook: Webhook) -> socket.socket:
    """Add TLS that verifies the name in the address, not the IP address that it stands for today."""
    return trust().wrap_socket(connection, server_hostname=webhook.host)


def trust() -> ssl.SSLContext:
    """Return whom TLS trusts: the system's authorities, or those of ``SSL_CERT_FILE``."""
    return ssl.create_default_context()


def _request(webhook: Webhook, body: bytes, headers: Mapping[str, str]) -> bytes:
    own = {
        "Host": webhook.host_header,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "User-Agent": "mlpipe",
        "Connection": "close",
    }
    if webhook.authorization:
        own["Authorization"] = webhook.authorization
    lines = [f"POST {webhook.target} HTTP/1.1", *(f"{name}: {value}" for name, value in (own | dict(headers)).items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _answer(connection: socket.socket, end: float) -> tuple[int, bytes]:
    """Return the status, and of a refusal its first words; informational answers (1xx) are passed over."""
    came = b""
    while True:
        head, blank, rest = came.partition(b"\r\n\r\n")
        if not blank:
            if len(came) > MAX_HEAD:
                raise ValueError(f"the head of the answer has more than {MAX_HEAD:,} bytes")
            part = _receive(connection, end)
            if not part:
                raise ValueError("the connection was closed before an answer came")
            came += part
            continue
        found = _STATUS.match(head + b"\r")
        if found is None:
            raise ValueError("the answer is not HTTP/1.1")
        if int(found[1]) >= 200:
            return int(found[1]), rest if int(found[1]) < 400 else _words(connection, rest, end)
        came = rest


def _words(connection: socket.socket, said: bytes, end: float) -> bytes:
    """Read on for the words of a refusal; without them the status is enough."""
    with contextlib.suppress(OSError):  # it has answered: what is missing or late now changes nothing
        while len(said) < MAX_SAID and (part := _receive(connection, end)):
            said += part
    return said


def _receive(connection: socket.socket, end: float) -> bytes:
    connection.settimeout(_left(end))
    return connection.recv(4096)


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _outcome(status: int, said: bytes) -> Outcome:
    if 200 <= status < 300:
        return Outcome(ok=True, detail=f"answered {status}", status=status)
    if 300 <= status < 400:
        detail = f"answered {status}, a redirect; redirects are not followed, name the final address"
        return Outcome(ok=False, detail=detail, status=status)
    words = "".join(one if one.isprintable() else " " for one in said.decode("utf-8", "replace")).strip()
    return Outcome(ok=False, detail=f"answered {status}: {words[:MAX_SAID]}".rstrip(": "), status=status)
