from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mlpipe.schema import growth, matrix
from mlpipe.schema.contract import MAX_CATEGORIES, Column, Schema, Target
from tests.schema.build import body, numeric, places, refused, schema


def table(**members: Any) -> matrix.Table:
    return matrix.decode_batch(body(**members), max_rows=20_000)


def kinds(found: Schema) -> list[str]:
    return [column.kind for column in found.columns]


def test_positional_rows_get_names() -> None:
    found = growth.infer(table(features=[[1.0, 2.0]]))
    assert (found.names, found.version, found.status) == (("f0", "f1"), 1, "draft")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "integer"),
        ([1, 2.0], "numeric"),
        ([1.0, 2.0], "numeric"),
        ([None, 3], "integer"),
        (["a", None], "category"),
        ([None, True], "boolean"),
        ([True, 1], "boolean"),
    ],
)
def test_values_decide_the_kind(values: list[Any], kind: str) -> None:
    assert kinds(growth.infer(table(features=[[value] for value in values]))) == [kind]


def test_column_without_values_is_not_observed() -> None:
    (column,) = growth.infer(table(features=[[None], [None]])).columns
    assert (column.kind, column.observed) == ("numeric", False)


def test_categories_are_kept_in_the_order_in_which_they_came() -> None:
    assert growth.infer(table(features=[["b"], ["a"], ["b"]])).columns[0].categories == ("b", "a")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ([1, "x"], "not_a_number"),
        (["x", 1], "not_a_string"),
        ([1, True], "boolean_for_number"),
        ([True, 5], "not_a_boolean"),
    ],
)
def test_first_value_that_disagrees_is_pointed_at(values: list[Any], code: str) -> None:
    fault = refused(lambda: growth.infer(table(features=[[None], *([value] for value in values)])))
    assert places(fault) == [("/features/2/0", code)]


@pytest.mark.parametrize("names", [["a\n"], [""], ["a" * 129]])
def test_record_with_a_name_that_is_none_is_refused(names: list[str]) -> None:
    fault = refused(lambda: growth.infer(table(records=[dict.fromkeys(names, 1)])))
    assert [violation.code for violation in fault.violations] == ["not_a_name"]


def test_records_that_differ_are_refused() -> None:
    fault = refused(lambda: growth.infer(table(records=[{"a": 1}, {"b": 1}])))
    assert places(fault) == [("/records/1", "missing_column")]


@pytest.mark.parametrize("rows", [{"features": [[1.5, 2]]}, {"records": [{"f1": 1, "f0": 2}]}])
def test_nothing_new_gives_the_same_object(rows: dict[str, Any]) -> None:
    found = growth.infer(table(features=[[1.0, 2]], labels=[0]))
    assert growth.extend(found, table(**rows)) is found


def test_new_categories_and_classes_are_appended() -> None:
    found = growth.infer(table(features=[["b"]], labels=["y"]))
    grown = growth.extend(found, table(features=[["a"], ["c"], ["a"]], labels=["x", "y", None]))
    assert grown.columns[0].categories == ("b", "a", "c")
    assert grown.target.classes == ("y", "x")
    assert grown.version == found.version


def test_confirmed_schema_grows_but_keeps_its_kinds() -> None:
    found = msgspec.structs.replace(growth.infer(table(features=[["b", 1]])), status="confirmed")
    grown = growth.extend(found, table(features=[["a", 1.5]]))
    assert (grown.columns[0].categories, kinds(grown)) == (("b", "a"), ["category", "integer"])
    fault = refused(lambda: matrix.encode(table(features=[["a", 1.5]]), grown))
    assert places(fault) == [("/features/0/1", "not_an_integer")]


@pytest.mark.parametrize("rows", [[[1.5, "x"]], [[2, "x"], [1.5, "x"]]])
def test_fraction_makes_a_whole_number_column_numeric(rows: list[Any]) -> None:
    assert kinds(growth.extend(growth.infer(table(features=[[1, "x"]])), table(features=rows)))[0] == "numeric"
    assert kinds(growth.extend(growth.infer(table(features=[[1]])), table(features=[[1.5]]))) == ["numeric"]


def test_whole_float_leaves_a_whole_number_column() -> None:
    found = growth.infer(table(features=[[1]]))
    assert growth.extend(found, table(features=[[2.0]])) is found


@pytest.mark.parametrize(("value", "kind"), [(1, "integer"), (1.0, "numeric"), ("x", "category"), (True, "boolean")])
def test_unobserved_column_takes_the_kind_of_its_first_value(value: Any, kind: str) -> None:
    found = growth.infer(table(features=[[None]]))
    grown = growth.extend(found, table(features=[[None], [value]]))
    assert kinds(grown) == [kind]
    assert grown.columns[0].observed


def test_dictionary_stops_growing_at_its_limit() -> None:
    found = growth.infer(table(features=[[f"c{n}"] for n in range(MAX_CATEGORIES + 5)]))
    assert len(found.columns[0].categories) == MAX_CATEGORIES
    more = table(features=[["another"]])
    assert growth.extend(found, more) is found
    assert matrix.encode(more, found)[0, 0] == -1


@pytest.mark.parametrize("text", ["x" * 1_001, "a\0b"])
def test_text_that_is_no_category_is_refused(text: str) -> None:
    assert places(refused(lambda: growth.infer(table(features=[[text]])))) == [("/features/0/0", "text_too_long")]


def test_clash_of_kinds_names_both() -> None:
    found = growth.infer(table(features=[[1.5]]))
    more = table(features=[["x"]])
    detail = refused(lambda: matrix.encode(more, growth.extend(found, more))).detail
    assert "numeric" in detail
    assert "the string 'x'" in detail


@pytest.mark.parametrize(
    ("labels", "task", "kind", "classes"),
    [
        ([1, 0, None], "classification", "integer", (0, 1)),
        ([1.0, 0.0], "classification", "integer", (0, 1)),
        ([0.5, 1], "regression", "number", ()),
        (list(range(20)), "classification", "integer", tuple(range(20))),
        (list(range(21)), "regression", "number", ()),
        (["b", "a", None, "b"], "classification", "string", ("b", "a")),
        ([True, False], "classification", "boolean", (False, True)),
        ([None], None, None, ()),
    ],
)
def test_labels_decide_the_target(labels: list[Any], task: str, kind: str, classes: tuple[Any, ...]) -> None:
    target = growth.extend_target(Target(), labels, fixed=False)
    assert (target.task, target.kind, target.classes) == (task, kind, classes)


def test_integer_classes_are_merged_ascending_as_integers() -> None:
    target = growth.extend_target(Target(task="classification", kind="integer", classes=(0, 2)), [1.0], fixed=True)
    assert target.classes == (0, 1, 2)
    assert all(type(value) is int for value in target.classes)


@pytest.mark.parametrize("labels", [[0.5], list(range(30))])
def test_classes_turn_into_a_quantity_until_a_model_rests_on_them(labels: list[Any]) -> None:
    target = Target(task="classification", kind="integer", classes=(0, 1))
    assert growth.extend_target(target, labels, fixed=False) == Target(task="regression", kind="number")
    assert growth.extend_target(target, labels, fixed=True).task == "classification"


def test_fraction_is_refused_once_a_model_rests_on_classes() -> None:
    found = growth.infer(table(features=[[1.0]], labels=[1]))
    more = table(features=[[1.0]], labels=[0.5])
    grown = growth.extend(found, more, target_fixed=True)
    assert grown is found
    assert places(refused(lambda: matrix.encode_labels(more, grown.target))) == [("/labels/0", "label_kind")]


@pytest.mark.parametrize("labels", [[1, "x"], ["x", 1], [True, 1], [1, True]])
def test_labels_that_mix_kinds_are_pointed_at(labels: list[Any]) -> None:
    more = table(features=[[1.0], [1.0]], labels=labels)
    fault = refused(lambda: matrix.encode_labels(more, growth.infer(more).target))
    assert places(fault) == [("/labels/1", "label_kind")]


def test_too_many_classes_are_refused() -> None:
    labels = [f"c{n}" for n in range(1_001)]
    fault = refused(lambda: growth.extend_target(Target(), labels, fixed=False))
    assert places(fault) == [("/labels/0", "too_many_classes")]


def test_target_is_put_into_the_schema() -> None:
    target = Target(task="regression", kind="number")
    assert growth.with_target(schema(*numeric("a")), target).target is target


def test_wrong_width_is_refused_by_growth_too() -> None:
    found = schema(Column(name="a", kind="category"))
    assert places(refused(lambda: growth.extend(found, table(features=[["x", "y"]])))) == [
        ("/features/0", "wrong_width")
    ]
