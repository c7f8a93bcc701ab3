"""Further parts of a drift report: since when, relations, segments, quality."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("drift_reports", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("since", sa.BigInteger(), nullable=True, comment="of the first row that has moved")
        )
        for part in ("relations", "segments", "quality"):
            batch_op.add_column(sa.Column(part, sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("drift_reports", schema=None) as batch_op:
        for part in ("quality", "segments", "relations", "since"):
            batch_op.drop_column(part)
