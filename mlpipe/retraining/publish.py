"""From a finished fit to a version that serves: the folder first, then the row."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray

from mlpipe import clock, db
from mlpipe.drift import stored
from mlpipe.jobs import ledger
from mlpipe.jobs import store as jobs
from mlpipe.mlflow import folder as mlflow_folder
from mlpipe.registry import artifacts
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.retraining import child, fit, plan
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
    """

    scores: dict[str, NDArray[Any]]
    metrics: dict[str, Any]
    verdict: dict[str, Any]
    why: str


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
        Another version was activated meanwhile, or the target has changed; nothing was registered.
    """
    parameters = asdict(of_settings(settings)) | {"classes": planned.classes}
    lineage = plan.lineage(planned)
    _lay_out(work, job, planned, result, described={"parameters": parameters, "lineage": lineage}, settings=settings)
    files = artifacts.digests(work)
    with db.reading() as connection:
        number = versions.next_number(connection)
    version = versions.Version(
        version=number,
        created_at=clock.now_us(),
        kind="forest",
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
    return version if _register(version, job, planned, result, holder=holder) else None


def of_settings(settings: Settings) -> fit.Parameters:
    """Return the forest's parameters that the settings ask for."""
    return fit.Parameters(settings.n_estimators, settings.max_depth, settings.random_state)


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
        "libraries": artifacts.libraries(),
        "job": job.id,
        "reason": job.reason,
        "created_at": clock.iso(clock.now_us()),
    }
    artifacts.write_manifest(manifest, work)
    artifacts.write_files(mlflow_folder.files(manifest), work)
    for name in (child.TASK, child.WINDOW, child.SCORES, child.OUTPUT):
        (work / name).unlink(missing_ok=True)


def _reference(planned: plan.Plan, scores: dict[str, NDArray[Any]], settings: Settings) -> dict[str, NDArray[Any]]:
    """Return the rows that traffic will be compared with, and what depends on them alone."""
    n = settings.reference_rows
    rows = {
        "X": planned.samples.X[-n:],
        "y": planned.samples.y[-n:],
        "scores": scores["cross_scores"][-n:],
        "importance": scores["importance"],
    }
    made = stored.Made(n_bins=settings.n_bins, n_window=settings.window_size)
    return rows | stored.pack(stored.prepare(rows, planned.classes, planned.schema.columns, made), made)


def _register(version: versions.Version, job: jobs.Job, planned: plan.Plan, result: Result, *, holder: str) -> bool:
    sentence = f"Version {version.version} was promoted. {result.why}"
    told = {
        "version": version.version,
        "last_batch": version.last_batch,
        "last_label": version.last_label,
        "metrics": result.metrics,
        "verdict": result.verdict,
    }
    with db.transaction() as connection:
        if not jobs.finish(
            connection, job.id, holder, state="done", outcome="promoted", sentence=sentence, result=told
        ):
            return False
        plan.still_holds(connection, planned)
        versions.add(connection, version)
        ledger.record(connection, "verdict", sentence, job_id=job.id, model_version=version.version, evidence=told)
        reason = f"{job.reason} {result.why}"
        registry.deploy(connection, version.version, by="retraining", reason=reason, job_id=job.id)
    return True
