"""Pages for people, and the same as JSON and CSV."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Callable
from typing import Any

import orjson
from flask import Blueprint, Response, render_template, request

from mlpipe import clock, errors, web
from mlpipe.dashboard import pages, service, words

logger = logging.getLogger("mlpipe.dashboard")

YEAR_S = 365 * 24 * 3600
"""How long a file whose name carries its version may be kept."""

PARTS = {
    "overview": (
        "head",
        "answers",
        "events",
        "change",
        "deploys",
        "tiles",
        "decisions",
        "drift",
        "performance",
        "traffic",
        "system",
    ),
    "empty": ("head", "events", "deploys", "steps", "decisions", "system"),
}
"""The parts of each page that polling replaces one by one; a part is ``templates/parts/<page>-<part>.html``, or
``templates/parts/<part>.html`` where pages share it."""

SHARED_PARTS = frozenset({"head", "events", "deploys", "decisions", "system"})

blueprint = Blueprint("dashboard", __name__)

FILTERS: dict[str, Callable[..., Any]] = {
    "number": words.number,
    "iso": words.iso,
    "kind_name": words.kind_name,
    "badge_of": words.badge,
    "day": words.day,
    "moment": words.moment,
    "share": words.share,
    "figure": words.figure,
}
for _name, _filter in FILTERS.items():
    blueprint.add_app_template_filter(_filter, _name)


@blueprint.app_template_global("part_file")
def part_file(page: str, part: str) -> str:
    """Return the template of one part of a page."""
    return f"parts/{part}.html" if part in SHARED_PARTS else f"parts/{page}-{part}.html"


@blueprint.get("/")
@blueprint.get("/dashboard")
@blueprint.get("/dashboard/")
def get_overview() -> Response:
    """Show the overview, or what is missing for the first model."""
    try:
        page = service.page(web.settings(), web.health())
    except errors.StoreUnavailable as fault:
        logger.warning("overview: %s", fault.detail)
        text = render_template("unavailable.html", now_us=clock.now_us(), plotly=None)
        return _html(text, 503)
    plotly = service.plotly_version() if page.name == "overview" else None
    return _html(
        render_template(f"{page.name}.html", page=page, parts=PARTS[page.name], plotly=plotly, figures=_figures(page))
    )


def _html(text: str, status: int = 200) -> Response:
    response = Response(text, status, mimetype="text/html")
    response.headers["Cache-Control"] = "no-cache"
    return response


@blueprint.get("/dashboard/data/overview")
def get_overview_data() -> Response:
    """Answer the overview as values, figures and finished parts; 304 while nothing has moved."""
    page = service.page(web.settings(), web.health())
    parts = {name: render_template(part_file(page.name, name), page=page, polled=True) for name in PARTS[page.name]}
    known = {"page": page.name, "title": page.title, "busy": page.busy, "parts": parts, "figures": _figures(page)}
    tag = hashlib.sha256(orjson.dumps(known)).hexdigest()[:32]
    response = web.answer(known | {"at": words.iso(page.now_us), "values": _values(page)})
    response.set_etag(tag)
    response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    return response


def _figures(page: pages.Page) -> dict[str, Any]:
    return {name: chart.figure for name, chart in page.charts.items()} if isinstance(page, pages.Overview) else {}


def _values(page: pages.Page) -> dict[str, Any]:
    hidden = {"charts", "sparks", "name", "now_us", "title"}
    names = (field.name for field in dataclasses.fields(page) if field.name not in hidden)
    return {name: getattr(page, name) for name in names}


@blueprint.get("/dashboard/data/overview.csv")
def get_overview_csv() -> Response:
    """Answer the data of one chart, ``?chart=predictions|drift|quality``, as CSV."""
    name = request.args.get("chart", "predictions")
    response = Response(service.chart_csv(name, web.settings()), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


@blueprint.get("/dashboard/assets/plotly-<version>.min.js")
def get_plotly(version: str) -> Response:
    """Send Plotly's script from the installed package, compressed, to be kept for ever.

    Raises
    ------
    errors.NotFound
        The installed version is another one.
    """
    if version != service.plotly_version():
        raise errors.NotFound(f"The installed plotly is {service.plotly_version()}; reload the page.")
    script = service.plotly_script()
    is_small = "gzip" in request.headers.get("Accept-Encoding", "")
    response = Response(script.gzipped if is_small else script.plain, mimetype="text/javascript")
    if is_small:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"
    return response
