"""One turn of the learner: what has come is judged, learned or held back, and published."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from mlpipe import clock, db, errors
from mlpipe.features import arrivals
from mlpipe.features import store as features
from mlpipe.features.arrivals import Mark
from mlpipe.incidents import kinds
from mlpipe.incidents import store as incidents
from mlpipe.learning import service, store
from mlpipe.learning.learner import Learner, Rows
from mlpipe.learning.store import Step
from mlpipe.registry import store as versions
from mlpipe.rolling import guard
from mlpipe.settings import Settings

logger = logging.getLogger("mlpipe.retraining.learning")

T = TypeVar("T")


PATIENCE = 12
"""Times `learn_interval_s` that labels wait of which there are too few to be judged."""

LEAST_JUDGED = guard.Limits().n_least
"""Labels that the guard must have to say anything."""

JUDGED_AT_MOST = 100
"""Newest steps that are asked about a held one: they hold many times the rows that decide."""


class Classroom:
    """Where the learner of this process is kept between turns; only one thread takes turns."""

    def __init__(self) -> None:
        self.learner: Learner | None = None
        self.since: float | None = None
        self.turn = threading.Lock()


def take_turn(classroom: Classroom, settings: Settings, *, holder: str) -> int:
    """Let the version that serves learn what has come; return how many labels it learned.

    Parameters
    ----------
    classroom : Classroom
    settings : Settings
    holder : str
        Name of this worker, which leads.

    Notes
    -----
    Learns when `learn_labels` new labels are here, or when the oldest of fewer has waited `learn_interval_s`; of so few
    that the guard cannot judge them, when it has waited `PATIENCE` times as long.
    """
    with classroom.turn:
        version = service.serving()
        if version is None:
            classroom.learner = None
            return 0
        known = classroom.learner
        before = known.state.n_learned if known is not None and known.number == version.version else None
        learner = _learner(classroom, version, settings)
        before = learner.state.n_learned if before is None else before
        if _due(classroom, learner, settings) and not _learn_all(learner, holder=holder):
            classroom.learner = None
            return 0
        published = learner.publish()
        if published is not None:
            logger.info(
                "version %s, revision %s: %s labels learned", learner.number, published.revision, published.position
            )
        return learner.state.n_learned - before


def _learner(classroom: Classroom, version: versions.Version, settings: Settings) -> Learner:
    learner = classroom.learner
    if learner is None or learner.number != version.version:
        learner = _reporting(version, lambda: Learner(settings.models_folder, version))
        with db.transaction() as connection:
            incidents.resolve(connection, kinds.LEARNING, f"Version {version.version} goes on learning.")
        logger.info("version %s goes on learning at label %s", version.version, learner.state.n_learned)
        classroom.learner, classroom.since = learner, None
    else:
        _reporting(version, learner.replay)  # what a person has decided since
    return learner


def _reporting(version: versions.Version, read: Callable[[], T]) -> T:
    try:
        return read()
    except errors.ArtifactCorrupt as fault:
        _report(version, fault)
        raise


def _report(version: versions.Version, fault: errors.ArtifactCorrupt) -> None:
    sentence = f"Version {version.version} cannot go on learning: {fault.detail} It serves as it is."
    with db.transaction() as connection:
        incidents.open_or_update(connection, kinds.LEARNING, sentence, {"version": version.version})


def _due(classroom: Classroom, learner: Learner, settings: Settings) -> bool:
    with db.reading() as connection:
        at = service.reached(connection, learner.version)
        n = features.count_new_labels(
            connection, last_batch=at.batch, last_label=at.label, enough=settings.learn_labels
        )
    now = time.monotonic()
    classroom.since = (classroom.since or now) if n else None
    waited_s = now - classroom.since if classroom.since else 0.0
    patience = settings.learn_interval_s * (1 if n >= LEAST_JUDGED else PATIENCE)
    if n < settings.learn_labels and waited_s < patience:
        return False
    classroom.since = None
    return n > 0


def _learn_all(learner: Learner, *, holder: str) -> bool:
    """Learn all labels that are here, stretch by stretch; say whether this process still may."""
    with db.transaction(durability="process") as connection:
        upto = arrivals.settled(connection)
        after = service.reached(connection, learner.version)
    while after != upto:
        with db.reading() as connection:
            end = arrivals.next_end(connection, after, upto)
        if not _take(learner, after, end, holder=holder) or not _let_go(learner, holder=holder):
            return False
        after = end
    return True


def _take(learner: Learner, after: Mark, upto: Mark, *, holder: str) -> bool:
    """Learn a stretch of labels, or hold it back."""
    rows = learner.rows(after, upto)
    with db.reading() as connection:
        wary = _wary(connection, learner.number)
        rate = _rate(connection, learner.number, len(rows))
    judged = guard.judge(learner.state, rows.samples.X, rows.samples.y, rate=rate, wary=wary) if len(rows) else None
    findings = judged.findings if judged else ()
    figures: dict[str, Any] = {"unknown_class": rows.n_unknown} if rows.n_unknown else {}
    step = Step(
        model_version=learner.number,
        kind="held" if findings else "learned",
        after=after,
        upto=upto,
        n_rows=len(rows),
        sentence=_told(learner.number, rows, " ".join(finding.sentence for finding in findings)),
        figures=figures | {finding.kind: finding.figures for finding in findings},
    )
    return learner.take(step, rows, holder=holder)


def _wary(connection: db.Connection, version: int) -> bool:
    """Say whether labels are held and few have been judged since."""
    waits = {step.number for step in store.waiting(connection, version)}
    newest = store.page(connection, version, limit=JUDGED_AT_MOST) if waits else []
    n = 0
    for step in newest:
        if step.number in waits:
            return guard.recent(n)
        n += step.n_rows
    return False


def _told(version: int, rows: Rows, held: str) -> str:
    left_out = f" {rows.n_unknown:,} of classes that version {version} does not know were left out."
    if held:
        return (
            f"Version {version} holds {len(rows):,} labels back: {held} Labels that agree release them; GET /learning "
            "shows them, and how a person decides."
        )
    return f"{len(rows):,} labels were learned.{left_out if rows.n_unknown else ''}"


def _rate(connection: db.Connection, version: int, n: int) -> tuple[float, float] | None:
    """Return labels an hour now and usually, or None while the version is too young to have a habit."""
    now = clock.now_us()
    hour, day = (int(hours * 3600 * clock.MICROSECONDS) for hours in (1, 24))
    first = store.get(connection, version, 1)
    if first is None or now - first.at < day:
        return None
    lately = store.arrived(connection, version, since_us=now - hour)
    before = store.arrived(connection, version, since_us=now - hour - day) - lately
    if lately + n < guard.Limits().rate * before / 24:
        return None
    # by habit labels may come in bulk, once a day: the busiest hour is what is usual then
    return float(lately + n), store.busiest(connection, version, since_us=now - hour - day, until_us=now - hour)


def _let_go(learner: Learner, *, holder: str) -> bool:
    """Release what labels since then have confirmed, oldest first; say whether this process still may."""
    with db.reading() as connection:
        held = store.waiting(connection, learner.number)
    for step in held:
        because = _confirmed(learner, step)
        if because is not None and not learner.release(step, because, holder=holder):
            return False
    return True


def _confirmed(learner: Learner, step: Step) -> str | None:
    with db.reading() as connection:
        newest = store.page(connection, learner.number, limit=JUDGED_AT_MOST)
        since = [one for one in reversed(newest) if one.number > step.number]
    later = [
        guard.Judgement(np.full(one.n_rows, one.kind == "held"), (), np.nan)
        for one in since
        if one.kind in store.ARRIVALS
    ]
    rows = learner.rows(step.after, step.upto).samples
    return guard.agreed(learner.state, rows.X, rows.y, later=later)
