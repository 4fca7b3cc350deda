"""The contract of the inbox, on both databases: every event once, every conversation in order, every claim one owner's."""

from __future__ import annotations

import asyncio

import pytest

from bot.domain.errors import Conflict
from storage.database import Database
from storage.models.messaging import InboxEvent, InboxState
from storage.repositories.base import values_of
from tests.machine import PATIENCE_SECONDS
from tests.stage import LEASE_SECONDS, Stage


async def test_a_repeated_event_is_stored_once(stage: Stage):
    first, again = stage.message("hello"), stage.message("hello, says the channel again")
    async with stage.database.unit_of_work() as work:
        assert await work.inbox.add_once(**stage.event(first, external_id="E1"))
    async with stage.database.unit_of_work() as work:
        assert not await work.inbox.add_once(**stage.event(again, external_id="E1"))
        found = await work.inbox.find(channel="web", account="allan", external_id="E1")
    assert found is not None
    assert found.id == first.id
    assert (found.state, found.attempts, found.crashes, found.owner) == (InboxState.RECEIVED, 0, 0, None)
    assert found.received_at == stage.clock.now()


async def test_of_ten_repeats_at_once_one_is_new(stage: Stage):
    async with Database(stage.database.url, organization="default") as other_process:

        async def receive(database: Database) -> bool:
            async with database.unit_of_work() as work:
                return await work.inbox.add_once(**stage.event(stage.message("hello"), external_id="E1"))

        news = await asyncio.gather(*(receive(database) for database in (stage.database, other_process) for _ in range(5)))
    assert sorted(news) == [False] * 9 + [True]


async def test_the_same_id_from_another_account_is_another_event(stage: Stage):
    async with stage.database.unit_of_work() as work:
        for account in ("allan", "grace"):
            assert await work.inbox.add_once(**(stage.event(stage.message("hi"), external_id="E1") | {"account": account}))


async def test_events_are_claimed_in_the_order_they_came(stage: Stage):
    ids = [await stage.receives(text) for text in ("one", "two", "three")]
    claimed = []
    while (event := await stage.claims()) is not None:
        claimed.append(event.id)
        await _settle(stage, event, InboxState.ANSWERED)
    assert claimed == ids


async def test_a_claim_holds_the_whole_conversation(stage: Stage):
    first = await stage.receives("one")
    await stage.receives("two")
    event = await stage.claims("here:1:a")
    assert event is not None
    assert (event.id, event.owner, event.attempts, event.state) == (first, "here:1:a", 1, InboxState.CLAIMED)
    assert event.lease_until == stage.claim().until
    assert await stage.claims("here:2:b") is None


async def test_a_claim_holds_the_conversation_also_against_an_older_id_that_comes_late(stage: Stage):
    """Two processes receive at once: the one that took its id first may commit last."""
    early = stage.message("early id, late commit")
    await stage.receives("late id")
    claimed = await stage.claims("here:1:a")
    async with stage.database.unit_of_work() as work:
        await work.inbox.add_once(**stage.event(early))
    assert await stage.claims("here:2:b") is None
    assert claimed is not None
    await _settle(stage, claimed, InboxState.ANSWERED)
    following = await stage.claims("here:2:b")
    assert following is not None
    assert following.id == early.id


async def test_conversations_do_not_wait_for_each_other(stage: Stage):
    other = await stage.another_conversation("second")
    await stage.receives("one")
    there = await stage.receives("two", conversation=other)
    await stage.claims("here:1:a")
    event = await stage.claims("here:2:b", conversation=other)
    assert event is not None
    assert event.id == there


async def test_of_many_owners_at_once_one_gets_the_claim(stage: Stage):
    await stage.receives("one")
    await stage.receives("two")
    async with Database(stage.database.url, organization="default") as other_process:
        databases = [stage.database, other_process] * 4
        claims = await asyncio.gather(*(_claims(stage, database, f"here:{n}:x") for n, database in enumerate(databases)))
    assert len([event for event in claims if event is not None]) == 1


async def test_concurrent_workers_answer_everything_once_and_in_order(stage: Stage):
    ids = [await stage.receives(str(number)) for number in range(12)]
    answered = []

    async def work(database: Database, owner: str) -> None:
        while len(answered) < len(ids):
            if (event := await _claims(stage, database, owner)) is not None:
                answered.append(event.id)
                async with database.unit_of_work() as unit:
                    await unit.inbox.settle(event, InboxState.ANSWERED, now=stage.clock.now())

    async with Database(stage.database.url, organization="default") as other_process:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(work(database, f"here:{n}:x") for n, database in enumerate([stage.database, other_process] * 2)))
    assert answered == ids


async def test_an_expired_lease_is_taken_over_and_its_old_owner_can_settle_nothing(stage: Stage):
    await stage.receives()
    lost = await stage.claims("here:1:a")
    stage.clock.advance(seconds=LEASE_SECONDS + 1)
    taken = await stage.claims("here:2:b")
    assert lost is not None
    assert taken is not None
    assert (taken.id, taken.owner, taken.attempts) == (lost.id, "here:2:b", 2)
    with pytest.raises(Conflict):
        await _settle(stage, lost, InboxState.ANSWERED)
    await _settle(stage, taken, InboxState.ANSWERED)


async def test_a_lease_that_has_not_run_out_holds(stage: Stage):
    await stage.receives()
    await stage.claims("here:1:a")
    stage.clock.advance(seconds=LEASE_SECONDS - 1)
    assert await stage.claims("here:2:b") is None


async def test_a_renewed_lease_holds_and_only_its_owner_renews_it(stage: Stage):
    event_id = await stage.receives()
    await stage.claims("here:1:a")
    stage.clock.advance(seconds=LEASE_SECONDS - 1)
    async with stage.database.unit_of_work() as work:
        await work.inbox.renew({event_id}, stage.claim("here:1:a"))
        await work.inbox.renew({event_id}, stage.claim("here:2:b"))
    stage.clock.advance(seconds=LEASE_SECONDS - 1)
    assert await stage.claims("here:2:b") is None
    stage.clock.advance(seconds=2)
    assert await stage.claims("here:2:b") is not None


async def test_an_event_is_settled_by_owner_and_attempt_alone(stage: Stage):
    await stage.receives()
    event = await stage.claims()
    assert event is not None
    for wrong in ({"owner": "here:9:z"}, {"attempts": 7}):
        impostor = InboxEvent(**(values_of(event) | wrong))
        with pytest.raises(Conflict):
            await _settle(stage, impostor, InboxState.ANSWERED)
    await _settle(stage, event, InboxState.ANSWERED)
    with pytest.raises(Conflict):
        await _settle(stage, event, InboxState.ANSWERED)
    settled = await _find(stage, event)
    assert (settled.state, settled.owner, settled.lease_until, settled.answered_at) == ("answered", None, None, stage.clock.now())


async def test_a_conflict_undoes_the_whole_unit_of_work(stage: Stage):
    await stage.receives()
    event = await stage.claims()
    assert event is not None
    await _settle(stage, event, InboxState.ANSWERED)
    reply = stage.message("too late", direction="out")

    async def record() -> None:
        async with stage.database.unit_of_work() as work:
            await work.messages.add(reply)
            await work.inbox.settle(event, InboxState.ANSWERED, now=stage.clock.now())

    with pytest.raises(Conflict):
        await record()
    async with stage.database.reading() as work:
        assert await work.messages.find_by_id(reply.id) is None


async def test_what_crashed_waits_for_its_next_attempt_and_keeps_its_place(stage: Stage):
    first = await stage.receives("one")
    await stage.receives("two")
    event = await stage.claims()
    assert event is not None
    later = stage.claim().until
    await _settle(stage, event, InboxState.RECEIVED, crashes=1, next_attempt_at=later)
    assert await stage.claims() is None
    stage.clock.advance(seconds=LEASE_SECONDS)
    again = await stage.claims()
    assert again is not None
    assert (again.id, again.crashes, again.attempts) == (first, 1, 2)


async def test_only_conversations_with_something_to_claim_are_waiting(stage: Stage):
    other = await stage.another_conversation("second")
    await stage.receives("one")
    await stage.receives("two")
    await stage.receives("three", conversation=other)
    assert sorted(await _waiting(stage)) == sorted([stage.conversation.id, other.id])
    for conversation in (stage.conversation, other):
        await stage.claims(conversation=conversation)
    async with stage.database.reading() as work:
        assert other.id not in await work.inbox.waiting(stage.clock.now())
        assert await work.inbox.has_more(stage.conversation.id)
        assert not await work.inbox.has_more(other.id)
    stage.clock.advance(seconds=LEASE_SECONDS + 1)
    assert other.id in await _waiting(stage)


async def test_what_is_not_due_yet_is_not_waiting(stage: Stage):
    await stage.receives()
    event = await stage.claims()
    assert event is not None
    await _settle(stage, event, InboxState.RECEIVED, crashes=1, next_attempt_at=stage.claim().until)
    assert await _waiting(stage) == []
    stage.clock.advance(seconds=LEASE_SECONDS)
    assert await _waiting(stage) == [stage.conversation.id]


async def test_a_queued_question_is_tried_again_once_nothing_newer_is_open(stage: Stage):
    queued = await _queue(stage, "hard")
    await stage.receives("newer")
    assert await stage.claims(late=True) is None
    newer = await stage.claims()
    assert newer is not None
    assert newer.id != queued
    assert await stage.claims(late=True) is None
    await _settle(stage, newer, InboxState.ANSWERED)
    late = await stage.claims("here:1:a", late=True)
    assert late is not None
    assert (late.id, late.state, late.owner) == (queued, InboxState.QUEUED, "here:1:a")
    assert late.deferred_at == stage.clock.now()


async def test_a_queued_question_is_tried_by_one_and_holds_up_nobody(stage: Stage):
    await _queue(stage, "hard")
    late = await stage.claims("here:1:a", late=True)
    assert late is not None
    assert await stage.claims("here:2:b", late=True) is None
    newer = await stage.receives("newer")
    event = await stage.claims("here:2:b")
    assert event is not None
    assert event.id == newer
    await _settle(stage, late, InboxState.ANSWERED)
    assert (await _find(stage, late)).state == InboxState.ANSWERED


async def test_a_late_attempt_that_died_is_taken_over(stage: Stage):
    await _queue(stage, "hard")
    lost = await stage.claims("here:1:a", late=True)
    stage.clock.advance(seconds=LEASE_SECONDS + 1)
    taken = await stage.claims("here:2:b", late=True)
    assert lost is not None
    assert taken is not None
    with pytest.raises(Conflict):
        await _settle(stage, lost, InboxState.ANSWERED)
    await _settle(stage, taken, InboxState.ANSWERED)


async def test_of_one_conversation_one_queued_question_is_tried_at_a_time(stage: Stage):
    await _queue(stage, "first")
    second = await _queue(stage, "second")
    assert await stage.claims("here:1:a", late=True) is not None
    async with stage.database.unit_of_work() as work:
        assert await work.inbox.claim_queued(second, stage.claim("here:2:b")) is None


async def test_queued_questions_come_oldest_first_but_for_those_that_failed_by_their_own_fault(stage: Stage):
    other = await stage.another_conversation("second")
    ids = [await _queue(stage, "hard", conversation=conversation) for conversation in (other, stage.conversation, other)]
    async with stage.database.reading() as work:
        assert list(await work.inbox.queued(limit=10)) == ids
        assert list(await work.inbox.queued(limit=2)) == ids[:2]
        assert await work.inbox.counts() == {"queued": 3}
    blamed = await stage.claims(late=True, conversation=other)
    assert blamed is not None
    async with stage.database.unit_of_work() as work:
        await work.inbox.settle(blamed, InboxState.QUEUED, now=stage.clock.now(), crashes=1)
    async with stage.database.reading() as work:
        assert list(await work.inbox.queued(limit=10)) == [*ids[1:], ids[0]]


async def test_what_dead_owners_held_is_free_again(stage: Stage):
    other, third = await stage.another_conversation("second"), await stage.another_conversation("third")
    await _queue(stage, "hard", conversation=third)
    for conversation in (stage.conversation, other):
        await stage.receives(conversation=conversation)
    await stage.claims("here:1:dead")
    await stage.claims("here:2:alive", conversation=other)
    await stage.claims("here:1:dead", late=True, conversation=third)
    async with stage.database.unit_of_work() as work:
        assert await work.inbox.owners() == {"here:1:dead", "here:2:alive"}
        await work.inbox.release({"here:1:dead"})
        await work.inbox.release(set())
        assert await work.inbox.owners() == {"here:2:alive"}
    assert await stage.claims("here:3:c") is not None
    assert await stage.claims("here:3:c", conversation=other) is None
    assert await stage.claims("here:3:c", late=True, conversation=third) is not None


async def test_a_claimed_event_is_loaded_with_its_message_and_its_sender(stage: Stage):
    await stage.receives("what time is it?")
    event = await stage.claims()
    assert event is not None
    async with stage.database.reading() as work:
        asked = await work.inbox.load(event)
    assert (asked.event, asked.message.text, asked.user) == (event, "what time is it?", stage.allan)


async def _claims(stage: Stage, database: Database, owner: str) -> InboxEvent | None:
    async with database.unit_of_work() as work:
        return await work.inbox.claim_next(stage.conversation.id, stage.claim(owner))


async def _settle(stage: Stage, event: InboxEvent, state: InboxState, **changes: object) -> None:
    async with stage.database.unit_of_work() as work:
        await work.inbox.settle(event, state, now=stage.clock.now(), **changes)


async def _queue(stage: Stage, text: str, **where: object) -> object:
    """Store a question and have the offline rung answer it; its id."""
    event_id = await stage.receives(text, **where)  # type: ignore[arg-type]
    event = await stage.claims(**where)  # type: ignore[arg-type]
    assert event is not None
    await _settle(stage, event, InboxState.QUEUED, deferred_at=stage.clock.now())
    return event_id


async def _find(stage: Stage, event: InboxEvent) -> InboxEvent:
    async with stage.database.reading() as work:
        found = await work.inbox.find_by_id(event.id)
    assert found is not None
    return found


async def _waiting(stage: Stage) -> list[object]:
    async with stage.database.reading() as work:
        return list(await work.inbox.waiting(stage.clock.now()))
