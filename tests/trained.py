"""A home folder with a first model, trained once for each kind of database and copied for every test."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sklearn.base import clone

from mlpipe import db
from mlpipe.app import create_app
from mlpipe.prediction.champion import Champion
from mlpipe.registry import artifacts
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.retraining import asking
from mlpipe.retraining import service as retraining
from mlpipe.settings import Settings
from tests import postgresql

N_ROWS = 120
_databases = itertools.count()


def rows(n: int, rng: np.random.Generator, *, shift: float = 0.0) -> tuple[list[list[float]], list[int]]:
    """Return rows of three numbers and labels that the first number decides."""
    X = rng.normal(size=(n, 3)).round(6)
    return (X + shift).tolist(), (X[:, 0] > 0).astype(int).tolist()


def ingest(client: FlaskClient, n: int, rng: np.random.Generator, **members: Any) -> Any:
    """Send a batch of labelled rows; return the receipt."""
    X, y = rows(n, rng)
    answer = client.post("/ingest/batch", json={"features": X, "labels": y} | members)
    assert answer.status_code == 201, answer.text
    return answer.json


def train(app: Flask, settings: Settings) -> None:
    """Train the first model and load it."""
    assert asking.ask_for_first(settings)
    job = retraining.run_next(settings, holder="t")
    assert job is not None
    assert champion(app).refresh()


def champion(app: Flask) -> Champion:
    """Return what the app serves."""
    found: Champion = app.extensions["mlpipe.champion"]
    return found


def add_version(settings: Settings, number: int) -> None:
    """Register a copy of version 1 under another number, without a fit."""
    add_folder(settings, number)
    with db.transaction() as connection:
        first = versions.get(connection, 1)
        assert first is not None
        versions.add(connection, replace(first, version=number))


def add_folder(settings: Settings, number: int) -> None:
    """Lay out the files of version 1 under another number."""
    shutil.copytree(settings.models_folder / "1", settings.models_folder / str(number))


def activate(number: int) -> int:
    """Let a version serve."""
    return registry.activate(number, by="test", reason="because")


def counts() -> dict[str, int]:
    """Return how many rows each table has."""
    with db.reading() as connection:
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in db.metadata.sorted_tables
        }


def fill(settings: Settings) -> None:
    """Train the first model of an empty, migrated database, and close it so that it can be copied."""
    with opened(settings) as app:
        ingest(app.test_client(), N_ROWS, np.random.default_rng(1), batch_id="first")
        train(app, settings)


@contextmanager
def opened(settings: Settings) -> Iterator[Flask]:
    """Give an app with its context, and close its connections at the end."""
    app = create_app(settings)
    with app.app_context():
        try:
            yield app
        finally:
            for engine in db.database.engines.values():
                engine.dispose()


def _small(home: Path) -> Settings:
    return Settings(
        home=home, min_labelled=40, min_new_labels=60, n_estimators=10, quiet_s=0.0, min_samples=50, model_kind="forest"
    )


@pytest.fixture(scope="session")
def trained_on_sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = _small(tmp_path_factory.mktemp("trained"))
    shutil.copy(sqlite_template, settings.home / "mlpipe.db")
    fill(settings)
    return settings


@pytest.fixture(scope="session")
def trained_on_postgresql(
    postgresql_server: str, postgresql_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    url = postgresql.create_database(postgresql_server, "template_trained", template=postgresql_template)
    settings = replace(_small(tmp_path_factory.mktemp("trained")), database_url=url)
    fill(settings)
    return settings


@pytest.fixture
def trained_settings(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Settings of a home folder in which version 1 serves, on each kind of database."""
    origin: Settings = request.getfixturevalue(f"trained_on_{database}")
    home = tmp_path / "trained"
    shutil.copytree(origin.home, home, ignore=shutil.ignore_patterns("logs"))
    if database == "sqlite":
        yield replace(origin, home=home)
        return
    server = request.getfixturevalue("postgresql_server")
    name = f"trained_{next(_databases)}"
    url = postgresql.create_database(server, name, template="template_trained")
    yield replace(origin, home=home, database_url=url)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def trained_app(trained_settings: Settings) -> Iterator[Flask]:
    """An app that serves version 1, with nothing in the background; its context is pushed."""
    with opened(trained_settings) as app:
        champion(app).refresh()
        yield app


@pytest.fixture
def served(trained_app: Flask) -> FlaskClient:
    """A client of an app that serves version 1."""
    return trained_app.test_client()


def sabotage(settings: Settings, number: int) -> None:
    """Register a version of which everything is in order, but it answers the opposite of what version 1 does."""
    made = settings.models_folder / str(number)
    shutil.copytree(settings.models_folder / "1", made)
    with db.reading() as connection:
        first = versions.get(connection, 1)
    assert first is not None
    contents, reference = artifacts.load(made, first.files), artifacts.load_reference(made, first.files)
    inverted = clone(contents.estimator).fit(reference["X"], 1 - reference["y"])
    artifacts.dump_model(inverted, made / artifacts.MODEL)
    smoke = {"X": contents.smoke_X, "scores": inverted.predict_proba(contents.smoke_X)}
    artifacts.dump_arrays(smoke, made / artifacts.SMOKE)
    with db.transaction() as connection:
        versions.add(connection, replace(first, version=number, files=artifacts.digests(made)))
