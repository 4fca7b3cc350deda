"""On PostgreSQL the database itself keeps organizations apart, whatever a query forgets to ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, insert, select, text, update

from bot.domain.errors import StorageError
from storage.database import Database
from storage.models.base import Base
from storage.models.messaging import Message
from storage.models.people import User
from storage.repositories.base import values_of
from tests.clock import FakeClock
from tests.stage import Stage, set_stage


@pytest.fixture
async def ours(postgres_url: str, clock: FakeClock) -> AsyncIterator[Stage]:
    async with Database(postgres_url, organization="ours") as database:
        yield await set_stage(database, clock)


@pytest.fixture
async def theirs(postgres_url: str, clock: FakeClock) -> AsyncIterator[Stage]:
    async with Database(postgres_url, organization="theirs") as database:
        yield await set_stage(database, clock)


async def test_the_tests_role_is_one_that_row_security_holds(ours: Stage):
    async with ours.database.reading() as work:
        powers = await work.connection.execute(text("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"))
        assert tuple(powers.one()) == (False, False)


async def test_every_table_is_held_by_it(ours: Stage):
    query = text("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")
    async with ours.database.reading() as work:
        assert set((await work.connection.execute(query)).scalars()) == {*Base.metadata.tables, "memory_words"}


async def test_another_organizations_rows_are_not_seen(ours: Stage, theirs: Stage):
    await ours.says("ours")
    async with theirs.database.reading() as work:
        seen = (await work.connection.execute(select(User.organization_id))).scalars().all()
        assert await work.connection.scalar(select(func.count()).select_from(Message)) == 0
    assert set(seen) == {"theirs"}


async def test_another_organizations_rows_are_not_changed_and_none_is_added(ours: Stage, theirs: Stage):
    message = await ours.says("ours")
    async with theirs.database.unit_of_work() as work:
        changed = await work.connection.execute(update(Message).values(text="theirs"))
        removed = await work.connection.execute(text("DELETE FROM messages"))
        assert (changed.rowcount, removed.rowcount) == (0, 0)
    with pytest.raises(StorageError, match="row-level security"):
        async with theirs.database.unit_of_work() as work:
            await work.connection.execute(insert(Message), values_of(ours.message("smuggled in")))
    async with ours.database.reading() as work:
        assert [kept.text for kept in await work.messages.latest(ours.conversation.id, limit=9)] == [message.text]


async def test_a_transaction_that_names_no_organization_sees_nothing(ours: Stage):
    async with ours.database.engine.connect() as connection:
        for table in Base.metadata.sorted_tables:
            assert await connection.scalar(select(func.count()).select_from(table)) == 0


async def test_a_hundred_mixed_units_of_work_on_one_pool_leak_nothing(postgres_url: str, clock: FakeClock):
    """Two organizations share every connection, so that a setting which outlived its transaction would show."""
    async with Database(postgres_url, organization="ours") as database:
        guest = Database(postgres_url, organization="theirs")
        await guest.engine.dispose()
        guest.engine = guest._reader = database.engine
        stages = [await set_stage(database, clock), await set_stage(guest, clock)]

        async def work_as(number: int) -> None:
            stage = stages[number % 2]
            own = stage.database.organization
            async with stage.database.unit_of_work() as work:
                await work.messages.add(stage.message(own))
                await asyncio.sleep(0)
                seen = (await work.connection.execute(select(Message.text, Message.organization_id))).all()
            assert {tuple(row) for row in seen} == {(own, own)}

        await asyncio.gather(*(work_as(number) for number in range(100)))
        for stage in stages:
            async with stage.database.reading() as work:
                assert await work.connection.scalar(select(func.count()).select_from(Message)) == 50
