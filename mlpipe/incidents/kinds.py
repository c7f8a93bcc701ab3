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

KINDS = {
    "drift": Kind("Drift", degrades=False),  # mlpipe acts on it by itself; if that fails, `retraining` says so
    QUALITY: Kind("The answers have become worse"),
    "model_load": Kind("A version cannot be loaded"),
    "checks_silent": Kind("Drift is not watched"),
    "predictions_silent": Kind("Predictions have stopped"),
    "labels_silent": Kind("Labels are late"),
    "model_old": Kind("The model is old"),
    "labels_held": Kind("New labels contradict what was learned and are held back"),
    "learning": Kind("The version that serves cannot go on learning"),
}


def of(name: str) -> Kind:
    """Return what is known of a kind; a new one is named by its own words.

    Examples
    --------
    >>> of("labels_silent").title, of("quality_drop")
    ('Labels are late', Kind(title='Quality drop', degrades=True))
    """
    return KINDS.get(name) or Kind(name.replace("_", " ").capitalize())
