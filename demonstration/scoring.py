"""How good mlpipe was, month by month, beside a model that knows only January and is frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from demonstration.features import Floats, Ints
from demonstration.flights import MONTHS, Flights
from demonstration.server import Server
from demonstration.stream import Answers
from mlpipe.retraining import evaluate, fit
from mlpipe.schema import matrix
from mlpipe.schema.contract import Column, Schema

CLASSES = np.array([0.0, 1.0])
"""On time, late."""


def frozen(server: Server, january: Flights, rest: Flights) -> Floats:
    """Fit the forest of version 1 again, here, on the same rows, and return its probabilities for the later flights.

    Notes
    -----
    Asking the server for ``"version": 1`` would put every flight into its log a second time. The parameters and the
    dictionaries of categories are those that the server shows, so that the copy answers as version 1 does.
    """
    shown = server.ask("/models/1")["parameters"]
    parameters = fit.Parameters(**{name: shown[name] for name in ("n_estimators", "max_depth", "random_state")})
    columns = msgspec.convert(server.ask("/features/schema")["columns"], tuple[Column, ...])
    schema = Schema(version=1, columns=columns)
    X, X_rest = (matrix.encode(matrix.Table(rows=part.rows), schema) for part in (january, rest))
    forest = fit.fit(X, january.late.astype(np.float64), task="classification", parameters=parameters)
    p_late: Floats = fit.score(forest, X_rest, CLASSES)[:, 1]
    return p_late


def difference(answers: Answers, p_frozen: Floats) -> float:
    """Return the largest difference from version 1, on flights that it answered before it learned any label."""
    first = (np.array(answers.version) == 1) & (np.array(answers.revision) == 0)
    apart = np.abs(np.array(answers.p_late) - p_frozen)[first]
    return float(apart.max(initial=0.0))


@dataclass(frozen=True, slots=True)
class Score:
    """How good probabilities are: accuracy at one half, area under the ROC curve, log loss."""

    accuracy: float
    auc: float
    log_loss: float


def score(late: Ints, p_late: Floats) -> Score:
    """Score probabilities; AUC is NaN where all flights were alike.

    Examples
    --------
    >>> score(np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.4, 0.2])).accuracy
    0.75
    """
    found = evaluate.metrics(late.astype(np.float64), np.column_stack([1 - p_late, p_late]), CLASSES)
    accuracy, auc, log_loss = (found.get(name) for name in ("accuracy", "auc", "log_loss"))
    return Score(*(np.nan if one is None else one for one in (accuracy, auc, log_loss)))


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a stretch of the year, the frozen model and mlpipe, and what was deployed in it."""

    name: str
    flights: int
    scores: tuple[Score, Score]
    deployed: tuple[str, ...] = ()


def rows_of(year: Flights, p_frozen: Floats, p_served: Floats, deployed: Mapping[int, Sequence[str]]) -> list[Row]:
    """Return a row for each month, and one for all.

    Parameters
    ----------
    year : Flights
        February to December.
    p_frozen, p_served : float64 (n,)
        Probabilities of the January model and of mlpipe.
    deployed : dict
        What was deployed, by month.
    """

    def row(name: str, mask: NDArray[np.bool_], what: Sequence[str] = ()) -> Row:
        late = year.late[mask]
        return Row(name, len(late), (score(late, p_frozen[mask]), score(late, p_served[mask])), tuple(what))

    months = np.unique(year.month).tolist()
    rows = [row(MONTHS[one - 1], year.month == one, deployed.get(one, ())) for one in months]
    return [*rows, row("Feb-Dec", np.ones(len(year), dtype=bool))]
