"""The guard at the door: local callers may pass, others need the administrator's token."""

from __future__ import annotations

from flask import Flask, g, request

from mlpipe import errors, web
from mlpipe.access import rule, service
from mlpipe.settings import Settings

OPEN_PATHS = frozenset({"/health", "/health/live", "/health/ready"})
"""Answered to anybody, but to strangers with one word: how the whole is."""


def init(app: Flask, settings: Settings) -> None:
    """Put the guard before every request of an app."""
    token = service.ensure_token(settings.home)

    @app.before_request
    def guard() -> None:
        environ = request.environ
        local = settings.auth == "local" and rule.is_local(environ.get("REMOTE_ADDR"), environ)
        g.trusted = trusted = local or service.is_token(_bearer(), token)
        if trusted or request.path in OPEN_PATHS:
            return
        raise errors.Unauthorized(
            "Callers from elsewhere need 'Authorization: Bearer <token>'; the token is in the file admin_token of "
            f"the server's home folder. MLPIPE_AUTH is {web.settings().auth}."
        )


def _bearer() -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
