"""Who deserves a word, and whom first."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.domain.clock import new_id
from bot.services.follow_ups import MOST_IN_A_ROW, due, score
from storage.models.affairs import Contact, Deal, Stage

NOW = datetime(2026, 11, 23, 10, tzinfo=ZoneInfo("Europe/Berlin"))
DAYS = 7


def contact(**values: Any) -> Contact:
    known: dict[str, Any] = {"organization_id": "o", "id": new_id(), "user_id": new_id(), "code": "K7F2", "name": "Bob", "created_at": NOW}
    return Contact(**{**known, "email": "bob@else", **values})


def reasons(**values: Any) -> list[str]:
    return [each.why for each in due(contact(**values), now=NOW, days=DAYS)]


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, []),
        ({"last_heard_at": ago(30)}, []),  # it is us who owe a word: that is no follow-up
        ({"last_written_at": ago(6.9)}, []),
        ({"last_written_at": ago(7)}, ["no answer since Monday 16 November 2026"]),
        ({"last_written_at": ago(7), "last_heard_at": ago(8)}, ["no answer since Monday 16 November 2026"]),
        ({"last_written_at": ago(7), "last_heard_at": ago(7)}, []),  # they were talked to
        ({"last_written_at": ago(9), "last_heard_at": ago(8)}, []),
        ({"last_written_at": ago(9), "follow_up_at": ago(-1)}, []),
        ({"follow_up_at": ago(0)}, ["it was to be followed up by now"]),
        ({"next_step_on": date(2026, 11, 23), "next_step": "send the offer"}, ["the next step is due: send the offer"]),
        ({"next_step_on": date(2026, 11, 24)}, []),
        (
            {"next_step_on": date(2026, 11, 1), "follow_up_at": ago(1)},
            ["the next step is due: to be in touch", "it was to be followed up by now"],
        ),
    ],
)
def test_who_is_silent_or_whose_day_has_come_is_due(values: dict[str, Any], expected: list[str]) -> None:
    assert reasons(**values) == expected


@pytest.mark.parametrize("never", [{"email": ""}, {"do_not_write": "bounced"}, {"archived_at": NOW}, {"follow_ups": MOST_IN_A_ROW}])
def test_some_are_never_written_to(never: dict[str, Any]) -> None:
    assert reasons(follow_up_at=ago(1), next_step_on=NOW.date(), **never) == []


def test_the_same_day_gives_the_same_key_and_a_step_its_own() -> None:
    bob = contact(follow_up_at=ago(1), next_step_on=date(2026, 11, 20))
    step, today = due(bob, now=NOW, days=DAYS)
    assert (step.key, today.key) == (f"{bob.id}/2026-11-20/step", f"{bob.id}/2026-11-23")
    [tomorrow] = due(replace(bob, next_step_on=None), now=NOW + timedelta(days=1), days=DAYS)
    assert tomorrow.key != today.key


def test_the_worthier_comes_first() -> None:
    silent, waiting, small, large, lost = (contact(last_written_at=ago(days)) for days in (60, 20, 8, 8, 8))
    named = contact(next_step_on=NOW.date())

    def deal(who: Contact, stage: Stage, cents: int) -> Deal:
        known: dict[str, Any] = {"organization_id": "o", "id": new_id(), "user_id": new_id(), "code": "D", "title": "t", "created_at": NOW}
        return Deal(**known, changed_at=NOW, contact_id=who.id, stage=stage, value_cents=cents, probability=50)

    deals = [deal(small, Stage.LEAD, 100_00), deal(large, Stage.NEGOTIATION, 40_000_00), deal(lost, Stage.LOST, 9_000_000_00)]
    everyone = [lost, waiting, named, small, silent, large]
    ranked = sorted(everyone, key=lambda each: -score(each, deals, now=NOW))
    assert [everyone.index(each) for each in ranked] == [everyone.index(each) for each in (large, small, silent, waiting, named, lost)]
