"""Bytes of JSON -> Python values, or an error that says what is wrong with the bytes.

msgspec reads what is right; whatever it refuses is read again by the standard library, which is slow but says where
the fault is, and reads numbers that are too large as infinity so that they can be pointed at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import Any, NoReturn

import msgspec

from mlpipe import errors
from mlpipe.schema import faults

LONGEST_INTEGER = 4_000
"""Digits of an integer that is read as such (Python itself refuses more than 4,300); float64 ends at 309."""

TOO_DEEP = "The body is nested too deeply; no body here needs more than 4 levels."

_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def loads(body: bytes) -> Any:
    """Return a JSON body as Python values.

    Notes
    -----
    Numbers that float64 cannot hold come back as infinite floats: a caller that takes numbers checks for them.

    Raises
    ------
    errors.MalformedBody
        The body is not JSON (RFC 8259), or not UTF-8, or nested too deeply to be read.
    errors.SchemaViolation
        A name stands twice in one object, so that a value would be lost.

    Examples
    --------
    >>> loads(b'{"features": [[1, 2.5, null]]}')
    {'features': [[1, 2.5, None]]}
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = _read_slowly(body)
    if _colons(value) != body.count(b":"):
        _refuse_duplicates(body)
    return value


def members(value: object, known: Collection[str]) -> dict[str, Any]:
    """Return an object whose members all have known names.

    Raises
    ------
    errors.SchemaViolation
        The value is no object, or has a member that nothing reads.
    """
    if not isinstance(value, dict):
        expected = f" with {faults.some(sorted(known))}" if known else " without members, or no body"
        faults.refuse("", "not_an_object", f"Found {faults.a_value(value)}; expected an object{expected}.")
    unknown = [name for name in value if name not in known]
    if unknown:
        told = f"known here are {faults.some(sorted(known))}" if known else "this body has no members"
        violations = [
            errors.Violation(
                f"/{faults.step(name)}",
                "unknown_member",
                f"Nothing reads {errors.quoted(name)}; {told}.",
            )
            for name in unknown[: errors.MAX_LISTED]
        ]
        raise errors.SchemaViolation(violations[0].detail, violations, total=len(unknown))
    return value


def optional(body: bytes | None, known: Collection[str] = ()) -> dict[str, Any]:
    """Return the members of a body that may be left out; without known names it must be an empty object.

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation
        The body is something else.

    Examples
    --------
    >>> optional(b'{"by": "Ada"}', {"by"}), optional(None, {"by"}), optional(b"{}")
    ({'by': 'Ada'}, {}, {})
    """
    return {} if body is None else members(loads(body), known)


def line(value: object, member: str, *, most: int) -> str | None:
    """Return one line of text that a person may give, without blanks around it; None if there is none.

    Parameters
    ----------
    value : object
        What the member holds.
    member : str
        Its name, for the error.
    most : int
        Most characters.

    Raises
    ------
    errors.SchemaViolation
        It is no text, too long, or holds line breaks or control characters.

    Examples
    --------
    >>> line(" new sensor ", "reason", most=80), line("", "reason", most=80)
    ('new sensor', None)
    """
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        detail = f"{member} is {faults.a_value(value)}; expected one line of at most {most} characters."
        faults.refuse(f"/{member}", "not_a_text", detail)
    return value.strip() or None


def _colons(value: object) -> int:
    """Count the colons that JSON with these values has: one for each member, and those inside of strings.

    A member that came twice is gone from the values, and its colon with it.
    """
    try:
        return msgspec.json.encode(value).count(b":")
    except (OverflowError, RecursionError, ValueError):
        return -1


def _read_slowly(body: bytes) -> Any:
    text = _text(body)
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_int=_integer)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as fault:
        raise errors.MalformedBody(
            f"The body is not JSON: {fault.msg} at line {fault.lineno}, column {fault.colno}."
        ) from None
    except UnicodeEncodeError:
        raise errors.MalformedBody("The body has half of a surrogate pair (\\ud800 to \\udfff) in a string.") from None
    except RecursionError:
        raise errors.MalformedBody(TOO_DEEP) from None
    return value


def _text(body: bytes) -> str:
    if not body.strip():
        raise errors.MalformedBody("The body is empty; send JSON.")
    if body.startswith(_BYTE_ORDER_MARKS):
        raise errors.MalformedBody("The body begins with a byte order mark; send UTF-8 without one.")
    try:
        return body.decode()
    except UnicodeDecodeError as fault:
        raise errors.MalformedBody(f"The body is not UTF-8: byte {fault.start} ({body[fault.start]:#04x}).") from None


def _refuse_constant(name: str) -> NoReturn:
    raise errors.MalformedBody(f"The body is not JSON: it has no literal {name}. Send null for a missing number.")


def _integer(digits: str) -> int | float:
    if len(digits) <= LONGEST_INTEGER:
        return int(digits)
    return -math.inf if digits.startswith("-") else math.inf


def _refuse_duplicates(body: bytes) -> None:
    """Raise when an object has one name twice; the colons may differ for other reasons."""
    try:
        json.loads(body.decode(), object_pairs_hook=_unique, parse_int=_integer)
    except RecursionError:
        raise errors.MalformedBody(TOO_DEEP) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        name = next(name for place, name in enumerate(names) if name in names[:place])
        faults.refuse("", "duplicate_member", f"{errors.quoted(name)} stands twice in one object; send it once.")
    return value
