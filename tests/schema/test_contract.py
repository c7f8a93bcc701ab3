from __future__ import annotations

import pickle

import msgspec

from mlpipe.schema.contract import Column, Schema, Target
from tests.schema.build import numeric, schema

COLOUR = Column(name="colour", kind="category", categories=("red", "blue"))


def test_lookups_do_not_show_in_what_is_stored() -> None:
    found = schema(COLOUR)
    assert found.columns[0].codes["blue"] == 1.0
    assert found.places == {"colour": 0}
    stored = msgspec.to_builtins(found)
    assert set(stored) == {"version", "columns", "target", "status"}
    assert msgspec.convert(stored, Schema) == found


def test_lookups_follow_a_changed_column() -> None:
    assert COLOUR.codes["red"] == 0.0
    grown = msgspec.structs.replace(COLOUR, categories=("red", "blue", "green"))
    assert grown.codes["green"] == 2.0


def test_schema_is_pickled_without_its_lookups() -> None:
    found = schema(COLOUR)
    assert found.names == ("colour",)
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert again.names == ("colour",)


def test_any_number_fits_only_where_no_rule_is_narrower() -> None:
    integer = Column(name="n", kind="integer")
    assert schema(*numeric("a"), integer).takes_any_number
    assert not schema(integer, status="confirmed").takes_any_number
    assert not schema(COLOUR).takes_any_number
    assert not schema(Column(name="a", kind="numeric", missing_allowed=False)).takes_any_number


def test_classes_have_their_stored_values() -> None:
    assert Target(task="classification", kind="string", classes=("b", "a")).codes["a"] == 1.0
    assert Target(task="classification", kind="integer", classes=(3, 7)).codes[7] == 7.0
