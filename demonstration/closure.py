"""Did the loop close? What the server tells at the end, and the steps that are missing in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from demonstration.server import Server
from demonstration.stream import Answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What the server tells; lists are oldest first.

    Attributes
    ----------
    labels : dict
        Label by prediction id, of every logged prediction; None where none came.
    """

    history: list[dict[str, Any]]
    reports: list[dict[str, Any]]
    jobs: list[dict[str, Any]]
    ledger: list[dict[str, Any]]
    labels: dict[str, Any]


def read_story(server: Server) -> Story:
    """Ask the server for all that it decided and logged."""
    paths = {"history": "/models/history", "reports": "/drift/reports", "jobs": "/retraining/jobs", "ledger": "/ledger"}
    lists = {name: list(server.every(path))[::-1] for name, path in paths.items()}
    labels = {item["prediction_id"]: item["label"] for item in server.every("/predictions")}
    return Story(**lists, labels=labels)


def open_steps(story: Story, answers: Answers, late: Sequence[int]) -> list[str]:
    """Return the steps of the loop that are missing; none when it closed.

    Parameters
    ----------
    story : Story
    answers : Answers
    late : sequence of int
        True labels of all flights, in the order of the answers.
    """
    drifts = {report["id"] for report in story.reports if report["verdict"] == "drift"}
    caused = {job["id"] for job in story.jobs if job["evidence"].get("report") in drifts}
    first, *later = story.history or [{}]
    unlogged = sum(one not in story.labels for one in answers.ids)
    unjoined = sum(story.labels.get(one) != label for one, label in zip(answers.ids, late, strict=False))
    steps = {
        "no first model was trained and deployed by itself": first.get("by") == "retraining",
        f"{len(late) - len(answers.ids):,} flights got no prediction id": len(answers.ids) == len(late),
        f"{unlogged:,} answers are not in the prediction log": not unlogged,
        f"{unjoined:,} labels did not reach their prediction": not unjoined,
        "no check saw drift": bool(drifts),
        "no drift led to a retraining": bool(caused),
        "no retraining after a drift deployed a new version": any(row["job_id"] in caused for row in later),
        "no flight was answered by a new version": any(version > 1 for version in answers.version),
    }
    return [step for step, is_closed in steps.items() if not is_closed]
