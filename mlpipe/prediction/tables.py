"""The prediction log and the labels that came for it."""

from __future__ import annotations

import sqlalchemy as sa

from mlpipe.db import Id, metadata

predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("request_id", sa.String(128), nullable=False),
    sa.Column("predicted_at", sa.BigInteger, nullable=False),
    sa.Column("model_version", sa.ForeignKey("model_versions.version"), nullable=False),
    sa.Column("model_revision", sa.Integer, nullable=False),
    sa.Column("route", sa.String(16), nullable=False),
    sa.Column("n_rows", sa.Integer, nullable=False),
    sa.Column("latency_us", sa.Integer, nullable=False),
    sa.Column("features", sa.LargeBinary, nullable=False, comment="float64 (n, d)"),
    sa.Column("outputs", sa.LargeBinary, nullable=False, comment="float64 (n,): class label as stored, or value"),
    sa.Column("probabilities", sa.LargeBinary, comment="float64 (n, k), classes in the model's order"),
    sa.Column("answered", sa.BigInteger, comment="of a shadow row: the log row that was answered, with the features"),
    sa.Index("predictions_version", "model_version", "id"),
    sa.Index("predictions_time", "predicted_at"),
    sa.Index(
        "predictions_shadow",
        "answered",
        "model_version",
        unique=True,
        sqlite_where=sa.text("answered IS NOT NULL"),
        postgresql_where=sa.text("answered IS NOT NULL"),
    ),
)
"""One request: n answers are one row. Ids of predictions are ``<id>-<index>``.

A shadow row is what another version would have answered; no client saw it, and no reader of traffic counts it.
"""

SERVED = predictions.c.route != "shadow"
"""What every reader of traffic asks for."""

routes = sa.Table(
    "routes",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("model_version", sa.ForeignKey("model_versions.version"), nullable=False),
    sa.Column("route", sa.String(16), nullable=False, comment="canary or shadow"),
    sa.Column("share", sa.Float(53), nullable=False, comment="of the callers, or of the requests; above 0, at most 1"),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger),
    sa.Column("by", sa.String(80), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("first_prediction", sa.BigInteger, nullable=False, comment="newest log row when it began"),
    sa.Column("last_prediction", sa.BigInteger, nullable=False, comment="newest log row that the shadow has seen"),
    sa.Column("skipped", sa.BigInteger, nullable=False, comment="log rows that a shadow left out to keep up"),
    sa.Column("open", sa.Boolean, comment="true or null: a version has one open route"),
    sa.Index("routes_one_a_version", "model_version", "open", unique=True),
    sa.Index(
        "routes_one_canary",
        "route",
        "open",
        unique=True,
        sqlite_where=sa.text("route = 'canary'"),
        postgresql_where=sa.text("route = 'canary'"),
    ),
)
"""One stretch in which a version is served to a share of callers, or scored in the shadow of the champion."""

prediction_labels = sa.Table(
    "prediction_labels",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("prediction_id", sa.BigInteger, nullable=False, comment="no foreign key: unknown ids are parked"),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("label", sa.Float(53), nullable=False),
    sa.Column("observed_at", sa.BigInteger),
    sa.Column("received_at", sa.BigInteger, nullable=False),
    sa.Column("current", sa.Boolean, nullable=False, comment="false: corrected by a later row"),
    sa.Column("sample_batch", sa.ForeignKey("feature_batches.id"), comment="null: parked"),
    sa.Column("sample_position", sa.Integer),
    sa.Column("predicted_at", sa.BigInteger),
    sa.Column("model_version", sa.Integer),
    sa.Column("output", sa.Float(53), comment="what was answered"),
    sa.Column("p_label", sa.Float(53), comment="probability that was given to the true class"),
    sa.Index(
        "prediction_labels_current",
        "prediction_id",
        "position",
        unique=True,
        sqlite_where=sa.text("current"),
        postgresql_where=sa.text("current"),
    ),
    sa.Index("prediction_labels_time", "predicted_at"),
    sa.Index("prediction_labels_version", "model_version", "current", "prediction_id", "position"),
    sa.Index(
        "prediction_labels_parked",
        "id",
        sqlite_where=sa.text("sample_batch IS NULL"),
        postgresql_where=sa.text("sample_batch IS NULL"),
    ),
)
"""One label of one prediction; a correction is a new row. The answer stands beside it, so quality is one query."""
