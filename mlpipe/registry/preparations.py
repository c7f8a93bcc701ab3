"""Preparations: who wants to deploy what, and what each worker says to it."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.registry.tables import preparation_answers, preparations


@dataclass(frozen=True, slots=True)
class Preparation:
    """One row of `preparations`: a wish to deploy, as it was read."""

    id: int
    model_version: int
    expected: int | None
    kind: str
    by: str
    reason: str
    job_id: int | None
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What one worker says: it has the version ready, or why it cannot serve it."""

    worker: str
    ready: bool
    reason: str | None


_FIELDS = [preparations.c[name] for name in Preparation.__dataclass_fields__]


def ask(
    connection: sa.Connection,
    version: int,
    *,
    expected: int | None,
    kind: str,
    by: str,
    reason: str,
    job_id: int | None,
    wait_us: int,
) -> Preparation | None:
    """Wish for a version to be prepared; None while another one is.

    Notes
    -----
    A wish whose deployer has not come back in time was left by a process that died; it is abandoned here.
    """
    now = clock.now_us()
    late = sa.update(preparations).where(preparations.c.open, preparations.c.until < now)
    connection.execute(late.values(open=None, outcome="abandoned", sentence="Its deployer did not come back."))
    wish = {"model_version": version, "expected": expected, "kind": kind, "by": by, "reason": reason, "job_id": job_id}
    wish |= {"since": now, "until": now + wait_us}
    made = db.insert_new(connection, preparations, wish | {"open": True})
    return None if made is None else Preparation(id=made, **wish)  # type: ignore[arg-type]


def wanted(connection: sa.Connection) -> Preparation | None:
    """Return the preparation that is open, or None."""
    query = sa.select(*_FIELDS).where(preparations.c.open, preparations.c.until >= clock.now_us())
    row = connection.execute(query).first()
    return None if row is None else Preparation(**row._mapping)


def answer(connection: sa.Connection, preparation: int, worker: str, *, ready: bool, reason: str | None = None) -> None:
    """Write what a worker says to a preparation."""
    said = {"preparation": preparation, "worker": worker, "ready": ready, "reason": reason, "at": clock.now_us()}
    db.replace(connection, preparation_answers, said)


def answers(connection: sa.Connection, preparation: int) -> list[Answer]:
    """Return what the workers have said to a preparation."""
    columns = [preparation_answers.c[name] for name in Answer.__dataclass_fields__]
    query = sa.select(*columns).where(preparation_answers.c.preparation == preparation)
    return [Answer(**row._mapping) for row in connection.execute(query)]


def close(connection: sa.Connection, preparation: int, *, outcome: str, sentence: str) -> bool:
    """End a preparation; False when it has ended already."""
    mine = sa.update(preparations).where(preparations.c.id == preparation, preparations.c.open)
    return connection.execute(mine.values(open=None, outcome=outcome, sentence=sentence)).rowcount == 1
