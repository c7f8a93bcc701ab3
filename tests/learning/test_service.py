from dataclasses import replace

import numpy as np
import pytest

from mlpipe import clock, db, errors
from mlpipe.jobs import leases
from mlpipe.jobs import service as jobs
from mlpipe.learning import service, store, turns
from mlpipe.learning.learner import Learner
from mlpipe.registry import revision_files, revisions
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.rolling import checkpoint
from tests import trained
from tests.learning import rolled


@pytest.fixture
def eager(settings):
    return replace(settings, learn_labels=1)


@pytest.fixture
def classroom(app, eager, rng):
    rolled.serve(app, eager, rng)
    return turns.Classroom()


def turn(classroom, eager):
    return turns.take_turn(classroom, eager, holder=rolled.HOLDER)


def packed(state):
    return {name: array.tobytes() for name, array in checkpoint.pack(state).items()}


def test_labels_are_learned_once_and_published(app, client, classroom, eager, rng):
    trained.ingest(client, 50, rng)
    assert turn(classroom, eager) == 50
    assert turn(classroom, eager) == 0
    assert client.get("/learning").json["labels_learned"] == 50
    assert trained.champion(app).refresh()
    answer = client.post("/predict", json={"features": [[1.0, 0.0, 0.0]]}).json
    assert (answer["model_version"], answer["model_revision"]) == (1, 1)


def test_a_worker_serves_what_the_learner_knows(app, client, classroom, eager, rng):
    X, y = trained.rows(200, rng)
    flipped = [1 - label for label in y]
    client.post("/ingest/batch", json={"features": X, "labels": flipped})
    before = client.post("/predict", json={"features": X}).json["predictions"]
    turn(classroom, eager)
    assert trained.champion(app).refresh()
    after = client.post("/predict", json={"features": X}).json["predictions"]
    assert np.mean(np.array(before) == y) > 0.8
    assert np.mean(np.array(after) == flipped) > 0.8


def test_feedback_is_learned_and_a_correction_is_not_learned_again(client, classroom, eager):
    ids = client.post("/predict", json={"features": [[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]]}).json["prediction_ids"]
    client.post("/feedback", json={"prediction_ids": ids, "labels": [1, 1]})
    assert turn(classroom, eager) == 2
    client.post("/feedback", json={"prediction_ids": ids[:1], "labels": [0]})
    assert turn(classroom, eager) == 0


def test_labels_that_come_after_their_rows_are_learned(client, classroom, eager):
    client.post("/ingest/batch", json={"features": [[1.0, 0.0, 0.0]] * 3, "row_ids": ["a", "b", "c"]})
    assert turn(classroom, eager) == 0
    client.post("/feedback", json={"labels": [{"row_id": "b", "label": 1}, {"row_id": "a", "label": 0}]})
    assert turn(classroom, eager) == 2
    with db.reading() as connection:
        step = store.newest(connection, 1)
    found = classroom.learner.rows(step.after, step.upto).samples
    assert sorted(zip(found.ids[:, 1].tolist(), found.y.tolist(), strict=True)) == [(0, 0.0), (1, 1.0)]


def test_a_restart_rebuilds_the_state_bit_for_bit(client, classroom, eager, rng):
    for n in (30, 55, 7, 90):
        trained.ingest(client, n, rng)
        turn(classroom, eager)
    again = Learner(eager.models_folder, service.serving())
    assert again.state.n_learned == 182
    assert packed(again.state) == packed(classroom.learner.state)


def test_other_cuts_give_the_same_state(client, classroom, eager, rng):
    X, y = trained.rows(130, rng)
    for first in range(0, 130, 13):
        client.post("/ingest/batch", json={"features": X[first : first + 13], "labels": y[first : first + 13]})
    turn(classroom, eager)
    at_once = packed(classroom.learner.state)
    rolled.register(eager, number=2)
    with db.transaction() as connection:
        registry.deploy(connection, 2, by="test", reason="because")
    turn(classroom, eager)
    assert classroom.learner.state.n_learned == 0  # version 2 was started on these rows
    assert packed(Learner(eager.models_folder, _version(1)).state) == at_once


def _version(number):
    with db.reading() as connection:
        return versions.get(connection, number)


def test_a_step_that_was_written_but_not_published_is_published_after_a_restart(client, classroom, eager, rng):
    trained.ingest(client, 50, rng)
    learner = Learner(eager.models_folder, service.serving())
    turns._learn_all(learner, holder=rolled.HOLDER)
    assert client.get("/learning").json["model_revision"] == 0
    turn(classroom, eager)
    assert client.get("/learning").json["labels_learned"] == 50


def test_only_the_leader_learns(client, classroom, eager, rng):
    trained.ingest(client, 50, rng)
    assert turns.take_turn(classroom, eager, holder="somebody else") == 0
    assert client.get("/learning").json["items"] == []


def test_a_leader_that_slept_writes_nothing(client, classroom, eager, rng):
    trained.ingest(client, 50, rng)
    with db.transaction() as connection:
        leases.release(connection, jobs.LEADER, rolled.HOLDER)
    assert turn(classroom, eager) == 0
    assert classroom.learner is None


def test_two_learners_write_one_step(client, classroom, eager, rng):
    first, second = (Learner(eager.models_folder, service.serving()) for _ in range(2))
    trained.ingest(client, 50, rng)
    assert turns._learn_all(first, holder=rolled.HOLDER)
    assert turns._learn_all(second, holder=rolled.HOLDER)  # it finds nothing left to do
    with db.reading() as connection:
        assert [step.number for step in store.page(connection, 1, limit=9)] == [1]


def test_rows_of_a_class_the_version_does_not_know_are_left_out(client, classroom, eager, rng):
    trained.ingest(client, 40, rng)
    turn(classroom, eager)
    learner = classroom.learner
    with db.reading() as connection:
        step = store.newest(connection, 1)
    learner.state = replace(learner.state, classes=np.array([0.0, 7.0]))
    rows = learner.rows(step.after, step.upto)
    assert rows.n_unknown > 0
    assert len(rows) + rows.n_unknown == 40


@pytest.fixture
def learned(client, classroom, eager, rng):
    """The version has learned enough for its guard to judge."""
    for _ in range(4):
        trained.ingest(client, 100, rng)
        turn(classroom, eager)
    return classroom


def poison(client, rng, n=100):
    X, y = trained.rows(n, rng)
    client.post("/ingest/batch", json={"features": X, "labels": [1 - label for label in y]})


def test_labels_that_contradict_are_held_and_a_person_can_release_them(client, learned, eager, rng):
    poison(client, rng)
    assert turn(learned, eager) == 0
    (held,) = client.get("/learning").json["held"]
    assert held["rows"] == 100
    incident = client.get("/incidents?state=open").json["items"][0]
    assert (incident["kind"], "labels back" in incident["sentence"]) == ("labels_held", True)
    assert client.post(f"/learning/steps/{held['step']}/release").status_code == 200
    assert turn(learned, eager) == 100
    assert client.get("/learning").json["held"] == []
    assert client.get("/incidents?state=open").json["items"] == []
    assert client.post(f"/learning/steps/{held['step']}/release").status_code == 404


def test_a_world_that_has_changed_is_learned_in_the_end(client, learned, eager, rng):
    for _ in range(7):
        poison(client, rng)
        turn(learned, eager)
    assert client.get("/learning").json["held"] == []
    assert client.get("/learning").json["labels_learned"] == 1100
    assert "the world has changed" in client.get("/ledger").text
    assert packed(Learner(eager.models_folder, service.serving()).state) == packed(learned.learner.state)


def test_discarded_labels_are_never_learned(client, learned, eager, rng):
    poison(client, rng)
    turn(learned, eager)
    (held,) = client.get("/learning").json["held"]
    client.post(f"/learning/steps/{held['step']}/discard", json={"reason": "a bad upload"})
    trained.ingest(client, 100, rng)
    assert turn(learned, eager) == 100
    assert client.get("/learning").json["labels_learned"] == 500


def test_one_can_go_back(app, client, classroom, eager, rng):
    trained.ingest(client, 40, rng)
    turn(classroom, eager)
    good = packed(classroom.learner.state)
    trained.ingest(client, 30, rng)
    turn(classroom, eager)
    answer = client.post("/learning/revisions/1/restore", json={"reason": "poison"})
    assert (answer.status_code, answer.json["kind"]) == (200, "restored")
    turn(classroom, eager)
    assert packed(classroom.learner.state) == good
    assert packed(Learner(eager.models_folder, service.serving()).state) == good
    assert trained.champion(app).refresh()
    assert "poison" in client.get("/ledger").json["items"][0]["sentence"]


def test_a_revision_that_is_not_kept_cannot_be_restored(client, classroom):
    answer = client.post("/learning/revisions/7/restore")
    assert answer.status_code == 404
    assert "no checkpoint of revision 7; it has those of 0" in answer.json["detail"]


def test_a_damaged_checkpoint_is_passed_over(client, classroom, eager, rng):
    for n in (40, 40):
        trained.ingest(client, n, rng)
        turn(classroom, eager)
    whole = packed(classroom.learner.state)
    (registry.folder(eager.models_folder, 1) / revision_files.FOLDER / "2.npz").write_bytes(b"damaged")
    assert packed(Learner(eager.models_folder, service.serving()).state) == whole


def test_a_version_whose_start_is_lost_serves_and_says_so(client, classroom, eager):
    (registry.folder(eager.models_folder, 1) / revision_files.START).unlink()
    with pytest.raises(errors.ArtifactCorrupt):
        turn(classroom, eager)
    incident = client.get("/incidents").json["items"][0]
    assert (incident["kind"], incident["state"]) == ("learning", "open")
    assert client.post("/predict", json={"features": [[1.0, 0.0, 0.0]]}).status_code == 200


def test_files_of_old_revisions_go(client, classroom, eager, rng):
    for _ in range(revision_files.KEPT + 3):
        trained.ingest(client, 20, rng)
        turn(classroom, eager)
    names = {path.name for path in (registry.folder(eager.models_folder, 1) / revision_files.FOLDER).iterdir()}
    assert len([name for name in names if name.endswith(".joblib")]) == revision_files.KEPT
    assert len([name for name in names if name.endswith(".npz")]) <= revision_files.KEPT_CHECKPOINTS + 3
    with db.reading() as connection:
        kept = [f"{one.revision}.npz" for one in revisions.with_checkpoint(connection, 1)]
    assert set(kept) <= names


def test_fewer_labels_wait_for_a_while(client, classroom, eager, rng):
    patient = replace(eager, learn_labels=100, learn_interval_s=3600.0)
    trained.ingest(client, 99, rng)
    assert turn(classroom, patient) == 0
    trained.ingest(client, 1, rng)
    assert turn(classroom, patient) == 100


def test_nothing_learns_beside_a_plain_forest(trained_app, trained_settings):
    assert turns.take_turn(turns.Classroom(), trained_settings, holder="t") == 0
    with pytest.raises(errors.NotFound, match="rolling_forest"):
        service.restore(1, trained_settings, by="test", reason="because")


def test_answers_before_learning_are_kept(client, classroom, eager, rng):
    trained.ingest(client, 50, rng)
    turn(classroom, eager)
    with db.reading() as connection:
        ((step, scores),) = store.scored(connection, 1, limit=5)
    kept = np.frombuffer(scores).reshape(step.n_rows, -1)
    assert kept.shape == (50, 2)
    assert np.allclose(kept.sum(axis=1), 1)
    assert step.at <= clock.now_us()


def test_a_damaged_revision_is_passed_over_and_published_again(app, client, classroom, eager, rng):
    for _ in range(2):
        trained.ingest(client, 40, rng)
        turn(classroom, eager)
    (registry.folder(eager.models_folder, 1) / revision_files.FOLDER / "2.joblib").write_bytes(b"damaged")
    assert trained.champion(app).refresh()
    assert client.post("/predict", json={"features": [[1.0, 0.0, 0.0]]}).json["model_revision"] == 1
    turn(turns.Classroom(), eager)
    with db.reading() as connection:
        assert revisions.newest(connection, 1).revision == 3


def test_a_later_restore_makes_an_unreadable_one_irrelevant(client, classroom, eager, rng):
    for _ in range(2):
        trained.ingest(client, 40, rng)
        turn(classroom, eager)
    client.post("/learning/revisions/1/restore")
    (registry.folder(eager.models_folder, 1) / revision_files.FOLDER / "1.npz").write_bytes(b"damaged")
    with pytest.raises(errors.ArtifactCorrupt):
        turn(classroom, eager)
    assert client.get("/incidents?state=open").json["items"][0]["kind"] == "learning"
    assert client.post("/learning/revisions/1/restore").status_code == 503
    assert client.post("/learning/revisions/2/restore").status_code == 200
    turn(turns.Classroom(), eager)
    assert client.get("/learning").json["labels_learned"] == 80
