"""The loaded model of this process: one immutable reference that is swapped whole.

Nobody is notified of a deploy; every worker looks. A version that cannot be loaded leaves the old one serving.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlpipe import db, errors
from mlpipe.features import store as features
from mlpipe.incidents import store as incidents
from mlpipe.prediction import forest
from mlpipe.registry import artifacts, revision_files, revisions
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
    """

    def __init__(self, models: Path) -> None:
        self._models = models
        self._model: Model | None = None
        self._loading = threading.Lock()
        self._failed: tuple[int, float] | None = None
        self._others: OrderedDict[int, Model] = OrderedDict()

    @property
    def model(self) -> Model | None:
        """The version that serves, or None before the first."""
        return self._model

    def refresh(self) -> bool:
        """Load what the registry says; say whether something else serves from now on.

        Notes
        -----
        Costs two small reads while nothing has changed.
        """
        with self._loading:
            with db.reading() as connection:
                active = versions.active(connection)
                schema = features.current_schema(connection)
                last = revisions.newest(connection, active.version) if active else None
            if active is None or schema is None:
                return False
            model, revision = self._model, last.revision if last else 0
            if model is not None and (model.generation, model.revision) == (active.generation, revision):
                self._model = model if model.schema == schema else replace(model, schema=schema)
                return False
            return self._load(active, schema)

    def _load(self, active: versions.Active, schema: Schema) -> bool:
        if self._failed and self._failed[0] == active.generation and time.monotonic() < self._failed[1]:
            return False
        try:
            loaded = load(self._models, active.version, schema=schema, generation=active.generation)
        except errors.StoreUnavailable:
            raise  # the database's fault, not the file's: the next look tries again
        except Exception as fault:  # noqa: BLE001  whatever is wrong with a file, the old model goes on serving
            self._failed = (active.generation, time.monotonic() + RETRY_S)
            self._report(active.version, fault)
            return False
        old, self._model, self._failed = self._model, loaded, None
        logger.info("version %s serves instead of %s", loaded.version, old.version if old else "none")
        with db.transaction() as connection:
            incidents.resolve(connection, INCIDENT, f"Version {loaded.version} serves.")
        return True

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
            if number not in self._others:
                with db.reading() as connection:
                    schema = features.current_schema(connection)
                if schema is None:
                    raise errors.NotFound(f"There is no version {number}: nothing was ingested yet.")
                self._others[number] = load(self._models, number, schema=schema)
                if len(self._others) > KEPT_VERSIONS:
                    self._others.popitem(last=False)
            self._others.move_to_end(number)
            other = self._others[number]
            return other if model is None else replace(other, schema=model.schema)


def load(models: Path, version: int, *, schema: Schema, generation: int = 0) -> Model:
    """Read, verify and compile a version.

    Raises
    ------
    errors.NotFound
        There is no such version.
    errors.ArtifactCorrupt
        A file is missing or altered, or the model answers otherwise than when it was registered.
    """
    with db.reading() as connection:
        row = versions.get(connection, version)
        last = revisions.newest(connection, version)
    if row is None:
        raise errors.NotFound(f"There is no version {version}. GET /models lists all.")
    contents = artifacts.load(registry.folder(models, version), row.files)
    score = forest.compile_estimator(contents.estimator, X_check=contents.smoke_X)
    artifacts.check_answers(contents, score(contents.smoke_X), name=str(version))
    if last is not None:  # it has learned since: the newest state answers
        newest = revision_files.load_model(registry.folder(models, version), last.revision, last.files)
        score = forest.compile_estimator(newest, X_check=contents.smoke_X)
    return Model(
        version=version,
        revision=last.revision if last else 0,
        generation=generation,
        schema=schema,
        classes=np.asarray(row.parameters["classes"], dtype=np.float64),
        score=score,
    )
