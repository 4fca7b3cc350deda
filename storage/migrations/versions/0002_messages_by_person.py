"""An index by which a person's last messages are found, however much others have said."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    op.create_index("ix_messages_organization_id_user_id_id", "messages", ["organization_id", "user_id", "id"])
