"""The contract of conversations and messages, on both databases: kept verbatim, found in order, shown to nobody else."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.exc import StatementError

from bot.domain.clock import new_id
from bot.domain.errors import Conflict
from storage.models.messaging import Message
from storage.repositories.base import values_of
from tests.stage import Stage

TEXTS = {
    "empty": "",
    "nul": "a\x00b\x00",
    "lone surrogates": "\ud800 half \udfff\udc00",
    "our own escape": "\ufdd0 \ufdd00000 \ufdd0d800\ufdd0",
    "a megabyte": "Zażółć gęślą jaźń. " * 43_000,
    "ten thousand emoji": "👩‍👩‍👧‍👦" * 10_000,
    "markup": "<script>alert('1')</script> **bold** '; DROP TABLE messages; --",
    "line ends": "one\r\ntwo\rthree\u2028four",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
async def test_a_text_comes_back_exactly_as_it_came(stage: Stage, text: str):
    stored = await stage.says(text)
    assert (await _find(stage, stored)).text == text


async def test_what_a_database_refuses_is_told_without_what_people_said(stage: Stage):
    """PostgreSQL adds the failing row to its words, unless row-level security keeps it from doing so."""
    await stage.says("secret words")

    async def refuse() -> None:
        async with stage.database.unit_of_work() as work:
            await work.connection.execute(sqlalchemy.text("UPDATE messages SET direction = NULL"))

    with pytest.raises(Conflict) as caught:
        await refuse()
    assert "direction" in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_every_column_comes_back_as_it_was(stage: Stage):
    details = {"level": "embedded", "latency_ms": 2.5, "nested": {"list": [1, None, "ż\u0000"]}}
    stored = await stage.says("hi", external_id="C1", reply_to=new_id(), digest="d", recovered=True, details=details)
    found = await _find(stage, stored)
    assert values_of(found) == values_of(stored)


async def test_a_moment_comes_back_in_utc_whatever_its_zone(stage: Stage):
    moment = datetime(2026, 11, 22, 23, 59, 59, 123456, tzinfo=timezone(timedelta(hours=-5)))
    found = await _find(stage, await stage.says("hi", at=moment))
    assert found.at == moment
    assert found.at.tzinfo is UTC


async def test_a_moment_without_a_zone_is_refused(stage: Stage):
    with pytest.raises(StatementError, match="a moment without a zone"):
        await stage.says("hi", at=datetime(2026, 11, 22))  # noqa: DTZ001


async def test_the_latest_are_told_oldest_first(stage: Stage):
    said = [await stage.says(str(number)) for number in range(5)]
    elsewhere = await stage.another_conversation("second")
    await stage.says("elsewhere", conversation_id=elsewhere.id)
    async with stage.database.reading() as work:
        latest = await work.messages.latest(stage.conversation.id, limit=3)
        before = await work.messages.latest(stage.conversation.id, limit=2, before=said[3].id)
        since = await work.messages.since(stage.conversation.id, said[1].id, limit=2)
        everything = await work.messages.since(stage.conversation.id, None, limit=10)
    assert [message.text for message in latest] == ["2", "3", "4"]
    assert [message.text for message in before] == ["1", "2"]
    assert [message.text for message in since] == ["2", "3"]
    assert [message.text for message in everything] == ["0", "1", "2", "3", "4"]


async def test_what_a_person_said_is_found_where_it_was_private(stage: Stage):
    await stage.says("one")
    await stage.says("a reply", direction="out")
    await stage.says("in a group", session_type="group")
    await stage.says("of Grace", user_id=stage.grace.id)
    two, three = await stage.says("two"), await stage.says("three")
    async with stage.database.reading() as work:
        said = await work.messages.said_by(stage.allan.id, limit=2)
        earlier = await work.messages.said_by(stage.allan.id, limit=5, before=three.id)
    assert [message.id for message in said] == [two.id, three.id]
    assert [message.text for message in earlier] == ["one", "two"]


async def test_the_first_reply_is_found_and_a_kind_can_be_asked_for(stage: Stage):
    question = await stage.says("what?")
    makeshift = await stage.says("later", direction="out", kind="offline", reply_to=question.id)
    late = await stage.says("this", direction="out", kind="late", reply_to=question.id)
    async with stage.database.reading() as work:
        first = await work.messages.find_reply(question.id)
        of_kind = await work.messages.find_reply(question.id, ("answer", "late"))
        nothing = await work.messages.find_reply(late.id)
    assert (first and first.id, of_kind and of_kind.id, nothing) == (makeshift.id, late.id, None)


@pytest.mark.parametrize(
    ("question", "answer", "is_found"),
    [
        ({}, {}, True),
        ({}, {"kind": "late"}, True),
        ({"digest": "other words"}, {}, False),
        ({}, {"kind": "offline"}, False),
        ({}, {"kind": "notice"}, False),
        ({"session_type": "group"}, {}, False),
        ({"user_id": "grace"}, {}, False),
    ],
)
async def test_an_earlier_answer_is_a_models_to_the_same_person_in_private(
    stage: Stage, question: dict[str, Any], answer: dict[str, Any], is_found: bool
):
    if question.get("user_id") == "grace":
        question = {"user_id": stage.grace.id}
    asked = await stage.says("what?", **({"digest": "d"} | question))
    told = await stage.says("that", **({"direction": "out", "kind": "answer", "reply_to": asked.id} | answer))
    again = await stage.says("what?", digest="d")
    async with stage.database.reading() as work:
        found = await work.messages.find_earlier_answer(stage.allan.id, "d", before=again.id)
        before_all = await work.messages.find_earlier_answer(stage.allan.id, "d", before=asked.id)
    assert (found and found.id) == (told.id if is_found else None)
    assert before_all is None


async def test_the_latest_of_several_earlier_answers_is_given(stage: Stage):
    for text in ("old", "new"):
        asked = await stage.says("what?", digest="d")
        await stage.says(text, direction="out", kind="answer", reply_to=asked.id)
    async with stage.database.reading() as work:
        found = await work.messages.find_earlier_answer(stage.allan.id, "d", before=new_id())
    assert found is not None
    assert found.text == "new"


async def test_a_message_can_be_marked_as_a_possible_repeat(stage: Stage):
    one, two = await stage.says("one"), await stage.says("two")
    async with stage.database.unit_of_work() as work:
        await work.messages.mark_recovered(two.id)
    assert [(await _find(stage, message)).recovered for message in (one, two)] == [False, True]


async def test_the_last_moment_anything_was_said_is_known(stage: Stage):
    async with stage.database.reading() as work:
        assert await work.messages.latest_at() is None
    await stage.says("one")
    stage.clock.advance(seconds=60)
    await stage.says("two")
    async with stage.database.reading() as work:
        assert await work.messages.latest_at() == stage.clock.now()


async def test_a_message_needs_a_conversation_that_exists(stage: Stage):
    with pytest.raises(Conflict):
        await stage.says("to nowhere", conversation_id=new_id())


async def test_a_conversation_is_made_once_also_by_ten_at_once(stage: Stage):
    made = await asyncio.gather(*(stage.another_conversation("second") for _ in range(10)))
    assert len({conversation.id for conversation in made}) == 1
    async with stage.database.reading() as work:
        assert await work.conversations.find(channel="web", key="second") == made[0]
        assert await work.conversations.find_by_id(made[0].id) == made[0]
        assert await work.conversations.find(channel="web", key="third") is None


async def _find(stage: Stage, message: Message) -> Message:
    async with stage.database.reading() as work:
        found = await work.messages.find_by_id(message.id)
    assert found is not None
    return found


async def test_exchanges_are_the_last_answers_in_the_order_of_their_questions(stage: Stage):
    """Also for a question of long ago, which is answered late: what was said before it, not what was said since."""
    first, second, third = [await stage.says(text) for text in ("one", "two", "three")]
    for question, answer in ((first, "1"), (third, "3"), (second, "2"), (first, "1b"), (third, "no model")):
        kind = "offline" if answer == "no model" else "answer"
        await stage.says(answer, direction="out", kind=kind, reply_to=question.id)
    later = await stage.says("four")
    async with stage.database.reading() as work:

        async def told(limit: int, before: Message) -> list[tuple[str, str]]:
            return [
                exchange[1:3] for exchange in await work.messages.exchanges(stage.conversation.id, "private", limit=limit, before=before.id)
            ]

        assert await told(10, later) == [("one", "1"), ("one", "1b"), ("two", "2"), ("three", "3")]
        assert await told(2, later) == [("one", "1b"), ("two", "2")]
        assert await told(10, third) == [("one", "1"), ("one", "1b"), ("two", "2")]
        assert await told(1, second) == [("one", "1b")]
