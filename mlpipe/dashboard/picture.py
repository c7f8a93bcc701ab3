"""What a page is made of: the values that were read, before anything is concluded from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """One stretch of serving, with the version that served and the job that made it."""

    id: int
    version: int
    since_us: int
    until_us: int | None
    by: str
    reason: str
    job_id: int | None
    job_reason: str | None
    open: bool
    kind: str
    task: str
    metrics: Mapping[str, Any]
    verdict: Mapping[str, Any]
    target: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Single figures: newest ids and times, sums of bounded ranges."""

    newest_prediction: int
    newest_predicted_us: int | None
    oldest_predicted_us: int | None
    oldest_in_reach_us: int | None
    newest_label_us: int | None
    rows_since_check: int
    n_batches: int
    batches_cut: bool
    n_rows: int
    n_labelled: int
    database_bytes: int


@dataclass(frozen=True, slots=True)
class TrafficBin:
    """Requests and rows that one version answered from `at_us` for one step."""

    at_us: int
    version: int
    n_requests: int
    n_rows: int


@dataclass(frozen=True, slots=True)
class LabelBin:
    """Labelled predictions of one version made from `at_us` for one step.

    `label` is None in regression, where `baseline_error` is the summed distance from the average label.
    """

    at_us: int
    version: int
    label: float | None
    n: int
    n_right: int
    error: float
    squared_error: float
    baseline_error: float


@dataclass(frozen=True, slots=True)
class Latency:
    """One request: when, how many rows, how long."""

    at_us: int
    n_rows: int
    latency_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One drift check; `features` only of the newest one."""

    id: int
    checked_us: int
    version: int
    n_rows: int
    verdict: str
    score: float
    score_ungated: float
    sentence: str | None = None
    features: Sequence[Mapping[str, Any]] = ()
    prediction: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """An open incident or job, a decision, a worker, a proposal or a freeze: what the database says in a sentence."""

    source: str
    id: str
    at_us: int
    last_us: int
    times: int
    kind: str
    state: str
    sentence: str
    version: int | None
    step: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything that was read for one page, in one transaction."""

    now_us: int
    step_us: int
    totals: Totals
    stretches: Sequence[Stretch] = ()
    traffic: Sequence[TrafficBin] = ()
    traffic_cut: bool = False
    latencies: Sequence[Latency] = ()
    labels: Sequence[LabelBin] = ()
    labels_cut: bool = False
    reports: Sequence[Report] = ()
    notes: Sequence[Note] = field(default_factory=tuple)

    @property
    def serving(self) -> Stretch | None:
        """The stretch that is open, or None before the first model."""
        return next((stretch for stretch in self.stretches if stretch.open), None)

    @property
    def replaced(self) -> Stretch | None:
        """The stretch before the open one."""
        older = [stretch for stretch in self.stretches if not stretch.open]
        return older[0] if older and self.serving else None

    @property
    def latest(self) -> Report | None:
        """The newest drift check."""
        return self.reports[-1] if self.reports else None

    def of(self, source: str) -> list[Note]:
        """Return the notes of one source: ``incident``, ``job``, ``decision``, ``worker``, ``proposal``, ``freeze``."""
        return [note for note in self.notes if note.source == source]
