"""Retraining jobs: ask, look, cancel."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from flask import Blueprint, Response

from mlpipe import clock, db, errors, web
from mlpipe.jobs import store as jobs
from mlpipe.prediction import routed
from mlpipe.registry import store as versions
from mlpipe.retraining import asking, comparing, lineage, probations, store
from mlpipe.schema import messages

blueprint = Blueprint("retraining", __name__)

SAMPLE_ID = re.compile(r"([0-9]{1,18})-([0-9]{1,9})")


@blueprint.post("/retraining/jobs")
def post_job() -> Response:
    """Ask for a retraining; an open one is joined."""
    body = web.optional_body()
    reason = None if body is None else messages.decode_reason(body)
    job = asking.ask(reason or "Asked for by hand.", web.settings())
    return web.answer(_shown(job), 202)


@blueprint.get("/retraining/jobs")
def get_jobs() -> Response:
    """Return retraining jobs, newest first."""
    with db.reading() as connection:
        rows = jobs.page(connection, asking.KIND, limit=web.one_more(), before=web.cursor())
    return web.answer(web.listing(rows, show=_shown, key=lambda job: job.id))


@blueprint.get("/retraining/jobs/<int:job_id>")
def get_job(job_id: int) -> Response:
    """Return one job."""
    return web.answer(_shown(_job(job_id)))


@blueprint.post("/retraining/jobs/<int:job_id>/cancel")
def post_cancel(job_id: int) -> Response:
    """Cancel a job that waits, or ask the one that runs to stop."""
    return web.answer(_shown(asking.cancel(job_id)), 202)


@blueprint.get("/retraining/versions/<int:version>/rows")
def get_rows(version: int) -> Response:
    """Return the rows that a version was trained on."""
    found = lineage.rows(version, after=web.cursor() or 0, limit=web.one_more())
    return web.answer(web.listing(found, show=lambda row: row, key=lambda row: row["place"]))


@blueprint.get("/features/samples/<sample_id>/versions")
def get_versions_of(sample_id: str) -> Response:
    """Return the versions that were trained on a row."""
    found = SAMPLE_ID.fullmatch(sample_id)
    if found is None:
        raise errors.NotFound(f"{errors.quoted(sample_id)} is no sample id; one looks like 12-0.")
    return web.answer(lineage.versions_of(int(found[1]), int(found[2])))


@blueprint.get("/models/probations")
def get_probations() -> Response:
    """Return probations of new champions, newest first."""
    version = web.query_int("version", None, low=1, high=versions.MAX_VERSION)
    with db.reading() as connection:
        rows = store.page(connection, limit=web.one_more(), before=web.cursor(), version=version)
    return web.answer(web.listing(rows, show=probations.shown, key=lambda row: row.id))


@blueprint.get("/models/comparisons")
def get_comparisons() -> Response:
    """Compare what is routed now with the champion."""
    with db.reading() as connection:
        active = versions.active(connection)
        found = routed.open_routes(connection) if active else []
        items = [comparing.of_route(connection, route, active.version) for route in found if active]
    return web.answer({"items": items})


def _job(job_id: int) -> jobs.Job:
    with db.reading() as connection:
        job = jobs.get(connection, job_id)
    if job is None or job.kind != asking.KIND:
        raise errors.NotFound(f"There is no retraining job {job_id}.")
    return job


def _shown(job: jobs.Job) -> dict[str, Any]:
    times = {name: clock.iso(getattr(job, name)) for name in ("created_at", "started_at", "finished_at")}
    shown: dict[str, Any] = msgspec.to_builtins(job)
    shown.pop("not_before")
    return shown | times | {"waits": _waits(job)}


def _waits(job: jobs.Job) -> dict[str, Any] | None:
    """Say what an open job waits for and until when; None for one that does not."""
    if job.state == "waiting_for_labels":
        return {"for": "labels", "until": None, "sentence": job.sentence}
    if job.state != "queued" or (job.not_before or 0) <= clock.now_us():
        return None
    return {"for": job.step, "until": clock.iso(job.not_before), "sentence": job.sentence}


def health() -> tuple[web.HealthStatus, str]:
    """Say what the newest retraining did."""
    with db.reading() as connection:
        newest = jobs.page(connection, asking.KIND, limit=1)
    if not newest:
        return "waiting", "Nothing was trained yet."
    job = newest[0]
    if job.state == "failed":
        return "degraded", f"Job {job.id} failed: {job.sentence}"
    state = job.state.replace("_", " ")
    return "ok", f"Job {job.id} {f'is {state}' if job.state in jobs.OPEN else state}: {job.sentence or job.reason}"


def probation_health() -> tuple[web.HealthStatus, str]:
    """Say whether the version that serves is on probation."""
    with db.reading() as connection:
        newest = store.newest(connection)
    return "ok", newest.sentence if newest else "No version has been on probation."
