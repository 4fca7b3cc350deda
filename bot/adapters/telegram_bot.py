"""Telegram's Bot API by way of python-telegram-bot: its limits are kept, its errors become ours, the token stays in here.

Importing this loads that library, which is heavy: only the constructor of `TelegramAdapter` does. Fields and answers are the JSON of
https://core.telegram.org/bots/api: what the library's own objects do not know would be an error, and cost every update beside it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from telegram import InputFile
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError, TimedOut
from telegram.ext import AIORateLimiter, ExtBot
from telegram.request import HTTPXRequest

from bot.adapters.telegram_updates import ALLOWED_UPDATES, Fields, Me, Place, message_key, number, where, word
from bot.domain.errors import AdapterError, ChannelRefused, ChannelUnavailable, DeliveryRejected, DeliveryUnknown
from bot.domain.message import Attachment, Button

POLL_SECONDS = 8
LONGEST_REST_SECONDS = 20.0
"""So long a request waits for its turn, or because Telegram asks for a rest; what must wait longer is for the ledger."""
TRIES = 3
QUICK_SECONDS = 1.0
QUICK = frozenset({"sendMessageDraft", "sendChatAction", "answerCallbackQuery"})
"""Worth nothing a little later."""
REQUEST_SECONDS = 15.0
FILE_SECONDS = 25.0
FILES = frozenset({"sendPhoto", "sendVoice", "sendDocument"})
DOWNLOAD_SECONDS = 60.0
LARGEST_UPLOAD = 50 << 20
"""Bytes; more a bot may not send."""
LARGEST_PHOTO = 10 << 20
LARGEST_DOWNLOAD = 25 << 20
SHORT_LABEL = 12

_TAG = re.compile("<[^>]*>")
_UNFORMATTED = ("can't parse entities", "can't parse message text", "unsupported start tag")
_UNCHANGED = ("message is not modified",)
_GONE = ("message to edit not found", "message can't be edited", "no text in the message to edit", "message_id_invalid")
_NO_PREVIEW = {"is_disabled": True}
"""A model may be talked into writing an address that tells a secret: to show what is there, Telegram would ask for it."""


class _Pace(AIORateLimiter):
    """Telegram's limits, kept, and the rests it asks for, taken; neither for longer than its caller can wait."""

    async def process_request(
        self, callback: Callable[..., Any], args: Any, kwargs: Any, endpoint: str, data: Any, rate_limit_args: int | None
    ) -> Any:
        """Ask by *callback*. Raises RetryAfter where it would have to wait too long."""
        now = asyncio.get_running_loop().time
        until = now() + (QUICK_SECONDS if endpoint in QUICK else LONGEST_REST_SECONDS)
        for tries_left in reversed(range(TRIES)):
            try:
                return await self._in_turn(callback, args, kwargs, endpoint, data, until)
            except RetryAfter as error:
                rest = _seconds(error)
                if not tries_left or now() + rest > until:
                    raise
            await asyncio.sleep(rest)
        raise AssertionError

    async def _in_turn(self, callback: Callable[..., Any], args: Any, kwargs: Any, endpoint: str, data: Any, until: float) -> Any:
        """One request, as soon as the limits allow, and no later than *until*."""
        has_begun = False

        async def begin(*args: Any, **kwargs: Any) -> Any:
            nonlocal has_begun
            has_begun = True
            bound.reschedule(asyncio.get_running_loop().time() + (FILE_SECONDS if endpoint in FILES else REQUEST_SECONDS))
            return await callback(*args, **kwargs)

        try:
            async with asyncio.timeout_at(until) as bound:
                return await super().process_request(begin, args, kwargs, endpoint, data, None)
        except TimeoutError as error:
            if has_begun:
                raise TimedOut from error
            raise RetryAfter(timedelta(seconds=LONGEST_REST_SECONDS)) from None


class _RawBot(ExtBot[int]):
    """Asks and answers in JSON."""

    __slots__ = ()

    async def call(self, method: str, fields: Fields, *, read_seconds: float = 10) -> Any:
        return await self._post(method, dict(fields), read_timeout=read_seconds)


class TelegramBot:
    """One bot. What it is asked may raise ChannelUnavailable, ChannelRefused, DeliveryRejected; to send something also DeliveryUnknown.

    `on_moved` is told when a group turns out to have another id now; what was to go there goes to the new one.
    """

    def __init__(self, *, token: str, api_url: str, on_moved: Callable[[int, int], Awaitable[None]]) -> None:
        os.environ.setdefault("PTB_TIMEDELTA", "true")  # else the library warns of a change to come at every rate limit
        for name in ("telegram", "httpx", "httpcore"):  # they log answers and addresses; what they raise is told in our own words
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._secret = re.compile(re.escape(token), re.IGNORECASE)  # the library changes the case of Telegram's words
        self._on_moved = on_moved
        head, _, tail = api_url.rpartition("/")
        self._tls = httpx.create_ssl_context()  # takes a while, and one is enough
        own: dict[str, Any] = {"connect_timeout": 5, "write_timeout": 10, "pool_timeout": 5, "httpx_kwargs": {"verify": self._tls}}
        self._polls, self._asks = HTTPXRequest(connection_pool_size=1, **own), HTTPXRequest(connection_pool_size=64, **own)
        self._sdk = _RawBot(
            token=token,
            base_url=api_url,
            get_updates_request=self._polls,
            request=self._asks,
            rate_limiter=_Pace(),
        )
        self._files_url = f"{head}/file/{tail}{token}/"

    async def close(self) -> None:
        """Let go of the connections; may be called twice."""
        await self._polls.shutdown()
        await self._asks.shutdown()

    async def ask(self, method: str, **fields: Any) -> Any:
        """Anything that may be asked twice."""
        with self._errors(may_repeat=True):
            return await self._sdk.call(method, fields)

    async def me(self) -> Me:
        """Whom the token makes us."""
        user = await self.ask("getMe")
        if not isinstance(user, dict) or (own_id := number(user.get("id"))) is None:
            raise ChannelUnavailable("Telegram does not say who this bot is: is telegram.api_url right?")
        reads_all, joins_groups = user.get("can_read_all_group_messages") is True, user.get("can_join_groups") is not False
        return Me(id=own_id, username=word(user.get("username")), reads_all=reads_all, joins_groups=joins_groups)

    async def webhook(self) -> Fields:
        """Whom Telegram calls, how many updates wait, what went wrong last."""
        info = await self.ask("getWebhookInfo")
        return info if isinstance(info, dict) else {}

    async def updates(self, offset: int) -> Sequence[Fields]:
        """What happened since *offset*, at once if there is anything; asking confirms all before it."""
        fields = {"offset": offset, "timeout": POLL_SECONDS, "allowed_updates": ALLOWED_UPDATES}
        with self._errors(may_repeat=True):
            async with asyncio.timeout(POLL_SECONDS + 7):
                updates = await self._sdk.call("getUpdates", fields, read_seconds=POLL_SECONDS + 5)
        if not isinstance(updates, list):
            raise ChannelUnavailable("Telegram's updates make no sense")
        return [update for update in updates if isinstance(update, dict)]

    async def say(self, html: str, place: Place, buttons: Sequence[Button]) -> str:
        """A new message; its id."""
        fields = {**where(place), "reply_markup": _keyboard(buttons), "link_preview_options": _NO_PREVIEW}
        with self._errors():
            return message_key(await self._in_chat("sendMessage", fields, html))

    async def change(self, html: str, chat: int, message: int, buttons: Sequence[Button]) -> bool:
        """A message that reads otherwise now; False where it is not there any more, or cannot be changed."""
        fields = {"chat_id": chat, "message_id": message, "reply_markup": _keyboard(buttons), "link_preview_options": _NO_PREVIEW}
        with self._errors(may_repeat=True):
            try:
                await self._formatted("editMessageText", fields, html)
            except ChatMigrated:
                return False
            except BadRequest as error:
                if not _says(error, _GONE + _UNCHANGED):
                    raise
                return _says(error, _UNCHANGED)
        return True

    async def remove(self, chat: int, message: int) -> None:
        """A message is to be seen no more; one that Telegram keeps, stays."""
        with suppress(DeliveryRejected):
            await self.ask("deleteMessage", chat_id=chat, message_id=message)

    async def draft(self, html: str, place: Place, draft: int) -> bool:
        """A growing text, which will vanish; False where this Telegram has no such thing."""
        with self._errors(may_repeat=True):
            try:
                await self._formatted("sendMessageDraft", {**where(place), "draft_id": draft}, html)
            except (BadRequest, InvalidToken):  # an unknown method looks like an unknown token
                return False
        return True

    async def put(self, attachment: Attachment, place: Place) -> str:
        """A file, as what it is: a picture, a voice, else a document; its id."""
        content = await asyncio.to_thread(_content, attachment)
        is_photo = attachment.media_type in ("image/jpeg", "image/png", "image/webp") and len(content) <= LARGEST_PHOTO
        is_voice = attachment.media_type in ("audio/ogg", "audio/opus")
        kind = "photo" if is_photo else "voice" if is_voice else "document"
        with self._errors():
            try:
                return message_key(await self._in_chat(f"send{kind.title()}", where(place) | {kind: InputFile(content, attachment.name)}))
            except BadRequest:  # a picture too long or too thin, a voice of another kind: still a document
                if kind == "document":
                    raise
            return message_key(await self._in_chat("sendDocument", where(place) | {"document": InputFile(content, attachment.name)}))

    async def download(self, file_id: str, into: Path) -> None:
        """Write a file that somebody sent to *into*."""
        file = await self.ask("getFile", file_id=file_id)
        path = word(file.get("file_path")) if isinstance(file, dict) else ""
        if not path or urlsplit(path).path != path or path.startswith("/"):
            raise DeliveryRejected("Telegram does not say where this file is")
        with self._errors(may_repeat=True):
            client = httpx.AsyncClient(timeout=REQUEST_SECONDS, verify=self._tls)
            async with asyncio.timeout(DOWNLOAD_SECONDS), client, client.stream("GET", self._files_url + path) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise ChannelUnavailable(f"Telegram does not give the file ({answer.status_code})")
                await _write(answer.aiter_bytes(), into)

    async def _in_chat(self, method: str, fields: dict[str, Any], html: str = "") -> Fields:
        """Send to a chat, and where that has moved, to the new one."""

        async def send() -> Fields:
            return cast("Fields", await (self._formatted(method, fields, html) if html else self._sdk.call(method, fields)))

        try:
            return await send()
        except ChatMigrated as error:
            await self._on_moved(fields["chat_id"], error.new_chat_id)
            fields["chat_id"] = error.new_chat_id
            return await send()

    async def _formatted(self, method: str, fields: Fields, html: str) -> Any:
        """Put *html* somewhere; once more as plain text where Telegram cannot read it."""
        try:
            return await self._sdk.call(method, {**fields, "text": html, "parse_mode": "HTML"})
        except BadRequest as error:
            if not _says(error, _UNFORMATTED):
                raise
        return await self._sdk.call(method, {**fields, "text": unescape(_TAG.sub("", html))})

    @contextmanager
    def _errors(self, *, may_repeat: bool = False) -> Iterator[None]:
        """The library's errors become ours. Not *from* them: their words, and their causes', may hold the address, and so the token."""
        try:
            yield
        except (TelegramError, httpx.HTTPError, TimeoutError) as error:
            raise self._fault(error, may_repeat=may_repeat) from None
        except (KeyError, TypeError, AttributeError) as error:
            kind = ChannelUnavailable if may_repeat else DeliveryUnknown
            raise kind(f"Telegram's answer makes no sense ({type(error).__name__})") from None

    def _fault(self, error: Exception, *, may_repeat: bool) -> AdapterError:
        words = f"Telegram: {' '.join(self._secret.sub('***', str(error)).split())[:300] or type(error).__name__}"
        match error:
            case RetryAfter():
                return ChannelUnavailable(words, retry_after=_seconds(error))
            case InvalidToken():
                return ChannelRefused("Telegram does not accept the token")
            case BadRequest() | Forbidden() | ChatMigrated():
                return DeliveryRejected(words)
            case Conflict():
                return ChannelUnavailable("another program asks for the updates of this bot (409)")
        return ChannelUnavailable(words) if may_repeat or _did_not_arrive(error) else DeliveryUnknown(words)


def _seconds(error: RetryAfter) -> float:
    return cast("timedelta", error.retry_after).total_seconds()


def _says(error: BadRequest, signs: Sequence[str]) -> bool:
    """Whether the refusal is one of these; Telegram tells them apart by their words alone."""
    return any(sign in str(error).lower() for sign in signs)


def _did_not_arrive(error: Exception) -> bool:
    """Whether nobody can have read the request, or somebody did and said no."""
    cause = error.__cause__
    if isinstance(error, NetworkError) and (cause is None or isinstance(cause, TelegramError)):
        return True
    return isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


def _keyboard(buttons: Sequence[Button]) -> Fields | None:
    """Three short buttons in a row, long ones each on its own."""
    width = 3 if all(len(button.label) <= SHORT_LABEL for button in buttons) else 1
    keys = [{"text": button.label, "callback_data": button.command} for button in buttons]
    return {"inline_keyboard": [keys[start : start + width] for start in range(0, len(keys), width)]} if keys else None


def _content(attachment: Attachment) -> bytes:
    """The bytes of a file that is to be sent. Raises DeliveryRejected where there are none, or too many."""
    path = attachment.path
    try:
        size = path.stat().st_size if path else 0
        if path and 0 < size <= LARGEST_UPLOAD:
            return path.read_bytes()
    except OSError:
        size = 0
    raise DeliveryRejected(f"{attachment.name!r}: {'larger than Telegram takes' if size else 'not here, or empty'}")


async def _write(chunks: AsyncIterator[bytes], into: Path) -> None:
    """All of *chunks*, or nothing. Raises DeliveryRejected where they are too many."""
    size, file = 0, await asyncio.to_thread(into.open, "wb")
    try:
        async for chunk in chunks:
            size += len(chunk)
            if size > LARGEST_DOWNLOAD:
                raise DeliveryRejected(f"larger than {LARGEST_DOWNLOAD >> 20} MB")
            await asyncio.to_thread(file.write, chunk)
    except BaseException:
        await asyncio.to_thread(into.unlink)
        raise
    finally:
        await asyncio.to_thread(file.close)
