"""The personal tone is heard in the owner's private chat and nowhere else: every channel, session, role and setting is tried."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from bot.brain.context import ContextBuilder
from bot.brain.personality import CONTEXTS, EVERYWHERE, LEFT, PARTS, RIGHT, is_intimate_tone
from bot.brain.tone import WORDS
from bot.domain.address import Person, SessionType
from bot.domain.clock import new_id
from bot.domain.thought import Question
from storage.database import Database
from storage.repositories.messaging import Exchange
from tests.clock import FakeClock

PERSONAL = [word for band in WORDS["tone"][1:] for word in band[1:]]
SAID = "my darling"


class Row(NamedTuple):
    """A setting that holds."""

    name: str
    context: str
    value: str


@dataclass
class FakeWork:
    """FAKE: holds these settings, and a conversation here and elsewhere in which the tone was personal."""

    rows: list[Row]

    async def holding(self, user_id: UUID, now: datetime) -> list[Row]:
        return self.rows

    async def exchanges(self, *_: object, **__: object) -> list[Exchange]:
        return [Exchange(new_id(), "hello", SAID, "4/5/9 focused")]

    exchanges_elsewhere = exchanges


class FakeDatabase:
    """FAKE: what is read is given."""

    def __init__(self, rows: list[Row]) -> None:
        self._work = FakeWork(rows)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Any]:
        yield type("Work", (), {"settings": self._work, "messages": self._work})


rows = st.lists(st.builds(Row, st.just("flirty"), st.sampled_from((EVERYWHERE, *CONTEXTS, *PARTS)), st.integers(LEFT, RIGHT).map(str)))
channels = st.sampled_from(("web", "console", "slack", "telegram", "email", "push", ""))
questions = st.builds(
    lambda channel, session, role, writer: Question(
        id=new_id(),
        conversation_id=new_id(),
        person=Person(id=new_id(), name="Allan", role=role, timezone="UTC"),
        text="hi",
        asked_at=FakeClock().now(),
        session_type=session,
        writer=writer,
        channel=channel,
    ),
    channels,
    st.sampled_from(SessionType),
    st.sampled_from(("owner", "member", "stranger", "former")),
    st.sampled_from(("", "Bob <bob@else>")),
)


@given(rows, questions, st.integers(0, 23))
def test_no_prompt_is_personal_but_in_the_owners_private_chat(settings: list[Row], question: Question, hour: int) -> None:
    clock = FakeClock()
    clock.moment = clock.moment.replace(hour=hour)
    builder = ContextBuilder(database=cast("Database", FakeDatabase(settings)), owner="Allan", clock=clock)
    prompt = asyncio.run(builder.build(question))
    is_chat = question.session_type is SessionType.PRIVATE and question.channel != "email" and not question.writer
    if question.person.role == "owner" and is_chat:
        assert is_intimate_tone(prompt.personality) == any(word in prompt.system for word in PERSONAL)
        return
    told = "\n".join((prompt.system, prompt.brief_system, *(line.text for line in prompt.lines)))
    assert not any(word in told for word in (*PERSONAL, SAID))
    assert not is_intimate_tone(prompt.personality)
