"""Labels that come late, as a client sends them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlpipe.schema import faults, reading, rows, sides, times

_PREDICTION_ID = re.compile(r"([1-9][0-9]{0,18})-(0|[1-9][0-9]{0,8})")
_ITEM = {"prediction_id", "row_id", "label", "observed_at"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackItem:
    """One label that came late.

    Parameters
    ----------
    label : bool, int, float or str
        As the client sent it.
    prediction_id : tuple of int, optional
        Row and position of the prediction.
    row_id : str, optional
        The client's own id of a sample; either this or `prediction_id` is there.
    observed_at : int, optional
        Microseconds since 1970 UTC.
    """

    label: object
    prediction_id: tuple[int, int] | None = None
    row_id: str | None = None
    observed_at: int | None = None


def decode_feedback(body: bytes, *, max_rows: int) -> list[FeedbackItem]:
    """Return labels that came late.

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation, errors.TooManyRows
        The body cannot be read as such.

    Examples
    --------
    >>> decode_feedback(b'{"prediction_ids": ["841-0"], "labels": [1]}', max_rows=10)
    [FeedbackItem(label=1, prediction_id=(841, 0), row_id=None, observed_at=None)]
    """
    read = reading.members(reading.loads(body), {"labels", "prediction_ids"})
    labels = read.get("labels")
    if not isinstance(labels, list):
        detail = f"labels is {faults.a_value(labels)}; expected a list." if "labels" in read else "labels is missing."
        faults.refuse("/labels", "not_a_list", detail)
    if not labels:
        faults.refuse("/labels", "empty", "labels is empty; send at least one.")
    rows.check_count(len(labels), max_rows)
    if "prediction_ids" in read:
        return _parallel(sides.as_list(read["prediction_ids"], "prediction_ids", len(labels)), labels)
    return _items(labels)


def _parallel(ids: Sequence[object], labels: Sequence[object]) -> list[FeedbackItem]:
    _refuse_bad(labels, _known_label_fault, member="labels")
    _refuse_bad(ids, _prediction_id_fault, member="prediction_ids")
    return [
        FeedbackItem(label=label, prediction_id=_prediction_id(id_)) for id_, label in zip(ids, labels, strict=True)
    ]


def _items(entries: Sequence[Any]) -> list[FeedbackItem]:
    _refuse_bad(entries, _item_fault, member="labels")
    return [
        FeedbackItem(
            label=entry["label"],
            prediction_id=None if entry.get("prediction_id") is None else _prediction_id(entry["prediction_id"]),
            row_id=entry.get("row_id"),
            observed_at=None if entry.get("observed_at") is None else times.parse(entry["observed_at"]),
        )
        for entry in entries
    ]


def _item_fault(entry: Any) -> tuple[str, str] | None:
    if not isinstance(entry, dict):
        expected = 'expected {"prediction_id", "label"}, or lists under prediction_ids and labels'
        return "not_an_object", f"Found {faults.a_value(entry)}; {expected}."
    unknown = [name for name in entry if name not in _ITEM]
    if unknown:
        return "unknown_member", f"Nothing reads {faults.some(unknown)}; known here are {faults.some(sorted(_ITEM))}."
    if "label" not in entry:
        return "missing_member", "The label is missing."
    return _known_label_fault(entry["label"]) or _whose_fault(entry) or _moment_fault(entry.get("observed_at"))


def _whose_fault(entry: dict[str, Any]) -> tuple[str, str] | None:
    id_, row_id = entry.get("prediction_id"), entry.get("row_id")
    if (id_ is None) == (row_id is None):
        return "missing_member", "Send either the prediction_id or the row_id that the label belongs to."
    if id_ is not None:
        return _prediction_id_fault(id_)
    fault = sides.text_fault(row_id)
    return ("not_an_id", fault) if fault else None


def _moment_fault(value: object) -> tuple[str, str] | None:
    if value is None or (isinstance(value, str) and times.parse(value) is not None):
        return None
    return "not_a_time", times.fault(value)


def _known_label_fault(label: object) -> tuple[str, str] | None:
    if label is None:
        return "label_missing", "The label is null; send it when it is known."
    return sides.label_fault(label)


def _prediction_id_fault(value: object) -> tuple[str, str] | None:
    if isinstance(value, str) and _prediction_id(value) is not None:
        return None
    return "not_an_id", f"Found {faults.a_value(value)}; a prediction id is text such as '841-0'."


def _prediction_id(value: object) -> tuple[int, int] | None:
    match = _PREDICTION_ID.fullmatch(str(value))
    if match is None or int(match[1]) >= 2**63:
        return None
    return int(match[1]), int(match[2])


def _refuse_bad(values: Sequence[Any], fault: Callable[[Any], tuple[str, str] | None], *, member: str) -> None:
    found = faults.Faults()
    bad = [row for row, value in enumerate(values) if fault(value)]
    found.add(bad, 0, where=faults.at_list(member), tell=lambda row: fault(values[row]) or ("", ""))
    found.raise_any()
