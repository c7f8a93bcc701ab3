"""Canary and shadow: routes, shadow rows of the prediction log; probations of new champions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mlpipe.db import Id

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("predictions", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "answered",
                sa.BigInteger(),
                nullable=True,
                comment="of a shadow row: the log row that was answered, with the features",
            )
        )
        batch_op.create_index(
            "predictions_shadow",
            ["answered", "model_version"],
            unique=True,
            sqlite_where=sa.text("answered IS NOT NULL"),
            postgresql_where=sa.text("answered IS NOT NULL"),
        )
    op.create_table(
        "routes",
        sa.Column("id", Id, nullable=False),
        sa.Column("model_version", sa.Integer(), nullable=False),
        sa.Column("route", sa.String(length=16), nullable=False, comment="canary or shadow"),
        sa.Column(
            "share", sa.Float(53), nullable=False, comment="of the callers, or of the requests; above 0, at most 1"
        ),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("by", sa.String(length=80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("first_prediction", sa.BigInteger(), nullable=False, comment="newest log row when it began"),
        sa.Column(
            "last_prediction", sa.BigInteger(), nullable=False, comment="newest log row that the shadow has seen"
        ),
        sa.Column("skipped", sa.BigInteger(), nullable=False, comment="log rows that a shadow left out to keep up"),
        sa.Column("open", sa.Boolean(), nullable=True, comment="true or null: a version has one open route"),
        sa.ForeignKeyConstraint(["model_version"], ["model_versions.version"]),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("routes", schema=None) as batch_op:
        batch_op.create_index("routes_one_a_version", ["model_version", "open"], unique=True)
        batch_op.create_index(
            "routes_one_canary",
            ["route", "open"],
            unique=True,
            sqlite_where=sa.text("route = 'canary'"),
            postgresql_where=sa.text("route = 'canary'"),
        )
    op.create_table(
        "probations",
        sa.Column("id", Id, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False, comment="the deployment that is on probation"),
        sa.Column("model_version", sa.Integer(), nullable=False),
        sa.Column("rival", sa.Integer(), nullable=False, comment="the champion before, which scores in the shadow"),
        sa.Column("state", sa.String(length=16), nullable=False, comment="open, passed, rolled_back or ended"),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("first_prediction", sa.BigInteger(), nullable=False, comment="newest log row at the deployment"),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False, comment="what the newest look saw"),
        sa.ForeignKeyConstraint(["model_version"], ["model_versions.version"]),
        sa.ForeignKeyConstraint(["rival"], ["model_versions.version"]),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("probations", schema=None) as batch_op:
        batch_op.create_index("probations_generation", ["generation"], unique=True)
        batch_op.create_index("probations_version", ["model_version", "id"], unique=False)


def downgrade() -> None:
    op.drop_table("probations")
    op.drop_table("routes")
    op.execute("DELETE FROM predictions WHERE answered IS NOT NULL")
    with op.batch_alter_table("predictions", schema=None) as batch_op:
        batch_op.drop_index("predictions_shadow")
        batch_op.drop_column("answered")
