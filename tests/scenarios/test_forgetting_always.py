"""Whatever is said, corrected, summarised, forgotten, brought back and erased: only what is forgotten is never told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from bot.brain.memory import Recall
from bot.brain.remembering import Saying, memories_of
from bot.domain.clock import new_id
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.domain.memory import Scope, Trust
from bot.services.forgetting import Forgetful
from bot.services.journal import Journal
from storage.database import Database
from storage.models.memory import Memory, Summary, SummarySource
from storage.repositories.base import values_of
from tests.clock import FakeClock
from tests.stage import Stage, set_stage

TOPICS = ("tulips", "jam", "boats")
THINGS = (*TOPICS, "tulips and jam", "jam and boats")
Acts = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from(THINGS)),
        st.tuples(st.just("note"), st.sampled_from(THINGS)),
        st.tuples(st.just("correct"), st.integers(0, 9)),
        st.tuples(st.just("summarise"), st.integers(0, 9)),
        st.tuples(st.just("forget"), st.sampled_from(TOPICS)),
        st.tuples(st.just("undo"), st.integers(0, 1)),
        st.tuples(st.just("wait"), st.sampled_from((60, 599, 600))),
        st.tuples(st.just("purge"), st.none()),
    ),
    min_size=4,
    max_size=14,
).map(lambda acts: [("say", "tulips and jam"), *acts])


@dataclass
class Wished:
    """A wish, and what it was about; `line` is the message that a button under it names."""

    topic: str
    line: UUID
    about: set[str]
    at: float = 0.0
    is_undone: bool = False


@dataclass
class World:
    """Robbie's house, and what ought to be so in it."""

    stage: Stage
    forgetful: Forgetful
    said: dict[str, UUID] = field(default_factory=dict)
    noted: set[str] = field(default_factory=set)
    corrected: set[str] = field(default_factory=set)
    wished: list[Wished] = field(default_factory=list)
    at: float = 0.0

    @property
    def gone(self) -> set[str]:
        """What is forgotten now."""
        return {text for wish in self.wished if not wish.is_undone for text in wish.about}

    async def say(self, topic: str) -> None:
        text = f"{topic} number{len(self.said)}"
        message = await self.stage.says(text)
        saying = Saying(
            thread=str(message.conversation_id), external_id=str(message.id), speaker="Allan", text=text, at=message.at,
            user_id=self.stage.allan.id, place="", trust=Trust.OWN, message_id=message.id,
        )  # fmt: skip
        rows = memories_of(saying, None, organization=self.stage.database.organization, timezone="UTC")
        async with self.stage.database.unit_of_work() as work:
            await work.memories.add_once(rows)
        self.said[text] = rows[0].id

    async def note(self, topic: str) -> None:
        text = f"{topic} note{len(self.noted)}"
        async with self.stage.database.unit_of_work() as work:
            await work.notes.add(user_id=self.stage.allan.id, text=text, now=self.stage.clock.now(), source_id=None)
        self.noted.add(text)

    async def correct(self, number: int) -> None:
        for text in [*self.said][number : number + 1]:
            if text not in self.gone:
                async with self.stage.database.unit_of_work() as work:
                    await work.memories.change([self.said[text]], corrected_by=new_id())
                self.corrected.add(text)

    async def summarise(self, number: int) -> None:
        live = [text for text in [*self.said][number : number + 3] if text not in self.gone | self.corrected]
        now, which = self.stage.clock.now(), {"organization_id": self.stage.database.organization}
        span = {"starts_at": now, "ends_at": now, "created_at": now, "made_by": "extract", "level": 1, "place": ""}
        summary = Summary(**which, **span, id=new_id(), user_id=self.stage.allan.id, text="; ".join(live), facts=[])
        async with self.stage.database.unit_of_work() as work:
            if live:
                await work.connection.execute(insert(Summary.__table__), values_of(summary))
            for text in live:
                link = SummarySource(**which, summary_id=summary.id, memory_id=self.said[text])
                await work.connection.execute(insert(SummarySource.__table__), values_of(link))

    async def forget(self, topic: str) -> None:
        person = self.stage.allan.person
        try:
            _, kept = await self.forgetful.show(person, topic, order=new_id())
        except ToolFailed:
            assert not {text for text in {*self.said} | self.noted if topic in text} - self.gone
            return
        errand = Errand(person=person, key=str(new_id()), why="test", source_id=new_id())
        await self.forgetful.forget(errand, str(kept.id))
        about = {text for text in {*self.said} | self.noted if topic in text}
        self.wished.append(Wished(topic=topic, line=errand.source_id or new_id(), about=about, at=self.at))

    async def undo(self, number: int) -> None:
        for wish in self.wished[number : number + 1]:
            said = await Journal(database=self.stage.database, clock=self.stage.clock).undo(self.stage.allan.person, str(wish.line))
            if not wish.is_undone and self.at < wish.at + 600:
                assert said.startswith("Taken back")
                wish.is_undone = True

    async def wait(self, seconds: int) -> None:
        self.stage.clock.advance(seconds=seconds)
        self.at += seconds

    async def purge(self, _: None) -> None:
        await self.forgetful.look(self.stage.clock.now())

    async def check(self) -> None:
        scope, told = Scope(user_id=self.stage.allan.id), ({*self.said} - self.gone) - self.corrected
        async with self.stage.database.reading() as work:
            numbers = await work.memories.find_by_words(scope, list(TOPICS), limit=100)
            assert {row.text for row in await work.memories.around(scope, numbers, reach=2)} == told
            assert {row.text for row in await work.messages.said_by(self.stage.allan.id, limit=100)} == {*self.said} - self.gone
            assert {row.text for row in await work.notes.latest(self.stage.allan.id, limit=100)} == self.noted - self.gone
            live = (
                select(Memory.forgotten_by)
                .join(SummarySource, SummarySource.memory_id == Memory.id)
                .join(Summary, Summary.id == SummarySource.summary_id)
                .where(Summary.superseded_at.is_(None), Summary.forgotten_by.is_(None), Summary.organization_id == work.organization)
            )
            assert not [hidden for hidden in (await work.connection.execute(live)).scalars() if hidden]
            covering = await work.summaries.covering([*self.said.values()])
            assert not {text for rows in covering.values() for row in rows for text in row.text.split("; ")} & self.gone
        found = await Recall(database=self.stage.database).find("tulips, jam or boats?", scope, limit=100)
        assert {each.memory.text for each in found} == told


@given(acts=Acts)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_forgotten_is_never_told_and_what_is_kept_always_is(database_url: str, tmp_path: Any, acts: list[tuple[str, Any]]):
    async def play() -> None:
        async with Database(database_url, organization=str(new_id())) as database:
            stage = await set_stage(database, FakeClock())
            files = {"files": tmp_path / "files", "backups": tmp_path / "backups"}
            world = World(stage=stage, forgetful=Forgetful(database=database, clock=stage.clock, **files))
            for name, value in acts:
                await getattr(world, name)(value)
                await world.check()

    asyncio.run(play())
