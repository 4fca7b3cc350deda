"""What answers teach of levels, through the rows of both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.brain.cells import REMEMBERED, Cell, cell_of, lean, learn_cell
from bot.brain.predictor import ENOUGH
from bot.domain.clock import new_id
from storage.models.decisions import Feedback
from storage.models.messaging import Message
from storage.repositories.messaging import DELETED
from tests.stage import Stage

FAIR = {"tier": "direct", "task_type": "code", "latency_ms": 2000.0, "cost_usd": 0.01}


async def judges(stage: Stage, level: str, score: float | None, *, text: str = "fix it", **values: object) -> Message:
    """An answer of this level, and what became of it; the question."""
    question = stage.message(text)
    reply = stage.message("done", direction="out", kind="answer", reply_to=question.id)
    told = {**FAIR, "level": level, **values}
    async with stage.database.unit_of_work() as work:
        await work.messages.add(question)
        await work.messages.add(reply)
        await work.feedback.open(user_id=stage.allan.id, message_id=reply.id, at=stage.clock.now(), **told)
        await work.feedback.change(stage.allan.id, reply.id, score=score, value=None if score is None else 2 * score - 1)
    return question


async def learned(stage: Stage) -> dict[str, Cell]:
    """The cells at code, made anew, as the router reads them."""
    who = {"organization_id": "default", "user_id": new_id(), "message_id": new_id(), "at": stage.clock.now()}
    row = Feedback(**who, value=None, source="", detail="", task_type="code", tier="direct")
    async with stage.database.unit_of_work() as work:
        await learn_cell(work, row, stage.clock.now())
    async with stage.database.reading() as work:
        return {arm.level: cell_of(arm) for arm in await work.routing_arms.at("code")}


async def test_a_cell_is_made_of_scored_answers_of_its_level_and_task_type(stage: Stage):
    for level, score in (("gpt", 1.0), ("gpt", 0.0), ("claude", 1.0), ("gpt", None)):
        await judges(stage, level, score)
    await judges(stage, "gpt", 1.0, task_type="quick")
    await judges(stage, "gpt", 1.0, tier="analytical")
    cells = await learned(stage)
    assert {level: cell.answers for level, cell in cells.items()} == {"gpt": 2, "claude": 1}
    assert cells["gpt"].good == pytest.approx(cells["gpt"].bad, rel=0.05)
    assert cells["gpt"].latency_ms == pytest.approx(2000)
    assert cells["gpt"].cost_usd == pytest.approx(0.01)


async def test_nothing_is_learned_twice_and_a_changed_mind_is_all_that_counts(stage: Stage):
    await judges(stage, "gpt", 1.0)
    once = await learned(stage)
    assert await learned(stage) == once
    async with stage.database.unit_of_work() as work:
        (row,) = await work.feedback.scored("code", limit=REMEMBERED)
        answer = (await work.messages.latest(stage.conversation.id, limit=1))[0]
        await work.feedback.change(row.user_id, answer.id, value=-1.0, score=0.0)
    assert await learned(stage) == {"gpt": replace(once["gpt"], good=0.0, bad=once["gpt"].good)}


async def test_what_was_withdrawn_does_not_count_and_leaves_an_empty_cell(stage: Stage):
    question = await judges(stage, "gpt", 1.0)
    await learned(stage)
    async with stage.database.unit_of_work() as work:
        await work.messages.withdraw(question.id)
        found = await work.messages.find_by_id(question.id)
    assert found is not None
    assert found.kind == DELETED
    assert await learned(stage) == {"gpt": Cell(leaning=[])}


async def test_the_newest_answers_count_by_their_ids_whatever_the_clocks_say(stage: Stage):
    for score in (0.0, 1.0):
        await judges(stage, "gpt", score, scored_at=stage.clock.advance(seconds=-(10**8)))
    async with stage.database.reading() as work:
        assert [row.score for row in await work.feedback.scored("code", limit=REMEMBERED)] == [1.0, 0.0]


async def test_a_level_leans_once_it_has_enough_answers_and_no_score_waits_for_that(stage: Stage):
    for count in range(ENOUGH):
        if count in (0, ENOUGH - 1):
            await lean(stage.database)
        await judges(stage, "gpt", float(count % 2), text="a, b, c " * (1 + 9 * (count % 2)))
    assert (await learned(stage))["gpt"].leaning == []
    await lean(stage.database)
    leaning = (await learned(stage))["gpt"].leaning
    assert leaning, "a score leaves it alone"
    await lean(stage.database)
    assert (await learned(stage))["gpt"].leaning == leaning
