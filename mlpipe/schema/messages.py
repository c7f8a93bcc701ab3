"""Bodies of requests -> tables and items.

Each body is read twice at most: first by a decoder that knows the form and takes plain numbers straight to a
matrix; if it refuses, by the general reader, which finds strings, booleans, and whatever is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlpipe.schema import faults, reading, rows, sides, times
from mlpipe.schema.table import Table

MAX_REASON = 500
"""Characters of a reason that a person gives."""

MAX_NOTE = 10_000
"""Characters of a note about a version."""

MAX_NAME = 80
"""Characters of a person's name."""

_BATCH = {"features", "records", "labels", "batch_id", "feature_names", "event_times", "row_ids"}
_SAMPLE = {"features", "record", "label", "event_time", "row_id"}
_PREDICT = {"features", "records", "version", "entity_id"}
_ROUTE = {"version", "route", "share", "reason"}

ROUTES = ("canary", "shadow")


class _Numbers(msgspec.Struct, forbid_unknown_fields=True):
    features: list[list[float | None]]
    version: Any = None
    entity_id: Any = None


class _NumbersBatch(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    features: list[list[float | None]]
    labels: Any = None
    batch_id: Any = None
    feature_names: Any = None
    event_times: Any = None
    row_ids: Any = None


_numbers = msgspec.json.Decoder(_Numbers)
_numbers_batch = msgspec.json.Decoder(_NumbersBatch)
_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class PredictBody:
    """What ``POST /predict`` asks.

    Parameters
    ----------
    table : Table
        The rows.
    version : int, str or None
        The model version that shall answer, or an alias of it; None: the one that serves.
    entity_id : str or None
        Whom the rows are about: a canary keeps to the same ones.
    """

    table: Table
    version: int | str | None = None
    entity_id: str | None = None


@dataclass(frozen=True, slots=True)
class RouteBody:
    """What ``PUT /models/routes`` asks: a version, ``canary`` or ``shadow``, a share above 0 and at most 1."""

    version: int
    route: str
    share: float
    reason: str | None


# Predict --------------------------------------------------------------------------------------------------------


def decode_predict(body: bytes, *, max_rows: int) -> PredictBody:
    """Return the rows of a prediction request.

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation, errors.TooManyRows
        The body cannot be read as one.

    Examples
    --------
    >>> decode_predict(b'{"features": [[1, 2.5]], "version": 3}', max_rows=10).table.rows
    array([[1. , 2.5]])
    """
    try:
        read = _numbers.decode(body)
    except _REFUSED:
        return _decode_predict_slowly(body, max_rows=max_rows)
    # without strings, each member has one colon: more is a name that stands twice
    if body.count(b":") != 1 + (read.version is not None) + (read.entity_id is not None):
        return _decode_predict_slowly(body, max_rows=max_rows)
    rows.check_count(len(read.features), max_rows)
    X = rows.matrix_of(read.features)
    if X is None:
        return _decode_predict_slowly(body, max_rows=max_rows)
    if read.version is None and read.entity_id is None:
        return PredictBody(Table(rows=X))
    return PredictBody(Table(rows=X), sides.version(read.version), sides.entity_id(read.entity_id))


def _decode_predict_slowly(body: bytes, *, max_rows: int) -> PredictBody:
    read = reading.members(reading.loads(body), _PREDICT)
    version, entity = sides.version(read.get("version")), sides.entity_id(read.get("entity_id"))
    if _form(read, "features", "records") == "records":
        table = Table(rows=rows.check_records(read["records"], max_rows=max_rows), form="records")
        return PredictBody(table, version, entity)
    listed = rows.check_positional(read["features"], max_rows=max_rows)
    return PredictBody(Table(rows=listed), version, entity)


# Ingest ---------------------------------------------------------------------------------------------------------


def decode_batch(body: bytes, *, max_rows: int) -> Table:
    """Return the rows of a batch, with what stands beside them.

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation, errors.TooManyRows
        The body cannot be read as one.

    Examples
    --------
    >>> table = decode_batch(b'{"records": [{"age": 3, "label": true}, {"age": null}]}', max_rows=10)
    >>> table.rows, table.labels
    ([{'age': 3}, {'age': None}], [True, None])
    """
    table = _decode_numbers(body, max_rows=max_rows)
    if table is not None:
        return table
    read = reading.members(reading.loads(body), _BATCH)
    if _form(read, "features", "records") == "features":
        listed = rows.check_positional(read["features"], max_rows=max_rows)
        return _beside(read, Table(rows=listed, labels=sides.labels(read.get("labels"), len(listed))))
    for member in ("labels", "feature_names"):
        if read.get(member) is not None:
            advice = "put the label into each record as 'label'" if member == "labels" else "records name their values"
            faults.refuse(f"/{member}", "unknown_member", f"{member} does not go with records: {advice}.")
    records, labels = rows.take_labels(rows.check_records(read["records"], max_rows=max_rows))
    table = Table(rows=records, form="records", labels=labels)
    if labels is not None:
        sides.check_labels(labels, where=table.label_pointer)
    return _beside(read, table)


def _decode_numbers(body: bytes, *, max_rows: int) -> Table | None:
    try:
        read = _numbers_batch.decode(body)
    except _REFUSED:
        return None
    rows.check_count(len(read.features), max_rows)
    X = rows.matrix_of(read.features)
    read.features = []
    if X is None or _colons(read) != body.count(b":"):
        return None
    labels = sides.labels(read.labels, len(X))
    table = Table(rows=X, labels=labels, reread=lambda: reading.loads(body)["features"])
    return _beside(
        {name: getattr(read, name) for name in ("batch_id", "feature_names", "event_times", "row_ids")}, table
    )


def _colons(read: _NumbersBatch) -> int:
    """Count the colons of a body with these members; a member that is null or stood twice is not counted."""
    try:
        return msgspec.json.encode(read).count(b":")
    except (OverflowError, RecursionError, ValueError):
        return -1


def _beside(read: dict[str, Any], table: Table) -> Table:
    """Add what stands beside the rows of a batch."""
    n = table.n_rows
    moments = read.get("event_times")
    names = sides.feature_names(read.get("feature_names"))
    if names is not None and len(names) != len(table.rows[0]):
        detail = f"feature_names has {len(names):,} names, the rows have {len(table.rows[0]):,} values."
        faults.refuse("/feature_names", "wrong_length", detail)
    return Table(
        rows=table.rows,
        form=table.form,
        labels=table.labels,
        reread=table.reread,
        names=names,
        event_times=None if moments is None else _event_times(moments, n),
        row_ids=sides.row_ids(read.get("row_ids"), n),
        batch_id=sides.batch_id(read.get("batch_id")),
    )


def _event_times(values: object, n_rows: int) -> NDArray[np.int64]:
    return times.parse_all(sides.as_list(values, "event_times", n_rows), where=faults.at_list("event_times"))


def decode_sample(body: bytes) -> Table:
    """Return the one row of a single sample.

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation
        The body cannot be read as one.

    Examples
    --------
    >>> decode_sample(b'{"record": {"age": 3}, "label": "old"}').labels
    ['old']
    """
    read = reading.members(reading.loads(body), _SAMPLE)
    if _form(read, "features", "record") == "features":
        table = Table(rows=rows.check_one(read["features"]), form="sample", labels=_one_label(read, "/label"))
    else:
        records, inside = rows.take_labels(rows.check_one_record(read["record"]))
        if inside is not None and "label" in read:
            faults.refuse("/label", "duplicate_member", "The label stands in the record and beside it; send it once.")
        if inside is not None:
            sides.check_labels(inside, where=lambda *_: "/record/label")
        table = Table(rows=records, form="record", labels=inside or _one_label(read, "/label"))
    return _with_moment(read, table)


def _one_label(read: dict[str, Any], pointer: str) -> list[object] | None:
    if "label" not in read:
        return None
    sides.check_labels([read["label"]], where=lambda *_: pointer)
    return [read["label"]]


def _with_moment(read: dict[str, Any], table: Table) -> Table:
    moment, row_id = read.get("event_time"), read.get("row_id")
    fault = None if row_id is None else sides.text_fault(row_id)
    if fault:
        faults.refuse("/row_id", "not_an_id", fault)
    return Table(
        rows=table.rows,
        form=table.form,
        labels=table.labels,
        event_times=None if moment is None else times.parse_all([moment], where=lambda *_: "/event_time"),
        row_ids=None if row_id is None else (str(row_id),),
    )


def _form(read: dict[str, Any], positional: str, named: str) -> str:
    """Return which of two members holds the rows."""
    if positional in read and named in read:
        faults.refuse(f"/{named}", "two_forms", f"The body has both {positional} and {named}; send one of them.")
    if positional not in read and named not in read:
        faults.refuse("", "missing_member", f"The body has neither {positional} nor {named}; send one of them.")
    return positional if positional in read else named


# Reasons --------------------------------------------------------------------------------------------------------


def decode_reason(body: bytes) -> str | None:
    """Return the reason that a person gives for an action, or None.

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation
        The body is something else.

    Examples
    --------
    >>> decode_reason(b'{"reason": "new sensor"}')
    'new sensor'
    """
    return reading.line(reading.members(reading.loads(body), {"reason"}).get("reason"), "reason", most=MAX_REASON)


def decode_route(body: bytes) -> RouteBody:
    """Return which version is to be routed, how, and to which share.

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation
        The body is something else.

    Examples
    --------
    >>> decode_route(b'{"version": 3, "route": "canary", "share": 0.1}')
    RouteBody(version=3, route='canary', share=0.1, reason=None)
    """
    read = reading.members(reading.loads(body), _ROUTE)
    version, route, share = sides.positive(read.get("version"), "version"), read.get("route"), read.get("share", 1.0)
    if version is None:
        faults.refuse("/version", "missing", "version is missing: the number of the version to route.")
    if route not in ROUTES:
        faults.refuse("/route", "not_a_route", f"route is {faults.a_value(route)}; expected canary or shadow.")
    if type(share) not in (int, float) or not 0 < share <= 1:
        detail = f"share is {faults.a_value(share)}; expected a number above 0 and at most 1."
        faults.refuse("/share", "not_a_share", detail)
    return RouteBody(version, route, float(share), reading.line(read.get("reason"), "reason", most=MAX_REASON))


def decode_alias(body: bytes) -> int:
    """Return the version that an alias is to stand for.

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation
        The body is something else.

    Examples
    --------
    >>> decode_alias(b'{"version": 3}')
    3
    """
    version = sides.positive(reading.members(reading.loads(body), {"version"}).get("version"), "version")
    if version is None:
        faults.refuse("/version", "missing_member", "The body has no version; send the number of one.")
    return version


def decode_note(body: bytes) -> tuple[str, str]:
    """Return what somebody writes about a version, and who.

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation
        The body is something else.

    Examples
    --------
    >>> decode_note(b'{"note": "Trained before the sensor was changed.", "by": "Ada"}')
    ('Trained before the sensor was changed.', 'Ada')
    """
    read = reading.members(reading.loads(body), {"note", "by"})
    note, by = read.get("note"), read.get("by", "api")
    if not isinstance(note, str) or not note.strip() or len(note) > MAX_NOTE or "\0" in note:
        detail = f"note is {faults.a_value(note)}; expected a text of at most {MAX_NOTE:,} characters."
        faults.refuse("/note", "not_a_text", detail)
    if not isinstance(by, str) or not by.strip() or len(by) > MAX_NAME or not by.isprintable():
        faults.refuse("/by", "not_a_text", f"by is {faults.a_value(by)}; expected a name of at most {MAX_NAME}.")
    return note.strip(), by.strip()
