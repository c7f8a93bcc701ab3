"""The probation of a new champion: begin, look again and again, pass or roll back.

Everything is in the database, so whoever leads goes on where another leader was stopped.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mlpipe import clock, db, errors
from mlpipe.features import store as features
from mlpipe.incidents import store as incidents
from mlpipe.jobs import ledger
from mlpipe.prediction import routed, routing
from mlpipe.prediction import store as log
from mlpipe.prediction.champion import Champion, Model
from mlpipe.registry import artifacts, proposals
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.retraining import comparing, probation, store
from mlpipe.settings import Settings

logger = logging.getLogger("mlpipe.retraining.probations")

BY = "probation"
"""Who rolls back, and whose shadow the version before is."""

INCIDENT = "rolled_back"
HELD = "rollback_held"
"""Incident of a version that would be rolled back, if what serves were not frozen."""

LATE_US = 24 * 3600 * clock.MICROSECONDS
"""Age of a deployment from which no probation begins: a server that is updated does not try its old champion."""

JUMP_ROWS = 2_000
"""Newest rows of traffic, and of the reference, on which answers are compared."""

TIMED, TIMED_ROWS = 20, 1_000
"""Newest requests that a look times, and most rows of each: both together take a few milliseconds."""


@dataclass(frozen=True, slots=True)
class _Reference:
    """Answers of the old version, and of models like the new one, to the rows of the new version's reference."""

    probation: int
    answers: tuple[comparing.Floats, comparing.Floats] | None


class Watch:
    """What looks after probations in the process that leads.

    Parameters
    ----------
    champion : Champion
        Loads versions.
    settings : Settings
    """

    def __init__(self, champion: Champion, settings: Settings) -> None:
        self._champion = champion
        self._settings = settings
        self._reference: _Reference | None = None

    def step(self) -> None:
        """Begin the probation that is due, look at the open one, and tidy what is over."""
        with db.reading() as connection:
            active = versions.active(connection)
            newest = store.newest(connection)
            open_incidents = {row.kind: row.evidence for row in incidents.open_ones(connection)}
        if active is None:
            return
        _close(active, open_incidents, self._settings)
        _end_route(active)
        if newest is not None and newest.state == store.OPEN:
            if newest.generation != active.generation:
                _end(newest, "ended", "Another version serves, so there is nothing to prove any more.", {})
            elif self._settings.probation_rows == 0:
                _end(newest, "ended", "Probations are switched off.", {})
            else:
                self._look(newest, _failures(open_incidents, newest))
                return
        if self._settings.probation_rows and (newest is None or newest.generation != active.generation):
            _begin(active)

    def _look(self, found: store.Probation, failures: int) -> None:
        with db.reading() as connection:
            shadows = {route.model_version for route in routed.open_routes(connection, routed.SHADOW)}
        if found.rival not in shadows:
            _end(
                found, "ended", f"Version {found.rival} scores in the shadow no more: there is nothing to compare.", {}
            )
            return
        try:
            new, old = self._champion.version(found.model_version), self._champion.version(found.rival)
        except errors.ArtifactCorrupt as fault:
            _end(found, "ended", f"The two versions cannot be compared: {fault.detail}", {})
            return
        verdict = probation.judge(self._evidence(found, new, old, failures), rows=self._settings.probation_rows)
        figures = {name: value for name, value in asdict(verdict).items() if name != "sentence"}
        is_news = (verdict.n_rows, verdict.n_labelled) != (found.figures.get("n_rows"), found.figures.get("n_labelled"))
        if verdict.decision == "roll_back" and not self._frozen():
            _roll_back(found, verdict.sentence, figures)
        elif verdict.decision == "pass":
            _end(found, "passed", verdict.sentence, figures)
        elif is_news:
            with db.transaction(durability="process") as connection:
                _note(connection, found, verdict, figures)

    def _frozen(self) -> bool:
        with db.reading() as connection:
            return proposals.mode(connection, self._settings.deploy) == "freeze"

    def _evidence(self, found: store.Probation, new: Model, old: Model, failures: int) -> probation.Evidence:
        marks: dict[str, Any] = {"after": found.first_prediction}
        pair = (found.model_version, found.rival)
        with db.reading() as connection:
            pairs = comparing.paired(connection, *pair, **marks, limit=self._settings.probation_rows)
            n, said, shadow, ids = routed.pairs(connection, *pair, **marks, limit=JUMP_ROWS)
            blocks = routed.features(connection, ids[-TIMED:])
        new_s, old_s = _timed(new, old, list(blocks.values()))
        reference = self._answers_to_reference(found, old)
        traffic = (shadow.outputs, said.outputs)
        return probation.Evidence(
            n_rows=n,
            worse=pairs.answered - pairs.shadow,
            jump=reference and probation.jump(reference, traffic, is_classifier=bool(len(new.classes))),
            failures=failures,
            new_s=new_s,
            old_s=old_s,
        )

    def _answers_to_reference(
        self, found: store.Probation, old: Model
    ) -> tuple[comparing.Floats, comparing.Floats] | None:
        """Return what both say to the newest rows of the reference; worked out once."""
        kept = self._reference
        if kept is None or kept.probation != found.id:
            self._reference = kept = _Reference(found.id, self._read_reference(found, old))
        return kept.answers

    def _read_reference(self, found: store.Probation, old: Model) -> tuple[comparing.Floats, comparing.Floats] | None:
        with db.reading() as connection:
            row = versions.get(connection, found.model_version)
            names = comparing.classes(connection, found.model_version)
        if row is None or artifacts.REFERENCE not in row.files:
            return None
        rows = artifacts.load_reference(registry.folder(self._settings.models_folder, row.version), row.files)
        X, scores = rows["X"][-JUMP_ROWS:], rows["scores"][-JUMP_ROWS:]
        if X.shape[1] != len(old.schema.names):
            return None
        return old.answer(X)[0], names[scores.argmax(axis=1)] if len(names) else scores


def _timed(new: Model, old: Model, blocks: list[bytes]) -> tuple[comparing.Floats, comparing.Floats]:
    """Return seconds of both for the same requests, each the better of two tries: a busy machine slows one."""
    width = len(new.schema.names)
    taken = [
        [min(_seconds(model, X), _seconds(model, X)) for model in (new, old)]
        for X in (np.frombuffer(block).reshape(-1, width)[:TIMED_ROWS] for block in blocks if _fits(block, width))
    ]
    both = np.array(taken, dtype=np.float64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _fits(block: bytes, width: int) -> bool:
    return len(block) > 0 and len(block) % (8 * width) == 0


def _seconds(model: Model, X: comparing.Floats) -> float:
    started = time.perf_counter()
    model.answer(X)
    return time.perf_counter() - started


def _failures(open_incidents: dict[str, Any], found: store.Probation) -> int:
    evidence = open_incidents.get(routing.ANSWERS_FAIL) or {}
    return int(evidence.get("failures", 0)) if evidence.get("version") == found.model_version else 0


# Begin, end -----------------------------------------------------------------------------------------------------


def _begin(active: versions.Active) -> None:
    """Open the probation of a deployment over an earlier champion, and let that one score in the shadow."""
    if clock.now_us() - active.since > LATE_US:
        return
    with db.reading() as connection:
        served = versions.history(connection, limit=2)
        if len(served) < 2 or served[0].id != active.generation or served[0].kind == "rollback":
            return
        first = log.newest_at(connection, active.since)
    rival = served[1].model_version
    sentence = f"Version {active.version} is on probation: version {rival} scores the same rows in the shadow."
    with db.transaction() as connection:
        begun = store.begin(
            connection, active.generation, active.version, rival=rival, first_prediction=first, sentence=sentence
        )
        if begun is None:
            return
        routed.start(connection, rival, routed.SHADOW, 1.0, by=BY, reason=sentence, after=first)
        ledger.record(
            connection,
            "probation",
            sentence,
            model_version=active.version,
            evidence={"probation": begun, "rival": rival},
        )
    logger.info("%s", sentence)


def _end(found: store.Probation, state: str, why: str, figures: dict[str, Any]) -> None:
    words = {"passed": "has passed its probation", "ended": "is on probation no more"}[state]
    sentence = f"Version {found.model_version} {words}. {why}"
    with db.transaction() as connection:
        if not store.end(connection, found.id, state, sentence, figures or found.figures):
            return
        _leave(connection, found, sentence, figures)
    logger.info("%s", sentence)


def _note(
    connection: db.Connection, found: store.Probation, verdict: probation.Verdict, figures: dict[str, Any]
) -> None:
    """Write what a look saw that changes nothing; one that may not roll back, as that is frozen, tells people."""
    if verdict.decision != "roll_back":
        store.note(connection, found.id, verdict.sentence, figures)
        incidents.resolve(connection, HELD, verdict.sentence)
        return
    version, rival = found.model_version, found.rival
    sentence = (
        f"Version {version} would be rolled back to version {rival}, but what serves is frozen, so it stays. "
        f"{verdict.sentence} Unfreeze, or roll back by hand."
    )
    told = figures | {"version": version, "rival": rival, "probation": found.id}
    store.note(connection, found.id, sentence, figures)
    if incidents.open_or_update(connection, HELD, sentence, told):
        ledger.record(connection, "probation", sentence, model_version=version, evidence=told)


def _leave(connection: db.Connection, found: store.Probation, sentence: str, figures: dict[str, Any]) -> None:
    routed.stop(connection, found.rival, by=BY)
    incidents.resolve(connection, HELD, sentence)
    told = figures | {"probation": found.id, "rival": found.rival}
    ledger.record(connection, "probation", sentence, model_version=found.model_version, evidence=told)


def _roll_back(found: store.Probation, why: str, figures: dict[str, Any]) -> None:
    """Let the version before serve again, tell people, and hold automatic retrainings until new labels come."""
    sentence = f"Version {found.model_version} was rolled back to version {found.rival} in its probation. {why}"
    try:
        with db.transaction() as connection:
            last_batch, last_label, _ = features.newest_marks(connection)
            held = figures | {"last_batch": last_batch, "last_label": last_label}
            if not store.end(connection, found.id, "rolled_back", sentence, held):
                return
            active = versions.active(connection, for_update=True)
            if active is None or active.generation != found.generation:
                raise errors.DeployConflict("Another version was activated at this moment.")
            reason = f"Rolled back from version {found.model_version}: {why}"
            registry.deploy(connection, found.rival, by=BY, reason=reason, kind="rollback")
            _leave(connection, found, sentence, held)
            evidence = held | {"version": found.model_version, "rival": found.rival, "probation": found.id}
            incidents.open_or_update(connection, INCIDENT, sentence, evidence)
    except errors.DeployConflict as fault:
        _end(found, "ended", fault.detail, figures)
        return
    logger.warning("%s", sentence)


def _close(active: versions.Active, open_incidents: dict[str, Any], settings: Settings) -> None:
    """Resolve what is over: failures of a version that does not serve, and a hold that new labels have ended."""
    failing = open_incidents.get(routing.ANSWERS_FAIL)
    if failing is not None and failing.get("version") != active.version:
        with db.transaction() as connection:
            incidents.resolve(connection, routing.ANSWERS_FAIL, f"Version {active.version} serves.")
    held = open_incidents.get(INCIDENT)
    if held is None:
        return
    enough = settings.min_new_labels
    marks = {"last_batch": held["last_batch"], "last_label": held["last_label"]}
    with db.reading() as connection:
        n = features.count_new_labels(connection, **marks, enough=enough)
    if n >= enough:
        with db.transaction() as connection:
            incidents.resolve(connection, INCIDENT, f"{n:,} new labels have come; retrainings may deploy again.")
    elif active.version != held["rival"]:
        with db.transaction() as connection:
            incidents.resolve(connection, INCIDENT, f"Version {active.version} serves now.")


def _end_route(active: versions.Active) -> None:
    """Close the route of a version that answers everybody now."""
    with db.reading() as connection:
        if all(route.model_version != active.version for route in routed.open_routes(connection)):
            return
    with db.transaction() as connection:
        route = routed.stop(connection, active.version)
        if route is not None:
            sentence = f"Version {active.version} is no {route.route} any more: it serves everybody."
            ledger.record(connection, "route", sentence, model_version=active.version)


def shown(found: store.Probation) -> dict[str, Any]:
    """Return a probation as answers show it."""
    times = {name: clock.iso(getattr(found, name)) for name in ("started_at", "ended_at")}
    return asdict(found) | times
