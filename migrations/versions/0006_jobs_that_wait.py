"""Jobs that wait until a time; the ledger's entries by job, version and incident."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEXES = {"ledger_job": "job_id", "ledger_version": "model_version", "ledger_incident": "incident_id"}


def upgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("not_before", sa.BigInteger(), nullable=True, comment="a queued job is not claimed earlier")
        )
        batch_op.alter_column(
            "step",
            existing_type=sa.String(length=40),
            existing_nullable=True,
            comment="where it is; of a queued job that is held up: by what",
        )
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.add_column(sa.Column("incident_id", sa.BigInteger(), nullable=True))
        for name, column in INDEXES.items():
            batch_op.create_index(name, [column, "id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        for name in INDEXES:
            batch_op.drop_index(name)
        batch_op.drop_column("incident_id")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.alter_column("step", existing_type=sa.String(length=40), existing_nullable=True, comment=None)
        batch_op.drop_column("not_before")
