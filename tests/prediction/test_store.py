from __future__ import annotations

import pytest
from flask import Flask

from mlpipe import db
from mlpipe.prediction import store


def test_a_window_is_the_newest_rows_in_their_order(log: tuple[list[int], list[list[float]]]) -> None:
    ids, rows = log
    with db.reading() as connection:
        found = store.window(connection, 1, 5)
    assert found is not None
    assert found.X.tolist() == rows[-5:]
    assert found.outputs.shape == (5,)
    assert found.probabilities is not None
    assert found.probabilities.shape == (5, 2)
    assert (found.first, found.last) == (ids[2], ids[3])


def test_a_window_up_to_a_log_row_does_not_see_what_came_later(log: tuple[list[int], list[list[float]]]) -> None:
    ids, rows = log
    with db.reading() as connection:
        found = store.window(connection, 1, 100, upto=ids[1])
        assert store.window(connection, 1, 100, upto=ids[0] - 1) is None
        assert store.window(connection, 2, 100) is None
    assert found is not None
    assert found.X.tolist() == rows[:3]
    assert found.last == ids[1]


def test_a_window_says_when_each_row_was_answered(log: tuple[list[int], list[list[float]]]) -> None:
    with db.reading() as connection:
        found = store.window(connection, 1, 6)
    assert found is not None
    assert found.predicted_at.tolist() == [30, 30, 40, 40, 40, 40]


def test_a_window_reads_on_until_it_has_its_rows(
    log: tuple[list[int], list[list[float]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "WINDOW_REQUESTS", 1)
    with db.reading() as connection:
        found = store.window(connection, 1, 9, upto=log[0][3])
    assert found is not None
    assert found.X.tolist() == log[1][1:]


def test_rows_are_counted_between_two_log_rows(log: tuple[list[int], list[list[float]]]) -> None:
    ids, _ = log
    with db.reading() as connection:
        assert store.count_since(connection, 1, ids[0], enough=100) == 9
        assert store.count_since(connection, 1, ids[0], enough=100, upto=ids[2]) == 5
        assert store.count_since(connection, 1, 0, enough=4) == 4
        assert store.count_since(connection, 2, 0, enough=4) == 0


def test_the_log_row_that_brings_enough_rows_is_found(log: tuple[list[int], list[list[float]]]) -> None:
    ids, _ = log
    with db.reading() as connection:
        assert store.reach(connection, 1, 0, 3) == (ids[1], 20)
        assert store.reach(connection, 1, 0, 4) == (ids[2], 30)
        assert store.reach(connection, 1, ids[2], 5) is None


def test_the_newest_log_row_of_a_time_is_found(log: tuple[list[int], list[list[float]]]) -> None:
    ids, _ = log
    with db.reading() as connection:
        assert store.newest(connection) == ids[3]
        assert [store.newest_at(connection, at) for at in (9, 10, 25, 1000)] == [0, ids[0], ids[1], ids[3]]


def test_an_empty_log_has_no_newest_row(app: Flask) -> None:
    with db.reading() as connection:
        assert (store.newest(connection), store.newest_at(connection, 10)) == (0, 0)
