"""What shapes a rolling forest; fixed for the life of a version [pure]."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

Task = Literal["classification", "regression"]

FROZEN: Final = math.inf
"""Half-life of the table that keeps its training counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Parameters of a rolling forest.

    Parameters
    ----------
    task : {"classification", "regression"}
        Kind of the target.
    n_groups : int
        Groups M of trees, renewed and weighted as one; 20 groups of 5 are the forest of 100 that is served otherwise.
    group_size : int
        Trees g of a group: fewer make a group's score noisy, more make a renewal dear.
    max_depth : int
        Levels of a tree at most; between 6 and unlimited it did not matter (within 0.3 points).
    random_state : int
        Seed of the first forest; a renewal draws from it and the number of labels learned.
    half_lives : tuple of float
        Rows after which a label counts half, a table of leaf values each; `FROZEN` never learns.
    block : int
        Rows b that are scored on the leaves as they stood before them. Only at positions of the label log that are
        multiples of it does anything but a leaf or a score change, so that the state depends on the log alone.
    renew_every : int
        Labels k from renewal to renewal; a multiple of `block`.
    windows : tuple of int
        Newest rows on which a new group is fitted, in turn.
    n_weigh : int
        Newest scored rows n1 that weigh the groups of a table.
    n_compare : int
        Newest scored rows n2 that weigh the tables, and choose the group that a renewal replaces.
    eta_groups, eta_tables : float
        How sharply a better score draws the weight: factor e for a difference of 1 / eta.

    Raises
    ------
    ValueError
        `renew_every` is no multiple of `block`, or something that must be positive is not.

    Examples
    --------
    >>> Parameters().n_estimators
    100
    """

    task: Task = "classification"
    n_groups: int = 20
    group_size: int = 5
    max_depth: int = 10
    random_state: int = 42
    half_lives: tuple[float, ...] = (100.0, 2000.0, FROZEN)
    block: int = 100
    renew_every: int = 200
    windows: tuple[int, ...] = (500, 4000)
    n_weigh: int = 200
    n_compare: int = 500
    eta_groups: float = math.sqrt(200)
    eta_tables: float = 300.0

    def __post_init__(self) -> None:
        """Refuse what would not work."""
        if self.renew_every % self.block:
            raise ValueError(f"renew_every ({self.renew_every}) must be a multiple of block ({self.block})")
        counts = (self.n_groups, self.group_size, self.max_depth, self.block, self.n_weigh, *self.windows)
        if min(*counts, *self.half_lives) <= 0 or self.n_compare < self.n_weigh:
            raise ValueError("sizes and half-lives must be positive, and n_compare at least n_weigh")

    @property
    def n_estimators(self) -> int:
        """Trees of the whole forest."""
        return self.n_groups * self.group_size

    @property
    def living(self) -> tuple[int, ...]:
        """Numbers of the tables that learn."""
        return tuple(h for h, half_life in enumerate(self.half_lives) if math.isfinite(half_life))
