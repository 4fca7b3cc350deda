"""Socket Mode: a line to Slack that is opened anew before Slack closes it, and that counts as alive only while Slack itself says so.

Slack's own client would reconnect by itself for ever, so that nobody could tell a channel that fell from one that is quiet, and it hides
the frames by which a deaf line is known. What comes in is still given to Bolt as it is.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp
import structlog

from bot.adapters.slack_wire import faults
from bot.domain.errors import ChannelRefused, ChannelUnavailable

log = structlog.get_logger(__name__)

OPEN_SECONDS = 15.0
CLOSE_SECONDS = 1.0
"""A deaf line does not say farewell."""
PING_SECONDS = 10.0
"""How often Slack is asked for a sign of life."""
OFTEN_SECONDS = 15.0
"""Slack asks for one itself every few seconds; the pause that shows it to."""
LARGEST_FRAME = 16 * 1024 * 1024

Take = Callable[[dict[str, Any]], Awaitable[dict[str, Any] | None]]
"""Keeps what an envelope holds; returns how it is acknowledged, None where it is not."""


class Life:
    """Whether a frame proves that Slack is alive.

    An answer to our own ping does, until Slack is known to ping often itself: then it proves no more than that some server still stands.
    """

    def __init__(self) -> None:
        self._pinged_at = -math.inf
        self._is_pinged_often = False

    def is_proven_by(self, kind: aiohttp.WSMsgType, now: float) -> bool:
        """Whether a frame of this *kind* does, which came at *now* (seconds)."""
        if kind is aiohttp.WSMsgType.PING:
            self._is_pinged_often = self._is_pinged_often or now - self._pinged_at < OFTEN_SECONDS
            self._pinged_at = now
        return kind is not aiohttp.WSMsgType.PONG or not self._is_pinged_often


class Socket:
    """The line, from `run` to its end; *address* gives one for each time it is opened."""

    def __init__(self, *, address: Callable[[], Awaitable[str]], take: Take, told: Callable[[], None]) -> None:
        self._address = address
        self._take = take
        self._told = told

    async def run(self) -> None:
        """Listen until cancelled. Raises ChannelUnavailable where the line fell, ChannelRefused where Slack gives none."""
        async with aiohttp.ClientSession(trust_env=True) as session, asyncio.TaskGroup() as lines:
            await self._listen(session, lines)

    async def _listen(self, session: aiohttp.ClientSession, lines: asyncio.TaskGroup) -> None:
        line, is_replaced, life = await self._open(session), False, Life()
        async with line, asyncio.TaskGroup() as envelopes:
            async for frame in _frames(line):
                if life.is_proven_by(frame.type, asyncio.get_running_loop().time()):
                    self._told()
                envelope = _envelope(frame)
                if envelope.get("type") == "disconnect" and envelope.get("reason") == "link_disabled":
                    raise ChannelRefused("Slack: Socket Mode was switched off for this app")
                if envelope.get("type") == "disconnect" and not is_replaced:
                    is_replaced = True
                    lines.create_task(self._listen(session, lines), name="slack: the next line")
                elif isinstance(envelope.get("envelope_id"), str):
                    envelopes.create_task(self._answer(line, envelope), name="slack envelope")
        if not is_replaced:
            raise ChannelUnavailable("Slack hung up")

    async def _open(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        with faults():
            async with asyncio.timeout(OPEN_SECONDS):
                address = await self._address()
                return await session.ws_connect(
                    address,
                    heartbeat=PING_SECONDS,
                    autoping=False,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
                    max_msg_size=LARGEST_FRAME,
                )

    async def _answer(self, line: aiohttp.ClientWebSocketResponse, envelope: dict[str, Any]) -> None:
        """Keep it first, acknowledge it then; what could not be kept comes again."""
        payload = await self._take(envelope)
        if payload is None:
            return
        try:
            await line.send_str(json.dumps({"envelope_id": envelope["envelope_id"]} | ({"payload": payload} if payload else {})))
        except (aiohttp.ClientError, OSError) as error:
            log.warning("slack.unacknowledged", error=type(error).__name__)


async def _frames(line: aiohttp.ClientWebSocketResponse) -> AsyncIterator[aiohttp.WSMessage]:
    """What comes through *line* until it ends."""
    while True:
        frame = await line.receive()
        if frame.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
            return
        if frame.type is aiohttp.WSMsgType.PING:
            with suppress(aiohttp.ClientError, OSError):
                await line.pong(frame.data)
        yield frame


def _envelope(frame: aiohttp.WSMessage) -> dict[str, Any]:
    """What *frame* holds; nothing where it is none of Slack's JSON."""
    try:
        read = json.loads(frame.data) if frame.type is aiohttp.WSMsgType.TEXT else {}
    except (ValueError, RecursionError):
        log.warning("slack.unreadable")
        return {}
    return read if isinstance(read, dict) else {}
