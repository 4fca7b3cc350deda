"""Email's door: one process reads the mailbox as new mail comes, and answers go out as mails in the same thread.

Its rooms: `mail_account` speaks with the servers; `mail` reads what came, over `mail_text` and `mail_trust`; `mail_letter` writes what
goes. All but the first are pure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import structlog
from aiohttp import web

from bot.adapters.mail import CHANNEL, Mail, MailReader, content_of, files_of, headers_of, parse
from bot.adapters.mail_account import Credentials, Mailbox, Submission, ask_once
from bot.adapters.mail_letter import message_id_of, reader_of, write
from bot.adapters.mail_text import Quoting
from bot.adapters.mail_trust import authserv_id_of
from bot.config import EmailConfig
from bot.domain.clock import Clock
from bot.domain.errors import AdapterError, ChannelRefused, ChannelUnavailable, DeliveryRejected, DeliveryUnknown, StorageUnavailable
from bot.domain.finding import Finding, Status
from bot.domain.message import Attachment, Inbound, Outgoing, Sent
from bot.domain.ports import Capabilities, Reception
from bot.hub.owner import Lease
from storage.database import Database

log = structlog.get_logger(__name__)

T = TypeVar("T")

CURSOR = "email:inbox"
LEASE_SECONDS = 18.0
"""Renewed when half of it is over, which may be no sooner than after one wait."""
STANDBY_SECONDS = 3.0
"""Between two looks whether the process that reads has gone."""
IDLE_SECONDS = POLL_SECONDS = 8.0
"""So long the server is waited for where it tells of new mail, or left alone where it does not; less than half of the lease."""
LARGEST_MAIL = 30 << 20
"""Bytes; of a larger one only the beginning is read."""
BEGINNING = 512 << 10
RECENT = timedelta(days=3)
"""What is read again where a server has numbered its mails anew."""
ASK_SECONDS = 30.0
KEEP_SECONDS = 15.0
MOST_LINES = 2
"""At once, beside the one that is listened on: providers allow some fifteen, and each holds a thread."""
EXAMINE_SECONDS = 8.0
NEWEST_MAILS = 20
"""Among so many of the last numbers a mail is looked for that shows what the server writes on it."""


class EmailAdapter:
    """One mailbox; see `Door`."""

    channel = CHANNEL
    capabilities = Capabilities(finds=True, answers_strangers=False)
    routes: Sequence[web.RouteDef] = ()
    deaf_seconds = 20.0

    def __init__(self, *, config: EmailConfig, database: Database, clock: Clock, owner: str) -> None:
        assert config.imap is not None  # see `load_config`
        assert config.smtp is not None
        self._config, self._imap = config, config.imap
        self._database, self._clock = database, clock
        self._lease = Lease(CHANNEL, database=database, owner=owner, clock=clock, seconds=LEASE_SECONDS)
        self._reader = MailReader(address=config.address, authserv_id=config.authserv_id, quoting=Quoting.load())
        self._submission = Submission(config.smtp, address=config.address)
        self._credentials = Credentials(config, database=database, clock=clock)
        self._lines = asyncio.Semaphore(MOST_LINES)
        self._shut_out: ChannelRefused | None = None
        """What the server that sends said of the password; listening ends by it, since that is what the owner is told of."""

    async def listen(self, reception: Reception, told: Callable[[], None]) -> None:
        """Read the mailbox, or stand by while another process does; ends where another one took it over. See `Door.listen`."""
        if self._shut_out:
            async with self._submission.line(await self._credentials.current()):
                self._shut_out = None
        while not await self._may_read():
            told()
            await asyncio.sleep(STANDBY_SECONDS)
        box = Mailbox(self._imap, await self._credentials.current())
        try:
            await asyncio.to_thread(box.open)
            told()
            await self._read(box, reception, told)
        finally:
            await asyncio.to_thread(box.close)
            await self._lease.end()

    async def send(self, outgoing: Outgoing) -> Sent:
        """See `Adapter.send`. A mail cannot be changed afterwards."""
        message_id, to = message_id_of(outgoing, self._config.address), reader_of(outgoing)
        raw = await asyncio.to_thread(self._write, outgoing)
        try:
            await self._submission.send(raw, to=to, sign_in=await self._credentials.current())
        except ChannelRefused as error:
            self._shut_out = error
            raise
        try:
            await self._ask(lambda box: box.has_sent(message_id, else_keep=raw), seconds=KEEP_SECONDS)
        except AdapterError as error:
            log.warning("email.sent_but_not_kept", error=str(error))
        return Sent(channel_message_id=message_id)

    async def find(self, outgoing: Outgoing) -> Sent | None:
        """See `Adapter.find`: what was sent lies in its folder; what does not may have gone all the same, before its copy was filed."""
        message_id = message_id_of(outgoing, self._config.address)
        if not await self._ask(lambda box: box.has_sent(message_id)):
            raise DeliveryUnknown("no copy of it was filed")
        return Sent(channel_message_id=message_id)

    async def show(self, outgoing: Outgoing) -> Sent:
        """Nobody watches a mail grow."""
        return Sent()

    async def fetch(self, attachment: Attachment, into: Path) -> None:
        """See `Door.fetch`. Raises DeliveryRejected where it has gone."""
        validity, uid, number = map(int, attachment.source.split(":"))
        content = await self._ask(lambda box: _read_file(box, validity, uid, number))
        await asyncio.to_thread(into.write_bytes, content)

    async def close(self) -> None:
        """Nothing is left open between two questions."""

    async def examine(self) -> Sequence[Finding]:
        """See `Door.examine`."""
        found: list[Finding] = []
        try:
            found += await self._ask(self._examine_box, seconds=EXAMINE_SECONDS)
            async with self._submission.line(await self._credentials.current()):
                found.append(_finding("sending", True, f"signed in as {self._config.address}"))
        except AdapterError as error:
            part, server = ("sending", "smtp") if found else ("reading", "imap")
            repair = f"check email.{server}, email.username and the password (an app password where sign-in has two steps)"
            found.append(Finding(part=f"email {part}", status=Status.FAIL, detail=str(error), repair=repair))
        return found

    async def _read(self, box: Mailbox, reception: Reception, told: Callable[[], None]) -> None:
        """Bring each mail as it comes; returns where another process reads now."""
        last = await self._beginning(box)
        while await self._may_read():
            uids = await asyncio.to_thread(box.uids, after=last)
            told()
            for uid in uids:
                await self._bring(box, uid, reception, told)
                if not await self._lease.is_held():
                    return
                last = await self._note(box, uid)
            if not uids:
                await (asyncio.to_thread(box.wait, IDLE_SECONDS) if box.has_idle else asyncio.sleep(POLL_SECONDS))
                told()

    async def _may_read(self) -> bool:
        """Whether no other process reads. Raises ChannelRefused where this one may not send."""
        if self._shut_out:
            raise self._shut_out
        return await self._lease.is_held()

    async def _beginning(self, box: Mailbox) -> int:
        """The last UID that was read: at first all that lies there already, and some days less where the server counts anew."""
        async with self._database.reading() as work:
            kept = await work.housekeeping.cursor(CURSOR) or ""
        newest = box.next_uid - 1 if box.next_uid else max(await asyncio.to_thread(box.uids), default=0)
        validity, _, last = kept.partition(":")
        if not kept:
            return await self._note(box, newest)
        if validity == str(box.validity) and last.isdigit():
            return min(int(last), newest)
        recent = await asyncio.to_thread(box.uids, since=(self._clock.now() - RECENT).date())
        return min([newest, *(uid - 1 for uid in recent)])

    async def _bring(self, box: Mailbox, uid: int, reception: Reception, told: Callable[[], None]) -> None:
        """Have one mail kept. One that cannot be read must not hold up those behind it. Raises StorageUnavailable."""
        if (mail := await self._download(box, uid, told)) is None:
            log.warning("email.not_to_be_had", uid=uid)
            return
        try:
            inbound = await asyncio.to_thread(self._reader.to_inbound, mail)
        except Exception:
            log.exception("email.unreadable", uid=uid)
            inbound = self._reader.to_unreadable(mail)
        try:
            await reception.receive(await self._placed(inbound))
        except StorageUnavailable:
            raise
        except Exception:
            log.exception("email.refused", uid=uid)

    async def _placed(self, inbound: Inbound) -> Inbound:
        """In the conversation of the mail of ours that it answers: some mail programs name no other of a thread."""
        answered, (account, _, root) = inbound.thread.get("in_reply_to", ""), inbound.address.conversation.partition("/")
        if not answered.endswith(f"@{self._config.address.rpartition('@')[2]}>") or root.startswith("unverified/"):
            return inbound
        async with self._database.reading() as work:
            said = await work.messages.find_on_channel(CHANNEL, answered)
            conversation = None if said is None else await work.conversations.find_by_id(said.conversation_id)
        if conversation is None or not conversation.key.startswith(f"{account}/<"):
            return inbound
        return replace(inbound, address=replace(inbound.address, conversation=conversation.key))

    async def _download(self, box: Mailbox, uid: int, told: Callable[[], None]) -> Mail | None:
        """A mail with its source, or its beginning where it is too large; None where the server does not give it."""
        if (seen := await asyncio.to_thread(box.look, uid)) is None:
            return None
        at, size = seen
        is_whole, raw = size <= LARGEST_MAIL, bytearray()
        pieces = box.pieces(uid, most_bytes=LARGEST_MAIL if is_whole else BEGINNING)
        while piece := await asyncio.to_thread(next, pieces, b""):
            raw += piece
            told()
            await self._lease.is_held()
        return Mail(source=f"{box.validity}:{uid}", at=at, size=size, raw=bytes(raw), is_whole=is_whole) if raw else None

    async def _note(self, box: Mailbox, uid: int) -> int:
        """Remember that it was read as far as *uid*. Raises StorageUnavailable."""
        async with self._database.unit_of_work() as work:
            await work.housekeeping.set_cursor(CURSOR, f"{box.validity}:{uid}")
        return uid

    async def _ask(self, question: Callable[[Mailbox], T], *, seconds: float = ASK_SECONDS) -> T:
        """What *question* makes of a line of its own: the one that is listened on stays undisturbed. Raises AdapterError."""
        sign_in = await self._credentials.current()
        try:
            async with asyncio.timeout(seconds), self._lines:
                return await asyncio.to_thread(ask_once, self._imap, sign_in, question)
        except TimeoutError:
            raise ChannelUnavailable(f"imap {self._imap.host}: no answer for {seconds:g} s") from None

    def _write(self, outgoing: Outgoing) -> bytes:
        """The mail with its files; it says so where one of them cannot be read. Raises DeliveryRejected."""
        files = [(each, each.path.read_bytes()) for each in outgoing.attachments if each.path and each.path.is_file()]
        if lost := [each.name for each in outgoing.attachments if each not in (file for file, _ in files)]:
            outgoing = replace(outgoing, text=f"{outgoing.text}\n\n(Could not be attached: {', '.join(lost)}.)")
        return write(outgoing, address=self._config.address, at=self._clock.now(), files=files)

    def _examine_box(self, box: Mailbox) -> list[Finding]:
        folder, hears = box.sent_folder(), "told of new mail at once" if box.has_idle else f"looks every {POLL_SECONDS:g} s"
        newest = box.uids(after=max(box.next_uid - NEWEST_MAILS, 0))[-1:]
        source = b"".join(piece for uid in newest for piece in box.pieces(uid, most_bytes=1))
        checked_by = authserv_id_of(headers_of(parse(source)).get("authentication-results", [""])[0])
        return [
            _finding("reading", True, f"signed in; {hears}"),
            _finding("folders", bool(folder), f"copies of answers go to {folder or 'no folder'}", "make a folder named Sent"),
            _believed(self._config.authserv_id, checked_by),
        ]


def _believed(told: str, seen: str) -> Finding:
    """Whether the server whose checks count (as config has *told*) is the one that has checked the newest mail."""
    is_other = seen not in {"", told.lower()}
    detail = f'believes what "{told}" says of senders' if told else "nobody is believed to be who they say: no command by mail counts"
    hint = f'; the newest mail bears the checks of "{seen}"' if is_other else ""
    repair = f'if that is your mail server, write email.authserv_id = "{seen}"' if is_other else "set email.authserv_id (docs/email.md)"
    return _finding("senders", bool(told) and not is_other, detail + hint, repair)


def _finding(part: str, is_well: bool, detail: str, repair: str = "") -> Finding:
    return Finding(part=f"email {part}", status=Status.OK if is_well else Status.WARN, detail=detail, repair="" if is_well else repair)


def _read_file(box: Mailbox, validity: int, uid: int, number: int) -> bytes:
    """The bytes of a mail's file. Raises DeliveryRejected."""
    source = b"".join(box.pieces(uid, most_bytes=LARGEST_MAIL)) if box.validity == validity else b""
    files = files_of(parse(source))
    if number >= len(files):
        raise DeliveryRejected("the mail has gone from the mailbox")
    return content_of(files[number])
