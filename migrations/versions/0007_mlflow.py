"""What MLflow has been told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mlflow_servers",
        sa.Column("target", sa.String(length=16), nullable=False, comment="key of address and model name"),
        sa.Column("url", sa.Text(), nullable=False, comment="the address as it is shown"),
        sa.Column(
            "generation", sa.BigInteger(), nullable=False, comment="newest deployment that its aliases show, or 0"
        ),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="tries since it last took something"),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("next_try_at", sa.BigInteger(), nullable=False, comment="while something is sent: end of the lease"),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("target"),
    )
    op.create_table(
        "mlflow_versions",
        sa.Column("target", sa.String(length=16), nullable=False),
        sa.Column("model_version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column(
            "run_id", sa.String(length=64), nullable=True, comment="null: it will never be there, the error says why"
        ),
        sa.Column("mlflow_version", sa.String(length=20), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["model_version"], ["model_versions.version"]),
        sa.ForeignKeyConstraint(["target"], ["mlflow_servers.target"]),
        sa.PrimaryKeyConstraint("target", "model_version"),
    )


def downgrade() -> None:
    op.drop_table("mlflow_versions")
    op.drop_table("mlflow_servers")
