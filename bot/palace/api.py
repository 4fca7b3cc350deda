"""The HTTP API for scripts: ask and be answered, in one piece or as it grows; read back what was said."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from aiohttp import web

from bot.domain.clock import Clock, new_id
from bot.hub.auth import Auth
from bot.hub.feed import Grown, Lagged, Said, Subscription
from bot.hub.hub import Hub, Receipt
from bot.hub.server import EventStream, Problem, event_stream, json_response
from bot.palace.transcript import IN, LONGEST_ID, MAIN, Door, Transcripts
from storage.models.messaging import Message

MOST_MESSAGES = 500
KEEP_ALIVE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """The body of POST /api/chat, checked."""

    text: str
    external_id: str
    conversation: str
    acting_as: object


class Api:
    """Everything under /api/. A caller waits `patience_seconds` at most; its answer is not lost then, it can be asked for again."""

    def __init__(self, *, hub: Hub, auth: Auth, door: Door, transcripts: Transcripts, clock: Clock, patience_seconds: float) -> None:
        self._hub = hub
        self._auth = auth
        self._door = door
        self._transcripts = transcripts
        self._clock = clock
        self._patience_seconds = patience_seconds
        self.routes = (web.post("/api/chat", self._chat), web.get("/api/conversations/{conversation}/messages", self._messages))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        """Answer once, however often the same person sends the same id."""
        ask = _parse(await request.read())
        person = await self._auth.person_for(request, ask.acting_as)
        address = self._transcripts.address(person, ask.conversation)
        inbound = self._door.to_inbound(person, address, text=ask.text, external_id=ask.external_id, at=self._clock.now())
        receipt = await self._hub.receive(inbound, person)
        if "text/event-stream" in request.headers.get("Accept", ""):
            return await self._stream(request, ask, receipt)
        try:
            reply = await self._hub.wait_for_reply(receipt, seconds=self._patience_seconds)
        except TimeoutError:
            raise _still_thinking(ask) from None
        return json_response(_answer(ask, reply))

    async def _stream(self, request: web.Request, ask: Ask, receipt: Receipt) -> web.StreamResponse:
        """The answer while it grows. Whoever hangs up loses nothing: the turn goes on, and the same id gets the same answer."""
        async with event_stream(request) as stream:
            with self._hub.feed.subscribe(receipt.conversation_id) as subscription:
                shown = self._hub.feed.growing(receipt.conversation_id).get(receipt.event_id, "")
                waiting = asyncio.create_task(self._hub.wait_for_reply(receipt, seconds=self._patience_seconds), name="api.wait")
                try:
                    await _Growth(stream, receipt.event_id, shown).show(subscription, waiting, ask)
                finally:
                    waiting.cancel()
        return stream.response

    async def _messages(self, request: web.Request) -> web.Response:
        """The transcript of one of the person's own conversations, oldest first."""
        person = await self._auth.person_for(request, request.query.get("as"))
        limit = request.query.get("limit", "100")
        if not (limit.isascii() and limit.isdigit() and len(limit) < 6 and 1 <= int(limit) <= MOST_MESSAGES):
            raise Problem(400, "bad_request", f'"limit" must be a number from 1 to {MOST_MESSAGES}')
        address = self._transcripts.address(person, request.match_info["conversation"])
        messages = await self._transcripts.latest(address, limit=int(limit))
        return json_response({"messages": [_entry(message) for message in messages]})


class _Growth:
    """Tells one caller of one growing reply. Told in full, `token` and `replace` together make up exactly the reply of `done`."""

    def __init__(self, stream: EventStream, event_id: UUID, shown: str) -> None:
        self._stream = stream
        self._event_id = event_id
        self._start, self._shown = shown, ""
        self._has_gap = False

    async def show(self, subscription: Subscription, waiting: asyncio.Task[Message], ask: Ask) -> None:
        """Every event up to the last."""
        await self._token(self._start)
        while not waiting.done() and self._stream.is_open:
            news = asyncio.create_task(subscription.next(KEEP_ALIVE_SECONDS), name="api.news")
            await asyncio.wait((news, waiting), return_when=asyncio.FIRST_COMPLETED)
            if not news.done():
                news.cancel()
                break
            match news.result():
                case Grown(event_id=self._event_id, whole=True, text=text):
                    await self._become(text)
                case Grown(event_id=self._event_id, text=text) if not self._has_gap:
                    await self._token(text)
                case Said(reply_to=self._event_id):
                    break
                case Lagged():
                    self._has_gap = True
                case None:
                    await self._stream.keep_alive()
        await self._finish(waiting, ask)

    async def _finish(self, waiting: asyncio.Task[Message], ask: Ask) -> None:
        try:
            reply = await waiting
        except TimeoutError:
            problem = _still_thinking(ask)
            body = {"error": {"code": problem.code, "message": problem.message}, **problem.more}
            return await self._stream.send(json.dumps(body), event="error")
        await self._become(reply.text)
        return await self._stream.send(json.dumps(_answer(ask, reply)), event="done")

    async def _token(self, text: str) -> None:
        if text:
            self._shown += text
            await self._stream.send(json.dumps({"text": text}), event="token")

    async def _become(self, text: str) -> None:
        """Show *text* as a whole, by what is missing where that is enough."""
        if text.startswith(self._shown) and not self._has_gap:
            return await self._token(text[len(self._shown) :])
        self._shown, self._has_gap = text, False
        return await self._stream.send(json.dumps({"text": text}), event="replace")


def json_object(body: bytes) -> dict[str, Any]:
    """The object that a caller sent. Raises Problem for anything else."""
    try:
        found = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise Problem(400, "not_utf8", "the body is not UTF-8") from None
    except (ValueError, RecursionError):
        raise Problem(400, "not_json", "the body is not JSON") from None
    if not isinstance(found, dict):
        raise Problem(400, "bad_request", "the body must be a JSON object")
    return found


def _parse(body: bytes) -> Ask:
    """What a caller wants. Raises Problem for anything but a JSON object of the right fields."""
    found = json_object(body)
    text, external_id, conversation = found.get("text"), found.get("id"), found.get("conversation", MAIN)
    if not isinstance(text, str):
        raise Problem(400, "bad_request", '"text" must be a string')
    if external_id is not None and not (isinstance(external_id, str) and 0 < len(external_id) <= LONGEST_ID):
        raise Problem(400, "bad_request", f'"id" must be a string of 1 to {LONGEST_ID} characters')
    if not isinstance(conversation, str):
        raise Problem(400, "bad_request", '"conversation" must be a string')
    return Ask(text=text, external_id=external_id or str(new_id()), conversation=conversation, acting_as=found.get("as"))


def _still_thinking(ask: Ask) -> Problem:
    return Problem(504, "still_thinking", "the answer is not ready yet; send the same id again to get it", id=ask.external_id)


def _answer(ask: Ask, reply: Message) -> dict[str, Any]:
    """The object that `ask --json` prints, and where it came from."""
    own = {"id": ask.external_id, "message_id": str(reply.id), "reply": reply.text, "kind": reply.kind, "recovered": reply.recovered}
    return {**(reply.details or {}), **own, "at": reply.at.isoformat()}


def _entry(message: Message) -> dict[str, Any]:
    return {
        "id": str(message.id),
        "external_id": message.external_id if message.direction == IN else None,
        "direction": message.direction,
        "kind": message.kind,
        "text": message.text,
        "at": message.at.isoformat(),
        "reply_to": str(message.reply_to) if message.reply_to else None,
        "recovered": message.recovered,
        "buttons": [{"label": label, "command": command} for label, command in (message.details or {}).get("buttons", ())],
    }
