from __future__ import annotations

import numpy as np
import pytest

from mlpipe.retraining import gate

Floats = gate.Floats


def judge(champion: Floats, challenger: Floats, mode: gate.Mode, seed: int = 0) -> gate.Verdict:
    return gate.judge(champion, challenger, loss="Brier score", mode=mode, rng=np.random.default_rng(seed))


def pair(rng: np.random.Generator, n: int, gain: float, spread: float = 0.3) -> tuple[Floats, Floats]:
    """Return losses of two models whose paired difference has a mean and a spread."""
    champion = rng.uniform(0, 2, n)
    return champion, champion - gain + rng.normal(0, spread, n)


def autoregression(rng: np.random.Generator, n: int, r: float) -> Floats:
    noise, series = rng.normal(size=n), np.zeros(n)
    for place in range(1, n):
        series[place] = r * series[place - 1] + noise[place]
    return series


def test_a_clear_gain_is_promoted_with_the_interval_of_the_paired_difference(rng: np.random.Generator) -> None:
    verdict = judge(*pair(rng, 400, 0.05, 0.01), "improve")
    assert verdict.decision == "promote"
    assert verdict.gain == pytest.approx(0.05, abs=0.005)
    assert 0 < verdict.low < verdict.gain < verdict.high
    assert "400" in verdict.sentence


def test_the_interval_is_that_of_the_normal_theory_where_rows_are_independent(rng: np.random.Generator) -> None:
    champion, challenger = pair(rng, 900, 0.02)
    verdict = judge(champion, challenger, "improve")
    reach = 1.96 * (champion - challenger).std() / 30
    assert (verdict.low, verdict.high) == pytest.approx((verdict.gain - reach, verdict.gain + reach), abs=0.1 * reach)


def test_equal_losses_are_refused_where_gain_is_asked_and_deployed_where_harm_is() -> None:
    same = np.linspace(0, 1, 50)
    decisions = {mode: judge(same, same, mode).decision for mode in ("improve", "no_harm", "point")}
    assert decisions == {"improve": "reject", "no_harm": "promote", "point": "reject"}


def test_a_gain_that_chance_explains_is_held_with_the_labels_that_would_prove_it(rng: np.random.Generator) -> None:
    champion, challenger = pair(rng, 200, 0.02)
    gain = (champion - challenger).mean()
    verdict = judge(champion, challenger + gain - 0.02, "improve")
    needed = (1.96 * (champion - challenger).std() / 0.02) ** 2 - 200
    assert verdict.decision == "hold"
    assert verdict.more_labels == pytest.approx(needed, rel=0.25)
    assert f"about {verdict.more_labels:,} more labels" in verdict.sentence
    assert judge(champion, challenger + gain - 0.02, "point").decision == "promote"


def test_an_equal_model_is_seldom_promoted_and_seldom_called_harmful() -> None:
    rng = np.random.default_rng(5)
    pairs = [pair(rng, 250, 0.0) for _ in range(400)]
    promoted = sum(judge(*two, "improve").decision == "promote" for two in pairs)
    harmful = sum(judge(*two, "no_harm").decision == "reject" for two in pairs)
    assert promoted <= 0.025 * 400 + 2.6 * np.sqrt(0.025 * 0.975 * 400)
    assert 0.05 * 400 - 2.6 * np.sqrt(19) <= harmful <= 0.05 * 400 + 2.6 * np.sqrt(19)


def test_a_harmful_model_is_refused(rng: np.random.Generator) -> None:
    verdict = judge(*pair(rng, 250, -0.08), "no_harm")
    assert (verdict.decision, verdict.more_labels) == ("reject", None)
    assert "is worse" in verdict.sentence


def test_neighbours_that_are_alike_are_resampled_together() -> None:
    rng = np.random.default_rng(2)
    blocks = [gate.block_length(autoregression(rng, 500, r)) for r in (0.0, 0.5, 0.8)]
    assert blocks[0] == 1
    assert 5 < blocks[1] < blocks[2]


def test_without_blocks_a_correlated_series_looks_surer_than_it_is() -> None:
    rng = np.random.default_rng(4)
    series = [autoregression(rng, 500, 0.7) for _ in range(200)]
    found = {"blocks": 0, "rows": 0}
    for difference in series:
        for name, block in (("blocks", gate.block_length(difference)), ("rows", 1)):
            low = np.quantile(gate.resampled_means(difference, block=block, rng=rng), 0.025)
            found[name] += bool(low > 0)
    assert found["blocks"] <= 14  # 2.5 % of 200 are 5; the quantile of a few long blocks is a little short
    assert found["rows"] > 2 * found["blocks"]


def test_a_block_of_one_row_is_the_plain_bootstrap(rng: np.random.Generator) -> None:
    means = gate.resampled_means(rng.normal(size=300), block=1, rng=rng)
    assert means.std() == pytest.approx(1 / np.sqrt(300), rel=0.15)


def test_what_speaks_against_it_refuses_whatever_the_gain(rng: np.random.Generator) -> None:
    verdict = gate.refuse(judge(*pair(rng, 400, 0.3), "improve"), ["It is too large."])
    assert (verdict.decision, verdict.broken) == ("reject", ("It is too large.",))
    assert verdict.sentence.startswith("It is too large. (On the same 400")


@pytest.mark.parametrize("trigger", ["drift", "quality", "age"])
def test_after_signs_that_the_champion_is_out_of_date_a_tie_deploys(trigger: str) -> None:
    assert gate.mode_for("auto", trigger) == "no_harm"
    assert gate.mode_for("improve", trigger) == "improve"


@pytest.mark.parametrize("trigger", ["labels", "cron", "manual", "first"])
def test_in_quiet_times_gain_is_asked_for(trigger: str) -> None:
    assert gate.mode_for("auto", trigger) == "improve"
    assert gate.mode_for("no_harm", trigger) == "no_harm"


def test_a_trigger_that_is_not_named_is_read_from_the_evidence() -> None:
    assert gate.trigger_of({"report": 1}) == gate.trigger_of({"report_id": 1}) == "drift"
    assert gate.trigger_of({"report": 1, "trigger": "quality"}) == "quality"
    assert gate.trigger_of({}) == "manual"
