"""What becomes of a version that has passed the gate: deployed at once, or proposed to a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from mlpipe import db, errors
from mlpipe.db import Connection
from mlpipe.jobs import ledger
from mlpipe.registry import marks, preparations, rollout, store

Outcome = Literal["deployed", "proposed"]


def mode(connection: Connection, configured: str) -> str:
    """Return ``auto``, ``propose`` or ``freeze``: the setting, unless a person has frozen what serves."""
    return configured if marks.frozen(connection) is None else "freeze"


def offer(
    version: store.Version,
    *,
    reason: str,
    configured: str,
    terms: rollout.Terms,
    begin: Callable[[Connection], object],
    finish: Callable[[Connection, Outcome], object],
) -> Outcome:
    """Register a version that has passed the gate, and deploy or propose it.

    Parameters
    ----------
    version : Version
        Its folder is in place.
    reason : str
        Why it is better, in a sentence.
    configured : {"auto", "propose", "freeze"}
        The setting; an open freeze goes before it.
    terms : Terms
        How the workers are waited for.
    begin : callable
        Called in the transaction that registers, before anything else; what it raises leaves nothing behind.
    finish : callable
        Called with the outcome in the transaction that deploys or proposes.

    Returns
    -------
    {"deployed", "proposed"}

    Raises
    ------
    errors.DeployConflict, errors.DeployFailed
        See `rollout.carry_out`: the version is registered and does not serve.
    """
    with db.transaction() as connection:
        begin(connection)
        store.add(connection, version)
        chosen = mode(connection, configured)
        if chosen != "auto":
            finish(connection, "proposed")
            _propose(connection, version, f"{_WHY[chosen]} {reason}")
            return "proposed"
        number, wait_s, job_id = version.version, terms.wait_s, version.job_id
        wish = rollout.ask(connection, number, by="retraining", reason=reason, wait_s=wait_s, job_id=job_id)
    rollout.carry_out(wish, terms, finish=lambda connection: finish(connection, "deployed"))
    return "deployed"


_WHY = {
    "propose": "It waits for a person (MLPIPE_DEPLOY=propose).",
    "freeze": "What serves is frozen, so it waits for a person.",
}


def _propose(connection: Connection, version: store.Version, sentence: str) -> None:
    for older in store.in_state(connection, store.PROPOSED):
        store.set_state(connection, older, store.SUPERSEDED, among=(store.PROPOSED,))
    store.set_state(connection, version.version, store.PROPOSED)
    told = f"Version {version.version} is proposed. {sentence}"
    ledger.record(connection, "propose", told, model_version=version.version, job_id=version.job_id)


def approve(version: int, *, by: str, reason: str, terms: rollout.Terms) -> int:
    """Deploy a version that was proposed.

    Returns
    -------
    int
        The new generation.

    Raises
    ------
    errors.NotFound, errors.VersionPruned, errors.DeployFailed
        See `rollout.ask` and `rollout.carry_out`.
    errors.DeployConflict
        It is not proposed, or another deploy won.
    """
    with db.transaction() as connection:
        _check_proposed(connection, version)
        wish = rollout.ask(connection, version, by=by, reason=f"Approved: {reason}", wait_s=terms.wait_s)
    return rollout.carry_out(wish, terms)


def reject(version: int, *, by: str, reason: str) -> None:
    """Put a version aside that was proposed.

    Raises
    ------
    errors.NotFound
        There is no such version.
    errors.DeployConflict
        It is not proposed.
    """
    with db.transaction() as connection:
        _check_proposed(connection, version)
        wish = preparations.wanted(connection)
        if wish is not None and wish.model_version == version:
            raise errors.DeployConflict(f"Version {version} is being deployed at this moment; roll it back instead.")
        store.set_state(connection, version, store.REJECTED)
        ledger.record(connection, "reject", f"Version {version} was rejected by {by}: {reason}", model_version=version)


def _check_proposed(connection: Connection, version: int) -> None:
    row = store.get(connection, version, for_update=True)
    if row is None:
        raise errors.NotFound(f"There is no version {version}. GET /models lists all.")
    if row.state != store.PROPOSED:
        waiting = store.in_state(connection, store.PROPOSED)
        raise errors.DeployConflict(
            f"Version {version} is not proposed{f'; version {waiting[0]} is' if waiting else ''}. "
            f"POST /models/{version}/activate deploys any version.",
            proposed=waiting[0] if waiting else None,
        )


def freeze(*, by: str, reason: str) -> None:
    """Let nothing change what serves but a person.

    Raises
    ------
    errors.DeployConflict
        It is frozen already.
    """
    with db.transaction() as connection:
        if not marks.freeze(connection, by=by, reason=reason):
            raise errors.DeployConflict("What serves is frozen already; GET /models says since when and why.")
        told = f"What serves was frozen by {by}: {reason} Retrainings propose what they find, and deploy nothing."
        ledger.record(connection, "freeze", told)


def unfreeze(*, by: str, reason: str) -> None:
    """Let retrainings deploy again as the setting says.

    Raises
    ------
    errors.DeployConflict
        It is not frozen.
    """
    with db.transaction() as connection:
        if not marks.unfreeze(connection):
            raise errors.DeployConflict("What serves is not frozen.")
        ledger.record(connection, "unfreeze", f"What serves is not frozen any more, by {by}: {reason}")
