from __future__ import annotations

from flask import Flask

from mlpipe import db
from mlpipe.jobs import ledger


def test_equal_decisions_in_a_row_are_folded_and_counted(app: Flask) -> None:
    with db.transaction() as connection:
        ledger.record(connection, "waiting_for_data", "1 of 100", fold=True)
        ledger.record(connection, "waiting_for_data", "2 of 100", fold=True)
        ledger.record(connection, "drift", "temp moved")
        ledger.record(connection, "waiting_for_data", "3 of 100", fold=True)
        found = [(row.kind, row.times, row.sentence) for row in ledger.entries(connection, limit=10)]
    assert found == [
        ("waiting_for_data", 1, "3 of 100"),
        ("drift", 1, "temp moved"),
        ("waiting_for_data", 2, "2 of 100"),
    ]


def test_entries_page_by_id_and_filter_by_kind(app: Flask) -> None:
    with db.transaction() as connection:
        ids = [ledger.record(connection, kind, kind) for kind in ("a", "b", "a")]
        assert [row.id for row in ledger.entries(connection, limit=2)] == ids[:0:-1]
        assert [row.id for row in ledger.entries(connection, limit=2, before=ids[1])] == ids[:1]
        assert [row.id for row in ledger.entries(connection, limit=9, kind="a")] == [ids[2], ids[0]]
