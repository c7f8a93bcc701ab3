from __future__ import annotations

import sqlalchemy as sa

from mlpipe import clock, db
from mlpipe.dashboard import store
from mlpipe.incidents.tables import incident_mutes, incidents
from mlpipe.prediction.tables import prediction_labels, predictions
from tests.dashboard import seed


def read(now_us=None, min_samples=100):
    with db.reading() as connection:
        return store.read(connection, now_us=now_us or clock.now_us(), min_samples=min_samples)


def test_a_page_costs_six_queries(app):
    seed.full(days=0.5)
    asked = []
    sa.event.listen(db.database.engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    read()
    assert sum(statement != "BEGIN" for statement in asked) == 6


def test_empty_database_is_a_picture_without_anything(app):
    picture = read()
    assert picture.serving is None
    assert (picture.traffic, picture.labels, picture.reports, picture.notes) == ((), (), (), ())
    assert picture.totals.database_bytes > 0


def test_traffic_counts_rows_by_bin_and_version_but_no_shadow(app):
    now = clock.now_us()
    seed.schema()
    seed.version(1, now)
    answered = [seed.request(now - 1000, n_rows=3), seed.request(now - 500, n_rows=4)]
    seed.insert(predictions, *answered, seed.request(now - 400) | {"route": "shadow"})
    picture = read(now)
    assert sum(part.n_rows for part in picture.traffic) == 7
    assert sum(part.n_requests for part in picture.traffic) == 2
    assert len(picture.latencies) == 2


def test_only_the_newest_requests_are_counted_and_the_cut_is_known(app, monkeypatch):
    monkeypatch.setattr(store, "MAX_REQUESTS", 10)
    now = clock.now_us()
    seed.schema()
    seed.version(1, now)
    seed.insert(predictions, *(seed.request(now - (30 - i) * seed.SECOND) for i in range(30)))
    picture = read(now)
    assert sum(part.n_requests for part in picture.traffic) == 10
    assert picture.traffic_cut


def test_large_requests_bound_the_latencies(app, monkeypatch):
    monkeypatch.setattr(store, "MAX_LATENCY_ROWS", 100)
    now = clock.now_us()
    seed.schema()
    seed.version(1, now)
    seed.insert(predictions, *(seed.request(now, n_rows=40) for _ in range(5)))
    assert len(read(now).latencies) == 2
    seed.insert(predictions, seed.request(now, n_rows=500))
    assert len(read(now).latencies) == 1


def test_corrected_and_parked_labels_do_not_count(app):
    now = clock.now_us()
    seed.schema()
    seed.version(1, now)
    right = seed.label(1, now - 10, value=1, output=1)
    old = seed.label(2, now - 10, value=0, output=1) | {"current": False}
    parked = seed.label(3, now, value=0, output=1) | {"predicted_at": None, "output": None}
    seed.insert(prediction_labels, right)
    seed.insert(prediction_labels, old)
    seed.insert(prediction_labels, parked)
    (only,) = read(now).labels
    assert (only.n, only.n_right, only.label) == (1, 1, 1.0)


def test_rows_since_the_check_are_those_of_the_active_version(app):
    now = clock.now_us()
    seed.schema()
    seed.version(1, now - 100)
    seed.insert(predictions, *(seed.request(now, n_rows=2) for _ in range(5)))
    seed.insert(store.drift_reports, seed.report(now, last=3))
    assert read(now).totals.rows_since_check == 4
    seed.version(2, now)
    assert read(now).totals.rows_since_check == 0


def test_features_are_read_of_the_newest_report_alone(app):
    seed.schema()
    seed.version(1, 1)
    seed.insert(store.drift_reports, seed.report(10), seed.report(20, last=2))
    older, newest = read().reports
    assert (older.features, older.sentence) == ((), None)
    assert newest.features[0]["name"] == seed.NAMES[0]


def test_regression_baseline_is_the_distance_from_the_average(app):
    now = clock.now_us()
    seed.schema("regression")
    seed.version(1, now, task="regression")
    seed.insert(prediction_labels, *(seed.label(i, now - 10, value=v, output=v + 1) for i, v in enumerate((0, 4))))
    (only,) = read(now).labels
    assert (only.n, only.error, only.baseline_error) == (2, 2.0, 4.0)


def test_an_incident_says_whether_somebody_knows_or_nobody_is_told(app):
    now = clock.now_us()
    seen = {"sentence": "x", "opened_at": now, "updated_at": now, "times": 1, "evidence": {}, "state": "open"}
    for known in ({"kind": "a"}, {"kind": "b", "acknowledged_at": now}, {"kind": "c"}, {"kind": "d"}):
        seed.insert(incidents, seen | known)
    seed.insert(incident_mutes, {"kind": "c", "until": now + 1}, {"kind": "d", "until": now})
    states = {note.kind: note.state for note in read(now).of("incident")}
    assert states == {"a": "open", "b": "acknowledged", "c": "muted", "d": "open"}
