"""What somebody wants forgotten is read from their own words, and what is not sure is asked about."""

from __future__ import annotations

import json
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from bot.domain.errors import ToolFailed
from bot.hub.memory_commands import MemoryCommands
from bot.services.aims import KEPT, Aim, patterns, read_aim

NOW = datetime(2026, 11, 25, 12, tzinfo=ZoneInfo("America/New_York"))  # a Wednesday
ORDER = UUID(int=7)


def read(text: str) -> Aim:
    return read_aim(text, now=NOW, order=ORDER)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Dana", ("dana",)),
        ("@Dana", ("dana",)),
        ("everything about Dana", ("dana",)),
        ("what I said about the offer to Dana", ("offer", "dana")),
        ("everything you know about Uncle Bob", ("uncle", "bob")),
        ("everything that you have about may", ("may",)),
        ("may", ("may",)),
    ],
)
def test_a_thing_or_a_person_is_words_that_must_all_be_held(text: str, words: tuple[str, ...]):
    assert read(text) == Aim(words=words, order=ORDER)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("yesterday", "2026-11-24 00:00", "2026-11-25 00:00"),
        ("what we said yesterday", "2026-11-24 00:00", "2026-11-25 00:00"),
        ("last week", "2026-11-16 00:00", "2026-11-23 00:00"),
        ("this month", "2026-11-01 00:00", "2026-12-01 00:00"),
        ("3 May 2026", "2026-05-03 00:00", "2026-05-04 00:00"),
        ("3 May", "2026-05-03 00:00", "2026-05-04 00:00"),
        ("on Friday", "2026-11-20 00:00", "2026-11-21 00:00"),
        ("since Monday", "2026-11-23 00:00", "2026-11-25 12:00"),
        ("the last 3 days", "2026-11-22 00:00", "2026-11-26 00:00"),
        ("between 3 May and 5 May", "2026-05-03 00:00", "2026-05-06 00:00"),
    ],
)
def test_a_time_is_the_one_that_was(text: str, first: str, last: str):
    aim = read(text)
    assert (aim.words, f"{aim.since:%Y-%m-%d %H:%M}", f"{aim.until:%Y-%m-%d %H:%M}") == ((), first, last)


def test_words_and_a_time_may_come_together():
    aim = read("what I said about Dana since Monday")
    assert (aim.words, aim.since is not None) == (("dana",), True)
    assert aim.spoken() == "what holds “dana”, said from Monday 23 November 2026 until Wednesday 25 November 2026"


@pytest.mark.parametrize("text", ["", "  ", "the", "30 February"])
def test_what_is_not_sure_is_asked_about(text: str):
    with pytest.raises(ToolFailed):
        read(text)


def test_ids_and_everything_and_the_last_are_known():
    assert read("01a21e5c").begins == "01a21e5c"
    assert read("01A21E5C-1519-7378-926f-bd45d57bba97").begins == "01a21e5c15197378926fbd45d57bba97"
    assert read("everything").is_all
    assert read("that").is_last


@pytest.mark.parametrize("text", ["Dana", "yesterday", "everything", "jam since Monday"])
def test_a_wish_is_kept_as_it_is(text: str):
    assert KEPT.validate_python(json.loads(json.dumps(KEPT.dump_python(read(text), mode="json")))) == read(text)


@pytest.mark.parametrize(
    ("word", "held", "not_held"),
    [
        ("tulips", "A Tulip.", "tulipomania"),
        ("tulip", "TULIPS!", "two lips"),
        ("james", "James's", "jam"),
        ("meeting", "we meet", "meteor"),
        ("dana", "Dana’s", "Dananja"),
        ("bus", "the bus", "bu"),
        ("größe", "Größe", "Gros"),
    ],
)
def test_a_word_is_found_in_its_forms_and_never_inside_another(word: str, held: str, not_held: str):
    (pattern,) = patterns((word,))
    assert pattern.search(held)
    assert not pattern.search(not_held)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("Forget that.", "/forget last"),
        ("please forget what I said", "/forget last"),
        ("forget what I said about Dana", "/forget what I said about Dana"),
        ("Delete what you know about the Acme deal", "/forget what you know about the Acme deal"),
        ("Robbie, forget everything about Dana", "/forget everything about Dana"),
        ("forget it", ""),
        ("don't forget what I said about Dana", ""),
        ("forget what I said about the offer, let us write another", ""),
        ("did you forget that", ""),
        ("forget everything", "/forget everything"),
        ("forget what", ""),
    ],
)
def test_plain_words_mean_it_only_as_a_whole_sentence(text: str, command: str):
    assert MemoryCommands(forgetful=None).plain(text) == command  # type: ignore[arg-type]
