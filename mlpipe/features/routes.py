"""GET and PUT /features/schema, GET /features/stats, GET /features/export."""

from __future__ import annotations

from flask import Blueprint, Response, request, stream_with_context

from mlpipe import errors, web
from mlpipe.features import service
from mlpipe.schema import times

blueprint = Blueprint("features", __name__)

FORMATS = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
LABELLED = {"true": True, "false": False}


@blueprint.get("/features/schema")
def get_schema() -> Response:
    """Return the schema."""
    return web.answer(service.shown(service.schema()))


@blueprint.put("/features/schema")
def put_schema() -> Response:
    """Confirm or edit the schema, which makes a new version."""
    return web.answer(service.shown(service.confirm(web.body())))


@blueprint.get("/features/stats")
def get_stats() -> Response:
    """Return counts and statistics."""
    return web.answer(service.statistics())


@blueprint.get("/features/export")
def get_export() -> Response:
    """Stream the stored rows as CSV or NDJSON."""
    kind = request.args.get("format", "csv")
    if kind not in FORMATS:
        raise errors.InvalidQuery(f"?format={errors.quoted(kind)} must be one of {', '.join(FORMATS)}.")
    rows = service.export_rows(kind, _wanted())
    headers = {"Content-Disposition": f"attachment; filename=features.{kind}"}
    return Response(stream_with_context(rows), mimetype=FORMATS[kind], headers=headers)


def _wanted() -> service.Wanted:
    labelled = request.args.get("labelled")
    if labelled is not None and labelled not in LABELLED:
        raise errors.InvalidQuery(f"?labelled={errors.quoted(labelled)} must be true or false.")
    return service.Wanted(
        since=times.query("since", request.args.get("since")),
        until=times.query("until", request.args.get("until")),
        labelled=None if labelled is None else LABELLED[labelled],
    )
