"""Two days of flights and their weather, and a story with a good end."""

from __future__ import annotations

from typing import Any

import numpy as np

from demonstration import closure, features, stream
from demonstration import flights as year

Table = dict[str, list[str]]


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
    return table | {name: [str(place) for place in range(len(places))] for name in features.WEATHER}


def prepare(flights: Table, weather: Table, per_month: int = 10_000) -> year.Flights:
    return year.prepare(flights, weather, per_month=per_month, rng=np.random.default_rng(1))


def closed_story() -> tuple[closure.Story, stream.Answers, list[int]]:
    answers = stream.Answers(ids=["1-0", "2-0"], p_late=[0.2, 0.9], version=[1, 2], clock=[(0.0, 0.0), (10.0, 600.0)])
    since, reason = (
        "1970-01-01T00:00:05Z",
        "Drift: temp moved by +1.4 sd since 14:05 UTC (PSI 1.2). On the same 500 rows ...",
    )
    story = closure.Story(
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
