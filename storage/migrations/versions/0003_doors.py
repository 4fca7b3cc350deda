"""What the doors need: attachments, proposals, feedback, codes for accounts, leases, cursors, installations; where a user comes from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.types import AnyText, UTCDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NEW_TABLES = ("cursors", "installations", "leases", "link_codes", "proposals", "attachments", "feedback")


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    _table("cursors", *_texts("name", "value"), key=["name"])
    _table("installations", *_texts("channel", "key", "granted"), _moment("at"), key=["channel", "key"])
    _table("leases", *_texts("name", "owner"), _moment("until"), key=["name"])
    _table(
        "link_codes",
        *(_id("id"), *_texts("kind", "code"), _id("user_id", nullable=True), _moment("created_at"), *_texts("channel", "account")),
        *(_id("event_id", nullable=True), _moment("expires_at", nullable=True), _moment("used_at", nullable=True)),
        *(_belongs_to("link_codes", "users", "user_id"), _unique("link_codes", "kind", "code")),
        key=["id"],
    )
    _table(
        "proposals",
        *(_id("id"), *_texts("code", "kind"), _id("user_id"), _id("conversation_id"), _id("event_id", nullable=True)),
        *(*_texts("title", "text"), sa.Column("details", sa.JSON(), nullable=False), *_texts("state")),
        *(_moment("created_at"), _moment("expires_at"), _moment("decided_at", nullable=True)),
        *(_belongs_to("proposals", "users", "user_id"), _belongs_to("proposals", "conversations", "conversation_id")),
        _unique("proposals", "code"),
        key=["id"],
    )
    _index("proposals", "state", "id")
    _table(
        "attachments",
        *(_id("id"), _id("message_id"), *_texts("name", "media_type"), sa.Column("size", sa.BigInteger(), nullable=False)),
        *(*_texts("source"), sa.Column("path", AnyText()), *_texts("trouble"), _belongs_to("attachments", "messages", "message_id")),
        key=["id"],
    )
    _index("attachments", "message_id")
    _table(
        "feedback",
        *(_id("user_id"), _id("message_id"), sa.Column("value", sa.Double(), nullable=False), *_texts("source", "detail"), _moment("at")),
        *(_belongs_to("feedback", "users", "user_id"), _belongs_to("feedback", "messages", "message_id")),
        key=["user_id", "message_id"],
    )
    op.add_column("users", sa.Column("origin", AnyText(), nullable=False, server_default="config"))
    if op.get_bind().dialect.name == "postgresql":
        _secure_rows()


def _table(name: str, *parts: sa.schema.SchemaItem, key: list[str]) -> None:
    op.create_table(name, *_texts("organization_id"), *parts, sa.PrimaryKeyConstraint("organization_id", *key, name=op.f(f"pk_{name}")))


def _texts(*names: str) -> list[sa.schema.SchemaItem]:
    return [sa.Column(name, AnyText(), nullable=False) for name in names]


def _moment(name: str, *, nullable: bool = False) -> sa.schema.SchemaItem:
    return sa.Column(name, UTCDateTime(), nullable=nullable)


def _id(name: str, *, nullable: bool = False) -> sa.schema.SchemaItem:
    return sa.Column(name, sa.Uuid(), nullable=nullable)


def _belongs_to(name: str, table: str, column: str) -> sa.schema.SchemaItem:
    return sa.ForeignKeyConstraint(
        ["organization_id", column], [f"{table}.organization_id", f"{table}.id"], name=op.f(f"fk_{name}_{column}")
    )


def _unique(name: str, *columns: str) -> sa.schema.SchemaItem:
    return sa.UniqueConstraint("organization_id", *columns, name=op.f(f"uq_{name}_organization_id_{'_'.join(columns)}"))


def _index(name: str, *columns: str) -> None:
    op.create_index(op.f(f"ix_{name}_organization_id_{'_'.join(columns)}"), name, ["organization_id", *columns])


def _secure_rows() -> None:
    """As for the first tables: a connection sees the rows of the organization it has named, and no others."""
    for table in NEW_TABLES:
        mine = "organization_id = current_setting('app.org', true)"
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY organization_only ON {table} USING ({mine}) WITH CHECK ({mine})")
