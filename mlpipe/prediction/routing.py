"""Canary and shadow: start, stop, and who is answered by what.

Each process keeps the canary loaded, like the champion, and looks for changes as often. A canary that cannot be
loaded or cannot answer is taken off its route, and the champion answers.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from mlpipe import clock, db, errors
from mlpipe.incidents import store as incidents
from mlpipe.jobs import ledger
from mlpipe.prediction import routed, shadow, sticky
from mlpipe.prediction.champion import Champion, Floats, Model
from mlpipe.registry import store as versions

logger = logging.getLogger("mlpipe.prediction.routing")

ANSWERS_FAIL = "answers_fail"
"""Incident: the version that serves fails with some requests, and the one before it answers them."""

FALLBACK = "fallback"
"""Route of answers that the version before the champion gave, because the champion could not."""

HISTORY = 20
"""Newest stretches of serving among which the version before is looked for."""


@dataclass(frozen=True, slots=True)
class Canary:
    """A version that answers a share of the callers in this process."""

    model: Model
    share: float

    def answers(self, key: str) -> bool:
        """Say whether this caller is one of its share."""
        return sticky.chosen(key, self.model.version, self.share)


class Router:
    """Who answers in this process when it is not the champion.

    Parameters
    ----------
    champion : Champion
        Loads versions.
    """

    def __init__(self, champion: Champion) -> None:
        self._champion = champion
        self.canary: Canary | None = None

    def refresh(self) -> None:
        """Look whether there is a canary, and load it; one small read while nothing has changed."""
        with db.reading() as connection:
            found = routed.open_routes(connection, routed.CANARY)
        if not found:
            self.canary = None
            return
        route = found[0]
        try:
            model = self._champion.version(route.model_version)
        except errors.StoreUnavailable:
            raise  # the database's fault, not the file's: the next look tries again
        except Exception as fault:  # noqa: BLE001  whatever is wrong with a canary, the champion goes on answering
            self.give_up(route.model_version, f"to load: {fault}")
            return
        if self._champion.model is not None:
            self.canary = Canary(replace(model, generation=0), route.share)

    def give_up(self, version: int, why: str) -> None:
        """Let the champion answer everybody again, in all processes."""
        self.canary = None
        shadow.give_up(version, why)

    def rescue(self, model: Model, X: Floats, fault: Exception) -> tuple[Model, str, tuple[Floats, Floats | None]]:
        """Answer with another version after one has failed: the champion for a canary, the one before for a champion.

        Raises
        ------
        Exception
            What the failing version raised, when no other can answer.
        """
        champion = self._champion.model
        if champion is not None and champion.version != model.version:
            self.give_up(model.version, f"with a request: {fault!r}")
            return champion, "champion", champion.answer(X)
        before = self._before(model.version)
        if before is None:
            raise fault
        answer = before.answer(X)
        sentence = f"Version {model.version} fails with requests, version {before.version} answers them: {fault!r}"
        logger.error("%s", sentence)
        with db.transaction() as connection:
            known = [row.evidence for row in incidents.open_ones(connection) if row.kind == ANSWERS_FAIL]
            n = known[0]["failures"] if known and known[0]["version"] == model.version else 0
            incidents.open_or_update(connection, ANSWERS_FAIL, sentence, {"version": model.version, "failures": n + 1})
        return before, FALLBACK, answer

    def _before(self, version: int) -> Model | None:
        with db.reading() as connection:
            earlier = [row.model_version for row in versions.history(connection, limit=HISTORY)]
        number = next((number for number in earlier if number != version), None)
        return None if number is None else self._champion.version(number)


# Start, stop, look ----------------------------------------------------------------------------------------------


def put(version: int, route: str, share: float, *, by: str, reason: str) -> dict[str, Any]:
    """Serve a version to a share of callers, or score it in the shadow; what it was routed to before ends.

    Raises
    ------
    errors.NotFound
        There is no such version.
    errors.DeployConflict
        It is the champion, or another version is the canary.
    """
    with db.transaction() as connection:
        active = versions.active(connection)
        if versions.get(connection, version) is None:
            raise errors.NotFound(f"There is no version {version}. GET /models lists all.")
        if active is None or active.version == version:
            raise errors.DeployConflict(f"Version {version} serves everybody already; route another one beside it.")
        before = routed.stop(connection, version)
        if routed.start(connection, version, route, share, by=by, reason=reason) is None:
            raise errors.DeployConflict(
                "Another version is the canary; stop it first: DELETE /models/routes/<version>."
            )
        instead = f" instead of being the {before.route} of {before.share:.0%}" if before else ""
        what = f"answers {share:.0%} of the callers" if route == routed.CANARY else f"scores {share:.0%} in the shadow"
        sentence = f"Version {version} {what} beside version {active.version}{instead}. {reason}"
        told = {"route": route, "share": share, "champion": active.version, "by": by}
        ledger.record(connection, "route", sentence, model_version=version, evidence=told)
        incidents.resolve(connection, shadow.FAILED, f"Version {version} is routed now.")
        return next(shown(row) for row in routed.open_routes(connection) if row.model_version == version)


def remove(version: int, *, by: str, reason: str) -> dict[str, Any]:
    """Stop the route of a version.

    Raises
    ------
    errors.NotFound
        It has none.
    """
    with db.transaction() as connection:
        route = routed.stop(connection, version)
        if route is None:
            raise errors.NotFound(f"Version {version} has no open route. GET /models/routes lists all.")
        sentence = f"Version {version} is no {route.route} any more. {reason}"
        ledger.record(connection, "route", sentence, model_version=version, evidence={"route": route.route, "by": by})
    return shown(route)


def shown(route: routed.Route) -> dict[str, Any]:
    """Return a route as answers show it."""
    return {
        "id": route.id,
        "version": route.model_version,
        "route": route.route,
        "share": route.share,
        "since": clock.iso(route.since),
        "until": clock.iso(route.until),
        "by": route.by,
        "reason": route.reason,
        "skipped_requests": route.skipped,
        "open": bool(route.open),
    }
