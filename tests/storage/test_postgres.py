"""What only PostgreSQL does: a server may be there and say nothing."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from sqlalchemy import text

from bot.domain.errors import StorageUnavailable
from storage.database import Database


async def test_server_that_froze_is_away_and_is_there_again_when_it_thaws(postgres_url: str):
    async with Database(postgres_url, organization="default", act_seconds=1.0) as database, asyncio.timeout(30):
        async with database.reading() as work:
            process = await work.connection.scalar(text("SELECT pg_backend_pid()"))
        os.kill(process, signal.SIGSTOP)
        try:
            with pytest.raises(StorageUnavailable, match=r"no answer for 1 s"):
                await database.check()
        finally:
            os.kill(process, signal.SIGCONT)
        await database.check()


async def test_long_act_may_take_its_time(postgres_url: str):
    async with Database(postgres_url, organization="default", act_seconds=0.2) as database:
        async with database.unit_of_work(is_long=True) as work:
            await work.connection.execute(text("SELECT pg_sleep(0.4)"))
        with pytest.raises(StorageUnavailable):
            async with database.unit_of_work() as work:
                await work.connection.execute(text("SELECT pg_sleep(10)"))
