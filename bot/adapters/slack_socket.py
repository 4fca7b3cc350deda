"""Socket Mode: a line to Slack that is opened anew before Slack closes it, and that counts as alive only while Slack itself says so.

Slack's own client would reconnect by itself for ever, so that nobody could tell a channel that fell from one that is quiet, and it hides
the frames by which a deaf line is known. What comes in is still given to Bolt as it is.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp
import structlog
from aiohttp import ClientWebSocketResponse as Line

from bot.adapters.slack_wire import faults
from bot.domain.errors import ChannelRefused, ChannelUnavailable

log = structlog.get_logger(__name__)

OPEN_SECONDS = 15.0
CLOSE_SECONDS = aiohttp.ClientWSTimeout(ws_close=1.0)
"""A deaf line does not say farewell."""
PING_SECONDS = 10.0
"""How often Slack is asked for a sign of life."""
OFTEN_SECONDS = 15.0
"""Slack asks for one itself every few seconds; the pause that shows it to. From then on an answer to our own proves no more than that some
server still stands.
"""
LARGEST_FRAME = 16 * 2**20


class Socket:
    """The line, from `run` to its end. *address* gives one for each time it is opened; *take* keeps an event, and says whether it did."""

    def __init__(self, *, address: Callable[[], Awaitable[str]], take: Callable[[Any], Awaitable[bool]], told: Callable[[], None]) -> None:
        self._address = address
        self._take = take
        self._told = told

    async def run(self) -> None:
        """Listen until cancelled. Raises ChannelUnavailable where the line fell, ChannelRefused where Slack gives none."""
        async with aiohttp.ClientSession(trust_env=True) as session, asyncio.TaskGroup() as tasks:
            await self._listen(session, tasks)

    async def _listen(self, session: aiohttp.ClientSession, tasks: asyncio.TaskGroup) -> None:
        pinged_at, is_pinged_often, is_replaced = -math.inf, False, False
        async with await self._open(session) as line:
            async for frame in line:
                if frame.type is aiohttp.WSMsgType.PING:
                    now = asyncio.get_running_loop().time()
                    pinged_at, is_pinged_often = now, is_pinged_often or now - pinged_at < OFTEN_SECONDS
                    with suppress(aiohttp.ClientError, OSError):
                        await line.pong(frame.data)
                if frame.type is not aiohttp.WSMsgType.PONG or not is_pinged_often:
                    self._told()
                envelope = _envelope(frame)
                if envelope.get("type") == "disconnect" and envelope.get("reason") == "link_disabled":
                    raise ChannelRefused("Slack: Socket Mode was switched off for this app")
                if envelope.get("type") == "disconnect" and not is_replaced:
                    is_replaced = True
                    tasks.create_task(self._listen(session, tasks), name="slack: the next line")
                elif isinstance(envelope.get("envelope_id"), str):
                    tasks.create_task(self._answer(line, envelope), name="slack envelope")
        if not is_replaced:
            raise ChannelUnavailable("Slack hung up")

    async def _open(self, session: aiohttp.ClientSession) -> Line:
        with faults():
            async with asyncio.timeout(OPEN_SECONDS):
                return await session.ws_connect(
                    await self._address(), heartbeat=PING_SECONDS, autoping=False, timeout=CLOSE_SECONDS, max_msg_size=LARGEST_FRAME
                )

    async def _answer(self, line: Line, envelope: dict[str, Any]) -> None:
        """Keep it first, acknowledge it then; what could not be kept comes again."""
        if await self._take(envelope.get("payload")):
            with suppress(aiohttp.ClientError, OSError):
                await line.send_str(json.dumps({"envelope_id": envelope["envelope_id"]}))


def _envelope(frame: aiohttp.WSMessage) -> dict[str, Any]:
    """What *frame* holds; nothing where it is none of Slack's JSON."""
    try:
        read = json.loads(frame.data) if frame.type is aiohttp.WSMsgType.TEXT else {}
    except (ValueError, RecursionError):
        log.warning("slack.unreadable")
        return {}
    return read if isinstance(read, dict) else {}
