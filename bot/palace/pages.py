"""The chat page: shows a conversation, takes what the person writes, follows what happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, quote
from uuid import UUID

from aiohttp import web

from bot.domain.address import Person
from bot.domain.clock import Clock, new_id
from bot.domain.message import InboundKind
from bot.domain.ports import Card
from bot.hub.auth import visitor_of
from bot.hub.hub import Hub
from bot.hub.server import Problem, event_stream
from bot.palace.live import Live
from bot.palace.transcript import LONGEST_ID, MAIN, Door, Transcripts, without_reply
from bot.palace.view import PAGE, View

Attention = Callable[[Person], Awaitable[tuple[Sequence[str], Sequence[Card]]]]
"""What is in trouble, and what waits for a person's decision."""
LOOK_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pages:
    """The pages for people."""

    hub: Hub
    door: Door
    transcripts: Transcripts
    view: View
    clock: Clock
    attention: Attention
    look_seconds: float = LOOK_SECONDS

    @property
    def routes(self) -> tuple[web.RouteDef, ...]:
        """The page and what it is made of."""
        return (
            web.get("/", self._show),
            web.get("/chat", self._show),
            web.post("/chat", self._say),
            web.post("/chat/word", self._judge),
            web.get("/chat/earlier", self._earlier),
            web.get("/chat/events", self._follow),
            web.get("/chat/attention", self._attend),
        )

    async def _show(self, request: web.Request) -> web.Response:
        """The conversation's end, or a part before it."""
        person, name = visitor_of(request).person, _conversation(request)
        address = self.transcripts.address(person, name)
        before = _id(request, "before")
        messages = await self.transcripts.latest(address, limit=PAGE + 1, before=before)
        waiting = await self.transcripts.unanswered(messages)
        if waiting != without_reply(messages):  # an answer came between the two looks: without it on the page, nobody would look again
            messages = await self.transcripts.latest(address, limit=PAGE + 1, before=before)
            waiting = tuple(event_id for event_id in without_reply(messages) if event_id in waiting)
        growing = self.hub.feed.growing(messages[-1].conversation_id) if messages else {}
        progress, words = {event_id: growing.get(event_id, "") for event_id in waiting}, await self.transcripts.words(person, messages)
        return _html(self.view.chat(person, messages, words, conversation=name, progress=progress))

    async def _say(self, request: web.Request) -> web.Response:
        """Take what was written. The page's script gets it back to show at once, a page without script is shown again."""
        visitor, is_scripted, fields = visitor_of(request), "HX-Request" in request.headers, await _fields(request)
        name, external_id = fields.get("conversation", MAIN), fields.get("id", str(new_id()))[:LONGEST_ID]
        text = fields.get("text", "").replace("\r\n", "\n")  # a form's way to send line ends, not the person's
        back = web.Response(status=303, headers={"Location": f"/chat?conversation={quote(name)}#end"})
        if not text.strip():
            return web.Response(status=204) if is_scripted else back
        address, target = self.transcripts.address(visitor.person, name), _uuid(fields.get("target", ""))
        what = {"text": text, "external_id": external_id, "target": str(target or "")}
        inbound = self.door.to_inbound(visitor.person, address, at=self.clock.now(), **what)
        receipt = await self.hub.receive(inbound, visitor.person)
        if not is_scripted:
            return back
        message = self.view.add(await self.transcripts.message(receipt.event_id), visitor.person, {})
        return _html(message) if message else web.Response(status=204)

    async def _judge(self, request: web.Request) -> web.Response:
        """Take a person's word on an answer, as a channel's reaction is taken: it is kept, and learned from, before this returns."""
        person, fields = visitor_of(request).person, await _fields(request)
        message, name = await self.transcripts.answer(person, _uuid(fields.get("message", ""))), fields.get("conversation", MAIN)
        what = {"text": fields.get("word", ""), "external_id": str(new_id()), "target": str(message.id)}
        address, now = self.transcripts.address(person, name), self.clock.now()
        await self.hub.receive(replace(self.door.to_inbound(person, address, at=now, **what), kind=InboundKind.REACTION), person)
        if "HX-Request" not in request.headers:
            return web.Response(status=303, headers={"Location": f"/chat?conversation={quote(name)}#m-{message.id}"})
        return _html(self.view.thumbs(message, person, await self.transcripts.words(person, [message])))

    async def _earlier(self, request: web.Request) -> web.Response:
        person, name = visitor_of(request).person, _conversation(request)
        address = self.transcripts.address(person, name)
        messages = await self.transcripts.latest(address, limit=PAGE + 1, before=_id(request, "before"))
        return _html(self.view.chat(person, messages, await self.transcripts.words(person, messages), conversation=name))

    async def _attend(self, request: web.Request) -> web.Response:
        """What this person should see to, above the conversation."""
        troubles, cards = await self.attention(visitor_of(request).person)
        return _html(self.view.attention(troubles, cards))

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        """News for an open page, from where it was when it was made or last connected."""
        person = visitor_of(request).person
        address = self.transcripts.address(person, _conversation(request))
        conversation = await self.transcripts.conversation(person, address)
        live = Live(
            transcripts=self.transcripts,
            feed=self.hub.feed,
            view=self.view,
            person=person,
            conversation_id=conversation.id,
            after=_uuid(request.headers.get("Last-Event-ID", "")) or _id(request, "after"),
            look_seconds=self.look_seconds,
        )
        async with event_stream(request) as stream:
            await live.follow(stream)
        return stream.response


async def _fields(request: web.Request) -> Mapping[str, str]:
    """What a form holds. Raises Problem."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Problem(415, "not_a_form", "a message comes as a form, application/x-www-form-urlencoded")
    found = parse_qs((await request.read()).decode("ascii", "replace"), errors="replace")
    return {name: values[0] for name, values in found.items()}


def _conversation(request: web.Request) -> str:
    return request.query.get("conversation", MAIN)


def _id(request: web.Request, name: str) -> UUID | None:
    """The id in the query. Raises Problem for what is none."""
    value = request.query.get(name, "")
    if (found := _uuid(value)) is None and value:
        raise Problem(400, "bad_request", f'"{name}" is no id')
    return found


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


def _html(text: str) -> web.Response:
    return web.Response(body=text.encode("utf-8", "replace"), content_type="text/html", charset="utf-8")
