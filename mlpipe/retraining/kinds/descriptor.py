"""What a model kind is [pure]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Task = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """How a model is made; defaults and reasons stand in the settings.

    Attributes
    ----------
    n_estimators, max_depth : int
        Of the forest.
    random_state : int
        Seed of every kind.
    kind : str
        Name of the kind, or ``module:function``.
    class_weight : {"none", "balanced"}
        Whether rare classes count more.
    categories : tuple of int
        Positions of category columns.
    half_life : int
        Rows after which a row counts half; 0 means that all count alike.
    options : dict
        What a search has chosen, by the estimator's own names.
    """

    n_estimators: int = 100
    max_depth: int = 10
    random_state: int = 42
    kind: str = "forest"
    class_weight: str = "none"
    categories: tuple[int, ...] = ()
    half_life: int = 0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a kind is told when it makes an estimator.

    Attributes
    ----------
    task : {"classification", "regression"}
    parameters : Parameters
    n_codes : tuple of int
        Codes of each column of ``parameters.categories``: one more than the largest that occurs.
    n_columns : int
        Width of the rows.
    n_jobs : int or None
        Threads.
    """

    task: Task
    parameters: Parameters
    n_codes: tuple[int, ...]
    n_columns: int
    n_jobs: int | None = None

    @property
    def class_weight(self) -> str | None:
        """The weight as scikit-learn wants it."""
        return "balanced" if self.parameters.class_weight == "balanced" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One model kind.

    Attributes
    ----------
    name : str
        What ``MLPIPE_MODEL_KIND`` calls it.
    title : str
        For people.
    make : callable
        Recipe -> an unfitted scikit-learn estimator or pipeline that takes float64 rows with NaN and codes.
    candidates : tuple of dict
        Options that a search tries, most promising first; the empty one is the default.
    """

    name: str
    title: str
    make: Callable[[Recipe], Any]
    candidates: tuple[dict[str, Any], ...] = ({},)
