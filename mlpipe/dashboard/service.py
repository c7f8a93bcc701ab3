"""From the database to a page: read once, conclude, draw."""

from __future__ import annotations

import csv
import functools
import gzip
import importlib.metadata
import importlib.util
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlpipe import clock, db, errors
from mlpipe.dashboard import answers, figures, series, store, words
from mlpipe.dashboard.picture import Note, Picture, Report, Stretch
from mlpipe.settings import Settings

MAX_FEATURES = 40
"""Features of the newest check that are listed; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All that the overview shows; `now_us` is the only value that changes by itself."""

    now_us: int
    title: str
    headline: str
    serving: Stretch
    answers: tuple[answers.Answer, ...]
    sparks: Mapping[str, figures.Spark | None]
    incidents: Sequence[Note]
    jobs: Sequence[Note]
    decisions: Sequence[Note]
    change: Mapping[str, str]
    tiles: Sequence[Tile]
    report: Report | None
    features: Sequence[Feature]
    n_features: int
    charts: Mapping[str, Chart]
    performance: Sequence[tuple[str, str]]
    latency: Sequence[tuple[str, str]]
    health: Mapping[str, Any]
    workers: str
    page: str = "overview"

    @property
    def busy(self) -> bool:
        """Whether a job runs, so that the page looks more often."""
        return any(job.state == "running" for job in self.jobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    """All that the page shows before the first model."""

    now_us: int
    title: str
    headline: str
    n_labelled: int
    n_rows: int
    needed: int
    addresses: Mapping[str, str]
    database: str
    local_only: bool
    incidents: Sequence[Note]
    jobs: Sequence[Note]
    decisions: Sequence[Note]
    health: Mapping[str, Any]
    page: str = "empty"

    @property
    def busy(self) -> bool:
        """Whether a job runs, so that the page looks more often."""
        return any(job.state == "running" for job in self.jobs)

    @property
    def enough(self) -> bool:
        """Whether the first model can be trained."""
        return self.n_labelled >= self.needed


def page(settings: Settings, health: Mapping[str, Any]) -> Overview | Empty:
    """Return the overview, or the empty state while no version serves.

    Raises
    ------
    errors.StoreUnavailable
        The database does not answer.
    """
    picture = _read(settings)
    if picture.serving is None:
        return empty(picture, settings, health)
    return overview(picture, settings, health)


def _read(settings: Settings) -> Picture:
    with db.reading() as connection:
        return store.read(connection, now_us=clock.now_us(), min_samples=settings.min_samples)


# The overview ---------------------------------------------------------------------------------------------------


def overview(picture: Picture, settings: Settings, health: Mapping[str, Any]) -> Overview:
    """Conclude from a picture what the overview says."""
    serving = picture.serving
    if serving is None:
        raise errors.NoActiveModel("No version serves yet; the empty state is the page for that.")
    said = (answers.fresh(picture, settings), answers.right(picture), answers.fast(picture))
    charts = {name: chart(name, picture, settings) for name in CHARTS}
    features = picture.latest.features if picture.latest else ()
    return Overview(
        now_us=picture.now_us,
        title=answers.title(said, settings.model_name),
        headline=answers.headline(said, str(health.get("status", "ok"))),
        serving=serving,
        answers=said,
        sparks=panels.sparks(picture, settings),
        incidents=picture.of("incident"),
        jobs=picture.of("job"),
        decisions=picture.of("decision"),
        change=panels.change(picture, serving),
        tiles=panels.tiles(picture, settings),
        report=picture.latest,
        features=[panels.feature(one, settings) for one in answers.rank(features)[:MAX_FEATURES]],
        n_features=len(features),
        charts=charts,
        performance=panels.performance(picture, serving),
        latency=panels.latency(picture),
        health=health,
        workers=panels.workers(picture, serving),
    )


def chart_csv(name: str, settings: Settings) -> str:
    """Return the data of one chart as CSV.

    Raises
    ------
    errors.InvalidQuery
        There is no chart of this name.
    """
    if name not in CHARTS:
        raise errors.InvalidQuery(f"?chart={errors.quoted(name)} must be one of {', '.join(CHARTS)}.")
    made = chart(name, _read(settings), settings)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(itertools.chain([made.header], made.rows))
    return out.getvalue()


# Before the first model -----------------------------------------------------------------------------------------


def empty(picture: Picture, settings: Settings, health: Mapping[str, Any]) -> Empty:
    """Conclude from a picture without a model what is missing."""
    n_labelled = picture.totals.n_labelled
    jobs = picture.of("job")
    return Empty(
        now_us=picture.now_us,
        title="Waiting for data · mlpipe" if n_labelled < settings.min_labelled else "Before the first model · mlpipe",
        headline=_empty_headline(n_labelled, settings.min_labelled, jobs),
        n_labelled=n_labelled,
        n_rows=picture.totals.n_rows,
        needed=settings.min_labelled,
        addresses=addresses(settings.binds),
        database=_database_words(settings),
        local_only=settings.auth == "local",
        incidents=picture.of("incident"),
        jobs=jobs,
        decisions=picture.of("decision"),
        health=health,
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


def _database_words(settings: Settings) -> str:
    return "PostgreSQL" if settings.database_url.startswith("postgresql") else "SQLite"


# Plotly ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Script:
    """Plotly's script as it is sent."""

    version: str
    plain: bytes
    gzipped: bytes


def plotly_version() -> str:
    """Return the version of the installed plotly package."""
    return importlib.metadata.version("plotly")


@functools.cache
def plotly_script() -> Script:
    """Read plotly.min.js out of the installed package and compress it, once a process (about 0.2 s, 6 MB)."""
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        raise errors.NotFound("The package plotly is not installed; install requirements.txt.")
    plain = (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes()
    return Script(plotly_version(), plain, gzip.compress(plain, 6, mtime=0))
