"""What is noticed in sentences: more is missed than is wrong, and what is noticed once is one thing however it is said."""

from __future__ import annotations

from datetime import datetime
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.services.noticing import LONGEST_SENTENCE, MOST, by_hand, corrected, notice, read
from tests.bot.services.noticed_sentences import CHATTED, HELD_BACK, TUNED

FRIDAY = datetime(2026, 11, 27, 12, tzinfo=ZoneInfo("Europe/Berlin"))


def measured(sentences: tuple[tuple[str, str, str], ...]) -> tuple[float, float]:
    """Precision and recall of kind and day together."""
    found = [(notice(text, now=FRIDAY), kind, on) for text, kind, on in sentences]
    right = sum(bool(kind) and [(one.kind, str(one.on or "")) for one in ones] == [(kind, on)] for ones, kind, on in found)
    return right / sum(len(ones) for ones, *_ in found), right / sum(bool(kind) for _, kind, _ in found)


@pytest.mark.parametrize(("sentences", "precision", "recall"), [(TUNED, 1.0, 1.0), (HELD_BACK, 0.96, 0.9), (CHATTED, 0.98, 0.93)])
def test_little_is_wrong_and_little_is_missed(sentences: tuple[tuple[str, str, str], ...], precision: float, recall: float):
    """Half of the sentences hold nothing."""
    assert 0.4 < sum(not kind for _, kind, _ in sentences) / len(sentences) < 0.6
    is_right, is_found = measured(sentences)
    assert is_right >= precision
    assert is_found >= recall


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("My dentist is Dr. Weber.", "btw, Dr. Weber is my dentist", True),
        ("My dentist is Dr. Weber.", "My dentist is Dr. Braun.", False),
        ("Dana's birthday is 4 May", "4 May is Dana's birthday", True),
        ("Dana's birthday is 4 May", "Dana was born on 5 May", False),
        ("I hate calls before ten", "I really can't stand calls before ten.", True),
        ("I hate calls before ten", "I love calls before ten", False),
        ("The board meets on 12 December", "the board meets on 14 December", False),
        ("I'll send Dana the deck by 3 December", "I'll send Dana the deck on 4 December!", False),
    ],
)
def test_a_topic_is_the_same_however_it_is_said(one: str, other: str, is_same: bool):
    first, second = read(one, now=FRIDAY), read(other, now=FRIDAY)
    assert first is not None
    assert second is not None
    assert first.topic == second.topic
    assert first.says_the_same(second) is is_same


@pytest.mark.parametrize("text", ["My brother is Tom.", "My brother is Jim."])
def test_of_what_one_may_have_several_of_each_is_a_topic(text: str):
    one = read(text, now=FRIDAY)
    assert one is not None
    assert one.topic == f"brother {text[-4:-1].lower()}"


@pytest.mark.parametrize(
    ("old", "said", "new"),
    [
        ("Dana's birthday is 4 May", "no, it's 5 May", "Dana's birthday is 5 May"),
        ("The board meets on 12 December", "sorry, 14 December", "The board meets on 14 December"),
        ("My dentist is Dr. Weber.", "That's wrong: it's Dr. Braun", "My dentist is Dr. Braun"),
        ("My dentist is Dr. Weber.", "I meant Dr. Braun.", "My dentist is Dr. Braun"),
        ("My dentist is Dr. Weber.", "no, thanks", ""),
        ("My dentist is Dr. Weber.", "no, it's Dr. Weber", ""),
        ("Dana's birthday is 4 May", "no, it's fine", ""),
        ("Dana's birthday is 4 May", "Actually, what is it?", ""),
        ("I prefer tea", "no, it's 5 May", ""),
    ],
)
def test_a_correction_is_read_by_what_it_corrects(old: str, said: str, new: str):
    one = corrected(old, said, now=FRIDAY)
    assert (one.text if one else "") == new


def test_of_an_impossible_date_the_words_are_kept():
    one = read("The review is on 30 February", now=FRIDAY)
    assert one is not None
    assert (one.kind, one.on) == ("date", None)


def test_what_a_person_notes_is_kept_as_it_is_written():
    both = by_hand("My dentist is Dr. Weber. My vet is Dr. Braun.", now=FRIDAY)
    assert (both.kind, both.topic, both.text) == ("note", "", "My dentist is Dr. Weber. My vet is Dr. Braun.")
    assert str(by_hand("dentist on Tuesday at 3", now=FRIDAY).on) == "2026-12-01"
    assert by_hand("wifi: hunter2", now=FRIDAY).kind == "note"


def test_what_was_forwarded_below_is_not_read():
    said = notice("My vet is Dr. Braun.\n\n---------- Forwarded message\nMy dentist is Dr. Weber.", now=FRIDAY)
    assert [one.text for one in said] == ["My vet is Dr. Braun."]


def test_a_long_message_costs_little():
    """A million characters, of which the first few thousand are looked at; and sentences made to make patterns go back and forth."""
    begin = process_time()
    assert len(notice("My dentist is Dr. Weber. " * 40_000, now=FRIDAY)) == 1
    assert len(notice("".join(f"My {name} is Dr. Weber. " for name in "abcdefghij"), now=FRIDAY)) == MOST
    for text in (
        "my " + "a " * LONGEST_SENTENCE,
        "I'll send " + "Dana " * 50,
        "My " + "a-" * 140 + " is",
        "no " * 99,
        "- " * 2_000,
        "A's " * 70,
    ):
        notice(text, now=FRIDAY)
        corrected("My dentist is Dr. Weber.", text, now=FRIDAY)
    assert process_time() - begin < 1


WORDS = st.sampled_from(
    [
        "My",
        "I'll",
        "promised",
        "Dana",
        "'s",
        "birthday",
        "is",
        "on",
        "4",
        "30",
        "February",
        "May",
        ",",
        ".",
        "!",
        "“",
        "no",
        "it's",
        "I",
        "hate",
        "we",
        "decided",
        "to",
        "the",
        "13/13/2026",
        "İ",
        "\x00",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, max_size=14).map(" ".join) | st.text(max_size=80))
def test_whatever_is_written_is_read_and_quoted_as_it_stands(text: str):
    for one in notice(text, now=FRIDAY):
        assert one.text in text
    corrected(text, text, now=FRIDAY)
    assert by_hand(text, now=FRIDAY).text == text
