"""Scores, checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from demonstration import scoring


def test_score_is_checked_by_hand() -> None:
    found = scoring.score(np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.4, 0.2]))
    assert found.accuracy == 0.75
    assert found.auc == 1.0
    assert found.log_loss == pytest.approx(-np.log([0.9, 0.9, 0.4, 0.8]).mean())


def test_score_of_flights_that_were_all_on_time_has_no_auc() -> None:
    assert np.isnan(scoring.score(np.array([0, 0]), np.array([0.1, 0.0])).auc)
