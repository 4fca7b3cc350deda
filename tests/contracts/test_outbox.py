"""The contract of the outbox, on both databases: every reply promised with its turn, sent in order, and in doubt only where it must be."""

from __future__ import annotations

import asyncio

import pytest

from bot.domain.errors import Conflict
from storage.database import Database
from storage.models.messaging import OutboxItem, OutboxState
from storage.repositories.base import values_of
from tests.stage import LEASE_SECONDS, Stage


async def test_replies_are_taken_in_the_order_of_their_promises(stage: Stage):
    replies = [(await stage.answers(await stage.receives(text))).id for text in ("one", "two", "three")]
    taken = []
    while (item := await stage.takes()) is not None:
        taken.append(item.message_id)
        assert (item.state, item.attempts, item.lease_until) == (OutboxState.SENDING, 1, stage.claim().until)
        await _settle(stage, item, OutboxState.SENT, channel_message_id="C1", sent_at=stage.clock.now())
    assert taken == replies


async def test_what_is_being_sent_holds_up_what_comes_after(stage: Stage):
    for text in ("one", "two"):
        await stage.answers(await stage.receives(text))
    await stage.takes("here:1:a")
    assert await stage.takes("here:2:b") is None


async def test_of_many_senders_at_once_one_gets_the_reply(stage: Stage):
    for text in ("one", "two"):
        await stage.answers(await stage.receives(text))

    async def take(database: Database, owner: str) -> OutboxItem | None:
        async with database.unit_of_work() as work:
            return await work.outbox.claim_next(stage.conversation.id, stage.claim(owner))

    async with Database(stage.database.url, organization="default") as other_process:
        databases = [stage.database, other_process] * 4
        items = await asyncio.gather(*(take(database, f"here:{n}:x") for n, database in enumerate(databases)))
    assert len([item for item in items if item is not None]) == 1


async def test_a_reply_that_recording_delivers_is_sent_already(stage: Stage):
    await stage.answers(await stage.receives(), delivered=True)
    assert await stage.takes() is None
    async with stage.database.reading() as work:
        assert await work.outbox.counts() == {"sent": 1}
        assert not await work.outbox.has_more(stage.conversation.id)


async def test_a_retry_keeps_its_place_until_it_is_due(stage: Stage):
    first = await stage.answers(await stage.receives("one"))
    await stage.answers(await stage.receives("two"))
    item = await stage.takes()
    assert item is not None
    await _settle(stage, item, OutboxState.READY, next_attempt_at=stage.claim().until, last_error="refused")
    assert await stage.takes() is None
    stage.clock.advance(seconds=LEASE_SECONDS)
    again = await stage.takes()
    assert again is not None
    assert (again.message_id, again.attempts, again.last_error) == (first.id, 2, "refused")


async def test_a_dead_reply_lets_the_next_one_pass(stage: Stage):
    await stage.answers(await stage.receives("one"))
    second = await stage.answers(await stage.receives("two"))
    item = await stage.takes()
    assert item is not None
    await _settle(stage, item, OutboxState.DEAD, last_error="the channel is gone")
    following = await stage.takes()
    assert following is not None
    assert following.message_id == second.id


async def test_an_item_is_settled_by_owner_and_attempt_alone(stage: Stage):
    await stage.answers(await stage.receives())
    item = await stage.takes()
    assert item is not None
    for wrong in ({"owner": "here:9:z"}, {"attempts": 7}):
        impostor = OutboxItem(**(values_of(item) | wrong))
        with pytest.raises(Conflict):
            await _settle(stage, impostor, OutboxState.SENT)
    await _settle(stage, item, OutboxState.SENT)
    with pytest.raises(Conflict):
        await _settle(stage, item, OutboxState.SENT)


async def test_a_lapsed_send_is_in_doubt_and_marked_so(stage: Stage):
    await stage.answers(await stage.receives())
    lost = await stage.takes("here:1:a")
    assert lost is not None
    assert not await _lapsed(stage)
    stage.clock.advance(seconds=LEASE_SECONDS + 1)
    assert await _lapsed(stage)
    await _give_up_on(stage, set())
    assert not await _lapsed(stage)
    with pytest.raises(Conflict):
        await _settle(stage, lost, OutboxState.SENT)
    again = await stage.takes("here:2:b")
    assert again is not None
    assert (again.id, again.recovered, again.attempts) == (lost.id, True, 2)


async def test_a_dead_owners_send_is_in_doubt_at_once_and_a_living_ones_is_not(stage: Stage):
    await stage.answers(await stage.receives())
    await stage.takes("here:1:dead")
    await _give_up_on(stage, {"here:2:alive"})
    async with stage.database.reading() as work:
        assert await work.outbox.owners() == {"here:1:dead"}
        assert await work.outbox.counts() == {"sending": 1}
    await _give_up_on(stage, {"here:1:dead"})
    async with stage.database.reading() as work:
        assert await work.outbox.owners() == set()
        assert await work.outbox.counts() == {"unknown": 1}


async def test_a_renewed_lease_does_not_lapse_and_only_its_owner_renews_it(stage: Stage):
    await stage.answers(await stage.receives())
    item = await stage.takes("here:1:a")
    assert item is not None
    for owner, lapsed in (("here:1:a", False), ("here:2:b", True)):
        stage.clock.advance(seconds=LEASE_SECONDS - 1)
        async with stage.database.unit_of_work() as work:
            await work.outbox.renew({item.id}, stage.claim(owner))
        stage.clock.advance(seconds=2)
        assert await _lapsed(stage) is lapsed


async def test_only_what_can_be_sent_now_is_waiting_with_its_channel(stage: Stage):
    await stage.answers(await stage.receives())
    assert await _waiting(stage) == [(stage.conversation.id, "web")]
    item = await stage.takes()
    assert item is not None
    assert await _waiting(stage) == []
    await _settle(stage, item, OutboxState.UNKNOWN, next_attempt_at=stage.claim().until)
    assert await _waiting(stage) == []
    stage.clock.advance(seconds=LEASE_SECONDS)
    assert await _waiting(stage) == [(stage.conversation.id, "web")]


async def test_a_stream_becomes_the_promise_of_its_reply(stage: Stage):
    event_id = await stage.receives()
    opened = await _open_stream(stage, event_id)
    assert (opened.state, opened.recovered, opened.message_id) == (OutboxState.STREAMING, False, None)
    async with stage.database.unit_of_work() as work:
        await work.outbox.show(opened.id, "C1")
    assert await stage.takes() is None
    assert await _promise(stage, event_id, streamed=True) is False
    item = await stage.takes()
    assert item is not None
    assert (item.id, item.channel_message_id, item.recovered) == (opened.id, "C1", False)


async def test_a_stream_that_a_crash_left_is_taken_up_again_and_marked(stage: Stage):
    event_id = await stage.receives()
    left = await _open_stream(stage, event_id, owner="here:1:dead")
    taken_up = await _open_stream(stage, event_id, owner="here:2:b")
    assert (taken_up.id, taken_up.owner, taken_up.recovered) == (left.id, "here:2:b", True)
    assert await _promise(stage, event_id, streamed=True) is True


async def test_a_reply_that_was_not_shown_takes_the_place_of_a_crashed_stream(stage: Stage):
    event_id = await stage.receives()
    left = await _open_stream(stage, event_id)
    assert await _promise(stage, event_id, streamed=False, retried=True) is True
    item = await stage.takes()
    assert item is not None
    assert (item.id, item.recovered) == (left.id, True)
    assert await _waiting(stage) == []


async def test_a_retried_turn_without_a_stream_gets_a_promise_of_its_own(stage: Stage):
    assert await _promise(stage, await stage.receives(), streamed=False, retried=True) is False
    item = await stage.takes()
    assert item is not None
    assert not item.recovered


async def test_a_taken_reply_is_loaded_with_where_it_goes_and_what_it_answers(stage: Stage):
    question = await stage.says("what?", external_id="C7")
    await stage.answers(question.id, "that")
    await stage.answers(await stage.receives("and?"), "so")
    for text, reply_to in (("that", "C7"), ("so", None)):
        item = await stage.takes()
        assert item is not None
        async with stage.database.unit_of_work() as work:
            promised = await work.outbox.load(item)
            await work.outbox.settle(item, OutboxState.SENT)
        assert (promised.message.text, promised.conversation, promised.reply_to) == (text, stage.conversation, reply_to)


async def _open_stream(stage: Stage, event_id: object, owner: str = "here:1:a") -> OutboxItem:
    async with stage.database.unit_of_work() as work:
        return await work.outbox.open_stream(conversation_id=stage.conversation.id, event_id=event_id, claim=stage.claim(owner))


async def _promise(stage: Stage, event_id: object, *, streamed: bool, retried: bool = False) -> bool:
    reply = await stage.says("hi", direction="out", kind="answer", reply_to=event_id)
    async with stage.database.unit_of_work() as work:
        return await work.outbox.promise(reply, delivered=False, streamed=streamed, retried=retried, now=stage.clock.now())


async def _settle(stage: Stage, item: OutboxItem, state: OutboxState, **changes: object) -> None:
    async with stage.database.unit_of_work() as work:
        await work.outbox.settle(item, state, **changes)


async def _give_up_on(stage: Stage, owners: set[str]) -> None:
    async with stage.database.unit_of_work() as work:
        await work.outbox.give_up_on(owners, stage.clock.now())


async def _lapsed(stage: Stage) -> bool:
    async with stage.database.reading() as work:
        return await work.outbox.lapsed(stage.clock.now())


async def _waiting(stage: Stage) -> list[object]:
    async with stage.database.reading() as work:
        return list(await work.outbox.waiting(stage.clock.now()))
