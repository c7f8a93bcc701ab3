"""Tell MLflow what is registered and what serves, as soon as it listens.

What is to be told follows from the versions and the deployments, which are written by the transactions of retraining
and deploy; so nothing can be lost or told of that did not happen, no deploy waits, and an MLflow that is named later,
or is another one, hears of every version that is still there.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from mlpipe import __version__, clock, db, errors
from mlpipe.incidents import message
from mlpipe.jobs import ledger
from mlpipe.jobs import store as jobs
from mlpipe.mlflow import remote, store
from mlpipe.mlflow.client import Client, Fault
from mlpipe.registry import artifacts
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.settings import Settings
from mlpipe.webhooks import Webhook

logger = logging.getLogger("mlpipe.mlflow")

LEASE_S = 120
"""How long a step belongs to who takes it; after a crash the next leader waits as long."""

STEP_S = 90
"""Time after which a step begins no other file, so that it ends within its lease."""

MAX_PAUSE_S = 300
"""Longest pause between two tries: an MLflow that is back after a night is told within five minutes."""

KEPT = frozenset({artifacts.REFERENCE, artifacts.SMOKE})
"""Files that hold rows of people; MLflow needs neither."""

HISTORY = 2
"""Stretches of serving that aliases are made of: champion and previous."""


@dataclass(frozen=True, slots=True)
class _Server:
    """Where things are told, by whom, under which key."""

    client: Client
    target: str
    shown: str
    name: str


def tell(settings: Settings, *, stopping: Callable[[], bool] = lambda: False) -> int:
    """Take the steps that are due: register versions in order, then point the aliases.

    Returns
    -------
    int
        Steps that succeeded. A round costs three small reads while there is nothing to tell.
    """
    address = settings.mlflow
    if address is None:
        return 0
    server = _server(address, settings)
    done = 0
    while not stopping() and _is_behind(server.target) and _step(server, settings, stopping):
        done += 1
    return done


def _server(address: Webhook, settings: Settings) -> _Server:
    client = Client(address, token=settings.mlflow_token, timeout_s=settings.mlflow_timeout_s)
    return _Server(client, _target(address, settings), address.shown, settings.model_name)


def _target(address: Webhook, settings: Settings) -> str:
    """Return the key of a server and model; credentials may change without everything being told again."""
    place = f"{address.scheme}://{address.host_header}{address.target} {settings.model_name}"
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def _is_behind(target: str) -> bool:
    with db.reading() as connection:
        active = versions.active(connection)
        known = store.server(connection, target)
        if known is not None and known.next_try_at > clock.now_us():
            return False
        shown = known.generation if known else 0
        return store.first_missing(connection, target) is not None or (active is not None and active.generation > shown)


def _step(server: _Server, settings: Settings, stopping: Callable[[], bool]) -> bool:
    """Take one step under a lease; say whether it succeeded."""
    lease_until = clock.now_us() + LEASE_S * clock.MICROSECONDS
    with db.transaction() as connection:
        attempts = store.claim(connection, server.target, server.shown, lease_until=lease_until)
    if attempts is None:
        return False
    try:
        _advance(server, settings, stopping)
    except Fault as fault:
        _postpone(server, fault, attempts, lease_until)
        return False
    except BaseException:
        with db.transaction() as connection:
            later = clock.now_us() + message.FIRST_PAUSE_S * clock.MICROSECONDS
            error = "mlpipe has made a mistake; the log has the details"
            store.postpone(connection, server.target, error, lease_until=lease_until, next_try_at=later)
        raise
    with db.transaction() as connection:
        store.release(connection, server.target, lease_until=lease_until)
    return True


def _postpone(server: _Server, fault: Fault, attempts: int, lease_until: int) -> None:
    pause_s = min(MAX_PAUSE_S, message.pause_s(attempts))
    logger.warning("try %s: %s; next in %s s", attempts, fault.detail, pause_s)
    later = clock.now_us() + pause_s * clock.MICROSECONDS
    with db.transaction() as connection:
        store.postpone(connection, server.target, fault.detail, lease_until=lease_until, next_try_at=later)
        if attempts == 1:
            sentence = f"MLflow was not told, and is tried again until it listens: {fault.detail}."
            ledger.record(connection, "failure", sentence)


def _advance(server: _Server, settings: Settings, stopping: Callable[[], bool]) -> None:
    with db.reading() as connection:
        missing = store.first_missing(connection, server.target)
    if missing is not None:
        _register(server, missing[0], settings, stopping)
    else:
        _point(server)


# Versions -------------------------------------------------------------------------------------------------------


def _register(server: _Server, number: int, settings: Settings, stopping: Callable[[], bool]) -> None:
    end = time.monotonic() + STEP_S

    def go_on() -> None:
        if stopping():
            raise Fault("mlpipe was told to end")
        if time.monotonic() > end:
            raise Fault(f"the files of version {number} took longer than {STEP_S} s")

    try:
        found = remote.register(server.client, _described(number, settings), go_on=go_on)
    except (Fault, errors.ArtifactCorrupt) as fault:
        if isinstance(fault, Fault) and not fault.lasts:
            raise
        _refused(server, number, fault.detail)
        return
    sentence = (
        f"Version {number} is in MLflow at {server.shown} as version {found.version} of {server.name!r} "
        f"(run {found.run_id})."
    )
    with db.transaction() as connection:
        store.add_version(connection, server.target, number, run_id=found.run_id, mlflow_version=found.version)
        ledger.record(connection, "mlflow", sentence, model_version=number)
    logger.info("%s", sentence)


def _refused(server: _Server, number: int, why: str) -> None:
    sentence = f"Version {number} will not be in MLflow at {server.shown}: {why}"
    with db.transaction() as connection:
        store.add_version(connection, server.target, number, error=why)
        ledger.record(connection, "failure", sentence, model_version=number)
    logger.error("%s", sentence)


def _described(number: int, settings: Settings) -> remote.Described:
    with db.reading() as connection:
        row = versions.get(connection, number)
        job = jobs.get(connection, row.job_id) if row and row.job_id else None
    if row is None:
        raise errors.ArtifactCorrupt(f"Version {number} has no row any more.")
    folder = registry.folder(settings.models_folder, number)
    names = sorted(set(row.files) - KEPT)
    return remote.Described(
        name=settings.model_name,
        version=number,
        digest=_identity(row),
        created_ms=row.created_at // 1000,
        parameters=remote.texts({"kind": row.kind, "task": row.task} | row.parameters),
        metrics=remote.metrics(row.metrics),
        tags=_tags(row, job.reason if job else ""),
        files={name: _reader(folder / name, row.files) for name in names},
    )


def _reader(path: Path, files: dict[str, str]) -> Callable[[], bytes]:
    return lambda: artifacts.verified(path.parent, path.name, files)


def _digest(value: object) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _identity(row: versions.Version) -> str:
    """Return what a version is recognised by; equal files under another number are another version."""
    return _digest([row.version, row.created_at, row.files])


def _tags(row: versions.Version, reason: str) -> dict[str, str]:
    tags = {
        "version": row.version,
        "digest": _identity(row),
        "release": __version__,
        "schema_version": row.schema_version,
        "lineage": _digest(row.lineage),
        "job_id": row.job_id,
        "parent": row.parent,
        "reason": reason,
    }
    written = {f"mlpipe.{name}": value for name, value in tags.items() if value not in (None, "")}
    return remote.texts(written, longest=remote.LONGEST_TAG)


# Aliases --------------------------------------------------------------------------------------------------------


def _point(server: _Server) -> None:
    """Point champion to what serves now, and previous to what served before; what was in between needs no telling."""
    with db.reading() as connection:
        stretches = versions.history(connection, limit=HISTORY)
        known = {row.model_version: store.version(connection, server.target, row.model_version) for row in stretches}
    pointed = []
    for alias, stretch in zip(("champion", "previous"), stretches, strict=False):
        found = known[stretch.model_version]
        if found is not None and found.mlflow_version:
            remote.point(server.client, server.name, alias, found.mlflow_version)
            pointed.append(f"{alias} means version {stretch.model_version}")
    if not stretches:
        return
    newest = stretches[0]
    sentence = f"In MLflow at {server.shown}, {', '.join(pointed) or 'no alias could be pointed'}."
    with db.transaction() as connection:
        store.set_generation(connection, server.target, newest.id)
        ledger.record(connection, "mlflow", sentence, model_version=newest.model_version)
    logger.info("%s", sentence)


# Health ---------------------------------------------------------------------------------------------------------


def health(settings: Settings) -> tuple[Literal["ok", "waiting", "degraded"], str]:
    """Say whether MLflow knows what is registered and what serves, and otherwise what waits, since when and why."""
    address = settings.mlflow
    if address is None:
        return "ok", "MLPIPE_MLFLOW_TRACKING_URI names no server, so no version is registered elsewhere."
    target = _target(address, settings)
    with db.reading() as connection:
        active = versions.active(connection)
        known = store.server(connection, target)
        missing, n = store.first_missing(connection, target), store.n_missing(connection, target)
        told = store.version(connection, target, active.version) if active else None
    behind = active is not None and active.generation > (known.generation if known else 0)
    if missing is None and not behind:
        if active is not None and (told is None or told.error):
            why = told.error if told else "nobody knows why"
            return "degraded", f"Version {active.version} serves and is not in MLflow at {address.shown}: {why}"
        return "ok", f"MLflow at {address.shown} has every version, and champion means what serves."
    since = missing[1] if missing else active.since if active else None
    parts = ([f"{n} version{'s' if n > 1 else ''}"] if n else []) + (["the alias champion"] if behind else [])
    waiting = f"{' and '.join(parts)} to be told to MLflow at {address.shown} since {clock.iso(since)}"
    if known is None or known.failing_since is None:
        return "waiting", f"{waiting}."
    failed = f"it has failed since {clock.iso(known.failing_since)}, try {known.attempts}"
    return "degraded", f"{waiting}; {failed}: {known.last_error}. Predictions and deploys go on."
