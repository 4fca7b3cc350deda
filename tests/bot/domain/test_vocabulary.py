"""The commands as every door lists them, and the rows in which their buttons stand."""

from __future__ import annotations

import re

import pytest

from bot.domain.message import Button
from bot.domain.vocabulary import WORDS, adjusts, in_rows

SLIDERS = ["/gandhi -1", "/gandhi +1", "/cocktail -1", "/cocktail +1", "/mood calm", "/mood warm", "/mood serious", "/mood playful"]


def rows(*commands: str, width: int = 3) -> list[list[str]]:
    return [[button.command for button in row] for row in in_rows([Button(label="x", command=command) for command in commands], width)]


def test_words_are_such_as_telegram_and_slack_can_list():
    assert len(WORDS) <= 100
    for name, word in WORDS.items():
        assert re.fullmatch("[a-z]{1,32}", name)
        assert 3 <= len(word.says) <= 256


def test_both_ends_of_a_slider_have_a_row_and_moods_have_theirs():
    assert rows(*SLIDERS) == [SLIDERS[:2], SLIDERS[2:4], SLIDERS[4:7], SLIDERS[7:]]


def test_what_is_about_one_thing_stands_together():
    tasks = ["/task done K7", "/task snooze K7", "/task done M2", "/task snooze M2"]
    assert rows(*tasks) == [tasks[:2], tasks[2:]]
    decisions = ["/approve K7", "/edit K7", "/reject K7", "/brief morning", "/brief evening"]
    assert rows(*decisions) == [decisions[:3], decisions[3:]]


def test_no_button_is_lost_and_no_row_too_long():
    many = [f"/task done {number}" for number in range(17)]
    assert [command for row in rows(*many, width=5) for command in row] == many
    assert max(map(len, rows(*many, width=5))) == 5
    assert rows() == []


@pytest.mark.parametrize(
    ("command", "is_so"), [("/gandhi +1", True), ("/mood calm", True), ("/task done K7", False), ("", False), ("/", False)]
)
def test_only_what_is_set_again_and_again_takes_the_place_of_what_stood_there(command: str, is_so: bool):
    assert adjusts(command) is is_so
