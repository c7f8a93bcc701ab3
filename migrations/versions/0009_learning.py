"""Steps and revisions of versions that go on learning."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "model_revisions",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_version", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False, comment="the last step of learning that it holds"),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="labels learned"),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False, comment="name -> sha256"),
        sa.ForeignKeyConstraint(["model_version"], ["model_versions.version"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("model_version", "revision", name="model_revisions_one_a_number"),
    )
    op.create_table(
        "learning_steps",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_version", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="counts the version's steps from 1"),
        sa.Column(
            "kind", sa.String(length=16), nullable=False, comment="learned, held, released, discarded or restored"
        ),
        sa.Column("after_batch", sa.BigInteger(), nullable=False),
        sa.Column("after_label", sa.BigInteger(), nullable=False),
        sa.Column("upto_batch", sa.BigInteger(), nullable=False),
        sa.Column("upto_label", sa.BigInteger(), nullable=False),
        sa.Column("n_rows", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="labels learned when the step was over"),
        sa.Column(
            "of",
            sa.Integer(),
            nullable=True,
            comment="the held step that this one releases or discards; the revision restored",
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column(
            "scores",
            sa.LargeBinary(),
            nullable=True,
            comment="float64 (n, k) or (n,): answers before the rows were learned",
        ),
        sa.ForeignKeyConstraint(["model_version"], ["model_versions.version"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("model_version", "number", name="learning_steps_one_a_number"),
    )


def downgrade() -> None:
    op.drop_table("learning_steps")
    op.drop_table("model_revisions")
