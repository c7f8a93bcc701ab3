"""Incidents, what happened to them, who wants no messages, and the messages."""

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
    sa.Column("acknowledged_at", sa.BigInteger),
    sa.Column("acknowledged_by", sa.String(80)),
    sa.Column("note", sa.Text, comment="of the newest acknowledgement"),
    sa.Index(
        "incidents_one_open",
        "kind",
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    ),
)
"""At most one open incident of a kind: what goes on is updated, not repeated."""

incident_events = sa.Table(
    "incident_events",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("incident_id", sa.ForeignKey("incidents.id"), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("event", sa.String(16), nullable=False, comment="opened, acknowledged, muted, unmuted, resolved"),
    sa.Column("by", sa.String(80)),
    sa.Column("note", sa.Text),
    sa.Column("pending", sa.Boolean, nullable=False, comment="messages about it are still to be written"),
    sa.Index("incident_events_incident", "incident_id", "id"),
    sa.Index("incident_events_pending", "id", sqlite_where=sa.text("pending"), postgresql_where=sa.text("pending")),
)
"""One step in an incident's life, written with it. A pending one becomes messages, once."""

incident_mutes = sa.Table(
    "incident_mutes",
    metadata,
    sa.Column("kind", sa.String(40), primary_key=True),
    sa.Column("until", sa.BigInteger, nullable=False),
)
"""No messages about a kind until then."""

incident_messages = sa.Table(
    "incident_messages",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("incident_id", sa.ForeignKey("incidents.id"), nullable=False),
    sa.Column("event", sa.String(16), nullable=False, comment="opened or resolved"),
    sa.Column("target", sa.String(16), nullable=False, comment="key of the address; the address may be a secret"),
    sa.Column("url", sa.Text, nullable=False, comment="the address as it is shown"),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, comment="queued, sent, failed, dropped"),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("next_try_at", sa.BigInteger, nullable=False, comment="while it is being sent: end of the lease"),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("last_error", sa.Text),
    sa.UniqueConstraint("incident_id", "event", "target", name="incident_messages_once"),
    sa.Index(
        "incident_messages_queued",
        "next_try_at",
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    ),
)
"""One message to one address: each event of an incident is told there once."""
