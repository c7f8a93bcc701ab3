"""What quality sees on real streams: expected against true accuracy, and changes of the concept.

Run ``python benchmarks/quality_streams.py`` (a minute). Every figure is seeded.

employment_ma: a deployed model's own answers; the calibration is fitted on its reference period, expected and true
accuracy are compared by chunks of 5,000 rows of the time after it. sea_stream: a forest trained on the first rows,
labels 100 rows late. The file is said to change its concept at rows 10,000, 20,000 and 30,000, but its labels follow
one rule throughout, which is printed first; so labels are drawn anew for the file's own features, with the generator's
thresholds (Street and Kim 2001, doi:10.1145/502512.502568) and its 10 % of noise.
"""

from __future__ import annotations

import csv
import gzip
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package is run from its checkout

from mlpipe.drift import drop, estimate, verdict
from mlpipe.drift import reference as references
from mlpipe.retraining import fit
from mlpipe.schema import contract

Floats = NDArray[np.float64]

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CHUNK = 5_000
CHANGES = (10_000, 20_000, 30_000)
THRESHOLDS = (8.0, 9.0, 7.0, 9.5)
NOISE = 0.1
TRAINED = 5_000
LABEL_DELAY = 100
CHECK_ROWS = 50
PARAMETERS = fit.Parameters(100, 10, 42)


def read(name: str) -> dict[str, NDArray[np.str_]]:
    with gzip.open(DATA / f"{name}.csv.gz", "rt") as file:
        rows = list(csv.reader(file))
    return dict(zip(rows[0], np.array(rows[1:]).T, strict=True))


def employment() -> None:
    table = read("employment_ma")
    y, answer, chance = (table[name].astype(float) for name in ("employed", "prediction", "predicted_probability"))
    reference = table["period"] == "reference"
    scores = np.column_stack([1 - chance, chance])
    calibration = estimate.calibrate(scores[reference], y[reference], np.array([0.0, 1.0]))
    expected = calibration.expect(answer, scores)
    raw = np.maximum(chance, 1 - chance)
    for name, rows in (("reference", reference), ("analysis", ~reference), ("both", np.ones(len(y), bool))):
        n = rows.sum() // CHUNK
        parts = [values[rows][: n * CHUNK].reshape(n, CHUNK).mean(1) for values in (answer == y, expected, raw)]
        true, calibrated, uncalibrated = parts
        r, plain = (np.corrcoef(true, other)[0, 1] for other in (calibrated, uncalibrated))
        off = calibrated - true
        print(
            f"employment_ma, {name}: {n} chunks, true accuracy {true.min():.3f}-{true.max():.3f}; correlation {r:.3f}, "
            f"mean difference {off.mean():+.4f}, largest {np.abs(off).max():.4f} (max(p, 1-p) as it is: {plain:.3f})"
        )


def sea() -> None:
    table = read("sea_stream")
    names = list(table)
    X = np.column_stack([table[name].astype(float) for name in names[:-1]])
    y = table[names[-1]].astype(float)
    told = ", ".join(f"{best_threshold(X[rows], y[rows]):.1f}" for rows in parts())
    print(f"sea_stream: attrib1 + attrib2 > t explains the file's labels best with t = {told} in its four quarters")
    print("sea_stream, labels of the file, one forest on the first rows:")
    sea_from(X, y, start=0)
    rng = np.random.default_rng(0)
    changing = np.concatenate([redrawn(X[rows], t, rng) for rows, t in zip(parts(), THRESHOLDS, strict=True)])
    print(f"sea_stream, labels drawn anew with t = {THRESHOLDS}, a forest of the concept before each change:")
    for change in CHANGES:
        sea_from(X[: change + 10_000], changing[: change + 10_000], start=change - 10_000)


def parts() -> list[slice]:
    return [slice(first, first + 10_000) for first in (0, *CHANGES)]


def best_threshold(X: Floats, y: Floats) -> float:
    sums = X[:, 0] + X[:, 1]
    return float(min(np.arange(5, 13, 0.1), key=lambda t: np.mean((sums > t) != y)))


def redrawn(X: Floats, threshold: float, rng: np.random.Generator) -> Floats:
    flipped = rng.random(len(X)) < NOISE
    return ((X[:, 0] + X[:, 1] > threshold) != flipped).astype(float)


def sea_from(X: Floats, y: Floats, *, start: int) -> None:
    classes = np.unique(y)
    seen = slice(start, start + TRAINED)
    scores = fit.cross_scores(X[seen], y[seen], task="classification", parameters=PARAMETERS, n_jobs=-1)
    forest = fit.fit(X[seen], y[seen], task="classification", parameters=PARAMETERS, n_jobs=-1)
    answered = fit.score(forest, X, classes)
    wrong = (classes[answered.argmax(1)] != y).astype(float)
    baseline = drop.measure((classes[scores.argmax(1)] != y[seen]).astype(float), "reference")
    rule = drop.Rule("classification")
    columns = [contract.Column(name=f"f{i}", kind="numeric") for i in range(X.shape[1])]
    kept = references.prepare(X[seen], columns, predictions=scores[:, 1], prediction_kind="numeric")
    calibration = estimate.calibrate(scores, y[seen], classes)
    first, alarms, drifts, checks = seen.stop, [], 0, 0
    for row in range(first + 500, len(X), CHECK_ROWS):
        known = wrong[first : row - LABEL_DELAY]
        if drop.worst(drop.compare(known[-drop.LARGEST :], baseline, rule)):
            alarms.append(row)
        window = slice(max(first, row - 4000), row)
        drifts += verdict.judge(kept, X[window], answered[window, 1]).verdict != "stable"
        checks += 1
    told = [f"baseline error {baseline.error:.3f} (tau {baseline.tau:.2f})"]
    for change, end in zip(CHANGES, (*CHANGES[1:], 40_000), strict=True):
        if start < change < len(X):
            found = [row for row in alarms if change <= row < end]
            late = f"alarm after {found[0] - change:,} rows" if found else "no alarm"
            share = f"{len(found)} of {(end - change) // CHECK_ROWS} checks"
            told.append(f"row {change:,}: error {wrong[change:end].mean():.3f}, {late} ({share})")
    before = sum(row < min(change for change in CHANGES if change > start) for row in alarms)
    told.append(f"{before} quality alarms before the change; features: {drifts} of {checks} checks not stable")
    newest = slice(len(X) - drop.LARGEST, len(X))
    trust = estimate.check(
        1 - calibration.expect(classes[answered[newest].argmax(1)], answered[newest]), wrong[newest], baseline, rule
    )
    told.append(estimate.sentence(trust, "classification"))
    print("\n".join(f"  {line}" for line in told), flush=True)


if __name__ == "__main__":
    employment()
    sea()
