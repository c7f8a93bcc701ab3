"""The kinds of incident: what each is called, and whether it counts as a weakness of the whole."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of a kind.

    Parameters
    ----------
    title : str
        As messages call it.
    degrades : bool
        Whether ``/health`` is degraded while it is open and nobody has acknowledged it.
    """

    title: str
    degrades: bool = True


QUALITY = "quality"
"""Kind of the incident that is about one version's answers, and over when another serves."""

DEPLOY_FAILED = "deploy_failed"
"""Kind of the incident of a deploy that was stopped, and over when one succeeds."""

USELESS = "retraining_useless"
"""Kind of the incident that retrainings go on without getting rid of what asks for them."""

LABELS_HELD = "labels_held"
"""Kind of the incident that new labels contradict what the version that serves has learned."""

LEARNING = "learning"
"""Kind of the incident that the version that serves cannot go on learning."""

OF_ONE_VERSION = (QUALITY, LABELS_HELD, LEARNING)
"""Kinds that are over when another version serves."""

KINDS = {
    "drift": Kind("Drift", degrades=False),  # mlpipe acts on it by itself; if that fails, `retraining` says so
    QUALITY: Kind("The answers have become worse"),
    USELESS: Kind("Retraining does not help"),
    "model_load": Kind("A version cannot be loaded"),
    DEPLOY_FAILED: Kind("A version was not deployed"),
    "answers_fail": Kind("The version that serves fails with requests"),
    "route_failed": Kind("A canary or shadow does not work", degrades=False),  # the champion answers everybody
    "rolled_back": Kind("A new version was rolled back", degrades=False),  # the version before serves
    "rollback_held": Kind("A new version is worse, but what serves is frozen"),
    "checks_silent": Kind("Drift is not watched"),
    "predictions_silent": Kind("Predictions have stopped"),
    "labels_silent": Kind("Labels are late"),
    "model_old": Kind("The model is old"),
    LABELS_HELD: Kind("New labels contradict what was learned and are held back"),
    LEARNING: Kind("The version that serves cannot go on learning"),
}


def of(name: str) -> Kind:
    """Return what is known of a kind; a new one is named by its own words.

    Examples
    --------
    >>> of("labels_silent").title, of("quality_drop")
    ('Labels are late', Kind(title='Quality drop', degrades=True))
    """
    return KINDS.get(name) or Kind(name.replace("_", " ").capitalize())
