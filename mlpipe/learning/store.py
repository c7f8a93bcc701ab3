"""Steps of learning: written once, in order, read back for a replay."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.features.arrivals import Mark
from mlpipe.learning.tables import learning_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One row of `learning_steps`.

    Attributes
    ----------
    number : int
        From 1, without gaps.
    kind : {"learned", "held", "released", "discarded", "restored"}
    after, upto : Mark
        Which labels.
    position : int
        Labels learned when it was over.
    of : int or None
        The held step that was released or discarded; the revision that was restored.
    """

    model_version: int
    kind: str
    after: Mark
    upto: Mark
    n_rows: int
    number: int = 0
    position: int = 0
    of: int | None = None
    at: int = 0
    sentence: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


ARRIVALS = ("learned", "held")
"""Kinds that stand for labels which came; the others go back to them."""

_LIGHT = [column for column in learning_steps.c if column.name != "scores"]


def _step(row: sa.Row[Any]) -> Step:
    values = dict(row._mapping)
    del values["id"]
    after = Mark(values.pop("after_batch"), values.pop("after_label"))
    return Step(after=after, upto=Mark(values.pop("upto_batch"), values.pop("upto_label")), **values)


def add(connection: sa.Connection, step: Step, *, scores: bytes | None = None) -> bool:
    """Store a step; say whether it is new (another learner may have been faster)."""
    values = {
        "model_version": step.model_version,
        "number": step.number,
        "kind": step.kind,
        "after_batch": step.after.batch,
        "after_label": step.after.label,
        "upto_batch": step.upto.batch,
        "upto_label": step.upto.label,
        "n_rows": step.n_rows,
        "position": step.position,
        "of": step.of,
        "at": clock.now_us(),
        "sentence": step.sentence,
        "figures": step.figures,
        "scores": scores,
    }
    return db.insert_new(connection, learning_steps, values) is not None


def get(connection: sa.Connection, version: int, number: int) -> Step | None:
    """Return one step."""
    own = (learning_steps.c.model_version == version, learning_steps.c.number == number)
    row = connection.execute(sa.select(*_LIGHT).where(*own)).first()
    return None if row is None else _step(row)


def newest(connection: sa.Connection, version: int) -> Step | None:
    """Return a version's newest step."""
    found = page(connection, version, limit=1)
    return found[0] if found else None


def reached(connection: sa.Connection, version: int) -> Mark | None:
    """Return the mark up to which labels have been looked at, or None before the first step."""
    arrived = (learning_steps.c.model_version == version, learning_steps.c.kind.in_(ARRIVALS))
    newest_first = sa.select(learning_steps.c.upto_batch, learning_steps.c.upto_label).where(*arrived)
    row = connection.execute(newest_first.order_by(learning_steps.c.number.desc()).limit(1)).first()
    return None if row is None else Mark(row.upto_batch, row.upto_label)


def page(connection: sa.Connection, version: int, *, limit: int, before: int | None = None) -> list[Step]:
    """Return steps of a version, newest first, older than the step `before`."""
    query = sa.select(*_LIGHT).where(learning_steps.c.model_version == version)
    if before is not None:
        query = query.where(learning_steps.c.number < before)
    return [_step(row) for row in connection.execute(query.order_by(learning_steps.c.number.desc()).limit(limit))]


def following(connection: sa.Connection, version: int, *, after: int, limit: int) -> list[Step]:
    """Return the steps that come after a number, oldest first."""
    own = (learning_steps.c.model_version == version, learning_steps.c.number > after)
    query = sa.select(*_LIGHT).where(*own).order_by(learning_steps.c.number).limit(limit)
    return [_step(row) for row in connection.execute(query)]


def waiting(connection: sa.Connection, version: int) -> list[Step]:
    """Return the held steps about which nothing was decided yet, oldest first."""
    later = learning_steps.alias()
    decided = sa.exists().where(
        later.c.model_version == learning_steps.c.model_version,
        later.c.of == learning_steps.c.number,
        later.c.kind.in_(("released", "discarded")),
    )
    own = (learning_steps.c.model_version == version, learning_steps.c.kind == "held", ~decided)
    return [_step(row) for row in connection.execute(sa.select(*_LIGHT).where(*own).order_by(learning_steps.c.number))]


def refused(connection: sa.Connection, version: int) -> list[tuple[Mark, Mark]]:
    """Return the stretches of labels that a version holds back or that somebody has discarded, of any version."""
    held = learning_steps.alias()
    gone = sa.select(held).join(
        learning_steps,
        sa.and_(held.c.model_version == learning_steps.c.model_version, held.c.number == learning_steps.c.of),
    )
    rows = connection.execute(gone.where(learning_steps.c.kind == "discarded", held.c.kind == "held"))
    found = [(Mark(row.after_batch, row.after_label), Mark(row.upto_batch, row.upto_label)) for row in rows]
    return found + [(step.after, step.upto) for step in waiting(connection, version)]


def arrived(connection: sa.Connection, version: int, *, since_us: int) -> int:
    """Return how many labels have come since a time, learned or held."""
    own = (learning_steps.c.model_version == version, learning_steps.c.kind.in_(ARRIVALS))
    total = sa.select(sa.func.sum(learning_steps.c.n_rows)).where(*own, learning_steps.c.at >= since_us)
    return int(connection.execute(total).scalar() or 0)


def busiest(connection: sa.Connection, version: int, *, since_us: int, until_us: int) -> float:
    """Return how many labels came in the busiest hour of a time."""
    own = (learning_steps.c.model_version == version, learning_steps.c.kind.in_(ARRIVALS))
    query = sa.select(learning_steps.c.at, learning_steps.c.n_rows).where(
        *own, learning_steps.c.at.between(since_us, until_us)
    )
    hours: Counter[int] = Counter()
    for row in connection.execute(query):
        hours[row.at // (3600 * clock.MICROSECONDS)] += row.n_rows
    return float(max(hours.values(), default=0))


def scored(connection: sa.Connection, version: int, *, limit: int) -> list[tuple[Step, bytes]]:
    """Return the newest steps of a version that learned rows, with the answers before, newest first."""
    query = sa.select(learning_steps).where(
        learning_steps.c.model_version == version, learning_steps.c.scores.is_not(None)
    )
    found = []
    for row in connection.execute(query.order_by(learning_steps.c.number.desc()).limit(limit)):
        light = {column.name: row._mapping[column.name] for column in _LIGHT if column.name != "id"}
        after = Mark(light.pop("after_batch"), light.pop("after_label"))
        step = Step(after=after, upto=Mark(light.pop("upto_batch"), light.pop("upto_label")), **light)
        found.append((step, row.scores))
    return found
