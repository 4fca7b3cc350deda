"""FAKE tools: one keeps a note through the journal, as ours do; one stands for a tool elsewhere, which cannot tell a repeat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from bot.domain.address import Person
from bot.domain.errand import Errand, Risk
from bot.services.approvals import Approvals
from bot.services.autonomy import Autonomy
from bot.services.gate import TOOL, LadderGate
from bot.services.journal import record
from bot.services.lessons import SUGGESTION, run_suggestion
from bot.services.notices import private_place
from storage.models.people import User
from tests.stage import Stage


class Words(BaseModel):
    """What both want to know."""

    text: str


class FakeTool:
    """FAKE: counts how often it was run; keeps a note, once for the errand's key, or fails as told."""

    name, kind, description, arguments = "keep_note", "note.add", "keep a note", Words

    def __init__(self, stage: Stage, *, risk: Risk = Risk.OWN) -> None:
        self.stage = stage
        self.risk = risk
        self.runs: list[Errand] = []
        self.fails_before: list[BaseException] = []
        self.fails_after: list[BaseException] = []

    async def run(self, arguments: Words, errand: Errand) -> str:
        self.runs.append(errand)
        if self.fails_before:
            raise self.fails_before.pop()
        now = self.stage.clock.now()
        async with self.stage.database.unit_of_work() as work:
            if await record(work, errand, self.kind, f"kept: {arguments.text}", now=now):
                await work.notes.add(user_id=errand.person.id, text=arguments.text, now=now, source_id=None)
        if self.fails_after:
            raise self.fails_after.pop()
        return f"Kept: {arguments.text}"


class FarTool(FakeTool):
    """FAKE: does something that nobody can look up afterwards."""

    name, kind, is_repeatable = "ring_bell", "bell.ring", False

    async def run(self, arguments: Words, errand: Errand) -> str:
        self.runs.append(errand)
        if self.fails_after:
            raise self.fails_after.pop()
        return "Rung."


def person_of(user: User) -> Person:
    return Person(id=user.id, name=user.name, role=user.role, timezone=user.timezone)


def errand_for(user: User, key: str = "q1/keep_note", **values: Any) -> Errand:
    """What a model wants done for somebody."""
    known: dict[str, Any] = {"person": person_of(user), "key": key, "why": f"{user.name} wrote so", "actor": "robbie"}
    return Errand(**(known | values))


class Rooms:
    """The ladder, its gate and approvals over these tools, as one process has them."""

    def __init__(self, stage: Stage, *tools: FakeTool, level: str = "semi", overrides: Mapping[str, str] | None = None) -> None:
        at_hand = {tool.name: tool for tool in tools}
        parts: dict[str, Any] = {"database": stage.database, "clock": stage.clock}
        kinds = {tool.kind: tool.risk for tool in tools}
        self.autonomy = Autonomy(**parts, level=level, overrides=overrides or {}, kinds=lambda: kinds)

        async def find_tool(name: str) -> FakeTool | None:
            return at_hand.get(name)

        self.gate = LadderGate(**parts, autonomy=self.autonomy, find_tool=find_tool)
        self.approvals = Approvals(**parts, runners={SUGGESTION: run_suggestion}, doers={TOOL: self.gate.carry_out})


async def codes(stage: Stage, user: User | None = None) -> list[str]:
    """What waits for somebody's decision, oldest first."""
    async with stage.database.reading() as work:
        return [each.code for each in await work.proposals.waiting((user or stage.allan).id, stage.clock.now())]


async def told(stage: Stage) -> list[str]:
    """What Allan was told unasked, in order: on his page, since he was heard nowhere."""
    async with stage.database.unit_of_work() as work:
        page = await private_place(work, stage.allan.id, now=stage.clock.now())
        return [row.text for row in await work.messages.latest(page.id, limit=50) if row.direction == "out"]


async def notes(stage: Stage) -> list[str]:
    async with stage.database.reading() as work:
        return [note.text for note in await work.notes.latest(stage.allan.id, limit=50)]
