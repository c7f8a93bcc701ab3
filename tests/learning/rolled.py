"""An app that serves a small version which goes on learning."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask

from mlpipe import clock, db
from mlpipe.features import store as features
from mlpipe.jobs import service as jobs
from mlpipe.registry import artifacts, revision_files
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.rolling import checkpoint, learning, publish, vote
from mlpipe.rolling.parameters import Parameters
from mlpipe.settings import Settings
from tests import trained

SMALL = Parameters(n_groups=4, group_size=2, max_depth=4, block=20, renew_every=40, windows=(100, 200))
HOLDER = "t"


def serve(app: Flask, settings: Settings, rng: np.random.Generator, *, n: int = 200) -> None:
    """Ingest rows, register a version that learns, deploy and load it; this test leads."""
    trained.ingest(app.test_client(), n, rng)
    assert jobs.lead(HOLDER, lease_s=600)
    register(settings, number=1)
    with db.transaction() as connection:
        registry.deploy(connection, 1, by="test", reason="because")
    assert trained.champion(app).refresh()


def register(settings: Settings, *, number: int) -> None:
    """Start a version on all labelled rows that are here."""
    with db.reading() as connection:
        samples = features.newest_labelled(connection, 10_000)
        last_batch, last_label, _ = features.newest_marks(connection)
    state = learning.start(samples.X, samples.y, classes=np.array([0.0, 1.0]), parameters=SMALL)
    work = Path(tempfile.mkdtemp(dir=settings.home))
    artifacts.dump_model(publish.collapse(state), work / artifacts.MODEL)
    artifacts.dump_arrays(checkpoint.pack(state), work / revision_files.START)
    smoke = samples.X[-10:]
    artifacts.dump_arrays({"X": smoke, "scores": vote.scores(state, smoke)}, work / artifacts.SMOKE)
    artifacts.write_manifest({"libraries": artifacts.libraries()}, work)
    files = artifacts.digests(work)
    artifacts.publish(work, registry.folder(settings.models_folder, number))
    values: dict[str, Any] = {key: {} for key in ("metrics", "lineage", "verdict")}
    row = versions.Version(
        version=number,
        created_at=clock.now_us(),
        kind="rolling_forest",
        task="classification",
        schema_version=1,
        parent=None,
        job_id=None,
        parameters={"classes": [0.0, 1.0]},
        files=files,
        last_batch=last_batch,
        last_label=last_label,
        **values,
    )
    with db.transaction() as connection:
        versions.add(connection, row)
