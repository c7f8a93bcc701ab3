"""What routes share: bodies in, answers and problems out, request ids, health, paging."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable
from typing import Any, Literal

import orjson
from flask import Blueprint, Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.routing import IntegerConverter, Map

from mlpipe import errors, logs
from mlpipe.settings import Settings

STATUS = {
    "malformed_body": 400,
    "invalid_query": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "batch_conflict": 409,
    "deploy_conflict": 409,
    "deploy_failed": 409,
    "job_conflict": 409,
    "incident_conflict": 409,
    "version_pruned": 410,
    "not_comparable": 409,
    "body_too_large": 413,
    "too_many_rows": 413,
    "unsupported_media_type": 415,
    "schema_violation": 422,
    "too_few_samples": 422,
    "too_many_checks": 422,
    "store_unavailable": 503,
    "no_active_model": 503,
    "artifact_corrupt": 503,
}
"""Error code -> HTTP status; an error without a line here is a fault of mlpipe (500)."""

RETRY_AFTER_S = {"store_unavailable": 1, "no_active_model": 5, "artifact_corrupt": 30}

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
JSON = ("application/json",)
DEFAULT_LIMIT = 50
MAX_LIMIT = 1000

HealthStatus = Literal["ok", "waiting", "degraded", "down"]
HealthCheck = Callable[[], tuple[HealthStatus, str]]

blueprint = Blueprint("web", __name__)


def init(app: Flask, settings: Settings) -> None:
    """Give an app its request ids, problem documents and health paths."""
    app.config["MLPIPE"] = settings
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["mlpipe.health"] = {}
    app.before_request(_begin)
    app.after_request(_end)
    app.url_map.converters["int"] = RowId
    app.register_error_handler(errors.MlpipeError, _on_mlpipe_error)
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(Exception, _on_fault)
    app.register_blueprint(blueprint)


class RowId(IntegerConverter):
    """A whole number in a path that the database can look up; larger ones are not found."""

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=2**63 - 1)


def settings() -> Settings:
    """Return the settings of the current app."""
    found: Settings = current_app.config["MLPIPE"]
    return found


# Requests -------------------------------------------------------------------------------------------------------


def _begin() -> None:
    environ = request.environ  # what each request pays for is read from here: headers by name cost ten times as much
    wanted = environ.get("HTTP_X_REQUEST_ID")
    g.request_id = found = wanted if wanted and REQUEST_ID.fullmatch(wanted) else secrets.token_hex(16)
    logs.set_trace(found)
    if "\0" in environ["PATH_INFO"]:
        raise errors.NotFound("The path holds a NUL character; nothing has such a name.")
    if "%00" in environ.get("QUERY_STRING", ""):
        raise errors.InvalidQuery("The query string holds a NUL character (%00); no value may.")


def _end(response: Response) -> Response:
    headers = response.headers
    headers.add("X-Request-ID", g.get("request_id", "-"))
    headers.add("X-Content-Type-Options", "nosniff")
    return response


def request_id() -> str:
    """Return the id of the request that is being answered."""
    found: str = g.request_id
    return found


def body(*types: str) -> bytes:
    """Return the request's body.

    Raises
    ------
    errors.UnsupportedMediaType
        The content type is none of `types`, default application/json.
    errors.BodyTooLarge
        It has more than ``max_body_bytes`` bytes.
    """
    asked = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  documented for proxies
    wanted = types or JSON
    if asked.environ.get("CONTENT_TYPE") not in wanted and asked.mimetype not in wanted:
        raise errors.UnsupportedMediaType(
            f"Content-Type is {errors.quoted(asked.mimetype or 'missing')}; send {' or '.join(wanted)}."
        )
    encoding = asked.environ.get("HTTP_CONTENT_ENCODING", "identity")
    if encoding != "identity":
        raise errors.UnsupportedMediaType(
            f"Content-Encoding {errors.quoted(encoding)} is not read here; send the body as it is."
        )
    content: bytes = asked.get_data(cache=False)
    return content


def optional_body() -> bytes | None:
    """Return the request's JSON body, or None where there is none; see `body` for what it raises."""
    return body() if request.get_data() else None


def limit() -> int:
    """Return ``?limit=``, 1 to 1,000, default 50."""
    return query_int("limit", DEFAULT_LIMIT, low=1, high=MAX_LIMIT) or DEFAULT_LIMIT


def cursor() -> int | None:
    """Return ``?cursor=``, which clients take from ``next`` of the page before."""
    return query_int("cursor", None, low=0, high=2**62)


def query_int(name: str, default: int | None, *, low: int, high: int) -> int | None:
    """Return a whole number of the query string.

    Raises
    ------
    errors.InvalidQuery
        It is not a whole number from low to high.
    """
    text = request.args.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
        raise errors.InvalidQuery(f"?{name}={errors.quoted(text)} must be a whole number from {low} to {high}.")
    return int(text)


# Answers --------------------------------------------------------------------------------------------------------


def answer(value: Any, status: int = 200) -> Response:
    """Return a value as JSON; NaN and infinities become null."""
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), status, content_type=JSON[0])


def one_more() -> int:
    """Return how many rows a list reads: ``?limit=``, and one by which it knows whether there is a next page."""
    return limit() + 1


def listing(rows: list[Any], *, show: Callable[[Any], Any], key: Callable[[Any], int]) -> dict[str, Any]:
    """Return a page of a list: its items, and the cursor of the next page or null.

    Parameters
    ----------
    rows : list
        At most `one_more` of them.
    show : callable
        From a row to its item.
    key : callable
        From a row to the number that the next page goes on from.
    """
    page = rows[: limit()]
    return {"items": [show(row) for row in page], "next": str(key(page[-1])) if len(rows) > len(page) else None}


def problem(status: int, *, code: str, title: str, detail: str, **members: Any) -> Response:
    """Return an RFC 9457 problem document."""
    document = {
        "type": f"urn:mlpipe:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": g.get("request_id", "-"),
        **members,
    }
    response = Response(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), status)
    response.headers["Content-Type"] = "application/problem+json"
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if code in RETRY_AFTER_S:
        response.headers["Retry-After"] = str(RETRY_AFTER_S[code])
    return response


def problem_of(error: errors.MlpipeError) -> Response:
    """Return the problem document of an error that was raised on purpose."""
    members = dict(error.figures)
    if isinstance(error, errors.SchemaViolation):
        members["errors"] = [
            {"pointer": fault.pointer, "code": fault.code, "detail": fault.detail} for fault in error.violations
        ]
        members["errors_total"] = error.total
    status = STATUS.get(error.code, 500)
    return problem(status, code=error.code, title=error.title, detail=error.detail, **members)


def _on_mlpipe_error(error: errors.MlpipeError) -> Response:
    level = logging.WARNING if STATUS.get(error.code, 500) >= 500 else logging.INFO
    _logger().log(level, "%s %s refused: %s: %s", request.method, request.path, error.code, error.detail)
    return problem_of(error)


def _logger() -> logging.Logger:
    """Return the logger of the stage that was asked."""
    name = f"mlpipe.{request.blueprint}"
    return logging.getLogger(name if name in logs.FILES else "mlpipe.web")


def _on_http_error(error: HTTPException) -> Response:
    if isinstance(error, RequestEntityTooLarge):
        most = settings().max_body_bytes
        return problem_of(errors.BodyTooLarge(f"The body has more than {most:,} bytes. Send it in parts.", limit=most))
    status = error.code or 500
    code = error.name.lower().replace(" ", "_")
    response = problem(status, code=code, title=error.name, detail=error.description or error.name)
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def _on_fault(error: Exception) -> Response:
    _logger().error("%s %s failed", request.method, request.path, exc_info=error)
    detail = "mlpipe has made a mistake; the log has the details under this request id. Nothing else is affected."
    return problem(500, code="internal_error", title="mlpipe failed to answer", detail=detail)


# Health ---------------------------------------------------------------------------------------------------------


def add_health(app: Flask, name: str, check: HealthCheck) -> None:
    """Add one line to ``/health``; `check` returns a status and a sentence."""
    app.extensions["mlpipe.health"][name] = check


def health() -> dict[str, Any]:
    """Return the state of every component, and of the whole: the worst of them."""
    components = {name: _checked(check) for name, check in current_app.extensions["mlpipe.health"].items()}
    states = {component["status"] for component in components.values()}
    worst = next((state for state in ("down", "degraded") if state in states), "ok")
    return {"status": worst, "components": components}


def _checked(check: HealthCheck) -> dict[str, str]:
    try:
        status, detail = check()
    except errors.MlpipeError as fault:
        status, detail = "down", fault.detail
    return {"status": status, "detail": detail}


@blueprint.get("/health")
def get_health() -> Response:
    """Say how every component is: 200, or 503 when one is down."""
    report = health()
    shown = report if g.get("trusted", False) else {"status": report["status"]}
    return answer(shown, 503 if report["status"] == "down" else 200)


@blueprint.get("/health/live")
def get_live() -> Response:
    """Say that the process answers."""
    return answer({"status": "ok"})


@blueprint.get("/health/ready")
def get_ready() -> Response:
    """Say whether requests can be served: the database answers and a model is loaded."""
    components = health()["components"]
    parts = {name: components[name] for name in ("database", "model") if name in components}
    is_ready = all(part["status"] in {"ok", "degraded"} for part in parts.values())
    shown = {"components": parts} if g.get("trusted", False) else {}
    return answer({"status": "ok" if is_ready else "not_ready"} | shown, 200 if is_ready else 503)
