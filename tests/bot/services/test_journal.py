"""What was done is taken back once, the last thing first; what cannot be taken back is said to be so."""

from __future__ import annotations

from typing import Any

from bot.services.journal import NOTHING_TO_UNDO, Journal, record
from tests.bot.services.tool_fakes import Rooms, errand_for, person_of
from tests.stage import Stage


async def sets(stage: Stage, *levels: str) -> Journal:
    for level in levels:
        await Rooms(stage).autonomy.set(errand_for(stage.allan, f"set/{level}", actor="person"), level)
    return Journal(database=stage.database, clock=stage.clock)


async def writes_mail(stage: Stage, **values: Any) -> None:
    async with stage.database.unit_of_work() as work:
        await record(work, errand_for(stage.allan, "mail/1"), "mail.follow_up", "wrote to Dana", now=stage.clock.now())


async def holding(stage: Stage) -> list[str]:
    async with stage.database.reading() as work:
        return [row.value for row in await work.settings.holding(stage.allan.id, stage.clock.now())]


async def test_the_last_thing_is_taken_back_then_the_one_before_then_nothing(stage: Stage):
    journal, allan = await sets(stage, "fully", "highly"), person_of(stage.allan)
    assert await journal.undo(allan) == "Taken back: set autonomy to highly"
    assert await holding(stage) == ["fully"]
    assert await journal.undo(allan) == "Taken back: set autonomy to fully"
    assert await journal.undo(allan) == f"{NOTHING_TO_UNDO} The last time it was this. Taken back: set autonomy to fully"
    assert await journal.undo(person_of(stage.grace)) == NOTHING_TO_UNDO


async def test_one_undo_that_is_asked_for_again_after_a_crash_takes_back_one_thing(stage: Stage):
    journal = await sets(stage, "fully", "highly")
    for _ in range(2):
        assert await journal.undo(person_of(stage.allan), key="q1/undo") == "Taken back: set autonomy to highly"
    assert await holding(stage) == ["fully"]


async def test_what_left_the_house_cannot_be_taken_back_and_nothing_else_is_in_its_stead(stage: Stage):
    journal, allan = await sets(stage, "fully"), person_of(stage.allan)
    await writes_mail(stage)
    said = await journal.undo(allan)
    assert said.startswith("The last thing cannot be taken back: wrote to Dana.")
    assert await holding(stage) == ["fully"]
    assert await journal.undo(allan, "earlier") == "Taken back: set autonomy to fully"
    assert await holding(stage) == []


async def test_lines_tell_when_by_the_persons_clock_who_and_whether_they_were_taken_back(stage: Stage):
    journal, allan = await sets(stage, "fully"), person_of(stage.allan)
    await journal.undo(allan)
    await writes_mail(stage)
    assert (await journal.told(allan, limit=9)).splitlines()[2:] == [
        "- 22 Nov, 12:00, I: wrote to Dana (Allan wrote so)",
        "- 22 Nov, 12:00, you: Taken back: set autonomy to fully (you asked for it)",
        "- 22 Nov, 12:00, you: set autonomy to fully (Allan wrote so); taken back",
    ]
