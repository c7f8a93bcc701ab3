"""What a message says, how it is signed, and when it is tried again."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from mlpipe.incidents import kinds

SIGNATURE = "X-Mlpipe-Signature"
"""Header ``t=<seconds since 1970>,v1=<hex>``; the time is signed too, so that an old message cannot be sent again."""

MAX_TEXT = 3000
"""Characters of the text for people; Slack cuts a section there."""

FIRST_PAUSE_S = 5
MAX_PAUSE_S = 3600
MAX_TRIES = 12
"""With these pauses a receiver may be away for two and a half hours (8,715 s) before a message is given up."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who writes: the model's name, and the host that leads."""

    model_name: str
    instance: str


def payload(incident: dict[str, Any], event: str, sender: Sender, *, note: str | None = None) -> dict[str, Any]:
    """Return the message about an event: ``text`` as Slack and its kin read it, and the figures.

    Parameters
    ----------
    incident : dict
        As ``GET /incidents/<id>`` shows it, with times as text.
    event : {"opened", "resolved"}
    sender : Sender
    note : str, optional
        Why it is over.

    Examples
    --------
    >>> incident = {"id": 3, "kind": "labels_silent", "sentence": "No label for 2 h.", "state": "open"}
    >>> payload(incident, "opened", Sender("flights", "web-1"))["text"]
    'mlpipe flights on web-1: Labels are late. No label for 2 h. (incident 3)'
    """
    title = kinds.of(incident["kind"]).title
    head, said = (title, incident["sentence"]) if event == "opened" else (f"Resolved: {title}", note or "")
    shown = ("kind", "sentence", "state", "opened_at", "updated_at", "resolved_at", "times", "evidence")
    return {
        "text": text(f"{head}. {said}".rstrip() + f" (incident {incident['id']})", sender),
        "event": event,
        "incident": incident["id"],
        "title": title,
        **{name: incident.get(name) for name in shown},
        "note": note,
        "model_name": sender.model_name,
        "instance": sender.instance,
        "path": f"/incidents/{incident['id']}",
    }


def test_payload(sender: Sender, *, at: str) -> dict[str, Any]:
    """Return a message that says it is a test."""
    said = "A test. Messages about incidents will look like this one."
    return {
        "text": text(said, sender),
        "event": "test",
        "sentence": said,
        "sent_at": at,
        "model_name": sender.model_name,
        "instance": sender.instance,
        "path": "/incidents",
    }


def text(said: str, sender: Sender) -> str:
    """Return a sentence with its sender, cut to `MAX_TEXT`; what Slack takes for markup is escaped.

    Examples
    --------
    >>> text("a < b", Sender("m", "h"))
    'mlpipe m on h: a &lt; b'
    """
    whole = f"mlpipe {sender.model_name} on {sender.instance}: {said}"
    cut = whole if len(whole) <= MAX_TEXT else whole[: MAX_TEXT - 3] + "..."
    return cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def signature(secret: str, body: bytes, *, at_s: int) -> str:
    """Return the value of the `SIGNATURE` header.

    Notes
    -----
    ``v1 = HMAC-SHA256(secret, "<at_s>." + body)`` in hex (RFC 2104).

    Examples
    --------
    >>> signature("secret", b"{}", at_s=1)[:12]
    't=1,v1=11227'
    """
    digest = hmac.new(secret.encode(), b"%d." % at_s + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


def pause_s(attempts: int) -> int:
    """Return the seconds after which a message is tried again that was tried so many times.

    Examples
    --------
    >>> [pause_s(attempts) for attempts in (1, 2, 3, 11, 400)]
    [5, 10, 20, 3600, 3600]
    """
    return min(MAX_PAUSE_S, FIRST_PAUSE_S << min(attempts - 1, 20))
