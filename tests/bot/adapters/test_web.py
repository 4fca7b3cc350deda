"""The web's dialect: addresses by person and name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.adapters.web import WebAdapter
from bot.domain.address import Person
from bot.domain.clock import new_id
from bot.domain.message import Outgoing, OutgoingKind

ALLAN = Person(id=new_id(), name="Allan", role="owner", timezone="America/New_York")
GRACE = Person(id=new_id(), name="Grace", role="member", timezone="Europe/London")


def test_conversations_belong_to_their_person():
    door = WebAdapter()
    addresses = {door.address(person, name) for person in (ALLAN, GRACE) for name in ("main", "work", "console")}
    assert len(addresses) == 6
    assert door.address(ALLAN, "main").conversation == f"{ALLAN.id}/main"


def test_console_is_the_terminals_own_conversation():
    address = WebAdapter().address(ALLAN, "console")
    assert (address.channel, address.conversation) == ("console", str(ALLAN.id))


@pytest.mark.parametrize("name", ["", " ", ".", "../x", "a/b", "a\nb", "a\x00", "x" * 65, "\ud800"])
def test_name_that_cannot_be_one_is_refused(name: str):
    assert WebAdapter().address(ALLAN, name) is None


def test_what_was_written_becomes_an_inbound():
    door = WebAdapter()
    address = door.address(ALLAN, "main")
    inbound = door.to_inbound(ALLAN, address, text=" \x00kept\ud800 ", external_id="E1", at=datetime(2026, 11, 22, tzinfo=UTC))
    assert (inbound.text, inbound.external_id, inbound.address) == (" \x00kept\ud800 ", "E1", address)
    assert (inbound.sender.channel, inbound.sender.account) == ("web", str(ALLAN.id))


async def test_recorded_reply_is_a_delivered_one():
    door = WebAdapter()
    outgoing = Outgoing(id=new_id(), address=door.address(ALLAN, "main"), kind=OutgoingKind.ANSWER, text="hello")
    assert await door.send(outgoing) == await door.find(outgoing)
    assert door.capabilities.pulls
