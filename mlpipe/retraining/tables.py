"""Probations: how new champions proved themselves, or did not."""

from __future__ import annotations

import sqlalchemy as sa

from mlpipe.db import Id, metadata

probations = sa.Table(
    "probations",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False, comment="the deployment that is on probation"),
    sa.Column("model_version", sa.ForeignKey("model_versions.version"), nullable=False),
    sa.Column(
        "rival",
        sa.ForeignKey("model_versions.version"),
        nullable=False,
        comment="the champion before, which scores in the shadow",
    ),
    sa.Column("state", sa.String(16), nullable=False, comment="open, passed, rolled_back or ended"),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("first_prediction", sa.BigInteger, nullable=False, comment="newest log row at the deployment"),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("figures", sa.JSON, nullable=False, comment="what the newest look saw"),
    sa.Index("probations_generation", "generation", unique=True),
    sa.Index("probations_version", "model_version", "id"),
)
"""The first rows of one deployment, on which its version is compared with the champion before."""
