"""The first tables: people, messaging and its ledger, notes, models' cost and health, incidents, credentials."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.migrations.building import belongs_to, documents, ids, index, moments, numbers, reals, secure_rows, table, texts, unique

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    table(
        "ai_model_usage",
        *(*ids("id"), *moments("at"), *texts("level", "provider", "model", "outcome", "detail"), *ids("event_id", nullable=True)),
        *(*numbers("input_tokens", "output_tokens"), *reals("cost_usd"), *reals("first_token_ms", nullable=True), *reals("latency_ms")),
    )
    index("ai_model_usage", "at")
    index("ai_model_usage", "level", "id")
    table("incidents", *ids("id"), *texts("kind", "key", "detail"), *moments("at"), unique("kind", "key"))
    table(
        "model_health",
        *(*texts("rung", "state"), *documents("outcomes"), *numbers("openings"), *moments("retry_at", nullable=True)),
        *moments("updated_at"),
        key=["rung"],
    )
    op.create_table("organizations", *texts("id"), *moments("created_at"), sa.PrimaryKeyConstraint("id"))
    table(
        "users",
        *(*ids("id"), *texts("name", "role", "timezone"), *moments("created_at"), unique("name")),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"]),
    )
    table(
        "conversations",
        *(*ids("id"), *texts("channel", "key"), *ids("user_id"), *texts("session_type"), *moments("created_at")),
        *(belongs_to("users", "user_id"), unique("channel", "key")),
    )
    table(
        "credentials",
        *(*ids("id"), *texts("kind", "secret_hash"), *ids("user_id"), *texts("label"), *moments("created_at")),
        *(*moments("expires_at", "ended_at", nullable=True), belongs_to("users", "user_id"), unique("secret_hash")),
    )
    table(
        "identities",
        *(*texts("channel", "account"), *ids("user_id"), *moments("created_at"), belongs_to("users", "user_id")),
        key=["channel", "account"],
    )
    table(
        "sticky_notes",
        *(*ids("id", "user_id"), *texts("text"), *moments("created_at"), *ids("source_id", nullable=True)),
        belongs_to("users", "user_id"),
    )
    index("sticky_notes", "user_id", "id")
    _ledger()
    secure_rows("organizations", by="id")


def _ledger() -> None:
    table(
        "inbox_events",
        *(*ids("id"), *texts("channel", "account", "external_id"), *ids("conversation_id"), *texts("kind", "raw")),
        *(*moments("received_at"), *texts("state"), *texts("owner", nullable=True), *moments("lease_until", nullable=True)),
        *(*numbers("attempts", "crashes"), *moments("next_attempt_at", "deferred_at", "answered_at", nullable=True)),
        *(belongs_to("conversations", "conversation_id"), unique("channel", "account", "external_id")),
    )
    index("inbox_events", "conversation_id", "state", "id")
    index("inbox_events", "state", "id")
    table(
        "messages",
        *(*ids("id", "conversation_id", "user_id"), *texts("direction", "kind", "text"), *moments("at"), *texts("session_type")),
        *(*texts("external_id", nullable=True), *ids("reply_to", nullable=True), *texts("digest", nullable=True)),
        *(sa.Column("recovered", sa.Boolean(), nullable=False), *documents("details", nullable=True)),
        *(belongs_to("conversations", "conversation_id"), belongs_to("users", "user_id")),
    )
    index("messages", "conversation_id", "id")
    index("messages", "reply_to")
    index("messages", "user_id", "digest")
    table(
        "outbox",
        *(*ids("id", "conversation_id"), *ids("event_id", "message_id", nullable=True), *texts("state"), *moments("created_at")),
        *(*texts("owner", nullable=True), *moments("lease_until", nullable=True), *numbers("attempts")),
        *(sa.Column("recovered", sa.Boolean(), nullable=False), *moments("next_attempt_at", nullable=True)),
        *(*texts("channel_message_id", nullable=True), *moments("sent_at", nullable=True), *texts("last_error", nullable=True)),
        belongs_to("conversations", "conversation_id"),
    )
    index("outbox", "conversation_id", "state", "id")
    index("outbox", "event_id")
    index("outbox", "state", "id")
