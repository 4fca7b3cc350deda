"""The door to Telegram: polls or is called, keeps each update before it is confirmed, and says what Robbie says in Telegram's dialect."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from bot.adapters.dialects import Telegram
from bot.adapters.markup import split
from bot.adapters.telegram_updates import (
    ALLOWED_UPDATES,
    CHANNEL,
    Fields,
    Me,
    Place,
    chosen,
    migration,
    number,
    part,
    to_inbound,
    where,
    word,
)
from bot.config import TelegramConfig
from bot.domain.address import SessionType
from bot.domain.clock import Clock
from bot.domain.errors import (
    AdapterError,
    ChannelRefused,
    ChannelUnavailable,
    ConfigError,
    DeliveryRejected,
    StorageError,
    StorageUnavailable,
)
from bot.domain.finding import Finding, Status
from bot.domain.message import ASKING, Attachment, Inbound, Outgoing, Sent
from bot.domain.ports import Capabilities, Reception
from bot.hub.server import open_to_all
from storage.database import Database

log = structlog.get_logger(__name__)

TEXT_LIMIT = 4096
"""UTF-16 code units of what is seen."""
LEASE_SECONDS = 18.0
LOOK_SECONDS = 2.0
"""How often one that may not poll, or cannot keep what it hears, looks whether it may."""
WATCH_SECONDS = 10.0
GROUP_SHOW_SECONDS = 4.0
"""In a group a bot may say or change 20 things a minute."""
BEGIN_SECONDS = 10.0
"""A further part is begun only so long after the first: the ledger waits a minute for the whole."""
SHOW_SECONDS = 4.0
COURTESY_SECONDS = 5.0
FRESH_SECONDS = 30.0
EXAMINE_SECONDS = 8.0
TROUBLE_SECONDS = 3600.0
"""How long a call that failed is worth telling."""
WEBHOOK_PATH = "/telegram/webhook"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"
MENU = (
    ("help", "what I can do"),
    ("note", "keep a note"),
    ("notes", "your notes"),
    ("status", "how I am"),
    ("rate", "say how good an answer was"),
    ("link", "join your accounts"),
    ("approve", "say yes to what waits"),
    ("reject", "say no to what waits"),
    ("pair", "let somebody in"),
)


class TelegramAdapter:
    """One bot on Telegram."""

    channel = CHANNEL
    capabilities = Capabilities(buttons=True, show_seconds=1.0)
    deaf_seconds = 20.0

    def __init__(self, *, config: TelegramConfig, database: Database, clock: Clock, owner: str, public_url: str) -> None:
        if find_spec("telegram") is None or find_spec("aiolimiter") is None:
            repair = "`make install`, or pip install 'robbie[telegram]'"
            raise ConfigError("Telegram needs a library that is not installed", key="telegram.enabled", repair=repair)
        from bot.adapters.telegram_bot import TelegramBot  # loads that library

        self._database = database
        self._clock = clock
        self._owner = owner
        self._is_called = config.mode == "webhook"
        self._secret = config.secret_token.get_secret_value() if config.secret_token else ""
        self._url = public_url.rstrip("/") + WEBHOOK_PATH
        token = config.token.get_secret_value() if config.token else ""
        self._bot = TelegramBot(token=token, api_url=config.api_url, on_moved=self._on_moved)
        self._me = Me(id=0, username="")
        self._reception: Reception | None = None
        self._courtesies: set[asyncio.Task[None]] = set()
        self._lease_until = datetime.min.replace(tzinfo=UTC)
        self._look_seconds, self._watch_seconds = LOOK_SECONDS, WATCH_SECONDS
        self._offset = 0
        self._has_drafts = True
        self._shown_at: dict[str, float] = {}

    @property
    def routes(self) -> Sequence[web.RouteDef]:
        """Where Telegram calls, if it does."""
        return [web.post(WEBHOOK_PATH, self._called)] if self._is_called else []

    async def listen(self, reception: Reception, told: Callable[[], None]) -> None:
        """Bring what is heard; see `Door.listen`."""
        try:
            self._me = await self._bot.me()
            told()
            await (self._serve(reception, told) if self._is_called else self._poll(reception, told))
        except DeliveryRejected as error:  # what a door needs was refused, such as the address of a webhook
            raise ChannelRefused(str(error)) from error
        finally:
            for task in self._courtesies:
                task.cancel()
            await asyncio.gather(*self._courtesies, return_exceptions=True)

    async def close(self) -> None:
        """Let go of the connections; may be called twice."""
        await self._bot.close()

    def to_inbound(self, update: Fields) -> Inbound | None:
        """What *update* tells, if it is for Robbie."""
        return to_inbound(update, me=self._me, now=self._clock.now())

    # ── What comes in ──

    async def _poll(self, reception: Reception, told: Callable[[], None]) -> None:
        """Ask for updates, while no other process does."""
        is_prepared = is_away = False
        try:
            while True:
                try:
                    if await self._has_lease():
                        if not is_prepared:
                            await self._bot.ask("deleteWebhook")
                            await self._offer_menu()
                        await self._take_all(reception, told)
                        is_prepared, is_away = True, False
                        continue
                    is_prepared = False
                except StorageUnavailable as error:  # what was not kept was not confirmed: it comes again
                    if not is_away:
                        log.warning("telegram.cannot_keep", error=str(error))
                    is_away = True
                told()
                await asyncio.sleep(self._look_seconds)
        finally:
            await self._end_lease()

    async def _take_all(self, reception: Reception, told: Callable[[], None]) -> None:
        """Keep the updates that wait; asking for more confirms those which are kept."""
        updates = await self._bot.updates(self._offset)
        told()
        if not updates:
            self._offset = 0  # all is confirmed; and after a quiet week Telegram begins to count anew, anywhere
        for update in updates:
            if (update_id := number(update.get("update_id"))) is None:
                raise ChannelUnavailable("Telegram's updates have no ids, and so cannot be confirmed")
            if not await self._has_lease():
                return
            await self._take(update, reception)
            self._offset = update_id + 1
            told()

    async def _has_lease(self) -> bool:
        """Whether this process is the one that polls; the lease is renewed when half of it is over."""
        now = self._clock.now()
        if self._lease_until - now > timedelta(seconds=LEASE_SECONDS / 2):
            return True
        until = now + timedelta(seconds=LEASE_SECONDS)
        async with self._database.unit_of_work() as work:
            has_it = await work.housekeeping.lease(CHANNEL, owner=self._owner, now=now, until=until)
        self._lease_until = until if has_it else now
        return has_it

    async def _end_lease(self) -> None:
        """Another process may begin at once."""
        self._lease_until = datetime.min.replace(tzinfo=UTC)
        with suppress(StorageError, TimeoutError):
            async with asyncio.timeout(2), self._database.unit_of_work() as work:
                await work.housekeeping.end_lease(CHANNEL, owner=self._owner)

    async def _serve(self, reception: Reception, told: Callable[[], None]) -> None:
        """Be called, and see to it that Telegram knows where."""
        await self._offer_menu()
        self._reception, url, known_trouble = reception, "", 0
        try:
            while True:
                if url != self._url:
                    await self._bot.ask("setWebhook", url=self._url, secret_token=self._secret, allowed_updates=ALLOWED_UPDATES)
                told()
                await asyncio.sleep(self._watch_seconds)
                info = await self._bot.webhook()
                url, at = word(info.get("url")), number(info.get("last_error_date")) or 0
                if at > known_trouble:
                    log.warning("telegram.webhook_trouble", error=word(info.get("last_error_message")))
                    known_trouble = at
        finally:
            self._reception = None

    @open_to_all
    async def _called(self, request: web.Request) -> web.Response:
        """Telegram calls, and shows that it is Telegram."""
        shown = request.headers.get(SECRET_HEADER, "").encode("utf-8", "replace")
        if not self._secret or not hmac.compare_digest(shown, self._secret.encode()):
            return web.Response(status=401)
        if self._reception is None:
            return web.Response(status=503)
        try:
            update = json.loads(await request.read())
            await self._take(update if isinstance(update, dict) else {}, self._reception)
        except (ValueError, RecursionError):
            log.warning("telegram.unreadable")
        except StorageUnavailable as error:
            log.warning("telegram.cannot_keep", error=str(error))
            return web.Response(status=503)
        return web.Response()

    async def _take(self, update: Fields, reception: Reception) -> None:
        """Keep one update; one that makes trouble is passed by, so that the next can come. Raises StorageUnavailable."""
        try:
            if (moved := migration(update)) is not None:
                async with self._database.unit_of_work() as work:
                    await work.conversations.move(CHANNEL, *moved)
            inbound = self.to_inbound(update)
            if inbound is None:
                return
            await reception.receive(inbound)
        except StorageUnavailable:
            raise
        except Exception:  # an edge that must survive: asked for again, it would make the same trouble for ever
            log.exception("telegram.passed_by", update=number(update.get("update_id")))
            return
        self._be_polite(update, inbound)

    def _be_polite(self, update: Fields, inbound: Inbound) -> None:
        """Let it be seen that somebody was heard."""
        age = (self._clock.now() - inbound.at).total_seconds()
        is_private = inbound.address.session_type is SessionType.PRIVATE
        if "callback_query" in update:
            query, key = part(update, "callback_query"), inbound.target
            label = chosen(query)
            self._in_passing(lambda: self._bot.ask("answerCallbackQuery", callback_query_id=query.get("id"), text=f"✓ {label}"[:200]))
            if is_private and key:  # in a group others may have to choose yet
                self._in_passing(lambda: self._close_choice(part(query, "message"), key, label))
        elif is_private and inbound.wants_reply and inbound.kind in ASKING and age < FRESH_SECONDS:  # a group has 20 a minute for all
            place = _place(inbound.address.conversation)
            self._in_passing(lambda: self._bot.ask("sendChatAction", **where(place), action="typing"))

    async def _close_choice(self, message: Fields, key: str, label: str) -> None:
        """What was chosen stays to be read, and cannot be chosen again."""
        text, entities = word(message.get("text")), message.get("entities")
        noted = f"{text}\n\n✓ {label}" if text and label else ""
        if Telegram().length(noted) > TEXT_LIMIT:
            noted = ""
        chat, message_id = _ids(key)
        if noted:
            await self._bot.ask("editMessageText", chat_id=chat, message_id=message_id, text=noted, entities=entities)
        else:
            await self._bot.ask("editMessageReplyMarkup", chat_id=chat, message_id=message_id)

    def _in_passing(self, courtesy: Callable[[], Awaitable[object]]) -> None:
        """Do it beside the listening; that it fails is nobody's trouble."""

        async def do() -> None:
            try:
                async with asyncio.timeout(COURTESY_SECONDS):
                    await courtesy()
            except (AdapterError, TimeoutError) as error:
                log.info("telegram.courtesy_failed", error=str(error))

        task = asyncio.create_task(do(), name="telegram courtesy")
        self._courtesies.add(task)
        task.add_done_callback(self._courtesies.discard)

    async def _offer_menu(self) -> None:
        with suppress(AdapterError):
            await self._bot.ask("setMyCommands", commands=[{"command": name, "description": told} for name, told in MENU])

    async def _on_moved(self, old: int, new: int) -> None:
        """A group became a supergroup, and has another id."""
        try:
            async with self._database.unit_of_work() as work:
                await work.conversations.move(CHANNEL, str(old), str(new))
        except StorageError as error:
            log.warning("telegram.cannot_move", error=str(error))

    # ── What goes out ──

    async def send(self, outgoing: Outgoing) -> Sent:
        """Say it; see `Adapter.send`."""
        self._shown_at.pop(outgoing.address.conversation, None)
        texts: list[str | Attachment] = list(split(outgoing.text, Telegram(), limit=TEXT_LIMIT))
        parts = texts + [attachment for attachment in outgoing.attachments if attachment.path is not None]
        if not parts:
            raise DeliveryRejected("there is nothing in it that could be shown")
        old, done = _keys(outgoing.channel_message_id), []
        begun = asyncio.get_running_loop().time()
        try:
            for index, each in enumerate(parts):
                if index and asyncio.get_running_loop().time() > begun + BEGIN_SECONDS:
                    raise ChannelUnavailable("Telegram takes its time: the rest comes later", retry_after=0.0)
                is_last = index == len(texts) - 1
                done.append(await self._put(each, outgoing, old[index] if index < len(old) else "", is_last=is_last, is_first=not index))
            for surplus in old[len(parts) :]:
                await self._bot.remove(*_ids(surplus))
        except AdapterError as error:
            error.sent = ",".join(done + old[len(done) :])
            raise
        return Sent(channel_message_id=",".join(done))

    async def find(self, outgoing: Outgoing) -> Sent | None:
        """Telegram cannot be asked."""
        return None

    async def show(self, outgoing: Outgoing) -> Sent:
        """A growing text: in private as a draft, which vanishes by itself; elsewhere, and where there are none, by edits."""
        pieces = split(outgoing.text, Telegram(), limit=TEXT_LIMIT)
        try:
            async with asyncio.timeout(SHOW_SECONDS):
                return Sent(channel_message_id=await self._show(outgoing, pieces) if pieces else outgoing.channel_message_id)
        except TimeoutError:
            raise ChannelUnavailable("Telegram takes its time: the growing answer is not shown") from None

    async def _show(self, outgoing: Outgoing, pieces: Sequence[str]) -> str | None:
        """Show the end of it as a draft, or else its beginning by edits, not too often; the message that shows it, if one does."""
        conversation, is_private = outgoing.address.conversation, outgoing.address.session_type is SessionType.PRIVATE
        shown = outgoing.channel_message_id
        if is_private and self._has_drafts and not shown:
            self._has_drafts = await self._bot.draft(pieces[-1], _place(conversation), outgoing.id.int % (1 << 31) or 1)
            if self._has_drafts:
                return None
        now, rest = asyncio.get_running_loop().time(), 0.0 if is_private else GROUP_SHOW_SECONDS
        if now - self._shown_at.get(conversation, -rest) < rest:
            return shown
        self._shown_at[conversation] = now
        first, *more = _keys(shown) or [""]
        return ",".join([await self._put(pieces[0], outgoing, first), *more])

    async def fetch(self, attachment: Attachment, into: Path) -> None:
        """Write the file to *into*; see `Door.fetch`."""
        await self._bot.download(attachment.source, into)

    async def _put(self, what: str | Attachment, outgoing: Outgoing, key: str, *, is_last: bool = False, is_first: bool = True) -> str:
        """One part, in place of the message *key* where there is one that can be changed; its id."""
        answers = is_first and outgoing.address.session_type is SessionType.SHARED
        place = _place(outgoing.address.conversation, outgoing.reply_to if answers else None)
        if isinstance(what, Attachment):
            return key or await self._bot.put(what, place)
        buttons = outgoing.buttons if is_last else ()
        if key and await self._bot.change(what, *_ids(key), buttons):
            return key
        return await self._bot.say(what, place, buttons)

    # ── How it is ──

    async def examine(self) -> Sequence[Finding]:
        """What Telegram says of the bot; see `Door.examine`."""
        try:
            async with asyncio.timeout(EXAMINE_SECONDS):
                me = await self._bot.me()
                return [Finding(part="telegram token", status=Status.OK, detail=f"@{me.username}"), _groups(me), await self._webhook()]
        except ChannelRefused as error:
            repair = "ask @BotFather for it (/mybots, API Token), then `robbie init`"
            return [Finding(part="telegram token", status=Status.FAIL, detail=str(error), repair=repair)]
        except (AdapterError, TimeoutError) as error:
            detail, repair = str(error) or "no answer", "is this machine on the network, and telegram.api_url right?"
            return [Finding(part="telegram token", status=Status.FAIL, detail=detail, repair=repair)]

    async def _webhook(self) -> Finding:
        """Whether Telegram calls whom it should."""
        info = await self._bot.webhook()
        url, trouble, at = word(info.get("url")), word(info.get("last_error_message")), number(info.get("last_error_date")) or 0
        status, detail, repair = Status.OK, f"{number(info.get('pending_update_count')) or 0} updates wait", ""
        if url != (self._url if self._is_called else ""):
            detail = f"Telegram calls {urlsplit(url).hostname}" if url else "Telegram calls nobody"
            status, repair = Status.WARN, "`robbie run` sets this right; if it comes back, another program uses this bot"
        elif self._is_called and self._clock.now().timestamp() - at < TROUBLE_SECONDS:
            status, detail = Status.WARN, f"{trouble}; {detail}"
            repair = f"let {self._url} lead to Robbie's web server, with a certificate that Telegram trusts"
        return Finding(part="telegram webhook", status=status, detail=detail, repair=repair)


def _groups(me: Me) -> Finding:
    """What the bot is shown in groups."""
    detail, repair = "privacy mode is on: it is shown only what is said to it, and answers that", ""
    if me.reads_all:
        detail, repair = "privacy mode is off: it is shown all, and answers what is said to it", "for less: @BotFather, /setprivacy, Enable"
    if not me.joins_groups:
        detail, repair = "it cannot be added to groups", "to change that: @BotFather, /setjoingroups, Enable"
    return Finding(part="telegram groups", status=Status.OK, detail=detail, repair=repair)


def _place(conversation: str, reply_to: str | None = None) -> Place:
    """A conversation's key, and the id of a message in it, as Telegram wants them."""
    chat, _, thread = conversation.partition("/")
    reply_chat, _, reply = (reply_to or "").partition(":")
    answers = reply_chat == chat and reply.isdecimal()
    return Place(chat=int(chat), thread=int(thread) if thread else None, reply_to=int(reply) if answers else None)


def _keys(channel_message_id: str | None) -> list[str]:
    return [key for key in (channel_message_id or "").split(",") if key]


def _ids(key: str) -> tuple[int, int]:
    chat, _, message = key.partition(":")
    return int(chat), int(message)
