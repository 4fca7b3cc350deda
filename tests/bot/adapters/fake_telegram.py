"""FAKE: as much of the Bot API as no third-party emulator has: rate limits, refusals, cut lines, reactions, drafts, groups, files."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.machine import PATIENCE_SECONDS

TOKEN = "123456:Secret-Token-Of-The-Test"
BOT = {"id": 123456, "is_bot": True, "first_name": "Robbie", "username": "robbie_bot"}
ALLAN = {"id": 41, "is_bot": False, "first_name": "Allan", "username": "allan"}
GRACE = {"id": 42, "is_bot": False, "first_name": "Grace", "last_name": "Hopper"}
PRIVATE = {"id": 41, "type": "private", "first_name": "Allan"}
GROUP = {"id": -1001, "type": "supergroup", "title": "Crew"}
NOON = 1795348800
"""2026-11-22 12:00 UTC, where the tests' clock stands."""

Fields = dict[str, Any]


def refusal(status: int, description: str, **parameters: Any) -> Fields:
    """How the Bot API says no."""
    return {"status": status, "ok": False, "error_code": status, "description": description, "parameters": parameters}


CUT: Fields = {"cut": True}
"""The request is read, and the line falls."""


def message(text: str | None = None, *, chat: Fields = PRIVATE, user: Fields | None = ALLAN, number: int = 7, **more: Any) -> Fields:
    """A message that somebody wrote."""
    said = {"message_id": number, "date": NOON, "chat": chat, **more}
    return said | ({"text": text} if text is not None else {}) | ({"from": user} if user is not None else {})


def press(data: str, under: Fields, *, user: Fields = ALLAN) -> Fields:
    """A press of a button, as a query."""
    return {"id": "q1", "from": user, "chat_instance": "1", "message": under, "data": data}


@dataclass
class FakeTelegram:
    """FAKE: keeps what it is asked in `calls`; answers are as documented, or the next of those scripted for a method."""

    url: str = ""
    calls: list[tuple[str, Fields]] = field(default_factory=list)
    waiting: list[Fields] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    webhook: Fields = field(default_factory=lambda: {"url": "", "pending_update_count": 0})
    me: Fields = field(default_factory=lambda: dict(BOT))
    scripted: defaultdict[str, deque[Fields]] = field(default_factory=lambda: defaultdict(deque))
    _ids: Callable[[], int] = field(default_factory=lambda: itertools.count(500).__next__)
    _update_ids: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)
    _asked: asyncio.Event = field(default_factory=asyncio.Event)

    def answers(self, method: str, *answers: Fields) -> None:
        """What the next calls of *method* come to."""
        self.scripted[method].extend(answers)

    def happens(self, **event: Any) -> None:
        """An update for the bot."""
        self.waiting.append({"update_id": self._update_ids(), **event})

    def asked(self, method: str) -> list[Fields]:
        """The fields of every call of *method*."""
        return [fields for name, fields in self.calls if name == method]

    async def until(self, method: str, *, count: int = 1) -> list[Fields]:
        """As `asked`, once there are *count*."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.asked(method)) < count:
                self._asked.clear()
                await self._asked.wait()
        return self.asked(method)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.path.startswith("/file/"):
            content = self.files.get(request.path.removeprefix(f"/file/bot{TOKEN}/"))
            return web.Response(status=404) if content is None else web.Response(body=content)
        _, token, method = request.path.split("/", 2)
        fields = await _fields(request)
        self.calls.append((method, fields))
        self._asked.set()
        if token != f"bot{TOKEN}":
            return _said(refusal(401, "Unauthorized"))
        if self.scripted[method]:
            scripted = self.scripted[method].popleft()
            if "cut" in scripted:
                assert request.transport is not None
                request.transport.abort()
            return _said(scripted)
        return _said({"ok": True, "result": await self._result(method, fields)})

    async def _result(self, method: str, fields: Fields) -> Any:
        match method:
            case "getMe":
                return self.me
            case "getUpdates":
                self.waiting = [update for update in self.waiting if update.get("update_id", 0) >= fields["offset"]]
                if not self.waiting:
                    await asyncio.sleep(0.01)  # a long poll, made short
                return self.waiting
            case "sendMessage" | "editMessageText" | "sendPhoto" | "sendVoice" | "sendDocument":
                return {**message(chat={"id": fields["chat_id"]}, number=fields.get("message_id") or self._ids()), "from": BOT}
            case "getWebhookInfo":
                return self.webhook
            case "setWebhook":
                self.webhook["url"] = fields["url"]
            case "getFile":
                return {"file_id": fields["file_id"], "file_unique_id": "U", "file_path": f"files/{fields['file_id']}"}
        return True


def _said(answer: Fields) -> web.Response:
    status = answer.get("status", 200)
    return web.Response(text=json.dumps({name: value for name, value in answer.items() if name != "status"}), status=status)


async def _fields(request: web.Request) -> Fields:
    form = await request.post()
    return {name: _decoded(value) for name, value in form.items()}


def _decoded(value: Any) -> Any:
    if isinstance(value, web.FileField):
        return (value.filename, value.file.read())
    try:
        return json.loads(value)
    except ValueError:
        return value


@asynccontextmanager
async def fake_telegram() -> AsyncIterator[FakeTelegram]:
    """FAKE: Telegram on a free port of loopback."""
    fake = FakeTelegram()
    app = web.Application(client_max_size=1 << 28)
    app.router.add_route("*", "/{path:.*}", fake.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/bot"
        yield fake
    finally:
        await runner.cleanup()
