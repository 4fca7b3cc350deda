"""A stand for each door: the real adapter, and what stands on its other side. FAKE are the servers of Slack, Telegram and the mailbox."""

from __future__ import annotations

import asyncio
import html
import json
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from bot.adapters.email import EmailAdapter
from bot.adapters.slack import SlackAdapter
from bot.adapters.telegram import TelegramAdapter
from bot.adapters.web import CONSOLE, WebAdapter
from bot.config import EmailConfig, MailServerConfig, SlackConfig, TelegramConfig
from bot.domain.address import Address, Person, Sender
from bot.domain.clock import SystemClock, new_id
from bot.domain.errors import StorageUnavailable
from bot.domain.message import Inbound, Outgoing, OutgoingKind
from bot.domain.ports import Adapter, Card, Door
from storage.database import Database
from tests.bot.adapters.fake_telegram import TOKEN, fake_telegram, message
from tests.bot.adapters.mail_fakes import PASSWORD, FakeImap, FakeSmtp, serving
from tests.machine import PATIENCE_SECONDS
from tests.slack_fake import ALLAN, DIRECT, TEAM, fake_slack

ALLAN_AS_PERSON = Person(id=UUID(int=7), name="Allan", role="owner", timezone="UTC")


class FakeReception:
    """FAKE: keeps what it is brought, unless the storage is away."""

    def __init__(self) -> None:
        self.kept: list[Inbound] = []
        self.is_away = 0
        self._came = asyncio.Condition()

    async def receive(self, inbound: Inbound) -> None:
        if self.is_away:
            self.is_away -= 1
            raise StorageUnavailable("FAKE: locked")
        async with self._came:
            self.kept.append(inbound)
            self._came.notify_all()

    async def count(self, count: int) -> list[Inbound]:
        """What was brought, once it is so much."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._came:
            await self._came.wait_for(lambda: len(self.kept) >= count)
        return self.kept

    async def overview(self, sender: Sender) -> Sequence[Card]:
        return ()

    async def manners(self, sender: Sender) -> Mapping[str, str]:
        return {}

    async def draft(self, sender: Sender, code: str) -> str | None:
        return None


class Stand(ABC):
    """One door, and somebody on its other side."""

    door: Adapter
    address: Address

    def __init__(self) -> None:
        self.reception = FakeReception()

    @abstractmethod
    async def hear(self, text: str, *, number: int = 1) -> None:
        """Somebody writes; the same number is the same message, told again."""

    @abstractmethod
    def said(self) -> list[str]:
        """What can be read there now, in order, without the signs of formatting."""

    def saying(self, text: str, **more: Any) -> Outgoing:
        """A reply in the stand's conversation."""
        return Outgoing(id=new_id(), address=self.address, kind=OutgoingKind.ANSWER, text=text, **more)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """While the door listens as a supervisor has it do: when it falls, it is begun anew."""
        yield


class PushStand(Stand):
    """A door that listens."""

    door: Door
    cut: Callable[[], Any]
    """The other side is gone from now on."""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        alive = asyncio.Event()

        async def keep() -> None:
            while True:
                with suppress(StorageUnavailable):
                    await self.door.listen(self.reception, alive.set)

        task = asyncio.create_task(keep())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await alive.wait()
                await self._ready()
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _ready(self) -> None:
        """What is said from now on is heard."""


class PullStand(Stand):
    """A door whose readers look into the ledger: the page, or the terminal."""

    def __init__(self, channel: str) -> None:
        super().__init__()
        self.door: WebAdapter = WebAdapter()
        self.address = self.door.address(ALLAN_AS_PERSON, CONSOLE if channel == CONSOLE else "main") or Address(channel="", conversation="")

    async def hear(self, text: str, *, number: int = 1) -> None:
        heard = self.door.to_inbound(ALLAN_AS_PERSON, self.address, text=text, external_id=str(number), at=SystemClock().now())
        await self.reception.receive(heard)

    def said(self) -> list[str]:
        return []


class SlackStand(PushStand):
    """Slack, by Socket Mode."""

    def __init__(self, fake: Any, database: Database, stop: Callable[[], Any]) -> None:
        super().__init__()
        self._fake, self.cut = fake, stop
        secrets = {"bot_token": SecretStr("xoxb-secret"), "app_token": SecretStr("xapp-secret")}
        config = SlackConfig(enabled=True, api_url=fake.api_url, **secrets)
        self.door = SlackAdapter(config=config, database=database, clock=SystemClock())
        self.address = Address(channel="slack", conversation=f"{TEAM}/{DIRECT}")

    async def _ready(self) -> None:
        await self._fake.connected()

    async def hear(self, text: str, *, number: int = 1) -> None:
        said = {"type": "message", "channel_type": "im", "channel": DIRECT, "user": ALLAN, "text": text, "ts": f"1790000000.{number:06}"}
        payload = {"type": "event_callback", "team_id": TEAM, "event_id": f"Ev{number}", "event": said}
        before = len(self._fake.acknowledged)
        for _ in range(5):  # as Slack does: what is not acknowledged comes again
            await self._fake.sends(payload)
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._fake.acknowledgements(before + 1)
                    return

    def said(self) -> list[str]:
        texts = {f"{kept['channel']}:{kept['ts']}": kept for kept in self._fake.messages.values()}
        for changed in self._fake.called("chat.update"):
            texts[f"{changed['channel']}:{changed['ts']}"] |= {"blocks": changed["blocks"]}
        return [_of_blocks(kept.get("blocks") or []) for kept in texts.values()]


def _of_blocks(blocks: Any) -> str:
    blocks = json.loads(blocks) if isinstance(blocks, str) else blocks
    shown = [block["text"]["text"] for block in blocks if block["type"] == "section"]
    shown += [element["text"]["text"] for block in blocks if block["type"] == "actions" for element in block["elements"]]
    return html.unescape("\n".join(shown))


class TelegramStand(PushStand):
    """Telegram, polled."""

    def __init__(self, fake: Any, database: Database, stop: Callable[[], Any]) -> None:
        super().__init__()
        self._fake, self.cut = fake, stop
        config = TelegramConfig(enabled=True, token=SecretStr(TOKEN), api_url=fake.url)
        self.door = TelegramAdapter(config=config, database=database, clock=SystemClock(), owner="here:1:a", public_url="")
        self.address = Address(channel="telegram", conversation="41")

    async def hear(self, text: str, *, number: int = 1) -> None:
        self._fake.happens(message=message(text, number=number))

    def said(self) -> list[str]:
        texts = [sent["text"] + _of_markup(sent) for sent in self._fake.asked("sendMessage")]
        for changed in self._fake.asked("editMessageText"):
            texts[int(changed["message_id"]) - 500] = changed["text"]
        return [html.unescape(re.sub(r"<[^>]+>", "", text)) for text in texts]


def _of_markup(sent: dict[str, Any]) -> str:
    keyboard = (sent.get("reply_markup") or {}).get("inline_keyboard", [])
    return "".join(f"\n{button['text']}" for row in keyboard for button in row)


class MailStand(PushStand):
    """A mailbox."""

    def __init__(self, imap: FakeImap, smtp: FakeSmtp, ports: Sequence[int], database: Database, stop: Callable[[], Any]) -> None:
        super().__init__()
        self._imap, self._smtp, self.cut = imap, smtp, stop
        servers = [MailServerConfig(host="127.0.0.1", port=port, tls="none") for port in ports]
        config = EmailConfig(
            enabled=True, address="robbie@example.org", imap=servers[0], smtp=servers[1], password=SecretStr(PASSWORD), authserv_id="mx"
        )
        self.door = EmailAdapter(config=config, database=database, clock=SystemClock(), owner="here")
        self.address = Address(channel="email", conversation="allan@example.com/1@x")
        self._database = database

    async def _ready(self) -> None:
        while True:
            async with self._database.reading() as work:
                if await work.housekeeping.cursor("email:inbox"):
                    return
            await asyncio.sleep(0.01)

    async def hear(self, text: str, *, number: int = 1) -> None:
        vouched = "Authentication-Results: mx; dmarc=pass header.from=example.com\r\n"
        names = f"From: Allan <allan@example.com>\r\nTo: robbie@example.org\r\nMessage-ID: <{number}@x>\r\nSubject: hi\r\n\r\n"
        self._imap.comes((vouched + names + text + "\r\n").encode())

    def said(self) -> list[str]:
        mails = [message_from_bytes(raw.replace(b"\r\n..", b"\r\n."), policy=policy.default) for raw in self._smtp.taken]
        return [mail.get_body(("plain",)).get_content() for mail in mails]


@asynccontextmanager
async def stand_of(channel: str, database: Database) -> AsyncIterator[Stand]:
    """The stand of a channel, with all that it needs."""
    async with AsyncExitStack() as stack, AsyncExitStack() as servers:
        if channel in ("web", CONSOLE):
            yield PullStand(channel)
            return
        stand: PushStand
        if channel == "slack":
            stand = SlackStand(await servers.enter_async_context(fake_slack()), database, servers.aclose)
        elif channel == "telegram":
            stand = TelegramStand(await servers.enter_async_context(fake_telegram()), database, servers.aclose)
        else:
            imap, smtp = FakeImap(), FakeSmtp()
            ports = [await servers.enter_async_context(serving(each.serve)) for each in (imap, smtp)]
            stand = MailStand(imap, smtp, ports, database, servers.aclose)
        stack.push_async_callback(stand.door.close)
        yield stand
