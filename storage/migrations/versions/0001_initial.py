"""The first tables: people, messaging and its ledger, notes, models' cost and health, incidents, credentials."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.types import AnyText, UTCDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TENANT_TABLES = (
    "ai_model_usage",
    "incidents",
    "model_health",
    "users",
    "conversations",
    "credentials",
    "identities",
    "sticky_notes",
    "inbox_events",
    "messages",
    "outbox",
)


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    op.create_table(
        "ai_model_usage",
        sa.Column("organization_id", AnyText(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("level", AnyText(), nullable=False),
        sa.Column("provider", AnyText(), nullable=False),
        sa.Column("model", AnyText(), nullable=False),
        sa.Column("outcome", AnyText(), nullable=False),
        sa.Column("detail", AnyText(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("cost_usd", sa.Double(), nullable=False),
        sa.Column("first_token_ms", sa.Double(), nullable=True),
        sa.Column("latency_ms", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_ai_model_usage")),
    )
    op.create_index(op.f("ix_ai_model_usage_organization_id_at"), "ai_model_usage", ["organization_id", "at"], unique=False)
    op.create_index(op.f("ix_ai_model_usage_organization_id_level_id"), "ai_model_usage", ["organization_id", "level", "id"], unique=False)
    op.create_table(
        "incidents",
        sa.Column("organization_id", AnyText(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", AnyText(), nullable=False),
        sa.Column("key", AnyText(), nullable=False),
        sa.Column("detail", AnyText(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_incidents")),
        sa.UniqueConstraint("organization_id", "kind", "key", name=op.f("uq_incidents_organization_id_kind_key")),
    )
    op.create_table(
        "model_health",
        sa.Column("organization_id", AnyText(), nullable=False),
        sa.Column("rung", AnyText(), nullable=False),
        sa.Column("state", AnyText(), nullable=False),
        sa.Column("outcomes", sa.JSON(), nullable=False),
        sa.Column("openings", sa.Integer(), nullable=False),
        sa.Column("retry_at", UTCDateTime(), nullable=True),
        sa.Column("updated_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "rung", name=op.f("pk_model_health")),
    )
    op.create_table(
        "organizations",
        sa.Column("id", AnyText(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
    )
    op.create_table(
        "users",
        sa.Column("organization_id", AnyText(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", AnyText(), nullable=False),
        sa.Column("role", AnyText(), nullable=False),
        sa.Column("timezone", AnyText(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("fk_users_")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_users")),
        sa.UniqueConstraint("organization_id", "name", name=op.f("uq_users_organization_id_name")),
    )
    op.create_table(
        "conversations",
        sa.Column("organization_id", AnyText(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("channel", AnyText(), nullable=False),
        sa.Column("key", AnyText(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("session_type", AnyText(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"], ["users.organization_id", "users.id"], name=op.f("fk_conversations_user_id")
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_conversations")),
        sa.UniqueConstraint("organization_id", "channel", "key", name=op.f("uq_conversations_organization_id_channel_key")),
    )
    op.create_table(
        "credentials",
        sa.Column("organization_id", AnyText(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", AnyText(), nullable=False),
        sa.Column("secret_hash", AnyText(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("label", AnyText(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=True),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["organization_id", "user_id"], ["users.organization_id", "users.id"], name=op.f("fk_credentials_user_id")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_credentials")),
        sa.UniqueConstraint("organization_id", "secret_hash", name=op.f("uq_credentials_organization_id_secret_hash")),
    )
    op.create_table(
        "identities",
        sa.Column("organization_id", AnyText(), nullable=False),
        sa.Column("channel", AnyText(), nullable=False),
        sa.Column("account", AnyText(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id", "user_id"], ["users.organization_id", "users.id"], name=op.f("fk_identities_user_id")),
        sa.PrimaryKeyConstraint("organization_id", "channel", "account", name=op.f("pk_identities")),
    )
    op.create_table(
        "sticky_notes",
        sa.Column("organization_id", AnyText(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("text", AnyText(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"], ["users.organization_id", "users.id"], name=op.f("fk_sticky_notes_user_id")
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_sticky_notes")),
    )
    op.create_index(op.f("ix_sticky_notes_organization_id_user_id_id"), "sticky_notes", ["organization_id", "user_id", "id"], unique=False)
    op.create_table(
        "inbox_events",
        sa.Column("organization_id", AnyText(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("channel", AnyText(), nullable=False),
        sa.Column("account", AnyText(), nullable=False),
        sa.Column("external_id", AnyText(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("kind", AnyText(), nullable=False),
        sa.Column("raw", AnyText(), nullable=False),
        sa.Column("received_at", UTCDateTime(), nullable=False),
        sa.Column("state", AnyText(), nullable=False),
        sa.Column("owner", AnyText(), nullable=True),
        sa.Column("lease_until", UTCDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UTCDateTime(), nullable=True),
        sa.Column("deferred_at", UTCDateTime(), nullable=True),
        sa.Column("answered_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "conversation_id"],
            ["conversations.organization_id", "conversations.id"],
            name=op.f("fk_inbox_events_conversation_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_inbox_events")),
        sa.UniqueConstraint(
            "organization_id", "channel", "account", "external_id", name=op.f("uq_inbox_events_organization_id_channel_account_external_id")
        ),
    )
    op.create_index(
        op.f("ix_inbox_events_organization_id_conversation_id_state_id"),
        "inbox_events",
        ["organization_id", "conversation_id", "state", "id"],
        unique=False,
    )
    op.create_index(op.f("ix_inbox_events_organization_id_state_id"), "inbox_events", ["organization_id", "state", "id"], unique=False)
    op.create_table(
        "messages",
        sa.Column("organization_id", AnyText(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("direction", AnyText(), nullable=False),
        sa.Column("kind", AnyText(), nullable=False),
        sa.Column("text", AnyText(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("session_type", AnyText(), nullable=False),
        sa.Column("external_id", AnyText(), nullable=True),
        sa.Column("reply_to", sa.Uuid(), nullable=True),
        sa.Column("digest", AnyText(), nullable=True),
        sa.Column("recovered", sa.Boolean(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "conversation_id"],
            ["conversations.organization_id", "conversations.id"],
            name=op.f("fk_messages_conversation_id"),
        ),
        sa.ForeignKeyConstraint(["organization_id", "user_id"], ["users.organization_id", "users.id"], name=op.f("fk_messages_user_id")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_messages")),
    )
    op.create_index(
        op.f("ix_messages_organization_id_conversation_id_id"), "messages", ["organization_id", "conversation_id", "id"], unique=False
    )
    op.create_index(op.f("ix_messages_organization_id_reply_to"), "messages", ["organization_id", "reply_to"], unique=False)
    op.create_index(op.f("ix_messages_organization_id_user_id_digest"), "messages", ["organization_id", "user_id", "digest"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("organization_id", AnyText(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("state", AnyText(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("owner", AnyText(), nullable=True),
        sa.Column("lease_until", UTCDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("recovered", sa.Boolean(), nullable=False),
        sa.Column("next_attempt_at", UTCDateTime(), nullable=True),
        sa.Column("channel_message_id", AnyText(), nullable=True),
        sa.Column("sent_at", UTCDateTime(), nullable=True),
        sa.Column("last_error", AnyText(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "conversation_id"],
            ["conversations.organization_id", "conversations.id"],
            name=op.f("fk_outbox_conversation_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_outbox")),
    )
    op.create_index(
        op.f("ix_outbox_organization_id_conversation_id_state_id"),
        "outbox",
        ["organization_id", "conversation_id", "state", "id"],
        unique=False,
    )
    op.create_index(op.f("ix_outbox_organization_id_event_id"), "outbox", ["organization_id", "event_id"], unique=False)
    op.create_index(op.f("ix_outbox_organization_id_state_id"), "outbox", ["organization_id", "state", "id"], unique=False)

    if op.get_bind().dialect.name == "postgresql":
        _secure_rows()


def _secure_rows() -> None:
    """PostgreSQL itself shows a connection the rows of the organization it has named, and no others."""
    for table in ("organizations", *TENANT_TABLES):
        column = "id" if table == "organizations" else "organization_id"
        mine = f"{column} = current_setting('app.org', true)"
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY organization_only ON {table} USING ({mine}) WITH CHECK ({mine})")
