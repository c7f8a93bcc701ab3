"""What people may do to a version that learns, and what is shown of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mlpipe import clock, db, errors
from mlpipe.features import store as features
from mlpipe.features.arrivals import Mark
from mlpipe.incidents import kinds
from mlpipe.incidents import store as incidents
from mlpipe.jobs import ledger
from mlpipe.learning import store
from mlpipe.learning.learner import KIND
from mlpipe.learning.store import Step
from mlpipe.registry import revision_files, revisions
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.settings import Settings


def serving() -> versions.Version | None:
    """Return the version that serves if it is one that learns."""
    with db.reading() as connection:
        active = versions.active(connection)
        version = versions.get(connection, active.version) if active else None
    return version if version is not None and version.kind == KIND else None


def reached(connection: db.Connection, version: versions.Version) -> Mark:
    """Return the mark up to which a version has looked at labels."""
    return store.reached(connection, version.version) or Mark(version.last_batch, version.last_label)


# What people may do ---------------------------------------------------------------------------------------------


def decide(number: int, *, release: bool, by: str, reason: str) -> Step:
    """Release a held step, so that its labels are learned after all, or discard it.

    Raises
    ------
    errors.NotFound
        The version that serves holds no such step back.
    """
    version = _serving_or_refuse()
    with db.transaction() as connection:
        held = {step.number: step for step in store.waiting(connection, version.version)}.get(number)
        if held is None:
            raise errors.NotFound(
                f"Version {version.version} holds no step {number} back. GET /learning lists those it does."
            )
        decision = "released" if release else "discarded"
        n_rows = held.n_rows if release else 0
        made = _write(connection, version, replace(held, kind=decision, of=number, n_rows=n_rows), by=by, reason=reason)
        if not [step for step in store.waiting(connection, version.version) if step.number != number]:
            incidents.resolve(connection, kinds.LABELS_HELD, f"{by} has {decision} step {number}.")
    return made


def restore(revision: int, settings: Settings, *, by: str, reason: str) -> Step:
    """Let the version that serves go back to an earlier state; labels that came since are not learned again.

    Raises
    ------
    errors.NotFound
        There is no such revision, or its checkpoint is not kept any more.
    errors.ArtifactCorrupt
        Its file is damaged.
    """
    version = _serving_or_refuse()
    with db.transaction() as connection:
        kept = {0: 0} | {one.revision: one.position for one in revisions.with_checkpoint(connection, version.version)}
        if revision not in kept:
            listed = ", ".join(map(str, sorted(kept)))
            raise errors.NotFound(
                f"Version {version.version} has no checkpoint of revision {revision}; it has those of {listed}."
            )
        at = reached(connection, version)
        found = revisions.get(connection, version.version, revision) if revision else None
        folder = registry.folder(settings.models_folder, version.version)
        revision_files.load_checkpoint(folder, revision, found.files if found else version.files)
        step = Step(
            model_version=version.version,
            kind="restored",
            after=at,
            upto=at,
            n_rows=0,
            of=revision,
            position=kept[revision],
        )
        return _write(connection, version, step, by=by, reason=reason)


def _serving_or_refuse() -> versions.Version:
    version = serving()
    if version is None:
        raise errors.NotFound(f"No version that goes on learning serves now; its kind would be {KIND}.")
    return version


def _write(connection: db.Connection, version: versions.Version, step: Step, *, by: str, reason: str) -> Step:
    """Write a step that the learner applies at its next turn, and say so in the ledger."""
    last = store.newest(connection, version.version)
    what = "revision" if step.kind == "restored" else "step"
    sentence = f"Version {version.version}: {what} {step.of} was {step.kind} by {by}. {reason}"
    position = step.position if step.kind == "restored" else (last.position if last else 0) + step.n_rows
    number = last.number + 1 if last else 1
    made = replace(step, number=number, position=position, at=clock.now_us(), sentence=sentence, figures={})
    if not store.add(connection, made):
        raise errors.WriteConflict("The learner wrote a step at this moment; ask again.")
    ledger.record(connection, "learning", sentence, model_version=version.version, evidence={"step": number})
    return made


# What is shown --------------------------------------------------------------------------------------------------


def status(*, limit: int, before: int | None) -> dict[str, Any]:
    """Return how far the version that serves has learned, what it holds back, and where it can go back to."""
    version = serving()
    if version is None:
        nothing = dict.fromkeys(("model_version", "model_revision", "published_at", "next"))
        return nothing | {"labels_learned": 0, "labels_waiting": 0, "held": [], "checkpoints": [], "items": []}
    with db.reading() as connection:
        steps = store.page(connection, version.version, limit=limit + 1, before=before)
        held = store.waiting(connection, version.version)
        last = revisions.newest(connection, version.version)
        kept = revisions.with_checkpoint(connection, version.version)
        at = reached(connection, version)
        behind = features.count_new_labels(connection, last_batch=at.batch, last_label=at.label, enough=1000)
    return {
        "model_version": version.version,
        "model_revision": last.revision if last else 0,
        "labels_learned": last.position if last else 0,
        "labels_waiting": behind,
        "published_at": clock.iso(last.published_at) if last else None,
        "held": [shown(step) for step in held],
        "checkpoints": [
            {"revision": one.revision, "labels_learned": one.position, "published_at": clock.iso(one.published_at)}
            for one in kept
        ],
        "items": [shown(step) for step in steps[:limit]],
        "next": str(steps[limit - 1].number) if len(steps) > limit else None,
    }


def shown(step: Step) -> dict[str, Any]:
    """Return a step as the API shows it."""
    return {
        "step": step.number,
        "kind": step.kind,
        "of": step.of,
        "rows": step.n_rows,
        "labels_learned": step.position,
        "after": {"batch": step.after.batch, "label": step.after.label},
        "upto": {"batch": step.upto.batch, "label": step.upto.label},
        "at": clock.iso(step.at),
        "sentence": step.sentence,
        "figures": step.figures,
    }
