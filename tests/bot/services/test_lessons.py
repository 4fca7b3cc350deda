"""What decisions teach is asked about, at most once a week and kind, and never done by itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bot.domain.errand import Risk
from bot.services.autonomy import Verdict
from bot.services.lessons import APART, REST, Lessons, Outcome, suggest
from tests.bot.services.tool_fakes import FakeTool, Rooms, Words, codes, errand_for, person_of, told
from tests.stage import Stage

pytestmark = pytest.mark.either

YES, EDITED, NO, UNDONE, KEPT = Outcome.APPROVED, Outcome.EDITED, Outcome.REJECTED, Outcome.UNDONE, Outcome.KEPT


@pytest.mark.parametrize(
    ("history", "step"),
    [
        ([YES] * 8, Verdict.TELL),
        ([YES] * 7, None),
        ([YES] * 7 + [EDITED], None),
        ([NO, YES, NO, YES, NO], Verdict.ASK),
        ([UNDONE, KEPT, UNDONE, NO], Verdict.ASK),
        ([YES, YES, NO, YES, NO, NO], None),
        ([YES] * 8 + [NO] * 12, Verdict.TELL),
    ],
)
def test_eight_yeses_suggest_more_and_three_noes_of_five_less(history: list[Outcome], step: Verdict | None):
    assert suggest(history) is step


@given(some.lists(some.sampled_from(Outcome), max_size=20))
def test_more_is_never_suggested_after_anything_but_a_plain_yes(history: list[Outcome]):
    if set(history[:8]) - {YES}:
        assert suggest(history) is not Verdict.TELL


class School:
    """A tool that is asked about (or not), how it was decided, and what comes of that."""

    def __init__(self, stage: Stage, level: str, risk: Risk = Risk.OWN) -> None:
        self.stage, self.tool, self.count = stage, FakeTool(stage, risk=risk), 0
        self.rooms = Rooms(stage, self.tool, level=level)
        self.allan = person_of(stage.allan)

    async def happens(self, verb: str, times: int) -> None:
        for _ in range(times):
            self.count += 1
            await self.rooms.gate.run(self.tool, Words(text="milk"), errand_for(self.stage.allan, f"q{self.count}"))
            if verb:
                await getattr(self.rooms.approvals, verb)(self.allan, (await codes(self.stage))[0])

    async def days_pass(self, days: float = 1.0) -> list[str]:
        """What waits after a look on a later day, by any of two processes."""
        self.stage.clock.advance(seconds=timedelta(days=days).total_seconds())
        hubs = [Lessons(database=self.stage.database, autonomy=self.rooms.autonomy) for _ in range(2)]
        await asyncio.gather(*(hub.look(self.stage.clock.now()) for hub in hubs))
        return await codes(self.stage)


async def test_eight_plain_yeses_lead_to_a_question_whose_yes_sets_the_kind_apart(stage: Stage):
    school = School(stage, "assisted")
    await school.happens("approve", 8)
    (code,) = await school.days_pass()
    assert "**Do note.add by myself from now on, and tell you**" in (await told(stage))[-1]
    assert "Of the last 8: 8 approved" in (await told(stage))[-1]
    verdict = school.rooms.autonomy.verdict
    assert await verdict("note.add", Risk.OWN, errand_for(stage.allan)) is Verdict.ASK, "nothing is raised by itself"
    assert "at **tell**" in await school.rooms.approvals.approve(school.allan, code)
    assert await verdict("note.add", Risk.OWN, errand_for(stage.allan)) is Verdict.TELL


async def test_it_is_not_asked_again_within_a_week_nor_about_the_same_decisions(stage: Stage):
    school = School(stage, "assisted")
    await school.happens("approve", 8)
    (code,) = await school.days_pass()
    await school.rooms.approvals.reject(school.allan, code)
    await school.happens("approve", 8)
    assert await school.days_pass() == []
    assert len(await school.days_pass(APART.days)) == 1
    await school.rooms.approvals.reject(school.allan, (await codes(stage))[0])
    assert await school.days_pass(APART.days + 1) == []


async def test_what_is_taken_back_again_and_again_leads_to_being_asked_first(stage: Stage):
    school = School(stage, "semi")
    await school.happens("", 5)
    async with stage.database.unit_of_work() as work:
        for line in await work.activities.latest(stage.allan.id, limit=3):
            await work.activities.mark_undone(line.id, stage.clock.now())
    (code,) = await school.days_pass()
    assert "**Ask you first about note.add from now on**" in (await told(stage))[-1]
    await school.rooms.approvals.approve(school.allan, code)
    assert await school.rooms.autonomy.verdict("note.add", Risk.OWN, errand_for(stage.allan)) is Verdict.ASK


async def test_what_is_asked_about_and_rejected_cannot_be_asked_about_more(stage: Stage):
    school = School(stage, "assisted")
    await school.happens("reject", 5)
    assert await school.days_pass() == []


async def test_nobody_is_asked_at_night(stage: Stage):
    school = School(stage, "assisted")
    await school.happens("approve", 8)
    stage.clock.moment = stage.clock.moment.replace(hour=3)
    lessons = Lessons(database=stage.database, autonomy=school.rooms.autonomy)
    assert await lessons.look(stage.clock.now()) == stage.clock.now() + REST
    assert await codes(stage) == []
    await lessons.look(stage.clock.advance(seconds=6.5 * 3600))
    assert len(await codes(stage)) == 1
