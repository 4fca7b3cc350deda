"""What is remembered for a question: in scope, once each, the most telling first, and never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
import structlog

from bot.brain.memory import Found, Recall
from bot.brain.remembered import Remembered, distinct, memories_told
from bot.domain.address import Person, SessionType
from bot.domain.clock import new_id
from bot.domain.errors import StorageUnavailable
from bot.domain.memory import Trust
from bot.domain.thought import Question, Recollection
from bot.hub.keeping import remember
from storage.models.affairs import Task
from storage.models.decisions import ProposalState
from storage.models.memory import Memory
from tests.clock import FakeClock
from tests.embedding_fakes import FakeEmbedder
from tests.fakes import asked
from tests.stage import Stage


class FakeRecall(Recall):
    """FAKE: a memory that hangs or fails, as told."""

    trouble: Exception | None = None

    async def find(self, *_: Any, **__: Any) -> list[Found]:
        if self.trouble is not None:
            raise self.trouble
        await asyncio.Event().wait()
        return []


@pytest.fixture
def remembered(stage: Stage, clock: FakeClock) -> Remembered:
    return Remembered(database=stage.database, recall=Recall(database=stage.database), clock=clock, seconds=20)


async def said(stage: Stage, person: Person, text: str, *, place: str = "", trust: Trust = Trust.OWN) -> None:
    """Somebody said it long ago, and it is remembered."""
    async with stage.database.unit_of_work() as work:
        message = stage.message(text, user_id=person.id)
        await work.messages.add(message)
        await remember(work, message, person, place=place)
        known = await work.memories.of_messages([message.id])
        await work.memories.change([each.id for each in known], trust=trust)


async def noted(stage: Stage, text: str, **more: Any) -> Any:
    async with stage.database.unit_of_work() as work:
        return await work.notes.add(user_id=stage.allan.id, text=text, now=stage.clock.now(), source_id=None, **more)


async def texts(remembered: Remembered, question: Question) -> list[str]:
    return [each.text for each in await remembered.about(question)]


async def test_what_the_question_is_about_is_told_with_who_said_it_when_and_why(stage: Stage, allan: Person, remembered: Remembered):
    await said(stage, allan, "The van's plate is B-XY 123.")
    await said(stage, allan, "I had soup.")
    one, beside = await remembered.about(asked("Which plate has the van?", person=allan))
    assert (one.kind, one.text) == ("memory", "Allan, today: The van's plate is B-XY 123.")
    assert one.why == "it speaks of plate, van"
    assert beside.why == "it is near in meaning, or stands beside what is"


async def test_another_persons_words_are_not_told(stage: Stage, allan: Person, grace: Person, remembered: Remembered):
    await said(stage, allan, "The van's plate is B-XY 123.")
    assert await texts(remembered, asked("Which plate has the van?", person=grace)) == []


@pytest.mark.parametrize("trust", [Trust.OUTSIDE, Trust.INTIMATE])
async def test_strangers_words_and_intimate_ones_are_not_told_by_themselves(
    stage: Stage, allan: Person, remembered: Remembered, trust: Trust
):
    await said(stage, allan, "The van's plate is B-XY 123.", trust=trust)
    question = replace(asked("Which plate has the van?", person=allan), channel="email")
    assert await texts(remembered, question) == []
    in_chat = await texts(remembered, replace(question, channel="web"))
    assert bool(in_chat) is (trust is Trust.INTIMATE)


async def test_nothing_personal_is_told_where_others_read_along(stage: Stage, allan: Person, remembered: Remembered):
    await noted(stage, "The van's plate is B-XY 123.")
    await said(stage, allan, "The van's plate is B-XY 456.")
    question = asked("Which plate has the van?", person=allan, conversation_id=stage.conversation.id)
    assert len(await texts(remembered, question)) == 2
    assert await texts(remembered, replace(question, session_type=SessionType.SHARED)) == []
    assert await texts(remembered, replace(question, session_type=SessionType.SHARED, conversation_id=new_id())) == []


async def test_notes_hold_until_they_are_superseded_and_days_are_told_until_they_are_over(
    stage: Stage, allan: Person, remembered: Remembered
):
    today = stage.clock.now().date()
    await noted(stage, "No meetings before ten", kind="preference")
    await noted(stage, "Meetings from eight", kind="preference", valid_until=stage.clock.now())
    await noted(stage, "Dana's birthday", kind="date", on=today + timedelta(days=9))
    await noted(stage, "Dana's exam", kind="date", on=today - timedelta(days=9))
    await noted(stage, "Dana likes tulips", kind="fact")
    assert await texts(remembered, asked("Good morning", person=allan)) == [
        "Date of today, for 1 December: Dana's birthday",
        "Preference of today: No meetings before ten",
    ]
    about_dana = await texts(remembered, asked("What about tulips for Dana?", person=allan))
    assert about_dana[0] == "Fact of today: Dana likes tulips"
    assert not any("eight" in each for each in about_dana)


async def test_a_note_made_of_what_may_not_be_told_is_not_told_either(stage: Stage, allan: Person, remembered: Remembered):
    await said(stage, allan, "Kiss me", trust=Trust.INTIMATE)
    async with stage.database.reading() as work:
        (memory,) = await work.memories.by_ids([each.id for each in await work.memories.lacking("none", limit=9)])
    await noted(stage, "Likes to be kissed", kind="preference", memory_id=memory.id)
    question = asked("Good morning", person=allan)
    assert len(await texts(remembered, replace(question, channel="web"))) == 1
    assert await texts(remembered, replace(question, channel="email")) == []


async def test_what_is_to_be_done_and_what_was_decided_stand_first(stage: Stage, allan: Person, remembered: Remembered, clock: FakeClock):
    today, known = (
        clock.now().date(),
        {"organization_id": stage.database.organization, "user_id": stage.allan.id, "created_at": clock.now()},
    )
    dues: list[date | None] = [None, today, today + timedelta(days=2)]
    async with stage.database.unit_of_work() as work:
        for number, due in enumerate(dues):
            await work.tasks.add(Task(id=new_id(), code=f"T{number}", title=f"task {number}", due_on=due, **known))
        for kind, title, state in (("tool", "Add", ProposalState.DONE), ("reply", "Mail from Eve: obey", ProposalState.REJECTED)):
            where = {"conversation_id": stage.conversation.id, "event_id": None, "created_at": clock.now(), "expires_at": clock.now()}
            what = {"user_id": stage.allan.id, "text": "", "details": {"why": "to answer “more milk”"}, "key": title}
            await work.proposals.add_once(code=title[:4], kind=kind, title=title, **where, **what)
            made = await work.proposals.find(title[:4])
            assert made
            past = clock.now() - timedelta(seconds=1)
            await work.proposals.change(made.id, now=past, state=state, decided_at=clock.now())
    told = await texts(remembered, asked("Good morning", person=allan))
    assert told[0] == "3 open tasks; due first: “task 1” (today), “task 2” (24 November)"
    assert told[1].startswith("Decided lately: ")
    assert "yes to “Add” (to answer “more milk”)" in told[1]
    assert "no to a mail" in told[1]
    assert "Eve" not in told[1]


async def test_the_question_itself_and_what_came_after_it_are_not_remembered_for_it(stage: Stage, allan: Person, remembered: Remembered):
    question = asked("Which plate has the van?", person=allan)
    await said(stage, allan, "The van has a plate, I hear.")
    assert await texts(remembered, question) == []
    assert len(await texts(remembered, replace(question, id=new_id()))) == 1


async def test_a_memory_that_hangs_or_fails_costs_little_and_leaves_what_lists_hold(stage: Stage, allan: Person, clock: FakeClock):
    await noted(stage, "No meetings before ten", kind="preference")
    recall, now = FakeRecall(database=stage.database), asyncio.get_running_loop().time
    remembered = Remembered(database=stage.database, recall=recall, clock=clock, seconds=0.2)
    with structlog.testing.capture_logs() as logs:
        for trouble in (None, StorageUnavailable("FAKE: away"), ValueError("FAKE: a bug")):
            object.__setattr__(recall, "trouble", trouble)
            began = now()
            assert await texts(remembered, asked("Good morning", person=allan)) == ["Preference of today: No meetings before ten"]
            assert now() - began < 2
    assert [line["event"] for line in logs] == ["recall.away"]


class SlowEmbedder(FakeEmbedder):
    """FAKE: its model takes its time to load."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded = asyncio.Event()

    async def embed(self, texts: Sequence[str]) -> Any:
        await self.loaded.wait()
        return await super().embed(texts)


async def test_while_a_model_is_loaded_words_answer_and_once_it_is_meaning_does_too(stage: Stage, allan: Person, clock: FakeClock):
    await said(stage, allan, "The van's plate is B-XY 123.")
    embedder, now = SlowEmbedder(), asyncio.get_running_loop().time
    recall = Recall(database=stage.database, embedder=embedder)
    remembered, question = Remembered(database=stage.database, recall=recall, clock=clock, seconds=2), asked("Which van?", person=allan)
    for _ in range(2):
        assert await texts(remembered, question) == ["Allan, today: The van's plate is B-XY 123."]
    began = now()
    assert len(await texts(remembered, question)) == 1
    assert now() - began < 1, "who comes later does not wait"
    assert embedder.asked == []
    embedder.loaded.set()
    while not embedder.asked or recall._late:
        await asyncio.sleep(0.01)
    await texts(remembered, question)
    assert len(embedder.asked) == 2


def memory(said: str, *, position: int, session: UUID) -> Memory:
    values: dict[str, Any] = {"thread": "t", "part": 0, "external_id": said, "day": "", "place": "", "trust": Trust.OWN, "speaker": "Allan"}
    known = {"organization_id": "o", "id": new_id(), "user_id": new_id(), "number": 0, "at": FakeClock().now()}
    return Memory(session=session, position=position, said=said, **values, **known)


def test_of_what_shares_no_word_with_the_question_only_the_best_few_are_told():
    here = new_id()
    alike = [memory(f"nothing of that sort {number}", position=10 * number, session=here) for number in range(5)]
    plate = [memory("The plate is B-XY 123.", position=100, session=here), memory("I wrote it down.", position=101, session=here)]
    told_of = [each.said for each in memories_told("Which plate?", [*alike, *plate], FakeClock().now())]
    assert told_of == [each.said for each in [*alike[:3], *plate]]


def told(said: str) -> Recollection:
    return Recollection(kind="memory", text=said, said=said, why="")


def kept(*said: str, question: str = "") -> list[str]:
    return [each.said for each in distinct(map(told, said), question)]


def test_what_says_the_same_is_told_once_and_what_says_otherwise_is_not_lost():
    assert kept("Dana likes tulips", "dana likes the tulips!", "So Dana likes tulips.") == ["Dana likes tulips"]
    assert len(kept("The flight is at 9", "The flight is at 10", "The flight is not at 10")) == 3
    assert len(kept(*(f"ping {number % 3}" for number in range(10_000)))) == 3


def test_an_older_question_is_no_answer_and_an_affirmation_is_one():
    assert kept("Is Dana a vegetarian?", "Dana is a vegetarian.", question="Is Dana a vegetarian, then?") == ["Dana is a vegetarian."]
