"""What a trusted estimate says of the newest predictions while their labels are late."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Any

from mlpipe import clock, db
from mlpipe.drift import drop, estimate, estimated, quality, store
from mlpipe.incidents import store as incidents
from mlpipe.jobs import asking, ledger
from mlpipe.prediction import labelled as log
from mlpipe.prediction import store as predictions
from mlpipe.settings import Settings

logger = logging.getLogger("mlpipe.drift.unlabelled")

DROP = "estimated_drop"
"""The verdict on quality of a check that no label has spoken in, but the estimate."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What an estimate says of a version's newest predictions, before it is stored."""

    version: int
    last_prediction: int
    found: estimated.Estimated
    sentence: str


def look(watch: quality.Watch, version: int, window: predictions.Window, settings: Settings) -> Finding | None:
    """Test the estimate of a check's rows and store nothing; None where labels speak, or it is not to be trusted.

    It is about the rows that were predicted after the newest prediction whose label is known.
    """
    with db.reading() as connection:
        known = watch.known(connection, version)
        last = store.latest_quality(connection, version)
        newest = log.labelled(connection, version, newest=True, limit=1)
    if last is None or not newest or known.estimator is None or known.expected is None:
        return None
    late = window.predicted_at > newest[0].predicted_at  # the others have labels around them, which know better
    block = window.X if known.estimator.reads == "features" or window.probabilities is None else window.probabilities
    if late.sum() < drop.WINDOWS[0]:
        return None
    expected = known.estimator.expect(window.outputs[late], block[late])
    rule = quality.of_settings(settings, known.task)
    found = estimated.judge(
        expected if known.task == "regression" else 1 - expected,
        reference=known.expected,
        baseline=drop.Baseline(**last.baseline),
        trust=_trust(last.estimate, known.task),
        rule=rule,
    )
    if found is None:
        return None
    since = f"{clock.from_us(int(window.predicted_at[-found.n_rows])):%Y-%m-%d %H:%M} UTC"
    return Finding(version, window.last, found, estimated.sentence(found, rule, since=since))


def _trust(said: dict[str, Any], task: drop.Task) -> estimate.Trust:
    """Read the trust off a stored test, which shows accuracies."""
    names = ("rows", "expected", "actual", "z", "trustworthy")
    read = {name: said[name] for name in names}
    if task == "classification":
        read |= {name: None if read[name] is None else 1 - read[name] for name in ("expected", "actual")}
    return estimate.Trust(**read)


def keep(connection: db.Connection, seen: Finding | None, report: int, said: dict[str, Any]) -> dict[str, Any]:
    """Act on an estimate in the transaction of its check, unless labels speak; return what is told of quality.

    A drop opens the incident and asks for a retraining, which waits for labels; it is never worth more than a drop
    that labels have shown. An estimate without one closes no incident but an estimate's.
    """
    if seen is None:
        return said
    said = said | {"estimated": asdict(seen.found)}
    by_estimate = quality.estimated_upto(connection) > 0
    if incidents.open_id(connection, quality.INCIDENT) is not None and not by_estimate:
        return said
    if not seen.found.fell:
        if by_estimate:
            incidents.resolve(connection, quality.INCIDENT, "By the estimate the answers are as good as before again.")
        return said
    _act(connection, seen, report)
    return said | {"verdict": DROP, "sentence": seen.sentence}


def _act(connection: db.Connection, seen: Finding, report: int) -> None:
    """Open or update the incident, tell the ledger, and ask for a retraining."""
    evidence = {"report": report, "model_version": seen.version, "basis": "estimate"}
    marks = {"last_prediction": seen.last_prediction, "estimated": asdict(seen.found)}
    incidents.open_or_update(connection, quality.INCIDENT, seen.sentence, evidence | marks)
    incident = incidents.open_id(connection, quality.INCIDENT)
    ledger.record(
        connection,
        "quality_drop",
        seen.sentence,
        report_id=report,
        model_version=seen.version,
        incident_id=incident,
        evidence=evidence | marks,
    )
    asking.ask(
        connection,
        f"Quality: {seen.sentence}",
        trigger="quality",
        because=f"the answers should have become worse: {seen.sentence}",
        evidence=evidence | marks | {"incident": incident},
    )
    logger.info("quality %s: %s", DROP, seen.sentence)
