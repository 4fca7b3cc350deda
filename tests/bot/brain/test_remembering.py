"""What of a message is remembered: by whose word, in which parts, and in which session."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.brain.remembering import LONGEST_PART, PAUSE, Saying, is_memorable, memories_of, parts_of, revised, trust_of_answer
from bot.domain.clock import new_id
from bot.domain.memory import Trust, place_of
from storage.models.memory import Memory

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SAYING = Saying(
    thread="t", external_id="1", speaker="Allan", text="Dana likes tulips", at=NOON, user_id=new_id(), place="", trust=Trust.OWN
)


def _rows(saying: Saying, last: Memory | None = None) -> list[Memory]:
    return memories_of(saying, last, organization="default", timezone="America/New_York")


def test_what_is_said_before_a_pause_ends_belongs_to_one_session():
    first = _rows(SAYING)[-1]
    second = _rows(replace(SAYING, at=NOON + PAUSE - timedelta(seconds=1)), first)[-1]
    third = _rows(replace(SAYING, at=second.at + PAUSE), second)[-1]
    assert [(each.session, each.position) for each in (first, second)] == [(first.session, 0), (first.session, 1)]
    assert (third.session != second.session, third.position) == (True, 0)


def test_the_day_is_that_of_who_said_it():
    assert _rows(replace(SAYING, at=datetime(2026, 11, 22, 3, 0, tzinfo=UTC)))[0].day == "21 November 2026"


def test_a_long_text_is_remembered_in_parts_that_follow_each_other():
    rows = _rows(replace(SAYING, text="One sentence about tulips. " * 200))
    assert [(row.part, row.position) for row in rows] == [(at, at) for at in range(len(rows))]
    assert len({row.session for row in rows}) == 1
    assert all(row.said.endswith("tulips.") for row in rows)


@given(st.text(max_size=4 * LONGEST_PART))
def test_nothing_but_blanks_is_lost_between_the_parts(text: str):
    parts = parts_of(text)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(0 < len(part) <= LONGEST_PART for part in parts)


def test_a_megabyte_without_a_blank_is_cut_all_the_same():
    assert [len(part) for part in parts_of("x" * 1_000_000)] == [LONGEST_PART] * 666 + [1_000]


@pytest.mark.parametrize(
    ("text", "is_so"), [("Dana likes tulips", True), ("/forget tulips", False), ("  /NOTE x", False), (" \n", False), ("/ 2 is half", True)]
)
def test_an_order_is_not_worth_finding_again(text: str, is_so: bool):
    assert is_memorable(text) is is_so


@pytest.mark.parametrize(
    ("kind", "personality", "details", "trust"),
    [
        ("answer", None, {}, Trust.ROBBIE),
        ("late", "5/5/1 neutral", {}, Trust.ROBBIE),
        ("answer", "5/5/9 neutral", {}, Trust.INTIMATE),
        ("answer", "5/5/9 neutral", {"outside": True}, Trust.OUTSIDE),
        ("offline", None, {}, None),
        ("notice", None, {}, None),
        ("answer", None, {"tier": "direct"}, Trust.ROBBIE),
        ("answer", None, {"tier": "reactive"}, None),
    ],
)
def test_only_what_a_model_answered_is_remembered_of_robbie(kind: str, personality: str | None, details: dict[str, object], trust: Trust):
    assert trust_of_answer(kind, personality, details) is trust


def test_a_message_that_reads_otherwise_keeps_its_place():
    first, second = _rows(SAYING)[0], "Dana likes roses"
    (changed,) = revised(first, second)
    assert (changed.said, changed.session, changed.position, changed.external_id) == (second, first.session, 0, "1")
    assert changed.id != first.id


def test_a_place_is_a_channel_without_its_threads():
    assert place_of("slack", "T1/C1/123.4", "shared") == place_of("slack", "T1/C1", "shared") == "slack:T1/C1"
    assert place_of("slack", "T1/C2", "shared") != "slack:T1/C1"
    assert place_of("telegram", "-100/7", "shared") == "telegram:-100"
    assert place_of("slack", "T1/D1", "private") == ""
    assert place_of("email", "allan@x/root-1", "shared") != place_of("email", "allan@x/root-2", "shared"), "others read that thread"
