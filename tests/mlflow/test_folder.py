"""The files that make a folder a model of MLflow."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlpipe.mlflow import folder, loader


def test_yaml_is_read_back_by_a_yaml_library(mlflow_python: Path) -> None:
    texts = ["", "yes", "a: b # c", "'\"\\", "\x00\x7f\x85\u2028\ufeff\n\t", "Ü\U0001f6eb", "- x", "{}", "1e3"]
    value = {"texts": texts, "none": None, "n": [1, 2.5, True, [], {}], "deep": {text: {"x": text} for text in texts}}
    code = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))"
    done = subprocess.run(
        [mlflow_python, "-c", code], input=folder.yaml(value), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == value


class Sum:
    """Answers the sum of a row."""

    def predict(self, X: Any) -> Any:
        return X.sum(axis=1)


COLUMNS = [{"name": "a", "kind": "numeric"}, {"name": "b", "kind": "category", "categories": ["x", "y"]}]


def test_values_that_no_column_has_are_refused() -> None:
    model = loader.Model(Sum(), {"columns": COLUMNS, "target": {"task": "regression", "kind": "number"}})
    np.testing.assert_array_equal(model.predict([{"a": 1, "b": "y"}, {"b": "new", "a": np.nan}]), [2.0, np.nan])
    for row, says in [
        ({"a": "one", "b": "x"}, "Column 'a' is numeric"),
        ({"a": 1, "b": 2}, "expected a string"),
        ({"a": 1}, "no column 'b'"),
        ({"a": [1, 2], "b": "x"}, "Column 'a' is numeric"),
    ]:
        with pytest.raises(ValueError, match=says):
            model.predict([row])
    with pytest.raises(ValueError, match="no probabilities"):
        model.predict([{"a": 1, "b": "x"}], {"proba": "all"})
