"""Incidents: what is wrong, from when to when."""

from __future__ import annotations

import sqlalchemy as sa

from mlpipe.db import Id, metadata

incidents = sa.Table(
    "incidents",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("opened_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("resolved_at", sa.BigInteger),
    sa.Column("times", sa.Integer, nullable=False, default=1),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Index(
        "incidents_one_open",
        "kind",
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    ),
)
"""At most one open incident of a kind: what goes on is updated, not repeated."""
