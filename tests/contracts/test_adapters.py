"""What every door must do, whatever its channel: one suite over all five."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest

from bot.domain.clock import SystemClock
from bot.domain.errors import ChannelUnavailable, DeliveryUnknown
from bot.domain.message import Button, InboundKind
from storage.database import Database
from storage.schema import upgrade
from tests.contracts.channel_stands import PushStand, Stand, stand_of

PULLED, PUSHED = ("web", "console"), ("slack", "telegram", "email")
HOSTILE = [
    "<!channel> <script>alert(1)</script>",
    "*_~`",
    "```\nunclosed",
    "[x](javascript:alert(1))",
    "\x00\ud800 half",
    "a\r\n.\r\nb",
    "𝕏" * 50,
]


@pytest.fixture
async def database(tmp_path: object) -> AsyncIterator[Database]:
    async with Database(f"sqlite+aiosqlite:///{tmp_path}/doors.db", organization="default") as opened:
        await upgrade(opened)
        async with opened.unit_of_work() as work:
            await work.people.ensure_organization(SystemClock().now())
        yield opened


@pytest.fixture(params=[*PULLED, *PUSHED])
async def stand(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Stand]:
    async with stand_of(request.param, database) as made:
        yield made


@pytest.fixture(params=PUSHED)
async def pushed(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[PushStand]:
    async with stand_of(request.param, database) as made:
        assert isinstance(made, PushStand)
        yield made


async def test_what_is_heard_is_told_with_who_where_and_when(stand: Stand):
    async with stand.listening():
        await stand.hear("good morning")
        (heard,) = await stand.reception.count(1)
    assert (heard.text, heard.kind) == ("good morning", InboundKind.MESSAGE)
    assert heard.address.channel == stand.address.channel
    assert heard.sender.account
    assert heard.at.tzinfo is not None
    assert heard.is_verified
    assert heard.wants_reply


async def test_what_is_told_again_has_the_same_id_and_place(stand: Stand):
    async with stand.listening():
        await stand.hear("again", number=5)
        await stand.reception.count(1)
        await stand.hear("again", number=5)
        first, second = await stand.reception.count(2)
        await stand.hear("another", number=6)
        *_, other = await stand.reception.count(3)
    assert (first.external_id, first.sender.account) == (second.external_id, second.sender.account)
    assert first.address == second.address
    assert other.external_id != first.external_id
    assert other.id != first.id


async def test_the_event_itself_is_kept(pushed: PushStand):
    async with pushed.listening():
        await pushed.hear("word for word")
        (heard,) = await pushed.reception.count(1)
    assert "word for word" in heard.raw


async def test_what_could_not_be_kept_comes_again(pushed: PushStand):
    async with pushed.listening():
        pushed.reception.is_away = 1
        await pushed.hear("keep me")
        (heard,) = await pushed.reception.count(1)
    assert heard.text == "keep me"


async def test_a_reply_is_read_there_and_known_by_its_id(stand: Stand):
    sent = await stand.door.send(stand.saying("**Good** morning"))
    assert sent.channel_message_id
    assert sent.is_whole
    if not stand.door.capabilities.pulls:
        (said,) = stand.said()
        assert "Good" in said
        assert "**" not in said


async def test_a_long_reply_arrives_whole_and_in_order(pushed: PushStand):
    words = [f"word{number}" for number in range(1500)]
    sent = await pushed.door.send(pushed.saying(" ".join(words)))
    said = " ".join(pushed.said()).split()
    assert [word for word in said if word.startswith("word")] == words
    assert sent.channel_message_id is not None
    assert len(sent.channel_message_id.split(",")) == len(pushed.said())


async def test_choices_can_be_pressed_or_are_numbered(pushed: PushStand):
    buttons = (Button(label="Approve", command="/approve K7"), Button(label="Reject", command="/reject K7"))
    await pushed.door.send(pushed.saying("What now?", buttons=buttons))
    (said,) = pushed.said()
    numbered = "1. Approve" in said and "2. Reject" in said
    assert "Approve" in said
    assert numbered is not pushed.door.capabilities.buttons


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_text_is_too_strange_to_be_said(pushed: PushStand, text: str):
    await pushed.door.send(pushed.saying(text))
    assert pushed.said()


async def test_a_reply_that_names_its_message_becomes_an_edit_of_it(pushed: PushStand):
    if pushed.door.capabilities.show_seconds == 0:
        pytest.skip("mail cannot be changed once it is sent: the final text only")
    first = await pushed.door.send(pushed.saying("as yet"))
    last = await pushed.door.send(replace(pushed.saying("at last"), channel_message_id=first.channel_message_id))
    assert last.channel_message_id == first.channel_message_id
    assert [said.strip() for said in pushed.said()] == ["at last"]


async def test_a_channel_that_can_tell_finds_what_it_has_and_nothing_else(stand: Stand):
    if not stand.door.capabilities.finds:
        pytest.skip("it cannot be asked: a send in doubt is repeated, marked")
    sent, other = stand.saying("once"), stand.saying("never")
    told = await stand.door.send(sent)
    found = await stand.door.find(sent)
    assert found is not None
    assert (found.channel_message_id, found.is_whole) == (told.channel_message_id, True)
    with suppress(DeliveryUnknown):  # of a mail it cannot be told
        assert await stand.door.find(other) is None


async def test_a_channel_that_is_gone_is_one_error_without_a_secret(pushed: PushStand):
    await pushed.cut()
    with pytest.raises((ChannelUnavailable, DeliveryUnknown)) as caught:
        await pushed.door.send(pushed.saying("hello?"))
    assert not any(secret in str(caught.value) for secret in ("xoxb-secret", "xapp-secret", "123:abc", "pw"))


async def test_an_examination_finds_a_channel_that_is_gone(pushed: PushStand):
    await pushed.cut()
    findings = await pushed.door.examine()
    assert any(finding.status == "fail" and finding.repair for finding in findings)
    assert all(finding.part.startswith(pushed.door.channel) for finding in findings)
