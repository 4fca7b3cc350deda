"""Manners in plain words: a whole sentence that is surely one becomes its command; anything else goes to a model."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.hub.manner_commands import _MEANT, MannerCommands, changes_of
from bot.services.manners import find_mistake
from tests.clock import FakeClock
from tests.fakes import PERSON


@pytest.fixture(scope="module")
def commands() -> MannerCommands:
    return MannerCommands(manners=cast("Any", None), clock=FakeClock())


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("be gentler today", "/gandhi -2 today"),
        ("Full speed until 6pm!", "/cocktail 10 until 6pm"),
        ("Robbie, please be more playful", "/mood playful"),
        ("calm down", "/mood calm"),
        ("be gentler everywhere", "/gandhi -2 everywhere"),
        ("Slow down this week.", "/cocktail -2 this week"),
        ("be professional please", "/flirty 1"),
        ("Back to normal, please.", "/mood normal"),
        ("push harder in mails", "/gandhi +2 in mails"),
        ("shorter answers in the mornings", "/cocktail +2 in the mornings"),
        ("  be   serious  for 2 hours ", "/mood serious for 2 hours"),
    ],
)
def test_plain_words_become_their_command(commands: MannerCommands, text: str, command: str) -> None:
    assert commands.plain(text) == command


@pytest.mark.parametrize(
    "text",
    [
        "be gentler with Dana",
        "how can I be more playful?",
        "should I slow down?",
        "slow down until the results are in",
        "tell Dana to calm down",
        "calm down or I leave",
        "full speed",
        "",
        "be",
        "relax the tests in ci",
        "back to normal temperatures by Friday",
        "be professional?",
    ],
)
def test_what_is_not_surely_meant_goes_to_a_model(commands: MannerCommands, text: str) -> None:
    assert commands.plain(text) == ("/cocktail 10" if text == "full speed" else "")


def test_every_sentence_stands_for_a_change_that_can_be_made() -> None:
    for command in set(_MEANT.values()):
        name, value = command.split()
        changes = changes_of([value]) if name == "mood" else {name: value}
        assert not find_mistake(PERSON, changes, "*")


@given(st.text(max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    MannerCommands(manners=cast("Any", None), clock=FakeClock()).plain(text)
