"""The drift rule on real streams: which share of the checks fires before and after the known dates.

A forest is trained on the first 10,000 rows; these, with its cross-fitted scores, are the reference, as after a
deployment, and stay it: nothing is retrained. Then the rows pass in order, and a check is made every so many of them.

    python benchmarks/streams.py [--data FOLDER] [--quick]      half a minute

The data (elec2, sea_stream, employment_ma, in time order) lie beside the checkout; a file that is not there is left
out.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package is run from its checkout

from mlpipe.drift import reference as references
from mlpipe.drift import verdict
from mlpipe.retraining import fit
from mlpipe.schema import contract

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
N_REFERENCE = 10_000
N_GIVEN = 4_000
"""Rows a check is given; where tau is large the largest window grows to this."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stream:
    """Rows in time order, and where something is known to have happened; checks come every `step` rows."""

    X: Floats
    y: Floats
    columns: list[contract.Column]
    step: int
    parts: dict[str, tuple[int, int]]


def elec2(table: dict[str, list[str]]) -> Stream:
    """Victoria joins the market at row 17,400: three columns that were constant begin to move."""
    names = [name for name in table if name not in {"date", "class"}]
    X = np.array([table[name] for name in names], dtype=np.float64).T
    parts = {"up to row 17,400": (N_REFERENCE, 17_400), "after it": (17_400, len(X))}
    return Stream(X, np.array(table["class"], dtype=np.float64), _numbers(names), 100, parts)


def sea_stream(table: dict[str, list[str]]) -> Stream:
    """The rule of the labels changes, the features do not: there is nothing to see here."""
    names = [name for name in table if name != "class"]
    X = np.array([table[name] for name in names], dtype=np.float64).T
    parts = {"all rows (the features never change)": (N_REFERENCE, len(X))}
    return Stream(X, np.array(table["class"], dtype=np.float64), _numbers(names), 100, parts)


def employment(table: dict[str, list[str]]) -> Stream:
    """Census of Massachusetts by year.

    People in group quarters, spread over 2015 and 2016, stand last in 2017 and first in 2018 (column RELP).
    """
    years = np.array(table["year"])
    coded = [name for name in list(table)[: list(table).index("employed")] if name != "AGEP"]
    kept = {name: _category(name, np.array(table[name])) for name in coded}
    X = np.column_stack([np.array(table["AGEP"], dtype=np.float64), *(codes for _, codes in kept.values())])
    columns = [*_numbers(["AGEP"]), *(column for column, _ in kept.values())]
    ends = {year: int(np.flatnonzero(years == year)[-1]) + 1 for year in np.unique(years)}
    begins = [N_REFERENCE, *list(ends.values())[:-1]]
    parts = {year: (begin, end) for begin, (year, end) in zip(begins, ends.items(), strict=True)}
    return Stream(X, np.array(table["employed"], dtype=np.float64), columns, 1000, parts)


def _numbers(names: list[str]) -> list[contract.Column]:
    return [contract.Column(name=name, kind="numeric") for name in names]


def _category(name: str, values: NDArray[np.str_]) -> tuple[contract.Column, Floats]:
    """Return the column with the values of the reference as its dictionary, and all values as codes, -1 unseen."""
    known = np.unique(values[:N_REFERENCE])
    code = np.searchsorted(known, values).clip(max=len(known) - 1)
    codes = np.where(known[code] == values, code, -1).astype(np.float64)
    return contract.Column(name=name, kind="category", categories=tuple(known.tolist())), codes


STREAMS: dict[str, Callable[[dict[str, list[str]]], Stream]] = {
    "elec2": elec2,
    "sea_stream": sea_stream,
    "employment_ma": employment,
}


def read(path: Path) -> dict[str, list[str]]:
    with gzip.open(path, "rt") as lines:
        header, *rows = csv.reader(lines)
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


def checks(stream: Stream, step: int) -> list[tuple[int, verdict.Report]]:
    """Return the row at which each check was made, and its report."""
    parameters, first = fit.Parameters(), slice(None, N_REFERENCE)
    X, y = stream.X[first], stream.y[first]
    forest = fit.fit(X, y, task="classification", parameters=parameters, n_jobs=2)
    scores = fit.cross_scores(X, y, task="classification", parameters=parameters, n_jobs=2)[:, 1]
    reference = references.prepare(X, stream.columns, predictions=scores, prediction_kind="numeric")
    served = np.concatenate([scores, forest.predict_proba(stream.X[N_REFERENCE:])[:, 1]])
    weight = forest.feature_importances_
    found = []
    for end in range(N_REFERENCE + step, len(stream.X) + 1, step):
        newest = slice(max(N_REFERENCE, end - N_GIVEN), end)  # rows since the deployment
        found.append((end, verdict.judge(reference, stream.X[newest], served[newest], importance=weight)))
    return found


def lines(name: str, stream: Stream, step: int) -> list[str]:
    """Return a line of the table for each part of a stream."""
    found = checks(stream, step)
    told = []
    for part, (begin, end) in stream.parts.items():
        inside = [(row, report) for row, report in found if begin < row <= end]
        fired = [(row, report) for row, report in inside if report.verdict == "drift"]
        first = f"{fired[0][0]:,}" if fired else "none"
        causes = ", ".join(f"{cause} {n}" for cause, n in Counter(map(_cause, fired)).most_common(4))
        told.append(f"| {name} | {part} | {len(fired)} of {len(inside)} | {first} | {causes or '–'} |")
    return told


def _cause(fired: tuple[int, verdict.Report]) -> str:
    """Return the name that the sentence begins with: what moved most, weighed by importance."""
    return fired[1].sentence.split(" ", 1)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--quick", action="store_true", help="a fifth of the checks")
    options = parser.parse_args()
    print(f"| stream | rows | checks that fire | first, at row | named first |\n|{'---|' * 5}")
    for name, read_stream in STREAMS.items():
        path = options.data / f"{name}.csv.gz"
        if not path.exists():
            print(f"{name} is left out: there is no {path}; name its folder with --data.")
            continue
        stream = read_stream(read(path))
        print("\n".join(lines(name, stream, stream.step * (5 if options.quick else 1))), flush=True)


if __name__ == "__main__":
    main()
