"""The words that migrations are written in: a table of an organization, its columns, keys and indexes, and who may see its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.types import AnyText, UTCDateTime


def table(name: str, *parts: sa.schema.SchemaItem, key: Sequence[str] = ("id",)) -> None:
    """A new table whose key begins with the organization, and whose rows are secured. What is unnamed in it is named by `Base`'s rule."""
    op.create_table(name, *texts("organization_id"), *parts, sa.PrimaryKeyConstraint("organization_id", *key))
    secure_rows(name)


def columns(kind: Callable[[], Any], *names: str, nullable: bool = False, **more: Any) -> list[Any]:
    """Columns of one kind."""
    return [sa.Column(name, kind(), nullable=nullable, **more) for name in names]


texts, moments, dates, ids = (partial(columns, kind) for kind in (AnyText, UTCDateTime, sa.Date, sa.Uuid))
numbers, reals, documents = (partial(columns, kind) for kind in (sa.Integer, sa.Double, sa.JSON))
large_numbers, bytes_of = (partial(columns, kind) for kind in (sa.BigInteger, sa.LargeBinary))


def belongs_to(owner: str, column: str) -> sa.schema.SchemaItem:
    """A foreign key to table *owner*, inside one organization."""
    return sa.ForeignKeyConstraint(["organization_id", column], [f"{owner}.organization_id", f"{owner}.id"])


def unique(*columns: str) -> sa.schema.SchemaItem:
    """No two rows of an organization have the same values here."""
    return sa.UniqueConstraint("organization_id", *columns)


def index(name: str, *columns: str, unique: bool = False) -> None:
    """An index that begins with the organization."""
    op.create_index(op.f(f"ix_{name}_organization_id_{'_'.join(columns)}"), name, ["organization_id", *columns], unique=unique)


def secure_rows(name: str, *, by: str = "organization_id") -> None:
    """On PostgreSQL a connection sees the rows of the organization it has named, and no others."""
    if op.get_bind().dialect.name == "postgresql":
        mine = f"{by} = current_setting('app.org', true)"
        op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY organization_only ON {name} USING ({mine}) WITH CHECK ({mine})")
