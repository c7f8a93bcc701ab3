from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpipe import errors
from mlpipe.schema import reading
from tests.schema.build import fault_of, places, refused

TRAPS = {
    "empty": b"",
    "blank": b" \n",
    "not json": b"{",
    "nan": b'{"features": [[NaN]]}',
    "infinity": b'{"features": [[-Infinity]]}',
    "trailing": b"{} x",
    "trailing comma": b"[1,]",
    "two values": b"{}{}",
    "byte order mark": b"\xef\xbb\xbf{}",
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "utf-16 without mark": '{"a": 1}'.encode("utf-16-le"),
    "latin-1": b'{"a": "\xe9"}',
    "encoded surrogate": b'{"a": "\xed\xa0\x80"}',
    "half a surrogate pair": b'{"a": "\\ud800"}',
    "raw control character": b'{"a": "\x01"}',
    "nul at the end": b"{}\x00",
    "leading zero": b"[01]",
    "single quotes": b"{'a': 1}",
}


@pytest.mark.parametrize("body", TRAPS.values(), ids=TRAPS)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(errors.MalformedBody):
        reading.loads(body)


@pytest.mark.parametrize("depth", [1_500, 100_000])
@pytest.mark.parametrize("closed", [True, False])
def test_deep_nesting_is_refused_without_a_recursion_error(depth: int, closed: bool) -> None:
    with pytest.raises(errors.MlpipeError):
        reading.loads(b"[" * depth + b"]" * depth * closed)


def test_fault_says_where_it_is() -> None:
    with pytest.raises(errors.MalformedBody, match="line 2, column 8"):
        reading.loads(b'{\n  "a": nope}')


@pytest.mark.parametrize("literal", ["1e999", "1" + "0" * 5_000])
def test_number_too_large_comes_back_infinite(literal: str) -> None:
    assert reading.loads(f"[{literal}, -{literal}]".encode()) == [math.inf, -math.inf]


@pytest.mark.parametrize(
    "body",
    [b'{"a": 1, "a": 1}', b'{"a": ":", "a": ":"}', b'[{"x": {"a": 1, "a": 2}}]', b'{"\\u0061": 1, "a": "1:2"}'],
)
def test_name_that_stands_twice_is_refused(body: bytes) -> None:
    assert places(refused(lambda: reading.loads(body))) == [("", "duplicate_member")]


def test_escaped_colons_are_no_duplicates() -> None:
    assert reading.loads(b'{"a": "\\u003a:"}') == {"a": "::"}


def test_unknown_member_is_named_with_the_known_ones() -> None:
    fault = refused(lambda: reading.members({"lables": 1, "a/b": 2}, {"labels"}))
    assert places(fault) == [("/lables", "unknown_member"), ("/a~1b", "unknown_member")]
    assert "'labels'" in fault.detail


@pytest.mark.parametrize("value", [None, [], 1, "x", True])
def test_body_that_is_no_object_is_refused(value: object) -> None:
    assert places(refused(lambda: reading.members(value, {"a"}))) == [("", "not_an_object")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.booleans())
def test_any_json_is_read_as_the_standard_library_reads_it(value: object, escaped: bool) -> None:
    try:
        body = json.dumps(value, ensure_ascii=escaped).encode()
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert reading.loads(body) == json.loads(body)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    fault_of(lambda: reading.loads(body))
