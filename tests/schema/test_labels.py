from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlpipe.schema import labels
from mlpipe.schema.contract import Target
from mlpipe.schema.table import Table
from tests.schema.build import places, refused

STRINGS = Target(task="classification", kind="string", classes=("b", "a"))
BOOLEANS = Target(task="classification", kind="boolean", classes=(False, True))
INTEGERS = Target(task="classification", kind="integer", classes=(0, 1))
NUMBERS = Target(task="regression", kind="number")


@pytest.mark.parametrize(
    ("target", "raw", "stored"),
    [
        (STRINGS, ["a", "b", None], [1, 0, np.nan]),
        (BOOLEANS, [True, False, None], [1, 0, np.nan]),
        (INTEGERS, [1, 0, None, 7], [1, 0, np.nan, 7]),
        (NUMBERS, [1, 0.5, None], [1, 0.5, np.nan]),
        (Target(), [None], [np.nan]),
    ],
)
def test_labels_are_stored_as_numbers(target: Target, raw: list[Any], stored: list[float]) -> None:
    np.testing.assert_array_equal(labels.encode_labels(raw, target), stored)


@pytest.mark.parametrize(("target", "raw"), [(STRINGS, ["a", "b", None]), (BOOLEANS, [True, None]), (NUMBERS, [0.5])])
def test_labels_come_back_as_they_were_sent(target: Target, raw: list[Any]) -> None:
    assert labels.decode_label(labels.encode_labels(raw, target), target) == raw


def test_whole_float_is_an_integer_class_and_comes_back_as_int() -> None:
    (back,) = labels.decode_label(labels.encode_labels([1.0], INTEGERS), INTEGERS)
    assert type(back) is int


@pytest.mark.parametrize(
    ("target", "label", "code"),
    [
        (STRINGS, "c", "unknown_class"),
        (STRINGS, 1, "label_kind"),
        (STRINGS, True, "label_kind"),
        (BOOLEANS, 1, "label_kind"),
        (BOOLEANS, "true", "label_kind"),
        (INTEGERS, True, "label_kind"),
        (INTEGERS, 0.5, "label_kind"),
        (INTEGERS, "1", "label_kind"),
        (NUMBERS, "1.5", "label_kind"),
        (NUMBERS, False, "label_kind"),
        (Target(), 1, "label_kind"),
    ],
)
def test_label_of_another_kind_is_pointed_at(target: Target, label: Any, code: str) -> None:
    assert places(refused(lambda: labels.encode_labels([None, label], target))) == [("/labels/1", code)]


@pytest.mark.parametrize(
    ("form", "pointer"), [("features", "/labels/0"), ("records", "/records/0/label"), ("sample", "/label")]
)
def test_label_of_a_table_is_pointed_at_where_it_stands(form: Any, pointer: str) -> None:
    table = Table(rows=[[1]], form=form, labels=["x"])
    assert places(refused(lambda: labels.encode_labels(table, NUMBERS))) == [(pointer, "label_kind")]


def test_class_newer_than_this_schema_is_not_known() -> None:
    assert labels.decode_label(np.array([2.0, -1.0, np.nan]), STRINGS) == [None, None, None]
