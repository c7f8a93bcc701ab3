"""Compare challenger and champion on the same rows [pure]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Z_95 = 1.96
"""Normal quantile of a two-sided interval of 95 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate says.

    Attributes
    ----------
    decision : {"promote", "reject"}
    gain : float
        Mean loss of the champion minus that of the challenger, over the same rows; positive is better.
    low, high : float
        95 % interval of the gain.
    n_rows : int
        Rows compared.
    sentence : str
        The verdict for a person.
    """

    decision: Literal["promote", "reject"]
    gain: float
    low: float
    high: float
    n_rows: int
    sentence: str


def judge(champion: Floats, challenger: Floats, *, loss: str) -> Verdict:
    """Compare two models by their losses on the same rows.

    Parameters
    ----------
    champion, challenger : float64 (n,)
        Loss of each row, the same rows in the same order; neither model has trained on them.
    loss : str
        Name of the loss, for the sentence.

    Returns
    -------
    Verdict
        "promote" when the challenger's mean loss is lower.

    Notes
    -----
    Losses of the same row go up and down together, so the interval is that of the paired difference. Metrics of
    different holdouts must never be compared: that promotes an equal model 45 times in 100.

    Examples
    --------
    >>> judge(np.array([0.5, 0.4, 0.6]), np.array([0.3, 0.2, 0.5]), loss="Brier score").decision
    'promote'
    """
    difference = champion - challenger
    n = len(difference)
    gain = float(difference.mean())
    reach = Z_95 * float(difference.std(ddof=1)) / np.sqrt(n) if n > 1 else float("inf")
    better = gain > 0
    words = "better" if better else "not better"
    sentence = (
        f"On the same {n:,} newest rows the challenger is {words}: {loss} {challenger.mean():.4g} against "
        f"{champion.mean():.4g} (gain {gain:+.4f}, 95 % from {gain - reach:+.4f} to {gain + reach:+.4f})."
    )
    return Verdict(
        decision="promote" if better else "reject",
        gain=gain,
        low=gain - reach,
        high=gain + reach,
        n_rows=n,
        sentence=sentence,
    )
