"""Slash commands, as a person writes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.brain.reactive import HELP
from bot.domain.clock import new_id
from tests.conftest import sqlite_url
from tests.scenarios.house import House, open_house


@pytest.fixture
async def house(sqlite_file: Path, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(sqlite_url(sqlite_file), tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("text", ["/help", "  /HELP  ", "/help me please", "/help\n"])
async def test_command_is_known_however_it_is_written(house: House, text: str) -> None:
    assert (await house.asks(text)).text == HELP
    assert house.model.asked == []


async def test_note_is_kept_in_its_own_words(house: House) -> None:
    assert "Noted" in (await house.asks("/note Dana likes\ntulips")).text
    assert "Dana likes tulips" in (await house.asks("/notes")).text


async def test_note_without_words_asks_for_them(house: House) -> None:
    assert "What shall I note" in (await house.asks("/note")).text
    assert "no notes yet" in (await house.asks("/notes")).text


@pytest.mark.parametrize("value", ["0", "11", "001" + "9" * 5000, "0019999"])
async def test_a_rating_beyond_its_scale_is_asked_for_again(house: House, value: str) -> None:
    await house.asks("How are you?")
    assert "a number from 1 to 10" in (await house.asks(f"/rate {value}")).text


async def test_a_rating_with_an_id_is_answered_where_it_was_written(house: House) -> None:
    answer = await house.asks("How are you?")
    assert "I will remember" in (await house.asks(f"/rate 10 {answer.id}")).text
    assert "no answer of mine" in (await house.asks(f"/rate 10 {new_id()}")).text


async def test_a_rating_is_of_the_last_answer_though_no_model_gave_it_and_never_of_a_command(house: House) -> None:
    await house.asks("How are you?")
    answer = await house.asks("what time is it")
    await house.asks("/notes")
    await house.asks("/rate down")
    async with house.app.database.reading() as work:
        assert [row.value for row in await work.feedback.on(answer.id)] == [-1.0]


async def test_unknown_command_is_answered_with_the_nearest(house: House) -> None:
    assert "Did you mean `/notes`?" in (await house.asks("/nots")).text
    assert "Did you mean" not in (await house.asks("/xyzzy")).text


@pytest.mark.parametrize("text", ["/usr/bin/python is what", "and /help in the middle", "/" + "a" * 100_000, "/ help"])
async def test_what_only_looks_like_a_command_goes_to_a_model(house: House, text: str) -> None:
    assert (await house.asks(text)).text.startswith("re: ")
