"""Model versions, which of them served when, how they came to serve, and what people said about them."""

from __future__ import annotations

import sqlalchemy as sa

from mlpipe.db import Id, metadata

model_versions = sa.Table(
    "model_versions",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("task", sa.String(16), nullable=False),
    sa.Column("schema_version", sa.ForeignKey("schema_versions.version"), nullable=False),
    sa.Column("parent", sa.Integer, comment="the champion it was compared with"),
    sa.Column("job_id", sa.ForeignKey("jobs.id")),
    sa.Column("parameters", sa.JSON, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("lineage", sa.JSON, nullable=False, comment="which rows it saw"),
    sa.Column("verdict", sa.JSON, nullable=False),
    sa.Column("files", sa.JSON, nullable=False, comment="name -> sha256"),
    sa.Column("last_batch", sa.BigInteger, nullable=False, comment="newest batch that it saw"),
    sa.Column("last_label", sa.BigInteger, nullable=False, comment="newest later label that it saw"),
    sa.Column("state", sa.String(16), nullable=False, server_default="registered", comment="what is not derived"),
    sa.Column("accepted", sa.JSON, comment="other library versions under which it may be loaded"),
)
"""One version: a decision with its evidence. The folder holds the files."""

deployments = sa.Table(
    "deployments",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("model_version", sa.ForeignKey("model_versions.version"), nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger),
    sa.Column("kind", sa.String(16), nullable=False, comment="deploy or rollback"),
    sa.Column("by", sa.String(80), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("job_id", sa.ForeignKey("jobs.id")),
    sa.Column("open", sa.Boolean, comment="true or null: the unique index admits one open row"),
    sa.Index("deployments_one_open", "open", unique=True),
)
"""One stretch of serving; the id is the generation that workers compare."""

preparations = sa.Table(
    "preparations",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("model_version", sa.ForeignKey("model_versions.version"), nullable=False),
    sa.Column("expected", sa.BigInteger, comment="generation that it is to replace; null before the first"),
    sa.Column("kind", sa.String(16), nullable=False, comment="deploy or rollback"),
    sa.Column("by", sa.String(80), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("job_id", sa.ForeignKey("jobs.id")),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False, comment="after that its deployer counts as dead"),
    sa.Column("open", sa.Boolean, comment="true or null: the unique index admits one open row"),
    sa.Column("outcome", sa.String(16), comment="deployed, failed or abandoned"),
    sa.Column("sentence", sa.Text),
    sa.Index("preparations_one_open", "open", unique=True),
)
"""One wish to deploy: every worker loads the version and tries it before it serves."""

preparation_answers = sa.Table(
    "preparation_answers",
    metadata,
    sa.Column("preparation", sa.ForeignKey("preparations.id"), primary_key=True),
    sa.Column("worker", sa.String(80), primary_key=True),
    sa.Column("ready", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, comment="why it cannot serve the version"),
    sa.Column("at", sa.BigInteger, nullable=False),
)
"""What one worker says to a preparation."""

model_aliases = sa.Table(
    "model_aliases",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("model_version", sa.ForeignKey("model_versions.version"), nullable=False),
    sa.Column("set_at", sa.BigInteger, nullable=False),
    sa.Column("by", sa.String(80), nullable=False),
)
"""A name that people gave to a version; champion, previous and challenger are derived."""

model_notes = sa.Table(
    "model_notes",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("model_version", sa.ForeignKey("model_versions.version"), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("by", sa.String(80), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Index("model_notes_version", "model_version"),
)
"""What somebody wrote about a version."""

freezes = sa.Table(
    "freezes",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger),
    sa.Column("by", sa.String(80), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("open", sa.Boolean, comment="true or null: the unique index admits one open row"),
    sa.Index("freezes_one_open", "open", unique=True),
)
"""A time in which retrainings deploy nothing by themselves."""


model_revisions = sa.Table(
    "model_revisions",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("model_version", sa.ForeignKey("model_versions.version"), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("step", sa.Integer, nullable=False, comment="the last step of learning that it holds"),
    sa.Column("position", sa.BigInteger, nullable=False, comment="labels learned"),
    sa.Column("published_at", sa.BigInteger, nullable=False),
    sa.Column("files", sa.JSON, nullable=False, comment="name -> sha256"),
    sa.UniqueConstraint("model_version", "revision", name="model_revisions_one_a_number"),
)
"""One published state of a version that goes on learning."""
