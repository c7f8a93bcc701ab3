"""What a learning version has learned, step by step."""

from __future__ import annotations

import sqlalchemy as sa

from mlpipe.db import Id, metadata

learning_steps = sa.Table(
    "learning_steps",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("model_version", sa.ForeignKey("model_versions.version"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False, comment="counts the version's steps from 1"),
    sa.Column("kind", sa.String(16), nullable=False, comment="learned, held, released, discarded or restored"),
    sa.Column("after_batch", sa.BigInteger, nullable=False),
    sa.Column("after_label", sa.BigInteger, nullable=False),
    sa.Column("upto_batch", sa.BigInteger, nullable=False),
    sa.Column("upto_label", sa.BigInteger, nullable=False),
    sa.Column("n_rows", sa.Integer, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False, comment="labels learned when the step was over"),
    sa.Column("of", sa.Integer, comment="the held step that this one releases or discards; the revision restored"),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("figures", sa.JSON, nullable=False),
    sa.Column("scores", sa.LargeBinary, comment="float64 (n, k) or (n,): answers before the rows were learned"),
    sa.UniqueConstraint("model_version", "number", name="learning_steps_one_a_number"),
)
"""One stretch of labels, in the order of arrival. All steps of a version, in order, rebuild its state exactly."""
