from __future__ import annotations

from pathlib import Path

import alembic.command
import sqlalchemy as sa

from mlpipe import db
from mlpipe.incidents import sending, service
from mlpipe.settings import Settings
from tests.trained import opened

BEFORE = "INSERT INTO incidents (kind, state, sentence, opened_at, updated_at, resolved_at, times, evidence) VALUES "


def test_incidents_that_were_there_begin_their_history_and_are_not_told(empty_database: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", database_url=empty_database, webhook_urls="http://127.0.0.1:9/")
    with opened(settings) as app:
        alembic.command.upgrade(db.migrate.get_config(str(db.MIGRATIONS)), "0001")
        with db.transaction() as connection:
            connection.execute(sa.text(f"{BEFORE} ('drift', 'resolved', 'x', 1, 2, 2, 1, '{{}}')"))
            connection.execute(sa.text(f"{BEFORE} ('drift', 'open', 'y', 3, 3, NULL, 1, '{{}}')"))
        db.upgrade(app, settings)
        assert sending.tell(settings) == 0
        events = [[step["event"] for step in service.look(number)["history"]] for number in (1, 2)]
        assert events == [["opened", "resolved"], ["opened"]]
        assert service.acknowledge(2, by="Ada", note=None)["messages"] == []


def test_the_migration_can_be_taken_back(empty_database: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", database_url=empty_database)
    with opened(settings) as app:
        db.upgrade(app, settings)
        alembic.command.downgrade(db.migrate.get_config(str(db.MIGRATIONS)), "0001")
        found = sa.inspect(db.database.engine)
        assert not {name for name in found.get_table_names() if name.startswith("incident_")}
        assert "note" not in {column["name"] for column in found.get_columns("incidents")}
        db.upgrade(app, settings)
