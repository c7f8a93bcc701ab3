"""The way of a version to all workers: each loads and tries it; then the generation flips."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlpipe import clock, db, errors
from mlpipe.db import Connection
from mlpipe.incidents import kinds
from mlpipe.incidents import store as incidents
from mlpipe.jobs import leases, ledger
from mlpipe.registry import preparations, store
from mlpipe.registry.preparations import Preparation

POLL_S = 0.05
"""Pause between two looks at what the workers have said."""

ALIVE_S = 5.0
"""A worker writes once a second that it is alive; one that has been silent for so long cannot hold up a deploy."""

GRACE_S = 15.0
"""Time beyond the wait after which a deployer that has not come back counts as dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a deploy goes on.

    Attributes
    ----------
    look : callable
        Lets the deploying process load what is wished for, and answer.
    wait_s : float
        Longest wait for the workers, seconds.
    meanwhile : callable
        Called at each look, to prolong a lease; what it raises ends the deploy.
    """

    look: Callable[[], object]
    wait_s: float
    meanwhile: Callable[[], object] = lambda: None


def ask(
    connection: Connection,
    version: int,
    *,
    by: str,
    reason: str,
    wait_s: float,
    job_id: int | None = None,
    kind: str = "deploy",
) -> Preparation:
    """Wish for a version, in the caller's transaction; `carry_out` does the rest.

    Raises
    ------
    errors.NotFound, errors.VersionPruned
        The version is not there, or its files are not.
    errors.DeployConflict
        It serves already, or another one is being deployed.
    """
    now = _before(connection, version)
    wish = preparations.ask(
        connection,
        version,
        expected=now.generation if now else None,
        kind=kind,
        by=by,
        reason=reason,
        job_id=job_id,
        wait_us=int((wait_s + GRACE_S) * clock.MICROSECONDS),
    )
    if wish is None:
        raise errors.DeployConflict(
            "Another version is being deployed at this moment; look at GET /models for what serves, and try again.",
            current_version=now.version if now else None,
        )
    return wish


def _before(connection: Connection, version: int) -> store.Active | None:
    """Return what serves, after checking that the version may follow it; its row is held, so it cannot be pruned."""
    row = store.get(connection, version, for_update=True)
    if row is None:
        raise errors.NotFound(f"There is no version {version}. GET /models lists all.")
    if row.state == store.PRUNED:
        raise pruned(version)
    now = store.active(connection)
    if now is not None and now.version == version:
        raise errors.DeployConflict(f"Version {version} serves already.", current_version=version)
    return now


def pruned(version: int) -> errors.VersionPruned:
    """Return what is to be said about a version whose files were removed."""
    return errors.VersionPruned(
        f"The files of version {version} were pruned (MLPIPE_KEEP_VERSIONS); its row alone is left. Deploy another "
        "version, or retrain.",
        version=version,
    )


def carry_out(
    wish: Preparation, terms: Terms, *, finish: Callable[[Connection], object] = lambda _connection: None
) -> int:
    """Wait until every worker that is alive has the version ready, then flip.

    Parameters
    ----------
    wish : Preparation
        From `ask`, in a transaction that has committed.
    terms : Terms
    finish : callable
        Called in the transaction of the flip; what it raises undoes both.

    Returns
    -------
    int
        The new generation.

    Raises
    ------
    errors.DeployFailed
        A worker cannot serve the version, or was not ready in time; what served goes on serving.
    errors.DeployConflict
        Something else was deployed meanwhile.
    """
    try:
        _await(wish, terms)
        with db.transaction() as connection:
            finish(connection)
            return _flip(connection, wish)
    except BaseException as fault:
        _stop(wish, fault)
        raise


def _await(wish: Preparation, terms: Terms) -> None:
    end = time.monotonic() + terms.wait_s
    terms.look()
    while missing := _missing(wish):
        if time.monotonic() > end:
            raise _failed(wish, f"worker {missing[0]} was not ready within {terms.wait_s:g} s.")
        terms.meanwhile()
        time.sleep(POLL_S)


def _missing(wish: Preparation) -> list[str]:
    """Return the workers that are alive and have not answered; nobody is waited for before the first model."""
    since = clock.now_us() - int(ALIVE_S * clock.MICROSECONDS)
    with db.reading() as connection:
        said = preparations.answers(connection, wish.id)
        alive = [row.id for row in leases.alive(connection, since_us=since)] if wish.expected is not None else []
    return missing(said, alive, wish)


def missing(said: Sequence[preparations.Answer], alive: Sequence[str], wish: Preparation) -> list[str]:
    """Return the workers that a deploy waits for.

    Raises
    ------
    errors.DeployFailed
        One of them cannot serve the version.
    """
    refused = next((answer for answer in said if not answer.ready), None)
    if refused is not None:
        raise _failed(wish, f"worker {refused.worker} cannot serve it: {refused.reason}")
    ready = {answer.worker for answer in said}
    return [worker for worker in alive if worker not in ready] or ([] if ready else ["of the deploy itself"])


def _failed(wish: Preparation, why: str) -> errors.DeployFailed:
    return errors.DeployFailed(
        f"Version {wish.model_version} was not deployed, what served goes on serving: {why}", version=wish.model_version
    )


def _flip(connection: Connection, wish: Preparation) -> int:
    _before(connection, wish.model_version)  # its row first, as `ask` does: two that wait for each other would fail
    if not preparations.close(connection, wish.id, outcome="deployed", sentence=wish.reason):
        raise errors.DeployConflict("This deploy took too long and was given up; look at GET /models, and try again.")
    return _switch(connection, wish)


def _stop(wish: Preparation, fault: BaseException) -> None:
    """End a preparation that comes to nothing; that a version cannot serve is an incident."""
    why = fault.detail if isinstance(fault, errors.MlpipeError) else repr(fault)
    with db.transaction() as connection:
        preparations.close(connection, wish.id, outcome="failed", sentence=why)
        if not isinstance(fault, errors.DeployFailed):
            return
        evidence = {"version": wish.model_version, "preparation": wish.id}
        incidents.open_or_update(connection, kinds.DEPLOY_FAILED, why, evidence)
        ledger.record(
            connection, "failure", why, evidence=evidence, model_version=wish.model_version, job_id=wish.job_id
        )


def deploy(
    connection: Connection,
    version: int,
    *,
    by: str,
    reason: str,
    job_id: int | None = None,
    kind: str = "deploy",
) -> int:
    """Flip at once inside the caller's transaction: for a version that every worker is known to hold.

    Returns
    -------
    int
        The new generation.

    Raises
    ------
    errors.NotFound, errors.VersionPruned, errors.DeployConflict
        See `ask`.
    """
    now = _before(connection, version)
    expected = now.generation if now else None
    return _switch(connection, Preparation(0, version, expected, kind, by, reason, job_id, since=0, until=0))


def _switch(connection: Connection, wish: Preparation) -> int:
    """Flip the generation and leave a sentence."""
    now = store.active(connection)
    version = wish.model_version
    generation = store.switch(
        connection,
        version,
        expected=wish.expected,
        kind=wish.kind,
        by=wish.by,
        reason=wish.reason,
        job_id=wish.job_id,
    )
    if generation is None:
        raise errors.DeployConflict(
            "Another deploy won; look at GET /models for what serves now.",
            current_version=now.version if now else None,
        )
    store.set_state(connection, version, store.REGISTERED)
    instead = f" instead of version {now.version}" if now else ""
    sentence = f"Version {version} serves{instead}. {wish.reason}"
    ledger.record(connection, wish.kind, sentence, model_version=version, job_id=wish.job_id)
    for kind in kinds.OF_ONE_VERSION:
        incidents.resolve(connection, kind, f"Version {version} serves now; its own labels will tell.")
    incidents.resolve(connection, kinds.DEPLOY_FAILED, f"Version {version} serves.")
    return generation
