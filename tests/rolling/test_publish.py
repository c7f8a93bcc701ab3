from __future__ import annotations

import io

import joblib
import numpy as np
import pytest

from mlpipe.prediction import forest as kernels
from mlpipe.rolling import learning, publish, vote
from tests.rolling.conftest import rows


@pytest.mark.parametrize("n_more", [0, 1, 150, 400])
def test_collapsed_forest_equals_the_vote(learned, n_more):
    state = learning.learn(learned, *rows(n_more, seed=3)) if n_more else learned
    X, _ = rows(500, seed=4)
    plain = publish.collapse(state)
    assert plain.n_jobs is None
    assert np.abs(plain.predict_proba(X) - vote.scores(state, X)).max() <= 1e-12
    assert np.array_equal(plain.predict(X), state.classes[vote.scores(state, X).argmax(axis=1)])


def test_collapsed_regression_equals_the_vote(regression):
    X, _ = rows(500, seed=4)
    assert np.allclose(publish.collapse(regression).predict(X), vote.scores(regression, X), rtol=1e-12, atol=1e-12)


def test_collapsed_forest_survives_joblib_and_the_serving_kernel(learned):
    X, _ = rows(300, seed=4)
    plain, file = publish.collapse(learned), io.BytesIO()
    joblib.dump(plain, file)
    file.seek(0)
    loaded = joblib.load(file)
    scorer = kernels.compile_estimator(loaded)
    assert np.array_equal(loaded.predict_proba(X), plain.predict_proba(X))
    assert scorer.exact_kernel
    assert np.array_equal(scorer(X), plain.predict_proba(X))


def test_collapsed_forest_says_what_matters(learned):
    importances = publish.collapse(learned).feature_importances_
    assert set(np.argsort(importances)[-2:]) == {0, 1}


def test_new_class_reaches_the_collapsed_forest(learned):
    X, _ = rows(300, seed=8)
    X[:, 0] += 20
    plain = publish.collapse(learning.learn(learned, X, np.full(300, 7.0)))
    assert plain.classes_.tolist() == [0.0, 1.0, 7.0]
    assert (plain.predict(X) == 7).mean() > 0.9
