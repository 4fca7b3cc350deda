"""Plain words that surely mean a command become one; all others are left to a model."""

from __future__ import annotations

import pytest

from bot.hub.errands import plain


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("remind me to call Dana on Friday at 3", "/remind to call Dana on Friday at 3"),
        ("Please remind me every weekday at 9 to stretch.", "/remind every weekday at 9 to stretch"),
        ("Robbie, remind me tomorrow about the rent", "/remind tomorrow about the rent"),
        ("add milk to my list", "/task add milk"),
        ("Add call the bank to my to-do list!", "/task add call the bank"),
        ("todo: water the plants", "/task add water the plants"),
        ("mark milk as done", "/task done milk"),
        ("I talked to Dana", "/contact touch Dana"),
        ("I've just spoken with Dana Smith.", "/contact touch Dana Smith"),
        ("what do I have to do today?", "/tasks today"),
        ("What do I have to do?", "/tasks"),
        ("what's overdue", "/tasks overdue"),
        ("my deals", "/deals"),
        ("Acme is now in negotiation, 40k", "/deal Acme, negotiation, 40k"),
        ("Acme moved to proposal", "/deal update Acme, proposal"),
        ("We won the Acme deal!", "/deal update Acme, won"),
        ("the Acme deal is lost", "/deal update Acme, lost"),
    ],
)
def test_a_sentence_that_surely_means_one_is_a_command(words: str, command: str):
    assert plain(words) == command


@pytest.mark.parametrize(
    "words",
    [
        "remind me what we said about Dana",
        "remind me of the plan",
        "remind me who Dana is",
        "I talked to Dana yesterday about the pricing and she was unhappy",
        "who is Dana",
        "my bag is lost",
        "she is in negotiation",
        "it moved to proposal",
        "I won",
        "what should I add to my list of excuses?",
        "can you explain what a lead is",
        "add 3 and 4",
        "mark my words",
        "mark it as done",
        "Task: summarise the following text",
        "put it on the list",
        "remind me to call Dana at 3, and what is her number? She told me once.",
        "",
    ],
)
def test_what_is_not_sure_is_left_to_a_model(words: str):
    assert plain(words) == ""
