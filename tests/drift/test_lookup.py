from __future__ import annotations

import numpy as np
import pytest

from mlpipe.drift.detectors import lookup


@pytest.mark.parametrize("sizes", [(1, 0, 7), (0,), (1000, 999, 512, 513)])
def test_ranks_are_those_of_searchsorted(sizes, rng):
    columns = [np.sort(rng.integers(50, size=size) / 4) for size in sizes]
    values = rng.integers(-8, 220, size=(len(sizes), 300)) / 16
    below, upto = lookup.side_by_side(columns).ranks(values)
    assert np.array_equal(below, [np.searchsorted(a, v) for a, v in zip(columns, values, strict=True)])
    assert np.array_equal(upto, [np.searchsorted(a, v, "right") for a, v in zip(columns, values, strict=True)])


def test_values_that_a_column_holds_are_told_from_others():
    found = lookup.side_by_side([np.array([0.0, 1.0, 3.0]), np.array([2.0])])
    below, held = found.first(np.array([[1.0, 2.0, 4.0], [2.0, np.nan, 1.0]]))
    assert below[0].tolist() == [1, 2, 3]
    assert held.tolist() == [[True, False, False], [True, False, False]]
