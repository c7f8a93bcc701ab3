from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from mlpipe import clock, errors
from mlpipe.dashboard import service
from mlpipe.drift.tables import drift_reports
from mlpipe.jobs.tables import ledger
from mlpipe.prediction.tables import predictions
from tests.dashboard import seed

ROOT = Path(__file__).resolve().parents[2]
MAX_HTML = 80_000
MAX_ASSETS = 60_000
DATA = "/dashboard/data/overview"


@pytest.mark.parametrize("path", ["/", "/dashboard", "/dashboard/"])
def test_empty_database_shows_the_steps_to_a_first_model(client, settings, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert "mlpipe runs and is waiting for its first labelled rows." in answer.text
    assert f"0 of {settings.min_labelled}" in answer.text
    assert "plotly" not in answer.text.replace("plotly-template", "")


def test_empty_page_counts_labelled_rows(client, settings):
    seed.schema()
    seed.batch(n_rows=30, n_labelled=12)
    text = client.get("/").text
    assert f"12 of {settings.min_labelled}" in text
    assert "18 more without a label" in text
    assert client.get(DATA).json["values"]["n_labelled"] == 12


def test_one_prediction_is_a_page(client):
    seed.one_prediction()
    text = client.get("/").text
    assert "Not checked for drift yet. No label says whether it is right. Fast." in text
    assert "1\xa0prediction since" in text


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_full_page_has_three_charts_and_stays_small(client, task):
    seed.full(task=task)
    text = client.get("/").text
    assert len(text.encode()) <= MAX_HTML
    for name in ("drift", "quality", "predictions"):
        assert f'data-chart="{name}"' in text
    assert "Version 7 replaced version 6" in text
    assert "style=" not in text


def test_many_features_stay_small_and_are_counted(client):
    seed.full()
    features = [seed.feature(f"column_{i}", 0.01, 0.05, p=1.0, effective=9) for i in range(200)]
    seed.insert(drift_reports, seed.report(clock.now_us(), features=features, model=7))
    text = client.get("/").text
    assert len(text.encode()) <= MAX_HTML
    assert "32 more of 192" in text


def test_assets_are_small_and_call_nobody():
    files = [*(ROOT / "static").glob("*.css"), *(ROOT / "static").glob("*.js")]
    assert sum(file.stat().st_size for file in files) <= MAX_ASSETS
    for file in [*files, *(ROOT / "templates").rglob("*.html")]:
        assert not re.search(r"https?://", file.read_text()), file


def test_every_anchor_leads_somewhere(client):
    seed.full(days=0.5)
    text = client.get("/").text
    anchors = set(re.findall(r'href="#([\w-]+)"', text))
    assert anchors
    assert anchors <= set(re.findall(r'id="([\w-]+)"', text))


def test_what_people_wrote_is_escaped(client):
    evil = "<script>alert(1)</script>"
    seed.one_prediction()
    feature = seed.feature(evil, 0.2, 0.05, p=1e-9, effective=100)
    now = clock.now_us()
    seed.insert(drift_reports, seed.report(now, score=0.2, verdict="drift", features=[feature], sentence=evil))
    seed.insert(ledger, seed.decision(now, "drift", evil))
    assert "<script>alert" not in client.get("/").text
    assert "&lt;script&gt;alert" in client.get("/").text
    assert all("<script>alert" not in part for part in client.get(DATA).json["parts"].values())


def test_data_answer_304_until_something_moves(client, monkeypatch):
    now = clock.now_us()
    monkeypatch.setattr(clock, "now_us", lambda: now)  # time moves the charts as well
    seed.one_prediction()
    first = client.get(DATA)
    same = client.get(DATA, headers={"If-None-Match": first.headers["ETag"]})
    assert (same.status_code, same.data) == (304, b"")
    seed.insert(predictions, seed.request(clock.now_us()))
    moved = client.get(DATA, headers={"If-None-Match": first.headers["ETag"]})
    assert moved.status_code == 200
    assert moved.json["figures"]["predictions"]["data"][0]["type"] == "bar"


def test_csv_has_the_rows_of_each_chart(client):
    seed.full(days=1)
    for name, head in (("predictions", "from"), ("drift", "checked_at"), ("quality", "from")):
        answer = client.get(f"{DATA}.csv?chart={name}")
        rows = list(csv.reader(io.StringIO(answer.text)))
        assert rows[0][0] == head
        assert len(rows) > 3
        assert answer.mimetype == "text/csv"


def test_unknown_chart_is_a_problem(client):
    answer = client.get(f"{DATA}.csv?chart=<b>")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_query")


def test_plotly_comes_from_the_package_and_is_kept_for_ever(client):
    path = f"/dashboard/assets/plotly-{service.plotly_version()}.min.js"
    answer = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "immutable" in answer.headers["Cache-Control"]
    assert len(answer.data) < 2_000_000
    assert client.get(path).data[:20].startswith(b"/**")
    assert client.get("/dashboard/assets/plotly-0.0.0.min.js").status_code == 404


def test_a_silent_database_is_a_page_without_details(client, monkeypatch):
    def fail(*_):
        raise errors.StoreUnavailable("no such table: secrets")

    monkeypatch.setattr(service, "page", fail)
    answer = client.get("/")
    assert answer.status_code == 503
    assert "The database does not answer" in answer.text
    assert "secrets" not in answer.text
    assert client.get(DATA).status_code == 503


def test_a_proposal_can_be_approved_and_rejected_on_the_page(client):
    seed.one_prediction()
    seed.version(2, clock.now_us(), serves=False)
    assert "Approve version 2" not in client.get("/").text
    seed.propose(2)
    text = client.get("/").text
    assert 'data-post="/models/2/approve"' in text
    assert 'data-post="/models/2/reject"' in text
    assert 'href="/models/2/card?format=html"' in text


def test_a_freeze_is_shown_with_its_reason_and_a_way_out(client):
    seed.one_prediction()
    assert 'data-post="/models/freeze"' in client.get("/").text
    client.post("/models/freeze", json={"reason": "<script>alert(1)</script>"})
    text = client.get("/").text
    assert 'data-post="/models/unfreeze"' in text
    assert 'data-post="/models/freeze"' not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text


def test_a_first_model_can_be_approved_on_the_empty_page(client):
    seed.schema()
    seed.version(1, clock.now_us(), serves=False)
    seed.propose(1)
    assert 'data-post="/models/1/approve"' in client.get("/").text
