"""Intents: what was learned is read, sureness is a probability, and what is out of scope stays out."""

from __future__ import annotations

import pytest

from bot.brain.intents import OUT, SURE, Example, learn, read
from bot.brain.linear import Linear

PLACES = ("rome", "oslo", "lima", "bonn", "kyiv", "doha", "nice", "bern", "riga", "graz")
KNOWN = [
    Example(f"{start} {end}", intent)
    for intent, ends in (("time", ("the time", "the hour")), ("notes", ("my notes", "my jottings")))
    for end in ends
    for start in ("show me", "what are", "i want", "give me", "tell me", "now", "again", "do you have")
]
STRANGE = [Example(f"{start} {place}", OUT) for place in PLACES for start in ("show me", "what about", "i want to see")]


@pytest.fixture(scope="module")
def linear() -> Linear:
    return learn([*KNOWN, *STRANGE])


def test_what_is_known_is_read_and_sure(linear: Linear):
    assert [read(linear, "please give me the time")[0], read(linear, "do i have my notes")[0]] == ["time", "notes"]
    assert read(linear, "tell me the time")[1] > SURE


def test_what_is_out_of_scope_is_not_sure(linear: Linear):
    assert all(read(linear, text)[1] < SURE for text in ("show me rome", "i want to see the north", "", "what about them"))


def test_labels_that_contradict_make_nothing_sure():
    linear = learn([Example(f"say {word}", intent) for word in PLACES for intent in ("time", OUT)])
    assert all(read(linear, f"say {word}")[1] < SURE for word in PLACES)
