from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from mlpipe import clock, db, errors
from mlpipe.app import create_app
from mlpipe.jobs.tables import leases, ledger
from mlpipe.settings import Settings
from tests import threads

CHECKOUT = Path(__file__).resolve().parent.parent
N_PROCESSES = 4
N_COUNTERS = 3
UPGRADE = """
import sys, time
import config
from mlpipe import db
from mlpipe.app import create_app
settings = config.load()
app = create_app(settings)
time.sleep(max(0, float(sys.argv[1]) - time.time()))
db.upgrade(app, settings)
"""
COUNT = """
import sys
import config
from mlpipe import db
from mlpipe.app import create_app
from mlpipe.jobs.tables import leases
app = create_app(config.load())
with app.app_context():
    for _ in range(int(sys.argv[1])):
        with db.transaction() as connection:
            n = connection.execute(db.sa.select(leases.c.fence).with_for_update()).scalar_one()
            connection.execute(db.sa.update(leases).values(fence=n + 1))
"""


def start(script: str, settings: Settings, *arguments: object) -> subprocess.Popen[str]:
    own = {"MLPIPE_HOME": str(settings.home), "MLPIPE_DATABASE_URL": settings.database_url, "PYTHONPATH": str(CHECKOUT)}
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MLPIPE_")}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=CHECKOUT, env=clean | own, stderr=subprocess.PIPE, text=True)


def end(processes: list[subprocess.Popen[str]]) -> None:
    """Wait for processes; show what one says that failed."""
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said


def set_fence(value: int) -> None:
    with db.transaction() as connection:
        connection.execute(sa.insert(leases).values(name="x", holder="x", fence=value, until=0))


def fence() -> int:
    with db.reading() as connection:
        return connection.execute(sa.select(leases.c.fence)).scalar_one()


def entries() -> int:
    with db.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(ledger)).scalar_one()


def write(connection: sa.Connection, sentence: str = "x") -> None:
    now = clock.now_us()
    values = {"at": now, "last_at": now, "times": 1, "kind": "k", "sentence": sentence, "evidence": {}}
    connection.execute(sa.insert(ledger).values(**values))


def test_processes_that_start_on_an_empty_database_migrate_it_once(empty_database: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", database_url=empty_database)
    settings.home.mkdir()
    begin = clock.now_us() / clock.MICROSECONDS + 3
    end([start(UPGRADE, settings, begin) for _ in range(N_PROCESSES)])
    app = create_app(settings)
    with app.app_context():
        tables = set(sa.inspect(db.database.engine).get_table_names())
        assert tables == {table.name for table in db.metadata.sorted_tables} | {"alembic_version"}
        with db.reading() as connection:
            assert len(connection.execute(sa.text("SELECT version_num FROM alembic_version")).all()) == 1
        for engine in db.database.engines.values():
            engine.dispose()


def test_an_upgrade_of_a_new_database_changes_nothing(app: Flask, settings: Settings) -> None:
    with db.transaction() as connection:
        write(connection)
    db.upgrade(app, settings)
    assert entries() == 1


def test_migrations_make_what_the_tables_say(app: Flask) -> None:
    found = sa.inspect(db.database.engine)
    for table in db.metadata.sorted_tables:
        assert {column["name"] for column in found.get_columns(table.name)} == set(table.columns.keys()), table.name
        indexes = {index["name"] for index in found.get_indexes(table.name) if "duplicates_constraint" not in index}
        assert indexes >= {index.name for index in table.indexes}, table.name


def test_threads_that_read_and_then_write_never_fail_and_lose_nothing(app: Flask) -> None:
    set_fence(0)

    def work(_: int) -> None:
        for _turn in range(10):
            with db.transaction() as connection:
                n = connection.execute(sa.select(leases.c.fence).with_for_update()).scalar_one()
                connection.execute(sa.update(leases).values(fence=n + 1))

    assert threads.faults(threads.at_once(app, work, range(8))) == []
    assert fence() == 80


def test_processes_that_read_and_then_write_never_fail_and_lose_nothing(app: Flask, settings: Settings) -> None:
    set_fence(0)
    end([start(COUNT, settings, 25) for _ in range(N_COUNTERS)])
    assert fence() == 25 * N_COUNTERS


def test_a_transaction_that_fails_changes_nothing(app: Flask) -> None:
    def work() -> None:
        with db.transaction() as connection:
            write(connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert entries() == 0


def test_a_reading_sees_one_picture(app: Flask) -> None:
    with db.reading() as reader:
        before = reader.execute(sa.select(sa.func.count()).select_from(ledger)).scalar_one()
        with db.transaction() as connection:
            write(connection)
        assert reader.execute(sa.select(sa.func.count()).select_from(ledger)).scalar_one() == before
    assert entries() == 1


def test_an_unreachable_database_is_unavailable(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    app = create_app(Settings(home=tmp_path, database_url=url))
    with app.app_context(), pytest.raises(errors.StoreUnavailable), db.reading():
        pass
    answer = app.test_client().get("/models")
    assert (answer.status_code, answer.json["code"]) == (503, "store_unavailable")
    assert app.test_client().get("/health").status_code == 503


def test_a_pool_that_is_used_up_is_unavailable(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    pool: Any = db.database.engine.pool
    monkeypatch.setattr(pool, "_timeout", 0.1)
    with contextlib.ExitStack() as stack:
        for _ in range(pool.size() + pool._max_overflow):
            stack.enter_context(db.reading())
        answer = app.test_client().get("/models")
    assert (answer.status_code, answer.json["code"]) == (503, "store_unavailable")


def test_a_password_does_not_stand_in_an_answer(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path, database_url="postgresql://me:secret@127.0.0.1:1/none"))
    assert "secret" not in app.test_client().get("/models").text
    assert "secret" not in app.test_client().get("/health").text


@pytest.mark.parametrize("database", ["sqlite"])
@pytest.mark.parametrize("durability", ["process", "power"])
def test_writes_are_as_durable_as_asked(app: Flask, durability: Any) -> None:
    with db.transaction(durability=durability) as connection:
        mode = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
    assert mode == {"process": 1, "power": 2}[durability]


def test_rows_are_inserted_or_replaced_by_key(app: Flask) -> None:
    row = {"name": "x", "holder": "a", "fence": 1, "until": 0}
    with db.transaction() as connection:
        assert db.insert_new(connection, leases, row) == "x"
        assert db.insert_new(connection, leases, row | {"holder": "b"}) is None
        db.replace_all(connection, leases, [row | {"holder": "c"}, row | {"name": "y"}])
        found = connection.execute(sa.select(leases.c.name, leases.c.holder).order_by(leases.c.name)).all()
    assert [tuple(pair) for pair in found] == [("x", "c"), ("y", "a")]


def test_a_log_row_gets_the_next_id(app: Flask) -> None:
    now = clock.now_us()
    row = {"at": now, "last_at": now, "times": 1, "kind": "k", "sentence": "s", "evidence": "{}"}
    row |= {"job_id": None, "report_id": None, "model_version": None, "incident_id": None}
    assert [db.log(ledger, row), db.log(ledger, row)] == [1, 2]
    with pytest.raises(errors.StoreUnavailable):
        db.log(ledger, row | {"kind": None})
    assert entries() == 2
    assert db.log(ledger, row) > 2, "the connection that failed is replaced"
