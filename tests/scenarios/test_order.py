"""Order holds inside a conversation, and no conversation or channel waits for another."""

from __future__ import annotations

import asyncio

from tests.scenarios.house import House, until


async def test_messages_of_a_conversation_are_answered_in_the_order_they_came(house: House) -> None:
    receipts = await asyncio.gather(*(house.hears(f"m{n}") for n in range(20)))
    await asyncio.gather(*(house.reply(receipt) for receipt in receipts))
    await until(lambda: len(house.push.took) == 20)
    expected = [f"re: m{n}" for n in range(20)]
    assert house.model.asked == [f"m{n}" for n in range(20)]
    assert await house.said(receipts[0].conversation_id) == expected
    assert house.push.texts == expected


async def test_slow_conversation_holds_up_no_other(house: House) -> None:
    house.model.slow_at = "slow"
    house.model.hold()
    slow = await house.hears("slow", conversation="a")
    await until(lambda: house.model.asked == ["slow"])
    behind = await house.hears("behind", conversation="a")
    assert (await house.asks("hello", conversation="b")).text == "re: hello"
    assert house.model.asked == ["slow", "hello"]
    house.model.gate.set()
    await house.reply(slow)
    await house.reply(behind)


async def test_slow_delivery_holds_up_only_its_own_conversation(house: House) -> None:
    house.push.waits_before = "slow"
    slow = await house.hears("slow", conversation="a")
    behind = await house.hears("behind", conversation="a")
    await house.reply(slow)
    await house.reply(behind)
    await house.hears("hello", conversation="b")
    await until(lambda: len(house.push.took) == 1)
    assert house.push.texts == ["re: hello"]
    house.push.gate.set()
    await until(lambda: len(house.push.took) == 3)
    assert house.push.texts == ["re: hello", "re: slow", "re: behind"]


async def test_many_conversations_at_once_each_get_their_own(house: House) -> None:
    receipts = {f"c{n}": await house.hears(f"of c{n}", conversation=f"c{n}") for n in range(100)}
    replies = await asyncio.gather(*(house.reply(receipt) for receipt in receipts.values()))
    assert [reply.text for reply in replies] == [f"re: of c{n}" for n in range(100)]
