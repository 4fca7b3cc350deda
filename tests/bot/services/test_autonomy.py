"""The ladder decides by level, kind and risk; what a text from outside asks for is asked about, whatever is set."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bot.domain.address import Person
from bot.domain.errand import Errand, Risk
from bot.domain.errors import ToolFailed
from bot.services.autonomy import LADDER, WORDS, Level, Verdict, decide
from tests.bot.services.tool_fakes import FakeTool, FarTool, Rooms, errand_for
from tests.stage import Stage

pytestmark = pytest.mark.either

PAGE = Path(__file__).parents[3] / "docs" / "autonomy.md"
KINDS = some.sampled_from(["task.add", "mail.follow_up", "bell.ring"])


@some.composite
def errands(draw: some.DrawFn, *, untrusted: bool | None = None, actor: str | None = None) -> Errand:
    role = draw(some.sampled_from(["owner", "member"]))
    return Errand(
        person=Person(id=UUID(int=1), name="A", role=role, timezone="UTC"),
        key="k",
        why="w",
        actor=actor or draw(some.sampled_from(["person", "robbie"])),
        is_untrusted=draw(some.booleans()) if untrusted is None else untrusted,
    )


LEVELS, RISKS = some.sampled_from(Level), some.sampled_from(Risk)
OVERRIDES = some.dictionaries(KINDS, some.sampled_from(WORDS))


@given(LEVELS, OVERRIDES, KINDS, RISKS, errands(untrusted=True))
def test_what_is_not_trusted_is_always_asked_about(level, overrides, kind, risk, errand):
    expected = Verdict.DO if risk is Risk.LOOK else Verdict.ASK
    assert decide(level, overrides, kind, risk, errand) is expected


@given(LEVELS, OVERRIDES, KINDS, RISKS, errands(untrusted=False, actor="person"))
def test_what_people_ask_for_themselves_is_done(level, overrides, kind, risk, errand):
    assert decide(level, overrides, kind, risk, errand) is Verdict.DO


@given(LEVELS, OVERRIDES, KINDS, errands(untrusted=False, actor="robbie"))
def test_nothing_leaves_the_house_by_itself_for_anybody_but_the_owner(level, overrides, kind, errand):
    if not errand.person.is_owner:
        assert decide(level, overrides, kind, Risk.OUTWARD, errand) is Verdict.ASK


@given(LEVELS, KINDS, RISKS, errands(untrusted=False, actor="robbie"))
def test_a_higher_level_never_asks_more_and_a_greater_risk_never_less(level, kind, risk, errand):
    order = [Verdict.DO, Verdict.TELL, Verdict.ASK]
    steps = list(Level)
    here = order.index(decide(level, {}, kind, risk, errand))
    for lower in steps[: steps.index(level)]:
        assert order.index(decide(lower, {}, kind, risk, errand)) >= here
    for smaller in range(risk):
        assert order.index(decide(level, {}, kind, Risk(smaller), errand)) <= here


def test_the_documented_table_is_the_codes():
    rows = [f"| {level} | {' | '.join(LADDER[level])} |" for level in Level]
    assert "\n".join(rows) in PAGE.read_text(encoding="utf-8")


async def test_a_persons_own_words_win_over_configs_and_are_theirs_alone(stage: Stage):
    rooms = Rooms(stage, FakeTool(stage), overrides={"note.add": "ask"})
    allan, grace = errand_for(stage.allan), errand_for(stage.grace)
    assert await rooms.autonomy.verdict("note.add", Risk.OWN, allan) is Verdict.ASK
    await rooms.autonomy.set(errand_for(stage.allan, "s1", actor="person"), "tell", "note.add")
    assert await rooms.autonomy.verdict("note.add", Risk.OWN, allan) is Verdict.TELL
    assert await rooms.autonomy.verdict("note.add", Risk.OWN, grace) is Verdict.ASK
    await rooms.autonomy.set(errand_for(stage.allan, "s2", actor="person"), "default", "note.add")
    assert await rooms.autonomy.verdict("note.add", Risk.OWN, allan) is Verdict.DO


async def test_a_row_that_says_nothing_sensible_breaks_nothing(stage: Stage):
    autonomy = Rooms(stage, FakeTool(stage)).autonomy
    async with stage.database.unit_of_work() as work:
        for name, value in (("autonomy", "tell"), ("autonomy:note.add", "abc")):
            await work.settings.add(
                user_id=stage.allan.id, context="*", name=name, value=value, source="", at=stage.clock.now(), source_id=None
            )
    assert await autonomy.verdict("note.add", Risk.OWN, errand_for(stage.allan)) is Verdict.DO


async def test_the_same_setting_twice_is_one_change(stage: Stage):
    rooms = Rooms(stage)
    for word in ("fully", "fully"):
        await rooms.autonomy.set(errand_for(stage.allan, "s1", actor="person"), word)
    async with stage.database.reading() as work:
        assert [row.value for row in await work.settings.holding(stage.allan.id, stage.clock.now())] == ["fully"]


@pytest.mark.parametrize(
    ("word", "kind", "expected"),
    [("semmi", "", "Did you mean `semi`?"), ("aks", "note.add", "Did you mean `ask`?"), ("ask", "note.ad", "Did you mean `note.add`?")],
)
async def test_a_wrong_word_gets_the_nearest(stage: Stage, word: str, kind: str, expected: str):
    rooms = Rooms(stage, FakeTool(stage))
    with pytest.raises(ToolFailed) as error:
        await rooms.autonomy.set(errand_for(stage.allan, actor="person"), word, kind)
    assert expected in str(error.value)


async def test_only_the_owner_sets_what_leaves_the_house(stage: Stage):
    rooms = Rooms(stage, FarTool(stage, risk=Risk.OUTWARD))
    with pytest.raises(ToolFailed, match="Only the owner"):
        await rooms.autonomy.set(errand_for(stage.grace, actor="person"), "do", "bell.ring")
    assert "**do**" in await rooms.autonomy.set(errand_for(stage.allan, actor="person"), "do", "bell.ring")
