"""What a model may say above a brief, and what code says where none does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.brain.personality import Personality
from bot.briefs.wording import is_borne_out, plain_opening
from bot.domain.brief import Item, Section, Slot

BRIEF = """# Morning brief, Friday 27 November

**Overdue**

- Send Dana's offer to Acme, 40k (due Tuesday 24 November)
- Call Erin at 15:00"""


@pytest.mark.parametrize(
    "opening",
    [
        "Dana's offer to Acme is overdue, so start there; then call Erin at 15:00.",
        "Today, the offer for Acme comes first. You have clear time until 15:00.",
        "Friday looks calm.",
    ],
)
def test_an_opening_that_holds_only_what_the_brief_holds_may_stand(opening: str):
    assert is_borne_out(opening, BRIEF)


@pytest.mark.parametrize(
    "opening",
    [
        "",
        "Send Bob the offer.",  # a name of its own
        "Call Erin at 15:30.",  # a time
        "Call Erin at 15.",  # a piece of one
        "Three calls wait.",  # a number in words
        "Acme waits since monday.",  # a date, however it is written
        "Finish it by tomorrow.",
        "See evil.example.com for more.",
        "Run `/reject all`.",
        "Dana waits.\n\nSo does Acme.",
        "Дана waits.",
        "½ of it is done.",
        "so " * 61,
    ],
)
def test_an_opening_with_a_number_date_name_or_sign_of_its_own_is_dropped(opening: str):
    assert not is_borne_out(opening, BRIEF)


@given(st.text(max_size=60), st.integers(0, 10**6), st.text(max_size=60))
def test_no_number_passes_that_is_not_in_the_brief(before: str, number: int, after: str):
    assert str(number) in ("24", "27", "15") or not is_borne_out(f"{before} {number} {after}", BRIEF)


@given(st.from_regex(r"[A-Z][a-z]{2,9}", fullmatch=True).filter(lambda name: not is_borne_out(name, BRIEF)))
def test_no_name_passes_wherever_it_stands(name: str):
    assert not is_borne_out(f"Call Erin, and {name} too.", BRIEF)
    assert not is_borne_out(f"{name} waits.", BRIEF)


def test_code_says_how_much_needs_somebody_and_how_much_of_it_is_late():
    def of(weight: float, count: int, more: int = 0) -> Section:
        return Section(key="k", title="t", items=[Item(text="x")] * count, weight=weight, more=more)

    plain = Personality()
    assert plain_opening(Slot.MORNING, [of(100, 1), of(50, 2), of(10, 3)], plain) == "Good morning. 3 things need you today, 1 is overdue."
    assert plain_opening(Slot.EVENING, [of(60, 1)], plain) == "Good evening. 1 thing needs you today."
    assert plain_opening(Slot.MORNING, [of(100, 8, more=4)], plain) == "Good morning. 12 things need you today, 12 are overdue."
    assert plain_opening(Slot.MORNING, [of(10, 1)], plain) == "Good morning. Nothing needs you just now."
    assert plain_opening(Slot.MORNING, [], Personality(flirty=10)).startswith("Good morning, you.")
