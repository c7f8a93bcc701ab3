from __future__ import annotations

from typing import Any

import pytest

from mlpipe import errors
from mlpipe.schema import feedback
from tests.schema.build import ROWS, body, places, refused


def decode(**members: Any) -> list[feedback.FeedbackItem]:
    return feedback.decode_feedback(body(**members), max_rows=ROWS)


def test_items_name_a_prediction_or_a_row() -> None:
    items = decode(
        labels=[
            {"prediction_id": "841-0", "label": 1, "observed_at": "1970-01-01T00:00:01Z"},
            {"row_id": "r", "label": "x"},
        ]
    )
    assert items == [
        feedback.FeedbackItem(label=1, prediction_id=(841, 0), observed_at=1_000_000),
        feedback.FeedbackItem(label="x", row_id="r"),
    ]


def test_lists_side_by_side_are_items() -> None:
    assert [(item.prediction_id, item.label) for item in decode(prediction_ids=["1-0", "1-12"], labels=[0, True])] == [
        ((1, 0), 0),
        ((1, 12), True),
    ]


BAD_IDS = [
    "",
    "1",
    "-1",
    "1-",
    "0-0",
    "01-0",
    "1-00",
    "1--1",
    "1-0 ",
    " 1-0",
    "1_0-0",
    "١-0",
    "1-0\n",
    7,
    None,
    [],
    True,
]


@pytest.mark.parametrize("id_", [*BAD_IDS, f"{2**63}-0", "1-9999999999"])
def test_malformed_id_is_pointed_at(id_: object) -> None:
    assert places(refused(lambda: decode(prediction_ids=[id_], labels=[1]))) == [("/prediction_ids/0", "not_an_id")]


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (1, "not_an_object"),
        ({"prediction_id": "1-0"}, "missing_member"),
        ({"label": 1}, "missing_member"),
        ({"label": 1, "prediction_id": "1-0", "row_id": "r"}, "missing_member"),
        ({"label": None, "prediction_id": "1-0"}, "label_missing"),
        ({"label": [], "prediction_id": "1-0"}, "label_kind"),
        ({"label": 1, "prediction_id": "x"}, "not_an_id"),
        ({"label": 1, "row_id": ""}, "not_an_id"),
        ({"label": 1, "prediction_id": "1-0", "observed_at": 5}, "not_a_time"),
        ({"label": 1, "prediction_id": "1-0", "observed_at": "2026-01-01"}, "not_a_time"),
        ({"label": 1, "prediction_id": "1-0", "observed": "x"}, "unknown_member"),
    ],
)
def test_wrong_item_is_pointed_at(entry: Any, code: str) -> None:
    good = {"label": 1, "prediction_id": "1-0"}
    assert places(refused(lambda: decode(labels=[good, entry]))) == [("/labels/1", code)]


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({}, ("/labels", "not_a_list")),
        ({"labels": []}, ("/labels", "empty")),
        ({"labels": 1}, ("/labels", "not_a_list")),
        ({"labels": [1], "prediction_ids": []}, ("/prediction_ids", "wrong_length")),
        ({"labels": [1], "prediction_ids": "1-0"}, ("/prediction_ids", "not_a_list")),
        ({"labels": [1], "ids": []}, ("/ids", "unknown_member")),
        ({"labels": [None], "prediction_ids": ["1-0"]}, ("/labels/0", "label_missing")),
    ],
)
def test_wrong_body_is_pointed_at(members: dict[str, Any], place: tuple[str, str]) -> None:
    assert places(refused(lambda: decode(**members))) == [place]


def test_too_many_labels_are_refused() -> None:
    with pytest.raises(errors.TooManyRows):
        feedback.decode_feedback(body(labels=[1, 1, 1], prediction_ids=["1-0"] * 3), max_rows=2)
