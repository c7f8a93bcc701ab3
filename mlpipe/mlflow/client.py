"""MLflow's REST API, as far as mlpipe needs it: one call a method, no redirects, bounded in time and size."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import IO, Any

from mlpipe.webhooks import Webhook

MAX_ANSWER = 8 * 1024 * 1024
"""Bytes of an answer that are read; those that are asked for have some kilobytes."""

MAX_SAID = 300
"""Characters of MLflow's own words that are kept."""

LASTING = frozenset({400, 409, 413, 422})
"""Answers that another try of the same request would get again; any other fault may be over by then."""


class Fault(Exception):
    """MLflow did not take something.

    Attributes
    ----------
    detail : str
        What happened, for a person, without secrets.
    code : str
        MLflow's name for it, such as RESOURCE_DOES_NOT_EXIST; empty where it gave none.
    lasts : bool
        Whether another try makes no sense.
    """

    def __init__(self, detail: str, *, code: str = "", lasts: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.lasts = lasts


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the credentials to where nobody has checked."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        """Refuse it."""


class Client:
    """One MLflow server.

    Parameters
    ----------
    server : Webhook
        Its address; the path is where MLflow begins (``--static-prefix``).
    token : str
        Sent as a bearer token; empty for none, then user and password of the address are sent if it has them.
    timeout_s : float
        Longest silence of the server.
    """

    def __init__(self, server: Webhook, *, token: str, timeout_s: float) -> None:
        self._base = f"{server.scheme}://{server.host_header}{server.target.rstrip('/')}"
        self._shown = server.shown
        self._timeout_s = timeout_s
        self._headers = {"User-Agent": "mlpipe"}
        authorization = f"Bearer {token}" if token else server.authorization
        if authorization:
            self._headers["Authorization"] = authorization
        self._opener = urllib.request.build_opener(_NoRedirect)

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Ask ``/api/2.0/mlflow/<path>``; see `Fault`."""
        return self._call("GET", f"/api/2.0/mlflow/{path}?{urllib.parse.urlencode(query)}")

    def post(self, path: str, **members: Any) -> dict[str, Any]:
        """Tell ``/api/2.0/mlflow/<path>`` something; see `Fault`."""
        body = json.dumps(members).encode()
        return self._call("POST", f"/api/2.0/mlflow/{path}", body, "application/json")

    def upload(self, path: str, content: bytes) -> None:
        """Store a file through the server, which needs ``--serve-artifacts`` (on by default); see `Fault`."""
        place = urllib.parse.quote(path)
        self._call("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{place}", content, "application/octet-stream")

    def _call(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> dict[str, Any]:
        headers = self._headers | ({"Content-Type": kind} if kind else {})
        request = urllib.request.Request(  # noqa: S310  the settings admit http and https alone
            self._base + path, data=body, headers=headers, method=method
        )
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return self._read(answer)
        except urllib.error.HTTPError as fault:
            with fault:
                raise self._refusal(fault) from None
        except (OSError, http.client.HTTPException) as fault:
            why = getattr(fault, "reason", None) or fault
            raise Fault(f"{self._shown} cannot be reached: {why}") from None

    def _read(self, answer: IO[bytes]) -> dict[str, Any]:
        content = answer.read(MAX_ANSWER + 1)
        if len(content) > MAX_ANSWER:
            raise Fault(f"{self._shown} answered with more than {MAX_ANSWER:,} bytes")
        try:
            found = json.loads(content or b"{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Fault(f"{self._shown} did not answer with JSON; is it an MLflow server?")
        return found

    def _refusal(self, fault: urllib.error.HTTPError) -> Fault:
        status = fault.code
        if 300 <= status < 400:
            return Fault(f"{self._shown} answered {status}, a redirect; name the final address")
        try:
            said = json.loads(fault.read(MAX_ANSWER))
        except (ValueError, OSError, http.client.HTTPException):
            said = None
        said = said if isinstance(said, Mapping) else {}
        words = str(said.get("message", ""))[:MAX_SAID]
        detail = f"{self._shown} answered {status}: {words or fault.reason}"
        return Fault(detail, code=str(said.get("error_code", "")), lasts=status in LASTING)
