from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mlpipe.schema import edit
from mlpipe.schema.contract import Column, Schema, Target
from tests.schema.build import body, numeric, places, refused, schema

OLD = schema(
    *numeric("a"),
    Column(name="colour", kind="category", categories=("red",)),
    Column(name="empty", kind="numeric", observed=False),
    target=Target(task="classification", kind="integer", classes=(0, 1)),
)


def edited(**members: Any) -> Schema:
    return edit.edited(OLD, body(**members))


def test_empty_edit_confirms() -> None:
    new = edited()
    assert (new.version, new.status) == (2, "confirmed")
    assert (new.columns, new.target) == (OLD.columns, OLD.target)


def test_what_is_shown_can_be_sent_back() -> None:
    shown = {
        "schema_version": 1,
        "status": "draft",
        "columns": msgspec.to_builtins(OLD.columns),
        "target": msgspec.to_builtins(OLD.target),
        "read_at": "2026-01-01T00:00:00Z",
    }
    assert edited(**shown) == msgspec.structs.replace(OLD, version=2)


def test_columns_are_renamed_and_narrowed() -> None:
    new = edited(columns=[{"name": "age", "kind": "integer", "missing_allowed": False}, {}, {}])
    assert new.columns[0] == Column(name="age", kind="integer", missing_allowed=False)


def test_unobserved_column_may_become_any_kind() -> None:
    new = edited(columns=[{}, {}, {"kind": "category", "categories": ["x"]}])
    assert new.columns[2] == Column(name="empty", kind="category", categories=("x",))


def test_dictionary_and_classes_may_grow() -> None:
    new = edited(columns=[{}, {"categories": ["red", "blue"]}, {}], target={"classes": [0, 1, 2]})
    assert new.columns[1].categories == ("red", "blue")
    assert new.target.classes == (0, 1, 2)


def test_classes_may_become_a_quantity() -> None:
    assert edited(target={"task": "regression"}).target == Target(task="regression", kind="number")


def test_target_may_be_said_before_the_first_label() -> None:
    new = edit.edited(
        schema(*numeric("a")), body(target={"task": "classification", "kind": "string", "classes": ["x"]})
    )
    assert new.target == Target(task="classification", kind="string", classes=("x",))


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"colums": []}, ("/colums", "unknown_member")),
        ({"schema_version": 7}, ("/schema_version", "stale_version")),
        ({"status": "done"}, ("/status", "unknown_status")),
        ({"status": []}, ("/status", "unknown_status")),
        ({"columns": [{}]}, ("/columns", "wrong_length")),
        ({"columns": 1}, ("/columns", "not_a_list")),
        ({"columns": [1, {}, {}]}, ("/columns/0", "not_an_object")),
        ({"columns": [{"nmae": "x"}, {}, {}]}, ("/columns/0", "unknown_member")),
        ({"columns": [{"name": 1}, {}, {}]}, ("/columns/0/name", "not_a_name")),
        ({"columns": [{"name": []}, {}, {}]}, ("/columns/0/name", "not_a_name")),
        ({"columns": [{"name": "colour"}, {}, {}]}, ("/columns/1/name", "duplicate_name")),
        ({"columns": [{"kind": "category"}, {}, {}]}, ("/columns/0/kind", "kind_is_stored")),
        ({"columns": [{"kind": "boolean"}, {}, {}]}, ("/columns/0/kind", "kind_is_stored")),
        ({"columns": [{"kind": "float"}, {}, {}]}, ("/columns/0/kind", "unknown_word")),
        ({"columns": [{"kind": []}, {}, {}]}, ("/columns/0/kind", "unknown_word")),
        ({"columns": [{"categories": ["x"]}, {}, {}]}, ("/columns/0/categories", "no_dictionary")),
        ({"columns": [{}, {"categories": ["blue", "red"]}, {}]}, ("/columns/1/categories", "entries_are_stored")),
        ({"columns": [{}, {"categories": []}, {}]}, ("/columns/1/categories", "entries_are_stored")),
        ({"columns": [{}, {"categories": ["red", "red"]}, {}]}, ("/columns/1/categories", "duplicate_entry")),
        ({"columns": [{}, {"categories": ["red", 1]}, {}]}, ("/columns/1/categories", "not_a_list")),
        ({"columns": [{"missing_allowed": 1}, {}, {}]}, ("/columns/0/missing_allowed", "not_a_boolean")),
        ({"target": {"kind": "string"}}, ("/target/kind", "kind_is_stored")),
        ({"target": {"kind": "number"}}, ("/target/kind", "kind_and_task")),
        ({"target": {"task": "ranking"}}, ("/target/task", "unknown_word")),
        ({"target": {"classes": [1, 0]}}, ("/target/classes", "entries_are_stored")),
        ({"columns": [{}, {"categories": ["red", "a\0"]}, {}]}, ("/columns/1/categories", "entry_too_large")),
        ({"target": {"classes": [0, 1, 10**400]}}, ("/target/classes", "entry_too_large")),
        ({"target": {"classes": list(range(1001))}}, ("/target/classes", "too_many_classes")),
        ({"target": []}, ("/target", "not_an_object")),
        ({"target": {"task": None}}, ("/target/task", "unknown_word")),
    ],
)
def test_edit_that_changes_stored_rows_or_is_none_is_refused(members: dict[str, Any], place: tuple[str, str]) -> None:
    assert places(refused(lambda: edited(**members))) == [place]


def test_confirmed_schema_stays_confirmed() -> None:
    old = msgspec.structs.replace(OLD, status="confirmed")
    assert places(refused(lambda: edit.edited(old, body(status="draft")))) == [("/status", "already_confirmed")]
