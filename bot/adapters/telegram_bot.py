"""Telegram's Bot API by way of python-telegram-bot: its limits are kept, its errors become ours, the token stays in here.

Importing this loads that library, which is heavy: only the constructor of `TelegramAdapter` does. Fields and answers are the JSON of
https://core.telegram.org/bots/api: what the library's own objects do not know would be an error, and cost every update beside it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any, cast

import httpx
from telegram import InputFile
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError
from telegram.ext import AIORateLimiter, ExtBot
from telegram.request import HTTPXRequest

from bot.adapters.telegram_updates import ALLOWED_UPDATES, Fields, message_key
from bot.domain.errors import AdapterError, ChannelRefused, ChannelUnavailable, DeliveryRejected, DeliveryUnknown
from bot.domain.message import Attachment, Button
from bot.domain.vocabulary import in_rows

POLL_SECONDS = 8
READ_SECONDS = 15.0
OWN_READ_SECONDS = {"getUpdates": POLL_SECONDS + 5.0, "sendMessageDraft": 4.0}
"""A draft is worth nothing later; and a finished answer waits five seconds for it."""
SHORT_LABEL, LONG_LABEL = 12, 18
KINDS = {"image/jpeg": "photo", "image/png": "photo", "image/webp": "photo", "audio/ogg": "voice", "audio/opus": "voice"}
"""What a file is sent as, where not as a document."""

_TAG = re.compile("<[^>]*>")
_UNFORMATTED = ("can't parse entities", "can't parse message text", "unsupported start tag")
_GONE = ("message to edit not found", "message can't be edited", "no text in the message to edit", "message_id_invalid")
_NO_PREVIEW = {"is_disabled": True}
"""A model may be talked into writing an address that tells a secret: to show what is there, Telegram would ask for it."""


class _RawBot(ExtBot[int]):
    """Asks and answers in JSON."""

    __slots__ = ()

    async def call(self, method: str, fields: Fields) -> Any:
        return await self._post(method, dict(fields), read_timeout=OWN_READ_SECONDS.get(method, READ_SECONDS))


class TelegramBot:
    """One bot. What it is asked may raise ChannelUnavailable, ChannelRefused, DeliveryRejected; to send something also DeliveryUnknown.

    `on_moved` is told when a group turns out to have another id now. A rest that Telegram asks for is for the ledger to take.
    """

    def __init__(self, *, token: str, api_url: str, on_moved: Callable[[int, int], Awaitable[None]]) -> None:
        os.environ.setdefault("PTB_TIMEDELTA", "true")  # else the library warns of a change to come at every rate limit
        for name in ("telegram", "httpx", "httpcore"):  # they log answers and addresses; what they raise is told in our own words
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._secret = re.compile(re.escape(token), re.IGNORECASE)  # the library changes the case of Telegram's words
        self._on_moved = on_moved
        head, _, tail = api_url.rpartition("/")
        self._requests = HTTPXRequest(connection_pool_size=1), HTTPXRequest(pool_timeout=5)
        self._sdk = _RawBot(
            token=token,
            base_url=api_url,
            base_file_url=f"{head}/file/{tail}",
            get_updates_request=self._requests[0],
            request=self._requests[1],
            rate_limiter=AIORateLimiter(),
        )

    async def close(self) -> None:
        """Let go of the connections; may be called twice."""
        for request in self._requests:
            await request.shutdown()

    async def ask(self, method: str, **fields: Any) -> Any:
        """Anything that may be asked twice."""
        with self._errors(may_repeat=True):
            return await self._sdk.call(method, fields)

    async def me(self) -> Fields:
        """Whom the token makes us."""
        with self._errors(may_repeat=True):
            user: Fields = await self._sdk.call("getMe", {})
            return {"username": "", **user, "id": user["id"]}

    async def updates(self, offset: int) -> Sequence[Fields]:
        """What happened since *offset*, at once if there is anything; asking confirms all before it."""
        fields = {"offset": offset, "timeout": POLL_SECONDS, "allowed_updates": ALLOWED_UPDATES}
        with self._errors(may_repeat=True):
            return [dict(update) for update in await self._sdk.call("getUpdates", fields)]

    async def say(self, html: str, place: Fields, buttons: Sequence[Button]) -> str:
        """A new message; its id."""
        fields = {**place, "reply_markup": _keyboard(buttons), "link_preview_options": _NO_PREVIEW}
        with self._errors():
            return await self._in_chat(place, self._formatted("sendMessage", fields, html))

    async def change(self, html: str, key: Fields, buttons: Sequence[Button]) -> bool:
        """A message that reads otherwise now; False where it is not there any more, or cannot be changed."""
        fields = {**key, "reply_markup": _keyboard(buttons), "link_preview_options": _NO_PREVIEW}
        with self._errors(may_repeat=True):
            try:
                await self._formatted("editMessageText", fields, html)
            except (BadRequest, ChatMigrated) as error:
                if isinstance(error, ChatMigrated) or _says(error, *_GONE):
                    return False
                if not _says(error, "message is not modified"):
                    raise
        return True

    async def draft(self, html: str, place: Fields, draft: int) -> bool:
        """A growing text, which will vanish; False where this Telegram has no such thing."""
        with self._errors(may_repeat=True):
            try:
                await self._formatted("sendMessageDraft", {**place, "draft_id": draft}, html)
            except (BadRequest, InvalidToken):  # an unknown method looks like an unknown token
                return False
        return True

    async def put(self, attachment: Attachment, place: Fields) -> str:
        """A file, as what it is: a picture, a voice, else a document; its id."""
        try:
            content = await asyncio.to_thread(cast("Path", attachment.path).read_bytes)
        except OSError as error:
            raise DeliveryRejected(f"{attachment.name!r} is not here") from error

        async def put(kind: str) -> str:
            fields = {**place, kind: InputFile(content, attachment.name)}
            return await self._in_chat(place, self._sdk.call(f"send{kind.title()}", fields))

        with self._errors():
            if (kind := KINDS.get(attachment.media_type)) is not None:
                with suppress(BadRequest):  # a picture too large or too thin, a voice of another kind: still a document
                    return await put(kind)
            return await put("document")

    async def download(self, file_id: str, into: Path) -> None:
        """Write a file that somebody sent to *into*; Telegram gives none beyond 20 MB."""
        with self._errors(may_repeat=True):
            file = await self._sdk.get_file(file_id)
            await file.download_to_drive(into, read_timeout=READ_SECONDS)

    async def _in_chat(self, place: Fields, sending: Awaitable[Any]) -> str:
        """The id of what is sent there; if the chat has moved, the ledger sends it to the new one."""
        try:
            return message_key(await sending)
        except ChatMigrated as error:
            await self._on_moved(place["chat_id"], error.new_chat_id)
            raise

    async def _formatted(self, method: str, fields: Fields, html: str) -> Any:
        """Put *html* somewhere; once more as plain text where Telegram cannot read it."""
        try:
            return await self._sdk.call(method, {**fields, "text": html, "parse_mode": "HTML"})
        except BadRequest as error:
            if not _says(error, *_UNFORMATTED):
                raise
        return await self._sdk.call(method, {**fields, "text": unescape(_TAG.sub("", html))})

    @contextmanager
    def _errors(self, *, may_repeat: bool = False) -> Iterator[None]:
        """The library's errors become ours. Not *from* them: their words, and their causes', may hold the address, and so the token."""
        try:
            yield
        except TelegramError as error:
            raise self._fault(error, may_repeat=may_repeat) from None
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            kind = ChannelUnavailable if may_repeat else DeliveryUnknown
            raise kind(f"Telegram's answer makes no sense ({type(error).__name__}): is telegram.api_url right?") from None

    def _fault(self, error: TelegramError, *, may_repeat: bool) -> AdapterError:
        words = f"Telegram: {' '.join(self._secret.sub('***', str(error)).split())[:300] or type(error).__name__}"
        match error:
            case RetryAfter():
                return ChannelUnavailable(words, retry_after=cast("timedelta", error.retry_after).total_seconds())
            case InvalidToken():
                return ChannelRefused("Telegram does not accept the token")
            case ChatMigrated():
                return ChannelUnavailable(words, retry_after=0.0)
            case BadRequest() | Forbidden():
                return DeliveryRejected(words)
            case NetworkError() if _says(error, "entity too large"):
                return DeliveryRejected(words)
            case Conflict():
                return ChannelUnavailable("another program asks for the updates of this bot (409)")
        cause = error.__cause__  # of a request that nobody can have read, or that somebody did read and said no to
        is_no = isinstance(error, NetworkError) and (cause is None or isinstance(cause, TelegramError))
        is_unread = isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        return ChannelUnavailable(words) if may_repeat or is_no or is_unread else DeliveryUnknown(words)


def _says(error: TelegramError, *signs: str) -> bool:
    """Whether the refusal is one of these; Telegram tells them apart by their words alone."""
    return any(sign in str(error).lower() for sign in signs)


def _keyboard(buttons: Sequence[Button]) -> Fields | None:
    """Three short buttons in a row, two that are not long, long ones each on its own."""
    longest = max((len(button.label) for button in buttons), default=0)
    rows = in_rows(buttons, 3 if longest <= SHORT_LABEL else 2 if longest <= LONG_LABEL else 1)
    keys = [[{"text": button.label, "callback_data": button.command} for button in row] for row in rows]
    return {"inline_keyboard": keys} if keys else None
