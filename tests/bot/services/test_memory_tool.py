"""A model's look into what is remembered: its person's alone, and nothing where others read along."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.brain.memory import Recall
from bot.domain.address import SessionType
from bot.domain.errors import NotAllowed
from bot.domain.memory import Trust
from bot.hub.keeping import remember
from bot.services.memory_tool import Searching, SearchMemory
from storage.models.people import User
from tests.bot.services.test_tasks import errand_of
from tests.stage import Stage

pytestmark = pytest.mark.either

ASKING = Searching(query="Which plate has the van?")


@pytest.fixture
def tool(stage: Stage) -> SearchMemory:
    return SearchMemory(recall=Recall(database=stage.database), clock=stage.clock)


async def said(stage: Stage, user: User, text: str, trust: Trust = Trust.OWN) -> None:
    async with stage.database.unit_of_work() as work:
        message = stage.message(text, user_id=user.id)
        await work.messages.add(message)
        await remember(work, message, user.person, place="")
        await work.memories.change([each.id for each in await work.memories.of_messages([message.id])], trust=trust)


async def test_it_finds_what_its_person_said_and_nothing_of_anybody_elses(stage: Stage, tool: SearchMemory):
    await said(stage, stage.allan, "The van's plate is B-XY 123.")
    await said(stage, stage.allan, "The van's plate is a kiss.", Trust.INTIMATE)
    assert await tool.run(ASKING, errand_of(stage.allan)) == "- Allan, today: The van's plate is B-XY 123."
    assert await tool.run(ASKING, errand_of(stage.grace)) == "Nothing like that is remembered."


async def test_where_others_read_along_it_may_not_be_used(stage: Stage, tool: SearchMemory):
    await said(stage, stage.allan, "The van's plate is B-XY 123.")
    with pytest.raises(NotAllowed):
        await tool.run(ASKING, replace(errand_of(stage.allan), session_type=SessionType.SHARED))
