"""What mlpipe serves and what a stock MLflow answers are equal."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from mlpipe.mlflow import service
from mlpipe.settings import Settings
from tests.mlflow.conftest import answers
from tests.server import free_ports, wait_for
from tests.trained import opened, train

N_TRAINED = 240
N_ASKED = 60
NAMES = ("hour", "wind", "carrier", "rain")
LABELS: dict[str, Any] = {
    "multiclass": lambda x: ["on time", "late", "cancelled"][int(x > 0) + int(x > 1)],
    "whole": lambda x: 3 + 4 * int(x > 0),
    "boolean": lambda x: bool(x > 0),
    "regression": lambda x: round(10 * x, 3),
}

ASK = """
import json, sys
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
found = {}
for name, rows in json.load(sys.stdin).items():
    model, table = mlflow.pyfunc.load_model(f"models:/{name}@champion"), pd.DataFrame(rows)
    own = {"predictions": model.predict(table).tolist(), "shuffled": model.predict(table[table.columns[::-1]]).tolist()}
    if name != "regression":
        own["proba"] = model.predict(table, params={"proba": "all"}).tolist()
        own["classes"] = model.metadata.metadata["classes"]
    found[name] = own
json.dump(found, sys.stdout)
"""


def records(kind: str, n: int) -> list[dict[str, Any]]:
    """Return rows with every kind of column, missing values and a category that comes late, and their labels."""
    rng = np.random.default_rng(5)
    made = []
    for place in range(n):
        carrier = ["UA", "AA", "01", "Ünited \U0001f6eb", None, "new" if place > N_TRAINED else "UA"][place % 6]
        wind = None if place % 7 == 0 else float(rng.normal())
        row = {"hour": int(rng.integers(24)), "wind": wind, "carrier": carrier, "rain": bool(rng.random() < 0.5)}
        effect = (wind or 0.0) + (carrier == "AA") + 0.05 * row["hour"] - 0.5 + 0.2 * rng.normal()
        made.append(row | {"label": LABELS[kind](effect)})
    return made


@dataclass(frozen=True)
class Asked:
    """Rows that were asked of mlpipe, and what it answered."""

    folder: Path
    rows: list[dict[str, Any]]
    answer: dict[str, Any]


@pytest.fixture(scope="module")
def asked(sqlite_template: Path, mlflow_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Asked]:
    """Train, serve and register a model of each kind, as mlpipe does by itself."""
    return {kind: _asked(kind, sqlite_template, mlflow_url, tmp_path_factory.mktemp(kind) / "home") for kind in LABELS}


def _asked(kind: str, template: Path, url: str, home: Path) -> Asked:
    home.mkdir()
    shutil.copy(template, home / "mlpipe.db")
    settings = Settings(home=home, model_name=kind, mlflow_tracking_uri=url, n_estimators=25, quiet_s=0.0)
    rows = records(kind, N_TRAINED + N_ASKED)
    with opened(settings) as app:
        client = app.test_client()
        assert client.post("/ingest/batch", json={"records": rows[:N_TRAINED]}).status_code == 201
        train(app, settings)
        assert service.tell(settings) == 2
        later = [{name: row[name] for name in NAMES} for row in rows[N_TRAINED:]]
        answer = client.post("/predict?proba=all", json={"records": later}).json
    assert answer is not None
    return Asked(home / "models" / "1", later, answer)


def test_a_champion_that_mlflow_loads_predicts_equal_values(
    asked: dict[str, Asked], mlflow_url: str, mlflow_python: Path
) -> None:
    rows = json.dumps({kind: one.rows for kind, one in asked.items()})
    done = subprocess.run(
        [mlflow_python, "-c", ASK, mlflow_url], input=rows, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for kind, found in json.loads(done.stdout).items():
        answer = asked[kind].answer
        assert found["predictions"] == found["shuffled"] == answer["predictions"]
        assert len({str(value) for value in found["predictions"]}) > 1
        if kind != "regression":
            assert found["classes"] == answer["classes"]
            np.testing.assert_allclose(found["proba"], answer["probabilities"], rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def scoring(asked: dict[str, Asked], mlflow_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``mlflow models serve`` over a version's folder as it lies there."""
    log = tmp_path_factory.mktemp("scoring") / "log.txt"
    (port,) = free_ports(1)
    command = [mlflow_python, "-m", "mlflow", "models", "serve", "--model-uri", str(asked["multiclass"].folder)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)],
            env={"PATH": f"{mlflow_python.parent}:/usr/bin:/bin", "HOME": str(log.parent)},
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/ping", process, log), seconds=180)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        process.terminate()
        process.wait(20)


def forms(rows: list[dict[str, Any]]) -> dict[str, Any]:
    lists = [[row[name] for name in NAMES] for row in rows]
    return {
        "dataframe_split": {"columns": NAMES, "data": lists},
        "dataframe_records": rows,
        "instances": rows,
        "inputs": {name: [row[name] for row in rows] for name in NAMES},
    }


@pytest.mark.parametrize("complete", [False, True], ids=["missing values", "complete"])
@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "instances", "inputs"])
def test_stock_serving_answers_every_form(form: str, complete: bool, scoring: str, asked: dict[str, Asked]) -> None:
    one = asked["multiclass"]
    kept = [place for place, row in enumerate(one.rows) if not complete or None not in row.values()]
    answer = requests.post(scoring, json={form: forms([one.rows[place] for place in kept])[form]}, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == [one.answer["predictions"][place] for place in kept]


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_stock_serving_answers_rows_without_names(form: str, scoring: str, asked: dict[str, Asked]) -> None:
    one = asked["multiclass"]
    lists = [[row[name] for name in NAMES] for row in one.rows if None not in row.values()]
    wanted = [label for row, label in zip(one.rows, one.answer["predictions"], strict=True) if None not in row.values()]
    assert requests.post(scoring, json={form: lists}, timeout=30).json()["predictions"] == wanted


def test_stock_serving_answers_csv(scoring: str, asked: dict[str, Asked]) -> None:
    one = asked["multiclass"]
    text = io.StringIO()
    table = csv.DictWriter(text, NAMES)
    table.writeheader()
    table.writerows(one.rows)
    answer = requests.post(scoring, data=text.getvalue().encode(), headers={"Content-Type": "text/csv"}, timeout=30)
    assert answer.json()["predictions"] == one.answer["predictions"]


def test_a_row_that_cannot_be_read_is_refused_with_the_reason(scoring: str) -> None:
    answer = requests.post(scoring, json={"dataframe_records": [{"hour": 3}]}, timeout=30)
    assert (answer.status_code, "no column 'wind'" in answer.text) == (400, True)


def test_mlflow_shows_what_mlpipe_knows(asked: dict[str, Asked], mlflow_url: str) -> None:
    api = f"{mlflow_url}/api/2.0/mlflow"
    version = requests.get(
        f"{api}/registered-models/alias", params={"name": "whole", "alias": "champion"}, timeout=30
    ).json()["model_version"]
    run = requests.get(f"{api}/runs/get", params={"run_id": version["run_id"]}, timeout=30).json()["run"]
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    parameters = {one["key"]: one["value"] for one in run["data"]["params"]}
    manifest = json.loads((asked["whole"].folder / "manifest.json").read_text())
    assert (tags["mlpipe.version"], tags["mlpipe.reason"]) == ("1", manifest["reason"])
    assert parameters["n_estimators"] == "25"
    found = {one["key"]: one["value"] for one in run["data"]["metrics"]}
    assert found["log_loss"] == pytest.approx(manifest["metrics"]["log_loss"])
    assert run["info"]["status"] == "FINISHED"
    listed = requests.get(
        f"{api}/artifacts/list", params={"run_id": version["run_id"], "path": "model"}, timeout=30
    ).json()
    kept = {Path(one["path"]).name for one in listed["files"]}
    assert {"MLmodel", "model.joblib", "manifest.json"} <= kept
    assert not kept & {"reference.npz", "smoke.npz"}
