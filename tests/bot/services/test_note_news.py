"""A brief tells the days that notes are about: the week's in the morning, birthdays each year."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from bot.domain.brief import Day, Slot
from bot.services.note_news import NoteNews
from tests.stage import Stage

pytestmark = pytest.mark.either


def day(slot: Slot, now: datetime) -> Day:
    return Day(slot=slot, date=now.date(), now=now, since=now)


@pytest.mark.parametrize(
    ("slot", "now", "told"),
    [
        (Slot.MORNING, datetime(2027, 5, 1, 7, tzinfo=UTC), ["Tuesday 4 May: Dana's birthday is 4 May (said 22 Nov)"]),
        (Slot.EVENING, datetime(2027, 5, 1, 18, tzinfo=UTC), []),
        (Slot.EVENING, datetime(2027, 5, 3, 18, tzinfo=UTC), ["Tomorrow: Dana's birthday is 4 May (said 22 Nov)"]),
        (Slot.MORNING, datetime(2029, 5, 4, 7, tzinfo=UTC), ["Today: Dana's birthday is 4 May (said 22 Nov)"]),
        (Slot.MORNING, datetime(2026, 12, 12, 7, tzinfo=UTC), ["Today: The board meets on 12 December (said 22 Nov)"]),
        (Slot.MORNING, datetime(2026, 12, 13, 7, tzinfo=UTC), []),
        (Slot.MORNING, datetime(2027, 2, 22, 7, tzinfo=UTC), ["Sunday 28 February: Tom's birthday is 29 February (said 22 Nov)"]),
        (Slot.MORNING, datetime(2028, 2, 28, 7, tzinfo=UTC), ["Tomorrow: Tom's birthday is 29 February (said 22 Nov)"]),
    ],
)
async def test_the_days_ahead_are_told(stage: Stage, slot: Slot, now: datetime, told: list[str]):
    async with stage.database.unit_of_work() as work:
        for text, kind, topic, on in (
            ("Dana's birthday is 4 May", "fact", "dana birthday", date(2027, 5, 4)),
            ("Tom's birthday is 29 February", "fact", "tom birthday", date(2024, 2, 29)),
            ("The board meets on 12 December", "date", "board", date(2026, 12, 12)),
            ("tulips", "note", "", None),
        ):
            about = {"kind": kind, "topic": topic, "on": on}
            await work.notes.add(user_id=stage.allan.id, text=text, now=stage.clock.now(), source_id=None, **about)
    sections = await NoteNews(stage.database).sections(stage.allan.person, day(slot, now), longest=5)
    assert [item.text for section in sections for item in section.items] == told
    assert await NoteNews(stage.database).sections(stage.grace.person, day(slot, now), longest=5) == []
