"""The registry: states of versions, preparations, aliases, notes, freezes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ONE_OPEN = "true or null: the unique index admits one open row"


def upgrade() -> None:
    with op.batch_alter_table("model_versions", schema=None) as batch_op:
        state = sa.Column(
            "state", sa.String(16), nullable=False, server_default="registered", comment="what is not derived"
        )
        batch_op.add_column(state)
        batch_op.add_column(
            sa.Column(
                "accepted", sa.JSON(), nullable=True, comment="other library versions under which it may be loaded"
            )
        )
    _add_preparations()
    _add_what_people_say()


def _version() -> sa.Column[int]:
    return sa.Column("model_version", sa.Integer(), sa.ForeignKey("model_versions.version"), nullable=False)


def _add_preparations() -> None:
    op.create_table(
        "preparations",
        sa.Column("id", ID, primary_key=True),
        _version(),
        sa.Column("expected", sa.BigInteger(), comment="generation that it is to replace; null before the first"),
        sa.Column("kind", sa.String(16), nullable=False, comment="deploy or rollback"),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("job_id", ID, sa.ForeignKey("jobs.id")),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False, comment="after that its deployer counts as dead"),
        sa.Column("open", sa.Boolean(), comment=ONE_OPEN),
        sa.Column("outcome", sa.String(16), comment="deployed, failed or abandoned"),
        sa.Column("sentence", sa.Text()),
    )
    op.create_index("preparations_one_open", "preparations", ["open"], unique=True)
    op.create_table(
        "preparation_answers",
        sa.Column("preparation", ID, sa.ForeignKey("preparations.id"), primary_key=True),
        sa.Column("worker", sa.String(80), primary_key=True),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), comment="why it cannot serve the version"),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )


def _add_what_people_say() -> None:
    op.create_table(
        "model_aliases",
        sa.Column("name", sa.String(64), primary_key=True),
        _version(),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
    )
    op.create_table(
        "model_notes",
        sa.Column("id", ID, primary_key=True),
        _version(),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
    )
    op.create_index("model_notes_version", "model_notes", ["model_version"], unique=False)
    op.create_table(
        "freezes",
        sa.Column("id", ID, primary_key=True),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger()),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("open", sa.Boolean(), comment=ONE_OPEN),
    )
    op.create_index("freezes_one_open", "freezes", ["open"], unique=True)


def downgrade() -> None:
    for table in ("freezes", "model_notes", "model_aliases", "preparation_answers", "preparations"):
        op.drop_table(table)
    with op.batch_alter_table("model_versions", schema=None) as batch_op:
        batch_op.drop_column("accepted")
        batch_op.drop_column("state")
