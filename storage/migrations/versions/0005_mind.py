"""What learning needs: patterns, cached answers, how good each level is at what, beliefs; and the outcome of every answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.migrations.building import belongs_to, documents, ids, index, moments, numbers, reals, table, texts, unique

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    table(
        "patterns",
        *(*ids("id"), *ids("user_id", nullable=True), *texts("key", "intent", "text", "state", "origin"), *reals("weight")),
        *(*numbers("agreed", "disagreed"), *moments("created_at", "changed_at"), belongs_to("users", "user_id"), unique("key")),
    )
    table(
        "cached_answers",
        *(*ids("id", "user_id"), *texts("digest", "question", "text"), *ids("message_id"), *texts("state"), *reals("weight")),
        *(*numbers("agreed", "disagreed"), *moments("at", "fresh_until")),
        *(belongs_to("users", "user_id"), belongs_to("messages", "message_id"), unique("user_id", "digest")),
    )
    table(
        "routing_arms",
        *(*texts("task_type", "level"), *reals("good", "bad"), *numbers("answers"), *reals("latency_ms", "cost_usd")),
        *(*moments("updated_at"), *documents("leaning", server_default="[]")),
        key=["task_type", "level"],
    )
    table(
        "insights",
        *(*ids("id"), *texts("kind", "key", "text"), *documents("details"), *moments("at"), *moments("due_at", nullable=True)),
        *(*reals("outcome", nullable=True), *moments("judged_at", nullable=True)),
    )
    index("insights", "kind", "id")
    with op.batch_alter_table("ai_model_usage") as usage:
        usage.add_column(*texts("error", server_default=""))
    with op.batch_alter_table("feedback") as feedback:
        feedback.alter_column("value", existing_type=sa.Double(), nullable=True)
        for column in (
            *(*texts("tier", "level", "task_type", "mentor", "pattern", server_default=""), *documents("signals", server_default="{}")),
            *(*reals("latency_ms", "cost_usd", server_default="0"), *reals("confidence", "guess", "score", nullable=True)),
            *moments("scored_at", nullable=True),
        ):
            feedback.add_column(column)
    index("feedback", "task_type", "message_id")
    index("feedback", "at")
