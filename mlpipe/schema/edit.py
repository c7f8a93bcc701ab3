"""A person's edit of a schema."""

from __future__ import annotations

from typing import Any, NoReturn, get_args

from mlpipe import errors
from mlpipe.schema import faults, growth, numbers, reading, sides
from mlpipe.schema.contract import MAX_CATEGORIES, MAX_CLASSES, Column, Kind, LabelKind, Schema, Status, Target, Task

_EDIT = {"schema_version", "status", "columns", "target", "read_at"}
_COLUMN = {"name", "kind", "categories", "missing_allowed", "observed"}
_TARGET = {"task", "kind", "classes"}
_INTERCHANGEABLE = {"numeric", "integer"}
_ITEM_TYPES: dict[str | None, tuple[type, ...]] = {"string": (str,), "boolean": (bool,), "integer": (int,)}


def edited(old: Schema, body: bytes) -> Schema:
    """Return the next version of a schema, as a person wants it.

    Parameters
    ----------
    old : Schema
        The newest version.
    body : bytes
        What ``GET /features/schema`` shows, with changes; whatever is left out stays. ``{}`` confirms it as it is,
        and so does ``"status": "confirmed"``; with ``"status": "draft"`` a draft stays one.

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation
        The body is no schema, or the edit would change what stored rows mean: columns keep their number and order,
        numbers stay numbers, dictionaries and classes only grow.

    Examples
    --------
    >>> old = Schema(version=1, columns=(Column(name="f0", kind="numeric"),))
    >>> new = edited(old, b'{"columns": [{"name": "age", "kind": "integer"}]}')
    >>> new.version, new.status, new.columns[0].name, new.columns[0].kind
    (2, 'confirmed', 'age', 'integer')
    """
    wanted = reading.members(reading.loads(body), _EDIT)
    _check_version(old, wanted.get("schema_version"))
    return Schema(
        version=old.version + 1,
        columns=_columns(old.columns, wanted.get("columns")),
        target=_target(old.target, wanted.get("target")),
        status=_status(old, wanted.get("status")),
    )


def _check_version(old: Schema, seen: object) -> None:
    if seen is not None and seen != old.version:
        detail = (
            f"The edit rests on {faults.a_value(seen)}, but schema {old.version} is the newest. Read it and edit that."
        )
        faults.refuse("/schema_version", "stale_version", detail)


def _status(old: Schema, wanted: Any) -> Status:
    if wanted is None or wanted == "confirmed":
        return "confirmed"
    if wanted != "draft":
        faults.refuse("/status", "unknown_status", f"status is {faults.a_value(wanted)}; expected 'confirmed'.")
    if old.status == "confirmed":
        faults.refuse("/status", "already_confirmed", "A confirmed schema does not become a draft again.")
    return "draft"


def _columns(old: tuple[Column, ...], wanted: object) -> tuple[Column, ...]:
    if wanted is None:
        return old
    listed = sides.as_list(wanted, "columns", len(old))
    new = tuple(_column(column, listed[place], f"/columns/{place}") for place, column in enumerate(old))
    sides.check_names([column.name for column in new], where=lambda place, _: f"/columns/{place}/name")
    return new


def _column(old: Column, wanted: object, pointer: str) -> Column:
    changes = _object(wanted, _COLUMN, pointer)
    kind = _one_of(changes.get("kind", old.kind), get_args(Kind), f"{pointer}/kind")
    if old.observed and kind != old.kind and not {kind, old.kind} <= _INTERCHANGEABLE:
        detail = (
            f"Column {errors.quoted(old.name)} was stored as {old.kind}; as {kind} its rows would mean something else."
        )
        faults.refuse(f"{pointer}/kind", "kind_is_stored", detail)
    return Column(
        name=changes.get("name", old.name),
        kind=kind,
        categories=_categories(old, changes.get("categories"), kind, f"{pointer}/categories"),
        missing_allowed=_boolean(changes.get("missing_allowed", old.missing_allowed), f"{pointer}/missing_allowed"),
        observed=old.observed or kind != old.kind,
    )


def _categories(old: Column, wanted: Any, kind: Kind, pointer: str) -> tuple[str, ...]:
    if wanted is None:
        return old.categories
    entries = _grown(old.categories, wanted, pointer, (str,))
    if entries and kind != "category":
        faults.refuse(pointer, "no_dictionary", f"A column of kind {kind} has no categories.")
    if len(entries) > MAX_CATEGORIES:
        faults.refuse(pointer, "too_many_categories", f"A dictionary has at most {MAX_CATEGORIES:,} entries.")
    return entries


def _target(old: Target, wanted: object) -> Target:
    if wanted is None:
        return old
    changes = _object(wanted, _TARGET, "/target")
    task, kind = changes.get("task", old.task), changes.get("kind", old.kind)
    if task == "regression" and old.task == "classification":
        kind = "number" if "kind" not in changes or kind == "integer" else kind
    _check_target(old, task, kind)
    if task != "classification":
        return Target(task=task, kind=kind)
    classes = _grown(old.classes, changes.get("classes", list(old.classes)), "/target/classes", _ITEM_TYPES[kind])
    if len(classes) > MAX_CLASSES:
        faults.refuse("/target/classes", "too_many_classes", f"At most {MAX_CLASSES:,} classes are learned.")
    ordered = classes if kind == "string" else tuple(sorted(classes))
    return Target(task=task, kind=kind, classes=ordered)


def _check_target(old: Target, task: Any, kind: Any) -> None:
    if task is None and kind is None:
        return
    _one_of(task, get_args(Task), "/target/task")
    _one_of(kind, get_args(LabelKind), "/target/kind")
    if (kind == "number") != (task == "regression"):
        detail = f"A target of kind {kind} does not go with {task}: number is for regression, the others for classes."
        faults.refuse("/target/kind", "kind_and_task", detail)
    widened = (old.kind, kind) == ("integer", "number")
    if old.kind not in (None, kind) and not widened:
        detail = f"Labels were stored as {old.kind}; as {kind} they would mean something else."
        faults.refuse("/target/kind", "kind_is_stored", detail)


def _grown(old: tuple[Any, ...], wanted: Any, pointer: str, types: tuple[type, ...]) -> tuple[Any, ...]:
    """Return a dictionary that begins with the old one; its positions are stored."""
    if not isinstance(wanted, list) or any(type(entry) not in types for entry in wanted):
        _refuse(pointer, "not_a_list", f"expected a list of {types[0].__name__} values")
    if tuple(wanted[: len(old)]) != old:
        _refuse(pointer, "entries_are_stored", "entries keep their places; new ones are put at the end")
    if sides.repeated(wanted):
        _refuse(pointer, "duplicate_entry", f"{errors.quoted(wanted[sides.repeated(wanted)[0]])} stands twice")
    if not all(map(_can_be_kept, wanted)):
        _refuse(
            pointer,
            "entry_too_large",
            f"texts have at most {growth.MAX_CATEGORY:,} characters and no NUL, numbers are at most 2**53",
        )
    return tuple(wanted)


def _can_be_kept(entry: Any) -> bool:
    if isinstance(entry, str):
        return len(entry) <= growth.MAX_CATEGORY and "\0" not in entry
    return bool(abs(entry) <= numbers.EXACT)


def _object(value: object, known: set[str], pointer: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(pointer, "not_an_object", f"found {faults.a_value(value)}, expected an object")
    unknown = [name for name in value if name not in known]
    if unknown:
        _refuse(
            pointer, "unknown_member", f"nothing reads {faults.some(unknown)}; known are {faults.some(sorted(known))}"
        )
    return value


def _one_of(value: Any, allowed: tuple[str, ...], pointer: str) -> Any:
    if value not in allowed:
        _refuse(pointer, "unknown_word", f"found {faults.a_value(value)}, expected one of {faults.some(allowed)}")
    return value


def _boolean(value: Any, pointer: str) -> bool:
    if not isinstance(value, bool):
        _refuse(pointer, "not_a_boolean", f"found {faults.a_value(value)}, expected true or false")
    return value


def _refuse(pointer: str, code: str, what: str) -> NoReturn:
    faults.refuse(pointer, code, f"{pointer}: {what}.")
