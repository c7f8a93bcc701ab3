from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from mlpipe import db
from mlpipe.jobs import store as jobs
from mlpipe.registry import artifacts
from mlpipe.retraining import asking, child, service
from mlpipe.settings import Settings
from tests import trained


def slightly_better(work: Path, **_: Any) -> dict[str, Any]:
    """Stand for a training whose challenger seems better, by less than so few rows can prove."""
    window = artifacts.load_arrays(work / child.WINDOW)
    y = window["y"][window["holdout"]]
    gained = 0.712 + 0.08 * (-1.0) ** np.arange(len(y))  # 0.011 better in log loss, which varies by 0.11
    classes = np.array([0.0, 1.0])

    def given(p: Any) -> Any:
        second = np.where(y == 1, p, 1 - p)
        return np.column_stack([1 - second, second])

    return {
        "challenger_scores": given(gained),
        "champion_scores": given(np.full(len(y), 0.7)),
        "challenger_classes": classes,
        "champion_classes": classes,
        "classes": classes,
    }


def test_a_challenger_that_seems_better_is_held_and_says_how_many_labels_would_prove_it(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "run", slightly_better)
    trained.ingest(served, 300, rng)
    asking.ask("A quiet day.")
    assert service.run_next(trained_settings, holder="t") is not None
    job = served.get("/retraining/jobs").json["items"][0]
    assert (job["state"], job["outcome"]) == ("done", "held")
    told = re.search(r"needs about ([\d,]+) more labels to be proven", job["sentence"])
    assert told is not None
    assert job["result"]["verdict"]["decision"] == "hold"
    assert int(told[1].replace(",", "")) == job["result"]["verdict"]["more_labels"] > 0
    (entry,) = served.get("/ledger?kind=verdict").json["items"][:1]
    assert (entry["job_id"], entry["sentence"]) == (job["id"], f"Retraining job {job['id']} held. {job['sentence']}")
    assert served.get("/models").json["active"] == 1
    assert sorted(path.name for path in trained_settings.models_folder.iterdir()) == ["1"]


def test_after_a_held_challenger_only_later_labels_are_new(
    served: FlaskClient, trained_settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "run", slightly_better)
    trained.ingest(served, 300, rng)
    asking.ask("A quiet day.")
    assert service.run_next(trained_settings, holder="t") is not None
    trained.ingest(served, 20, rng)
    with db.reading() as connection:
        held = jobs.page(connection, service.KIND, limit=1)[0]
        by_itself = replace(held, evidence={})
        assert asking.new_labels(connection, by_itself, trained_settings) == (20, trained_settings.min_new_labels)
