"""The database: one place that opens transactions, for SQLite and PostgreSQL alike.

SQLite runs in WAL mode. Writers begin with ``BEGIN IMMEDIATE`` and take turns inside a process, because a
transaction that reads first and writes later fails at once when another one wrote meanwhile. What people send and
what is decided is written with ``synchronous=FULL``; the prediction log may be written with NORMAL.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import alembic.command
import orjson
import psycopg
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask, current_app
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.dialects import postgresql, sqlite

from mlpipe import errors
from mlpipe.settings import Settings

Durability = Literal["process", "power"]
T = TypeVar("T")
Connection = sa.Connection
"""What `transaction` and `reading` hand out; services pass it on to stores and never look inside."""

WRITE_TRIES = 4
"""Tries of a write that meets others; on SQLite writers take turns, so it never does."""

BUSY_TIMEOUT_S = 5
"""How long a SQLite writer waits for its turn (0 of 1,200 failed at 5 s, worst wait 0.24 s)."""

STATEMENT_S = 60
"""Longest time of one statement on PostgreSQL: a server that hangs must not hang every caller for ever."""

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
MIGRATION_LOCK = 0x6D6C70
"""Key of PostgreSQL's advisory lock around migrations: the letters m, l, p."""

database = SQLAlchemy()
migrate = Migrate()
metadata = database.metadata

Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""Type of a counting primary key: SQLite counts only INTEGER."""

FAILURE_SHOWN_S = 60
"""How long /health shows that the database refused something."""


@dataclass(slots=True)
class _Failure:
    """When the database last refused something, on the monotonic clock, and why."""

    at: float = -math.inf
    why: str = ""


_last_failure = _Failure()
_writers: dict[str, threading.Lock] = {}


def init(app: Flask, settings: Settings) -> None:
    """Bind the database to an app; nothing is opened or migrated yet."""
    url = resolve_url(settings)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = _engine_options(url)
    app.config["SQLALCHEMY_BINDS"] = {"log": url}
    database.init_app(app)
    migrate.init_app(app, database, directory=str(MIGRATIONS))
    if url.startswith("sqlite"):
        with app.app_context():
            _prepare_sqlite(database.engines[None], "FULL")
            full = settings.prediction_log_durability == "power"
            _prepare_sqlite(database.engines["log"], "FULL" if full else "NORMAL")
    with app.app_context():
        app.extensions[_LOG] = _Log(database.engines["log"])


def resolve_url(settings: Settings) -> str:
    """Return SQLAlchemy's URL of the database that the settings name."""
    if not settings.database_url:
        return f"sqlite:///{settings.home / 'mlpipe.db'}"
    return settings.database_url.replace("postgresql://", "postgresql+psycopg://", 1)


def _engine_options(url: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "json_serializer": lambda value: orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode(),
        "json_deserializer": orjson.loads,
    }
    if url.startswith("sqlite"):
        return options | {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
    limits = f"-c statement_timeout={STATEMENT_S * 1000} -c lock_timeout={BUSY_TIMEOUT_S * 1000}"
    return options | {"pool_pre_ping": True, "connect_args": {"connect_timeout": BUSY_TIMEOUT_S, "options": limits}}


def _prepare_sqlite(engine: sa.Engine, synchronous: str) -> None:
    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def transaction(*, durability: Durability = "power") -> Iterator[sa.Connection]:
    """Open a transaction that commits at the end of the block, or changes nothing.

    Parameters
    ----------
    durability : {"power", "process"}
        "process" is for the prediction log and heartbeats alone: such a write survives the death of any process,
        but a power cut may lose the newest of them.

    Raises
    ------
    errors.StoreUnavailable
        The database does not answer, is locked for too long, or its disk is full.
    errors.WriteConflict
        A unique rule forbids a row that was not there when the transaction looked (PostgreSQL).
    """
    engine = database.engines["log" if durability == "process" else None]
    with _turn(engine), _translated(), engine.connect() as connection:
        connection.execution_options(writes=True)
        with connection.begin():
            yield connection


def log(table: sa.Table, row: dict[str, Any]) -> int:
    """Insert one row into a log, in a transaction of its own, and return its id.

    Parameters
    ----------
    table : Table
        With a counting primary key.
    row : dict
        Every column but the key, as values that the driver takes as they are.

    Raises
    ------
    errors.StoreUnavailable
        The row was not stored.

    Notes
    -----
    The one place that goes around SQLAlchemy's transactions, because each prediction waits for it: a quarter of the
    time of `transaction` and an insert. SQLite takes a single INSERT outside of a transaction as a transaction, and
    as writers take turns anyhow, one connection serves all threads of a process.
    """
    app_log: _Log = current_app.extensions[_LOG]
    return app_log.insert(table, row)


_LOG = "mlpipe.log"


class _Log:
    """How one app inserts log rows."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._lock = _writer_lock(engine)
        self._kept: sa.PoolProxiedConnection | None = None

    def insert(self, table: sa.Table, row: dict[str, Any]) -> int:
        statement = _log_statement(table, self._engine.dialect.name)
        try:
            return self._insert_kept(statement, row) if self._is_sqlite else self._insert_pooled(statement, row)
        except self._engine.dialect.loaded_dbapi.Error as fault:
            with _translated():
                raise sa.exc.OperationalError(statement, None, fault) from fault

    def _insert_kept(self, statement: str, row: dict[str, Any]) -> int:
        with self._lock:
            kept = self._kept = self._kept or self._opened()
            try:
                return int(kept.execute(statement, row).lastrowid)
            except BaseException:
                self._kept = None
                kept.invalidate()
                raise

    def _insert_pooled(self, statement: str, row: dict[str, Any]) -> int:
        with contextlib.closing(self._opened()) as connection:
            cursor = connection.cursor()
            cursor.execute(statement, row)
            found = cursor.fetchone()
            connection.commit()
            return int(found[0]) if found else 0

    def _opened(self) -> sa.PoolProxiedConnection:
        with _translated():
            return self._engine.raw_connection()


@functools.cache
def _log_statement(table: sa.Table, dialect: str) -> str:
    key = next(iter(table.primary_key)).name
    names = [column.name for column in table.columns if column.name != key]
    form = ":{}" if dialect == "sqlite" else "%({})s"
    values = ", ".join(form.format(name) for name in names)
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values})"  # noqa: S608  names of our own table
    return statement if dialect == "sqlite" else f"{statement} RETURNING {key}"


def retried(write: Callable[[], T]) -> T:
    """Call a write again that met another one; the second look finds what the first could not see.

    Parameters
    ----------
    write : callable
        A whole transaction, which may be repeated.

    Raises
    ------
    errors.WriteConflict
        It met others `WRITE_TRIES` times.
    """
    for _ in range(WRITE_TRIES - 1):
        with contextlib.suppress(errors.WriteConflict):
            return write()
    return write()


@contextmanager
def reading() -> Iterator[sa.Connection]:
    """Open a transaction that only reads: one consistent picture.

    Raises
    ------
    errors.StoreUnavailable
        The database does not answer.
    """
    with _translated(), database.engine.connect() as connection:
        if is_postgresql(connection):
            connection.execution_options(isolation_level="REPEATABLE READ")  # SQLite's reads are so by themselves
        with connection.begin():
            yield connection


@contextmanager
def _turn(engine: sa.Engine) -> Iterator[None]:
    if engine.dialect.name != "sqlite":
        yield
        return
    with _writer_lock(engine):
        yield


def _writer_lock(engine: sa.Engine) -> threading.Lock:
    return _writers.setdefault(str(engine.url), threading.Lock())


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.IntegrityError as fault:
        if not _is_taken(fault):
            raise
        raise errors.WriteConflict(
            f"Another write took the same place at the same moment ({fault.orig}). Nothing was stored; send it again."
        ) from fault
    except sa.exc.OperationalError as fault:
        _last_failure.at, _last_failure.why = time.monotonic(), str(fault.orig)
        raise errors.StoreUnavailable(
            f"The database did not take this: {fault.orig}. Nothing was stored; try again in a moment."
        ) from fault
    except sa.exc.TimeoutError as fault:
        raise errors.StoreUnavailable("All connections to the database are in use; try again in a moment.") from fault


def _is_taken(fault: sa.exc.IntegrityError) -> bool:
    """Say whether a unique rule forbade the row; any other broken rule is a mistake of the caller's code."""
    return isinstance(fault.orig, psycopg.errors.UniqueViolation) or "UNIQUE constraint" in str(fault.orig)


def as_dict(row: sa.Row[Any]) -> dict[str, Any]:
    """Return a row by column name, with names that are plain text (SQLAlchemy's own are not, and orjson minds)."""
    return {str(name): value for name, value in row._mapping.items()}


def is_postgresql(connection: sa.Connection) -> bool:
    """Say whether this connection leads to PostgreSQL."""
    return connection.dialect.name == "postgresql"


def upgrade(app: Flask, settings: Settings) -> None:
    """Bring the tables to the newest migration; processes that start at once migrate once."""
    with app.app_context(), _translated():
        config = migrate.get_config(str(MIGRATIONS))
        head = ScriptDirectory.from_config(config).get_current_head()
        if _revision() == head:
            return
        with _migration_lock(settings):
            if _revision() != head:
                alembic.command.upgrade(config, "head")


def require_tables(settings: Settings) -> None:
    """Check that the database is there with the newest tables; nothing is made or changed.

    Raises
    ------
    errors.StoreUnavailable
        It is not there, does not answer, or has other tables.
    """
    url = sa.make_url(resolve_url(settings))
    advice = "Start the server once, or run: flask db upgrade"
    if url.database and url.get_backend_name() == "sqlite" and not Path(url.database).exists():
        raise errors.StoreUnavailable(f"There is no database {url.database}. {advice}; or set MLPIPE_HOME.")
    head = ScriptDirectory.from_config(migrate.get_config(str(MIGRATIONS))).get_current_head()
    with _translated():
        found = _revision()
    if found != head:
        state = f"is at migration {found}" if found else "has no tables"
        raise errors.StoreUnavailable(f"The database {state}; mlpipe needs migration {head}. {advice}.")


def _revision() -> str | None:
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _migration_lock(settings: Settings) -> Iterator[None]:
    engine = database.engine
    if engine.dialect.name == "sqlite":
        with (settings.home / ".migrating").open("w") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            yield
        return
    with engine.connect() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(MIGRATION_LOCK)))
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK)))


def insert(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> int:
    """Insert a row; return its id."""
    key = connection.execute(sa.insert(table), values).inserted_primary_key
    return int(key[0]) if key else 0


def insert_new(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> int | None:
    """Insert a row unless one of the table's unique rules forbids it.

    Returns
    -------
    int or None
        The row's id, or None when an equal row is there already.
    """
    insert = postgresql.insert(table) if is_postgresql(connection) else sqlite.insert(table)
    key = next(iter(table.primary_key))
    row = connection.execute(insert.values(**values).on_conflict_do_nothing().returning(key)).first()
    return None if row is None else row[0]


def replace(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> None:
    """Insert a row, or overwrite the one with the same primary key."""
    replace_all(connection, table, [values])


def replace_all(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, or overwrite those with the same primary keys; at least one, all with the same columns."""
    insert = postgresql.insert(table) if is_postgresql(connection) else sqlite.insert(table)
    keys = [column.name for column in table.primary_key]
    rest = {name: insert.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=rest), list(rows))


def health() -> tuple[Literal["ok", "degraded"], str]:
    """Say that the database answers, and whether it has refused anything lately.

    Raises
    ------
    errors.StoreUnavailable
        It does not.
    """
    with reading() as connection:
        connection.execute(sa.select(1))
        name = connection.dialect.name
    since_s = time.monotonic() - _last_failure.at
    if since_s < FAILURE_SHOWN_S:
        return "degraded", f"{name} answers, but {since_s:.0f} s ago it did not take a write: {_last_failure.why}"
    return "ok", f"{name} answers."
