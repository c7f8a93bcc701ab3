"""The state of the version that learns, in the memory of the process that leads.

Everything it holds can be lost: it is rebuilt from the newest checkpoint and the steps that follow it, bit for bit. A
step is written before its revision is published, so no label is learned twice, and none is lost.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlpipe import clock, db, errors
from mlpipe.features import arrivals
from mlpipe.features import store as features
from mlpipe.incidents import kinds
from mlpipe.incidents import store as incidents
from mlpipe.jobs import leases, ledger
from mlpipe.jobs import service as jobs
from mlpipe.learning import store
from mlpipe.learning.store import Step
from mlpipe.registry import revision_files, revisions
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.rolling import checkpoint, learning, prequential, publish
from mlpipe.rolling.state import State

logger = logging.getLogger("mlpipe.retraining.learning")

Floats = NDArray[np.float64]

KIND = "rolling_forest"
"""Kind of the versions that go on learning."""

NEVER = -1
"""Position of a checkpoint that is due at once."""

REPLAYED_AT_ONCE = 200
"""Steps that a replay reads at a time."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Labelled rows that a version can learn.

    Attributes
    ----------
    samples : Samples
    n_unknown : int
        Rows left out because the version does not know their class.
    """

    samples: features.Samples
    n_unknown: int

    def __len__(self) -> int:
        """Return how many can be learned."""
        return len(self.samples)


class Learner:
    """A version's state, the step that it has reached, and where its files lie.

    Parameters
    ----------
    models : Path
        The registry folder.
    version : Version
        Of kind `KIND`.

    Raises
    ------
    errors.ArtifactCorrupt
        Not even the state that the version started from can be trusted.
    """

    def __init__(self, models: Path, version: versions.Version) -> None:
        self.version = version
        self._folder = registry.folder(models, version.version)
        self.state, self.step, self._checkpointed = self._restored()
        self._damaged = self._newest_is_damaged()
        self.replay()

    @property
    def number(self) -> int:
        """The version's number."""
        return self.version.version

    def _newest_is_damaged(self) -> bool:
        """Say whether workers cannot read what was published last: it is published once more then."""
        with db.reading() as connection:
            last = revisions.newest(connection, self.number)
        try:
            if last is not None:
                revision_files.load_model(self._folder, last.revision, last.files)
        except errors.ArtifactCorrupt:
            return True
        return False

    def _restored(self) -> tuple[State, int, int]:
        """Return state, step and position of the newest checkpoint that can be trusted."""
        with db.reading() as connection:
            candidates = revisions.with_checkpoint(connection, self.number)
        for one in candidates:
            try:
                arrays = revision_files.load_checkpoint(self._folder, one.revision, one.files)
            except errors.ArtifactCorrupt as fault:
                logger.warning("version %s, revision %s: %s", self.number, one.revision, fault.detail)
                continue
            return checkpoint.unpack(arrays), one.step, one.position
        start = revision_files.load_checkpoint(self._folder, 0, self.version.files)
        return checkpoint.unpack(start), 0, 0

    # Reading ----------------------------------------------------------------------------------------------------

    def rows(self, after: arrivals.Mark, upto: arrivals.Mark) -> Rows:
        """Return the labelled rows between two marks that this version can learn, in the order of arrival."""
        with db.reading() as connection:
            samples = arrivals.between(connection, after, upto)
        if self.version.task == "regression" or not len(samples):
            return Rows(samples, 0)
        known = np.isin(samples.y, self.state.classes)
        return Rows(samples.take(known), int(np.count_nonzero(~known)))

    def replay(self) -> None:
        """Apply the steps that were written since the state's own."""
        while True:
            with db.reading() as connection:
                steps = store.following(connection, self.number, after=self.step, limit=REPLAYED_AT_ONCE)
            restored = [n for n, step in enumerate(steps) if step.kind == "restored"]
            for step in steps[restored[-1] if restored else 0 :]:  # what came before a restored state does not matter
                self.state, self.step = self._applied(step), step.number
            if len(steps) < REPLAYED_AT_ONCE:
                return

    def _applied(self, step: Step) -> State:
        if step.kind == "restored":
            self._checkpointed = NEVER
            return self._checkpoint_of(step.of or 0)
        if step.kind in ("held", "discarded"):
            return self.state
        found = self.rows(step.after, step.upto).samples
        return learning.learn(self.state, found.X, found.y) if len(found) else self.state

    def _checkpoint_of(self, revision: int) -> State:
        if not revision:
            return checkpoint.unpack(revision_files.load_checkpoint(self._folder, 0, self.version.files))
        with db.reading() as connection:
            found = revisions.get(connection, self.number, revision)
        if found is None:
            raise errors.NotFound(f"Version {self.number} has no revision {revision}.")
        return checkpoint.unpack(revision_files.load_checkpoint(self._folder, revision, found.files))

    # Learning ---------------------------------------------------------------------------------------------------

    def take(self, step: Step, rows: Rows, *, holder: str) -> bool:
        """Write a step of new labels down and, unless it is held, learn its rows; say whether this process still may.

        Parameters
        ----------
        step : Step
            Kind "learned" or "held"; its number and position are filled in here.
        rows : Rows
            Its rows.
        holder : str
            Name of this worker: it must lead.
        """
        state, scores = self.state, None
        if step.kind == "learned":
            state, answers = prequential.run(self.state, rows.samples.X, rows.samples.y)
            scores = answers.tobytes()
        step = replace(step, number=self.step + 1, position=state.n_learned)
        with db.transaction() as connection:
            if not self._may_write(connection, holder) or not store.add(connection, step, scores=scores):
                return False
            if step.kind == "held":
                evidence = {"version": self.number, "step": step.number, **step.figures}
                incidents.open_or_update(connection, kinds.LABELS_HELD, step.sentence, evidence)
                ledger.record(connection, "learning", step.sentence, model_version=self.number, evidence=evidence)
        self.state, self.step = state, step.number
        return True

    def release(self, held: Step, because: str, *, holder: str) -> bool:
        """Learn a step's rows that were held back; say whether this process still may."""
        with db.transaction() as connection:
            if not self._may_write(connection, holder):
                return False
            sentence = f"Version {self.number}: the labels of step {held.number} are learned after all. {because}"
            step = replace(held, number=self.step + 1, kind="released", of=held.number, sentence=sentence)
            step = replace(step, position=self.state.n_learned + held.n_rows)
            if not store.add(connection, step):
                return False
            ledger.record(connection, "learning", sentence, model_version=self.number, evidence={"step": step.number})
            if not store.waiting(connection, self.number):
                incidents.resolve(connection, kinds.LABELS_HELD, because)
        self.replay()
        return True

    def _may_write(self, connection: db.Connection, holder: str) -> bool:
        """Say whether this worker leads and the version serves: a leader that slept must not write when it wakes."""
        leader, active = leases.holder_of(connection, jobs.LEADER), versions.active(connection)
        leads = leader is not None and leader.holder == holder and leader.until >= clock.now_us()
        return leads and active is not None and active.version == self.number

    def publish(self) -> revisions.Revision | None:
        """Publish the state as the version's next revision; None when nothing was learned since the last."""
        with db.reading() as connection:
            last = revisions.newest(connection, self.number)
        if self.step == (last.step if last else 0) and not self._damaged:
            return None
        number = last.revision + 1 if last else 1
        renewals = self.state.parameters.renew_every
        due = self.state.n_learned // renewals != self._checkpointed // renewals
        arrays = checkpoint.pack(self.state) if due else None
        files = revision_files.write(self._folder, number, publish.collapse(self.state), arrays)
        made = revisions.Revision(self.number, number, self.step, self.state.n_learned, 0, files)
        with db.transaction() as connection:
            if not revisions.add(connection, made):
                return None
        self._damaged = False
        if due:
            self._checkpointed = self.state.n_learned
        revision_files.prune(self._folder, newest_revision=number)
        return made
