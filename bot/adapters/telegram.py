"""The door to Telegram: polls or is called, keeps each update before it is confirmed, and says what Robbie says in Telegram's dialect."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from bot.adapters.dialects import Telegram
from bot.adapters.markup import split
from bot.adapters.telegram_updates import ALLOWED_UPDATES, CHANNEL, Fields, number, part, to_inbound, word
from bot.config import TelegramConfig
from bot.domain.address import SessionType
from bot.domain.clock import Clock
from bot.domain.errors import AdapterError, ChannelRefused, DeliveryRejected, StorageUnavailable
from bot.domain.finding import Finding, Status
from bot.domain.message import ASKING, Attachment, Button, Inbound, InboundKind, Outgoing, Sent
from bot.domain.ports import Capabilities, Reception
from bot.domain.vocabulary import WORDS, adjusts
from bot.hub.owner import Lease
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
COURTESY_SECONDS = 5.0
EXAMINE_SECONDS = 8.0
TROUBLE_SECONDS = 3600.0
"""How long a call that failed is worth telling."""
WEBHOOK_PATH = "/telegram/webhook"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"


class TelegramAdapter:
    """One bot on Telegram; see `Door`."""

    channel = CHANNEL
    capabilities = Capabilities(buttons=True, show_seconds=1.0)
    deaf_seconds = 20.0

    def __init__(self, *, config: TelegramConfig, database: Database, clock: Clock, owner: str, public_url: str) -> None:
        from bot.adapters.telegram_bot import TelegramBot  # loads that library

        self._database = database
        self._clock = clock
        self._lease = Lease(CHANNEL, database=database, owner=owner, clock=clock, seconds=LEASE_SECONDS)
        self._is_called = config.mode == "webhook"
        self._secret = config.secret_token.get_secret_value() if config.secret_token else ""
        self._url = public_url.rstrip("/") + WEBHOOK_PATH
        self._bot = TelegramBot(token=config.token.get_secret_value() if config.token else "", api_url=config.api_url, on_moved=self._move)
        self._me: Fields = {}
        self._reception: Reception | None = None
        self._courtesies: set[asyncio.Task[None]] = set()
        self._look_seconds, self._watch_seconds = LOOK_SECONDS, WATCH_SECONDS
        self._offset = 0
        self._has_drafts = True
        self._shown_at: dict[str, float] = {}

    @property
    def routes(self) -> Sequence[web.RouteDef]:
        """Where Telegram calls, if it does."""
        return [web.post(WEBHOOK_PATH, self._called)] if self._is_called else []

    async def close(self) -> None:
        """Let go of the connections; may be called twice."""
        await self._bot.close()

    # ── What comes in ──

    async def listen(self, reception: Reception, told: Callable[[], None]) -> None:
        """Bring what is heard."""
        try:
            self._me = await self._bot.me()
            told()
            with suppress(AdapterError):
                await self._bot.ask("setMyCommands", commands=[{"command": name, "description": word.says} for name, word in WORDS.items()])
            await (self._serve(reception, told) if self._is_called else self._poll(reception, told))
        except DeliveryRejected as error:  # what a door needs was refused, such as the address of a webhook
            raise ChannelRefused(str(error)) from error

    async def _poll(self, reception: Reception, told: Callable[[], None]) -> None:
        """Ask for updates, while no other process does."""
        try:
            while True:
                while not await self._lease.is_held():
                    told()
                    await asyncio.sleep(self._look_seconds)
                await self._bot.ask("deleteWebhook")
                while await self._lease.is_held():
                    await self._take_all(reception, told)
        finally:
            await self._lease.end()

    async def _take_all(self, reception: Reception, told: Callable[[], None]) -> None:
        """Keep the updates that wait; asking for more confirms those which are kept."""
        updates = await self._bot.updates(self._offset)
        told()
        if not updates:
            self._offset = 0  # all is confirmed; and after a quiet week Telegram begins to count anew, anywhere
        try:
            for update in updates:
                await self._take(update, reception)
                self._offset = update["update_id"] + 1
                told()
        except StorageUnavailable as error:  # what was not kept was not confirmed: it comes again
            log.warning("telegram.cannot_keep", error=str(error))
            await asyncio.sleep(self._look_seconds)

    async def _serve(self, reception: Reception, told: Callable[[], None]) -> None:
        """Be called, and see to it that Telegram knows where."""
        self._reception, url = reception, ""
        try:
            while True:
                if url != self._url:
                    await self._bot.ask("setWebhook", url=self._url, secret_token=self._secret, allowed_updates=ALLOWED_UPDATES)
                told()
                await asyncio.sleep(self._watch_seconds)
                url = (await self._bot.ask("getWebhookInfo"))["url"]
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
            await self._take(await request.json(), self._reception)
        except (ValueError, RecursionError):
            log.warning("telegram.unreadable")
        except StorageUnavailable as error:
            log.warning("telegram.cannot_keep", error=str(error))
            return web.Response(status=503)
        return web.Response()

    async def _take(self, update: Fields, reception: Reception) -> None:
        """Keep one update; one that makes trouble is passed by, so that the next can come. Raises StorageUnavailable."""
        try:
            message = part(update, "message")
            if (new := number(message.get("migrate_to_chat_id"))) is not None:
                await self._move(message["chat"]["id"], new)
            inbound = to_inbound(update, me=self._me, now=self._clock.now())
            if inbound is not None:
                await reception.receive(inbound)
                self._be_polite(update, inbound)
        except StorageUnavailable:
            raise
        except Exception:  # an edge that must survive: asked for again, it would make the same trouble for ever
            log.exception("telegram.passed_by")

    async def _move(self, old: int, new: int) -> None:
        """A group became a supergroup, and has another id."""
        async with self._database.unit_of_work() as work:
            await work.conversations.move(CHANNEL, str(old), str(new))

    def _be_polite(self, update: Fields, inbound: Inbound) -> None:
        """Let it be seen that somebody was heard: a button that was pressed goes, but in a group others may have to choose yet."""
        is_private = inbound.address.session_type is SessionType.PRIVATE
        if inbound.kind is InboundKind.ACTION:
            self._in_passing("answerCallbackQuery", callback_query_id=update["callback_query"]["id"], text="✓")
            if is_private and not adjusts(inbound.text):
                self._in_passing("editMessageReplyMarkup", **_key(inbound.target))
        elif is_private and inbound.wants_reply and inbound.kind in ASKING:  # a group has 20 a minute for all
            self._in_passing("sendChatAction", **_place(inbound.address.conversation), action="typing")

    def _in_passing(self, method: str, **fields: Any) -> None:
        """Do it beside the listening; that it fails is nobody's trouble."""

        async def do() -> None:
            with suppress(AdapterError, TimeoutError):
                async with asyncio.timeout(COURTESY_SECONDS):
                    await self._bot.ask(method, **fields)

        task = asyncio.create_task(do(), name="telegram courtesy")
        self._courtesies.add(task)
        task.add_done_callback(self._courtesies.discard)

    # ── What goes out ──

    async def send(self, outgoing: Outgoing) -> Sent:
        """Say it; what stands there already is changed."""
        self._shown_at.pop(outgoing.address.conversation, None)
        texts = split(outgoing.text, Telegram(), limit=TEXT_LIMIT)
        files = [attachment for attachment in outgoing.attachments if attachment.path is not None]
        if not texts and not files:
            raise DeliveryRejected("there is nothing in it that could be shown")
        old, done = (outgoing.channel_message_id or "").split(",") + [""] * (len(texts) + len(files)), list[str]()
        try:
            for text in texts:
                buttons = outgoing.buttons if len(done) == len(texts) - 1 else ()
                done.append(await self._say(text, outgoing, old[len(done)], buttons, is_first=not done))
            for file in files:
                done.append(old[len(done)] or await self._bot.put(file, _place(outgoing.address.conversation)))
        except AdapterError as error:
            error.sent = ",".join(filter(None, done + old[len(done) :]))
            raise
        return Sent(channel_message_id=",".join(done))

    async def find(self, outgoing: Outgoing) -> Sent | None:
        """Telegram cannot be asked."""
        return None

    async def show(self, outgoing: Outgoing) -> Sent:
        """A growing text: in private its end as a draft, which vanishes by itself; elsewhere its beginning, by edits, not too often."""
        conversation, is_private = outgoing.address.conversation, outgoing.address.session_type is SessionType.PRIVATE
        pieces, shown = split(outgoing.text, Telegram(), limit=TEXT_LIMIT), Sent(channel_message_id=outgoing.channel_message_id)
        if pieces and is_private and self._has_drafts and not outgoing.channel_message_id:
            self._has_drafts = await self._bot.draft(pieces[-1], _place(conversation), outgoing.id.int % (1 << 31) or 1)
            if self._has_drafts:
                return shown
        now, rest = asyncio.get_running_loop().time(), 0.0 if is_private else GROUP_SHOW_SECONDS
        if not pieces or now - self._shown_at.get(conversation, -rest) < rest:
            return shown
        self._shown_at[conversation] = now
        first, *more = (outgoing.channel_message_id or "").split(",")
        return Sent(channel_message_id=",".join([await self._say(pieces[0], outgoing, first), *more]))

    async def _say(self, text: str, outgoing: Outgoing, key: str, buttons: Sequence[Button] = (), *, is_first: bool = True) -> str:
        """One text, in place of the message *key* where there is one that can be changed; its id."""
        if key and await self._bot.change(text, _key(key), buttons):
            return key
        answers = is_first and outgoing.address.session_type is SessionType.SHARED
        return await self._bot.say(text, _place(outgoing.address.conversation, outgoing.reply_to if answers else None), buttons)

    async def fetch(self, attachment: Attachment, into: Path) -> None:
        """Write the file to *into*."""
        await self._bot.download(attachment.source, into)

    # ── How it is ──

    async def examine(self) -> Sequence[Finding]:
        """What Telegram says of the bot."""
        try:
            async with asyncio.timeout(EXAMINE_SECONDS):
                me = await self._bot.me()
                return [Finding(part="telegram token", status=Status.OK, detail=f"@{me['username']}"), _groups(me), await self._webhook()]
        except ChannelRefused as error:
            detail, repair = str(error), "ask @BotFather for it (/mybots, API Token), then `robbie init`"
        except (AdapterError, TimeoutError) as error:
            detail, repair = str(error) or "no answer", "is this machine on the network, and telegram.api_url right?"
        return [Finding(part="telegram token", status=Status.FAIL, detail=detail, repair=repair)]

    async def _webhook(self) -> Finding:
        """Whether Telegram calls whom it should."""
        info = await self._bot.ask("getWebhookInfo")
        url, detail, repair = word(info.get("url")), f"{info.get('pending_update_count', 0)} updates wait", ""
        if url != (self._url if self._is_called else ""):
            detail = f"Telegram calls {urlsplit(url).hostname}" if url else "Telegram calls nobody"
            repair = "`robbie run` sets this right; if it comes back, another program uses this bot"
        elif self._is_called and self._clock.now().timestamp() - info.get("last_error_date", 0) < TROUBLE_SECONDS:
            detail = f"{info.get('last_error_message')}; {detail}"
            repair = f"let {self._url} lead to Robbie's web server, with a certificate that Telegram trusts"
        return Finding(part="telegram webhook", status=Status.WARN if repair else Status.OK, detail=detail, repair=repair)


def _groups(me: Fields) -> Finding:
    mode = "off: it is shown all" if me.get("can_read_all_group_messages") else "on: it is shown only what is said to it"
    detail = f"privacy mode is {mode}, and answers what is said to it (@BotFather, /setprivacy)"
    if me.get("can_join_groups") is False:
        detail = "it cannot be added to groups (@BotFather, /setjoingroups)"
    return Finding(part="telegram groups", status=Status.OK, detail=detail)


def _place(conversation: str, reply_to: str | None = None) -> Fields:
    """A conversation's key, and the id of a message in it that is answered, as the Bot API wants them."""
    chat, _, thread = conversation.partition("/")
    place = {"chat_id": int(chat), "message_thread_id": int(thread) if thread else None}
    reply_chat, _, reply = (reply_to or "").partition(":")
    if reply_chat != chat or not reply.isdecimal():
        return place
    return place | {"reply_parameters": {"message_id": int(reply), "allow_sending_without_reply": True}}


def _key(key: str) -> Fields:
    """The id of a message, as the Bot API wants it."""
    chat, _, message = key.partition(":")
    return {"chat_id": int(chat), "message_id": int(message)}
