"""Probation rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.retraining.tables import probations

OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probation:
    """One row of `probations`."""

    id: int
    generation: int
    model_version: int
    rival: int
    state: str
    started_at: int
    ended_at: int | None
    first_prediction: int
    sentence: str
    figures: dict[str, Any]


def newest(connection: sa.Connection, version: int | None = None) -> Probation | None:
    """Return the newest probation, of one version where it is named."""
    found = page(connection, limit=1, version=version)
    return found[0] if found else None


def page(
    connection: sa.Connection, *, limit: int, before: int | None = None, version: int | None = None
) -> list[Probation]:
    """Return probations, newest first."""
    query = sa.select(probations).order_by(probations.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(probations.c.id < before)
    if version is not None:
        query = query.where(probations.c.model_version == version)
    return [Probation(**row._mapping) for row in connection.execute(query)]


def begin(
    connection: sa.Connection, generation: int, version: int, *, rival: int, first_prediction: int, sentence: str
) -> int | None:
    """Open the probation of a deployment; None when it had one."""
    row = {"generation": generation, "model_version": version, "rival": rival, "state": OPEN, "sentence": sentence}
    rest = {"started_at": clock.now_us(), "first_prediction": first_prediction, "figures": {}}
    return db.insert_new(connection, probations, row | rest)


def note(connection: sa.Connection, probation: int, sentence: str, figures: dict[str, Any]) -> None:
    """Write what the newest look saw."""
    row = sa.update(probations).where(probations.c.id == probation, probations.c.state == OPEN)
    connection.execute(row.values(sentence=sentence, figures=figures))


def end(connection: sa.Connection, probation: int, state: str, sentence: str, figures: dict[str, Any]) -> bool:
    """Close a probation; False when somebody else has."""
    row = sa.update(probations).where(probations.c.id == probation, probations.c.state == OPEN)
    values = {"state": state, "ended_at": clock.now_us(), "sentence": sentence, "figures": figures}
    return connection.execute(row.values(**values)).rowcount == 1


def held_marks(connection: sa.Connection) -> tuple[int, int]:
    """Return the newest batch and later label at the newest rollback: what came before is no reason to deploy again."""
    query = sa.select(probations.c.figures).where(probations.c.state == "rolled_back")
    figures = connection.execute(query.order_by(probations.c.id.desc()).limit(1)).scalar()
    return (figures["last_batch"], figures["last_label"]) if figures else (0, 0)
