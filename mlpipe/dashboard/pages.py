"""The two pages, put together from what was concluded: the overview, and the state before the first model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlpipe.dashboard import answers, charts, figures, panels, series, words
from mlpipe.dashboard.picture import Note, Picture, Report, Stretch
from mlpipe.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What both pages show; `now_us` alone changes by itself."""

    now_us: int
    name: str
    title: str
    headline: str
    incidents: Sequence[Note]
    jobs: Sequence[Note]
    decisions: Sequence[Note]
    proposals: Sequence[Note]
    freezes: Sequence[Note]
    deploy: str
    health: Mapping[str, Any]
    workers: str

    @property
    def busy(self) -> bool:
        """Whether a job runs, so that the page looks more often."""
        return any(job.state == "running" for job in self.jobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview(Page):
    """The answers of a system that serves."""

    name: str = "overview"
    model_name: str
    serving: Stretch
    answers: tuple[answers.Answer, ...]
    sparks: Mapping[str, figures.Spark | None]
    change: Mapping[str, str]
    tiles: Sequence[panels.Tile]
    report: Report | None
    features: Sequence[panels.Feature]
    n_features: int
    n_checks: int
    n_latencies: int
    bin: str
    charts: Mapping[str, charts.Chart]
    performance: Sequence[tuple[str, str]]
    latency: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty(Page):
    """What is missing for the first model, and how much of it is there."""

    name: str = "empty"
    n_labelled: int
    n_rows: int
    needed: int
    quiet: str
    addresses: Mapping[str, str]
    database: str
    local_only: bool

    @property
    def enough(self) -> bool:
        """Whether the first model can be trained."""
        return self.n_labelled >= self.needed


def page_of(picture: Picture, settings: Settings, health: Mapping[str, Any]) -> Overview | Empty:
    """Return the overview, or the empty state while no version serves."""
    if picture.serving is None:
        return _empty(picture, settings, health)
    return _overview(picture, picture.serving, settings, health)


def _shared(picture: Picture, settings: Settings, health: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "now_us": picture.now_us,
        "incidents": picture.of("incident"),
        "jobs": picture.of("job"),
        "decisions": picture.of("decision"),
        "proposals": picture.of("proposal"),
        "freezes": picture.of("freeze"),
        "deploy": settings.deploy,
        "health": health,
        "workers": panels.workers(picture),
    }


def _overview(picture: Picture, serving: Stretch, settings: Settings, health: Mapping[str, Any]) -> Overview:
    said = (answers.fresh(picture, settings), answers.right(picture), answers.fast(picture))
    features = picture.latest.features if picture.latest else ()
    return Overview(
        **_shared(picture, settings, health),
        title=answers.title(said, settings.model_name),
        headline=answers.headline(said, str(health.get("status", "ok"))),
        model_name=settings.model_name,
        serving=serving,
        answers=said,
        sparks=panels.sparks(picture, settings),
        change=panels.change(picture, serving),
        tiles=panels.tiles(picture, settings),
        report=picture.latest,
        features=panels.ranking(features, settings),
        n_features=len(features),
        n_checks=len(picture.reports),
        n_latencies=len(picture.latencies),
        bin=words.duration(picture.step_us),
        charts={name: make(picture, settings) for name, make in charts.CHARTS.items()},
        performance=panels.performance(picture, serving),
        latency=panels.latency(picture),
    )


def _empty(picture: Picture, settings: Settings, health: Mapping[str, Any]) -> Empty:
    n_labelled, needed = picture.totals.n_labelled, settings.min_labelled
    return Empty(
        **_shared(picture, settings, health),
        title="Waiting for data · mlpipe" if n_labelled < needed else "Before the first model · mlpipe",
        headline=_empty_headline(n_labelled, needed, picture.of("job")),
        n_labelled=n_labelled,
        n_rows=picture.totals.n_rows,
        needed=needed,
        quiet=words.duration(settings.quiet_s * series.SECOND_US),
        addresses=addresses(settings.binds),
        database="PostgreSQL" if settings.database_url.startswith("postgresql") else "SQLite",
        local_only=settings.auth == "local",
    )


def _empty_headline(n_labelled: int, needed: int, jobs: Sequence[Note]) -> str:
    if any(job.state == "running" and "train" in job.kind for job in jobs):
        return "Version 1 is being trained."
    if n_labelled >= needed:
        return "Enough labelled rows are here: version 1 comes next."
    if n_labelled:
        return f"{words.number(n_labelled)} of the {words.number(needed)} labelled rows for a first model are here."
    return "mlpipe runs and is waiting for its first labelled rows."


def addresses(binds: Sequence[str]) -> dict[str, str]:
    """Return the address at which each kind of client looks, as it is typed on this machine.

    Every path answers on every port; with three ports the first is for ingestion, the second for predictions.

    Examples
    --------
    >>> addresses(["0.0.0.0:9000"])
    {'ingestion': 'localhost:9000', 'prediction': 'localhost:9000', 'dashboard': 'localhost:9000'}
    """
    typed = [_typed(bind) for bind in binds if not bind.startswith("unix:")] or ["localhost:8001"]
    return {name: typed[min(i, len(typed) - 1)] for i, name in enumerate(("ingestion", "prediction", "dashboard"))}


def _typed(bind: str) -> str:
    host, _, port = bind.rpartition(":")
    return f"localhost:{port}" if host in {"", "127.0.0.1", "0.0.0.0", "[::]", "[::1]"} else bind  # noqa: S104
