"""alibi-detect's TabularDrift with its defaults: KS per feature, p < 0.05, Bonferroni."""

from __future__ import annotations

import warnings
from importlib.metadata import version

import numpy as np
import rounds
from alibi_detect.cd import TabularDrift

warnings.filterwarnings("ignore", message="No `categories_per_feature` dict provided")  # there are no categories


def prepare(reference: np.ndarray) -> rounds.Check:
    detector = TabularDrift(reference, p_val=0.05)

    def check(window: np.ndarray) -> dict[str, bool]:
        data = detector.predict(window[-rounds.N_MOVED :])["data"]
        return {"TabularDrift (p < 0.05, Bonferroni)": bool(data["is_drift"])}

    return check


if __name__ == "__main__":
    rounds.run(prepare, {name: version(name) for name in ("alibi-detect", "scipy", "numpy")})
