"""What is no time to try things out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.brain.delicate import is_delicate
from bot.domain.message import Attachment
from bot.domain.thought import Line, Role
from tests.fakes import asked, prompting

PLAIN = "What is the capital of France?"


@pytest.mark.parametrize("text", [PLAIN, "write a haiku about the sea", "why does the tide rise", "explain how a heat pump works"])
def test_a_question_about_the_world_is_not_delicate(text: str):
    assert not is_delicate(prompting(text), asked(text))


@pytest.mark.parametrize(
    "text",
    [
        *("What is the capital of France? It is urgent", "tell the press now", "what is on today", "the server is down!!"),
        *(
            "what did I tell Dana",
            "write a note to Dana on her divorce",
            "how should an employee be told",
            "what is in our contract",
            "the salary of the new cook",
            "who is dana@example.com",
            "what is 0171234567",
        ),
        *("Was ist die Hauptstadt von Frankreich?", "法国的首都是什么？", "", "a" * 5000),
    ],
)
def test_what_is_urgent_or_private_or_may_be_is_delicate(text: str):
    assert is_delicate(prompting(text), asked(text))


def test_what_goes_on_about_something_delicate_is_delicate():
    before = (Line(role=Role.USER, text="the diagnosis is out"), Line(role=Role.ASSISTANT, text="I see."))
    text = "what are the usual treatments"
    assert not is_delicate(prompting(text), asked(text))
    assert is_delicate(replace(prompting(text), lines=(*before, Line(role=Role.USER, text=text))), asked(text))


@pytest.mark.parametrize(
    ("about_prompt", "about_question"),
    [
        ({"personality": "4/8/1 focused"}, {}),
        ({"personality": "4/10/1 focused"}, {}),
        ({"personality": "4/5/3 playful"}, {}),
        ({"is_untrusted": True}, {}),
        ({}, {"is_late": True}),
        ({}, {"quoted": "something"}),
        ({}, {"writer": "somebody <x@y>"}),
        ({}, {"attachments": (Attachment(name="a.txt", media_type="text/plain", size=1, source="x"),)}),
    ],
)
def test_how_it_is_asked_can_make_it_delicate(about_prompt: dict[str, Any], about_question: dict[str, Any]):
    assert is_delicate(replace(prompting(PLAIN), **about_prompt), replace(asked(PLAIN), **about_question))
    assert not is_delicate(replace(prompting(PLAIN), personality="4/7/1 focused"), asked(PLAIN))
