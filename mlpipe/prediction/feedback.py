"""Labels that come late: joined by prediction id, corrected, or parked until their prediction turns up."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpipe import db, errors
from mlpipe.features import store as features
from mlpipe.prediction import store
from mlpipe.registry import store as versions
from mlpipe.schema import growth, matrix
from mlpipe.schema.contract import Schema

logger = logging.getLogger("mlpipe.prediction.feedback")

PARKED_A_TURN = 500
"""Parked labels that one look joins."""

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Label:
    place: Place
    value: float
    observed_at: int | None

    def columns(self) -> dict[str, Any]:
        return {
            "prediction_id": self.place[0],
            "position": self.place[1],
            "label": self.value,
            "observed_at": self.observed_at,
        }


def join(body: bytes, *, max_rows: int) -> dict[str, int]:
    """Store the labels of a body.

    Parameters
    ----------
    body : bytes
        JSON as in ``POST /feedback``.
    max_rows : int
        Most labels in one body.

    Returns
    -------
    dict
        ``matched`` (joined now, or known already with this label), ``corrected`` (another label was known),
        ``parked`` (no such prediction yet).

    Raises
    ------
    errors.MalformedBody, errors.SchemaViolation, errors.TooManyRows
        Nothing is stored.

    Notes
    -----
    A labelled prediction becomes a row of the feature store in the same transaction: training reads it like any
    other. The first label makes the row, a correction is laid over it.
    """
    items = matrix.decode_feedback(body, max_rows=max_rows)
    counts = db.retried(lambda: _join(items))
    logger.info("feedback: %s", ", ".join(f"{n} {name}" for name, n in counts.items()))
    return counts


def _join(items: Sequence[matrix.FeedbackItem]) -> dict[str, int]:
    with db.transaction() as connection:
        schema = _schema(connection, [item.label for item in items])
        values = matrix.encode_labels([item.label for item in items], schema.target)
        by_prediction, by_row = [], []
        for item, value in zip(items, values.tolist(), strict=True):
            if item.prediction_id is not None:
                by_prediction.append(_Label(item.prediction_id, value, item.observed_at))
            else:
                by_row.append((item.row_id, value, item.observed_at))
        counts = _join_predictions(connection, by_prediction, schema)
        for name, n in _join_samples(connection, by_row).items():
            counts[name] = counts.get(name, 0) + n
    return counts


def _schema(connection: db.Connection, labels: Sequence[Any]) -> Schema:
    """Return the schema, grown by classes that these labels bring."""
    schema = features.current_schema(connection, for_update=True)
    if schema is None:
        raise errors.SchemaViolation("Nothing was ingested yet, so no label can belong to anything.", [])
    target = growth.extend_target(schema.target, labels, fixed=versions.active(connection) is not None)
    if target is schema.target:
        return schema
    grown = growth.with_target(schema, target)
    features.grow_schema(connection, grown)
    return grown


def _join_predictions(connection: db.Connection, labels: Sequence[_Label], schema: Schema) -> dict[str, int]:
    newest = {label.place: label for label in labels}
    known = store.labels(connection, [place[0] for place in newest])
    requests = store.logged(connection, [place[0] for place in newest if place not in known])
    fresh, parked, same, corrected = [], [], 0, []
    for label in newest.values():
        if label.place in known:
            if known[label.place].label == label.value:
                same += 1
            else:
                corrected.append(label)
        elif label.place[0] in requests and label.place[1] < len(requests[label.place[0]].outputs):
            fresh.append(label)
        else:
            parked.append(label)
    _add_fresh(connection, fresh, requests, schema)
    store.add_labels(connection, [_unjoined(label) for label in parked])
    _correct(connection, corrected, known)
    n_twice = len(labels) - len(newest)
    return {"matched": len(fresh) + same + n_twice, "corrected": len(corrected), "parked": len(parked)}


_NOTHING = dict.fromkeys(("sample_batch", "sample_position", "predicted_at", "model_version", "output", "p_label"))


def _unjoined(label: _Label) -> dict[str, Any]:
    return label.columns() | _NOTHING


def _add_fresh(
    connection: db.Connection, labels: Sequence[_Label], requests: dict[int, store.Logged], schema: Schema
) -> None:
    """Make labelled predictions rows of the feature store, and note beside each label what was answered."""
    if not labels:
        return
    batch = _append_samples(connection, labels, requests, schema)
    classes = _Classes(connection)
    rows = [
        label.columns()
        | _answered(label, requests[label.place[0]], classes)
        | {"sample_batch": batch, "sample_position": position}
        for position, label in enumerate(labels)
    ]
    store.add_labels(connection, rows)


def _append_samples(
    connection: db.Connection, labels: Sequence[_Label], requests: dict[int, store.Logged], schema: Schema
) -> int:
    places = np.array([label.place for label in labels], dtype=np.int64)
    batch = features.Batch(
        batch_id=f"feedback-{uuid.uuid4().hex}",
        content_hash="",
        schema_version=schema.version,
        source="feedback",
        X=np.stack([requests[row].X[position] for row, position in places.tolist()]),
        y=np.array([label.value for label in labels]),
        event_times=np.array([requests[row].predicted_at for row in places[:, 0].tolist()], dtype=np.int64),
        origins=places,
    )
    stored = features.append(connection, batch)
    if stored is None:
        raise errors.StoreUnavailable("The labels could not be stored; send them again.")
    return stored


class _Classes:
    """The classes of versions, each read once."""

    def __init__(self, connection: db.Connection) -> None:
        self._connection = connection
        self._found: dict[int, list[float]] = {}

    def of(self, version: int) -> list[float]:
        if version not in self._found:
            row = versions.get(self._connection, version)
            self._found[version] = [] if row is None else row.parameters["classes"]
        return self._found[version]


def _answered(label: _Label, request: store.Logged, classes: _Classes) -> dict[str, Any]:
    position = label.place[1]
    return {
        "predicted_at": request.predicted_at,
        "model_version": request.model_version,
        "output": float(request.outputs[position]),
        "p_label": _p_label(label, request, classes.of(request.model_version)),
    }


def _p_label(label: _Label, request: store.Logged, classes: list[float]) -> float | None:
    """Return the probability that was given to what turned out true; 0 for a class that the version did not know."""
    if request.probabilities is None:
        return None
    if label.value not in classes:
        return 0.0
    return float(request.probabilities[label.place[1], classes.index(label.value)])


def _correct(connection: db.Connection, labels: Sequence[_Label], known: dict[Place, Any]) -> None:
    """Retire the old label rows, write new ones, and lay the new label over the sample."""
    if not labels:
        return
    classes = _Classes(connection)
    requests = store.logged(connection, [label.place[0] for label in labels])
    store.retire_labels(connection, [known[label.place].id for label in labels])
    rows, overlays = [], []
    for label in labels:
        old = known[label.place]
        if old.sample_batch is None:
            rows.append(_unjoined(label))
            continue
        answered = _answered(label, requests[label.place[0]], classes)
        sample = {"sample_batch": old.sample_batch, "sample_position": old.sample_position}
        rows.append(label.columns() | answered | sample)
        overlays.append(_overlay((old.sample_batch, old.sample_position), label.value, label.observed_at))
    store.add_labels(connection, rows)
    features.add_labels(connection, overlays, first=[False] * len(overlays))


def _overlay(sample: Place, value: float, observed_at: int | None) -> dict[str, Any]:
    return {"batch": sample[0], "position": sample[1], "label": value, "observed_at": observed_at}


def _join_samples(connection: db.Connection, labels: Sequence[tuple[str | None, float, int | None]]) -> dict[str, int]:
    """Join labels of ingested rows by the client's own row ids."""
    if not labels:
        return {}
    newest = {name: (value, observed_at) for name, value, observed_at in labels if name is not None}
    places = features.find_samples(connection, list(newest))
    known = features.labels_of(connection, list(places.values()))
    overlays, first = [], []
    counts = {"matched": len(labels) - len(newest), "corrected": 0, "unknown_row_ids": len(newest) - len(places)}
    for name, place in places.items():
        value, observed_at = newest[name]
        old = known[place]
        counts["corrected" if not np.isnan(old) and old != value else "matched"] += 1
        if old != value:
            overlays.append(_overlay(place, value, observed_at))
            first.append(bool(np.isnan(old)))
    features.add_labels(connection, overlays, first=first)
    return counts


def join_parked() -> int:
    """Join parked labels whose prediction has turned up; return how many."""
    with db.reading() as connection:
        if not store.parked(connection, limit=1):
            return 0
    with db.transaction() as connection:
        schema = features.current_schema(connection, for_update=True)  # nobody else joins or corrects meanwhile
        rows = store.parked(connection, limit=PARKED_A_TURN)
        if not rows or schema is None:
            return 0
        labels = [_Label((row.prediction_id, row.position), row.label, row.observed_at) for row in rows]
        requests = store.logged(connection, [label.place[0] for label in labels])
        batch = _append_samples(connection, labels, requests, schema)
        classes = _Classes(connection)
        for position, (row, label) in enumerate(zip(rows, labels, strict=True)):
            answered = _answered(label, requests[label.place[0]], classes)
            sample = {"sample_batch": batch, "sample_position": position}
            store.join_parked(connection, row.id, answered | sample)
    logger.info("%d parked labels have found their prediction", len(rows))
    return len(rows)
