"""Tasks are put down in plain words, done once, and each is its own person's."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from bot.domain.address import Person
from bot.domain.clock import new_id
from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.services.affairs import Unsure
from bot.services.journal import Journal
from bot.services.tasks import REMINDER, Tasks
from storage.models.people import User
from tests.stage import Stage

BERLIN = "Europe/Berlin"


def errand_of(user: User, key: str = "") -> Errand:
    """Something this person asks for."""
    return Errand(person=Person(id=user.id, name=user.name, role=user.role, timezone=BERLIN), key=key or str(new_id()), why="a test")


@pytest.fixture
def tasks(stage: Stage) -> Tasks:
    return Tasks(database=stage.database, clock=stage.clock)


async def test_the_date_in_the_words_becomes_its_day_and_time_where_the_person_is(stage: Stage, tasks: Tasks):
    row, _ = await tasks.take(errand_of(stage.allan), "call Dana on Friday at 3")
    assert (row.title, row.due_on, row.due_at) == ("call Dana", date(2026, 11, 27), datetime(2026, 11, 27, 14, tzinfo=UTC))
    assert row.remind_at == row.due_at
    assert tasks.line(row, tasks.local(errand_of(stage.allan).person)) == "call Dana, Friday 27 November at 15:00"


async def test_a_number_beyond_the_last_list_is_no_word_of_a_title(stage: Stage, tasks: Tasks):
    row, _ = await tasks.take(errand_of(stage.allan), "buy 5 apples")
    with pytest.raises(Unsure, match="ends with 1"):
        await tasks.find(errand_of(stage.allan).person, "5", listed=[row.code])
    assert (await tasks.find(errand_of(stage.allan).person, "5")).id == row.id


@pytest.mark.parametrize(
    ("words", "edited", "line"),
    [
        ("dentist on Friday at 15:00", "to Saturday", "dentist, Saturday 28 November at 15:00"),
        ("dentist on Friday at 15:00", "at 16:00", "dentist, Friday 27 November at 16:00"),
        ("dentist on Friday", "at 16:00", "dentist, Friday 27 November at 16:00"),
        ("dentist on Friday at 15:00", "tomorrow at 16:00", "dentist, tomorrow at 16:00"),
        ("stretch every Monday at 9:00", "at 10am", "stretch, every Monday at 10:00, first tomorrow"),
        ("stretch every Monday at 9:00", "every Tuesday", "stretch, every Tuesday, first on Tuesday 24 November"),
    ],
)
async def test_a_day_alone_leaves_a_task_its_time_and_a_time_alone_its_day(stage: Stage, tasks: Tasks, words: str, edited: str, line: str):
    row, _ = await tasks.take(errand_of(stage.allan), words)
    assert await tasks.edit(errand_of(stage.allan), row, edited) == f"Changed: {line}."
    changed = await tasks.find(errand_of(stage.allan).person, row.code)
    assert changed.remind_at == changed.due_at


@pytest.mark.parametrize(
    "words", ["me to call Dana at 15:00 tomorrow", "Remind me tomorrow at 3pm to call Dana", "to call Dana tomorrow at 15:00"]
)
async def test_how_an_order_begins_is_no_part_of_what_is_to_be_done(stage: Stage, tasks: Tasks, words: str):
    row, _ = await tasks.take(errand_of(stage.allan), words, REMINDER)
    assert (row.title, row.due_at) == ("call Dana", datetime(2026, 11, 23, 14, tzinfo=UTC))


async def test_a_day_with_more_than_its_persons_pace_puts_in_it_is_told(stage: Stage, tasks: Tasks):
    """At Cocktail 1 three fill a day (docs/personality.md)."""
    told = {"context": "*", "name": "cocktail", "value": "1", "source": "cli", "at": stage.clock.now()}
    async with stage.database.unit_of_work() as work:
        await work.settings.add(user_id=stage.allan.id, **told)
    said = [(await tasks.take(errand_of(stage.allan), f"{what} tomorrow"))[1] for what in ("write", "read", "count", "sleep")]
    assert [text.endswith("That makes 4 for that day; at your pace it is full with 3.") for text in said] == [False, False, False, True]


@pytest.mark.parametrize("words", ["pay rent in the year 9999", "dentist on 30 February", "", "  ", "on Friday"])
async def test_what_is_not_clear_is_asked(stage: Stage, tasks: Tasks, words: str):
    with pytest.raises(ToolFailed):
        await tasks.take(errand_of(stage.allan), words)
    assert await tasks.standing(errand_of(stage.allan).person) == []


async def test_a_reminder_without_a_time_is_asked_for_one_and_a_day_alone_means_its_morning(stage: Stage, tasks: Tasks):
    with pytest.raises(ToolFailed, match="When shall I remind you"):
        await tasks.take(errand_of(stage.allan), "call Dana", REMINDER)
    row, _ = await tasks.take(errand_of(stage.allan), "call Dana tomorrow", REMINDER)
    assert row.remind_at == datetime(2026, 11, 23, 8, tzinfo=UTC)


async def test_the_same_errand_adds_one_task_and_changes_it_once(stage: Stage, tasks: Tasks):
    first, _ = await tasks.take(errand_of(stage.allan, "E1"), "stretch every day at 9")
    again, _ = await tasks.take(errand_of(stage.allan, "E1"), "stretch every day at 9")
    assert first.code == again.code
    told = await tasks.done(errand_of(stage.allan, "E2"), first)
    assert await tasks.done(errand_of(stage.allan, "E2"), first) == told
    (row,) = await tasks.standing(errand_of(stage.allan).person)
    assert row.due_on == date(2026, 11, 24), "done in advance for the 23rd"


async def test_a_button_for_a_day_that_was_done_skips_none(stage: Stage, tasks: Tasks):
    row, _ = await tasks.take(errand_of(stage.allan), "stretch every day at 9")
    assert "Next: " in await tasks.done(errand_of(stage.allan), row, str(row.due_on))
    assert "done already" in await tasks.done(errand_of(stage.allan), row, str(row.due_on))


async def test_what_is_done_or_removed_stays_so_until_it_is_taken_back(stage: Stage, tasks: Tasks):
    errand = errand_of(stage.allan)
    row, _ = await tasks.take(errand, "send the offer tomorrow at 8")
    assert await tasks.done(errand_of(stage.allan), row) == "Done: send the offer."
    for act in (tasks.done, tasks.remove, tasks.snooze):
        assert await act(errand_of(stage.allan), row) == "That was done already: send the offer."
    assert await Journal(database=stage.database, clock=stage.clock).undo(errand.person) == "Taken back: Done: send the offer."
    assert [task.remind_at for task in await tasks.standing(errand.person)] == [row.remind_at]


async def test_a_snooze_can_be_taken_back_too(stage: Stage, tasks: Tasks):
    errand = errand_of(stage.allan)
    row, _ = await tasks.take(errand, "send the offer today at 14:00")
    assert "tomorrow at 09:00" in await tasks.snooze(errand_of(stage.allan), row, "tomorrow at 9")
    await Journal(database=stage.database, clock=stage.clock).undo(errand.person)
    assert [(task.due_at, task.remind_at) for task in await tasks.standing(errand.person)] == [(row.due_at, row.due_at)]


async def test_after_a_journey_a_rule_is_told_as_it_goes_on_and_the_next_time_as_it_comes(stage: Stage, tasks: Tasks):
    row, _ = await tasks.take(errand_of(stage.allan), "stretch every day at 23:00")
    there = stage.clock.now().astimezone(ZoneInfo("Asia/Tokyo"))
    here = there.astimezone(ZoneInfo("Europe/Berlin"))
    assert tasks.line(row, here) == "stretch, every day at 23:00, first today"
    assert tasks.line(row, there) == "stretch, every day at 23:00, first tomorrow (this time at 07:00)"


async def test_a_task_is_found_by_code_number_or_words_and_never_somebody_elses(stage: Stage, tasks: Tasks):
    mine = [(await tasks.take(errand_of(stage.allan), words))[0] for words in ("call Dana", "call Bob", "milk")]
    allan, grace = errand_of(stage.allan).person, errand_of(stage.grace).person
    for words in (mine[2].code.lower(), "milk", "MILK!", "2"):
        assert (await tasks.find(allan, words, [mine[0].code, mine[2].code])).code == mine[2].code
    with pytest.raises(Unsure) as unsure:
        await tasks.find(allan, "call")
    assert {title for _, title in unsure.value.nearest} == {"call Dana", "call Bob"}
    with pytest.raises(Unsure, match="Did you mean “call Dana”"):
        await tasks.find(allan, "calling dana")
    with pytest.raises(Unsure, match="Did you mean “milk”"):
        await tasks.find(allan, "mi")
    for words in (mine[2].code, "milk"):
        with pytest.raises(Unsure, match="I know no task"):
            await tasks.find(grace, words)
    with pytest.raises(ToolFailed, match="is no more"):
        await tasks.done(errand_of(stage.grace), mine[2])


async def test_an_edit_changes_what_it_names_alone(stage: Stage, tasks: Tasks):
    row, _ = await tasks.take(errand_of(stage.allan), "call Dana on Friday at 3")
    assert await tasks.edit(errand_of(stage.allan), row, "tomorrow at 4pm") == "Changed: call Dana, tomorrow at 16:00."
    assert await tasks.edit(errand_of(stage.allan), row, "write to Dana") == "Changed: write to Dana, tomorrow at 16:00."
