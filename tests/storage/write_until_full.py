"""A process that may write no file beyond 400 kB: adds incidents two by two until that fails, and prints how often it did."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from datetime import UTC, datetime

from bot.domain.errors import StorageUnavailable
from storage.database import Database


async def write(file: str) -> None:
    """Add until the kernel says no."""
    async with Database(f"sqlite+aiosqlite:///{file}", organization="default") as database:
        for number in range(10_000):
            try:
                async with database.unit_of_work() as work:
                    for half in "ab":
                        await work.incidents.add_once(kind="k", key=f"{number}{half}", detail="x" * 500, now=datetime.now(UTC))
            except StorageUnavailable as error:
                print(number, f"StorageUnavailable: {error}", sep="\n")
                return


signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
asyncio.run(write(sys.argv[1]))
