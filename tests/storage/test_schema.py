"""Migrations build exactly what the models say, all or nothing, and leave a newer database alone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, column, insert, inspect, table, text

import storage.schema
from bot.domain.errors import SchemaMismatch, StorageError
from storage.database import Database
from storage.models.base import Base
from storage.models.memory import StickyNote
from storage.schema import MIGRATIONS, revisions, schema_status, upgrade
from tests.postgres import Postgres


@pytest.fixture
async def empty(empty_url: str) -> Iterator[Database]:
    async with Database(empty_url, organization="default") as opened:
        yield opened


def _is_a_table(name: str | None) -> bool:
    """Whether it is more than the database's own index of words, which no model describes."""
    return not (name or "").startswith("memory_words")


def _is_a_model(name: str | None, kind: str, _: object) -> bool:
    return _is_a_table(name) and not (kind == "index" and name in ("memory_vectors_256", "memory_vectors_384"))


async def test_upgrading_builds_exactly_the_models(empty: Database):
    def differences(connection: Connection) -> tuple[object, set[str]]:
        kept = {"compare_type": True, "render_as_batch": True, "include_name": _is_a_model}
        context = MigrationContext.configure(connection, opts=kept)
        return compare_metadata(context, Base.metadata), set(filter(_is_a_table, inspect(connection).get_table_names()))

    await upgrade(empty)
    async with empty.reading() as work:
        found, tables = await work.connection.run_sync(differences)
    assert found == []
    assert tables == {*Base.metadata.tables, "alembic_version"}


async def test_constraints_are_those_of_the_models_too(empty: Database):
    """Autogenerate compares no primary keys and, on SQLite, no foreign ones."""

    def constraints(connection: Connection) -> dict[str, object]:
        inspector = inspect(connection)
        return {
            name: (
                inspector.get_pk_constraint(name)["constrained_columns"],
                sorted((key["constrained_columns"], key["referred_table"]) for key in inspector.get_foreign_keys(name)),
                sorted(unique["column_names"] for unique in inspector.get_unique_constraints(name)),
            )
            for name in Base.metadata.tables
        }

    await upgrade(empty)
    async with empty.reading() as work:
        built = await work.connection.run_sync(constraints)
    async with empty.unit_of_work() as work:
        await work.connection.run_sync(Base.metadata.drop_all)
        await work.connection.run_sync(Base.metadata.create_all)
        assert await work.connection.run_sync(constraints) == built


async def test_an_empty_database_waits_for_every_migration_and_then_for_none(empty: Database):
    before = await schema_status(empty)
    assert (before.current, before.pending, before.is_newer, before.is_ready) == (None, revisions(), False, False)
    steps: list[tuple[int, int]] = []
    after = await upgrade(empty, lambda done, total: steps.append((done, total)))
    assert (after.current, after.pending, after.is_ready) == (revisions()[-1], (), True)
    assert steps == [(done, len(revisions())) for done in range(len(revisions()) + 1)]


async def test_a_second_upgrade_does_nothing(empty: Database):
    await upgrade(empty)
    steps: list[tuple[int, int]] = []
    assert (await upgrade(empty, lambda done, total: steps.append((done, total)))).is_ready
    assert steps == []


async def test_a_newer_database_is_refused_in_one_line_and_left_alone(empty: Database):
    await upgrade(empty)
    await _set_revision(empty, "9999")
    with pytest.raises(SchemaMismatch, match=r"^the database is at revision 9999, made by a newer Robbie \(this one knows \d{4}\)$"):
        await upgrade(empty)
    status = await schema_status(empty)
    assert (status.current, status.is_newer, status.is_ready) == ("9999", True, False)


async def test_an_upgrade_that_fails_midway_leaves_nothing(empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    broken = Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations"))
    initial = (broken / "versions" / "0001_initial.py").read_text()
    head = initial[: initial.index("def upgrade")].replace("down_revision = None", f'down_revision = "{revisions()[-1]}"')
    following = head.replace('\nrevision = "0001"', '\nrevision = "9000"')
    (broken / "versions" / "9000_breaks.py").write_text(
        following + 'def upgrade() -> None:\n    op.create_table("half", sa.Column("id", sa.Integer()))\n    op.execute("NO SQL")\n'
    )
    monkeypatch.setattr(storage.schema, "MIGRATIONS", broken)
    with pytest.raises(StorageError, match="syntax error"):
        await upgrade(empty)
    async with empty.reading() as work:
        assert await work.connection.run_sync(lambda connection: inspect(connection).get_table_names()) == []


async def test_notes_of_before_there_were_memories_hold_as_they_were(empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    older = Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations"))
    (older / "versions" / "0006_memory.py").unlink()
    monkeypatch.setattr(storage.schema, "MIGRATIONS", older)
    assert (await upgrade(empty)).current == "0005"
    now = datetime(2026, 5, 7, tzinfo=UTC)
    async with empty.unit_of_work() as work:
        await work.people.ensure_organization(now)
        user = await work.people.ensure_user(name="Allan", role="owner", timezone="UTC", now=now)
        names = ("organization_id", "id", "user_id", "text", "created_at")  # as 0005 had them
        row = {"organization_id": "default", "id": user.id, "user_id": user.id, "text": "milk", "created_at": now}
        notes = StickyNote.__table__
        await work.connection.execute(insert(table("sticky_notes", *(column(name, notes.c[name].type) for name in names))), row)
    monkeypatch.undo()
    assert (await upgrade(empty)).is_ready
    async with empty.reading() as work:
        assert [(each.text, each.kind, each.made_by) for each in await work.notes.holding(user.id, limit=9)] == [("milk", "note", "person")]


UNFIT = [
    ("template1", "LEAST_PGVECTOR = (0, 8)", "LEAST_PGVECTOR = (99, 1)", r"no pgvector 99\.1 or later \(\d.*run ALTER EXTENSION"),
    ("template0", "EXTENSION vector", "EXTENSION nowhere", r"no pgvector 0\.8 or later \(none\).*run CREATE EXTENSION"),
]


@pytest.mark.parametrize(("template", "words", "others", "told"), UNFIT)
async def test_a_server_without_vectors_that_will_do_is_refused_with_its_repair(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str, words: str, others: str, told: str
):
    """The wheel's pgvector will do; so what is asked of it is changed, in a copy of the migration."""
    changed = Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations")) / "versions" / "0006_memory.py"
    assert words in changed.read_text()
    changed.write_text(changed.read_text().replace(words, others))
    monkeypatch.setattr(storage.schema, "MIGRATIONS", tmp_path / "migrations")
    name = postgres.create(template)
    async with Database(postgres.url(name), organization="default") as database:
        with pytest.raises(SchemaMismatch, match=told):
            await upgrade(database)
        assert (await schema_status(database)).current is None
    postgres.drop(name)


async def test_two_processes_that_upgrade_at_once_both_find_it_done(empty: Database):
    async with Database(empty.url, organization="default") as other:
        first, second = await asyncio.gather(upgrade(empty), upgrade(other))
    assert first.is_ready
    assert second.is_ready


def test_revisions_are_the_migration_files_in_order():
    assert revisions() == tuple(sorted(file.name[:4] for file in (MIGRATIONS / "versions").glob("*_*.py") if file.name[0] != "_"))
    assert revisions()[0] == "0001"


async def _set_revision(database: Database, revision: str) -> None:
    async with database.unit_of_work() as work:
        await work.connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
