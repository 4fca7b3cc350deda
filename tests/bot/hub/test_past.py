"""What was said before there was a memory is remembered, once, and as it would be today."""

from __future__ import annotations

from datetime import timedelta

from bot.domain.memory import Trust
from bot.hub.past import BATCH, Past


async def all_of_it(past: Past, stage) -> int:
    looks = 1
    while await past.look(stage.clock.now()) is not None:
        looks += 1
    return looks


async def remembered(stage) -> list:
    async with stage.database.reading() as work:
        kept = await work.memories.lacking("", limit=1000)
    return sorted(kept, key=lambda each: each.number)


async def test_the_past_is_remembered_in_its_order_by_its_own_rules(stage):
    question = await stage.says("I have a dog called Rex")
    await stage.says("He is called Rex.", direction="out", kind="answer", reply_to=question.id)
    await stage.says("/note milk")
    await stage.says("All quiet.", direction="out", kind="notice")
    stage.clock.advance(seconds=timedelta(hours=5).total_seconds())
    await stage.says("Buy this!", details={"is_stranger": True, "sender": {"name": "Mallory"}})
    past = Past(database=stage.database)
    await all_of_it(past, stage)
    kept = await remembered(stage)
    assert [(each.speaker, each.said, each.trust) for each in kept] == [
        ("Allan", "I have a dog called Rex", Trust.OWN),
        ("Robbie", "He is called Rex.", Trust.ROBBIE),
        ("Mallory", "Buy this!", Trust.OUTSIDE),
    ]
    assert [each.position for each in kept] == [0, 1, 0]
    assert kept[0].session == kept[1].session != kept[2].session


async def test_it_goes_on_where_it_stood_and_does_nothing_twice(stage):
    for number in range(BATCH + 3):
        await stage.says(f"no {number}")
    assert await Past(database=stage.database).look(stage.clock.now()) is not None
    assert len(await remembered(stage)) == BATCH
    await all_of_it(Past(database=stage.database), stage)
    assert len(await remembered(stage)) == BATCH + 3
    await stage.says("not its affair any more")
    past = Past(database=stage.database)
    assert await past.look(stage.clock.now()) is None
    assert await past.look(stage.clock.now()) is None
    assert len(await remembered(stage)) == BATCH + 3
    assert len({each.session for each in await remembered(stage)}) == 1
