"""A version that goes on learning, from the first model to a retraining beside it."""

from dataclasses import replace

import numpy as np
import pytest

from mlpipe import clock, db
from mlpipe.incidents import store as incidents
from mlpipe.jobs import asking as asked
from mlpipe.jobs import service as jobs
from mlpipe.jobs import store
from mlpipe.learning import turns
from mlpipe.registry import artifacts, revision_files
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.retraining import asking, honest
from mlpipe.retraining import service as retraining
from tests import trained

HOLDER = "t"


@pytest.fixture
def rolling(app, settings):
    assert jobs.lead(HOLDER, lease_s=600)
    return replace(settings, model_kind="rolling_forest", learn_labels=1, window_size=100, retrain_cooldown_s=0.0)


@pytest.fixture
def classroom(app, client, rolling, rng):
    trained.ingest(client, 200, rng)
    trained.train(app, rolling)
    return turns.Classroom()


def version(number):
    with db.reading() as connection:
        return versions.get(connection, number)


def learn(client, classroom, rolling, rng, n):
    trained.ingest(client, n, rng)
    return turns.take_turn(classroom, rolling, holder=HOLDER)


def test_the_first_version_goes_on_learning(app, client, classroom, rolling, rng):
    first = version(1)
    assert (first.kind, revision_files.START in first.files) == ("rolling_forest", True)
    assert learn(client, classroom, rolling, rng, 50) == 50
    assert trained.champion(app).refresh()
    answer = client.post("/predict", json={"features": [[1.0, 0.0, 0.0]]}).json
    assert (answer["predictions"], answer["model_version"], answer["model_revision"]) == ([1], 1, 1)


def test_its_reference_holds_honest_answers_alone(app, classroom, rolling):

    kept = artifacts.load_reference(registry.folder(rolling.models_folder, 1), version(1).files)
    assert len(kept["X"]) == len(kept["scores"]) == 100  # the first half was fitted on


def test_answers_are_found_again_for_the_rows(client, classroom, rolling, rng):
    learn(client, classroom, rolling, rng, 60)
    learn(client, classroom, rolling, rng, 30)
    found = honest.answers(version(1), rows=80)
    assert found.scores.shape == (80, 2)
    assert len(found.samples) == 80
    right = (found.scores[:, 1] > 0.5) == (found.samples.y == 1)
    assert right.mean() > 0.8


def retrain(app, rolling, **evidence):
    with db.transaction() as connection:
        asked.ask(connection, "because", trigger=evidence.pop("trigger"), because="because", evidence=evidence)
    job = retraining.run_next(rolling, holder=HOLDER)
    assert job is not None
    with db.reading() as connection:
        return store.get(connection, job.id)


def test_drift_alone_cuts_a_version_without_a_fit(app, client, classroom, rolling, rng):
    learn(client, classroom, rolling, rng, 150)
    before = classroom.learner.state
    job = retrain(app, rolling, trigger="drift", report=1, since=1)
    assert job.outcome == "promoted"
    assert "Nothing was refitted" in job.sentence
    second = version(2)
    assert (second.kind, second.parameters["continues"], second.verdict["decision"]) == ("rolling_forest", 1, "cut")
    turns.take_turn(classroom, rolling, holder=HOLDER)
    assert classroom.learner.number == 2
    assert np.array_equal(classroom.learner.state.sums, before.sums)
    assert learn(client, classroom, rolling, rng, 20) == 20


def test_a_drift_waits_for_labels_that_show_that_it_has_kept_up(app, client, classroom, rolling, rng):
    learn(client, classroom, rolling, rng, 150)
    job = retrain(app, rolling, trigger="drift", report=1, since=clock.now_us())
    assert (job.state, job.outcome) == ("queued", None)
    assert "have come since the drift began" in client.get("/ledger?kind=skip").json["items"][0]["sentence"]
    assert version(2) is None


def test_a_class_that_was_not_seen_lately_is_kept(app, client, rolling, rng):
    X, _ = trained.rows(300, rng)
    y = [2 if n < 10 else int(row[0] > 0) for n, row in enumerate(X[:200])]
    client.post("/ingest/batch", json={"features": X[:200], "labels": y})
    trained.train(app, rolling)
    classroom = turns.Classroom()
    learn(client, classroom, rolling, rng, 150)
    assert retrain(app, rolling, trigger="drift", report=1, since=1).outcome == "promoted"
    assert version(2).parameters["classes"] == [0.0, 1.0, 2.0]
    assert trained.champion(app).refresh()
    assert client.post("/predict", json={"features": X[200:]}).status_code == 200


def test_a_drop_of_quality_trains_beside_it(app, client, classroom, rolling, rng):
    learn(client, classroom, rolling, rng, 150)
    with db.transaction() as connection:
        incidents.open_or_update(connection, "quality", "worse")
    job = retrain(app, rolling, trigger="drift", report=1)
    assert job.state == "done"
    assert job.outcome in ("promoted", "rejected")
    assert job.result["verdict"]["mode"] == "no_harm"


def test_age_does_not_ask_beside_a_forest_that_renews_itself(app, client, classroom, rolling, rng):
    eager = replace(rolling, max_age_rows=50)
    learn(client, classroom, eager, rng, 150)
    asking.ask_if_due(eager)
    with db.reading() as connection:
        assert store.open_job(connection, asking.KIND) is None
    asking.ask_if_due(replace(eager, model_kind="auto"))
    with db.reading() as connection:
        assert store.open_job(connection, asking.KIND) is not None


def test_auto_says_which_kind_was_better(app, client, rolling, rng):
    auto = replace(rolling, model_kind="auto")
    trained.ingest(client, 200, rng)
    trained.train(app, auto)
    first = version(1)
    assert first.kind in ("rolling_forest", "hist_gradient_boosting")
    said = client.get("/ledger?kind=verdict").json["items"][0]["sentence"]
    assert "Of the kinds compared" in said
    assert first.kind in said


def test_auto_tries_boosting_beside_a_rolling_forest(app, client, classroom, rolling, rng):
    learn(client, classroom, rolling, rng, 150)
    job = retrain(app, replace(rolling, model_kind="auto"), trigger="age")
    assert job.state == "done"
    made = version(2)
    assert (made and made.kind) == ("hist_gradient_boosting" if job.outcome == "promoted" else None)


def test_a_champion_whose_newest_state_is_gone_is_not_challenged(app, client, classroom, rolling, rng):
    learn(client, classroom, rolling, rng, 150)
    (registry.folder(rolling.models_folder, 1) / revision_files.FOLDER / "1.joblib").unlink()
    job = retrain(app, rolling, trigger="quality")
    assert (job.outcome, version(2)) == ("failed", None)
    assert "newest state of version 1 cannot be read" in job.sentence


def test_regression_goes_on_learning(app, client, rolling, rng):
    X = rng.normal(size=(300, 3)).round(6)
    y = (2 * X[:, 0] + 1.5).round(6)
    body = {"features": X[:200].tolist(), "labels": y[:200].tolist()}
    assert client.post("/ingest/batch", json=body).status_code == 201
    trained.train(app, rolling)
    client.post("/ingest/batch", json={"features": X[200:].tolist(), "labels": y[200:].tolist()})
    classroom = turns.Classroom()
    assert turns.take_turn(classroom, rolling, holder=HOLDER) == 100
    assert trained.champion(app).refresh()
    assert client.post("/predict", json={"features": [[1.0, 0.0, 0.0]]}).json["predictions"][0] > 2
