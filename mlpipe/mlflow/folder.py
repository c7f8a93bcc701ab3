"""The files that make a version's folder an MLflow model; MLflow itself is not needed to write them."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlpipe.mlflow import loader

OUTPUTS = {"string": "string", "boolean": "boolean", "integer": "long", "number": "double"}
"""Kind of a label -> type of MLflow."""

PACKAGES = ("scikit-learn", "numpy", "joblib")
"""What a pickle depends on; each is pinned to the release that wrote it."""

MLFLOW = "mlflow>=2.9"
"""First release with all that is used: aliases, and parameters of a prediction."""


def files(manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files that MLflow needs beside ``model.joblib`` and ``manifest.json``, by name.

    Parameters
    ----------
    manifest : mapping
        What is written to ``manifest.json``.

    Notes
    -----
    The flavour is ``python_function`` alone: one of ``sklearn`` would take the codes of categories for their names, and
    MLflow cannot read a joblib file there. The loader's name has a part of its digest, because a process that loads
    two versions would otherwise answer for both with the loader that came first.
    """
    code = _loader_code()
    module = f"mlpipe_loader_{hashlib.sha256(code).hexdigest()[:8]}"
    pinned = [MLFLOW, "pandas", *(f"{name}=={manifest['libraries'][name]}" for name in PACKAGES)]
    python = manifest["libraries"]["python"]
    texts = {
        "MLmodel": yaml(_model(manifest, module)),
        "requirements.txt": "\n".join(pinned) + "\n",
        "python_env.yaml": yaml(
            {"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
        ),
        "conda.yaml": yaml(
            {
                "name": "mlflow-env",
                "channels": ["conda-forge"],
                "dependencies": [f"python={python}", "pip", {"pip": pinned}],
            }
        ),
    }
    return {f"{module}.py": code} | {name: text.encode() for name, text in texts.items()}


@functools.cache
def _loader_code() -> bytes:
    return Path(loader.__file__).read_bytes()


def _model(manifest: Mapping[str, Any], module: str) -> dict[str, Any]:
    return {
        "flavors": {
            "python_function": {
                "code": ".",
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": module,
                "python_version": manifest["libraries"]["python"],
            }
        },
        "utc_time_created": str(manifest["created_at"]).replace("T", " ").removesuffix("Z"),
        "signature": signature(manifest["schema"]["target"]),
        "metadata": {
            "classes": classes(manifest),
            "columns": [{"name": one["name"], "kind": one["kind"]} for one in manifest["schema"]["columns"]],
        },
    }


def signature(target: Mapping[str, Any]) -> dict[str, str]:
    """Return MLflow's description of answers and parameters, each as JSON text.

    Notes
    -----
    The columns stand under ``metadata.columns``, not in a signature, because MLflow would enforce it: a column of
    numbers then takes floats but refuses a table whose values happen to be whole (int64), and one of whole numbers
    refuses missing values. The loader checks names and values itself, as ``POST /predict`` does.

    Examples
    --------
    >>> signature({"task": "regression", "kind": "number"})["outputs"]
    '[{"type": "double", "required": true}]'
    """
    kind = "double" if target["task"] == "regression" else OUTPUTS[target["kind"]]
    proba = {"name": "proba", "dtype": "string", "default": "none", "shape": None, "type": "string"}
    return {"outputs": json.dumps([{"type": kind, "required": True}]), "params": json.dumps([proba])}


def classes(manifest: Mapping[str, Any]) -> list[Any]:
    """Return the labels of the classes in the order of the probabilities; empty for a regression.

    Examples
    --------
    >>> target = {"kind": "string", "classes": ["on time", "late"]}
    >>> classes({"schema": {"target": target}, "parameters": {"classes": [0.0, 1.0]}})
    ['on time', 'late']
    """
    target = manifest["schema"]["target"]
    codes = [float(code) for code in manifest["parameters"]["classes"]]
    if target["kind"] == "string":
        return [target["classes"][int(code)] for code in codes]
    read = {"boolean": bool, "integer": int}.get(target["kind"], float)
    return [read(code) for code in codes]


def yaml(value: Mapping[str, Any]) -> str:
    r"""Return YAML text for maps, lists, texts, numbers, booleans and None.

    Notes
    -----
    Every text is written in double quotes with JSON's escapes, which YAML 1.1 and 1.2 read alike but for pairs of
    surrogates and the control character DEL; those are written in YAML's own way.

    Examples
    --------
    >>> print(yaml({"name": "a: b", "list": [1, {"x": None}], "none": []}), end="")
    "name": "a: b"
    "list":
      - 1
      -
        "x": null
    "none": []
    """
    return "\n".join(_lines(value, "")) + "\n"


def _lines(value: Mapping[str, Any] | Sequence[Any], indent: str) -> list[str]:
    pairs = [(f"{_scalar(key)}:", part) for key, part in value.items()] if isinstance(value, Mapping) else None
    lines = []
    for head, part in pairs if pairs is not None else [("-", part) for part in value]:
        if isinstance(part, (Mapping, list)) and part:
            lines += [indent + head, *_lines(part, indent + "  ")]
        else:
            lines.append(f"{indent}{head} {_scalar(part)}")
    return lines


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    return '"' + "".join(json.dumps(one)[1:-1] if " " <= one < "\x7f" else _escaped(one) for one in value) + '"'


def _escaped(one: str) -> str:
    return f"\\U{ord(one):08x}"
