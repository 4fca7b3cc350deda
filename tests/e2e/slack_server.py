"""Slack's place in the tests: local-slack, somebody else's emulator, behind a shim of ours. `slack_server()` starts it.

What local-slack 0.1.8 does (seen in it, not promised by it):
- Web API: auth.test, apps.connections.open, team.info, bots.info, chat.postMessage / update / delete / postEphemeral / meMessage /
  getPermalink, conversations.list / info / history / replies / members / open / create, users.list / info / lookupByEmail / conversations,
  views.open / push / update / publish, reactions.add / remove, files.getUploadURLExternal / completeUploadExternal / info / list / delete,
  emoji.list. Anything else is `unknown_method`: no streams, no assistant, no reactions.get, no auth.revoke, no OAuth.
- `channel` may be an id, a name, or a person's id, which opens the direct channel ("D…", the same one each time).
- A message arrives as `message`, and as `app_mention` too where it names the bot, each with an `event_id` of its own, without
  `client_msg_id` and `team`; `channel_type` is "channel" (also in a private one) or "im". Edits arrive as message_changed, deletions as
  message_deleted, files as a `file_share` message and `file_shared`. What the bot itself does is not sent back to it.
- Slash commands and presses carry a `trigger_id`, good for one view or several within half an hour, and a `response_url` that takes
  replace_original, delete_original and response_type.
- The driver's calls return when the bot has acknowledged, or after 5 s; where no bot is connected they return at once, the event is lost.
- Signed HTTP is signed truly; there, an answer to a slash command is shown only where it is JSON (`ack(response_type=…, text=…)`).
- An upload's bytes are kept, and given back only to the bot's token.
What it does not:
- It takes any token, and with a wrong one acts as the first app. It checks no scope, no length, no blocks, no membership.
- It never repeats an event, never verifies the URL, never says `disconnect`, limits no rate, and sends an envelope to every open socket.
- history and replies ignore limit, oldest, latest and cursor: all is returned, newest first and oldest first. A restart forgets everything.
What the shim adds, and what is therefore our word alone: `metadata` of messages (kept, given back with include_all_metadata), repeats
(`redeliver`), `verify_url`, a socket that is cut or goes deaf (`cut`, `deaf`), and `faults` of the Web API (429, 5xx, lost answers).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import aiohttp
from aiohttp import web

from tests.e2e.confined import confined, why_not_confined
from tests.e2e.model_servers import NODE_MODULES
from tests.e2e.shim import Emulator, Faults, emulator, serving, until
from tests.machine import PATIENCE_SECONDS, free_port

LOCAL_SLACK = Path(os.environ.get("ROBBIE_E2E_SLACK", NODE_MODULES / "local-slack-linux-x64/bin/local-slack"))

BOT_TOKEN, APP_TOKEN, SIGNING_SECRET = "xoxb-of-the-test", "xapp-of-the-test", "secret-of-the-test"
BOT, ALLAN, GRACE = "U0ROBBIE", "U0ALLAN", "U0GRACE"
GENERAL, PRIVATE = "C0GENERAL", "G0PRIVATE"
CONFIG: dict[str, Any] = {
    "workspace": {"name": "Test House", "domain": "test-house", "teamId": "T0HOUSE"},
    "users": [
        {"id": ALLAN, "name": "allan", "real_name": "Allan", "email": "allan@test.local"},
        {"id": GRACE, "name": "grace", "real_name": "Grace", "email": "grace@test.local"},
    ],
    "channels": [
        {"id": GENERAL, "name": "general", "members": [ALLAN, GRACE, BOT]},
        {"id": PRIVATE, "name": "private", "is_private": True, "members": [ALLAN, BOT]},
    ],
}
APP = {
    "appId": "A0ROBBIE",
    "botUserId": BOT,
    "botName": "robbie",
    "botToken": BOT_TOKEN,
    "appToken": APP_TOKEN,
    "signingSecret": SIGNING_SECRET,
}


def why_no_slack() -> str | None:
    """What is missing here, None where it can be started."""
    if not LOCAL_SLACK.exists():
        return f"needs local-slack (x86-64): npm install --prefix {NODE_MODULES.parent} local-slack-linux-x64"
    return why_not_confined()


class SlackServer:
    """A workspace with Allan and Grace in it, and what they do there. Made by `slack_server`."""

    def __init__(self, *, port: int, config: Path, mode: Literal["socket", "events"], calls: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.api_url = f"{self.url}/api/"
        self.request_url = f"http://127.0.0.1:{calls}/slack/events"
        """Where signed HTTP is sent: the bot serves it."""
        self.faults = Faults()
        self.deaf = False
        """True: what is sent through open sockets does not arrive, though they stay open."""
        self._port, self._calls, self._config, self._mode = port, calls, config, mode
        self._metadata: dict[tuple[str, str], Any] = {}
        self._sockets: dict[web.WebSocketResponse, asyncio.Transport] = {}
        self._emulator: Emulator
        self._running = AsyncExitStack()

    # What people do

    async def message(self, text: str, *, channel: str = GENERAL, user: str = ALLAN, thread_ts: str | None = None) -> dict[str, Any]:
        """Somebody writes, in a channel or (their own id as the channel) to the bot alone; returns the message."""
        said = {"channel": channel, "user": user, "text": text} | ({"thread_ts": thread_ts} if thread_ts else {})
        kept: dict[str, Any] = (await self._control("message", **said))["message"]
        return kept

    async def command(self, command: str, text: str = "", *, channel: str = GENERAL, user: str = ALLAN) -> None:
        """Somebody uses a slash command (its name begins with the slash)."""
        await self._control("command", channel=channel, user=user, command=command, text=text)

    async def press(self, message: dict[str, Any], action_id: str, *, user: str = ALLAN) -> None:
        """Somebody presses the button *action_id* of a message of the bot."""
        elements = [(block, element) for block in message.get("blocks", ()) for element in block.get("elements", ())]
        block, button = next((block, element) for block, element in elements if element.get("action_id") == action_id)
        await self.interact(message, {"block_id": block.get("block_id"), **button}, user=user)

    async def interact(self, message: dict[str, Any], action: dict[str, Any], *, user: str = ALLAN) -> None:
        """Somebody does something else with a message: *action* as Slack's `actions` tell it."""
        await self._control("interact", channel=message["channel"], messageTs=message["ts"], user=user, action=action)

    async def react(self, message: dict[str, Any], name: str, *, user: str = ALLAN, present: bool = True) -> None:
        """Somebody adds a reaction, or takes it back."""
        await self._control("reaction", channel=message["channel"], ts=message["ts"], user=user, name=name, present=present)

    async def edit(self, message: dict[str, Any], text: str) -> None:
        """Whoever wrote it writes something else instead."""
        await self._control("edit-message", channel=message["channel"], ts=message["ts"], user=message["user"], text=text)

    async def delete(self, message: dict[str, Any]) -> None:
        """Whoever wrote it takes it back."""
        await self._control("delete-message", channel=message["channel"], ts=message["ts"], user=message["user"])

    async def upload(self, name: str, content: bytes, text: str = "", *, channel: str = GENERAL, user: str = ALLAN) -> dict[str, Any]:
        """Somebody sends a file; returns the message that carries it."""
        form = aiohttp.FormData({"channel": channel, "user": user, "text": text})
        form.add_field("file", content, filename=name)
        sent: dict[str, Any] = (await self._emulator.ask("POST", "/_control/upload", data=form))["message"]
        return sent

    async def open_home(self, *, user: str = ALLAN) -> None:
        """Somebody looks at the bot's home tab."""
        await self._control("open-home", user=user)

    async def submit(self, values: dict[str, dict[str, Any]], *, user: str = ALLAN) -> None:
        """Somebody submits the open modal; *values* by block and action, as `view.state.values` has them."""
        await self._through_ui({"t": "view_submit", "user": user, "values": values})

    async def close_modal(self, *, user: str = ALLAN) -> None:
        """Somebody closes the open modal."""
        await self._through_ui({"t": "view_close", "user": user})

    # What is to be seen

    async def messages(self, channel: str = GENERAL) -> list[dict[str, Any]]:
        """All that stands in a channel, oldest first; a person's id stands for their direct channel."""
        found: list[dict[str, Any]] = (await self._emulator.ask("GET", f"/_control/messages/{await self.channel(channel)}"))["messages"]
        return found

    async def said(self, channel: str = GENERAL, *, count: int = 1) -> list[dict[str, Any]]:
        """What the bot said there, once it said *count* things. Raises TimeoutError."""

        async def enough() -> list[dict[str, Any]] | None:
            found = [message for message in await self.messages(channel) if message.get("user") == BOT]
            return found if len(found) >= count else None

        found: list[dict[str, Any]] = await until(enough)
        return found

    async def home(self, user: str = ALLAN) -> dict[str, Any] | None:
        """What the home tab shows somebody."""
        view: dict[str, Any] | None = (await self._through_ui())["homeViews"].get(user, {}).get(APP["appId"])
        return view

    async def modals(self) -> list[dict[str, Any]]:
        """The open modals, the front one last; the emulator has one screen for all its people."""
        stack: list[dict[str, Any]] = (await self._through_ui())["modalStack"]
        return stack

    async def channel(self, user: str) -> str:
        """The direct channel of somebody with the bot; a channel's own id is that channel."""
        if not user.startswith("U"):
            return user
        opened = await self._emulator.ask("POST", "/api/conversations.open", json={"users": user})
        return str(opened["channel"]["id"])

    async def log(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What went to and fro: `direction` (to_bot, from_bot, internal), `kind` (events_api, web_api, ack, …), `summary`, `detail`."""
        found = (await self._emulator.ask("GET", "/_control/log"))["log"]
        return [entry for entry in found if kind in (None, entry["kind"])]

    async def connected(self) -> None:
        """Wait until a bot listens by Socket Mode. Raises TimeoutError."""

        async def open_socket() -> bool:
            return bool(self._sockets)

        await until(open_socket)

    # What goes wrong

    async def stop(self) -> None:
        """Let it die; what it knew is lost."""
        await self.cut()
        await self._running.aclose()

    async def start(self) -> None:
        """Let it run, on the same port as before; `slack_server` does it the first time."""
        command = [str(LOCAL_SLACK), "--config", str(self._config), "--port", str(self._port), "--base-host", "127.0.0.1"]
        async with AsyncExitStack() as running:
            folder = self._config.parent
            way_in = await running.enter_async_context(confined(command, folder=folder, port=self._port, calls=self._calls))
            self._emulator = await running.enter_async_context(emulator(self.url, unix=way_in))
            await self._emulator.until_up("/_control/state")
            await running.enter_async_context(serving(self._serve, port=self._port, faults=self.faults))
            self._running = running.pop_all()

    async def cut(self) -> None:
        """Cut every open socket; the server lives on."""
        open_now = dict(self._sockets)
        for line in open_now.values():
            line.abort()

        async def gone() -> bool:
            return not open_now.keys() & self._sockets.keys()

        await until(gone)

    async def redeliver(self) -> None:
        """Slack's repeat of the last event that it believes was missed (the shim's doing)."""
        payload = (await self.log("events_api"))[-1]["detail"]
        if self._mode == "events":
            last = next(entry for entry in reversed(await self.log("events_api")) if entry["direction"] == "to_bot")["detail"]
            await self.post(last, {"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"})
            return
        envelope = {"envelope_id": str(uuid.uuid4()), "type": "events_api", "payload": payload, "accepts_response_payload": False}
        for socket in self._sockets:
            await socket.send_json({**envelope, "retry_attempt": 1, "retry_reason": "timeout"})

    async def verify_url(self, challenge: str = "challenge-of-the-test") -> str:
        """What the bot answers when Slack verifies its URL (the shim's doing)."""
        return (await self.post(json.dumps({"type": "url_verification", "token": "t", "challenge": challenge})))[1]

    async def post(self, body: str, headers: dict[str, str] | None = None, *, secret: str = SIGNING_SECRET) -> tuple[int, str]:
        """Send a signed request to the bot, as Slack does; returns status and body of the answer."""
        sent_at = str(int(time.time()))
        signature = "v0=" + hmac.new(secret.encode(), f"v0:{sent_at}:{body}".encode(), hashlib.sha256).hexdigest()
        signed = {"Content-Type": "application/json", "X-Slack-Request-Timestamp": sent_at, "X-Slack-Signature": signature}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.request_url, data=body, headers={**signed, **(headers or {})}) as answer,
        ):
            return answer.status, await answer.text()

    # The two ways in

    async def _control(self, what: str, **details: Any) -> Any:
        return await self._emulator.ask("POST", f"/_control/{what}", json=details)

    async def _through_ui(self, *told: dict[str, Any]) -> dict[str, Any]:
        """Tell the emulator's own page something; returns what that page showed before."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._emulator.session.ws_connect(f"{self.url}/ui") as page:
            shown: dict[str, Any] = (await page.receive_json())["state"]
            for what in told:
                await page.send_json(what)
                async for event in page:  # the bot's answer is the last thing that such an act brings
                    entry = event.json().get("entry", {})
                    if (entry.get("direction"), entry.get("kind")) in {("from_bot", "ack"), ("from_bot", "interactive")}:
                        break
        return shown

    # The shim

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request)
        status, body, headers = await self._emulator.passed(request)
        if request.path.startswith("/api/"):
            body = await self._with_metadata(request, body)
        return web.Response(status=status, body=body, headers=headers)

    async def _with_metadata(self, request: web.Request, body: bytes) -> bytes:
        """Keep the metadata of what is sent, put it beside what is asked for."""
        method, answer = request.path.rpartition("/")[2], json.loads(body)
        asked = dict(request.query) | (await request.json() if request.content_type == "application/json" else dict(await request.post()))
        if method in {"chat.postMessage", "chat.update"} and answer["ok"] and asked.get("metadata"):
            metadata = asked["metadata"]
            self._metadata[answer["channel"], answer["ts"]] = json.loads(metadata) if isinstance(metadata, str) else metadata
        if method in {"conversations.history", "conversations.replies"} and str(asked.get("include_all_metadata")).lower() in {"1", "true"}:
            for message in answer.get("messages", ()):
                if metadata := self._metadata.get((await self.channel(asked["channel"]), message["ts"])):
                    message["metadata"] = metadata
        return json.dumps(answer).encode()

    async def _serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        near = web.WebSocketResponse()
        await near.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        async with self._emulator.session.ws_connect(self.url + request.path_qs) as far:
            self._sockets[near] = request.transport
            carriers = [asyncio.ensure_future(self._carry(far, near, from_bot=False)), asyncio.ensure_future(self._carry(near, far))]
            try:
                await asyncio.wait(carriers, return_when=asyncio.FIRST_COMPLETED)
            finally:
                del self._sockets[near]
                for carrier in carriers:
                    carrier.cancel()
        await near.close()
        return near

    async def _carry(self, source: Any, target: Any, *, from_bot: bool = True) -> None:
        async for message in source:
            if from_bot or not self.deaf:
                await target.send_str(message.data)


@asynccontextmanager
async def slack_server(
    folder: Path, *, mode: Literal["socket", "events"] = "socket", port: int = 0, calls: int = 0
) -> AsyncIterator[SlackServer]:
    """Start a workspace, its files in *folder*, at *port* of loopback; in mode "events" it calls port *calls*. 0 is a free one."""
    calls = calls or free_port()
    server = SlackServer(port=port or free_port(), config=folder / "local-slack.json", mode=mode, calls=calls)
    server._config.write_text(json.dumps({**CONFIG, "app": {**APP, "mode": mode, "requestUrl": server.request_url}}))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
