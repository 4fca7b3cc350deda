"""What manners need: people, deals, tasks and what happened to them; how somebody wants to be spoken to; briefs; timed work."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.migrations.building import belongs_to, dates, documents, ids, index, moments, numbers, table, texts, unique

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    table(
        "contacts",
        *(*ids("id", "user_id"), *texts("code", "name", "email", "phone", "company", "role", "detail"), *documents("tags")),
        *(*texts("next_step"), *dates("next_step_on", nullable=True), *moments("last_heard_at", "last_written_at", nullable=True)),
        *(*texts("do_not_write"), *moments("follow_up_at", nullable=True), *numbers("follow_ups")),
        *(*moments("created_at"), *moments("archived_at", nullable=True), belongs_to("users", "user_id"), unique("code")),
    )
    index("contacts", "user_id", "email")
    table(
        "deals",
        *(*ids("id", "user_id"), *texts("code", "title"), *ids("contact_id", nullable=True), *texts("company", "stage")),
        *(sa.Column("value_cents", sa.BigInteger(), nullable=False), *texts("currency"), *numbers("probability")),
        *(*texts("next_step"), *dates("next_step_on", nullable=True), *texts("detail")),
        *(*moments("created_at", "changed_at"), *moments("closed_at", "archived_at", nullable=True)),
        *(belongs_to("users", "user_id"), belongs_to("contacts", "contact_id"), unique("code")),
    )
    index("deals", "user_id", "stage")
    table(
        "tasks",
        *(*ids("id", "user_id"), *texts("code", "kind", "title", "detail", "state"), *numbers("priority")),
        *(*dates("due_on", nullable=True), *moments("due_at", "remind_at", nullable=True), *texts("rule")),
        *(*ids("contact_id", "deal_id", "source_id", nullable=True), *moments("created_at"), *moments("done_at", nullable=True)),
        *(belongs_to("users", "user_id"), belongs_to("contacts", "contact_id"), belongs_to("deals", "deal_id"), unique("code")),
    )
    index("tasks", "remind_at")
    index("tasks", "user_id", "state", "due_on")
    table(
        "activities",
        *(*ids("id", "user_id"), *texts("actor", "kind", "text", "why"), *texts("key", nullable=True)),
        *(*ids("contact_id", "deal_id", "task_id", "source_id", nullable=True), *documents("undo", nullable=True)),
        *(*moments("at"), *moments("undone_at", nullable=True), belongs_to("users", "user_id"), unique("key")),
    )
    index("activities", "user_id", "id")
    index("activities", "contact_id", "id")
    table(
        "personality_settings",
        *(*ids("id", "user_id"), *texts("context", "name", "value", "source"), *ids("source_id", nullable=True)),
        *(*moments("at"), *moments("expires_at", "void_at", nullable=True), belongs_to("users", "user_id")),
    )
    index("personality_settings", "user_id", "id")
    table(
        "briefs",
        *(*ids("id", "user_id"), *texts("slot"), *dates("day"), *texts("state", "zone"), *moments("due_at")),
        *(*documents("sections"), *texts("text"), *ids("message_id", nullable=True), *moments("composed_at")),
        *(belongs_to("users", "user_id"), unique("user_id", "slot", "day")),
    )
    table(
        "job_runs",
        *(*texts("job", "slot", "state", "owner"), *moments("lease_until"), *numbers("attempts"), *documents("details")),
        *(*moments("started_at"), *moments("finished_at", nullable=True)),
        key=["job", "slot"],
    )
    op.add_column("messages", *texts("personality", nullable=True))
    op.add_column("users", *texts("home_timezone", server_default=""))
    op.add_column("proposals", *texts("key", nullable=True))
    op.add_column("proposals", *moments("run_at", nullable=True))
    index("proposals", "key", unique=True)
