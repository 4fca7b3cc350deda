"""Telegram's place in the tests: two emulators of other people, one that is polled and one that calls, each behind our shim.

`polled_telegram()` starts telegram-test-api 4.2.1; `telemelya()` starts telemelya 0.2.2 (with a Redis and an S3 that live in its memory),
and `calling_telegram(port)` talks through it. What each does by itself, seen in it:
- telegram-test-api keeps what users and the bot write, numbers the messages, and gives an update once, at once. A user's message may have
  any field of the Bot API's `Message`, so that groups, topics, replies and media go through it. It knows getMe, sendMessage, deleteMessage,
  editMessageText, editMessageReplyMarkup, answerCallbackQuery and getUpdates, takes any token, checks nothing, answers most with null.
- telemelya calls the webhook for text, a command or a press in a private chat, and waits for the answer, 10 s at most, once. It knows no
  secret token, no groups, topics, reactions, edits by users, and keeps no order or backlog. Its update ids are the clock's; the
  message that was pressed comes without its text, as if the user had written it.
What the shim adds, and what is therefore our word alone: see `telegram_shim.py`. For the polled one also long polling, confirmation by
offset, an update until it is confirmed, allowed_updates, the conflict of two pollers, update ids; for the calling one the secret token; for
both `inject`, which hands any update to the bot past the emulator (reactions, edits, membership).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.e2e.model_servers import NODE_MODULES
from tests.e2e.shim import Emulator, emulator, serving
from tests.e2e.telegram_shim import ALLAN, TOKEN, BotApi, Call, Fields, Refused, chat_of, post_update, public
from tests.machine import free_port

TEST_API = NODE_MODULES / "telegram-test-api/lib/telegramServer.js"
TELEMELYA = Path(os.environ.get("ROBBIE_E2E_TELEMELYA", NODE_MODULES.parent / "telemelya")) / "bin/python"
TELEMELYA_KEY = "key-of-the-test"
AUTHORIZED = {"Authorization": f"Bearer {TELEMELYA_KEY}"}
SESSION = {"bot_token": TOKEN, "session_id": "default"}

START_TEST_API = "new (require(process.argv[1]).TelegramServer)({port: +process.argv[2], host: '127.0.0.1', storeTimeout: 3600}).start()"
START_TELEMELYA = """
import os, sys, threading
from fakeredis import TcpFakeServer
from moto.server import ThreadedMotoServer
redis, s3 = TcpFakeServer(("127.0.0.1", 0)), ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
threading.Thread(target=redis.serve_forever, daemon=True).start()
s3.start()
os.environ["REDIS_URL"] = "redis://127.0.0.1:%d/0" % redis.server_address[1]
os.environ["MINIO_ENDPOINT"] = "127.0.0.1:%d" % s3.get_host_and_port()[1]
os.environ.update(MOCK_SERVER_HOST="127.0.0.1", MOCK_SERVER_PORT=sys.argv[1], AUTH_KEYS=sys.argv[2], STRICT_EDIT="true")
from telemelya.server.app import main
main()
"""
NOT_BY_DEFAULT = {"message_reaction", "message_reaction_count", "chat_member"}
"""Updates that come only to whoever lists them in allowed_updates."""


def why_not_polled() -> str | None:
    """What is missing for `polled_telegram`, None where it can be started."""
    here = shutil.which("node") and TEST_API.exists()
    return None if here else f"needs node, and: npm install --prefix {NODE_MODULES.parent} telegram-test-api"


def why_not_calling() -> str | None:
    """What is missing for `calling_telegram`, None where it can be started."""
    return None if TELEMELYA.exists() else f"needs telemelya in {TELEMELYA.parents[1]}: make e2e-tools"


class PolledTelegram(BotApi):
    """Telegram for a bot that asks for its updates."""

    def __init__(self, url: str, emulator: Emulator) -> None:
        super().__init__(url, emulator)
        self._waiting: list[Fields] = []
        self._update_ids = itertools.count(1)
        self._pollers = 0

    async def message(self, text: str | None, *, user: Fields = ALLAN, chat: Fields | None = None, **more: Any) -> None:
        """Somebody writes, in private or in another *chat*; *more* are other fields of a `Message`, such as `document`."""
        said = {"botToken": TOKEN, "from": user, "chat": chat or chat_of(user["id"]), "date": int(time.time()), **more}
        if text is not None:
            said["text"] = text
        if text and text.startswith("/"):
            said["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]
            await self._emulator.ask("POST", "/sendCommand", json=said)
        else:
            await self._emulator.ask("POST", "/sendMessage", json=said)

    async def press(self, message: Fields, text: str, *, user: Fields = ALLAN) -> None:
        """Somebody presses the button *text* under a message of the bot."""
        pressed = {"botToken": TOKEN, "from": user, "message": public(message), "data": callback_data(message, text)}
        await self._emulator.ask("POST", "/sendCallback", json=pressed)

    async def inject(self, update: Fields) -> None:
        """Any other update, without its id."""
        self._waiting.append({"update_id": next(self._update_ids), **update})

    async def history(self) -> list[Fields]:
        """What the emulator itself keeps of this bot and its users."""
        kept: list[Fields] = (await self._emulator.ask("POST", "/getUpdatesHistory", json={"token": TOKEN}))["result"]
        return kept

    async def answer(self, call: Call) -> Any:
        match call.method:
            case "getUpdates":
                return await self._updates(**call.fields)
            case "deleteWebhook":
                if call.fields.get("drop_pending_updates"):
                    await self._pull()
                    self._waiting.clear()
                return True
            case "getWebhookInfo":
                return {"url": "", "has_custom_certificate": False, "pending_update_count": len(self._waiting)}
            case _:
                return await super().answer(call)

    async def pass_on(self, call: Call) -> Any:
        return await self.ask_emulator(call)

    async def _updates(self, offset: int = 0, limit: int = 100, timeout: float = 0, allowed_updates: Any = (), **_: Any) -> list[Fields]:
        """Telegram's long polling: what waits, again and again until an offset beyond it confirms it."""
        self._pollers += 1
        me, deadline = self._pollers, time.monotonic() + timeout
        while True:
            await self._pull()
            if me != self._pollers:
                raise Refused(409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running")
            self._waiting = [update for update in self._waiting if update["update_id"] >= offset and wanted(update, allowed_updates)]
            if self._waiting or time.monotonic() > deadline:
                return self._waiting[:limit]
            await asyncio.sleep(0.02)

    async def _pull(self) -> None:
        for update in (await self._emulator.ask("POST", f"/bot{TOKEN}/getUpdates"))["result"]:
            for part in ("message", "callback_query"):
                if part in update:
                    update[part].pop("botToken", None)
            if "callback_query" in update:
                update["callback_query"]["chat_instance"] = "1"
            self._waiting.append({**update, "update_id": next(self._update_ids)})


class CallingTelegram(BotApi):
    """Telegram for a bot that is called at its webhook. What a user does here returns when the bot has answered, with its status."""

    def __init__(self, url: str, emulator: Emulator) -> None:
        super().__init__(url, emulator)
        self.webhook = ""
        self.gateway = ("", "")
        """A public address, and the one of this machine that it leads to."""
        self.deliveries: list[tuple[Fields, int]] = []
        """Every update that was delivered, and the status it was answered with."""
        self._secret: str | None = None

    async def message(self, text: str, *, user: Fields = ALLAN) -> int:
        """Somebody writes in private."""
        return await self._send_update(user, {"command" if text.startswith("/") and " " not in text else "text": text})

    async def press(self, message: Fields, text: str, *, user: Fields = ALLAN) -> int:
        """Somebody presses the button *text* under a message of the bot."""
        pressed = {"callback_data": callback_data(message, text), "callback_message_id": message["message_id"]}
        return await self._send_update(user, pressed)

    async def inject(self, update: Fields, *, secret: str | None = None) -> int:
        """Any other update, whole, with its id; *secret* instead of the one that the bot set."""
        status = await post_update(self.webhook.replace(*self.gateway), update, secret if secret is not None else self._secret)
        self.deliveries.append((update, status))
        return status

    async def redeliver(self) -> int:
        """The last update once more, as after an answer that Telegram did not get."""
        return await self.inject(self.deliveries[-1][0])

    async def responses(self) -> list[Fields]:
        """What the emulator itself keeps of the bot's answers."""
        answer = await self._emulator.ask("GET", "/api/v1/test/responses", params=SESSION, headers=AUTHORIZED)
        kept: list[Fields] = answer["responses"]
        return kept

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if request.path != "/called-by-the-emulator":
            return await super().serve(request)
        return web.Response(status=await self.inject(await request.json()) or 502)

    async def answer(self, call: Call) -> Any:
        match call.method:
            case "setWebhook":
                self.webhook, self._secret = call.fields.get("url", ""), call.fields.get("secret_token")
                mine = Call(call.method, {"url": f"{self.url}/called-by-the-emulator"}, {})
                return (await self.ask_emulator(mine))["result"]
            case "deleteWebhook":
                self.webhook, self._secret = "", None
                return (await self.ask_emulator(call))["result"]
            case "getWebhookInfo":
                return {"url": self.webhook, "has_custom_certificate": False, "pending_update_count": 0}
            case "getUpdates":
                raise Refused(409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook first")
            case _:
                return await super().answer(call)

    async def pass_on(self, call: Call) -> Any:
        return await self.ask_emulator(call)

    async def _send_update(self, user: Fields, what: Fields) -> int:
        told = {"chat_id": user["id"], "from_user": user, **what}
        answer = await self._emulator.ask("POST", "/api/v1/test/send_update", params=SESSION, json=told, headers=AUTHORIZED)
        status: int = answer["delivery"]["status_code"]
        return status


def callback_data(message: Fields, text: str) -> str:
    """What the button *text* under *message* carries."""
    buttons = [button for row in message["reply_markup"]["inline_keyboard"] for button in row]
    return next(str(button["callback_data"]) for button in buttons if button["text"] == text)


def wanted(update: Fields, allowed: Any) -> bool:
    """Whether a bot that allows these updates is given this one."""
    kind = next(name for name in update if name != "update_id")
    return kind in allowed if allowed else kind not in NOT_BY_DEFAULT


@asynccontextmanager
async def polled_telegram() -> AsyncIterator[PolledTelegram]:
    """Start Telegram for a bot that polls."""
    port = free_port()
    command = ["node", "-e", START_TEST_API, str(TEST_API.resolve()), str(port)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            async with emulator(f"http://127.0.0.1:{port}") as there:
                await there.until_up(f"/bot{TOKEN}/getMe")
                server = PolledTelegram(f"http://127.0.0.1:{(front := free_port())}", there)
                async with serving(server.serve, port=front, faults=server.faults):
                    yield server
        finally:
            process.kill()


@contextmanager
def telemelya() -> Iterator[int]:
    """Start the emulator that calls; yields its port. It may serve one `calling_telegram` after another."""
    port = free_port()
    command = [str(TELEMELYA), "-c", START_TELEMELYA, str(port), TELEMELYA_KEY]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield port
        finally:
            process.kill()


@asynccontextmanager
async def calling_telegram(port: int) -> AsyncIterator[CallingTelegram]:
    """Telegram for a bot that has a webhook, by the `telemelya` at *port*, which forgets what was."""
    async with emulator(f"http://127.0.0.1:{port}") as there:
        await there.until_up("/")
        await there.ask("POST", "/api/v1/test/reset", params=SESSION, headers=AUTHORIZED)
        server = CallingTelegram(f"http://127.0.0.1:{(front := free_port())}", there)
        async with serving(server.serve, port=front, faults=server.faults):
            yield server
