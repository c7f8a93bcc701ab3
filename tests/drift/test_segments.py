from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlpipe.drift import reference as references
from mlpipe.drift import segments, verdict
from mlpipe.drift.report import RULE
from mlpipe.schema import contract

CARRIERS = ("AA", "HA", "UA", "ZZ")
COLUMNS = [
    contract.Column(name="temp", kind="numeric"),
    contract.Column(name="carrier", kind="category", categories=CARRIERS),
    contract.Column(name="night", kind="boolean"),
    contract.Column(name="load", kind="numeric"),
]
CARRIER = 1


def rows(n: int, rng: np.random.Generator, carriers: tuple[float, ...] = (0, 1, 2)) -> np.ndarray:
    return np.column_stack(
        [rng.normal(size=n), rng.choice(carriers, size=n), rng.integers(2, size=n), rng.exponential(size=n)]
    )


def prepare(X: np.ndarray, *names: str) -> segments.Splits:
    return segments.prepare(X, COLUMNS, names, predictions=X[:, 0], prediction_kind="numeric")


def split(splits: segments.Splits, X: np.ndarray, **options: Any) -> dict[str, Any]:
    return segments.split(splits, X, X[:, 0], **({"whole": "stable"} | options))


def items(found: dict[str, Any], column: str = "carrier") -> dict[str, dict[str, Any]]:
    return {item["value"]: item for item in found["items"] if item["column"] == column}


@pytest.fixture
def reference(rng: np.random.Generator) -> np.ndarray:
    return rows(6000, rng)


# Values ---------------------------------------------------------------------------------------------------------


def test_values_make_segments_by_kind(reference):
    found = prepare(reference, "carrier", "night", "load")
    labels = [[part.label for part in one.parts] for one in found.splits]
    assert labels[0] == ["AA", "HA", "UA", "other or new", "missing"]
    assert labels[1] == ["false", "true", "other or new", "missing"]
    assert len(labels[2]) == 4
    assert labels[2][0].startswith("up to ")
    assert [part.n_reference for part in found.splits[2].parts] == [2000, 2000, 2000, 0]


def test_only_the_most_frequent_values_get_a_segment(rng):
    X = rows(5000, rng)
    X[:, 3] = np.minimum(rng.geometric(0.3, size=5000), 14)
    many = [*COLUMNS[:3], contract.Column(name="load", kind="category", categories=tuple("abcdefghijklmnop"))]
    found = segments.prepare(X, many, ["load"], predictions=X[:, 0], prediction_kind="numeric").splits[0]
    assert [part.label for part in found.parts] == [*"bcdefghijk", "other or new", "missing"]
    assert found.parts[-2].n_reference == int((X[:, 3] > 10).sum())
    few = segments.prepare(np.minimum(X, 10), COLUMNS, ["load"], predictions=X[:, 0], prediction_kind="numeric")
    assert [part.label for part in few.splits[0].parts][:3] == ["1", "2", "3"]


def test_columns_that_the_schema_lacks_are_named(reference, rng):
    found = split(prepare(reference, "carier", "carrier"), rows(1000, rng))
    assert (found["columns"], found["unknown"]) == (["carrier"], ["carier"])
    assert found["notes"] == ["MLPIPE_SEGMENTS names columns that the schema lacks: carier."]


# Drift ----------------------------------------------------------------------------------------------------------


def test_quiet_segments_are_stable_and_need_no_note(reference, rng):
    found = split(prepare(reference, "carrier"), rows(3000, rng))
    assert {item["verdict"] for item in found["items"]} == {"stable"}
    assert found["notes"] == []
    assert list(items(found)) == ["AA", "HA", "UA"]


def test_a_drift_in_one_segment_alone_is_told(reference, rng):
    X = rows(3000, rng)
    X[X[:, CARRIER] == 1, 3] *= 1.6
    found = split(prepare(reference, "carrier", "night"), X)
    verdicts = {name: item["verdict"] for name, item in items(found).items()}
    assert verdicts == {"AA": "stable", "HA": "drift", "UA": "stable"}
    (note,) = found["notes"]
    assert note.startswith("Only where carrier = HA: load ")
    assert split(prepare(reference, "carrier"), X, whole="drift")["notes"] == []


def test_a_segment_is_judged_as_its_rows_alone_are(reference, rng):
    X = rows(3000, rng)
    X[:, 3] += 0.2
    item = items(split(prepare(reference, "carrier"), X))["UA"]
    then, now = reference[reference[:, CARRIER] == 2], X[X[:, CARRIER] == 2]
    others = [COLUMNS[0], *COLUMNS[2:]]
    kept = references.prepare(
        np.delete(then, CARRIER, axis=1), others, predictions=then[:, 0], prediction_kind="numeric"
    )
    alone = verdict.judge(kept, np.delete(now, CARRIER, axis=1), now[:, 0], rule=replace(RULE, alpha=RULE.alpha / 3))
    assert (item["score"], item["verdict"], item["sentence"]) == (alone.score, alone.verdict, alone.sentence)
    assert (item["rows"], item["reference_rows"]) == (len(now), len(then))


def test_too_few_rows_are_said_and_not_judged(reference, rng):
    X = rows(1000, rng)
    X[X[:, CARRIER] == 1, CARRIER] = 0
    X[:37, CARRIER] = 1
    item = items(split(prepare(reference, "carrier"), X))["HA"]
    assert (item["verdict"], item["score"], item["sentence"]) == (None, None, "too few rows: 37 of 100")


def test_a_value_that_the_reference_never_saw_has_nothing_to_be_compared_with(reference, rng):
    found = items(split(prepare(reference, "carrier"), rows(1000, rng, carriers=(0, 3))))
    assert found["other or new"]["sentence"] == "too few reference rows: 0 of 100"
    assert found["other or new"]["rows"] > 400
    unseen = items(split(prepare(reference, "carrier"), rows(1000, rng, carriers=(0, -1))))
    assert unseen["other or new"]["rows"] > 400


def test_missing_and_infinite_values_of_the_column_are_a_segment_of_their_own(rng):
    then, now = rows(3000, rng), rows(1000, rng)
    for X in (then, now):
        X[::3, 3] = np.nan
        X[1::9, 3] = np.inf
    found = items(split(prepare(then, "load"), now), "load")
    assert found["missing"]["reference_rows"] == int((~np.isfinite(then[:, 3])).sum())
    assert found["missing"]["verdict"] == "stable"
    assert sum(item["rows"] for item in found.values()) == 1000


def test_a_column_without_values_has_one_segment(rng):
    then, now = rows(500, rng), rows(500, rng)
    then[:, 3] = now[:, 3] = np.nan
    assert list(items(split(prepare(then, "load"), now), "load")) == ["missing"]


def test_a_schema_of_the_declared_column_alone_watches_the_predictions(rng):
    then, now = rows(2000, rng)[:, [CARRIER]], rows(1000, rng)[:, [CARRIER]]
    found = segments.prepare(
        then, [COLUMNS[CARRIER]], ["carrier"], predictions=rng.normal(size=2000), prediction_kind="numeric"
    )
    judged = segments.split(found, now, rng.normal(3, 1, size=1000), whole="stable", importance=np.ones(1))
    assert {item["verdict"] for item in judged["items"]} == {"drift"}


def test_importance_lets_a_segments_drift_be_harmless(reference, rng):
    X = rows(3000, rng)
    X[X[:, CARRIER] == 1, 3] *= 2
    found = split(prepare(reference, "carrier"), X, importance=np.array([0.6, 0.3, 0.1, 0.0]))
    assert items(found)["HA"]["verdict"] == "harmless"
    assert found["notes"] == []


def test_many_segments_that_moved_alone_are_counted(rng):
    names = tuple("abcdefgh")
    many = [*COLUMNS[:1], contract.Column(name="carrier", kind="category", categories=names), *COLUMNS[2:]]
    then, now = rows(8000, rng, carriers=tuple(range(8))), rows(4000, rng, carriers=tuple(range(8)))
    now[:, 3] *= 3
    found = segments.split(
        segments.prepare(then, many, ["carrier"], predictions=then[:, 0], prediction_kind="numeric"),
        now,
        now[:, 0],
        whole="stable",
    )
    assert len(found["notes"]) == segments.MAX_NAMED + 1
    assert found["notes"][-1] == "5 more segments have moved alone."


def test_quiet_segments_alarm_no_more_often_than_a_check_may():
    rng = np.random.default_rng(5)
    splits = prepare(rows(6000, rng), "carrier", "night")
    alarms = sum(
        any(item["verdict"] == "drift" for item in split(splits, rows(2000, rng))["items"]) for _ in range(100)
    )
    assert alarms <= 1


# Quality --------------------------------------------------------------------------------------------------------


def labelled(X: np.ndarray, chance: np.ndarray, rng: np.random.Generator) -> segments.Labelled:
    return segments.Labelled(X, (rng.random(len(X)) < chance).astype(float), share=True)


def test_the_weakest_segment_is_named_with_its_evidence(reference, rng):
    X = rows(1500, rng)
    known = labelled(X, np.where(X[:, CARRIER] == 1, 0.4, 0.15), rng)
    found = split(prepare(reference, "carrier", "night"), rows(1000, rng), labelled=known)
    quality = items(found)["HA"]["quality"]
    own = X[:, CARRIER] == 1
    assert found["weakest"] == "carrier = HA"
    assert quality["rows"] == own.sum()
    assert quality["value"] == pytest.approx(1 - known.errors[own].mean())
    assert quality["low"] < quality["value"] < quality["high"]
    assert found["sentence"] == found["notes"][0]
    assert found["sentence"].startswith(f"carrier = HA is the weakest: accuracy {quality['value']:.2f} [")
    assert found["sentence"].endswith(f"overall {1 - known.errors.mean():.2f}.")


def test_equal_segments_have_no_weakest(reference, rng):
    X = rows(1500, rng)
    found = split(prepare(reference, "carrier"), X, labelled=labelled(X, np.full(1500, 0.2), rng))
    assert found["weakest"] is None
    assert found["sentence"].startswith("No segment is clearly weaker: accuracy 0.")
    assert found["notes"] == []


def test_a_segment_without_labels_has_no_quality(reference, rng):
    X = rows(1500, rng, carriers=(0, 2))
    found = split(prepare(reference, "carrier"), rows(1000, rng), labelled=labelled(X, np.full(1500, 0.2), rng))
    assert items(found)["HA"]["quality"] is None
    assert items(found)["AA"]["quality"]["rows"] > 600


def test_a_new_value_has_quality_though_no_reference(reference, rng):
    X = rows(1500, rng, carriers=(0, 3))
    chance = np.where(X[:, CARRIER] == 3, 0.5, 0.1)
    found = split(prepare(reference, "carrier"), rows(1000, rng), labelled=labelled(X, chance, rng))
    assert found["weakest"] == "carrier = other or new"


def test_without_labels_nothing_is_said_of_quality(reference, rng):
    found = split(prepare(reference, "carrier"), rows(1000, rng))
    assert (found["metric"], found["weakest"]) == (None, None)
    assert found["sentence"] == "No labels yet: no segment can be called weak."


def test_a_regression_is_measured_by_its_error(reference, rng):
    X = rows(1500, rng)
    errors = np.abs(rng.normal(scale=np.where(X[:, 2] == 1, 3.0, 1.0)))
    found = split(prepare(reference, "night"), X, labelled=segments.Labelled(X, errors, share=False))
    assert (found["metric"], found["weakest"]) == ("mean_absolute_error", "night = true")
