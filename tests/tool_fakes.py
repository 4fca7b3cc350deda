"""FAKE tools for tests of calling them: one keeps words through the journal as ours do, one only looks, and gates of both sorts."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Literal

from pydantic import BaseModel, Field

from bot.domain.clock import SystemClock
from bot.domain.errand import Errand, Risk, Tool
from bot.domain.thought import ToolCall
from storage.database import Database
from storage.repositories.affairs import new_activity


class Words(BaseModel):
    """What is to be kept."""

    text: str
    urgency: Literal["low", "high"] = "low"
    times: int | None = Field(None, description="how often")


class Place(BaseModel):
    """Where is looked."""

    place: str = ""


class FakeKeeper:
    """FAKE: keeps words, once for the errand's key; fails or hangs as told."""

    name, kind, description, arguments, risk = "keep_words", "words.keep", "Keep words.", Words, Risk.OWN

    def __init__(self, database: Database) -> None:
        self._database = database
        self.kept: list[str] = []
        self.errands: list[Errand] = []
        self.fails: deque[BaseException] = deque()
        self.hangs = False

    async def run(self, arguments: Words, errand: Errand) -> str:
        self.errands.append(errand)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise self.fails.popleft()
        values = {"user_id": errand.person.id, "actor": errand.actor, "kind": self.kind, "text": f"kept {arguments.text}"}
        async with self._database.unit_of_work() as work:
            line = new_activity(work.organization, key=errand.key, source_id=errand.source_id, at=SystemClock().now(), **values)
            if await work.activities.record(line):
                self.kept.append(arguments.text)
        return f"Kept “{arguments.text}”."


class FakeLooker:
    """FAKE: finds what it was told to find."""

    name, kind, description, arguments, risk = "look_up", "words.find", "Look words up.", Place, Risk.LOOK

    def __init__(self, found: str = "nothing there") -> None:
        self.found = found
        self.looked = 0

    async def run(self, arguments: Place, errand: Errand) -> str:
        self.looked += 1
        return self.found


class FakeGate:
    """FAKE: proposes what untrusted text may have asked for, does everything else."""

    async def run(self, tool: Tool, arguments: BaseModel, errand: Errand) -> str:
        if errand.is_untrusted and tool.risk > Risk.LOOK:
            return "It waits for a yes."
        return await tool.run(arguments, errand)


def call(name: str, **arguments: object) -> ToolCall:
    """A model's call."""
    return ToolCall(id="v-1", name=name, arguments=json.dumps(arguments))
