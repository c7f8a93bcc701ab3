"""From a finished fit to a version that serves: the folder first, then the row."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray

from mlpipe import clock, db
from mlpipe.drift import stored
from mlpipe.jobs import ledger
from mlpipe.jobs import store as jobs
from mlpipe.mlflow import folder as mlflow_folder
from mlpipe.prediction import champion as champions
from mlpipe.registry import artifacts, proposals, pruning, rollout
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.retraining import child, fit, plan, provenance
from mlpipe.schema.contract import Schema
from mlpipe.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a fit has shown.

    Attributes
    ----------
    scores : dict of str to array
        As `child.run` returns them.
    metrics : dict
        Of the challenger on the holdout.
    verdict : dict
        The gate's; empty for a first model.
    why : str
        The verdict in a sentence.
    parameters : dict
        How the model was made, with what was chosen and against what.
    """

    scores: dict[str, NDArray[Any]]
    metrics: dict[str, Any]
    verdict: dict[str, Any]
    why: str
    parameters: dict[str, Any] = field(default_factory=dict)


def publish(
    work: Path, job: jobs.Job, planned: plan.Plan, result: Result, *, settings: Settings, holder: str
) -> versions.Version | None:
    """Put a version's folder in place; then its row, the deployment and the job's end in one transaction.

    Parameters
    ----------
    work : Path
        Folder of the fit, which becomes the version's.
    job : Job
        The retraining.
    planned : Plan
        What it worked on.
    result : Result
        What came out.
    settings : Settings
    holder : str
        Who holds the job.

    Returns
    -------
    Version or None
        None when the job has gone to another process meanwhile: nothing was registered.

    Raises
    ------
    errors.DeployConflict, errors.NotComparable
        Another version was activated meanwhile, or the target has changed; nothing was registered (or the version is
        registered and does not serve, if that came while the workers prepared it).
    errors.DeployFailed
        A worker cannot serve the version, which is registered; what served goes on serving.
    """
    parameters = result.parameters | {"classes": planned.classes}
    lineage = plan.lineage(planned) | {"settings": provenance.settings(settings)}
    _lay_out(work, job, planned, result, described={"parameters": parameters, "lineage": lineage}, settings=settings)
    files = artifacts.digests(work)
    with db.reading() as connection:
        number = versions.next_number(connection)
    version = versions.Version(
        version=number,
        created_at=clock.now_us(),
        kind=str(result.parameters["kind"]),
        task=planned.schema.target.task or "classification",
        schema_version=planned.schema.version,
        parent=planned.champion.version if planned.champion else None,
        job_id=job.id,
        parameters=parameters,
        metrics=result.metrics,
        lineage=lineage,
        verdict=result.verdict,
        files=files,
        last_batch=planned.last_batch,
        last_label=planned.last_label,
    )
    artifacts.publish(work, registry.folder(settings.models_folder, number))
    if not _register(version, job, planned, result, settings=settings, holder=holder):
        return None
    pruning.prune(settings.models_folder, keep=settings.keep_versions)
    return version


def of_settings(settings: Settings, schema: Schema) -> fit.Parameters:
    """Return the parameters that the settings ask for."""
    return fit.Parameters(
        n_estimators=settings.n_estimators,
        max_depth=settings.max_depth,
        random_state=settings.random_state,
        kind=settings.model_kind,
        class_weight=settings.class_weight,
        categories=tuple(schema.of_kind("category")),
        half_life=settings.window_half_life if settings.window_policy == "weighted" else 0,
    )


def _lay_out(
    work: Path,
    job: jobs.Job,
    planned: plan.Plan,
    result: Result,
    *,
    described: dict[str, Any],
    settings: Settings,
) -> None:
    """Write the drift reference, the smoke rows and the manifest beside the model."""
    X, scores = planned.samples.X, result.scores
    artifacts.dump_arrays(_reference(planned, scores, settings), work / artifacts.REFERENCE)
    artifacts.dump_arrays({"X": X[-child.SMOKE_ROWS :], "scores": scores["smoke_scores"]}, work / artifacts.SMOKE)
    manifest = described | {
        "schema": msgspec.to_builtins(planned.schema),
        "metrics": result.metrics,
        "stated": list(planned.stated),
        "libraries": artifacts.libraries(),
        "job": job.id,
        "reason": job.reason,
        "created_at": clock.iso(clock.now_us()),
    }
    artifacts.write_manifest(manifest, work)
    artifacts.write_files(mlflow_folder.files(manifest), work)
    for name in (child.TASK, child.WINDOW, child.SCORES, child.OUTPUT, child.CHAMPION):
        (work / name).unlink(missing_ok=True)


def _reference(planned: plan.Plan, scores: dict[str, NDArray[Any]], settings: Settings) -> dict[str, NDArray[Any]]:
    """Return the rows that traffic will be compared with, and what depends on them alone."""
    n = min(settings.reference_rows, len(planned.samples) - int(scores.get("honest_from", 0)))
    rows = {
        "X": planned.samples.X[-n:],
        "y": planned.samples.y[-n:],
        "scores": scores["cross_scores"][-n:],
        "importance": scores["importance"],
    }
    made = stored.Made(n_bins=settings.n_bins, n_window=settings.window_size)
    return rows | stored.pack(stored.prepare(rows, planned.classes, planned.schema.columns, made), made)


def _register(
    version: versions.Version, job: jobs.Job, planned: plan.Plan, result: Result, *, settings: Settings, holder: str
) -> bool:
    """Register a version, and deploy or propose it; False when the job has gone to another process."""
    keep = _Kept(job, holder, settings)
    told = {
        "version": version.version,
        "last_batch": version.last_batch,
        "last_label": version.last_label,
        "metrics": result.metrics,
        "verdict": result.verdict,
    }

    def begin(connection: db.Connection) -> None:
        keep.prolong(connection)
        plan.still_holds(connection, planned)

    def finish(connection: db.Connection, outcome: proposals.Outcome) -> None:
        plan.still_holds(connection, planned)
        word = _OUTCOMES[outcome]
        sentence = f"Version {version.version} was {word}. {result.why}"
        if not jobs.finish(connection, job.id, holder, state="done", outcome=word, sentence=sentence, result=told):
            raise _Lost
        ledger.record(connection, "verdict", sentence, job_id=job.id, model_version=version.version, evidence=told)

    trial = champions.Champion(settings.models_folder)
    terms = rollout.Terms(look=trial.prepare, wait_s=settings.deploy_limit_s, meanwhile=keep)
    try:
        proposals.offer(
            version,
            reason=f"{job.reason} {result.why}",
            configured=settings.deploy,
            terms=terms,
            begin=begin,
            finish=finish,
        )
    except _Lost:
        return False
    return True


_OUTCOMES: dict[proposals.Outcome, str] = {"deployed": "promoted", "proposed": "proposed"}


class _Lost(Exception):
    """The job belongs to another process by now."""


class _Kept:
    """Keeps the lease of a job while the workers prepare its version."""

    def __init__(self, job: jobs.Job, holder: str, settings: Settings) -> None:
        self._job, self._holder = job.id, holder
        self._lease_us = int(max(settings.lease_s, 3 * child.BEAT_S) * clock.MICROSECONDS)
        self._next = 0.0

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            with db.transaction(durability="process") as connection:
                self.prolong(connection)

    def prolong(self, connection: db.Connection) -> None:
        until = clock.now_us() + self._lease_us
        asked = jobs.beat(connection, self._job, self._holder, lease_until=until, step="deploy")
        if asked is not False:
            raise _Lost if asked is None else child.Cancelled
        self._next = time.monotonic() + child.BEAT_S
