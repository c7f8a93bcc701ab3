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

DAY_US = figures.DAY_US
FRESH_WORKER_US = 30 * series.SECOND_US
"""Age of a worker's last sign from which it is left out: it has been stopped."""

MAX_FEATURES = 40
"""Features of the newest check that are listed; the rest is counted."""

TOP_FEATURES = 8
TABLE_ROWS = 12
"""Newest rows of a chart's table; the CSV has all."""

METRICS = {
    "accuracy": "right",
    "log_loss": "log loss",
    "auc": "AUC",
    "mae": "mean error",
    "rmse": "root mean squared error",
    "r2": "R²",
}

Table = tuple[tuple[str, ...], list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A large chart: its finding in a sentence, its figure, and its newest rows as a table."""

    name: str
    finding: str
    figure: figures.Figure | None
    header: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A small figure with its comparison."""

    label: str
    figure: str
    unit: str
    line: str
    spark: figures.Spark | None = None
    spark_label: str = ""
    colour: str = "k1"
    progress: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One row of the ranking."""

    name: str
    state: str
    word: str
    icon: str
    moved: str
    psi: str
    floor: str
    bar_floor: float
    bar_moved: float
    bar_alarm: float
    chance: str
    effective: str


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
        sparks=_sparks(picture, settings),
        incidents=picture.of("incident"),
        jobs=picture.of("job"),
        decisions=picture.of("decision"),
        change=_change(picture, serving),
        tiles=_tiles(picture, settings),
        report=picture.latest,
        features=[_feature(one, settings) for one in answers.rank(features)[:MAX_FEATURES]],
        n_features=len(features),
        charts=charts,
        performance=_performance(picture, serving),
        latency=_latency(picture),
        health=health,
        workers=_workers(picture, serving),
    )


def _sparks(picture: Picture, settings: Settings) -> dict[str, figures.Spark | None]:
    task = picture.serving.task if picture.serving else ""
    bins = series.quality_bins(picture, series.grid_of(picture), task)
    known = [one.quality for one in bins]
    low = min((one.low for one in known if one), default=0.0)
    return {
        "fresh": figures.spark([report.score for report in picture.reports], threshold=settings.threshold),
        "right": figures.spark(
            [one and one.value for one in known],
            low=0.0 if task == "regression" else low,
            band=[one and (one.low, one.high) for one in known],
        ),
        "fast": figures.spark(series.latency_trace(picture.latencies)),
    }


def _change(picture: Picture, serving: Stretch) -> dict[str, str]:
    since = words.moment(serving.since_us, picture.now_us)
    replaced = picture.replaced
    before = f"replaced version {replaced.version}" if replaced else "began to serve"
    facts = {
        "sentence": f"Version {serving.version} {before} on {since}"
        if "," in since
        else f"Version {serving.version} {before} at {since}",
        "Why": serving.reason,
        "By": serving.by,
    }
    if serving.job_id is not None:
        facts["Came from"] = (
            f"Job {serving.job_id}: {serving.job_reason}" if serving.job_reason else f"Job {serving.job_id}"
        )
    if verdict := serving.verdict.get("sentence"):
        facts["Verdict"] = str(verdict)
    facts["Kind"] = serving.kind
    if accepted := _metrics(serving):
        facts["When accepted"] = f"{accepted}, on rows held back from training"
    if effect := _effect(picture, serving):
        facts["Effect"] = effect
    return facts


def _metrics(stretch: Stretch) -> str:
    parts = []
    for name, told in METRICS.items():
        value = stretch.metrics.get(name)
        if isinstance(value, int | float):
            parts.append(f"{told} {words.share(value) if name == 'accuracy' else words.amount(value)}")
    return ", ".join(parts)


def _effect(picture: Picture, serving: Stretch) -> str:
    after = answers.quality_of_version(picture, serving.version, serving.task)
    before = picture.replaced and answers.quality_of_version(picture, picture.replaced.version, serving.task)
    if not after or not before or picture.replaced is None:
        return ""
    what = "Mean error" if serving.task == "regression" else "Right on"
    now, then = (answers.measure(one.value, serving.task) for one in (after, before))
    return (
        f"{what} {now} of {words.plural(after.n, 'label')}; version {picture.replaced.version}: {then} of "
        f"{words.number(before.n)}. These are other rows, so the difference is not the change's alone."
    )


# Tiles ----------------------------------------------------------------------------------------------------------


def _tiles(picture: Picture, settings: Settings) -> list[Tile]:
    return [
        _tile_predictions(picture),
        _tile_labels(picture),
        _tile_next_check(picture, settings),
        _tile_stored(picture),
    ]


def _tile_predictions(picture: Picture) -> Tile:
    grid = series.grid_of(picture)
    rows = series.rows_by_bin(picture.traffic, grid)
    since_us = picture.now_us - DAY_US
    # Traffic that does not reach back a day is told from where it begins.
    first_us = max(since_us, grid.start_us) if picture.traffic_cut else since_us
    asked = [part for part in picture.traffic if part.at_us >= first_us]
    label = (
        f"Predictions since {words.moment(first_us, picture.now_us)}"
        if first_us > since_us
        else "Predictions, 24 hours"
    )
    return Tile(
        label=label,
        figure=words.number(sum(part.n_rows for part in asked)),
        unit=f"in {words.plural(sum(part.n_requests for part in asked), 'request')}",
        line=f"a bin is {words.duration(grid.step_us)}" if picture.traffic else "nothing was asked for yet",
        spark=figures.spark(list(rows), height=28),
        spark_label="Predictions by time",
    )


def _tile_labels(picture: Picture) -> Tile:
    labels, traffic = series.whole_labels(picture), picture.traffic
    first_us = labels[0].at_us if picture.labels_cut and labels else 0
    n_rows = sum(part.n_rows for part in traffic if part.at_us >= first_us)
    known = min(sum(part.n for part in labels), n_rows)
    newest = picture.totals.newest_label_us
    bins = series.quality_bins(picture, series.grid_of(picture), picture.serving.task if picture.serving else "")
    return Tile(
        label="Labels known",
        figure=words.share(known / n_rows) if n_rows else words.UNKNOWN,
        unit=f"{words.number(known)} of {words.plural(n_rows, 'prediction')}",
        line=f"newest label came {_at(newest, picture.now_us)}" if newest else "no label has come yet",
        spark=figures.spark([one.coverage for one in bins], height=28),
        spark_label="Share of predictions with a label, by time of prediction",
        colour="k3",
    )


def _at(us: int, now_us: int) -> str:
    moment = words.moment(us, now_us)
    return f"on {moment}" if "," in moment else f"at {moment}"


def _tile_next_check(picture: Picture, settings: Settings) -> Tile:
    here, needed = min(picture.totals.rows_since_check, settings.min_samples), settings.min_samples
    looks = f"looks every {words.duration(settings.check_interval * 1e6)}"
    return Tile(
        label="Next drift check",
        figure=f"{here} of {needed}",
        unit="new rows needed" if here < needed else "new rows: enough",
        line=f"rows that version {picture.serving.version} has answered since the last check; {looks}"
        if picture.serving
        else looks,
        progress=(here, needed),
    )


def _tile_stored(picture: Picture) -> Tile:
    totals = picture.totals
    more = "more than " if totals.n_batches >= store.MAX_BATCHES else ""
    return Tile(
        label="Stored",
        figure=more + words.number(totals.n_rows),
        unit="rows" if totals.n_rows != 1 else "row",
        line=f"{words.number(totals.n_labelled)} with a label; the database has {words.size(totals.database_bytes)}",
    )


def _workers(picture: Picture, serving: Stretch) -> str:
    alive = [note for note in picture.of("worker") if picture.now_us - note.last_us < FRESH_WORKER_US]
    if not alive:
        return "No worker has given a sign for 30 seconds."
    on = sum(note.version == serving.version for note in alive)
    if on == len(alive):
        return f"{words.plural(on, 'worker')}, {'all on' if on > 1 else 'on'} version {serving.version}"
    others = sorted(
        {
            f"version {note.version}" if note.version else "no version"
            for note in alive
            if note.version != serving.version
        }
    )
    return f"{on} of {words.plural(len(alive), 'worker')} on version {serving.version}, others on {', '.join(others)}"


# Drift, performance, latency ------------------------------------------------------------------------------------


def _feature(one: Mapping[str, Any], settings: Settings) -> Feature:
    corrected, floor = one.get("psi_corrected") or 0.0, one.get("noise_floor") or 0.0
    p, psi = one.get("p_adjusted"), one.get("psi")
    certain = p is not None and p < settings.alpha
    state, word, icon = ("ok", "Stable", "ok")
    if corrected > settings.threshold:
        state, word, icon = ("bad", "Drift", "drift") if certain else ("warn", "Not certain", "quiet")
    whole = max(floor + corrected, floor + settings.threshold) * 1.1 or 1.0
    effective = one.get("effective_rows")
    return Feature(
        name=str(one.get("name", "")),
        state=state,
        word=word,
        icon=icon,
        moved=words.figure(corrected),
        psi=words.figure(psi),
        floor=words.figure(floor),
        bar_floor=round(100 * floor / whole, 1),
        bar_moved=round(100 * corrected / whole, 1),
        bar_alarm=round(100 * (floor + settings.threshold) / whole, 1),
        chance=words.chance(p),
        effective=words.UNKNOWN if effective is None else words.number(effective),
    )


def _performance(picture: Picture, serving: Stretch) -> list[tuple[str, str]]:
    facts = []
    versions = dict.fromkeys(stretch.version for stretch in picture.stretches)
    for version in versions:
        quality = answers.quality_of_version(picture, version, serving.task)
        if quality:
            value, low, high = (answers.measure(x, serving.task) for x in (quality.value, quality.low, quality.high))
            facts.append((f"Version {version}", f"{value} of {words.plural(quality.n, 'label')} ({low} to {high})"))
    own = answers.quality_of_version(picture, serving.version, serving.task)
    if own:
        constant = "the average" if serving.task == "regression" else f"“{answers.constant(picture, serving)}”"
        facts.append(
            (
                f"Always {constant}",
                f"{answers.measure(own.baseline, serving.task)} on the labels of version {serving.version}",
            )
        )
    if accepted := _metrics(serving):
        facts.append(("When accepted", accepted))
    return facts


def _latency(picture: Picture) -> list[tuple[str, str]]:
    values = [request.latency_us for request in picture.latencies]
    if not values:
        return []
    parts = (("Median", 0.5), ("Slowest 1 in 10", 0.9), ("Slowest 1 in 100", 0.99), ("Slowest", 1.0))
    return [(name, words.milliseconds(series.percentile(values, part))) for name, part in parts]


# Charts and their data ------------------------------------------------------------------------------------------


def chart(name: str, picture: Picture, settings: Settings) -> Chart:
    """Return one large chart by its name."""
    return CHARTS[name](picture, settings)


def _traffic_chart(picture: Picture, _settings: Settings) -> Chart:
    grid = series.grid_of(picture)
    rows = series.rows_by_bin(picture.traffic, grid)
    table = [(words.iso(start), n) for start, n in zip(grid.starts, rows, strict=True)]
    step, total = words.duration(grid.step_us), sum(rows)
    finding = f"{words.plural(total, 'prediction')} since {_start(grid.start_us, picture)}, at most {words.number(max(rows, default=0))} in {step}."
    return Chart(
        name="predictions",
        finding=finding if total else "Nothing was predicted yet.",
        figure=figures.traffic(grid, rows, picture.stretches, picture.now_us) if total else None,
        header=("from", "predictions"),
        rows=table,
    )


def _start(us: int, picture: Picture) -> str:
    return words.moment(us, picture.now_us)


def _drift_chart(picture: Picture, settings: Settings) -> Chart:
    reports = picture.reports
    table = [
        (words.iso(one.checked_us), one.id, one.version, one.verdict, one.score, one.score_ungated, one.n_rows)
        for one in reports
    ]
    figure = None
    if reports:
        figure = figures.drift(
            reports,
            threshold=settings.threshold,
            interval_us=int(settings.check_interval * series.SECOND_US),
            stretches=picture.stretches,
        )
    return Chart(
        name="drift",
        finding=_drift_finding(picture, settings),
        figure=figure,
        header=("checked_at", "check", "version", "verdict", "score", "score_with_chance", "rows"),
        rows=table,
    )


def _drift_finding(picture: Picture, settings: Settings) -> str:
    latest = picture.latest
    if latest is None:
        return "No drift check was made yet."
    fired = [report for report in picture.reports if report.score > settings.threshold]
    above = f"{len(fired)} of the newest {words.plural(len(picture.reports), 'check')} above the alarm at {settings.threshold:g}"
    last = f", last {_at(fired[-1].checked_us, picture.now_us)}" if fired else ""
    return f"Drift score {words.figure(latest.score)} now; {above}{last}."


def _quality_chart(picture: Picture, _settings: Settings) -> Chart:
    serving = picture.serving
    task = serving.task if serving else "classification"
    bins = series.quality_bins(picture, series.grid_of(picture), task)
    whole = series.quality_of(series.whole_labels(picture), task)
    figure = None
    if whole and serving:
        common = series.most_common(series.whole_labels(picture))
        named = words.class_name(common[0], serving.target) if common else "the average"
        figure = figures.quality(
            bins, task=task, baseline=whole.baseline, baseline_name=named, stretches=picture.stretches
        )
    measured = "mean_absolute_error" if task == "regression" else "share_right"
    return Chart(
        name="quality",
        finding=_quality_finding(whole, task),
        figure=figure,
        header=("from", "predictions", "labels", measured, "low_95", "high_95", "always_the_same"),
        rows=[_quality_row(one) for one in bins],
    )


def _quality_row(one: series.QualityBin) -> tuple[Any, ...]:
    quality = one.quality
    values = (quality.n, quality.value, quality.low, quality.high, quality.baseline) if quality else (0, *[None] * 4)
    return (words.iso(one.at_us), one.n_rows, *values)


def _quality_finding(whole: series.Quality | None, task: str) -> str:
    if whole is None:
        return "No prediction has a label yet, so nobody can say how often they are right."
    value, baseline = answers.measure(whole.value, task), answers.measure(whole.baseline, task)
    n = words.plural(whole.n, "labelled prediction")
    if task == "regression":
        return f"The mean error is {value} over {n}; always answering the average would miss by {baseline}."
    return f"{value} of {n} are right; always answering the most common class would be on {baseline}."


CHARTS: dict[str, Callable[[Picture, Settings], Chart]] = {
    "predictions": _traffic_chart,
    "drift": _drift_chart,
    "quality": _quality_chart,
}


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
