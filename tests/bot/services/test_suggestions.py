"""Suggestions: made of how answers were really taken, seldom, and never done without a yes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bot.brain.personality import PARTS, Personality
from bot.domain.address import Person
from bot.domain.clock import new_id
from bot.services.approvals import Approvals
from bot.services.manners import SETTING, Manners, run_setting
from bot.services.suggestions import ENOUGH, Outcome, Suggestions, outcomes_of, suggest
from storage.models.decisions import Proposal
from storage.repositories.manners import Said
from tests.clock import FakeClock
from tests.stage import Stage

pytestmark = pytest.mark.either

NORMAL = dict.fromkeys(PARTS, Personality())
MORNING = datetime(2026, 11, 20, 9, tzinfo=UTC)


def taken(part: str, words: int, *, well: int, badly: int) -> list[Outcome]:
    return [Outcome(part, words, place < well) for place in range(well + badly)]


def test_where_short_answers_do_clearly_better_shorter_ones_are_suggested() -> None:
    outcomes = taken("mornings", 40, well=7, badly=1) + taken("mornings", 200, well=2, badly=6)
    found = suggest(outcomes, NORMAL)
    assert found is not None
    assert (found.part, found.changes) == ("mornings", {"cocktail": "7"})
    assert found.why == "In the mornings, 7 of 8 short answers were well taken, and 2 of 8 long ones."


def test_where_long_answers_do_clearly_better_longer_ones_are_suggested() -> None:
    found = suggest(taken("evenings", 40, well=1, badly=7) + taken("evenings", 200, well=6, badly=2), NORMAL)
    assert found is not None
    assert (found.part, found.changes) == ("evenings", {"cocktail": "3"})


@pytest.mark.parametrize(
    ("short", "long", "pace"),
    [
        (taken("mornings", 40, well=ENOUGH - 1, badly=0), taken("mornings", 200, well=0, badly=20), 5),  # too few to tell
        (taken("mornings", 40, well=6, badly=4), taken("mornings", 200, well=4, badly=6), 5),  # no clear difference
        (taken("mornings", 40, well=9, badly=0), taken("evenings", 200, well=0, badly=9), 5),  # at different times of day
        (taken("mornings", 40, well=9, badly=0), taken("mornings", 200, well=0, badly=9), 10),  # as fast as it goes
    ],
)
def test_what_is_not_clear_is_not_suggested(short: list[Outcome], long: list[Outcome], pace: int) -> None:
    assert suggest(short + long, dict.fromkeys(PARTS, Personality(cocktail=pace))) is None


def test_a_rating_counts_before_whether_somebody_wrote_on() -> None:
    here, soon, late = new_id(), timedelta(minutes=5), timedelta(hours=5)

    def said(after: timedelta, is_answer: bool, rating: float | None = None) -> Said:
        return Said(here, MORNING + after, is_answer, 240, rating)

    followed = [said(timedelta(), True), said(soon, False), said(2 * soon, True, -1.0), said(3 * soon, False), said(4 * soon, True)]
    assert [outcome.is_well for outcome in outcomes_of(followed, "UTC")][::-1] == [True, False, False]
    assert not outcomes_of([said(timedelta(), True), said(late, False)], "UTC")[0].is_well
    assert outcomes_of([said(timedelta(), True, 0.5)], "Asia/Tokyo") == [Outcome("evenings", 40, True)]


async def mornings(stage: Stage) -> None:
    """Eight mornings of Allan's: short answers that he wrote on after, and long ones that he did not like."""
    for day in range(8):
        at = MORNING - timedelta(days=day)
        for length, rating in ((200, None), (1200, -1.0)):
            reply = await stage.says("x" * length, direction="out", kind="answer", personality="4/5/1 focused", at=at)
            if rating is None:
                await stage.says("and then?", at=at + timedelta(minutes=2))
            else:
                async with stage.database.unit_of_work() as work:
                    about = {"user_id": stage.allan.id, "message_id": reply.id, "source": "command", "detail": "down"}
                    await work.feedback.give(**about, value=rating, at=at)


async def waiting(stage: Stage, person: Person) -> list[Proposal]:
    async with stage.database.reading() as work:
        return list(await work.proposals.waiting(person.id, stage.clock.now()))


async def test_it_is_asked_once_and_done_when_its_person_says_yes(stage: Stage, clock: FakeClock) -> None:
    allan = Person(id=stage.allan.id, name="Allan", role="owner", timezone="UTC")
    await mornings(stage)
    async with stage.database.unit_of_work() as work:
        how = {"context": "*", "name": "flirty", "value": "10", "source": "", "source_id": None}
        await work.settings.add(user_id=allan.id, at=clock.now(), **how)
    for _ in range(3):  # as many hubs, or as many days
        await Suggestions(database=stage.database, clock=clock).look(clock.now())
        clock.advance(seconds=86_400)
    (asked,) = await waiting(stage, allan)
    assert asked.kind == SETTING
    manners = Manners(database=stage.database, clock=clock)
    assert [each.name for each in await manners.history(allan)] == ["flirty"]
    told = await Approvals(database=stage.database, clock=clock, runners={SETTING: run_setting}).approve(allan, asked.code)
    assert "Cocktail–Lightning 7, in the mornings" in told
    assert "Dana" in told
    assert not any(word in f"{told} {asked.details['about']}" for word in ("darling", "love", "dear"))  # both may go by mail
    by_context = {each.context: each.personality.cocktail for each in await manners.look(allan)}
    assert (by_context["mornings"], by_context["private"]) == (7, 5)


async def test_nobody_is_asked_before_the_day_has_begun(stage: Stage, clock: FakeClock) -> None:
    await mornings(stage)
    clock.moment = clock.moment.replace(hour=4)
    await Suggestions(database=stage.database, clock=clock).look(clock.now())
    assert await waiting(stage, Person(id=stage.allan.id, name="Allan", role="owner", timezone="UTC")) == []
