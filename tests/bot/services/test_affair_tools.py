"""What a model may do with a person's affairs: in a person's words, on that person's rows alone, once for each errand."""

from __future__ import annotations

import json
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.domain.brief import Day, Slot
from bot.domain.errand import Risk, Tool
from bot.domain.errors import ToolFailed
from bot.domain.thought import estimate_tokens
from bot.services.affair_news import AffairNews
from bot.services.affair_tools import affair_tools
from bot.services.books import Books
from tests.bot.services.test_tasks import errand_of
from tests.stage import Stage

pytestmark = pytest.mark.either


@pytest.fixture
def books(stage: Stage) -> Books:
    return Books.over(stage.database, stage.clock)


@pytest.fixture
def tools(books: Books) -> dict[str, Tool]:
    return {tool.name: tool for tool in affair_tools(books)}


async def uses(tools: dict[str, Tool], name: str, user: object, key: str = "", **arguments: str) -> str:
    """What comes of a call."""
    tool = tools[name]
    return await tool.run(tool.arguments.model_validate(arguments), errand_of(user, key))  # type: ignore[arg-type]


def test_their_schemas_leave_room_for_the_question(tools: dict[str, Tool]):
    told = [{"name": t.name, "description": t.description, "parameters": t.arguments.model_json_schema()} for t in tools.values()]
    assert estimate_tokens(json.dumps(told)) <= 450
    assert tools["find"].risk is Risk.LOOK


async def test_a_model_adds_finds_and_changes_what_a_person_would(stage: Stage, tools: dict[str, Tool]):
    assert await uses(tools, "add", stage.allan, what="reminder", text="call Dana on Friday at 3") == (
        "I will remind you: call Dana, Friday 27 November at 15:00."
    )
    await uses(tools, "add", stage.allan, what="contact", text="Dana Smith, dana@acme.com, at Acme")
    await uses(tools, "add", stage.allan, what="deal", text="Acme, negotiation, 40k")
    await uses(tools, "add", stage.allan, what="note", text="Dana likes tulips")
    assert "call Dana, Friday" in await uses(tools, "find", stage.allan, what="task")
    assert "Deal: Acme, negotiation" in await uses(tools, "find", stage.allan, what="contact", words="Dana")
    assert await uses(tools, "find", stage.allan, what="note", words="tulips") == "Dana likes tulips"
    assert "won" in await uses(tools, "change", stage.allan, what="deal", which="Acme", action="done")
    assert await uses(tools, "change", stage.allan, what="task", which="call", action="edit", to="tomorrow at 9") == (
        "Changed: call Dana, tomorrow at 09:00."
    )


async def test_another_persons_rows_do_not_exist(stage: Stage, tools: dict[str, Tool]):
    await uses(tools, "add", stage.allan, what="task", text="buy a ring")
    assert await uses(tools, "find", stage.grace, what="task") == "No task like that."
    with pytest.raises(ToolFailed, match="I know no task"):
        await uses(tools, "change", stage.grace, what="task", which="ring", action="done")


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("add", {"what": "task", "text": "rent on 30 February"}, "28 February or 1 March"),
        ("add", {"what": "reminder", "text": "call Dana"}, "/remind call Dana on Friday at 3"),
        ("add", {"what": "contact", "text": "Bob email=nonsense"}, "dana@acme.com"),
        ("change", {"what": "note", "which": "1", "action": "snooze"}, "a note can be: edit, remove"),
        ("change", {"what": "task", "which": "nothing", "action": "done"}, "I know no task"),
    ],
)
async def test_what_cannot_be_done_is_told_with_the_right_form(stage: Stage, tools: dict[str, Tool], name: str, arguments: dict, told: str):
    with pytest.raises(ToolFailed, match=told):
        await uses(tools, name, stage.allan, **arguments)


async def test_the_same_errand_adds_one_thing(stage: Stage, tools: dict[str, Tool], books: Books):
    for what, text in (("task", "milk"), ("contact", "Dana"), ("deal", "Acme 40k"), ("note", "tulips")):
        said = {await uses(tools, "add", stage.allan, key=what, what=what, text=text) for _ in range(3)}
        assert len(said) == 1 or what == "contact"
        assert len(await getattr(books, what).standing(errand_of(stage.allan).person)) == 1


async def test_a_brief_hears_each_task_once_the_overdue_first_and_no_more_than_it_asked_for(stage: Stage, books: Books):
    allan = errand_of(stage.allan)
    for words in ("rent today", "milk today", "eggs today", "call tomorrow at 9", "someday"):
        await books.task.take(errand_of(stage.allan), words)
    await books.task.take(errand_of(stage.allan), "send the draft", "promise")
    await books.deal.take(errand_of(stage.allan), "Acme negotiation 40k")
    dana, _ = await books.contact.take(errand_of(stage.allan), "Dana")
    async with stage.database.unit_of_work() as work:
        await work.contacts.change(dana.id, last_heard_at=stage.clock.now() - timedelta(days=3))
    now = stage.clock.now().astimezone(ZoneInfo("Europe/Berlin"))
    day = Day(slot=Slot.MORNING, date=now.date(), now=now, since=now - timedelta(days=1))
    sections = {section.key: section for section in await AffairNews(books).sections(allan.person, day, longest=2)}
    assert [item.text for item in sections["today"].items] == ["rent, today", "milk, today"]
    assert sections["today"].more == 1
    assert [item.text for item in sections["promises"].items] == ["send the draft"]
    assert [item.text for item in sections["reminders"].items] == ["call, tomorrow at 09:00"]
    assert [(item.text, item.buttons[0].label) for item in sections["waiting"].items] == [("Dana, for 3 days", "Answered")]
    assert [item.text for item in sections["deals"].items] == ["negotiation: 1 worth 40,000 USD, weighted 30,000 USD"]
    later = day.now + timedelta(days=1)
    tomorrow = Day(slot=Slot.MORNING, date=later.date(), now=later, since=now)
    overdue = next(each for each in await AffairNews(books).sections(allan.person, tomorrow, longest=9) if each.key == "overdue")
    assert (overdue.weight, len(overdue.items)) == (100, 4)
    assert await AffairNews(books).sections(errand_of(stage.grace).person, day, longest=9) == []
