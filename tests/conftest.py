"""Fixtures: an app on SQLite and on PostgreSQL, and a real server."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlpipe import db
from mlpipe.app import create_app
from mlpipe.settings import Settings
from tests import postgresql
from tests.server import Server
from tests.trained import served, trained_app, trained_on_postgresql, trained_on_sqlite, trained_settings

__all__ = ["served", "trained_app", "trained_on_postgresql", "trained_on_sqlite", "trained_settings"]

_databases = itertools.count()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    # Not among pytest's own folders: another pytest session closes those to PostgreSQL's user as it starts.
    with tempfile.TemporaryDirectory(prefix="mlpipe-pg-") as folder, postgresql.running(Path(folder) / "data") as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template")
    settings = Settings(home=home)
    _migrate(settings)
    return home / "mlpipe.db"


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    url = postgresql.create_database(postgresql_server, "template_mlpipe")
    settings = Settings(home=tmp_path_factory.mktemp("template"), database_url=url)
    _migrate(settings)
    return "template_mlpipe"


def _migrate(settings: Settings) -> None:
    """Make the tables and close every connection, so that the database can be copied."""
    app = create_app(settings)
    db.upgrade(app, settings)
    with app.app_context():
        for engine in db.database.engines.values():
            engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Settings of an empty, migrated database of each kind."""
    home = tmp_path / "home"
    home.mkdir()
    small = Settings(
        home=home, min_labelled=40, min_new_labels=60, n_estimators=10, quiet_s=0.0, min_samples=50, model_kind="forest"
    )
    if database == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), home / "mlpipe.db")
        yield small
        return
    server = request.getfixturevalue("postgresql_server")
    template = request.getfixturevalue("postgresql_template")
    name = f"test_{next(_databases)}"
    url = postgresql.create_database(server, name, template=template)
    yield replace(small, database_url=url)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """An app with nothing in the background; its context is pushed."""
    made = create_app(settings)
    with made.app_context():
        yield made
        for engine in db.database.engines.values():
            engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def empty_database(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of an empty database without tables; an empty text for SQLite in the home folder."""
    if database == "sqlite":
        yield ""
        return
    server = request.getfixturevalue("postgresql_server")
    name = f"test_{next(_databases)}"
    yield postgresql.create_database(server, name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def server(empty_database: str, tmp_path: Path) -> Iterator[Server]:
    """A real server that is started by the test: ``server.start(WEB_CONCURRENCY="4")``."""
    made = Server(tmp_path / "served", database_url=empty_database)
    yield made
    made.stop()
