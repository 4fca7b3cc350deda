"""What the doors need: attachments, proposals, feedback, codes for accounts, leases, cursors, installations; where a user comes from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.migrations.building import belongs_to, documents, ids, index, moments, reals, table, texts, unique

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    table("cursors", *texts("name", "value"), key=["name"])
    table("installations", *texts("channel", "key", "granted"), *moments("at"), key=["channel", "key"])
    table("leases", *texts("name", "owner"), *moments("until"), key=["name"])
    table(
        "link_codes",
        *(*ids("id"), *texts("kind", "code"), *ids("user_id", nullable=True), *moments("created_at"), *texts("channel", "account")),
        *(*ids("event_id", nullable=True), *moments("expires_at", "used_at", nullable=True), belongs_to("users", "user_id")),
        unique("kind", "code"),
    )
    table(
        "proposals",
        *(*ids("id"), *texts("code", "kind"), *ids("user_id", "conversation_id"), *ids("event_id", nullable=True)),
        *(*texts("title", "text"), *documents("details"), *texts("state"), *moments("created_at", "expires_at")),
        *(*moments("decided_at", nullable=True), belongs_to("users", "user_id"), belongs_to("conversations", "conversation_id")),
        unique("code"),
    )
    index("proposals", "state", "id")
    table(
        "attachments",
        *(*ids("id", "message_id"), *texts("name", "media_type"), sa.Column("size", sa.BigInteger(), nullable=False)),
        *(*texts("source"), *texts("path", nullable=True), *texts("trouble"), belongs_to("messages", "message_id")),
    )
    index("attachments", "message_id")
    table(
        "feedback",
        *(*ids("user_id", "message_id"), *reals("value"), *texts("source", "detail"), *moments("at")),
        *(belongs_to("users", "user_id"), belongs_to("messages", "message_id")),
        key=["user_id", "message_id"],
    )
    op.add_column("users", *texts("origin", server_default="config"))
