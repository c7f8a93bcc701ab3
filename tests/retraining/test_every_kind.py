"""Properties that every model kind has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlpipe import errors, settings
from mlpipe.prediction import forest
from mlpipe.registry import artifacts
from mlpipe.retraining import fit, importance, kinds

CLASSES = np.array([0.0, 1.0])


def rows(rng: np.random.Generator, n: int = 400) -> tuple[fit.Floats, fit.Floats]:
    """Two numbers, one with gaps, and a category whose third value decides."""
    X = np.column_stack([rng.normal(size=n), rng.normal(size=n), rng.integers(0, 4, n)])
    y = ((X[:, 0] > 0) ^ (X[:, 2] == 2)) * 1.0
    X[::9, 1] = np.nan
    X[::11, 2] = np.nan
    return X, y


def parameters(kind: str, **changes: object) -> fit.Parameters:
    return fit.Parameters(n_estimators=15, kind=kind, categories=(2,), **changes)  # type: ignore[arg-type]


@pytest.fixture(params=kinds.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_settings_know_the_same_kinds() -> None:
    assert set(settings.MODEL_KINDS) == {*kinds.KINDS, *kinds.RESERVED}
    assert not set(kinds.RESERVED) & set(kinds.KINDS)


def test_gaps_and_categories_are_handled_inside_the_saved_object(
    kind: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    X, y = rows(rng)
    model = fit.fit(X, y, task="classification", parameters=parameters(kind))
    artifacts.dump_model(model, tmp_path / "m")
    loaded = artifacts.joblib.load(tmp_path / "m")
    X[0] = [np.nan, np.nan, 9.0]  # a category that was never seen
    scores = forest.compile_estimator(loaded)(X)
    np.testing.assert_allclose(scores, fit.score(model, X, CLASSES), atol=1e-12)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    assert (scores.argmax(axis=1) == y).mean() > 0.6


def test_a_fit_is_repeatable(kind: str, rng: np.random.Generator) -> None:
    X, y = rows(rng)
    one, two = (fit.fit(X, y, task="classification", parameters=parameters(kind)) for _ in range(2))
    np.testing.assert_array_equal(fit.score(one, X, CLASSES), fit.score(two, X, CLASSES))


def test_values_are_predicted(kind: str, rng: np.random.Generator) -> None:
    X, _ = rows(rng)
    model = fit.fit(X, 3 * X[:, 0], task="regression", parameters=parameters(kind))
    assert np.corrcoef(fit.score(model, X, np.empty(0)), X[:, 0])[0, 1] > 0.9


def test_one_class_alone_is_answered(kind: str, rng: np.random.Generator) -> None:
    X, y = rows(rng)
    model = fit.fit(X, np.zeros(len(y)), task="classification", parameters=parameters(kind))
    assert fit.score(model, X[:3], CLASSES).tolist() == [[1.0, 0.0]] * 3


def test_importance_finds_the_column_that_counts(kind: str, rng: np.random.Generator) -> None:
    X, _ = rows(rng)
    y = (X[:, 0] > 0) * 1.0
    model = fit.fit(X, y, task="classification", parameters=parameters(kind))
    found = importance.importance(model, X, y, CLASSES, seed=0)
    assert found.argmax() == 0
    assert found.sum() == pytest.approx(1)


def test_newer_rows_count_more_with_a_half_life(kind: str, rng: np.random.Generator) -> None:
    X, _ = rows(rng)
    y = (X[:, 0] > 0) * 1.0
    y[:300] = 1 - y[:300]
    model = fit.fit(X, y, task="classification", parameters=parameters(kind, half_life=30))
    assert (fit.score(model, X[300:], CLASSES).argmax(axis=1) == y[300:]).mean() > 0.9


def test_a_balanced_fit_predicts_the_rare_class_more_often(kind: str, rng: np.random.Generator) -> None:
    X, _ = rows(rng, 2000)  # of 400 rows boosting learns the noise by heart, whatever the rows weigh
    y = (rng.random(len(X)) < 0.1) * 1.0
    fresh, _ = rows(rng, 2000)
    plain, even = (
        fit.score(
            fit.fit(X, y, task="classification", parameters=parameters(kind, class_weight=weight)), fresh, CLASSES
        )
        for weight in ("none", "balanced")
    )
    assert even[:, 1].mean() > plain[:, 1].mean() + 0.1


def test_every_candidate_of_a_search_can_be_fitted(kind: str, rng: np.random.Generator) -> None:
    X, y = rows(rng)
    for options in kinds.KINDS[kind].candidates:
        model = fit.fit(X, y, task="classification", parameters=parameters(kind, options=options))
        assert np.isfinite(fit.score(model, X, CLASSES)).all()


@pytest.mark.parametrize("name", kinds.RESERVED)
def test_a_reserved_name_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(errors.FitFailed, match="cannot be trained here"):
        kinds.find(name)


def test_a_model_whose_code_is_gone_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.retraining import own_models  # noqa: PLC0415  it is unmade below

    artifacts.dump_model(own_models.Trouble(), tmp_path / artifacts.MODEL)
    monkeypatch.delattr(own_models, "Trouble")
    with pytest.raises(errors.ArtifactCorrupt, match="needs code that cannot be imported here"):
        artifacts._unpickle(tmp_path, (tmp_path / artifacts.MODEL).read_bytes())
