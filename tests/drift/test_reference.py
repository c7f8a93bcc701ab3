from __future__ import annotations

import io

import numpy as np
import pytest
from msgspec.structs import replace

from mlpipe.drift import reference as references
from mlpipe.drift import stored, verdict
from mlpipe.schema import contract

MADE = stored.Made(n_bins=10, n_window=1000)
COLUMNS = [
    contract.Column(name="temp", kind="numeric"),
    contract.Column(name="carrier", kind="category", categories=("AA", "UA", "DL")),
    contract.Column(name="empty", kind="numeric"),
]


@pytest.fixture
def rows(rng):
    temp = np.where(rng.uniform(size=1500) < 0.1, np.nan, rng.normal(size=1500))
    return np.column_stack([temp, rng.integers(-1, 3, size=1500).astype(float), np.full(1500, np.nan)])


@pytest.fixture
def kept(rows, rng):
    return references.prepare(rows, COLUMNS, predictions=rng.uniform(size=1500), prediction_kind="numeric")


def test_survives_a_file_without_pickle(kept, rows):
    file = io.BytesIO()
    np.savez(file, **stored.pack(kept, MADE))
    file.seek(0)
    again = stored.unpack(np.load(file, allow_pickle=False), COLUMNS, MADE)
    assert again is not None
    outputs = np.linspace(0, 1, 400)
    assert verdict.judge(again, rows[:400], outputs) == verdict.judge(kept, rows[:400], outputs)
    assert again.columns[1].cut.labels == ("AA", "UA", "DL", "other or new", "missing")


def test_counts_every_row_once(kept):
    assert [int(column.counts.sum()) for column in kept.columns] == [1500] * 4
    assert kept.n_features == 3


def test_unseen_codes_are_not_a_category(kept, rows):
    counts = dict(zip(kept.columns[1].cut.labels, kept.columns[1].counts.tolist(), strict=True))
    assert counts["other or new"] == np.count_nonzero(rows[:, 1] == -1)


def test_infinite_is_missing(rows):
    rows[:, 0] = np.inf
    kept = references.prepare(rows, COLUMNS, predictions=None, prediction_kind="numeric")
    assert kept.columns[0].counts[-1] == 1500


def test_tau_is_one_without_time_order(rows):
    slow = np.sort(rows, axis=0)
    given = {"predictions": None, "prediction_kind": "numeric"}
    assert references.prepare(slow, COLUMNS, ordered=False, **given).columns[0].tau == 1.0
    assert references.prepare(slow, COLUMNS, ordered=True, **given).columns[0].tau > 50


def test_values_missing_in_bursts_count_for_tau(rng):
    x = rng.normal(size=(4000, 1))
    x[np.repeat(rng.uniform(size=100) < 0.3, 40)] = np.nan
    columns = [contract.Column(name="x", kind="numeric")]
    kept = references.prepare(x, columns, predictions=None, prediction_kind="numeric")
    assert kept.columns[0].tau > 20


@pytest.mark.parametrize(
    ("shape", "n_predictions"), [((0, 3), None), ((10, 2), None), ((10, 3), 9)], ids=["empty", "narrow", "short"]
)
def test_refuses_what_does_not_fit(shape, n_predictions):
    outputs = None if n_predictions is None else np.zeros(n_predictions)
    with pytest.raises(ValueError, match=r"rows|columns|shape"):
        references.prepare(np.zeros(shape), COLUMNS, predictions=outputs, prediction_kind="numeric")


def test_does_not_change_its_input(rows):
    rows[0, 0] = np.inf
    before = rows.copy()
    references.prepare(rows, COLUMNS, predictions=None, prediction_kind="numeric")
    np.testing.assert_array_equal(rows, before)


def test_what_was_kept_takes_todays_names_and_words(kept):
    today = [
        replace(COLUMNS[0], name="temperature"),
        replace(COLUMNS[1], categories=("AA", "UA", "Delta", "WN")),
        COLUMNS[2],
    ]
    again = stored.unpack(stored.pack(kept, MADE), today, MADE)
    assert again is not None
    assert [column.name for column in again.columns] == ["temperature", "carrier", "empty", "prediction"]
    assert again.columns[1].cut.labels == ("AA", "UA", "Delta", "other or new", "missing")


def test_what_was_kept_otherwise_is_made_again(kept):
    arrays = stored.pack(kept, MADE)
    integer = [replace(COLUMNS[0], kind="integer"), *COLUMNS[1:]]
    assert stored.unpack(arrays, COLUMNS, stored.Made(n_bins=5, n_window=1000)) is None
    assert stored.unpack(arrays, COLUMNS, stored.Made(n_bins=10, n_window=500)) is None
    assert stored.unpack(arrays, integer, MADE) is None
    assert stored.unpack(arrays, COLUMNS[:2], MADE) is None
    assert stored.unpack({"X": np.zeros((3, 3))}, COLUMNS, MADE) is None


def test_scores_of_classes_become_what_is_watched(rows):
    two = np.column_stack([np.full(1500, 0.25), np.full(1500, 0.75)])
    three = np.eye(3)[np.arange(1500) % 3]
    kept = {"X": rows, "importance": np.ones(3)}
    binary = stored.prepare(kept | {"scores": two}, [0.0, 1.0], COLUMNS, MADE).columns[-1]
    many = stored.prepare(kept | {"scores": three}, [4.0, 5.0, 9.0], COLUMNS, MADE).columns[-1]
    values = stored.prepare(kept | {"scores": np.arange(1500.0)}, [], COLUMNS, MADE).columns[-1]
    assert (binary.kind, binary.mean) == ("numeric", 0.75)
    assert (many.kind, many.cut.points.tolist()) == ("category", [4.0, 5.0, 9.0])
    assert (values.kind, values.mean) == ("numeric", 749.5)
