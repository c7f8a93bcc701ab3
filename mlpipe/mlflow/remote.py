"""A version in MLflow: experiment, run, files, registered model, model version, aliases.

Each step looks for what an earlier try has left before it makes anything, so that any part may be repeated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mlpipe.mlflow.client import Client, Fault

FOLDER = "model"
"""Where a run keeps the files of its version."""

LONGEST_TEXT = 500
"""Characters of a parameter that every release of MLflow takes."""

LONGEST_TAG = 5000
"""Characters of a tag that every release of MLflow takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A version as MLflow is told about it.

    Attributes
    ----------
    name : str
        Of the experiment and of the registered model.
    version : int
        Number in mlpipe.
    digest : str
        sha256 over number, time and files: what it is recognised by, also among those of other installations.
    created_ms : int
        Milliseconds since 1970.
    parameters, metrics, tags : dict
    files : dict of str to callable
        Name -> what reads the content.
    """

    name: str
    version: int
    digest: str
    created_ms: int
    parameters: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    files: dict[str, Callable[[], bytes]]


@dataclass(frozen=True, slots=True)
class Registered:
    """Where a version is in MLflow."""

    run_id: str
    version: str


def register(client: Client, described: Described, *, go_on: Callable[[], None]) -> Registered:
    """Make everything that is not there yet; return where the version is.

    Parameters
    ----------
    client : Client
    described : Described
    go_on : callable
        Called before each file; raises to stop.

    Raises
    ------
    Fault
        MLflow did not take a part; another call goes on with it.
    """
    experiment = _experiment(client, described.name)
    run = _run(client, described, experiment)
    found = _model_version(client, described.name, run["run_id"])
    if found is None:
        _fill(client, described, run, go_on)
        _named(client, described.name)
        found = client.post(
            "model-versions/create",
            name=described.name,
            source=f"{run['artifact_uri']}/{FOLDER}",
            run_id=run["run_id"],
            tags=_pairs(described.tags),
            description=described.tags.get("mlpipe.reason", ""),
        )["model_version"]
    return Registered(run["run_id"], str(found["version"]))


def point(client: Client, name: str, alias: str, version: str) -> None:
    """Let an alias of the registered model mean a version."""
    client.post("registered-models/alias", name=name, alias=alias, version=version)


def _experiment(client: Client, name: str) -> str:
    try:
        found = client.get("experiments/get-by-name", experiment_name=name)["experiment"]
    except Fault as fault:
        if fault.code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return str(client.post("experiments/create", name=name)["experiment_id"])
    if found.get("lifecycle_stage") == "deleted":
        raise Fault(f"the experiment {name!r} was deleted in MLflow; restore it, or choose another MLPIPE_MODEL_NAME")
    return str(found["experiment_id"])


def _run(client: Client, described: Described, experiment: str) -> dict[str, Any]:
    wanted = f"tags.`mlpipe.digest` = '{described.digest}'"
    found = client.post("runs/search", experiment_ids=[experiment], filter=wanted, max_results=1).get("runs")
    if found:
        kept: dict[str, Any] = found[0]["info"]
        return kept
    tags = {"mlflow.runName": f"version {described.version}"} | described.tags
    started = {"experiment_id": experiment, "start_time": described.created_ms, "tags": _pairs(tags)}
    made: dict[str, Any] = client.post("runs/create", **started)["run"]["info"]
    return made


def _model_version(client: Client, name: str, run_id: str) -> dict[str, Any] | None:
    found = client.get("model-versions/search", filter=f"run_id = '{run_id}'", max_results="100")
    return next((one for one in found.get("model_versions", []) if one["name"] == name), None)


def _fill(client: Client, described: Described, run: Mapping[str, Any], go_on: Callable[[], None]) -> None:
    metrics = [
        {"key": key, "value": value, "timestamp": described.created_ms, "step": 0}
        for key, value in described.metrics.items()
    ]
    client.post("runs/log-batch", run_id=run["run_id"], metrics=metrics, params=_pairs(described.parameters))
    place = _place(str(run["artifact_uri"]))
    for name, read in described.files.items():
        go_on()
        client.upload(f"{place}/{FOLDER}/{name}", read())
    client.post("runs/update", run_id=run["run_id"], status="FINISHED", end_time=described.created_ms)


def _place(artifact_uri: str) -> str:
    """Return the path of a run's files behind the server.

    Examples
    --------
    >>> _place("mlflow-artifacts:/3/f0/artifacts")
    '3/f0/artifacts'
    """
    split = urlsplit(artifact_uri)
    if split.scheme != "mlflow-artifacts":
        raise Fault(
            f"MLflow keeps files of this experiment at {split.scheme or 'a path'}:..., which clients must write to by "
            "themselves; mlpipe supports servers that take files (mlflow server --serve-artifacts, with "
            "--artifacts-destination and no --default-artifact-root) and an experiment made under them"
        )
    return split.path.strip("/")


def _named(client: Client, name: str) -> None:
    try:
        client.post("registered-models/create", name=name)
    except Fault as fault:
        if fault.code != "RESOURCE_ALREADY_EXISTS":
            raise


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested maps with names that MLflow takes.

    Examples
    --------
    >>> dict(flat({"a": {"b (x)": 1}, "c": [2]}))
    {'a.b (x)': 1, 'c': [2]}
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def metrics(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers of nested maps; MLflow's JSON has no other.

    Examples
    --------
    >>> metrics({"accuracy": 0.5, "n": 3, "log_loss": None, "ok": True})
    {'accuracy': 0.5, 'n': 3.0}
    """
    numbers = {key: value for key, value in flat(values) if isinstance(value, (int, float))}
    return {key: float(v) for key, v in numbers.items() if not isinstance(v, bool) and math.isfinite(v)}


def texts(values: Mapping[str, Any], *, longest: int = LONGEST_TEXT) -> dict[str, str]:
    """Return the leaves of nested maps as texts that are not too long.

    Examples
    --------
    >>> texts({"depth": 10, "classes": [0.0, 1.0]})
    {'depth': '10', 'classes': '[0.0, 1.0]'}
    """
    written = {key: value if isinstance(value, str) else json.dumps(value) for key, value in flat(values)}
    return {key: text[:longest] for key, text in written.items()}
