"""Evidently's DataDriftPreset with its defaults: a normed Wasserstein distance from 0.1 on in half of the columns."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pandas as pd
import rounds
from evidently import Report
from evidently.presets import DataDriftPreset


def prepare(reference: np.ndarray) -> rounds.Check:
    names = [f"f{i}" for i in range(reference.shape[1])]
    before = pd.DataFrame(reference, columns=names)

    def check(window: np.ndarray) -> dict[str, bool]:
        now = pd.DataFrame(window[-rounds.N_MOVED :], columns=names)
        metrics = Report([DataDriftPreset()]).run(now, before).dict()["metrics"]
        drifted = next(one for one in metrics if one["metric_name"].startswith("DriftedColumnsCount"))
        share = drifted["config"]["drift_share"]
        return {
            "DataDriftPreset (half of the columns)": drifted["value"]["share"] >= share,
            "DataDriftPreset, any column": drifted["value"]["count"] > 0,
        }

    return check


if __name__ == "__main__":
    rounds.run(prepare, {name: version(name) for name in ("evidently", "scipy", "numpy", "pandas")})
