"""Every statistic against scipy or a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from mlpipe.drift import reference as references
from mlpipe.drift.detectors import (
    autocorrelation,
    cells,
    chi_square,
    holm,
    jensen_shannon,
    ks,
    missing_share,
    psi,
    relations,
    summary,
    wasserstein,
)

SAMPLES = {
    "random": lambda rng: (rng.normal(size=1000), rng.normal(0.2, 1, size=300)),
    "ties": lambda rng: (rng.poisson(3, 1000).astype(float), rng.poisson(4, 300).astype(float)),
    "constants": lambda _: (np.ones(50), np.ones(20)),
    "other constant": lambda _: (np.ones(50), np.zeros(20)),
    "tiny": lambda _: (np.array([1.0, 2.0]), np.array([1.5])),
    "rounded": lambda rng: (rng.normal(size=1000).round(1), rng.normal(size=125).round(1)),
}


def with_gaps(values, rng):
    return np.where(rng.uniform(size=len(values)) < 0.2, np.nan, values)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("sample", SAMPLES)
def test_ks_distance_is_scipys(sample, gaps, pair, rng):
    reference, window = SAMPLES[sample](rng)
    if gaps and len(window) > 1:
        reference, window = with_gaps(reference, rng), with_gaps(window, rng)
    found = ks.ks(pair(reference, window)).statistic[0]
    known = stats.ks_2samp(reference[~np.isnan(reference)], window[~np.isnan(window)], method="asymp")
    assert found == pytest.approx(known.statistic, abs=1e-12)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("sample", SAMPLES)
def test_wasserstein_is_scipys_in_sd(sample, gaps, pair, rng):
    reference, window = SAMPLES[sample](rng)
    if gaps and len(window) > 1:
        reference, window = with_gaps(reference, rng), with_gaps(window, rng)
    found = wasserstein.wasserstein(pair(reference, window)).statistic[0]
    held = reference[~np.isnan(reference)]
    if held.std() == 0:
        assert np.isnan(found)
        return
    known = stats.wasserstein_distance(held, window[~np.isnan(window)]) / held.std()
    assert found == pytest.approx(known, rel=1e-12, abs=1e-12)


def test_wasserstein_of_a_shift_is_the_shift_in_sd(pair, rng):
    values = rng.normal(5, 3, size=1000)
    assert wasserstein.wasserstein(pair(values, values + 1.5)).statistic[0] == pytest.approx(1.5 / values.std())


def test_wasserstein_has_nothing_to_say_without_values(pair):
    empty, some = np.full(20, np.nan), np.arange(20.0)
    assert np.isnan(wasserstein.wasserstein(pair(empty, some)).statistic[0])
    assert np.isnan(wasserstein.wasserstein(pair(some, empty)).statistic[0])


@pytest.mark.parametrize("kind", ["numeric", "category"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_jensen_shannon_is_scipys(sample, kind, pair, rng):
    reference, window = SAMPLES[sample](rng)
    if kind == "category":
        reference, window = with_gaps(np.abs(reference).round(), rng), with_gaps(np.abs(window).round(), rng)
    compared = pair(reference, window, kind)
    p, q, used = cells.shares(compared.reference_counts[0], compared.window_counts[0])
    known = distance.jensenshannon(p[used], q[used], base=2)
    assert jensen_shannon.jensen_shannon(compared).statistic[0] == pytest.approx(known, abs=1e-12)


def plain_correlations(reference, window):
    """Correlations of normal scores over complete pairs, by scipy's ranks and numpy's corrcoef."""
    held = [column[~np.isnan(column)] for column in reference.T]

    def scores(values, own):
        midrank = np.array([(np.sum(own < v) + np.sum(own <= v) + 1) / 2 for v in values])
        return np.where(np.isnan(values), np.nan, stats.norm.ppf(midrank / (len(own) + 1)))

    def r(rows):
        one, other = (scores(column, own) for column, own in zip(rows.T, held, strict=True))
        both = ~np.isnan(one) & ~np.isnan(other)
        return np.corrcoef(one[both], other[both])[0, 1]

    return r(reference), r(window)


PAIRS = {
    "random": lambda x, _: x,
    "ties": lambda x, _: x.round(),
    "gaps": lambda x, rng: np.where(rng.uniform(size=x.shape) < 0.2, np.nan, x),
    "tiny": lambda x, _: x[:12],
}


@pytest.mark.parametrize("sample", PAIRS)
def test_relations_are_numpys_correlations_of_scipys_scores(sample, pair, rng):
    reference, window = (rng.normal(size=(n, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]]) for n in (800, 300))
    reference, window = PAIRS[sample](reference, rng), PAIRS[sample](window, rng)
    found = relations.relations(pair(reference, window))
    before, now = plain_correlations(reference, window)
    assert found.details["r_reference"][0, 1] == pytest.approx(before, abs=1e-12)
    assert found.details["r"][0, 1] == pytest.approx(now, abs=1e-12)
    assert found.statistic[0, 1] == pytest.approx(now - before, abs=1e-12)


def test_chance_of_a_relation_is_scipys_t_of_fishers_z(prepared, rng):
    rows = rng.normal(size=(2000, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    window = rng.normal(size=(300, 2))
    kept = prepared(rows, n_window=200)
    placed = references.place(kept, references.stacked(window, None, n_features=2))
    found = relations.relations(references.compare_pairs(kept, placed, np.ones(2), n_window=300))
    before, now = plain_correlations(rows, window)
    blocks = [plain_correlations(rows, rows[i : i + 200])[1] for i in range(0, 1801, 100)]
    f = max(1.0, np.mean([(math.atanh(r) - math.atanh(before)) ** 2 * 200 for r in blocks]))
    z = abs(math.atanh(now) - math.atanh(before)) / math.sqrt((1 / 300 + 1 / 2000) * f)
    assert found.p_value[0, 1] == pytest.approx(2 * stats.t.sf(z, 10), rel=1e-12)


def test_constant_columns_and_few_rows_have_no_relation(pair, rng):
    x = rng.normal(size=200)
    for reference, window in [
        (np.column_stack([x, np.ones(200)]), np.column_stack([x, x])),
        (np.column_stack([x, x]), np.column_stack([x, np.ones(200)])),
        (np.column_stack([x, x]), np.column_stack([x, x])[:9]),
        (np.column_stack([x, x]), np.column_stack([x, np.full(200, np.nan)])),
    ]:
        assert np.isnan(relations.relations(pair(reference, window)).p_value[0, 1])


def test_a_column_and_its_copy_stay_certain(pair, rng):
    x = rng.normal(size=(500, 1))
    found = relations.relations(pair(np.tile(x, 2), np.tile(x[:100], 2)))
    assert found.p_value[0, 1] == 1
    assert found.details["r"][0, 1] == pytest.approx(1, abs=1e-12)


def stephens(gap, n, m, tau):
    """Q((s + 0.12 + 0.11 / s) D) by its alternating series."""
    s = math.sqrt(n * m / (n + m) / tau)
    x = (s + 0.12 + 0.11 / s) * gap
    return 2 * math.fsum((-1) ** (j - 1) * math.exp(-2 * j * j * x * x) for j in range(1, 200))


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_ks_chance_is_the_limit_law_with_stephens_terms(tau, pair, rng):
    reference, window = rng.normal(size=1000), rng.normal(0.2, 1, size=300)
    found = ks.ks(pair(reference, window, tau=tau))
    assert found.p_value[0] == pytest.approx(stephens(found.statistic[0], 300, 1000, tau), rel=1e-12)


def plain_shares(reference_counts, window_counts):
    used = [(c, o) for c, o in zip(reference_counts, window_counts, strict=True) if c + o > 0]
    k, m, n = len(used), sum(reference_counts), sum(window_counts)
    return [((c + 0.5) / (m + k / 2), (o + 0.5) / (n + k / 2)) for c, o in used], k, m, n


counts = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)), min_size=1, max_size=22)


@given(counts)
def test_psi_is_the_plain_loop(pairs):
    reference, window = [c for c, _ in pairs], [o for _, o in pairs]
    used, *_ = plain_shares(reference, window)
    known = math.fsum((q - p) * math.log(q / p) for p, q in used)
    assert psi.index(np.array(reference), np.array(window)).item() == pytest.approx(known, abs=1e-12)


@given(counts)
def test_chi_square_is_the_plain_loop(pairs):
    reference, window = [c for c, _ in pairs] + [10], [o for _, o in pairs] + [3]
    used, k, m, n = plain_shares(reference, window)
    v = 2.5 * (1 / n + 1 / m)
    known = math.fsum((q - p) ** 2 / ((m * p + n * q) / (m + n)) for p, q in used) / v
    value, freedom = chi_square.statistic(np.array(reference), np.array(window), np.array(v))
    assert value.item() == pytest.approx(known, rel=1e-12, abs=1e-12)
    assert freedom.item() == k - 1


def test_chi_square_is_near_scipys_contingency_when_cells_are_full(rng):
    reference, window = rng.multinomial(100_000, [0.1] * 10), rng.multinomial(10_000, [0.1] * 10)
    value, freedom = chi_square.statistic(reference, window, np.array(1 / 100_000 + 1 / 10_000))
    known = stats.chi2_contingency(np.stack([reference, window]), correction=False)
    assert freedom.item() == known.dof
    assert value.item() == pytest.approx(known.statistic, rel=0.01)


def test_chi_square_chance_is_scipys_tail(pair, rng):
    found = chi_square.chi_square(pair(rng.normal(size=2000), rng.normal(0.3, 1, size=300)))
    known = stats.chi2.sf(found.statistic[0], found.details["freedom"][0])
    assert found.p_value[0] == pytest.approx(known, rel=1e-12)


@given(c=st.integers(0, 40), o=st.integers(1, 30), share=st.floats(0.01, 0.6))
def test_rare_chance_is_the_binomial_tail(c, o, share):
    found = chi_square.rare_chance(np.array([c]), np.array([o]), np.ones(1), share)[0]
    assert found == pytest.approx(stats.binom.sf(o - 1, c + o, share), rel=1e-12, abs=1e-300)


def test_two_rows_of_a_rare_category_are_not_proof(pair):
    reference = np.repeat([0.0, 1.0, 2.0], [6000, 3995, 5])
    window = np.repeat([0.0, 1.0, 2.0], [74, 49, 2])
    assert chi_square.chi_square(pair(reference, window, "category")).p_value[0] > 1e-3


def test_a_fifth_of_a_new_category_is_proof(pair):
    reference, window = np.repeat([0.0, 1.0], [600, 400]), np.repeat([0.0, 1.0, 2.0], [60, 40, 25])
    assert chi_square.chi_square(pair(reference, window, "category")).p_value[0] < 1e-9


def test_missing_share_is_the_two_proportion_z(pair, rng):
    reference, window = with_gaps(rng.normal(size=2000), rng), with_gaps(rng.normal(size=500), rng)
    found = missing_share.missing_share(pair(reference, window, tau=2.0))
    p, q = np.isnan(reference).mean(), np.isnan(window).mean()
    pooled = (np.isnan(reference).sum() + np.isnan(window).sum()) / 2500
    z = (q - p) / math.sqrt(pooled * (1 - pooled) * 2 * (1 / 500 + 1 / 2000))
    assert found.statistic[0] == pytest.approx(q - p, abs=1e-12)
    assert found.p_value[0] == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-12)


def test_summary_is_numpys(pair, rng):
    reference, window = rng.normal(size=500), with_gaps(rng.normal(1, 2, size=200), rng)
    found = summary.summary(pair(reference, window)).details
    assert found["mean"][0] == pytest.approx(np.nanmean(window), rel=1e-12)
    assert found["sd"][0] == pytest.approx(np.nanstd(window), rel=1e-12)
    for name, share in {"q05": 0.05, "q50": 0.5, "q95": 0.95}.items():
        assert found[name][0] == pytest.approx(np.nanquantile(window, share), rel=1e-12)
    present = window[~np.isnan(window)]
    outside = np.mean((present < reference.min()) | (present > reference.max()))
    assert found["out_of_range"][0] == pytest.approx(outside)


def test_summary_counts_values_the_reference_lacks(pair):
    found = summary.summary(pair(np.array([0.0, 1, 1, 2]), np.array([0.0, 3, -1, np.nan]), "category"))
    assert found.details["new_share"][0] == pytest.approx(2 / 3)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_holm_is_the_plain_loop(p_values):
    known, worst = {}, 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[i]))
        known[i] = worst
    found = holm.adjust(np.array(p_values))
    assert found.tolist() == pytest.approx([known[i] for i in range(len(p_values))], abs=1e-12)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_tau_of_an_autoregression_is_theorys(phi):
    rng = np.random.default_rng(4)
    x = np.zeros(100_000)
    for i, e in enumerate(rng.normal(size=len(x))):
        x[i] = phi * x[i - 1] + e
    found = autocorrelation.integrated_time((x - x.mean())[None, None])[0]
    assert found == pytest.approx((1 + phi) / (1 - phi), rel=0.15)


def test_tau_by_fft_is_tau_by_plain_sums(rng):
    x = np.repeat(rng.normal(size=60), 5)
    x -= x.mean()
    rho = [float(np.dot(x[: len(x) - lag], x[lag:]) / np.dot(x, x)) for lag in range(len(x))]
    tau = 1.0
    for lag in range(len(x)):
        tau = 1 + 2 * math.fsum(rho[1 : lag + 1])
        if lag >= 5 * tau:
            break
    assert autocorrelation.integrated_time(x[None, None])[0] == pytest.approx(tau, rel=1e-12)


def test_tau_of_a_constant_is_one():
    assert autocorrelation.integrated_time(np.zeros((1, 1, 500)))[0] == 1.0


def test_tau_of_categories_in_bursts_is_their_length(rng):
    cell = np.repeat(rng.integers(0, 5, size=4000), 6)
    found = autocorrelation.integrated_time(autocorrelation.cell_indicators(cell, 7)[None])[0]
    assert found == pytest.approx(6, rel=0.1)


@given(st.lists(st.one_of(st.integers(-5, 5).map(float), st.just(math.nan)), min_size=1, max_size=50))
def test_centred_ranks_are_scipys(values):
    x = np.array(values)
    present = ~np.isnan(x)
    found = autocorrelation.centred_ranks(x, np.argsort(x))
    known = stats.rankdata(x[present]) - (present.sum() + 1) / 2
    np.testing.assert_allclose(found[present], known, atol=1e-12)
    assert not found[~present].any()


def test_a_value_that_fills_a_decile_gets_its_own_cell(rng):
    x = np.concatenate([np.zeros(600), rng.exponential(size=400), np.full(300, 9.0)])
    cut = cells.cut(np.sort(x), "numeric", n_bins=10)
    counted = np.bincount(cut.place(x), minlength=cut.size)
    assert counted[cut.place(np.zeros(1))[0]] == 600
    assert counted[cut.place(np.full(1, 9.0))[0]] == 300
    assert counted.sum() == len(x)


def test_rare_categories_share_a_cell():
    x = np.repeat(np.arange(30.0), np.arange(30) + 1)
    cut = cells.cut(x, "category", n_bins=10)
    assert len(cut.points) == cells.MAX_VALUES
    assert cut.labels[cut.place(np.zeros(1))[0]] == "other or new"
    assert cut.labels[cut.place(np.array([np.nan]))[0]] == "missing"
