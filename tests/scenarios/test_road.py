"""The road of one message: it is stored once, answered once and delivered once, whatever its kind and however often it comes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp

from bot.adapters.web import CONSOLE
from bot.brain.reactive import HELP
from tests.scenarios.house import FakePush, House, open_house, until


async def test_message_is_answered_and_pushed(house: House) -> None:
    receipt = await house.hears("hello", external_id="E1")
    reply = await house.reply(receipt)
    await until(lambda: bool(house.push.took))
    outgoing = house.push.took[0]
    assert reply.text == outgoing.text == "re: hello"
    assert (outgoing.reply_to, outgoing.kind, outgoing.recovered) == ("E1", "answer", False)


async def test_reply_of_a_channel_that_reads_the_ledger_is_delivered_by_being_recorded(house: House) -> None:
    await house.asks("hello", channel=CONSOLE)
    assert (await house.counts()) == ({"answered": 1}, {"sent": 1})
    assert house.push.took == []


async def test_reply_of_a_channel_that_is_switched_off_waits_for_its_return(database_url: str, tmp_path: Path) -> None:
    async with open_house(database_url, tmp_path) as without:
        await without.asks("hello", channel="pigeon")
        assert (await without.counts())[1] == {"ready": 1}
    pigeon = FakePush()
    pigeon.channel = "pigeon"
    async with open_house(database_url, tmp_path, push=pigeon):
        await until(lambda: pigeon.texts == ["re: hello"])


async def test_repeated_event_is_answered_once(house: House) -> None:
    first = await house.hears("hi", external_id="E1")
    await house.reply(first)
    again = await house.hears("hi", external_id="E1")
    assert again.event_id == first.event_id
    assert not again.is_new
    assert (await house.reply(again)).text == "re: hi"
    assert house.model.asked == ["hi"]


async def test_same_event_twice_at_the_same_moment_is_one(house: House) -> None:
    receipts = await asyncio.gather(*(house.hears("hi", external_id="E1") for _ in range(8)))
    assert len({receipt.event_id for receipt in receipts}) == 1
    assert [receipt.is_new for receipt in receipts].count(True) == 1
    await asyncio.gather(*(house.reply(receipt) for receipt in receipts))
    assert house.model.asked == ["hi"]


async def test_same_id_of_two_accounts_are_two_events(house: House) -> None:
    one = await house.hears("hi", external_id="E1")
    two = await house.hears("hi", external_id="E1", channel=CONSOLE)
    assert one.event_id != two.event_id
    assert two.is_new


async def test_every_kind_of_reply_is_named_for_what_it_is(house: House) -> None:
    house.model.error = None
    assert (await house.asks("what is love")).kind == "answer"
    reactive = await house.asks("/help")
    assert (reactive.kind, reactive.text, reactive.details["tier"]) == ("answer", HELP, "reactive")
    house.model.fall()
    offline = await house.asks("and now?")
    assert offline.kind == "offline"
    assert offline.details["offline"] is True
    assert "FAKE" not in offline.text


async def test_attempts_are_recorded_with_the_turn(house: House) -> None:
    receipt = await house.hears("hello")
    await house.reply(receipt)
    async with house.app.database.reading() as work:
        assert len(await work.usage.first_token_ms("first", limit=10)) == 1


async def test_what_was_written_is_kept_as_it_came(house: House) -> None:
    strange = "NUL \x00, half a pair \ud83d, <script>alert(1)</script> " + "😀" * 10_000
    receipt = await house.hears(strange)
    await house.reply(receipt)
    asked, answered = await house.messages(receipt.conversation_id)
    assert asked.text == strange
    assert answered.reply_to == asked.id


async def test_same_words_at_the_web_door(house: House) -> None:
    """Through real HTTP: one answer, and the same id gives the same 200 again."""
    async with house.app.server as server, aiohttp.ClientSession(headers={"Authorization": f"Bearer {house.app.hub_token}"}) as session:
        bodies = []
        for _ in range(2):
            async with session.post(f"{server.url}/api/chat", data=json.dumps({"id": "a1", "text": "hello"})) as response:
                assert response.status == 200
                bodies.append(await response.json())
    assert bodies[0] == bodies[1]
    assert bodies[0]["reply"] == "re: hello"
    assert house.model.asked == ["hello"]
