"""The feature store's tables: schema versions, batches as blocks, labels that came later."""

from __future__ import annotations

import sqlalchemy as sa

from mlpipe.db import Id, metadata

schema_versions = sa.Table(
    "schema_versions",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("columns", sa.JSON, nullable=False),
    sa.Column("target", sa.JSON, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("changed_at", sa.BigInteger, nullable=False),
)
"""Columns and target; dictionaries grow in place, a person's edit makes a new row."""

feature_batches = sa.Table(
    "feature_batches",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("batch_id", sa.String(128), nullable=False, unique=True),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("schema_version", sa.ForeignKey("schema_versions.version"), nullable=False),
    sa.Column("source", sa.String(16), nullable=False, comment="batch, stream or feedback"),
    sa.Column("received_at", sa.BigInteger, nullable=False),
    sa.Column("n_rows", sa.Integer, nullable=False),
    sa.Column("n_labelled", sa.Integer, nullable=False, comment="rows with a label by now"),
    sa.Column("features", sa.LargeBinary, nullable=False, comment="float64 (n, d), little endian"),
    sa.Column("labels", sa.LargeBinary, comment="float64 (n,) as ingested; NaN: not known then"),
    sa.Column("event_times", sa.LargeBinary, comment="int64 (n,) microseconds; absent: received_at"),
    sa.Column("origins", sa.LargeBinary, comment="int64 (n, 2): prediction row and index, for feedback"),
    sa.Index(
        "feature_batches_labelled",
        "id",
        sqlite_where=sa.text("n_labelled > 0"),
        postgresql_where=sa.text("n_labelled > 0"),
    ),
    sa.Index("feature_batches_received", "received_at"),
)
"""One ingested batch: n samples are one row. Ids of samples are ``<id>-<index>``."""

sample_labels = sa.Table(
    "sample_labels",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("batch", sa.ForeignKey("feature_batches.id"), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("label", sa.Float(53), nullable=False),
    sa.Column("first", sa.Boolean, nullable=False, comment="false: corrects a label that was known"),
    sa.Column("observed_at", sa.BigInteger),
    sa.Column("received_at", sa.BigInteger, nullable=False),
    sa.Index("sample_labels_batch", "batch", "id"),
)
"""Labels that came after their sample, and corrections; the newest row of a sample counts."""

sample_keys = sa.Table(
    "sample_keys",
    metadata,
    sa.Column("row_id", sa.String(128), primary_key=True),
    sa.Column("batch", sa.ForeignKey("feature_batches.id"), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Index("sample_keys_batch", "batch"),
)
"""The client's own names of samples, so that it can send their labels later."""
