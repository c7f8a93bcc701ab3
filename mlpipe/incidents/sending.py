"""From an event to messages that arrive: written once, claimed, tried, tried again, given up."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from mlpipe import clock, db
from mlpipe.incidents import delivery, message, outbox, store
from mlpipe.jobs import ledger
from mlpipe.settings import Settings
from mlpipe.webhooks import Webhook

logger = logging.getLogger("mlpipe.incidents")

LEASE_S = 120
"""How long a message belongs to who sends it: longer than any try (30 s and the lookup of a name)."""

ROUND_S = 10.0
"""Longest time after which a round begins no other message; the next round goes on."""


def tell(settings: Settings, *, stopping: Callable[[], bool] = lambda: False) -> int:
    """Write the messages of new events, and send what is due.

    Parameters
    ----------
    settings : Settings
    stopping : callable
        Whether the process is about to end: then no other message is begun.

    Returns
    -------
    int
        Messages that were tried. A round costs two small reads while there is nothing to tell, begins no message
        after `ROUND_S`, and never holds a transaction open while it waits for a receiver.
    """
    _write_messages(settings)
    end = time.monotonic() + ROUND_S
    tried = 0
    while not stopping() and time.monotonic() < end and _send_next(settings):
        tried += 1
    return tried


def _write_messages(settings: Settings) -> None:
    with db.reading() as connection:
        events = outbox.pending(connection)
    for event in events:
        with db.transaction() as connection:
            if outbox.take(connection, event.id):
                _write(connection, event, settings)


def _write(connection: db.Connection, event: Any, settings: Settings) -> None:
    """Write an event's messages: "opened" while it is open, "resolved" to those who may have heard of "opened"."""
    incident = store.as_json(store.get(connection, event.incident_id))
    if event.event == "opened":
        webhooks = settings.webhooks if incident["state"] == "open" else ()
    else:
        outbox.drop_untried(connection, event.incident_id)
        told = outbox.told(connection, event.incident_id)
        webhooks = tuple(webhook for webhook in settings.webhooks if webhook.key in told)
    payload = message.payload(incident, event.event, _sender(settings), note=event.note)
    for webhook in webhooks:
        outbox.queue(
            connection,
            incident_id=event.incident_id,
            event=event.event,
            target=webhook.key,
            url=webhook.shown,
            payload=payload,
        )


def _sender(settings: Settings) -> message.Sender:
    return message.Sender(settings.model_name, socket.gethostname())


def _send_next(settings: Settings) -> bool:
    with db.reading() as connection:
        if not outbox.is_due(connection):
            return False
    with db.transaction() as connection:
        taken = outbox.claim(connection, lease_until=clock.now_us() + LEASE_S * clock.MICROSECONDS)
    if taken is None:
        return False
    webhook = next((one for one in settings.webhooks if one.key == taken.target), None)
    if webhook is None:
        detail = "MLPIPE_WEBHOOK_URLS does not name this address any more"
        outcome = delivery.Outcome(ok=False, detail=detail, hopeless=True)
    else:
        outcome = _post(webhook, taken.payload, settings)
    _settle(taken, outcome)
    return True


def _post(webhook: Webhook, payload: dict[str, Any], settings: Settings) -> delivery.Outcome:
    body = orjson.dumps(payload)
    signed = {}
    if settings.webhook_secret:
        at_s = clock.now_us() // clock.MICROSECONDS
        signed[message.SIGNATURE] = message.signature(settings.webhook_secret, body, at_s=at_s)
    return delivery.post(
        webhook,
        body,
        signed,
        allow_private=settings.webhook_allow_private,
        timeout_s=settings.webhook_timeout_s,
    )


def _settle(taken: Any, outcome: delivery.Outcome) -> None:
    """Write how a try ended: sent, to be tried again after a pause, or given up."""
    what = f"{taken.event} of incident {taken.incident_id} to {taken.url}"
    gives_up = outcome.hopeless or taken.attempts >= message.MAX_TRIES
    with db.transaction() as connection:
        if outcome.ok:
            outbox.settle(connection, taken, "sent")
        elif gives_up:
            outbox.settle(connection, taken, "failed", error=outcome.detail)
            evidence = {"incident": taken.incident_id, "url": taken.url, "attempts": taken.attempts}
            sentence = f"The message {what} was given up after {taken.attempts} tries: {outcome.detail}."
            ledger.record(connection, "failure", sentence, evidence=evidence)
        else:
            later = clock.now_us() + message.pause_s(taken.attempts) * clock.MICROSECONDS
            outbox.settle(connection, taken, "queued", error=outcome.detail, next_try_at=later)
    level = logging.INFO if outcome.ok else logging.ERROR if gives_up else logging.WARNING
    logger.log(level, "message %s, try %s: %s", what, taken.attempts, outcome.detail)


def send_test(settings: Settings) -> dict[str, Any]:
    """Send a test message to every address now, all at once; return what happened for each."""
    webhooks = settings.webhooks
    if not webhooks:
        sentence = "MLPIPE_WEBHOOK_URLS names no address, so nobody is told about incidents."
        return {"items": [], "sentence": sentence}
    payload = message.test_payload(_sender(settings), at=clock.iso(clock.now_us()) or "")
    with ThreadPoolExecutor(len(webhooks)) as pool:
        outcomes = list(pool.map(lambda webhook: _post(webhook, payload, settings), webhooks))
    items = [
        {"url": webhook.shown, "ok": outcome.ok, "status": outcome.status, "detail": outcome.detail}
        for webhook, outcome in zip(webhooks, outcomes, strict=True)
    ]
    taken = sum(outcome.ok for outcome in outcomes)
    return {"items": items, "sentence": f"{taken} of {len(items)} addresses took the test message."}
