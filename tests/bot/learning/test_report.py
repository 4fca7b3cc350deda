"""What the report tells of rows: every figure from what is there, and nothing where nothing is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bot.learning.realtime import Learning
from bot.learning.report import IN_LINE, MOST, NOTHING_YET, OWN, change, confidence, in_lines, percentiles, reliability, report
from storage.models.decisions import Feedback
from tests.bot.learning.test_realtime import answered
from tests.stage import Stage

PAIRS = [(0.9, 1.0), (0.9, 0.0), (0.1, 0.0)]


async def told(stage: Stage, days: int = 1) -> dict[str, Any]:
    async with stage.database.reading() as work:
        return await report(work, since=stage.clock.now() - timedelta(days=days), timezone="America/New_York")


async def test_of_nothing_it_tells_nothing(stage: Stage):
    assert not any((await told(stage)).values())


async def test_answers_are_told_by_tier_level_and_task_type_with_how_they_were_taken(stage: Stage):
    for value in (1.0, 1.0, -1.0, 0.0):
        said = await answered(stage)
        async with stage.database.unit_of_work() as work:
            await Learning().rate(work, stage.allan.id, said, value=value, source="reaction", detail="x", now=stage.clock.now())
            if value == 1.0:  # somebody else thinks so too: one answer, two scores
                await Learning().rate(work, stage.grace.id, said, value=value, source="reaction", detail="x", now=stage.clock.now())
    await answered(stage, kind="deleted")
    found = await told(stage)
    assert found["answers"] == [{"tier": "direct", "level": "a", "task_type": "code", "answers": 4, "scored": 5, "score": 0.8}]
    assert found["satisfaction"] == [{"by": "explicit", "answers": 3, "scored": 5, "score": 0.8}]
    assert found["latency"] == [{"tier": "direct", "p50_ms": 5.0, "p95_ms": 5.0, "p99_ms": 5.0}]
    assert found["confidence"][0]["brier"] == pytest.approx((4 * 0.3**2 + 0.7**2) / 5, abs=1e-4)
    stage.clock.advance(seconds=2 * 86_400)
    assert not any((await told(stage)).values()), "it was before the time that is asked about"


async def test_what_was_spent_is_told_by_local_day_and_by_what_it_bought(stage: Stage):
    said, event = await answered(stage), await stage.receives()
    call = {"at": stage.clock.now().replace(hour=2), "provider": "openai", "model": "m", "event_id": event}
    async with stage.database.unit_of_work() as work:
        await Learning().rate(work, stage.allan.id, said, value=1.0, source="reaction", detail="x", now=stage.clock.now())
        await work.usage.add(level="a", outcome="failed", cost_usd=0.25, **call)
        for usd in (0.2, 0.3):  # two rounds of one answer
            await work.usage.add(level="b", outcome="answered", cost_usd=usd, **call)
    found = await told(stage)
    assert found["cost"] == [{"day": "2026-11-21", "usd": 0.75}]
    assert found["spent"] == [{"usd": 0.75, "usd_per_point": 0.75}]
    assert [(each["level"], each["answered"], each["failed"]) for each in found["levels"]] == [("a", 0, 1), ("b", 2, 0)]
    assert found["fallbacks"] == [{"level": "b", "times": 1}]


async def test_what_was_learned_is_told(stage: Stage):
    now = stage.clock.now()
    pattern = {"user_id": None, "intent": "time", "text": "t", "origin": "seed", "weight": 1.0, "created_at": now, "changed_at": now}
    async with stage.database.unit_of_work() as work:
        states = {"a": "on", "b": "on", "c": "proposed"}
        await work.patterns.add_new([{"key": key, "state": state, **pattern} for key, state in states.items()])
        arm = {"task_type": "code", "level": "a", "good": 3.0, "bad": 1.0, "answers": 4, "latency_ms": 9.0, "cost_usd": 0.1}
        await work.routing_arms.save(**arm, updated_at=now)
        for outcome in (1.0, 0.0):
            which = await work.insights.add(kind="failure", key="a", text="", details={}, at=now, due_at=now)
            assert await work.insights.judge(which, outcome=outcome, judged_at=now)
    said = await answered(stage)
    async with stage.database.unit_of_work() as work:
        assert await work.feedback.change(stage.allan.id, said.id, pattern="a")
    found = await told(stage)
    assert found["patterns"] == [{"state": "on", "count": 2, "used": 1}, {"state": "proposed", "count": 1, "used": 0}]
    assert [(each["quality"], each["evidence"], each["change"]) for each in found["cells"]] == [(0.75, 4, None)]
    assert found["predictions"] == [{"judged": 2, "precision": 0.5, "outages": 0, "recall": None}]


async def test_of_one_person_it_tells_what_became_of_their_answers_alone(stage: Stage):
    said = await answered(stage)
    async with stage.database.unit_of_work() as work:
        await Learning().rate(work, stage.grace.id, said, value=-1.0, source="reaction", detail="x", now=stage.clock.now())
        await work.usage.add(level="a", outcome="answered", cost_usd=0.2, at=stage.clock.now(), provider="p", model="m", event_id=None)
    async with stage.database.reading() as work:
        since = {"since": stage.clock.now() - timedelta(days=1), "timezone": "UTC"}
        hers, his = [await report(work, user_id=each.id, **since) for each in (stage.grace, stage.allan)]
    assert set(hers) == set(OWN)
    assert [(row["answers"], row["score"]) for row in (*hers["answers"], *his["answers"])] == [(1, 0.0), (1, None)]


async def test_in_a_chat_it_is_a_line_for_each_section_that_tells_something(stage: Stage):
    assert in_lines(await told(stage), 1) == NOTHING_YET
    await answered(stage)
    now, arms = stage.clock.now(), MOST + 2
    async with stage.database.unit_of_work() as work:
        await work.usage.add(level="a", outcome="answered", cost_usd=0.2, at=now, provider="p", model="m", event_id=None)
        for number in range(arms):
            arm = {"task_type": "code", "level": f"l{number}", "good": 3.0, "bad": 1.0, "answers": 4, "latency_ms": 9.0, "cost_usd": 0.1}
            await work.routing_arms.save(**arm, updated_at=now)
    lines = in_lines(await told(stage), 7).splitlines()
    assert lines[0] == "**What I learned in the last 7 days**"
    assert "- **Answers**: 1 code by a (direct), mean score –" in lines
    assert "- **Spent**: 0.20 USD; for each point of score –" in lines
    assert next(line for line in lines if "good at what" in line).endswith("l4 at code: 0.75 on 4 answers; and 2 more")
    assert len(lines) <= 2 + len(IN_LINE)


def test_reliability_says_what_was_given_and_what_came_of_it():
    bins = [(each["said"], each["came"], each["answers"]) for each in reliability([*PAIRS, (1.0, 0.2)])]
    assert bins == [(0.1, 0.0, 1), (0.933, 0.4, 3)]
    assert reliability([]) == []


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (PAIRS, "too few to tell"),
        (PAIRS * 9, "too sure"),
        ([(0.2, 0.9)] * 20, "not sure enough"),
        ([(0.7, 0.7)] * 20, "as sure as I may be"),
    ],
)
def test_how_sure_robbie_was_is_said_in_a_sentence(pairs: list[tuple[float, float]], words: str):
    assert words in confidence(pairs)[0]["in_words"]


def test_the_brier_score_is_that_of_the_books():
    assert confidence([(0.8, 1.0), (0.4, 0.0)])[0]["brier"] == pytest.approx((0.04 + 0.16) / 2)


def test_a_change_is_told_once_there_is_enough():
    rows = [
        Feedback(organization_id="o", user_id=None, message_id=None, value=None, source="", detail="", at=None, score=s)
        for s in (0, 0, 1, 1)
    ]  # type: ignore[arg-type]
    assert (change(rows), change(rows[:3])) == (1.0, None)


def test_percentiles_of_a_hundred():
    assert percentiles(range(1, 101)) == {"p50_ms": 51, "p95_ms": 96, "p99_ms": 100}
