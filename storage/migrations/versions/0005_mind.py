"""What learning needs: patterns, cached answers, how good each level is at what, beliefs; and the outcome of every answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.migrations.building import belongs_to, documents, ids, index, moments, numbers, secure_rows, table, texts, unique
from storage.types import AnyText, UTCDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NEW_TABLES = ("patterns", "cached_answers", "routing_arms", "insights")


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    table(
        "patterns",
        *(*ids("id"), *ids("user_id", nullable=True), *texts("key", "intent", "text", "state", "origin"), *reals("weight")),
        *(*numbers("agreed", "disagreed"), *moments("created_at", "changed_at")),
        *(belongs_to("patterns", "users", "user_id"), unique("patterns", "key")),
        key=["id"],
    )
    table(
        "cached_answers",
        *(*ids("id", "user_id"), *texts("digest", "question", "text"), *ids("message_id"), *texts("state"), *reals("weight")),
        *(*numbers("agreed", "disagreed"), *moments("at", "fresh_until")),
        *(belongs_to("cached_answers", "users", "user_id"), belongs_to("cached_answers", "messages", "message_id")),
        unique("cached_answers", "user_id", "digest"),
        key=["id"],
    )
    table(
        "routing_arms",
        *(*texts("task_type", "level"), *reals("good", "bad"), *numbers("answers"), *reals("latency_ms", "cost_usd")),
        *moments("updated_at"),
        sa.Column("leaning", sa.JSON(), nullable=False, server_default="[]"),
        key=["task_type", "level"],
    )
    table(
        "insights",
        *(*ids("id"), *texts("kind", "key", "text"), *documents("details"), *moments("at"), *moments("due_at", nullable=True)),
        *(*reals("outcome", nullable=True), *moments("judged_at", nullable=True)),
        key=["id"],
    )
    index("insights", "kind", "id")
    with op.batch_alter_table("ai_model_usage") as usage:
        usage.add_column(sa.Column("error", AnyText(), nullable=False, server_default=""))
    with op.batch_alter_table("feedback") as feedback:
        feedback.alter_column("value", existing_type=sa.Double(), nullable=True)
        for name in ("tier", "level", "task_type", "mentor", "pattern"):
            feedback.add_column(sa.Column(name, AnyText(), nullable=False, server_default=""))
        feedback.add_column(sa.Column("signals", sa.JSON(), nullable=False, server_default="{}"))
        for name in ("latency_ms", "cost_usd"):
            feedback.add_column(sa.Column(name, sa.Double(), nullable=False, server_default="0"))
        for name in ("confidence", "guess", "score"):
            feedback.add_column(sa.Column(name, sa.Double(), nullable=True))
        feedback.add_column(sa.Column("scored_at", UTCDateTime(), nullable=True))
    index("feedback", "task_type", "message_id")
    index("feedback", "at")
    secure_rows(NEW_TABLES)


def reals(*names: str, nullable: bool = False) -> list[sa.schema.SchemaItem]:
    """Columns of numbers."""
    return [sa.Column(name, sa.Double(), nullable=nullable) for name in names]
