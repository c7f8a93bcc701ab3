"""Window -> fit -> evaluate both -> gate -> register -> activate."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from mlpipe import clock, db, errors, logs
from mlpipe.features import store as features
from mlpipe.jobs import ledger
from mlpipe.jobs import store as jobs
from mlpipe.registry import revision_files, revisions
from mlpipe.registry import service as registry
from mlpipe.registry import store as versions
from mlpipe.retraining import asking, child, cut, evaluate, gate, honest, judging, plan, publish, roll, triggers
from mlpipe.settings import Settings

logger = logging.getLogger("mlpipe.retraining")

KIND = asking.KIND

WORK = ".fit-"
"""How the work folders of fits begin, inside of the models folder."""


# Running --------------------------------------------------------------------------------------------------------


def run_next(settings: Settings, *, holder: str, stopping: Callable[[], bool] = lambda: False) -> jobs.Job | None:
    """Claim the next retraining and carry it out; None when there is none.

    Parameters
    ----------
    settings : Settings
    holder : str
        Name of this worker, under which the job is leased.
    stopping : callable
        Says whether this process is told to end: a fit that runs is stopped then, and its job is queued again.
    """
    asking.resume_waiting(settings)
    asking.hold_up(settings)
    job = _claim(settings, holder)
    if job is None:
        return None
    with logs.trace(f"job {job.id}"):
        logger.info("retraining begins (try %s): %s", job.attempts, job.reason)
        try:
            _carry_out(job, settings, holder, stopping)
        except child.Cancelled:
            _end(job, holder, "cancelled", "Cancelled while it ran; nothing changed.")
        except child.Stopped:
            _put_back(job, holder)
        except errors.DeployConflict as fault:
            _end(job, holder, "superseded", fault.detail)
        except errors.MlpipeError as fault:
            _end(job, holder, "failed", fault.detail)
        except Exception as fault:
            logger.exception("retraining failed")
            _end(job, holder, "failed", f"mlpipe has made a mistake: {fault!r}")
            raise
    return job


def _claim(settings: Settings, holder: str) -> jobs.Job | None:
    """Take the next job, after giving up those whose holders died too often; looks before it writes."""
    with db.reading() as connection:
        waiting = jobs.open_job(connection, KIND)
    if waiting is None or waiting.state == "waiting_for_labels":
        return None
    if waiting.state == "queued" and (waiting.not_before or 0) > clock.now_us():
        return None
    with db.transaction() as connection:
        for lost in jobs.give_up(connection, KIND):
            ledger.record(connection, "failure", f"Retraining job {lost.id} failed. {lost.sentence}", job_id=lost.id)
        return jobs.claim(connection, KIND, holder, lease_until=_lease_end(settings))


def _lease_end(settings: Settings) -> int:
    return clock.now_us() + int(max(settings.lease_s, 3 * child.BEAT_S) * clock.MICROSECONDS)


def _carry_out(job: jobs.Job, settings: Settings, holder: str, stopping: Callable[[], bool]) -> None:
    with db.reading() as connection:
        n, needed = asking.new_labels(connection, job, settings)
        is_first = versions.active(connection) is None
    if not is_first and n < needed:
        have = f"{n:,} of {needed:,} new labelled rows are here"
        _wait(job, holder, f"{have}; old rows cannot teach what has changed.")
        return
    with db.reading() as connection:
        champion = plan.serving(connection)
    keeps_up = cut.applies(job, champion, settings)
    if champion is not None and keeps_up == "yes":
        _cut(job, champion, settings, holder)
        return
    if champion is not None and keeps_up == "wait":
        told = (
            f"Fewer than {settings.min_new_labels:,} labels have come since the drift began; they will show whether "
            f"version {champion.version}, which goes on learning, has kept up."
        )
        _hold(job, holder, triggers.untrainable(told, now=clock.now_us()), settings)
        return
    try:
        planned = plan.read(settings, job.evidence)
    except errors.TooFewSamples as fault:
        if is_first or job.evidence.get("asked"):
            raise
        _hold(job, holder, triggers.untrainable(fault.detail, now=clock.now_us()), settings)
        return
    if planned.broken:
        _refuse(job, planned, holder)
        return
    with _work_folder(settings) as work:
        planned, result = _fit(work, job, planned, settings, _beat(job, settings, holder, stopping))
        _decide(work, job, planned, result, settings=settings, holder=holder)


def _cut(job: jobs.Job, champion: versions.Version, settings: Settings, holder: str) -> None:
    with _work_folder(settings) as work:
        planned, result = cut.cut(work, champion, settings)
        _decide(work, job, planned, result, settings=settings, holder=holder)


@contextlib.contextmanager
def _work_folder(settings: Settings) -> Iterator[Path]:
    _tidy(settings)
    settings.models_folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=WORK, dir=settings.models_folder))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _tidy(settings: Settings) -> None:
    """Remove what dead processes left: folders of fits, and of versions without a row; only one retraining runs."""
    for left in settings.models_folder.glob(WORK + "*"):
        shutil.rmtree(left, ignore_errors=True)
    for name in registry.tidy(settings.models_folder):
        logger.warning("models/%s had no row and was put aside into models/.orphans", name)


def _beat(job: jobs.Job, settings: Settings, holder: str, stopping: Callable[[], bool]) -> Callable[[], bool | None]:
    def beat() -> bool | None:
        if stopping():
            raise child.Stopped
        with db.transaction(durability="process") as connection:
            return jobs.beat(connection, job.id, holder, lease_until=_lease_end(settings), step="fit")

    return beat


def _refuse(job: jobs.Job, planned: plan.Plan, holder: str) -> None:
    """End a retraining whose new rows look wrong before any model has seen them."""
    version = planned.champion.version if planned.champion else None
    told = {
        "last_batch": planned.last_batch,
        "last_label": planned.last_label,
        "verdict": {"decision": "reject", "broken": list(planned.broken)},
    }
    sentence = (
        f"Version {version} stays, and nothing was trained. {' '.join(planned.broken)} Check where these rows come "
        "from; MLPIPE_SUSPICIOUS_DATA=allow lets them pass."
    )
    _end(job, holder, "rejected", sentence, told)


def _fit(
    work: Path, job: jobs.Job, planned: plan.Plan, settings: Settings, beat: Callable[[], bool | None]
) -> tuple[plan.Plan, publish.Result]:
    champion = planned.champion
    parameters = publish.of_settings(settings, planned.schema)
    child.write_task(
        work,
        X=planned.samples.X,
        y=planned.samples.y,
        holdout=planned.holdout,
        fresh=planned.fresh,
        task=planned.schema.target.task or "classification",
        parameters=parameters,
        champion=(registry.folder(settings.models_folder, champion.version), champion.files, champion.accepted)
        if champion
        else None,
        policy=settings.window_policy,
        search_s=settings.search_s,
        learned=_learned(work, champion, settings),
    )
    scores = child.run(work, timeout_s=settings.fit_timeout_s, memory_mb=settings.fit_memory_mb, beat=beat)
    planned = planned.newest(int(scores.get("used", len(planned.samples))))
    if champion is not None and champion.kind == roll.KIND:
        scores = honest.over(scores, planned.samples.take(planned.holdout), champion)
    verdict = _verdict(job, planned, scores, settings)
    y = planned.samples.y[planned.holdout]
    why = verdict.sentence if verdict else _why_not_compared(planned, scores)
    chosen = orjson.loads(str(scores["chosen"])) if "chosen" in scores else {"parameters": asdict(parameters)}
    result = publish.Result(
        scores=scores,
        metrics=evaluate.metrics(y, scores["challenger_scores"], scores["challenger_classes"]),
        verdict=asdict(verdict) if verdict else {},
        why=" ".join(filter(None, [str(scores.get("note", "")), why, *planned.stated])),
        parameters=chosen["parameters"]
        | {"window": settings.window_policy, "tried": chosen.get("tried", [])}
        | ({"first_rows": int(scores["honest_from"])} if "honest_from" in scores else {}),
    )
    return planned, result


def _learned(work: Path, champion: versions.Version | None, settings: Settings) -> child.Learned | None:
    """Copy the model that a champion has become by learning, before it is pruned; None for one that does not learn."""
    if champion is None or champion.kind != roll.KIND:
        return None
    folder = registry.folder(settings.models_folder, champion.version)
    for _ in range(TRIES):
        with db.reading() as connection:
            last = revisions.newest(connection, champion.version)
        if last is None:
            return child.Learned("")
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(revision_files.model_path(folder, last.revision), work / child.CHAMPION)
            return child.Learned(last.files[revision_files.model_name(last.revision)])
    raise errors.FitFailed(
        f"The newest state of version {champion.version} cannot be read, so nothing can be compared with it. "
        "Restore models/, or wait: the learner publishes the next one with the next labels."
    )


def _why_not_compared(planned: plan.Plan, scores: dict[str, Any]) -> str:
    if planned.champion is None:
        return f"It is the first one, trained on {len(planned.samples):,} rows."
    return (
        f"Nothing was compared, because version {planned.champion.version} cannot be loaded: {scores['champion_fault']}"
    )


def _verdict(job: jobs.Job, planned: plan.Plan, scores: dict[str, Any], settings: Settings) -> gate.Verdict | None:
    verdict = judging.judge(planned, scores, settings, trigger=gate.trigger_of(job.evidence))
    faults = judging.refit_faults(planned, scores, settings) if verdict is None else []
    if faults:  # with nobody to beat, a refit that has gone wrong is no verdict but a failure
        raise errors.FitFailed(" ".join(faults))
    return verdict


TRIES = 5
"""Looks for a champion's newest revision, which may be gone by the time that it is copied."""

_OUTCOMES = {"hold": "held", "reject": "rejected"}
"""Decision of the gate -> outcome of the job, where the champion stays."""


def _decide(
    work: Path, job: jobs.Job, planned: plan.Plan, result: publish.Result, *, settings: Settings, holder: str
) -> None:
    outcome = _OUTCOMES.get(result.verdict.get("decision", ""))
    if planned.champion is not None and outcome is not None:
        with db.reading() as connection:
            plan.still_holds(connection, planned)
        seen = {"last_batch": planned.last_batch, "last_label": planned.last_label}
        told = seen | {"metrics": result.metrics, "verdict": result.verdict}
        _end(job, holder, outcome, f"Version {planned.champion.version} stays. {result.why}", told)
        return
    version = publish.publish(work, job, planned, result, settings=settings, holder=holder)
    if version is None:
        logger.warning("another process has taken over the job; this one registered nothing")
    else:
        logger.info("version %s passed the gate. %s", version.version, result.why)


# Ending ---------------------------------------------------------------------------------------------------------


def _wait(job: jobs.Job, holder: str, sentence: str) -> None:
    with db.transaction() as connection:
        if jobs.wait_for_labels(connection, job.id, holder, sentence):
            ledger.record(connection, "waiting_for_labels", f"Retraining waits. {sentence}", fold=True, job_id=job.id)
    logger.info("waiting for labels: %s", sentence)


def _hold(job: jobs.Job, holder: str, held: triggers.Hold, settings: Settings) -> None:
    with db.transaction() as connection:
        if jobs.put_back(connection, job.id, holder):
            asking.keep(connection, job, held, settings)


def _put_back(job: jobs.Job, holder: str) -> None:
    with db.transaction() as connection:
        if jobs.put_back(connection, job.id, holder):
            told = f"Retraining job {job.id} was stopped, because its server is told to end; it is queued again."
            ledger.record(connection, "skip", told, job_id=job.id)
    logger.info("stopped with its server; queued again")


_ENDS = {
    "superseded": ("done", "verdict"),
    "rejected": ("done", "verdict"),
    "held": ("done", "verdict"),
    "failed": ("failed", "failure"),
    "cancelled": ("cancelled", "cancel"),
}
"""Outcome of a job that changes nothing -> its state, and the ledger's word for it."""


def _end(job: jobs.Job, holder: str, outcome: str, sentence: str, result: dict[str, Any] | None = None) -> None:
    """Finish a job that changes nothing else, and say so in the ledger."""
    state, kind = _ENDS[outcome]
    if result is None:
        with db.reading() as connection:
            last_batch, last_label, _ = features.newest_marks(connection)
        result = {"last_batch": last_batch, "last_label": last_label}
    with db.transaction() as connection:
        if jobs.finish(connection, job.id, holder, state=state, outcome=outcome, sentence=sentence, result=result):
            told = f"Retraining job {job.id} {outcome}. {sentence}"
            ledger.record(connection, kind, told, job_id=job.id, evidence=result)
    logger.info("%s: %s", outcome, sentence)
