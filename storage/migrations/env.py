"""Where alembic finds the connection and the tables; it is run by `storage.schema` alone."""

from __future__ import annotations

from alembic import context

from storage.models.base import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
    on_version_apply=context.config.attributes["applied"],
)
context.run_migrations()
