"""FAKE: what no emulator has of Slack: streams, rate limits, refusals, cut lines, pings, revoked tokens. For SlackAdapter's tests."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import WSMsgType, web

from tests.machine import PATIENCE_SECONDS

TEAM, BOT, ALLAN, CHANNEL, DIRECT = "T0HOUSE", "U0ROBBIE", "U0ALLAN", "C0GENERAL", "D0ALLAN"
CUT = "cut"
"""FAKE: as an answer: the line falls after the request was read."""


class FakeSlack:
    """FAKE: a Web API that remembers every call and answers as told, else well; and the socket of Socket Mode."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.messages: dict[str, dict[str, Any]] = {}
        self.streaming: set[str] = set()
        self.acknowledged: list[dict[str, Any]] = []
        self.lines: list[web.WebSocketResponse] = []
        self.is_deaf = False
        self.scopes = ""
        self.api_url = ""
        self._answers: defaultdict[str, deque[Any]] = defaultdict(deque)
        self._numbers = itertools.count(1)
        self._came = asyncio.Condition()

    def will_answer(self, method: str, *answers: Any) -> None:
        """The next answers to a method: the body (a code alone is an error), (status, headers, body), or CUT."""
        self._answers[method] += answers

    def called(self, method: str) -> list[dict[str, Any]]:
        """What a method was asked."""
        return [asked for name, asked in self.calls if name == method]

    async def connected(self, count: int = 1) -> web.WebSocketResponse:
        """The newest line, once there are so many."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._came:
            await self._came.wait_for(lambda: len(self.lines) >= count)
        return self.lines[-1]

    async def sends(self, payload: Any, *, kind: str = "events_api", envelope_id: str = "") -> None:
        """Something happens: an envelope goes through the newest line."""
        line, envelope_id = await self.connected(), envelope_id or f"envelope-{next(self._numbers)}"
        await line.send_json({"envelope_id": envelope_id, "type": kind, "payload": payload})

    async def acknowledgements(self, count: int) -> list[dict[str, Any]]:
        """What Robbie acknowledged, once it is so much."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._came:
            await self._came.wait_for(lambda: len(self.acknowledged) >= count)
        return self.acknowledged

    async def api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        asked = dict(request.query) | (await request.json() if request.content_type == "application/json" else dict(await request.post()))
        self.calls.append((method, asked))
        async with self._came:
            self._came.notify_all()
        answer = self._answers[method].popleft() if self._answers[method] else self._answer(method, asked)
        if answer == CUT:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(answer, tuple):
            status, headers, body = answer
            return web.json_response(body, status=status, headers=headers)
        headers = {"X-OAuth-Scopes": self.scopes} if self.scopes else {}
        return web.json_response({"ok": False, "error": answer} if isinstance(answer, str) else {"ok": True} | answer, headers=headers)

    def _answer(self, method: str, asked: dict[str, Any]) -> Any:  # noqa: C901  a table
        channel, ts = asked.get("channel", CHANNEL), asked.get("ts", "")
        match method:
            case "auth.test":
                return {"team_id": TEAM, "team": "Test House", "user_id": BOT, "bot_id": "B0ROBBIE"}
            case "apps.connections.open":
                return {"url": self.api_url.replace("http", "ws").replace("/api/", "/socket")}
            case "conversations.open":
                return {"channel": {"id": DIRECT}}
            case "chat.postMessage" | "chat.startStream":
                ts = f"1790000000.{next(self._numbers):06}"
                kept = {
                    key: json.loads(value) if key in ("metadata", "blocks") and isinstance(value, str) else value
                    for key, value in asked.items()
                }
                self.messages[f"{channel}:{ts}"] = {"ts": ts, "user": BOT, **kept}
                if method == "chat.startStream":
                    self.streaming.add(ts)
                return {"channel": channel, "ts": ts}
            case "chat.update" if ts in self.streaming:
                return "streaming_state_conflict"
            case "chat.appendStream" | "chat.stopStream" if ts not in self.streaming:
                return "message_not_in_streaming_state"
            case "chat.stopStream":
                self.streaming.discard(ts)
                return {}
            case "conversations.history" | "conversations.replies":
                return {"messages": [message for message in self.messages.values() if message["channel"] == channel]}
            case "files.getUploadURLExternal":
                return {"file_id": "F1", "upload_url": self.api_url.replace("/api/", "/upload")}
            case "files.completeUploadExternal":
                return {"files": [{"id": "F1"}]}
        return {"channel": channel, "ts": ts}

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        line = web.WebSocketResponse()
        await line.prepare(request)
        await line.send_json({"type": "hello"})
        async with self._came:
            self.lines.append(line)
            self._came.notify_all()
        while self.is_deaf:
            await asyncio.sleep(0.01)
        async for frame in line:
            if frame.type is WSMsgType.TEXT:
                async with self._came:
                    self.acknowledged.append(json.loads(frame.data))
                    self._came.notify_all()
        return line

    async def upload(self, request: web.Request) -> web.Response:
        self.calls.append(("upload", {"bytes": await request.read()}))
        return web.Response(text="OK")

    async def file(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(("file", {"token": request.headers.get("Authorization", "")}))
        answer = self._answers["file"].popleft()
        return answer if isinstance(answer, web.StreamResponse) else web.Response(body=answer, content_type="image/png")


@asynccontextmanager
async def fake_slack() -> AsyncIterator[FakeSlack]:
    """FAKE: Slack, running."""
    fake = FakeSlack()
    app = web.Application(client_max_size=1 << 26)
    app.add_routes(
        [
            web.route("*", "/api/{method}", fake.api),
            web.get("/socket", fake.socket),
            web.post("/upload", fake.upload),
            web.get("/files/{name}", fake.file),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.api_url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
    try:
        yield fake
    finally:
        fake.is_deaf = False
        for line in fake.lines:
            with suppress(Exception):
                await line.close()
        await runner.cleanup()
