"""Lets MLflow answer with a version of mlpipe: a copy of this file lies in the folder of each.

It runs where mlpipe is not installed, so it imports nothing of it. Rows come with the names and the values that
``POST /predict`` takes, and the answer is what stands there under ``predictions``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np

UNSEEN = -1.0
"""Code of a category that was not known at the time of the training."""


_WORDS = {"True": 1.0, "False": 0.0}
"""NumPy makes texts of all values of a list of rows that holds a text, and no missing value, somewhere."""


class Model:
    """A fitted estimator with the dictionaries that turn rows into numbers, and numbers into labels.

    Parameters
    ----------
    estimator : object
        Of scikit-learn; it was fitted on float64 (n, d).
    schema : dict
        As it stands in ``manifest.json``.
    """

    def __init__(self, estimator: Any, schema: Mapping[str, Any]) -> None:
        self._estimator = estimator
        self._columns = schema["columns"]
        self._target = schema["target"]

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Answer rows.

        Parameters
        ----------
        model_input : DataFrame, dict of columns, list of rows, or array (n, d)
            Named columns may stand in any order, and others are passed over; without names their order is that of
            the schema. A category is a string; None and NaN are missing.
        params : dict, optional
            ``{"proba": "all"}`` asks for the probabilities of the classes, in the order in which
            ``metadata.classes`` of the file ``MLmodel`` names them.

        Returns
        -------
        ndarray (n,), or (n, k) for probabilities
        """
        X = np.array([_numbers(values, self._columns[place]) for place, values in self._by_column(model_input)]).T
        wanted = (params or {}).get("proba") or "none"
        if self._target["task"] == "regression":
            if wanted != "none":
                raise ValueError(f"proba={wanted!r}: a regression has no probabilities; leave it out.")
            return self._estimator.predict(X)
        if wanted not in ("none", "all"):
            raise ValueError(f"proba={wanted!r} must be 'none' or 'all'.")
        scores = self._estimator.predict_proba(X)
        return scores if wanted == "all" else self._labels(self._estimator.classes_[scores.argmax(axis=1)])

    def _labels(self, codes: Any) -> Any:
        kind, classes = self._target["kind"], self._target["classes"]
        if kind == "string":
            return np.array([classes[int(code)] for code in codes], dtype=object)
        return codes.astype({"boolean": bool, "integer": np.int64}.get(kind, np.float64))

    def _by_column(self, rows: Any) -> list[tuple[int, Sequence[Any]]]:
        """Return place and values of each column, in the order of the schema."""
        names = [column["name"] for column in self._columns]
        found = _named(rows)
        missing = [name for name in names if name not in found]
        if missing and len(found) == len(names) and all(isinstance(name, (int, np.integer)) for name in found):
            return list(enumerate(found.values()))  # a table without names
        if missing:
            raise ValueError(f"The rows have no column {missing[0]!r}; the model needs {names}.")
        return [(place, found[name]) for place, name in enumerate(names)]


def _named(rows: Any) -> dict[Any, Sequence[Any]]:
    """Return the columns of a table by name, or by position where it has no names."""
    if hasattr(rows, "columns"):
        return {name: rows.iloc[:, place].tolist() for place, name in enumerate(rows.columns)}
    if isinstance(rows, Mapping):
        return {name: np.atleast_1d(np.asarray(values, dtype=object)).tolist() for name, values in rows.items()}
    listed = rows.tolist() if hasattr(rows, "tolist") else list(rows)
    if listed and isinstance(listed[0], Mapping):
        return {name: [row.get(name) for row in listed] for name in dict.fromkeys(key for row in listed for key in row)}
    return dict(enumerate(zip(*listed, strict=True)))


def _numbers(values: Iterable[Any], column: Mapping[str, Any]) -> list[float]:
    """Return the values of a column as float64; a missing one is NaN."""
    plain = [value.tolist() if hasattr(value, "tolist") else value for value in values]  # MLflow wraps some one by one
    if column["kind"] == "category":
        codes = {text: float(code) for code, text in enumerate(column.get("categories", ()))}
        return [math.nan if _is_missing(value) else _code(value, codes, column) for value in plain]
    try:
        return [math.nan if _is_missing(value) else float(_WORDS.get(value, value)) for value in plain]
    except (TypeError, ValueError) as fault:
        raise ValueError(f"Column {column['name']!r} is {column['kind']}: {fault}.") from None


def _code(value: Any, codes: Mapping[str, float], column: Mapping[str, Any]) -> float:
    if not isinstance(value, str):
        raise ValueError(f"Column {column['name']!r} is a category: got {value!r}, expected a string.")
    return codes.get(value, UNSEEN)


def _is_missing(value: Any) -> bool:
    return value is None or value != value or type(value).__name__ == "NAType"  # noqa: PLR0124  NaN alone is not itself


def _load_pyfunc(path: str) -> Model:
    """Read the folder of a version; MLflow calls this."""
    folder = Path(path)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    return Model(joblib.load(folder / "model.joblib"), manifest["schema"])
