"""The email door against a real mail host (Dovecot and Postfix): waiting, threads, TLS, and every way in which a line can fall."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr

from bot.adapters import email
from bot.adapters.email import EmailAdapter
from bot.config import EmailConfig, MailServerConfig, OAuthConfig
from bot.domain.address import Address, Sender
from bot.domain.clock import SystemClock, new_id
from bot.domain.errors import ChannelRefused, ChannelUnavailable, DeliveryRejected, DeliveryUnknown, StorageUnavailable
from bot.domain.finding import Status
from bot.domain.message import Attachment, Inbound, InboundKind, Outgoing, OutgoingKind
from bot.domain.ports import Card
from storage.database import Database
from tests.conftest import ORGANIZATION, sqlite_url
from tests.e2e.mail_server import ALLAN, PASSWORDS, ROBBIE, MailServer, letter, vouched
from tests.e2e.shim import serving
from tests.e2e.wire import relay
from tests.machine import PATIENCE_SECONDS, free_port

pytestmark = pytest.mark.e2e


class Desk:
    """A reception that keeps what it is brought."""

    def __init__(self) -> None:
        self.received: list[Inbound] = []
        self.is_away, self.refused = False, asyncio.Event()

    async def receive(self, inbound: Inbound) -> None:
        if self.is_away:
            self.refused.set()
            raise StorageUnavailable("away")
        if inbound.external_id not in {each.external_id for each in self.received}:
            self.received.append(inbound)

    async def overview(self, sender: Sender) -> Sequence[Card]:
        return ()

    async def draft(self, sender: Sender, code: str) -> str | None:
        return None

    async def has(self, count: int, *, seconds: float = PATIENCE_SECONDS) -> list[Inbound]:
        """What was received, once it is *count*."""
        async with asyncio.timeout(seconds):
            while len(self.received) < count:
                await asyncio.sleep(0.02)
        return self.received


Make = Callable[..., EmailAdapter]


@pytest.fixture
async def db(sqlite_file: Path) -> AsyncIterator[Database]:
    """Robbie's own data."""
    async with Database(sqlite_url(sqlite_file), organization=ORGANIZATION) as opened:
        yield opened


@pytest.fixture
def make(mail: MailServer, db: Database, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes Robbie's door; by STARTTLS unless told otherwise."""
    monkeypatch.setenv("SSL_CERT_FILE", str(mail.ca))

    def adapter(
        *, imap: str = "imap", smtp: str = "smtp_starttls", tls: str = "starttls", owner: str = "one:1:a", **more: object
    ) -> EmailAdapter:
        config = EmailConfig(
            enabled=True,
            address=ROBBIE,
            imap=MailServerConfig(host="127.0.0.1", port=mail.ports[imap], tls=tls),
            smtp=MailServerConfig(host="127.0.0.1", port=mail.ports[smtp], tls=tls),
            **{"password": SecretStr(PASSWORDS[ROBBIE]), "authserv_id": "mx.test.local", **more},
        )
        return EmailAdapter(config=config, database=db, clock=SystemClock(), owner=owner)

    return adapter


@asynccontextmanager
async def listening(adapter: EmailAdapter, desk: Desk) -> AsyncIterator[asyncio.Event]:
    """As a supervisor would: started anew half a second after it fell. Yields once the mailbox is open."""
    alive = asyncio.Event()

    async def supervise() -> None:
        while True:
            with suppress(ChannelUnavailable, StorageUnavailable):
                await adapter.listen(desk, alive.set)
            await asyncio.sleep(0.5)

    task = asyncio.create_task(supervise())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await alive.wait()
        yield alive
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def answer(inbound: Inbound, text: str, **more: object) -> Outgoing:
    return Outgoing(id=new_id(), address=inbound.address, kind=OutgoingKind.ANSWER, text=text, thread=inbound.thread, **more)


@pytest.mark.parametrize(
    ("imap", "smtp", "tls"), [("imaps", "smtps", "tls"), ("imap", "smtp_starttls", "starttls"), ("imap", "smtp", "none")]
)
async def test_a_thread_of_three_mails_holds_together(mail: MailServer, make: Make, imap: str, smtp: str, tls: str) -> None:
    """Each way to secure the line; both sides find each mail's place by its headers."""
    door, desk = make(imap=imap, smtp=smtp, tls=tls), Desk()
    async with listening(door, desk):
        first = letter("Shall we have lunch?")
        await mail.deliver(vouched(first), sender=ALLAN)
        [asked] = await desk.has(1)
        sent = await door.send(answer(asked, "Yes, **gladly**."))
        [got] = await mail.mail(ALLAN)
        assert got["Message-ID"] == sent.channel_message_id
        assert got["In-Reply-To"] == got["References"] == first["Message-ID"]
        assert (got["Subject"], got["To"], got["Auto-Submitted"]) == ("Re: Lunch", ALLAN, "auto-replied")
        references = f"{got['References']} {got['Message-ID']}"
        said = "At one.\n\nOn Monday, Robbie <robbie@test.local> wrote:\n> Yes, gladly."
        third = letter(said, subject="Re: Lunch", in_reply_to=str(got["Message-ID"]), references=references)
        await mail.deliver(vouched(third), sender=ALLAN)
        asked, went_on = await desk.has(2)
        assert went_on.text == "At one."
        assert "> Yes, gladly." in went_on.quoted
        assert went_on.address == asked.address
        assert went_on.is_verified
        await door.send(answer(went_on, "Noted."))
        last = (await mail.mail(ALLAN, count=2))[1]
        assert last["References"].split() == [first["Message-ID"], got["Message-ID"], third["Message-ID"]]
        assert last["Subject"] == "Re: Lunch"


async def test_new_mail_is_heard_of_at_once_and_old_mail_is_left_alone(
    mail: MailServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email, "IDLE_SECONDS", 600.0)  # nobody but the server tells of new mail
    await mail.deliver(letter("from before Robbie"))
    desk = Desk()
    async with listening(make(), desk):
        await mail.deliver(letter("one"))
        await desk.has(1, seconds=25)  # before the server says that it is still there, which would do too
        for number in range(3):
            await mail.deliver(letter(f"more {number}"))
        assert [each.text for each in await desk.has(4)] == ["one", "more 0", "more 1", "more 2"]
    assert not any("S" in file.name.rpartition(",")[2] for file in (mail.folder / f"mail/{ROBBIE}/cur").iterdir())  # none is marked as seen


@pytest.mark.parametrize("way", ["bye", "restart"])
async def test_what_comes_while_the_line_is_down_is_missed_by_nobody(mail: MailServer, make: Make, way: str) -> None:
    desk = Desk()
    async with listening(make(), desk):
        await mail.deliver(letter("one"))
        await desk.has(1)
        if way == "restart":
            await asyncio.to_thread(mail.stop)
            await asyncio.sleep(1)
            await asyncio.to_thread(mail.start)
        else:
            mail.bye()
        await mail.deliver(letter("two"))
        assert [each.text for each in await desk.has(2)] == ["one", "two"]


@pytest.mark.parametrize("is_silent", [False, True])
async def test_a_line_that_is_cut_or_falls_silent_is_made_anew(mail: MailServer, make: Make, is_silent: bool) -> None:
    """A relay of the test's own stands between: it cuts every line, or holds them open and passes nothing on."""
    desk = Desk()
    async with relay(mail.ports["imap"]) as wire:
        mail.ports["imap"], there = wire.port, mail.ports["imap"]
        try:
            async with listening(make(tls="none", smtp="smtp"), desk):
                await mail.deliver(letter("one"))
                await desk.has(1)
                wire.mute() if is_silent else wire.cut()
                await mail.deliver(letter("two"))
                assert [each.text for each in await desk.has(2)] == ["one", "two"]
        finally:
            mail.ports["imap"] = there


async def test_a_mail_that_could_not_be_stored_comes_again(mail: MailServer, make: Make) -> None:
    desk = Desk()
    async with listening(make(), desk):
        desk.is_away = True
        await mail.deliver(letter("one"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await desk.refused.wait()
        desk.is_away = False
        assert [each.text for each in await desk.has(1)] == ["one"]


async def test_only_one_process_reads_and_another_takes_over(mail: MailServer, make: Make) -> None:
    first, second = Desk(), Desk()
    async with listening(make(owner="one:1:a"), first), listening(make(owner="two:1:a"), second):
        await mail.deliver(letter("one"))
        await first.has(1)
        await asyncio.sleep(0.5)
        assert not second.received
    async with listening(make(owner="two:1:a"), second):
        await mail.deliver(letter("two"))
        assert [each.text for each in await second.has(1)] == ["two"]


async def test_files_come_and_go(mail: MailServer, make: Make, tmp_path: Path) -> None:
    door, desk = make(), Desk()
    message = letter("Look at this")
    message.add_attachment(b"\x00\x01" * 400_000, maintype="application", subtype="pdf", filename="../../etc/p\u00e4per.pdf")
    async with listening(door, desk):
        await mail.deliver(message)
        [asked] = await desk.has(1)
        [file] = asked.attachments
        assert (file.name, file.media_type, file.trouble) == ("p\u00e4per.pdf", "application/pdf", "")
        await door.fetch(file, tmp_path / "in.pdf")
        assert (tmp_path / "in.pdf").read_bytes() == b"\x00\x01" * 400_000
        back = Attachment(name="b\u00e4ck.pdf", media_type="application/pdf", path=tmp_path / "in.pdf")
        await door.send(answer(asked, "Here.", attachments=(back,)))
        [got] = await mail.mail(ALLAN)
        [part] = list(got.iter_attachments())
        assert (part.get_filename(), part.get_content()) == ("b\u00e4ck.pdf", b"\x00\x01" * 400_000)
        with pytest.raises(DeliveryRejected):
            await door.fetch(Attachment(name="x", source="1:1:0"), tmp_path / "x")


async def test_a_monstrous_mail_is_read_from_its_beginning_alone(mail: MailServer, make: Make) -> None:
    door, desk = make(), Desk()
    message = letter("See the film")
    message.add_attachment(b"film" * 10_000_000, maintype="video", subtype="mp4", filename="film.mp4")
    raw = message.as_bytes()
    maildir = mail.folder / f"mail/{ROBBIE}"
    async with listening(door, desk):
        await mail.deliver(letter("first"))  # makes the folders; Postfix itself would refuse the film
        await desk.has(1)
        (maildir / "tmp/film").write_bytes(raw)
        shutil.chown(maildir / "tmp/film", "mail", "mail")
        (maildir / "tmp/film").rename(maildir / "new/film")
        _, asked = await desk.has(2)
        assert asked.text == "See the film"
        [film] = asked.attachments
        assert film.name == "film.mp4"
        assert "too large (52 MB)" in film.trouble


async def test_a_copy_is_kept_by_which_a_doubtful_send_is_settled(mail: MailServer, make: Make) -> None:
    door = make()
    outgoing = Outgoing(
        id=new_id(), address=Address(channel="email", conversation=f"{ALLAN}/x"), kind=OutgoingKind.NOTICE, text="News today."
    )
    with pytest.raises(DeliveryUnknown):
        await door.find(outgoing)
    sent = await door.send(outgoing)
    assert await door.find(outgoing) == sent
    [copy] = mail.mailbox(ROBBIE, "Sent")
    assert copy["Message-ID"] == sent.channel_message_id
    assert (copy["Subject"], copy["Auto-Submitted"]) == ("Robbie: News today.", "auto-generated")


async def test_an_access_token_opens_both_servers(mail: MailServer, make: Make) -> None:
    """FAKE: the provider's token address is ours; Dovecot asks ours whose the token is."""
    asked = []

    async def give(request: web.Request) -> web.Response:
        asked.append(dict(await request.post()))
        return web.json_response({"access_token": "good", "expires_in": 3600, "refresh_token": "second"})

    port = free_port()
    async with serving(give, port=port):
        oauth = OAuthConfig(provider=f"http://127.0.0.1:{port}/token", client_id="robbie", refresh_token=SecretStr("first"))
        mail.tokens["good"] = ROBBIE
        desk = Desk()
        door = make(oauth=oauth)
        async with listening(door, desk):
            await mail.deliver(letter("one"))
            [got] = await desk.has(1)
            await door.send(answer(got, "yes"))
        assert [each["refresh_token"] for each in asked] == ["first"]
        await make(oauth=oauth).send(answer(got, "yes"))
        assert [each["refresh_token"] for each in asked] == ["first", "second"]  # a replaced one outlives the process
        mail.tokens.clear()
        with pytest.raises(ChannelRefused):
            await door.listen(desk, lambda: None)


async def test_wrong_passwords_and_untrusted_servers_are_told_and_no_secret_is(
    mail: MailServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = make(password=SecretStr("not-this-one"))
    for call in (wrong.listen(Desk(), lambda: None), wrong.send(answer(a_mail(), "yes"))):
        with pytest.raises(ChannelRefused) as refused:
            await call
        assert "not-this-one" not in str(refused.value)
    assert [finding.status for finding in await wrong.examine()] == [Status.FAIL]
    monkeypatch.delenv("SSL_CERT_FILE")
    for door in (make(imap="imaps", smtp="smtps", tls="tls"), make()):
        with pytest.raises(ChannelUnavailable):
            await door.listen(Desk(), lambda: None)
        with pytest.raises(ChannelUnavailable):
            await door.send(answer(a_mail(), "yes"))
    with pytest.raises(ChannelUnavailable):  # it says that it has no STARTTLS: nothing is said in the clear
        await make(smtp="smtp").send(answer(a_mail(), "yes"))


async def test_an_examination_tells_what_is_well_and_what_to_write(mail: MailServer, make: Make) -> None:
    await mail.deliver(vouched(letter("one")))
    findings = {finding.part: finding for finding in await make(authserv_id="").examine()}
    assert {part: finding.status for part, finding in findings.items()} == {
        "email reading": Status.OK,
        "email folders": Status.OK,
        "email senders": Status.WARN,
        "email sending": Status.OK,
    }
    assert 'authserv_id = "mx.test.local"' in findings["email senders"].repair
    assert {finding.status for finding in await make().examine()} == {Status.OK}


def a_mail() -> Inbound:
    return Inbound(
        id=new_id(),
        address=Address(channel="email", conversation=f"{ALLAN}/<a@b>"),
        sender=Sender(channel="email", account=ALLAN),
        external_id="<a@b>",
        text="Hello",
        at=SystemClock().now(),
        kind=InboundKind.MESSAGE,
    )
