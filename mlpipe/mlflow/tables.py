"""What MLflow has been told. What it is still to be told follows from the versions and the deployments themselves."""

from __future__ import annotations

import sqlalchemy as sa

from mlpipe.db import metadata

mlflow_servers = sa.Table(
    "mlflow_servers",
    metadata,
    sa.Column("target", sa.String(16), primary_key=True, comment="key of address and model name"),
    sa.Column("url", sa.Text, nullable=False, comment="the address as it is shown"),
    sa.Column("generation", sa.BigInteger, nullable=False, comment="newest deployment that its aliases show, or 0"),
    sa.Column("attempts", sa.Integer, nullable=False, comment="tries since it last took something"),
    sa.Column("failing_since", sa.BigInteger),
    sa.Column("next_try_at", sa.BigInteger, nullable=False, comment="while something is sent: end of the lease"),
    sa.Column("last_error", sa.Text),
)
"""One MLflow server: what its aliases show, and when it is tried next."""

mlflow_versions = sa.Table(
    "mlflow_versions",
    metadata,
    sa.Column("target", sa.ForeignKey("mlflow_servers.target"), primary_key=True),
    sa.Column("model_version", sa.ForeignKey("model_versions.version"), primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("run_id", sa.String(64), comment="null: it will never be there, the error says why"),
    sa.Column("mlflow_version", sa.String(20)),
    sa.Column("error", sa.Text),
)
"""One version that a server has, or has refused for good."""
