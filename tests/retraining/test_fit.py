from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from mlpipe.retraining import fit

SMALL = fit.Parameters(n_estimators=30, max_depth=5, random_state=42)


def sample(rng: np.random.Generator, n: int = 400) -> tuple[fit.Floats, fit.Floats]:
    X = rng.normal(size=(n, 4))
    X[::7, 1] = np.nan
    return X, (X[:, 0] > 0).astype(float)


def test_cross_scores_come_from_forests_that_have_not_seen_the_row(rng: np.random.Generator) -> None:
    X, y = sample(rng)
    found = fit.cross_scores(X, y, task="classification", parameters=SMALL)
    others = np.arange(len(X)) >= len(X) // fit.FOLDS
    first = fit.fit(X[others], y[others], task="classification", parameters=SMALL)
    np.testing.assert_array_equal(found[~others], first.predict_proba(X[~others]))


def test_cross_scores_look_like_those_of_new_rows(rng: np.random.Generator) -> None:
    X = rng.normal(size=(3000, 4))
    y = (X[:, 0] + rng.normal(0, 1, 3000) > 0).astype(float)
    parameters = fit.Parameters(n_estimators=30, max_depth=12)
    found = fit.cross_scores(X[:2000], y[:2000], task="classification", parameters=parameters)[:, 1]
    forest = fit.fit(X[:2000], y[:2000], task="classification", parameters=parameters)
    assert ks_2samp(found, forest.predict_proba(X[2000:])[:, 1]).pvalue > 0.01
    assert found.std() < 0.95 * forest.predict_proba(X[:2000])[:, 1].std()  # scores of its own rows are sharper


def test_a_class_that_a_stretch_lacks_gets_probability_zero() -> None:
    X = np.arange(50.0).reshape(-1, 1)
    y = (X[:, 0] >= 40) * 1.0
    found = fit.cross_scores(X, y, task="classification", parameters=SMALL)
    assert found[40:].tolist() == [[1.0, 0.0]] * 10


def test_a_fit_is_repeatable_whatever_the_number_of_threads(rng: np.random.Generator) -> None:
    X, y = sample(rng)
    one = fit.fit(X, y, task="classification", parameters=SMALL)
    two = fit.fit(X, y, task="classification", parameters=SMALL, n_jobs=2)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def test_regression_scores_are_values(rng: np.random.Generator) -> None:
    X, _ = sample(rng)
    found = fit.cross_scores(X, X[:, 0] * 2, task="regression", parameters=SMALL)
    assert found.shape == (len(X),)
    assert np.corrcoef(found, X[:, 0])[0, 1] > 0.9


def test_the_defaults_are_the_forest_of_the_mission() -> None:
    assert fit.Parameters() == fit.Parameters(n_estimators=100, max_depth=10, random_state=42)
    with pytest.raises(TypeError):
        fit.Parameters(n_trees=1)  # type: ignore[call-arg]
