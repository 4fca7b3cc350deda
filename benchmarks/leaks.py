"""Whether anything private is told where it should not be: 50 people, 5 shared channels, 2,000 questions, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.figure import Figure, progress
from storage.database import Database
from storage.schema import upgrade
from tests.leaks import Told, ask_around
from tests.postgres import running_postgres, why_missing

PEOPLE, CHANNELS, QUESTIONS = 50, 5, 2_000


async def leaks(folder: Path) -> AsyncIterator[Figure]:
    """Everybody tells a secret in private and in each channel; then they ask, all through the road, and each prompt is read."""
    async for figure in _told("sqlite", f"sqlite+aiosqlite:///{folder / 'leaks.db'}", folder):
        yield figure
    if reason := why_missing():
        progress(f"leaks: not measured on PostgreSQL: {reason}")
        return
    with running_postgres() as server:
        url = server.url(server.create())
        async with Database(url, organization="default") as database:
            await upgrade(database)
        async for figure in _told("postgresql", url, folder):
            yield figure


async def _told(name: str, url: str, folder: Path) -> AsyncIterator[Figure]:
    progress(f"leaks, {name}: {PEOPLE} people, {CHANNELS} channels, {QUESTIONS} questions")
    told: Told = await ask_around(url, folder, people=PEOPLE, channels=CHANNELS, questions=QUESTIONS, progress=progress)
    yardstick = {"prompts": told.prompts, "own_in_private": told.own_in_private, "own_in_channels": told.own_in_channels}
    for what, value in (("of_another", told.of_another), ("from_elsewhere", told.from_elsewhere)):
        yield Figure(name=f"leaks_{name}_{what}", value=value, unit="rows", bar="0", ok=value == 0, yardstick=yardstick)
    reached = min(told.own_in_private, told.own_in_channels)
    yield Figure(name=f"leaks_{name}_own_reached", value=reached, unit="prompts", bar="> 0, else it proves nothing", ok=reached > 0)
