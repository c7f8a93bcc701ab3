"""Jobs, leases, workers and the ledger."""

from __future__ import annotations

import sqlalchemy as sa

from mlpipe.db import Id, metadata

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("slot", sa.BigInteger, comment="number of the interval; a (kind, slot) runs once"),
    sa.Column("state", sa.String(24), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("finished_at", sa.BigInteger),
    sa.Column("holder", sa.String(80)),
    sa.Column("lease_until", sa.BigInteger),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("step", sa.String(40), comment="where it is; of a queued job that is held up: by what"),
    sa.Column("not_before", sa.BigInteger, comment="a queued job is not claimed earlier"),
    sa.Column("cancel_asked", sa.Boolean, nullable=False, default=False),
    sa.Column("outcome", sa.String(40)),
    sa.Column("sentence", sa.Text),
    sa.Column("result", sa.JSON),
    sa.UniqueConstraint("kind", "slot"),
    sa.Index(
        "jobs_one_open_retraining",
        "kind",
        unique=True,
        sqlite_where=sa.text("kind = 'retraining' AND state IN ('queued', 'running', 'waiting_for_labels')"),
        postgresql_where=sa.text("kind = 'retraining' AND state IN ('queued', 'running', 'waiting_for_labels')"),
    ),
    sa.Index("jobs_state", "state"),
)
"""What is to do, by whom until when. Times are microseconds since 1970 UTC, here and in every table."""

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("holder", sa.String(80), nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False, comment="grows with every new holder"),
    sa.Column("until", sa.BigInteger, nullable=False),
)
"""Who leads, until when."""

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.String(80), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("model_version", sa.Integer),
    sa.Column("model_revision", sa.Integer),
)
"""Which process serves which version."""

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False, comment="newest of the equal decisions folded here"),
    sa.Column("times", sa.Integer, nullable=False, default=1),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("job_id", sa.BigInteger),
    sa.Column("report_id", sa.BigInteger),
    sa.Column("model_version", sa.Integer),
    sa.Column("incident_id", sa.BigInteger),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Index("ledger_kind", "kind", "id"),
    sa.Index("ledger_job", "job_id", "id"),
    sa.Index("ledger_version", "model_version", "id"),
    sa.Index("ledger_incident", "incident_id", "id"),
)
"""What was decided, and why, in sentences."""
