from __future__ import annotations

import numpy as np
import pytest

from mlpipe.retraining import gate


def test_a_lower_mean_loss_is_promoted_with_the_interval_of_the_paired_difference(rng: np.random.Generator) -> None:
    champion = rng.uniform(0, 1, 400)
    challenger = champion - 0.05 + rng.normal(0, 0.01, 400)
    verdict = gate.judge(champion, challenger, loss="Brier score")
    assert verdict.decision == "promote"
    assert verdict.gain == pytest.approx(0.05, abs=0.005)
    assert 0 < verdict.low < verdict.gain < verdict.high
    assert "400" in verdict.sentence


def test_an_equal_or_worse_model_is_rejected() -> None:
    same = np.linspace(0, 1, 50)
    assert gate.judge(same, same, loss="Brier score").decision == "reject"
    assert gate.judge(same, same + 0.1, loss="Brier score").decision == "reject"
