"""Drift reports and quality checks."""

from __future__ import annotations

import sqlalchemy as sa

from mlpipe.db import Id, metadata

drift_reports = sa.Table(
    "drift_reports",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("checked_at", sa.BigInteger, nullable=False),
    sa.Column("model_version", sa.ForeignKey("model_versions.version"), nullable=False),
    sa.Column("job_id", sa.ForeignKey("jobs.id")),
    sa.Column("first_prediction", sa.BigInteger, nullable=False, comment="oldest log row of the window"),
    sa.Column("last_prediction", sa.BigInteger, nullable=False, comment="newest log row of the window"),
    sa.Column("n_rows", sa.Integer, nullable=False),
    sa.Column("verdict", sa.String(24), nullable=False),
    sa.Column("score", sa.Float(53), nullable=False),
    sa.Column("score_ungated", sa.Float(53), nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("features", sa.JSON, nullable=False),
    sa.Column("prediction", sa.JSON),
    sa.Column("notes", sa.JSON, nullable=False),
    sa.Column("since", sa.BigInteger, comment="of the first row that has moved"),
    sa.Column("relations", sa.JSON),
    sa.Column("segments", sa.JSON),
    sa.Column("quality", sa.JSON),
    sa.Index("drift_reports_time", "checked_at"),
    sa.UniqueConstraint("model_version", "last_prediction", name="drift_reports_one_a_window"),
)
"""One check: window, verdict, score, a result for each feature, a sentence."""

quality_checks = sa.Table(
    "quality_checks",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("checked_at", sa.BigInteger, nullable=False),
    sa.Column("model_version", sa.ForeignKey("model_versions.version"), nullable=False),
    sa.Column("last_label", sa.BigInteger, nullable=False, comment="newest label row that was looked at"),
    sa.Column("n_rows", sa.Integer, nullable=False, comment="labelled predictions that were looked at"),
    sa.Column("verdict", sa.String(24), nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("baseline", sa.JSON, nullable=False),
    sa.Column("windows", sa.JSON, nullable=False),
    sa.Column("estimate", sa.JSON, nullable=False),
    sa.UniqueConstraint("model_version", "last_label", name="quality_checks_one_a_label"),
)
"""One test of the error stream: what it was compared with, the windows, and whether the estimate can be believed."""
