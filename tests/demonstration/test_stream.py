"""Labels come late, and the progress is fit for a log."""

from __future__ import annotations

import io
from typing import Any

from demonstration import progress, stream
from tests.demonstration.build import flights_table, prepare, weather_table


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
        return {
            "prediction_ids": ids,
            "classes": [0, 1],
            "probabilities": [[0.7, 0.3]] * len(ids),
            "model_version": 1,
            "model_revision": 0,
        }


def test_stream_sends_a_label_only_after_the_flight_has_landed() -> None:
    flights, server = prepare(flights_table(), weather_table()), RecordingServer()
    answers = stream.play(server, flights, seconds=0, progress=progress.Progress(len(flights), io.StringIO()))
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
