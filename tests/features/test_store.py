from __future__ import annotations

import numpy as np
import pytest
from flask import Flask

from mlpipe import clock, db
from mlpipe.features import store
from mlpipe.schema.contract import Column, Schema, Target

SCHEMA = Schema(
    version=1,
    columns=(Column(name="a", kind="numeric"), Column(name="b", kind="category", categories=("x",))),
    target=Target(task="classification", kind="integer", classes=(0, 1)),
)


@pytest.fixture(autouse=True)
def schema(app: Flask) -> None:
    with db.transaction() as connection:
        store.add_schema(connection, SCHEMA)


def append(name: str, y: list[float] | None, **options: object) -> int:
    n = 3 if y is None else len(y)
    X = np.arange(2.0 * n).reshape(n, 2)
    labels = None if y is None else np.array(y)
    batch = store.Batch(
        batch_id=name,
        content_hash="h",
        schema_version=1,
        source="batch",
        X=X,
        y=labels,
        **options,  # type: ignore[arg-type]
    )
    with db.transaction() as connection:
        row = store.append(connection, batch)
    assert row is not None
    return row


def test_schema_comes_back_as_it_was_stored() -> None:
    with db.reading() as connection:
        assert store.current_schema(connection) == SCHEMA


def test_a_batch_id_is_taken_once() -> None:
    append("one", [1.0])
    batch = store.Batch(batch_id="one", content_hash="h", schema_version=1, source="batch", X=np.ones((1, 2)), y=None)
    with db.transaction() as connection:
        assert store.append(connection, batch) is None


def test_newest_labelled_rows_are_the_last_ones_oldest_first() -> None:
    first = append("one", [0.0, np.nan, 1.0])
    append("two", None)
    third = append("three", [1.0, 0.0])
    with db.reading() as connection:
        samples = store.newest_labelled(connection, 3)
    assert samples.ids.tolist() == [[first, 2], [third, 0], [third, 1]]
    assert samples.y.tolist() == [1.0, 1.0, 0.0]
    assert samples.X[0].tolist() == [4.0, 5.0]


def test_newest_labelled_reads_over_many_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PAGE_BATCHES", 3)
    for place in range(10):
        append(str(place), [float(place)])
    with db.reading() as connection:
        assert store.newest_labelled(connection, 8).y.tolist() == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
        assert len(store.newest_labelled(connection, 99)) == 10


def test_labels_that_come_later_count_and_can_be_corrected() -> None:
    row = append("one", [np.nan, 0.0], row_ids=("r0", "r1"))
    label = {"batch": row, "position": 0, "label": 1.0, "observed_at": None}
    with db.transaction() as connection:
        assert store.find_samples(connection, ["r0", "?"]) == {"r0": (row, 0)}
        store.add_labels(connection, [label], first=[True])
        assert store.newest_labelled(connection, 9).y.tolist() == [1.0, 0.0]
        store.add_labels(connection, [label | {"label": 0.0}], first=[False])
        assert store.newest_labelled(connection, 9).y.tolist() == [0.0, 0.0]
        assert store.labels_of(connection, [(row, 0)]) == {(row, 0): 0.0}
        facts = store.find_batch(connection, "one")
    assert facts is not None
    assert facts.n_labelled == 2


def test_rows_are_read_as_they_were_known_at_a_time() -> None:
    row = append("one", [0.0, 0.0])
    then = clock.now_us()
    with db.transaction() as connection:
        correction = {"batch": row, "position": 0, "label": 1.0, "observed_at": None}
        store.add_labels(connection, [correction], first=[False])
    append("two", [1.0])
    with db.reading() as connection:
        assert store.newest_labelled(connection, 9, known_at=then).y.tolist() == [0.0, 0.0]
        assert store.newest_labelled(connection, 9).y.tolist() == [1.0, 0.0, 1.0]


def test_new_labels_are_counted_from_a_mark_and_no_further_than_needed() -> None:
    first = append("one", [0.0, np.nan])
    append("two", [0.0, 1.0, 1.0])
    with db.transaction() as connection:
        late = {"batch": first, "position": 1, "label": 1.0, "observed_at": None}
        store.add_labels(connection, [late], first=[True])
        count = store.count_new_labels
        assert count(connection, last_batch=0, last_label=0, enough=100) == 5
        assert count(connection, last_batch=first, last_label=0, enough=100) == 4
        assert count(connection, last_batch=first, last_label=0, enough=2) == 2


def test_a_walk_sees_every_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "EXPORT_ROWS", 4)
    for place in range(5):
        append(str(place), [float(place), 0.0])
    seen: list[float] = []
    after: int | None = 0
    while after is not None:
        with db.reading() as connection:
            samples, after = store.walk(connection, after=after)
        seen += samples.y.tolist()
    assert seen == [0.0, 0.0, 1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0]
    with db.reading() as connection:
        assert store.totals(connection) == (5, 10, 10)
