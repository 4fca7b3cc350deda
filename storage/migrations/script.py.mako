"""${message}"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.types import AnyText, UTCDateTime

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    ${upgrades if upgrades else "pass"}
