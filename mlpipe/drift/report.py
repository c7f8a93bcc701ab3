"""What a check says: a result for each column, and the whole [pure]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

THRESHOLD = 0.05
"""Drift score above which a check alarms: a mean shift of 0.22 sd."""

ALPHA = 0.001
"""False alarms per check: one in 1,000, a false retraining every 3.5 days at 288 checks a day."""

WINDOW_SIZE = 1000
"""Rows of the largest window."""

MIN_SAMPLES = 100
"""Rows below which no window is tested."""

DECIDING = ("ks", "chi_square", "relations")
"""Detectors whose evidence counts: the three that were calibrated together."""

Verdict = Literal["stable", "drift", "harmless"]


@dataclass(frozen=True)
class Cells:
    """Rows per cell on both sides, in one order."""

    labels: tuple[str, ...]
    window: tuple[int, ...]
    reference: tuple[int, ...]


@dataclass(frozen=True)
class FeatureResult:
    """One feature, or the prediction, in the window that decides.

    That is the window with the largest corrected PSI among those that chance does not explain; if there is
    none, among all.

    Parameters
    ----------
    name : str
        The column's.
    kind : str
        Kind of the column.
    psi, psi_corrected, noise_floor : float
        PSI; PSI minus its mean when nothing moved, at least 0; that mean.
    psi_ungated : float
        The largest corrected PSI of any window, whether or not chance explains it.
    ks, ks_p : float or None
        KS distance and its chance; None for categories and booleans.
    chi2_p : float or None
        Chance of the cells' shares.
    p_adjusted : float
        Holm's, over all columns and windows of the check.
    significant : bool
        p_adjusted < alpha.
    window : int
        Rows of the window.
    effective_rows, tau : float
        window / tau; rows that say as much as one independent row.
    missing_share, reference_missing_share : float
        In [0, 1].
    missing_p : float
        Chance of that change.
    new_categories : float or None
        Share of present values that the reference does not hold; None for numbers.
    shift_sd : float or None
        Difference of means in reference sd; None for categories and constant references.
    visible_shift_sd : float
        sqrt(threshold + noise floor): smaller shifts cannot alarm in this window.
    importance : float or None
        Share of the model's total importance; None where it is not known: the column was constant when the model
        learned.
    summary : dict of str to float or None
        Mean, sd, range, quantiles, out-of-range share, and the figures of further detectors.
    cells : Cells
        For the picture.
    """

    name: str
    kind: str
    psi: float
    psi_corrected: float
    noise_floor: float
    psi_ungated: float
    ks: float | None
    ks_p: float | None
    chi2_p: float | None
    p_adjusted: float
    significant: bool
    window: int
    effective_rows: float
    tau: float
    missing_share: float
    reference_missing_share: float
    missing_p: float
    new_categories: float | None
    shift_sd: float | None
    visible_shift_sd: float
    importance: float | None
    summary: dict[str, float | None]
    cells: Cells


@dataclass(frozen=True, slots=True)
class Standing:
    """What the trials alone say of a column: `FeatureResult` without the description.

    Parameters
    ----------
    name : str
    psi_corrected, psi_ungated, p_adjusted, effective_rows : float
    significant : bool
    window : int
        As in `FeatureResult`.
    """

    name: str
    psi_corrected: float
    psi_ungated: float
    p_adjusted: float
    significant: bool
    window: int
    effective_rows: float


Tried = FeatureResult | Standing
"""A column's result, described or not."""


@dataclass(frozen=True)
class Relation:
    """A pair of features, and whether it still moves together as it did.

    Parameters
    ----------
    a, b : str
        Names of the columns.
    r_reference, r : float
        Correlation of their normal scores, before and now.
    p_adjusted : float
        Chance of such a change, Bonferroni over the pairs of the check.
    significant : bool
        p_adjusted < alpha and a change of more than 0.2.
    """

    a: str
    b: str
    r_reference: float
    r: float
    p_adjusted: float
    significant: bool


@dataclass(frozen=True)
class Since:
    """From when the worst moved column has moved.

    Parameters
    ----------
    at : int
        Microseconds since 1970, of the first row that has moved.
    earlier : bool
        Whether that is the first row at hand: it may have begun before.
    """

    at: int
    earlier: bool


@dataclass(frozen=True)
class Report:
    """One check.

    Parameters
    ----------
    verdict : {"stable", "drift", "harmless"}
        ``harmless``: only features that the model hardly uses moved, and its predictions did not.
    score : float
        Largest corrected PSI that chance does not explain, else 0.
    score_ungated : float
        Largest corrected PSI of all: shows a slow drift before it alarms.
    threshold, alpha : float
        What the verdict was reached with.
    n_rows : int
        Rows looked at.
    features : tuple of FeatureResult
        Worst first.
    prediction : FeatureResult or None
        The model's own output.
    relations : tuple of Relation
        The pairs that changed most surely, at most ten.
    since : Since or None
        From when the worst moved column has moved; None when nothing has, or the rows have no times.
    sentence : str
        At most 240 characters.
    notes : tuple of str
        What a reader must know beside it.
    """

    verdict: Verdict
    score: float
    score_ungated: float
    threshold: float
    alpha: float
    n_rows: int
    features: tuple[FeatureResult, ...]
    prediction: FeatureResult | None
    relations: tuple[Relation, ...]
    since: Since | None
    sentence: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Brief:
    """A check's conclusion alone.

    Parameters
    ----------
    verdict : {"stable", "drift", "harmless"}
    score : float
        The drift score: the largest corrected PSI that chance does not explain.
    sentence : str
        At most 240 characters.
    """

    verdict: Verdict
    score: float
    sentence: str


@dataclass(frozen=True)
class Rule:
    """What a verdict is reached with.

    Parameters
    ----------
    threshold : float
        Drift score above which a check alarms.
    alpha : float
        False alarms per check.
    window_size : int
        Rows of the largest window; halves, quarters and eighths are tested beside it.
    min_samples : int
        Rows below which no window is tested.
    deciding : tuple of str
        Names of the detectors whose evidence counts; the others are only shown.
    """

    threshold: float = THRESHOLD
    alpha: float = ALPHA
    window_size: int = WINDOW_SIZE
    min_samples: int = MIN_SAMPLES
    deciding: tuple[str, ...] = DECIDING


RULE = Rule()
"""The defaults."""
