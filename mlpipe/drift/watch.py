"""The watch over silence and age: reads when things last happened, opens and closes incidents."""

from __future__ import annotations

from mlpipe import clock, db
from mlpipe.drift import silence
from mlpipe.features import store as features
from mlpipe.incidents import store as incidents
from mlpipe.jobs import store as jobs
from mlpipe.prediction import store as predictions
from mlpipe.registry import store as versions
from mlpipe.settings import Settings

CHECK = "drift_check"

UPDATE_S = 600
"""Pause between two updates of an incident that goes on: its sentence says for how long, and each one is a write."""


def look(settings: Settings, *, watching_since: int) -> None:
    """Open, update and close the incidents of silence and age.

    Parameters
    ----------
    settings : Settings
    watching_since : int
        When this process was started, microseconds since 1970.

    Notes
    -----
    Costs a few reads of one row each; it writes only when something has changed, or `UPDATE_S` after it did.
    """
    with db.reading() as connection:
        findings = silence.judge(_facts(connection, watching_since), settings)
        updated = {row.kind: row.updated_at for row in incidents.open_ones(connection)}
    old = clock.now_us() - UPDATE_S * clock.MICROSECONDS
    for finding in findings:
        if finding.late and updated.get(finding.kind, 0) <= old:
            evidence = {"since": clock.iso(finding.since), "limit_s": finding.limit_s}
            with db.transaction() as connection:
                incidents.open_or_update(connection, finding.kind, finding.sentence, evidence)
        elif finding.late is False and finding.kind in updated:
            with db.transaction() as connection:
                incidents.resolve(connection, finding.kind, finding.sentence)


def _facts(connection: db.Connection, watching_since: int) -> silence.Facts:
    active = versions.active(connection)
    version = None if active is None else versions.get(connection, active.version)
    arrivals = (features.last_label_at(connection), predictions.last_label_at(connection))
    labelled = max((at for at in arrivals if at is not None), default=0)
    return silence.Facts(
        now=clock.now_us(),
        watching_since=watching_since,
        checked=jobs.last_done_at(connection, CHECK),
        predicted=predictions.last_at(connection),
        unlabelled=predictions.first_at(connection, after_us=labelled),
        version=None if version is None else version.version,
        serving_since=None if active is None else active.since,
        trained=None if version is None else version.created_at,
    )
