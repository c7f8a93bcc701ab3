"""Register, activate, roll back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlpipe import clock, db, errors
from mlpipe.jobs import ledger
from mlpipe.registry import artifacts, marks, proposals, pruning, rollout, serving, store
from mlpipe.schema import sides

deploy = rollout.deploy
"""The flip alone, inside the caller's transaction."""

DERIVED = ("champion", "previous", "challenger")
"""Aliases that follow from what serves and what is proposed."""


def folder(models: Path, version: int) -> Path:
    """Return the folder of a version."""
    return models / str(version)


def activate(version: int, *, by: str, reason: str, terms: rollout.Terms | None = None) -> int:
    """Let an earlier version serve.

    Parameters
    ----------
    version : int
    by, reason : str
        For the history.
    terms : Terms, optional
        How the workers are waited for; without them the generation flips at once.

    Returns
    -------
    int
        The new generation.

    Raises
    ------
    errors.NotFound, errors.VersionPruned
        There is no such version, or its files are not there any more.
    errors.DeployConflict
        It serves already, or another deploy won.
    errors.DeployFailed
        A worker cannot serve it; what served goes on serving.
    """
    if terms is None:
        with db.transaction() as connection:
            return deploy(connection, version, by=by, reason=reason)
    with db.transaction() as connection:
        wish = rollout.ask(connection, version, by=by, reason=reason, wait_s=terms.wait_s)
    return rollout.carry_out(wish, terms)


def rollback(*, by: str, reason: str, terms: rollout.Terms | None = None) -> tuple[int, int]:
    """Let the version serve that served before the present one; see `activate` for `terms`.

    Returns
    -------
    version, generation : int

    Raises
    ------
    errors.DeployConflict
        No other version ever served.
    errors.DeployFailed
        A worker cannot serve it; what served goes on serving.
    """
    with db.transaction() as connection:
        now = store.active(connection)
        target = previous(connection)
        if now is None or target is None:
            raise errors.DeployConflict("No earlier version has served, so there is nothing to roll back to.")
        reason = f"Rolled back from version {now.version}: {reason}"
        if terms is None:
            return target, deploy(connection, target, by=by, reason=reason, kind="rollback")
        wish = rollout.ask(connection, target, by=by, reason=reason, kind="rollback", wait_s=terms.wait_s)
    return target, rollout.carry_out(wish, terms)


def previous(connection: db.Connection) -> int | None:
    """Return the version that a rollback would go back to, or None."""
    return serving.previous(store.history(connection, limit=pruning.HISTORY))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where all versions stand: what the stretches of serving and the marks say."""

    active: int | None
    previous: int | None
    challenger: int | None
    served: frozenset[int]
    left: frozenset[int]
    own: dict[str, int]
    mode: str
    frozen: dict[str, str | None] | None

    def state(self, version: store.Version) -> str:
        """Return a version's state: what is stored, unless it serves or has served."""
        number = version.version
        if number == self.active:
            return "active"
        if version.state != store.REGISTERED:
            return version.state
        if number in self.left:
            return "rolled_back"
        return "retired" if number in self.served else version.state

    @property
    def aliases(self) -> dict[str, int]:
        """Which version each name stands for."""
        derived = {"champion": self.active, "previous": self.previous, "challenger": self.challenger}
        return {name: version for name, version in derived.items() if version is not None} | self.own


def standing(connection: db.Connection, configured: str) -> Standing:
    """Read where all versions stand; `configured` is the setting `deploy`."""
    history = store.history(connection, limit=pruning.HISTORY)
    proposed = store.in_state(connection, store.PROPOSED)
    frozen = marks.frozen(connection)
    return Standing(
        active=next((row.model_version for row in history if row.open), None),
        previous=serving.previous(history),
        challenger=proposed[0] if proposed else None,
        served=frozenset(row.model_version for row in history),
        left=serving.left(history),
        own={row.name: row.model_version for row in marks.aliases(connection)},
        mode=proposals.mode(connection, configured),
        frozen=None if frozen is None else _told(frozen),
    )


def _told(frozen: Any) -> dict[str, str | None]:
    return {"since": clock.iso(frozen.since), "by": frozen.by, "reason": frozen.reason}


def resolve(connection: db.Connection, name: str, configured: str) -> int:
    """Return the version that an alias stands for.

    Raises
    ------
    errors.NotFound
        It stands for none.
    """
    known = standing(connection, configured).aliases
    if name not in known:
        told = ", ".join(f"{alias} ({version})" for alias, version in sorted(known.items())) or "none"
        raise errors.NotFound(f"The alias {errors.quoted(name)} stands for no version. Known are {told}.")
    return known[name]


def set_alias(name: str, version: int, *, by: str) -> None:
    """Let a name stand for a version.

    Raises
    ------
    errors.NotFound
        There is no such version.
    errors.VersionPruned
        Its files were removed.
    errors.DeployConflict, errors.InvalidQuery
        The name is mlpipe's own, or is none.
    """
    _check_name(name)
    with db.transaction() as connection:
        row = _known(connection, version)
        if row.state == store.PRUNED:
            raise rollout.pruned(version)
        marks.set_alias(connection, name, version, by=by)
        ledger.record(connection, "alias", f"Alias {name} stands for version {version} now.", model_version=version)


def drop_alias(name: str, *, by: str) -> None:
    """Take a name away.

    Raises
    ------
    errors.NotFound
        It stands for nothing.
    errors.DeployConflict, errors.InvalidQuery
        The name is mlpipe's own, or is none.
    """
    _check_name(name)
    with db.transaction() as connection:
        if not marks.drop_alias(connection, name):
            raise errors.NotFound(f"The alias {errors.quoted(name)} stands for no version. GET /models lists all.")
        ledger.record(connection, "alias", f"Alias {name} was taken away by {by}.")


def _check_name(name: str) -> None:
    if name in DERIVED:
        raise errors.DeployConflict(
            f"The alias {name} follows from what serves; activate, roll back or propose instead, or choose another."
        )
    if not sides.ALIAS.fullmatch(name):
        raise errors.InvalidQuery(
            f"The alias {errors.quoted(name)} is none: a letter, then up to 63 letters, digits, '-', '_' or '.'."
        )


def add_note(version: int, *, by: str, note: str) -> int:
    """Keep what somebody wrote about a version; return the note's id.

    Raises
    ------
    errors.NotFound
        There is no such version.
    """
    with db.transaction() as connection:
        _known(connection, version)
        ledger.record(connection, "note", f"{by} wrote about version {version}: {note}", model_version=version)
        return marks.add_note(connection, version, by=by, note=note)


def _known(connection: db.Connection, version: int) -> store.Version:
    row = store.get(connection, version, for_update=True)
    if row is None:
        raise errors.NotFound(f"There is no version {version}. GET /models lists all.")
    return row


def tidy(models: Path) -> list[str]:
    """Put folders without a row aside; the caller must know that nobody registers now."""
    with db.reading() as connection:
        return artifacts.tidy(models, store.numbers(connection))
