"""Rows for pages: straight into the tables, from a seeded generator."""

from __future__ import annotations

import numpy as np

from mlpipe import clock, db
from mlpipe.drift.tables import drift_reports
from mlpipe.features.tables import feature_batches, schema_versions
from mlpipe.incidents.tables import incidents
from mlpipe.jobs.tables import jobs, ledger, workers
from mlpipe.prediction.tables import prediction_labels, predictions
from mlpipe.registry.tables import deployments, model_versions

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
NAMES = (
    "origin_delay_2h",
    "dep_hour",
    "wind_gust",
    "pressure",
    "dew_point",
    "humidity",
    "visibility",
    "carrier",
    "destination",
    "distance",
)
HEALTH = {
    "database": ("ok", "SQLite answers in 0.2 ms, write-ahead log on."),
    "model": ("ok", "Version 7 is loaded in this process."),
    "scheduler": ("ok", "This process holds the lease."),
    "drift_monitor": ("ok", "The last check was made 2 minutes ago."),
    "retraining": ("waiting", "No job is open."),
    "prediction_log": ("ok", "Nothing waits to be written."),
    "disk": ("ok", "38 GB are free."),
}


def insert(table, *rows):
    with db.transaction() as connection:
        connection.execute(table.insert(), list(rows))


def schema(task="classification", kind="string", classes=("on time", "late")):
    columns = [{"name": name, "kind": "numeric"} for name in NAMES]
    target = {"task": task, "kind": kind, "classes": list(classes)}
    insert(
        schema_versions,
        {"version": 1, "columns": columns, "target": target, "status": "draft", "created_at": 1, "changed_at": 1},
    )


def batch(n_rows=1000, n_labelled=1000, batch_id="b1", at_us=None):
    block = np.zeros((n_rows, len(NAMES))).tobytes()
    row = {
        "batch_id": batch_id,
        "content_hash": batch_id,
        "schema_version": 1,
        "source": "batch",
        "received_at": at_us or clock.now_us(),
        "n_rows": n_rows,
        "n_labelled": n_labelled,
        "features": block,
    }
    insert(feature_batches, row)


def version(number, since_us, *, task="classification", metrics=None, reason="First model.", serves=True, job_id=None):
    row = {
        "version": number,
        "created_at": since_us,
        "kind": "random_forest",
        "task": task,
        "schema_version": 1,
        "parent": number - 1 or None,
        "parameters": {},
        "metrics": {"accuracy": 0.781, "log_loss": 0.48} if metrics is None else metrics,
        "lineage": {},
        "verdict": {},
        "files": {},
        "last_batch": 1,
        "last_label": 0,
    }
    insert(model_versions, row)
    if serves:
        with db.transaction() as connection:
            old = deployments.update().where(deployments.c.open.is_(True)).values(open=None, until=since_us)
            connection.execute(old)
        stretch = {
            "model_version": number,
            "since": since_us,
            "by": "retraining",
            "reason": reason,
            "kind": "deploy",
            "open": True,
            "job_id": job_id,
        }
        insert(deployments, stretch)


def request(at_us, model=1, n_rows=1, latency_us=2000, output=0.0):
    outputs = np.full(n_rows, output)
    return {
        "request_id": "r",
        "predicted_at": int(at_us),
        "model_version": model,
        "model_revision": 0,
        "route": "champion",
        "n_rows": n_rows,
        "features": np.zeros((n_rows, len(NAMES))).tobytes(),
        "outputs": outputs.tobytes(),
        "probabilities": None,
        "latency_us": int(latency_us),
    }


def label(prediction_id, at_us, *, value, output, model=1):
    return {
        "prediction_id": prediction_id,
        "position": 0,
        "label": float(value),
        "received_at": int(at_us + HOUR),
        "current": True,
        "predicted_at": int(at_us),
        "model_version": model,
        "output": float(output),
        "p_label": 0.7,
    }


def feature(name, psi, floor, *, p, effective):
    return {
        "name": name,
        "psi": psi + floor,
        "psi_corrected": psi,
        "noise_floor": floor,
        "ks": 0.1,
        "p_adjusted": p,
        "significant": p < 0.001,
        "effective_rows": effective,
        "window": 1000,
        "tau": 1000 / effective,
        "shift_sd": 0.1,
        "missing_share": 0.0,
        "reference_missing_share": 0.0,
    }


def report(at_us, *, score=0.0, ungated=0.012, verdict="stable", model=1, features=None, last=1, sentence=None):
    return {
        "checked_at": int(at_us),
        "model_version": model,
        "first_prediction": 1,
        "last_prediction": last,
        "n_rows": 1000,
        "verdict": verdict,
        "score": score,
        "score_ungated": ungated,
        "sentence": sentence or f"Nothing has moved: drift score {score:.3f}, alarm at 0.05.",
        "features": features
        if features is not None
        else [feature(name, 0.01, 0.05, p=1.0, effective=250) for name in NAMES],
        "prediction": None,
        "notes": [],
    }


def decision(at_us, kind, sentence, times=1, since_us=None):
    return {
        "at": int(since_us or at_us),
        "last_at": int(at_us),
        "times": times,
        "kind": kind,
        "sentence": sentence,
        "evidence": {},
    }


def one_prediction():
    now = clock.now_us()
    schema()
    batch()
    version(1, now - 60 * SECOND)
    insert(predictions, request(now - 5 * SECOND))
    worker(now, 1)


def worker(now, model, name="host:1"):
    row = {"id": name, "host": "host", "pid": 1, "started_at": now, "seen_at": now, "model_version": model}
    insert(workers, row | {"model_revision": 0})


def full(days=6.5, per_hour=60, task="classification", seed=7, busy=True, label_until=6 * HOUR):
    """Fill a week: nights without traffic, a drift, a new version, labels that come late."""
    rng = np.random.default_rng(seed)
    now = clock.now_us()
    start = now - int(days * DAY)
    deployed = now - int(0.3 * days * DAY)
    schema(task)
    batch()
    metrics = {"mae": 4.1, "rmse": 6.0, "r2": 0.6} if task == "regression" else None
    version(6, start, task=task, metrics=metrics)
    version(
        7,
        deployed,
        task=task,
        metrics=metrics,
        reason="Right on 2.1 points more of the same 1,180 rows (0.3 to 3.9).",
    )
    n = int(days * 24 * per_hour)
    times = np.sort(rng.uniform(start, now, n))
    nights = ((times / HOUR) % 24 > 1) & ((times / HOUR) % 24 < 5)
    times = times[~nights]
    latency = rng.lognormal(7.6, 0.4, times.size)
    label_us = rng.random(times.size) < 0.35
    fallen = (times > deployed - DAY) & (times < deployed)
    right = rng.random(times.size) < np.where(fallen, 0.69, 0.79)
    regression = task == "regression"
    truth = rng.normal(20, 10, times.size) if regression else label_us.astype(float)
    error = rng.normal(0, 5, times.size) * np.where(fallen, 1.5, 1.0)
    outputs = truth + error if regression else np.where(right, truth, 1 - truth)
    models = np.where(times < deployed, 6, 7)
    asked = zip(times, models, latency, outputs, strict=True)
    insert(predictions, *(request(t, int(m), latency_us=us, output=out) for t, m, us, out in asked))
    known = (times < now - label_until) & (rng.random(times.size) < 0.95)
    rows = [
        label(i + 1, times[i], value=truth[i], output=outputs[i], model=int(models[i])) for i in np.flatnonzero(known)
    ]
    insert(prediction_labels, *rows)
    _reports(rng, times, deployed)
    insert(
        incidents,
        {
            "kind": "labels_late",
            "state": "open",
            "sentence": "No label has come for 6 hours. Look at the job that posts to /feedback.",
            "opened_at": now - 3 * HOUR - 20 * 60 * SECOND,
            "updated_at": now,
            "evidence": {},
        },
    )
    if busy:
        insert(
            jobs,
            {
                "kind": "retraining",
                "state": "running",
                "reason": "An operator asked for it: “include the storm days”.",
                "evidence": {},
                "created_at": now - 41 * SECOND,
                "started_at": now - 41 * SECOND,
                "step": "fit",
            },
        )
    insert(
        ledger,
        decision(
            now - 30 * HOUR, "stable", "Nothing has moved: drift score 0.000, alarm at 0.05.", 40, now - 45 * HOUR
        ),
        decision(
            deployed - 3 * HOUR,
            "drift",
            "origin_delay_2h has moved: score 0.224, alarm at 0.05. Retraining was asked for.",
        ),
        decision(
            deployed,
            "verdict",
            "Version 7 was right on 2.1 points more of the same 1,180 rows (0.3 to 3.9). It serves now.",
        ),
        decision(
            now - 8 * HOUR, "waiting_for_data", "Fewer than 100 new rows; no check was made.", 55, now - 12 * HOUR
        ),
        decision(now - 41 * SECOND, "trigger", "An operator asked for a retraining: “include the storm days”."),
    )
    worker(now, 7, "host:1")
    worker(now, 7, "host:2")


def _reports(rng, times, deployed):
    rows = []
    for i in range(100, times.size, max(100, times.size // 180)):
        at = times[i]
        moved = deployed - 20 * HOUR < at < deployed
        ungated = abs(rng.normal(0.012, 0.006)) + (0.2 * (at - deployed + 20 * HOUR) / (20 * HOUR) if moved else 0)
        score = ungated if ungated > 0.045 else 0.0
        rows.append(
            report(
                at,
                score=score,
                ungated=ungated,
                verdict="drift" if score > 0.05 else "stable",
                model=6 if at < deployed else 7,
                last=i + 1,
            )
        )
    rows[-1]["features"] = [
        feature(name, psi, floor, p=p, effective=rows_)
        for name, psi, floor, p, rows_ in zip(
            NAMES,
            (0.041, 0.071, 0.03, 0.02, 0.015, 0.01, 0.006, 0.004, 0.002, 0.0),
            (0.04, 0.119, 0.089, 0.13, 0.135, 0.09, 0.08, 0.018, 0.03, 0.01),
            (0.0004, 0.04, 0.3, 0.7, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
            (250, 83, 111, 76, 73, 111, 125, 550, 400, 900),
            strict=True,
        )
    ]
    insert(drift_reports, *rows)


def propose(number):
    """Let a version wait for a person."""
    with db.transaction() as connection:
        connection.execute(model_versions.update().where(model_versions.c.version == number).values(state="proposed"))
