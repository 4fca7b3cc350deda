"""What is read from deeds: other words for the same question, corrections, thanks, silence, and what was acted upon."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.clock import new_id
from bot.learning.realtime import Learning
from bot.learning.signals import SILENT_FOR, WEIGHTS, WITHIN, Aftermath, heard, signs
from storage.models.affairs import Task, TaskState
from storage.models.messaging import Message
from tests.bot.learning.test_realtime import answered, rated
from tests.stage import Stage

FRANCE = "What is the capital of France?"


@pytest.mark.parametrize(
    ("question", "text", "sign"),
    [
        (FRANCE, "capital city of france please", "rephrased"),
        (FRANCE, "What is the capital of Italy?", ""),
        (FRANCE, "and its population?", ""),
        ("how do I sort a list in python", "how can I order a list in python", "rephrased"),
        ("how do I sort a list in python", "how do I sort a dict in python", ""),
        ("recipe for pancakes", "pancake recipe", "rephrased"),
        ("How long is the ride from Berlin to Hamburg", "How long is the ride from Berlin to Munich", ""),
        ("add 2 and 3 to the list", "add 2 and 4 to the list", ""),
        ("book a table for Friday", "no, I meant Saturday", "corrected"),
        ("book a table for Friday", "No. I said Saturday.", "corrected"),
        (FRANCE, "that's wrong", "corrected"),
        (FRANCE, "hm, that’s not what I asked", "corrected"),
        (FRANCE, "No.", ""),
        (FRANCE, "it is wrong to steal, is it not?", ""),
        (FRANCE, "thanks!", "thanked"),
        (FRANCE, "Great, thank you", "thanked"),
        (FRANCE, "no thanks", ""),
        *(
            (FRANCE, text, "")
            for text in ("thanks, that's wrong", "Thanks, didn't work", "thanks, not quite", "Danke, aber das ist falsch")
        ),
        (FRANCE, "I meant to thank Dana", ""),
        (FRANCE, "thanks, but no", ""),
        (FRANCE, "thanks to the weather we stay at home and that is all there is to it", ""),
        ("tell me a joke about cats", "Tell me a joke about cats!!", "repeated"),
        ("tell me a joke about cats", "again", "repeated"),
        ("what is the weather now", "what is the weather now", ""),
        (FRANCE, "/rate up", ""),
        (FRANCE, "", ""),
        ("", "", ""),
    ],
)
def test_what_is_said_next_shows_how_the_answer_was(question: str, text: str, sign: str):
    assert "".join(signs(question, text)) == sign


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_two_texts_show_one_thing_at_most(question: str, text: str):
    assert len(signs(question, text)) <= 1


@pytest.mark.parametrize("text", ["no, " * 300_000, "!" * 1_000_000, "thanks " * 200_000])
def test_a_megabyte_is_no_remark(text: str):
    assert signs(text, text) == {}


async def hears(stage: Stage, text: str, **values: object) -> None:
    """Something is said after the answer, and its turn is recorded."""
    message = await stage.says(text, **values)
    async with stage.database.unit_of_work() as work:
        await heard(work, message, message.user_id, stage.clock.now(), Learning())


async def test_a_correction_counts_against_the_answer_before_it(stage: Stage):
    said = await answered(stage, FRANCE)
    for _ in range(2):  # a turn that is taken up after a crash is recorded again
        await hears(stage, "no, that's not what I meant")
    row = await rated(stage, said)
    assert (row.signals, row.score) == ({"corrected": -0.8}, pytest.approx(0.1))


async def test_what_others_say_or_is_said_elsewhere_or_later_shows_nothing(stage: Stage):
    said = await answered(stage, FRANCE)
    await hears(stage, "that's wrong", user_id=stage.grace.id)
    await hears(stage, "that's wrong", conversation_id=(await stage.another_conversation("x")).id)
    for seconds in (WITHIN.total_seconds() + 1, -2 * WITHIN.total_seconds() - 2):  # another hub's clock may be far behind
        stage.clock.advance(seconds=seconds)
        await hears(stage, "that's wrong")
    assert (await rated(stage, said)).signals == {}


@pytest.mark.parametrize(("direction", "kind"), [("in", "message"), ("out", "offline"), ("out", "notice")])
async def test_what_is_said_before_an_answer_came_or_after_something_else_is_not_about_the_one_before(
    stage: Stage, direction: str, kind: str
):
    said = await answered(stage, FRANCE)
    await stage.says("book a table for Friday", direction=direction, kind=kind)
    await hears(stage, "no, I meant Saturday")
    assert (await rated(stage, said)).signals == {}


async def test_a_press_or_what_was_withdrawn_stands_between_nothing(stage: Stage):
    said = await answered(stage, FRANCE)
    await stage.says("/rate down", kind="action")
    await stage.says("wait", kind="deleted")
    await hears(stage, "that's wrong")
    assert (await rated(stage, said)).signals.keys() == {"corrected"}


async def _looks(stage: Stage, **later: float) -> None:
    stage.clock.moment += timedelta(**later)
    await Aftermath(database=stage.database, learning=Learning()).look(stage.clock.now())


async def test_silence_is_a_weak_plus_after_a_while_and_once(stage: Stage):
    said, opposed = await answered(stage), await answered(stage, FRANCE)
    await hears(stage, "that's wrong")
    await _looks(stage, minutes=5)
    assert (await rated(stage, said)).score is None
    await _looks(stage, seconds=SILENT_FOR.total_seconds())
    first = await rated(stage, said)
    assert first.score == pytest.approx((1 + WEIGHTS["unopposed"]) / 2)
    assert (await rated(stage, opposed)).signals.keys() == {"corrected"}
    await _looks(stage, hours=1)
    assert await rated(stage, said) == first


async def test_of_an_answer_that_never_arrived_silence_says_nothing(stage: Stage):
    said = await answered(stage)
    async with stage.database.unit_of_work() as work:
        await work.outbox.promise(said, delivered=False, now=stage.clock.now())
    await _looks(stage, hours=1)
    assert (await rated(stage, said)).score is None


async def test_a_clock_that_was_set_back_neither_stops_the_round_nor_has_it_learn_early(stage: Stage):
    round_ = Aftermath(database=stage.database, learning=Learning())
    await round_.look(stage.clock.now())
    said = await answered(stage)
    await round_.look(stage.clock.advance(seconds=-86_400))
    assert (await rated(stage, said)).score is None
    await round_.look(stage.clock.advance(seconds=86_400 + 3_600))
    assert (await rated(stage, said)).score is not None


async def test_a_task_that_came_of_an_answer_and_was_done_speaks_for_it(stage: Stage):
    said, other = await answered(stage), await answered(stage)
    now = stage.clock.now()
    about = {"organization_id": "default", "user_id": stage.allan.id, "title": "call", "created_at": now, "source_id": said.reply_to}
    async with stage.database.unit_of_work() as work:
        await work.tasks.add(Task(id=new_id(), code="AAAA", state=TaskState.DONE, done_at=now, **about))
        await work.tasks.add(Task(id=new_id(), code="BBBB", **about | {"source_id": other.reply_to}))
    await _looks(stage, minutes=1)
    assert (await rated(stage, said)).signals == {"followed": 0.8}
    assert (await rated(stage, other)).signals == {}, "it is not done yet"


async def test_an_approved_proposal_speaks_for_the_answer_that_it_came_from(stage: Stage):
    said, now = await answered(stage), stage.clock.now()
    what = {"kind": "tool", "user_id": stage.allan.id, "conversation_id": stage.conversation.id, "event_id": said.reply_to}
    async with stage.database.unit_of_work() as work:
        about = {"code": "AAAA", "title": "t", "text": "", "details": {}, "created_at": now, "expires_at": now + timedelta(days=1)}
        await work.proposals.add_once(**what, **about)
        found = await work.proposals.find("AAAA")
        assert await work.proposals.change(found.id, now=now, state="approved", decided_at=now)
    await _looks(stage, minutes=1)
    assert (await rated(stage, said)).signals == {"followed": 0.8}


async def test_of_a_withdrawn_question_nothing_is_learned_by_silence(stage: Stage):
    said: Message = await answered(stage)
    async with stage.database.unit_of_work() as work:
        await work.messages.withdraw(said.reply_to)
    await _looks(stage, hours=1)
    assert (await rated(stage, said)).score is None
