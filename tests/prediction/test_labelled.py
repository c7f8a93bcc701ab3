from __future__ import annotations

from typing import Any

import numpy as np
from flask.testing import FlaskClient

from mlpipe import clock, db
from mlpipe.prediction import labelled
from tests import trained


def label(client: FlaskClient, *known: tuple[int, int, int]) -> None:
    labels = [{"prediction_id": f"{row}-{position}", "label": value} for row, position, value in known]
    assert client.post("/feedback", json={"labels": labels}).status_code == 200


def newest(version: int, n: int) -> list[Any]:
    with db.reading() as connection:
        return labelled.labelled(connection, version, newest=True, limit=n)


def features(found: list[Any]) -> list[list[float]]:
    with db.reading() as connection:
        return labelled.blocks(connection, found, "features").tolist()


def test_labelled_predictions_come_in_the_order_in_which_they_were_made(
    served: FlaskClient, log: tuple[list[int], list[list[float]]]
) -> None:
    ids, rows = log
    label(served, (ids[3], 2, 1), (ids[1], 1, 0), (ids[2], 0, 1))
    found = newest(1, 10)
    assert features(found) == [rows[2], rows[3], rows[8]]
    assert [row.label for row in found] == [0, 1, 1]
    items = {item["prediction_id"]: item["prediction"] for item in served.get("/predictions").json["items"]}
    assert [row.output for row in found] == [items[f"{ids[row]}-{place}"] for row, place in ((1, 1), (2, 0), (3, 2))]


def test_only_the_newest_labelled_predictions_are_read_and_only_their_newest_label(
    served: FlaskClient, log: tuple[list[int], list[list[float]]]
) -> None:
    ids, rows = log
    label(served, *((ids[3], position, 0) for position in range(4)))
    label(served, (ids[3], 3, 1))
    found = newest(1, 2)
    assert features(found) == rows[8:]
    assert [row.label for row in found] == [0, 1]


def test_parked_labels_and_those_of_other_versions_are_left_out(
    served: FlaskClient, log: tuple[list[int], list[list[float]]]
) -> None:
    label(served, (log[0][3] + 1000, 0, 1))
    assert newest(1, 10) == []
    label(served, (log[0][0], 0, 1))
    assert newest(2, 10) == []


def test_each_request_is_read_once_however_many_of_its_rows_are_wanted(
    served: FlaskClient, log: tuple[list[int], list[list[float]]], rng: np.random.Generator
) -> None:
    X, _ = trained.rows(50, rng)
    answer = served.post("/predict", json={"features": X}).json
    served.post("/feedback", json={"prediction_ids": answer["prediction_ids"][::-1], "labels": [1] * 50})
    label(served, (log[0][3], 1, 0))
    with db.reading() as connection:
        found = labelled.labelled(connection, 1, newest=True, limit=51)
        assert labelled.blocks(connection, found, "features").tolist() == [log[1][7], *X]
        assert labelled.blocks(connection, found, "probabilities").shape == (51, 2)


def test_labels_of_an_earlier_time_are_those_that_counted_then(
    served: FlaskClient, log: tuple[list[int], list[list[float]]]
) -> None:
    ids, _ = log
    label(served, (ids[2], 0, 1), (ids[1], 0, 1))
    with db.reading() as connection:
        early = labelled.Picture(labelled.newest_label(connection), clock.now_us())
    label(served, (ids[2], 0, 0), (ids[3], 0, 1))
    label(served, (ids[2], 0, 1), (ids[0], 0, 1))
    with db.reading() as connection:
        late = labelled.Picture(labelled.newest_label(connection), clock.now_us())
        then, now = (
            [
                labelled.labelled(connection, 1, newest=up, limit=n, seen=seen)
                for up, n in ((True, 9), (True, 1), (False, 1))
            ]
            for seen in (early, late)
        )
        assert now[0] == labelled.labelled(connection, 1, newest=True, limit=9)
    assert [[(row.prediction_id, row.label) for row in rows] for rows in then] == [
        [(ids[1], 1), (ids[2], 1)],
        [(ids[2], 1)],
        [(ids[1], 1)],
    ]
    assert then[0][1].id < now[0][2].id
