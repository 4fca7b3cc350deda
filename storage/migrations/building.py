"""The words that migrations are written in: a table of an organization, its columns, keys and indexes, and who may see its rows."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from storage.types import AnyText, UTCDateTime


def table(name: str, *parts: sa.schema.SchemaItem, key: list[str]) -> None:
    """A new table whose key begins with the organization."""
    op.create_table(name, *texts("organization_id"), *parts, sa.PrimaryKeyConstraint("organization_id", *key, name=op.f(f"pk_{name}")))


def texts(*names: str, nullable: bool = False) -> list[sa.schema.SchemaItem]:
    """Columns of text."""
    return [sa.Column(name, AnyText(), nullable=nullable) for name in names]


def moments(*names: str, nullable: bool = False) -> list[sa.schema.SchemaItem]:
    """Columns of moments."""
    return [sa.Column(name, UTCDateTime(), nullable=nullable) for name in names]


def dates(*names: str, nullable: bool = False) -> list[sa.schema.SchemaItem]:
    """Columns of days."""
    return [sa.Column(name, sa.Date(), nullable=nullable) for name in names]


def ids(*names: str, nullable: bool = False) -> list[sa.schema.SchemaItem]:
    """Columns of ids."""
    return [sa.Column(name, sa.Uuid(), nullable=nullable) for name in names]


def numbers(*names: str) -> list[sa.schema.SchemaItem]:
    """Columns of whole numbers."""
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def documents(*names: str, nullable: bool = False) -> list[sa.schema.SchemaItem]:
    """Columns of JSON."""
    return [sa.Column(name, sa.JSON(), nullable=nullable) for name in names]


def belongs_to(name: str, owner: str, column: str) -> sa.schema.SchemaItem:
    """A foreign key of table *name* to table *owner*, inside one organization."""
    return sa.ForeignKeyConstraint(
        ["organization_id", column], [f"{owner}.organization_id", f"{owner}.id"], name=op.f(f"fk_{name}_{column}")
    )


def unique(name: str, *columns: str) -> sa.schema.SchemaItem:
    """No two rows of an organization have the same values here."""
    return sa.UniqueConstraint("organization_id", *columns, name=op.f(f"uq_{name}_organization_id_{'_'.join(columns)}"))


def index(name: str, *columns: str, unique: bool = False) -> None:
    """An index that begins with the organization."""
    op.create_index(op.f(f"ix_{name}_organization_id_{'_'.join(columns)}"), name, ["organization_id", *columns], unique=unique)


def secure_rows(tables: Sequence[str], *, by: str = "organization_id") -> None:
    """On PostgreSQL a connection sees the rows of the organization it has named, and no others."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for name in tables:
        mine = f"{by} = current_setting('app.org', true)"
        op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY organization_only ON {name} USING ({mine}) WITH CHECK ({mine})")
