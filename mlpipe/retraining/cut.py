"""A new version without a fit: traffic has moved, and a forest that goes on learning has kept up.

The state stays what it is; what changes is the reference that traffic is compared with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlpipe import db, errors
from mlpipe.features import store as features
from mlpipe.features.arrivals import Mark
from mlpipe.incidents import kinds
from mlpipe.incidents import store as incidents
from mlpipe.jobs import store as jobs
from mlpipe.learning import service as learning
from mlpipe.learning import store as learned
from mlpipe.learning.learner import Learner
from mlpipe.registry import artifacts, revision_files
from mlpipe.registry import store as versions
from mlpipe.retraining import child, evaluate, fit, honest, plan, publish, roll
from mlpipe.rolling import checkpoint
from mlpipe.rolling import publish as rolling
from mlpipe.settings import Settings

Fit = Literal["no", "wait", "yes"]


def applies(job: jobs.Job, champion: versions.Version | None, settings: Settings) -> Fit:
    """Say whether drift alone asks, and the version that serves goes on learning, with answers no worse than before.

    Labels that are held back are a doubt as well, and would be lost to the new version. It waits until enough labels
    have come since the drift began: older ones cannot show that it has kept up.
    """
    if champion is None or champion.kind != roll.KIND or settings.model_kind not in {roll.KIND, "auto"}:
        return "no"
    triggers = [job.evidence, *job.evidence.get("triggers", [])]
    if {one.get("trigger") for one in triggers} - {"drift", None} or job.evidence.get("asked"):
        return "no"
    since = min((one["since"] for one in triggers if one.get("since")), default=job.created_at)
    with db.reading() as connection:
        doubts = incidents.open_id(connection, kinds.QUALITY) or learned.waiting(connection, champion.version)
        n_since = learned.arrived(connection, champion.version, since_us=since)
    if doubts or len(honest.answers(champion, rows=settings.window_size).scores) < settings.window_size:
        return "no"
    return "yes" if n_since >= settings.min_new_labels else "wait"


def cut(work: Path, champion: versions.Version, settings: Settings) -> tuple[plan.Plan, publish.Result]:
    """Lay the state and a new reference out in a work folder.

    Parameters
    ----------
    work : Path
        Becomes the version's folder.
    champion : Version
        What goes on.
    settings : Settings
    """
    learner = Learner(settings.models_folder, champion)
    with db.reading() as connection:
        at, last = learning.reached(connection, champion), learned.newest(connection, champion.version)
        if (last.number if last else 0) != learner.step or learned.waiting(connection, champion.version):
            raise errors.DeployConflict("The learner went on at this moment; the next check asks again.")
        schema = features.schema_version(connection, champion.schema_version)
        schema = features.current_schema(connection) or schema
    known = honest.answers(champion, rows=settings.reference_rows)
    planned = _plan(known.samples, champion, at, schema, settings)
    model = rolling.collapse(learner.state)
    artifacts.dump_model(model, work / artifacts.MODEL)
    artifacts.dump_arrays(checkpoint.pack(learner.state), work / revision_files.START)
    scores = _scores(model, known, planned)
    kept = evaluate.metrics(
        planned.samples.y[planned.holdout], scores["challenger_scores"], scores["challenger_classes"]
    )
    why = (
        f"Version {champion.version} has learned {learner.state.n_learned:,} labels and its answers have not become "
        "worse, so it has kept up with the drift: it goes on as it is, and traffic is compared with the newest "
        f"{len(known.samples):,} labelled rows from now on. Nothing was refitted."
    )
    return planned, publish.Result(
        scores=scores,
        metrics=kept,
        verdict={"decision": "cut", "sentence": why},
        why=why,
        parameters=champion.parameters | {"kind": roll.KIND, "continues": champion.version},
    )


def _plan(
    samples: features.Samples, champion: versions.Version, at: Mark, schema: Any, settings: Settings
) -> plan.Plan:
    holdout = np.zeros(len(samples), dtype=bool)
    holdout[-min(settings.holdout_max, len(samples)) :] = True
    return plan.Plan(
        schema=schema,
        samples=samples,
        holdout=holdout,
        champion=champion,
        last_batch=at.batch,
        last_label=at.label,
        fresh=np.ones(len(samples), dtype=bool),
        known=tuple(champion.parameters["classes"]) or None,
    )


def _scores(model: Any, known: honest.Answers, planned: plan.Plan) -> dict[str, NDArray[Any]]:
    classes = np.asarray(getattr(model, "classes_", np.empty(0)), dtype=np.float64)
    return {
        "cross_scores": known.scores,
        "challenger_scores": known.scores[planned.holdout],
        "challenger_classes": classes,
        "classes": classes,
        "importance": model.feature_importances_,
        "smoke_scores": fit.score(model, planned.samples.X[-child.SMOKE_ROWS :], classes),
    }
