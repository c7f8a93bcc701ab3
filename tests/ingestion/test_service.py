from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from flask import Flask

from mlpipe import db, errors
from mlpipe.features import service as schemas
from mlpipe.features import store as features
from mlpipe.ingestion import service
from mlpipe.schema import matrix
from tests import threads, trained


def table(**body: Any) -> matrix.Table:
    return matrix.decode_batch(json.dumps(body).encode(), max_rows=1000)


def ingest(**body: Any) -> service.Receipt:
    return service.ingest(table(**body), source="batch")


def current() -> Any:
    with db.reading() as connection:
        return features.current_schema(connection)


def test_a_batch_without_an_id_gets_one(app: Flask) -> None:
    first, second = ingest(features=[[1]]), ingest(features=[[1]])
    assert first.batch_id.startswith("batch-")
    assert first.batch_id != second.batch_id
    assert not second.duplicate


def test_the_first_batch_makes_the_schema_and_says_so(app: Flask) -> None:
    ingest(records=[{"n": 1, "x": 1.5, "flag": True, "colour": "red", "label": "yes"}])
    schema = current()
    assert [column.kind for column in schema.columns] == ["integer", "numeric", "boolean", "category"]
    assert (schema.version, schema.status, schema.target.classes) == (1, "draft", ("yes",))
    with db.reading() as connection:
        (entry,) = service.ledger.entries(connection, limit=9)
    assert "4 columns (1 numeric, 1 integer, 1 boolean, 1 category), target classification" in entry.sentence


def test_dictionaries_grow_and_codes_stay(app: Flask) -> None:
    ingest(records=[{"colour": "red"}, {"colour": "blue"}])
    receipt = ingest(records=[{"colour": "green"}, {"colour": "red"}])
    assert current().columns[0].categories == ("red", "blue", "green")
    assert receipt.schema_version == 1
    with db.reading() as connection:
        assert features.newest(connection, 9).X[:, 0].tolist() == [0.0, 1.0, 2.0, 0.0]


def test_a_refused_batch_does_not_grow_the_schema(app: Flask) -> None:
    ingest(records=[{"colour": "red", "n": 1}])
    before = current()
    with pytest.raises(errors.SchemaViolation):
        ingest(records=[{"colour": "blue", "n": 1}, {"colour": "green", "n": "x"}])
    assert current() == before


def test_whole_numbers_turn_from_classes_to_a_quantity_before_the_first_model(app: Flask) -> None:
    ingest(features=[[1.5], [2.5]], labels=[1, 2])
    assert current().target.task == "classification"
    ingest(features=[[1.5], [2.5]], labels=[1.5, 2])
    assert current().target.task == "regression"
    with db.reading() as connection:
        assert features.newest_labelled(connection, 9).y.tolist() == [1.0, 2.0, 1.5, 2.0]


def test_a_batch_id_that_comes_from_all_sides_at_once_is_stored_once(app: Flask) -> None:
    ingest(features=[[0.5]])
    results = threads.at_once(app, lambda _: ingest(features=[[1], [2]], batch_id="one"), range(8))
    assert not threads.faults(results)
    assert sorted(receipt.duplicate for receipt in results) == [False] + [True] * 7
    with db.reading() as connection:
        assert features.totals(connection)[:2] == (2, 3)


def test_first_batches_that_come_at_once_make_one_schema_and_lose_nothing(app: Flask) -> None:
    results = threads.at_once(app, lambda n: ingest(features=[[n + 0.5]], batch_id=str(n)), range(8))
    told = threads.faults(results)
    assert all(isinstance(fault, errors.StoreUnavailable) for fault in told)
    with db.reading() as connection:
        assert features.totals(connection)[0] == 8 - len(told)
    assert trained.counts()["schema_versions"] == 1


def test_categories_that_come_at_once_get_a_code_each(app: Flask) -> None:
    ingest(records=[{"colour": "c0"}])
    names = [f"c{place}" for place in range(1, 13)]
    results = threads.at_once(app, lambda name: ingest(records=[{"colour": name}, {"colour": "c0"}]), names)
    assert not threads.faults(results)
    categories = current().columns[0].categories
    assert sorted(categories) == sorted(["c0", *names])
    with db.reading() as connection:
        codes = features.newest(connection, 99).X[1::2, 0].tolist()
    assert sorted(codes) == [float(code) for code in range(1, 13)]


def test_categories_that_come_while_a_person_edits_the_schema_keep_their_code(app: Flask) -> None:
    ingest(records=[{"colour": "c0"}])

    def work(n: int) -> Any:
        return schemas.confirm(b"{}") if n % 3 == 0 else ingest(records=[{"colour": f"c{n}"}])

    results = threads.at_once(app, work, range(1, 13))
    assert not threads.faults(results)
    categories = current().columns[0].categories
    export = [
        json.loads(line)["record"]["colour"]
        for line in b"".join(schemas.export_rows("ndjson", schemas.Wanted())).splitlines()
    ]
    assert sorted(export) == sorted(["c0"] + [f"c{n}" for n in range(1, 13) if n % 3])
    assert len(set(categories)) == 9
    assert current().version == 1 + 4


def test_row_ids_that_come_at_once_name_one_row_each(app: Flask) -> None:
    ingest(features=[[0.5]])
    names = [f"r{place}" for place in range(20)]

    def work(n: int) -> Any:
        order = names if n % 2 else names[::-1]
        return ingest(features=[[n + place] for place in range(20)], row_ids=order)

    results = threads.at_once(app, work, range(8))
    assert not threads.faults(results)
    assert trained.counts()["sample_keys"] == 20


def test_a_row_id_that_comes_again_names_the_newer_row(app: Flask) -> None:
    ingest(features=[[1]], row_ids=["r"], batch_id="old")
    ingest(features=[[2]], row_ids=["r"], batch_id="new")
    with db.reading() as connection:
        newest = features.find_batch(connection, "new")
        assert newest is not None
        assert features.find_samples(connection, ["r"]) == {"r": (newest.id, 0)}


def test_many_writers_at_once_all_get_their_turn(app: Flask, rng: np.random.Generator) -> None:
    ingest(features=[[0.5, 0.5]])
    results = threads.at_once(app, lambda n: [ingest(features=[[n, 1]] * 5) for _ in range(5)], range(10))
    assert not threads.faults(results)
    with db.reading() as connection:
        assert features.totals(connection)[:2] == (51, 251)


def test_bytes_of_lines_are_bounded_whatever_their_number(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CHUNK_BYTES", 100)
    sizes = []
    decode = matrix.decode_lines
    monkeypatch.setattr(
        matrix,
        "decode_lines",
        lambda lines, first_line: sizes.append(len(lines)) or decode(lines, first_line=first_line),
    )
    found = service.ingest_lines([b'{"features": [1.5, 2.5, 3.5]}'] * 10)
    assert found["accepted"] == 10
    assert max(sizes) == 4
