"""mlpipe's rule with its defaults, on the same 1,000 rows as the peers and on as many as it takes when it runs."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import rounds

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package is run from its checkout

from mlpipe.drift import reference as references
from mlpipe.drift import verdict
from mlpipe.schema import contract

WHOLE = "--whole"


def prepare(reference: np.ndarray) -> rounds.Check:
    columns = [contract.Column(name=f"f{i}", kind="numeric") for i in range(reference.shape[1])]
    kept = references.prepare(reference, columns, predictions=None, prediction_kind="numeric")
    rows, told = (0, "up to 4,000 rows") if WHOLE in sys.argv else (rounds.N_MOVED, "1,000 rows")

    def check(window: np.ndarray) -> dict[str, bool]:
        return {f"this rule, {told}": verdict.judge(kept, window[-rows:], None).verdict == "drift"}

    return check


if __name__ == "__main__":
    rounds.run(prepare, {name: version(name) for name in ("scipy", "numpy")})
