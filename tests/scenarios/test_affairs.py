"""Tasks, reminders, contacts, deals and notes through the doors: by command, by plain words and by button."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from bot.brain.reactive import IN_PRIVATE
from bot.config import IdentityConfig, PersonConfig
from bot.services.reminders import Reminders
from storage.models.messaging import Message
from tests.clock import FakeClock
from tests.scenarios.house import FakeDoor, House, open_house, until

pytestmark = pytest.mark.either


@pytest.fixture
async def house(database_url, tmp_path, clock: FakeClock):
    """Sunday 22 November 2026, 13:00 in Berlin."""
    async with open_house(database_url, tmp_path, clock=clock) as opened:
        yield opened


def buttons(message: Message) -> dict[str, str]:
    return dict((message.details or {}).get("buttons", []))


async def test_a_task_is_put_down_listed_and_done_by_its_number(house: House):
    for words in ("/task call Dana on Friday at 3", "add milk to my list", "/task rent tomorrow"):
        await house.asks(words)
    listed = await house.asks("/tasks")
    assert re.sub(r" `\w+`", "", listed.text).splitlines() == [
        "1. rent, tomorrow",
        "2. call Dana, Friday 27 November at 15:00",
        "3. milk",
    ]
    assert (await house.asks("/task done 2")).text == "Done: call Dana."
    assert (await house.asks("/task done 1")).text == "Done: rent.", "a number goes on meaning what the last list showed"
    assert (await house.asks("/undo")).text == "Taken back: Done: rent."
    assert [line.split(" `")[0] for line in (await house.asks("what do I have to do?")).text.splitlines()] == [
        "1. rent, tomorrow",
        "2. milk",
    ]
    assert house.model.asked == []


async def test_a_button_does_what_its_command_does_and_twice_is_once(house: House):
    added = await house.asks("/remind stretch every weekday at 9")
    assert added.text.startswith("I will remind you: stretch, every weekday at 09:00, first ")
    done = buttons(added)["Done"]
    assert len(done.encode()) <= 64
    assert "Next: tomorrow" not in (await house.asks(done)).text
    assert (await house.asks(done)).text == "That was done already: stretch."


async def test_a_message_that_is_repeated_adds_one_task(house: House):
    for _ in range(3):
        await house.asks("/task milk", external_id="E1")
    assert len((await house.asks("/tasks")).text.splitlines()) == 1


async def test_a_reminder_comes_where_the_person_was_heard_last_with_its_buttons(house: House, clock: FakeClock):
    await house.asks("remind me to call Dana today at 14:00")
    clock.moment = datetime(2026, 11, 22, 13, tzinfo=UTC)
    await Reminders(database=house.app.database).look(clock.now())
    await until(lambda: "Reminder: **call Dana**" in house.push.texts)
    sent = house.push.took[-1]
    assert [button.label for button in sent.buttons] == ["Done", "Snooze", "Tomorrow"]
    assert (await house.asks(sent.buttons[1].command)).text.startswith("Snoozed: call Dana. I remind you today at ")
    assert (await house.asks(sent.buttons[2].command)).text == "Snoozed: call Dana. I remind you tomorrow at 09:00."
    assert (await house.asks(sent.buttons[0].command)).text == "Done: call Dana."


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("/task", "What shall I put down?"),
        ("/remind call Dana", "When shall I remind you?"),
        ("/task pay rent on 30 February", "28 February or 1 March?"),
        ("/task pay rent in the year 9999", "?"),
        ("/task done", "Which task?"),
        ("/task done 7", "I know no task “7”"),
        ("/task done milk", "I know no task “milk”"),
        ("/task edit 1", "I know no task"),
        ("/tasks yesterday", "`/tasks overdue`"),
        ("/who", "Which contact?"),
        ("/who Dana", "I know no contact “Dana”"),
        ("/contact", "Whom?"),
        ("/contact Dana email=nonsense", "no address"),
        ("/deal", "Which deal?"),
        ("/deal update Acme, won", "Shall I add it?"),
        ("/deals", "no open deal"),
        ("/note", "What shall I note?"),
        ("/note remove", "Which note?"),
        ("/note remove 7", "I know no note “7”"),
    ],
)
async def test_bad_input_gets_a_kind_line_with_the_right_form(house: House, words: str, said: str):
    answer = (await house.asks(words)).text
    assert said in answer
    assert "Error" not in answer
    assert house.model.asked == []


async def test_where_words_mean_two_tasks_both_are_offered(house: House):
    for words in ("/task call Dana", "/task call Bob"):
        await house.asks(words)
    asked = await house.asks("/task done call")
    assert set(buttons(asked)) == {"call Dana", "call Bob"}
    assert (await house.asks(buttons(asked)["call Bob"])).text == "Done: call Bob."
    near = await house.asks("/task edit call: tomorrow at 4pm")
    assert near.text.startswith("Changed: call Dana, tomorrow at 16:00"), "only one is left"


async def test_tasks_of_a_day_and_what_is_overdue(house: House, clock: FakeClock):
    for words in ("/task today's thing today", "/task tomorrow's thing tomorrow", "/task someday"):
        await house.asks(words)
    assert len((await house.asks("/tasks today")).text.splitlines()) == 1
    clock.advance(seconds=86400)
    assert "**overdue** today's thing" in (await house.asks("/tasks today")).text
    assert len((await house.asks("/tasks overdue")).text.splitlines()) == 1


async def test_a_contact_is_kept_found_and_changed(house: House):
    added = await house.asks("/contact Dana Smith, dana@acme.com, at Acme")
    assert added.text == "Added: Dana Smith, Acme, dana@acme.com."
    await house.asks("/contact Dana Smith, role=CTO, next=send the draft on Friday")
    told = (await house.asks("/who dana")).text
    assert "**Dana Smith, CTO, Acme, dana@acme.com**" in told
    assert "Next: send the draft (Friday 27 November)" in told
    assert (await house.asks("I talked to Dana")).text == "Noted: you talked to Dana Smith today."
    assert (
        "Last heard from: today" in (await house.asks("/who dana smth")).text or "Did you mean" in (await house.asks("/who dana smth")).text
    )
    assert (await house.asks("/contact remove dana")).text == "Removed: Dana Smith."


async def test_deals_in_plain_words_and_the_weighted_pipeline(house: House):
    assert (await house.asks("Acme is now in negotiation, 40k")).text == "Added: Acme, negotiation, 40,000 USD, 75 %."
    unknown = await house.asks("Initech moved to proposal")
    assert "Shall I add it?" in unknown.text
    assert (await house.asks(buttons(unknown)["Add it"])).text == "Added: Initech, proposal, 50 %."
    pipeline = (await house.asks("/deals")).text
    assert "- negotiation: 1 worth 40,000 USD, weighted 30,000 USD" in pipeline
    assert (await house.asks("we won the Acme deal")).text == "Changed: Acme, won, 40,000 USD."
    assert (await house.asks("/undo")).text.startswith("Taken back: Changed: Acme")
    assert (await house.asks("/deal remove Initech")).text == "Removed: Initech."


async def test_a_note_is_removed_by_its_number_or_words_and_taken_back(house: House):
    for words in ("/note Dana likes tulips", "/note wifi: hunter2"):
        await house.asks(words)
    assert "- **1** wifi: hunter2 (said 22 Nov)" in (await house.asks("show me my notes")).text
    assert (await house.asks("/note remove 1")).text == "Removed the note: wifi: hunter2"
    assert (await house.asks("/note remove tulips")).text == "Removed the note: Dana likes tulips"
    await house.asks("/note one more")
    assert (await house.asks("/undo")).text == "Taken back: Noted: one more"
    assert "no notes yet" in (await house.asks("/notes")).text


async def test_nothing_private_is_said_where_others_read_along_and_nothing_of_another_person(database_url, tmp_path):
    people = [
        PersonConfig(name="Allan", role="owner", identities=(IdentityConfig(platform="slack", id="allan"),)),
        PersonConfig(name="Grace", role="member", identities=(IdentityConfig(platform="slack", id="grace"),)),
    ]
    slack = FakeDoor("slack")
    async with open_house(database_url, tmp_path, doors=[slack], people=people) as house:
        secret = await house.asks("/task buy a ring")

        async def says(text: str, account: str, *, shared: bool = False) -> str:
            before = len(slack.took)
            where = "C1" if shared else ""
            await house.app.front.receive(slack.says(text, account=account, conversation=where, shared=shared))
            await until(lambda: len(slack.took) > before)
            return slack.took[-1].text

        for words in (
            "/tasks",
            "what do I have to do?",
            "/task done ring",
            "/who Dana",
            "/deals",
            "/contact touch Dana",
            "/note remove 1",
            "my notes",
        ):
            assert await says(words, "allan", shared=True) == IN_PRIVATE, words
        assert await says("/task milk", "allan", shared=True) == "Added: milk."
        assert "I know no task" in await says(buttons(secret)["Done"], "grace")
        assert "There is nothing to do." in await says("/tasks", "grace")
        assert "milk" in await says("/tasks", "allan")


async def test_plain_words_about_what_is_not_there_are_no_order(house: House):
    """A model gets them; the same as a command is told that there is no such thing."""
    assert (await house.asks("I talked to my therapist")).text == "re: I talked to my therapist"
    assert (await house.asks("mark Antony as done")).text == "re: mark Antony as done"
    assert "Antony" in (await house.asks("/task done Antony")).text
    assert len(house.model.asked) == 2
