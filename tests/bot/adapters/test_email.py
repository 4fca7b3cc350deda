"""The email door with the real libraries against FAKE servers of ours, for what a real one does not do when it is asked to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from email import message_from_bytes
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.adapters.email import CURSOR, EmailAdapter
from bot.config import EmailConfig, MailServerConfig, OAuthConfig
from bot.domain.address import Address, Sender
from bot.domain.clock import new_id
from bot.domain.errors import (
    AdapterError,
    ChannelRefused,
    ChannelUnavailable,
    ConfigError,
    DeliveryRejected,
    DeliveryUnknown,
    StorageError,
    StorageUnavailable,
)
from bot.domain.finding import Status
from bot.domain.message import Attachment, Inbound, Outgoing, OutgoingKind
from bot.domain.ports import Card, Door
from storage.database import Database
from tests.bot.adapters.mail_fakes import CUT, PASSWORD, FakeImap, FakeSmtp, serving
from tests.clock import FakeClock
from tests.conftest import ORGANIZATION, sqlite_url
from tests.machine import PATIENCE_SECONDS

ALLAN = "allan@example.com"


class Desk:
    """A reception that keeps what it is brought, or refuses it with the next of its troubles."""

    def __init__(self) -> None:
        self.received: list[Inbound] = []
        self.troubles: list[Exception] = []
        self.news = asyncio.Condition()

    async def receive(self, inbound: Inbound) -> None:
        if self.troubles:
            raise self.troubles.pop(0)
        async with self.news:
            self.received.append(inbound)
            self.news.notify_all()

    async def overview(self, sender: Sender) -> Sequence[Card]:
        return ()

    async def draft(self, sender: Sender, code: str) -> str | None:
        return None

    async def has(self, count: int) -> list[str]:
        """The words of what was received, once there are so many."""
        async with asyncio.timeout(PATIENCE_SECONDS), self.news:
            await self.news.wait_for(lambda: len(self.received) >= count)
        return [each.text for each in self.received]


class House:
    """Robbie's door between two FAKE servers."""

    def __init__(self, database: Database, imap_port: int, smtp_port: int, imap: FakeImap, smtp: FakeSmtp) -> None:
        self.database, self.imap, self.smtp, self.clock, self.desk = database, imap, smtp, FakeClock(), Desk()
        self._ports = imap_port, smtp_port
        self.door = self.make()

    def make(self, **more: object) -> EmailAdapter:
        servers = [MailServerConfig(host="127.0.0.1", port=port, tls="none") for port in self._ports]
        config = EmailConfig(
            enabled=True, address="robbie@example.org", imap=servers[0], smtp=servers[1], **{"password": SecretStr(PASSWORD), **more}
        )
        return EmailAdapter(config=config, database=self.database, clock=self.clock, owner="one:1:a")

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[asyncio.Task[None]]:
        """While the mailbox is read; gives what reads it."""
        alive = asyncio.Event()
        task = asyncio.create_task(self.door.listen(self.desk, alive.set))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not alive.is_set() or not await self.cursor():
                    await asyncio.sleep(0.01)
                    if task.done():
                        await task
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, AdapterError, StorageError):
                await task

    async def cursor(self) -> str | None:
        async with self.database.reading() as work:
            return await work.housekeeping.cursor(CURSOR)

    async def read_until(self, value: str) -> None:
        """Return when so much was read."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.cursor() != value:
                await asyncio.sleep(0.01)


@pytest.fixture
async def house(sqlite_file: Path) -> AsyncIterator[House]:
    imap, smtp = FakeImap(), FakeSmtp()
    async with (
        Database(sqlite_url(sqlite_file), organization=ORGANIZATION) as database,
        serving(imap.serve) as imap_port,
        serving(smtp.serve) as smtp_port,
    ):
        yield House(database, imap_port, smtp_port, imap, smtp)


def mail(text: str, **headers: str) -> bytes:
    named = {"From": f"Allan <{ALLAN}>", "To": "robbie@example.org", "Message-ID": f"<{text.replace(' ', '.')}@x>", **headers}
    return "".join(f"{name}: {value}\r\n" for name, value in named.items()).encode() + b"\r\n" + text.encode() + b"\r\n"


def notice(text: str = "News", **more: object) -> Outgoing:
    address = Address(channel="email", conversation=f"{ALLAN}/news")
    return Outgoing(id=new_id(), address=address, kind=OutgoingKind.NOTICE, text=text, **more)


async def test_it_is_a_door(house: House) -> None:
    door: Door = house.door
    assert (door.channel, list(door.routes)) == ("email", [])
    assert (door.capabilities.finds, door.capabilities.answers_strangers, door.capabilities.buttons) == (True, False, False)


async def test_reading_begins_with_what_comes_and_goes_on_where_it_ended(house: House) -> None:
    house.imap.comes(mail("from before Robbie"))
    async with house.listening():
        house.imap.comes(mail("one"))
        await house.read_until("7:2")
    house.imap.comes(mail("while he slept"))
    async with house.listening():
        assert await house.desk.has(2) == ["one", "while he slept"]
    assert not any("STORE" in command or "SELECT" in command for command in house.imap.said)


async def test_a_server_that_numbers_its_mails_anew_has_the_recent_ones_read_again(house: House) -> None:
    async with house.listening():
        house.imap.comes(mail("one"))
        await house.read_until("7:1")
    house.imap.validity = 8
    house.imap.comes(mail("two"))
    async with house.listening():
        assert await house.desk.has(3) == ["one", "one", "two"]  # a repeat carries the same id, and ends at the ledger
        await house.read_until("8:2")
    assert house.desk.received[0].external_id == house.desk.received[1].external_id


async def test_a_server_without_idle_is_polled(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.adapters.email.POLL_SECONDS", 0.02)
    house.imap.has_idle = False
    async with house.listening():
        house.imap.comes(mail("one"))
        assert await house.desk.has(1) == ["one"]
    assert "IDLE" not in house.imap.said


async def test_what_could_not_be_stored_comes_again(house: House) -> None:
    house.desk.troubles = [StorageUnavailable("away")]
    house.imap.comes(mail("zero"))
    async with house.listening():
        pass
    house.imap.comes(mail("one"))
    with pytest.raises(StorageUnavailable):
        await house.door.listen(house.desk, lambda: None)
    async with house.listening():
        assert await house.desk.has(1) == ["one"]


async def test_one_bad_mail_holds_up_no_other(house: House) -> None:
    """One that the server does not give, one that breaks the reader, one that the ledger refuses, and an empty one."""
    async with house.listening():
        house.desk.troubles = [StorageError("no such character")]
        house.imap.refused = {1}
        for raw in (mail("refused"), mail("breaks the ledger"), b"\x00", b"\r\n\r\n", mail("good")):
            house.imap.comes(raw)
        await house.read_until("7:5")
    assert [each.text.strip("\ufffd") for each in house.desk.received] == ["", "", "good"]
    assert [each.wants_reply for each in house.desk.received] == [False, False, True]


async def test_a_mail_that_breaks_the_reader_is_kept_as_it_came(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.adapters.mail.words_of", lambda message: 1 / 0 if message.keys() else "")
    async with house.listening():
        house.imap.comes(mail("one"))
        await house.desk.has(1)
    [kept] = house.desk.received
    assert (kept.text, kept.wants_reply, kept.is_verified) == ("", False, False)
    assert kept.raw.endswith("one\r\n")


async def test_whoever_holds_the_lease_reads_alone(house: House) -> None:
    async with house.listening():
        waiting = asyncio.Event()
        other = EmailAdapter(config=house.door._config, database=house.database, clock=house.clock, owner="two:1:a")
        task = asyncio.create_task(other.listen(Desk(), waiting.set))
        await asyncio.wait_for(waiting.wait(), PATIENCE_SECONDS)
        logins = [command for command in house.imap.said if command.startswith("LOGIN")]
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert len(logins) == 1


async def test_a_wrong_password_is_no_outage_and_too_many_lines_are(house: House) -> None:
    house.imap.refuses = f"NO [AUTHENTICATIONFAILED] not with {PASSWORD}"
    with pytest.raises(ChannelRefused) as refused:
        await house.door.listen(house.desk, lambda: None)
    assert PASSWORD not in str(refused.value)
    house.imap.refuses = "NO [ALERT] Too many simultaneous connections. (Failure)"
    with pytest.raises(ChannelUnavailable):
        await house.door.listen(house.desk, lambda: None)


async def test_a_password_refused_for_sending_alone_ends_listening_until_it_is_taken(house: House) -> None:
    """So the owner hears of it; what comes meanwhile lies in the mailbox."""
    house.smtp.answers["AUTH"] = "535 wrong"
    async with house.listening() as ended:
        with pytest.raises(ChannelRefused):
            await house.door.send(notice())
        house.imap.comes(mail("read before it ends"))
        with pytest.raises(ChannelRefused):
            await asyncio.wait_for(ended, PATIENCE_SECONDS)
    with pytest.raises(ChannelRefused):
        await house.door.listen(house.desk, lambda: None)
    house.imap.comes(mail("meanwhile"))
    del house.smtp.answers["AUTH"]
    async with house.listening():
        assert await house.desk.has(2) == ["read before it ends", "meanwhile"]


async def test_cancelling_ends_at_once_though_the_server_is_silent(house: House) -> None:
    async with house.listening():
        await asyncio.sleep(0.05)
        begun = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - begun < 6  # less than it would listen


@pytest.mark.parametrize(
    ("verb", "says", "error"),
    [
        ("greeting", "421 not now", ChannelUnavailable),
        ("greeting", "554 not you", ChannelUnavailable),
        ("greeting", CUT, ChannelUnavailable),
        ("AUTH", "535 wrong", ChannelRefused),
        ("AUTH", "504 not in this way", ChannelRefused),
        ("AUTH", "454 not now", ChannelUnavailable),
        ("MAIL", "530 sign in first", ChannelRefused),
        ("RCPT", "550 no such person", DeliveryRejected),
        ("RCPT", "451 greylisted", ChannelUnavailable),
        ("RCPT", CUT, ChannelUnavailable),
        ("DATA", "554 no", DeliveryRejected),
        (".", "552 too large", DeliveryRejected),
        (".", "452 disk full", ChannelUnavailable),
        (".", CUT, DeliveryUnknown),
    ],
)
async def test_each_refusal_is_told_as_what_it_is(house: House, verb: str, says: str, error: type[AdapterError]) -> None:
    house.smtp.answers[verb] = says
    with pytest.raises(error) as raised:
        await house.door.send(notice())
    assert PASSWORD not in str(raised.value)
    assert house.imap.sent == []
    if says[:1] == "4" and isinstance(raised.value, ChannelUnavailable):
        assert raised.value.retry_after == 60


async def test_nobody_but_the_writer_gets_the_answer_and_a_copy_is_kept_once(house: House) -> None:
    outgoing = notice(thread={"from": ALLAN, "to": "everyone@example.com", "subject": "Hi", "message_id": "<a@b>", "references": ""})
    with pytest.raises(DeliveryUnknown):
        await house.door.find(outgoing)
    sent = await house.door.send(outgoing)
    assert house.smtp.recipients == [ALLAN]
    assert message_from_bytes(house.smtp.taken[0])["To"] == ALLAN
    assert await house.door.find(outgoing) == sent
    assert await house.door.send(outgoing) == sent  # the same mail, and no second copy
    assert len(house.imap.sent) == 1


async def test_an_accepted_mail_is_sent_though_no_copy_can_be_kept(house: House) -> None:
    house.imap.refuses = "NO [UNAVAILABLE] later"
    assert (await house.door.send(notice())).channel_message_id
    assert len(house.smtp.taken) == 1


async def test_a_file_that_is_gone_is_told(house: House, tmp_path: Path) -> None:
    await house.door.send(notice(attachments=(Attachment(name="gone.pdf", path=tmp_path / "gone.pdf"),)))
    assert b"(Could not be attached: gone.pdf.)" in house.smtp.taken[0]
    with pytest.raises(DeliveryRejected):
        await house.door.fetch(Attachment(name="x", source="7:1:0"), tmp_path / "x")


async def test_an_examination_sees_whose_checks_the_newest_mail_bears(house: House) -> None:
    house.imap.comes(mail("one", **{"Authentication-Results": "mx.example.org; none"}))
    senders = next(each for each in await house.door.examine() if each.part == "email senders")
    assert senders.status is Status.WARN
    assert 'email.authserv_id = "mx.example.org"' in senders.repair
    assert {each.status for each in await house.make(authserv_id="mx.example.org").examine()} == {Status.OK}


async def test_what_cannot_work_is_said_when_it_is_built(house: House) -> None:
    oauth = OAuthConfig(provider="http://tokens.example.com", client_id="x", refresh_token=SecretStr("y"))
    with pytest.raises(ConfigError, match=r"email\.oauth\.provider"):
        house.make(oauth=oauth)
