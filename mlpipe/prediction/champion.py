"""The loaded model of this process: one immutable reference that is swapped whole.

Nobody is notified of a deploy; every worker looks. A version that cannot be loaded leaves the old one serving.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpipe import db, errors
from mlpipe.features import store as features
from mlpipe.incidents import store as incidents
from mlpipe.jobs import service as jobs
from mlpipe.prediction import forest
from mlpipe.registry import artifacts, preparations, revision_files, revisions, rollout
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.schema.contract import Schema

logger = logging.getLogger("mlpipe.prediction.champion")

Floats = NDArray[np.float64]

RETRY_S = 30.0
"""Pause before a version that could not be loaded is tried again."""

KEPT_VERSIONS = 4
"""Versions besides the champion that are kept loaded for requests that name one."""

INCIDENT = "model_load"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A loaded version, ready to answer.

    Attributes
    ----------
    generation : int
        The stretch of serving that it was loaded for; 0 for a version asked for by number.
    schema : Schema
        How rows are read.
    classes : float64 (k,)
        Labels as stored, in the order of the probabilities; empty for regression.
    score : Scorer
        float64 (n, d) -> probabilities (n, k), or values (n,).
    """

    version: int
    revision: int
    generation: int
    schema: Schema
    classes: Floats
    score: forest.Scorer

    def answer(self, X: Floats) -> tuple[Floats, Floats | None]:
        """Return outputs (n,), and probabilities (n, k) for a classifier."""
        scores = self.score(X)
        if not len(self.classes):
            return scores, None
        return self.classes[scores.argmax(axis=1)], scores


class Champion:
    """What this process serves.

    Parameters
    ----------
    models : Path
        The registry folder.

    Attributes
    ----------
    name : str
        Under which it answers preparations: that of the worker.
    """

    def __init__(self, models: Path) -> None:
        self.name = jobs.worker_name()
        self._models = models
        self._model: Model | None = None
        self._loading = threading.Lock()
        self._failed: tuple[int, float] | None = None
        self._others: OrderedDict[int, Model] = OrderedDict()
        self._wish: preparations.Preparation | None = None
        self._prepared: Model | None = None

    @property
    def model(self) -> Model | None:
        """The version that serves, or None before the first."""
        return self._model

    @property
    def expects(self) -> bool:
        """Whether a deploy is under way, so that the next look should come soon."""
        return self._wish is not None

    def refresh(self) -> bool:
        """Load what the registry says or wishes for; say whether something else serves from now on.

        Notes
        -----
        Costs three small reads while nothing has changed.
        """
        with self._loading:
            with db.reading() as connection:
                active = versions.active(connection)
                schema = features.current_schema(connection)
                wish = preparations.wanted(connection)
                last = revisions.newest(connection, active.version) if active else None
            if schema is None:
                return False
            changed = active is not None and self._follow(active, last.revision if last else 0, schema)
            self._prepare(wish, schema)
            return changed

    def prepare(self) -> None:
        """Load aside what the registry wishes for, and answer; what serves is left alone."""
        with self._loading:
            with db.reading() as connection:
                schema = features.current_schema(connection)
                wish = preparations.wanted(connection)
            if schema is not None:
                self._prepare(wish, schema)

    def _follow(self, active: versions.Active, revision: int, schema: Schema) -> bool:
        model = self._model
        if model is not None and (model.generation, model.revision) == (active.generation, revision):
            self._model = model if model.schema == schema else replace(model, schema=schema)
            return False
        return self._load(active, revision, schema)

    def _prepare(self, wish: preparations.Preparation | None, schema: Schema) -> None:
        """Load aside what is to serve next, and answer whether it can."""
        if wish is not None and self._wish is not None and wish.id == self._wish.id:
            return
        self._wish, self._prepared = None, None
        if wish is None:
            return
        reason = None
        try:
            self._prepared = load(self._models, wish.model_version, schema=schema)
        except errors.StoreUnavailable:
            raise
        except Exception as fault:  # noqa: BLE001  whatever is wrong with a file, the deployer is told
            reason = str(fault)
            logger.error("version %s cannot be prepared: %s", wish.model_version, reason)
        with db.transaction(durability="process") as connection:
            preparations.answer(connection, wish.id, self.name, ready=reason is None, reason=reason)
        self._wish = wish

    def _load(self, active: versions.Active, revision: int, schema: Schema) -> bool:
        if self._failed and self._failed[0] == active.generation and time.monotonic() < self._failed[1]:
            return False
        try:
            loaded = self._take_prepared(active, schema) or load(
                self._models, active.version, schema=schema, generation=active.generation
            )
        except errors.StoreUnavailable:
            raise  # the database's fault, not the file's: the next look tries again
        except Exception as fault:  # noqa: BLE001  whatever is wrong with a file, the old model goes on serving
            self._failed = (active.generation, time.monotonic() + RETRY_S)
            self._report(active.version, fault)
            return False
        old, self._model, self._failed = self._model, loaded, None
        if loaded.revision < revision:  # the newest is damaged, an older one answers; it is looked at again later
            self._failed = (active.generation, time.monotonic() + RETRY_S)
        if old is not None and old.generation == active.generation:
            return True
        logger.info("version %s serves instead of %s", loaded.version, old.version if old else "none")
        with db.transaction() as connection:
            incidents.resolve(connection, INCIDENT, f"Version {loaded.version} serves.")
        return True

    def _take_prepared(self, active: versions.Active, schema: Schema) -> Model | None:
        """Return what was loaded aside, if it is what serves from now on."""
        prepared = self._prepared
        if prepared is None or prepared.version != active.version:
            return None
        return replace(prepared, generation=active.generation, schema=schema)

    def _report(self, version: int, fault: Exception) -> None:
        still = f"version {self._model.version} goes on serving" if self._model else "nothing serves"
        sentence = f"Version {version} cannot be loaded, {still}: {fault}"
        logger.error("%s", sentence)
        with db.transaction() as connection:
            incidents.open_or_update(connection, INCIDENT, sentence, {"version": version})

    def version(self, number: int) -> Model:
        """Return a version by its number, loading it if need be.

        Raises
        ------
        errors.NotFound
            There is no such version.
        errors.ArtifactCorrupt
            Its files cannot be trusted.
        """
        model = self._model
        if model is not None and model.version == number:
            return model
        with self._loading:
            with db.reading() as connection:
                schema = features.current_schema(connection)
                last = revisions.newest(connection, number) if 0 < number <= versions.MAX_VERSION else None
            known = self._others.get(number)
            if known is None or known.revision != (last.revision if last else 0):
                if schema is None:
                    raise errors.NotFound(f"There is no version {number}: nothing was ingested yet.")
                self._others[number] = load(self._models, number, schema=schema)
                if len(self._others) > KEPT_VERSIONS:
                    self._others.popitem(last=False)
            self._others.move_to_end(number)
            other = self._others[number]
            return other if model is None else replace(other, schema=model.schema)


def try_on(models: Path, version: int, *, accepted: Mapping[str, str] | None = None) -> None:
    """Load a version and throw it away; see `load` for what it raises."""
    with db.reading() as connection:
        schema = features.current_schema(connection)
    if schema is None:
        raise errors.NotFound(f"There is no version {version}: nothing was ingested yet.")
    load(models, version, schema=schema, accepted=accepted)


def load(
    models: Path,
    version: int,
    *,
    schema: Schema,
    generation: int = 0,
    accepted: Mapping[str, str] | None = None,
) -> Model:
    """Read, verify and compile a version; `accepted` names library versions instead of those of its row.

    Raises
    ------
    errors.NotFound
        There is no such version.
    errors.VersionPruned
        Its files were removed.
    errors.ArtifactCorrupt
        A file is missing or altered, or the model answers otherwise than when it was registered.
    """
    with db.reading() as connection:
        row = versions.get(connection, version)
        published = revisions.page(connection, version, limit=revision_files.KEPT) if row is not None else []
    if row is None:
        raise errors.NotFound(f"There is no version {version}. GET /models lists all.")
    if row.state == versions.PRUNED:
        raise rollout.pruned(version)
    contents = artifacts.load(registry.folder(models, version), row.files, accepted=accepted or row.accepted)
    score = forest.compile_estimator(contents.estimator, X_check=contents.smoke_X)
    artifacts.check_answers(contents, score(contents.smoke_X), name=str(version))
    revision, learned = _newest_sound(registry.folder(models, version), published)
    if revision:  # it has learned since: the newest state answers
        score = forest.compile_estimator(learned, X_check=contents.smoke_X)
    return Model(
        version=version,
        revision=revision,
        generation=generation,
        schema=schema,
        classes=np.asarray(row.parameters["classes"], dtype=np.float64),
        score=score,
    )


def _newest_sound(folder: Path, published: Sequence[revisions.Revision]) -> tuple[int, Any]:
    """Return the newest revision whose file can be trusted, and its model; 0 and None: as it was registered."""
    for one in published:
        try:
            return one.revision, revision_files.load_model(folder, one.revision, one.files)
        except errors.ArtifactCorrupt as fault:
            logger.error("version %s, revision %s: %s An older state answers.", folder.name, one.revision, fault.detail)
    return 0, None
