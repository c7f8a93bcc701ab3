"""What stands around the charts: traces, the last change, tiles, the ranking of features, facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlpipe.dashboard import answers, figures, series, words
from mlpipe.dashboard.picture import Picture, Stretch
from mlpipe.settings import Settings

FRESH_WORKER_US = 15 * series.SECOND_US
"""Age of a worker's last sign from which it counts as gone, as in `jobs.service`."""

MAX_FEATURES = 40
"""Features of the newest check that are listed; the rest is counted."""

METRICS = {
    "accuracy": "right",
    "log_loss": "log loss",
    "auc": "AUC",
    "mae": "mean error",
    "rmse": "root mean squared error",
    "r2": "R²",
}
"""Figures of the holdout that are told, and their names."""


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


def sparks(picture: Picture, settings: Settings) -> dict[str, figures.Spark | None]:
    """Return the traces of the three answers."""
    task = picture.serving.task if picture.serving else ""
    bins = series.quality_bins(picture, series.grid_of(picture), task)
    known = [one.quality for one in bins]
    low = min((one.low for one in known if one), default=0.0)
    return {
        "fresh": figures.spark([report.score for report in picture.reports], threshold=settings.threshold),
        "right": figures.spark(
            [one.value if one else None for one in known],
            low=0.0 if task == "regression" else low,
            band=[(one.low, one.high) if one else None for one in known],
        ),
        "fast": figures.spark(series.latency_trace(picture.latencies)),
    }


def change(picture: Picture, serving: Stretch) -> dict[str, str]:
    """Return why the serving version serves, as a sentence and facts."""
    replaced = picture.replaced
    before = f"replaced version {replaced.version}" if replaced else "began to serve"
    facts = {
        "sentence": f"Version {serving.version} {before} {words.at(serving.since_us, picture.now_us)}",
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


def tiles(picture: Picture, settings: Settings) -> list[Tile]:
    """Return the small figures: traffic, labels, next check, what is stored."""
    return [
        _tile_predictions(picture),
        _tile_labels(picture),
        _tile_next_check(picture, settings),
        _tile_stored(picture),
    ]


def _tile_predictions(picture: Picture) -> Tile:
    grid = series.grid_of(picture)
    rows = series.rows_by_bin(picture.traffic, grid)
    since_us = picture.now_us - figures.DAY_US
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
        figure=words.whole_share(known, n_rows),
        unit=f"{words.number(known)} of {words.plural(n_rows, 'prediction')}",
        line=f"newest label came {words.at(newest, picture.now_us)}" if newest else "no label has come yet",
        spark=figures.spark([one.coverage for one in bins], height=28),
        spark_label="Share of predictions with a label, by time of prediction",
        colour="k3",
    )


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
    more = "more than " if totals.batches_cut else ""
    return Tile(
        label="Stored",
        figure=more + words.number(totals.n_rows),
        unit="rows" if totals.n_rows != 1 else "row",
        line=f"{words.number(totals.n_labelled)} with a label; the database has {words.size(totals.database_bytes)}",
    )


def workers(picture: Picture) -> str:
    """Say how many workers give signs of life and what they serve."""
    served = picture.serving.version if picture.serving else None
    alive = [note for note in picture.of("worker") if picture.now_us - note.last_us < FRESH_WORKER_US]
    if not alive:
        return "No worker has given a sign for 15 seconds."
    on = sum(note.version == served for note in alive)
    if served is None:
        return words.plural(len(alive), "worker")
    if on == len(alive):
        return f"{words.plural(on, 'worker')}, {'all on' if on > 1 else 'on'} version {served}"
    others = sorted(
        {f"version {note.version}" if note.version else "no version" for note in alive if note.version != served}
    )
    return f"{on} of {words.plural(len(alive), 'worker')} on version {served}, others on {', '.join(others)}"


# Drift, performance, latency ------------------------------------------------------------------------------------


def ranking(features: Sequence[Mapping[str, Any]], settings: Settings) -> list[Feature]:
    """Return the rows of the ranking, their bars on one scale."""
    ranked = answers.rank(features)[:MAX_FEATURES]
    ends = (_floor(one) + max(_moved(one), settings.threshold) for one in ranked)
    scale = 100 / (1.05 * max(ends, default=1.0) or 1.0)
    return [_feature(one, settings, scale) for one in ranked]


def _moved(one: Mapping[str, Any]) -> float:
    return float(one.get("psi_corrected") or 0.0)


def _floor(one: Mapping[str, Any]) -> float:
    return float(one.get("noise_floor") or 0.0)


def _feature(one: Mapping[str, Any], settings: Settings, scale: float) -> Feature:
    corrected, floor = _moved(one), _floor(one)
    p, psi = one.get("p_adjusted"), one.get("psi")
    certain = p is not None and p < settings.alpha
    state, word, icon = ("ok", "Stable", "ok")
    if corrected > settings.threshold:
        state, word, icon = ("bad", "Drift", "drift") if certain else ("warn", "Not certain", "quiet")
    effective = one.get("effective_rows")
    return Feature(
        name=str(one.get("name", "")),
        state=state,
        word=word,
        icon=icon,
        moved=words.figure(corrected),
        psi=words.figure(psi),
        floor=words.figure(floor),
        bar_floor=round(scale * floor, 1),
        bar_moved=round(scale * corrected, 1),
        bar_alarm=round(scale * (floor + settings.threshold), 1),
        chance=words.chance(p),
        effective=words.UNKNOWN if effective is None else words.number(effective),
    )


def performance(picture: Picture, serving: Stretch) -> list[tuple[str, str]]:
    """Return the quality of each version beside the best constant answer and the holdout."""
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


def latency(picture: Picture) -> list[tuple[str, str]]:
    """Return percentiles of the newest requests' latency."""
    values = [request.latency_us for request in picture.latencies]
    if len(values) == 1:
        return [("The only one", words.milliseconds(values[0]))]
    if not values:
        return []
    parts = (("Median", 0.5), ("Slowest 1 in 10", 0.9), ("Slowest 1 in 100", 0.99), ("Slowest", 1.0))
    return [(name, words.milliseconds(series.percentile(values, part))) for name, part in parts]
