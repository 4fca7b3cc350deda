"""A conversation from the terminal's side: with the hub of this process, or over HTTP with one that runs beside it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Protocol, Self

import aiohttp

from bot.adapters.web import CONSOLE, WebAdapter
from bot.domain.address import Address, Person
from bot.domain.clock import Clock, new_id
from bot.domain.errors import ChannelUnavailable, RobbieError
from bot.domain.ports import Listener
from bot.hub.feed import Feed, Grown
from bot.hub.home import RunningHub
from bot.hub.hub import Hub, Receipt
from storage.database import Database
from storage.models.messaging import Message

LONGEST_WAIT_SECONDS = 600.0
"""Bound on waiting for one answer behind others in the same conversation; each turn has a far closer bound of its own."""
LATEST = 20
MOST = 500
"""As many messages as the API tells at once."""
HEALTH_SECONDS = 3.0
LOOK_SECONDS = 0.5
RETURN_SECONDS = 60.0
"""How long a single `ask` waits for a hub that went away; the chat asks once, again and again, for as long as it is open."""
TROUBLE_SECONDS = 10.0
"""As long, for one that is there and says that it cannot: its disk may be full."""


class Talker(Protocol):
    """Someone to talk with."""

    async def ask(self, text: str) -> dict[str, Any]:
        """Say something and wait for the answer, as `ask --json` prints it. Raises RobbieError."""

    async def ask_once(self, text: str, *, external_id: str, listener: Listener | None = None) -> dict[str, Any]:
        """One try at `ask`; what is tried again under its id is said once, and has one answer. Raises RobbieError."""

    async def latest_replies(self, limit: int = LATEST) -> list[dict[str, Any]]:
        """Those among the last *limit* messages, oldest first: `id`, `kind`, `text`, `recovered`, `buttons`. Raises RobbieError."""


class Talk:
    """With the hub of this process."""

    def __init__(self, *, hub: Hub, database: Database, person: Person, clock: Clock) -> None:
        self._hub = hub
        self._database = database
        self._person = person
        self._clock = clock
        self._door, self._address = WebAdapter(), Address(channel=CONSOLE, conversation=str(person.id))

    async def ask(self, text: str) -> dict[str, Any]:
        """See `Talker.ask`."""
        return await self.ask_once(text, external_id=str(new_id()))

    async def ask_once(self, text: str, *, external_id: str, listener: Listener | None = None) -> dict[str, Any]:
        """See `Talker.ask_once`."""
        inbound = self._door.to_inbound(self._person, self._address, text=text, external_id=external_id, at=self._clock.now())
        receipt = await self._hub.receive(inbound, self._person)
        if listener is None:
            return _told(await self._wait(receipt))
        showing = asyncio.create_task(_show(self._hub.feed, receipt, listener), name="show a reply")
        try:
            return _told(await self._wait(receipt))
        finally:
            showing.cancel()
            await asyncio.wait([showing])

    async def latest_replies(self, limit: int = LATEST) -> list[dict[str, Any]]:
        """See `Talker.latest_replies`."""
        async with self._database.reading() as work:
            conversation = await work.conversations.find(channel=CONSOLE, key=self._address.conversation)
            messages = [] if conversation is None else await work.messages.latest(conversation.id, limit=limit)
        return [_unasked(message) for message in messages if message.direction == "out"]

    async def _wait(self, receipt: Receipt) -> Message:
        try:
            return await self._hub.wait_for_reply(receipt, seconds=LONGEST_WAIT_SECONDS)
        except TimeoutError as error:
            raise ChannelUnavailable("still thinking; the answer will be in the conversation") from error


class RemoteTalk:
    """With a hub that runs beside this process; with *find*, also with the one that is there after a restart. A context manager."""

    def __init__(self, hub: RunningHub, *, person: str | None, find: Callable[[], RunningHub | None] | None = None) -> None:
        self._hub = hub
        self._for_whom = {"as": person} if person else {}
        self._find = find

    async def ask(self, text: str) -> dict[str, Any]:
        """See `Talker.ask`. A hub that goes away meanwhile is asked again under the same id when it is back: nothing is said twice."""
        external_id = str(new_id())
        deadline, in_trouble_since = asyncio.get_running_loop().time() + RETURN_SECONDS, None
        while True:
            try:
                return await self.ask_once(text, external_id=external_id)
            except ChannelUnavailable as error:
                now = asyncio.get_running_loop().time()
                in_trouble_since = (in_trouble_since or now) if error.retry_after is not None else None
                if self._find is None or now > deadline or (in_trouble_since and now > in_trouble_since + TROUBLE_SECONDS):
                    raise
            await asyncio.sleep(LOOK_SECONDS)
            await self._look_again()

    async def ask_once(self, text: str, *, external_id: str, listener: Listener | None = None) -> dict[str, Any]:
        """See `Talker.ask_once`. Raises ChannelUnavailable where another try may do better."""
        is_first = True
        async for event, data in self.events("/api/chat", {"text": text, "id": external_id, "conversation": CONSOLE, **self._for_whom}):
            if event == "done":
                return data
            if event == "error":
                raise ChannelUnavailable(str(data["error"]["message"]))
            if listener is not None:
                await (listener.token if event == "token" and not is_first else listener.replace)(data["text"])
            is_first = False
        raise ChannelUnavailable("the hub hung up before it answered")

    async def latest_replies(self, limit: int = LATEST) -> list[dict[str, Any]]:
        """See `Talker.latest_replies`."""
        wish = partial(self.get, f"/api/conversations/{CONSOLE}/messages", limit=str(limit), **self._for_whom)
        try:
            told = await wish()
        except ChannelUnavailable:
            if not await self._look_again():
                raise
            told = await wish()
        return [message for message in told["messages"] if message["direction"] == "out"]

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """What the hub tells there. Raises RobbieError."""
        try:
            async with self._session.get(path, params=query, timeout=aiohttp.ClientTimeout(total=HEALTH_SECONDS)) as response:
                await _check(response)
                told: dict[str, Any] = await response.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ChannelUnavailable(f"the hub at {self._hub.url} cannot be reached") from error
        return told

    async def _look_again(self) -> bool:
        """Go by the note that is there now, since each start of a hub writes its own; whether it is another one."""
        found = self._find() if self._find is not None else None
        if found is None or found == self._hub:
            return False
        old, self._hub = self._session, found
        self._open()
        await old.close()
        return True

    async def events(self, path: str, body: object) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Post *body* and yield the server-sent events of the answer. Raises RobbieError."""
        try:
            async with self._session.post(path, data=json.dumps(body), headers=_EVENTS) as response:
                await _check(response)
                async for event in _parse(response.content):
                    yield event
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ChannelUnavailable(f"the hub at {self._hub.url} cannot be reached") from error

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def _open(self) -> None:
        timeout, headers = aiohttp.ClientTimeout(total=LONGEST_WAIT_SECONDS, connect=5), {"Authorization": f"Bearer {self._hub.token}"}
        self._session = aiohttp.ClientSession(self._hub.url, headers=headers, timeout=timeout, read_bufsize=2**22)


async def is_up(hub: RunningHub) -> bool:
    """Whether somebody answers at its address."""
    try:
        timeout = aiohttp.ClientTimeout(total=HEALTH_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{hub.url}/healthz") as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


_EVENTS = {"Accept": "text/event-stream", "Content-Type": "application/json"}


async def _show(feed: Feed, receipt: Receipt, listener: Listener) -> None:
    with feed.subscribe(receipt.conversation_id) as news:
        if text := feed.growing(receipt.conversation_id).get(receipt.event_id):
            await listener.replace(text)
        while True:
            item = await news.next(60)
            if isinstance(item, Grown) and item.event_id == receipt.event_id:
                await (listener.replace if item.whole else listener.token)(item.text)


async def _parse(content: aiohttp.StreamReader) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    event, data = "", []
    async for raw in content:
        line = raw.decode("utf-8").rstrip("\n")
        if line.startswith("event: "):
            event = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data.append(line.removeprefix("data: "))
        elif not line and event:
            yield event, json.loads("\n".join(data))
            event, data = "", []


def _unasked(message: Message) -> dict[str, Any]:
    buttons = [{"label": label, "command": command} for label, command in (message.details or {}).get("buttons", ())]
    return {"id": str(message.id), "kind": message.kind, "text": message.text, "recovered": message.recovered, "buttons": buttons}


def _told(reply: Message) -> dict[str, Any]:
    own = {"reply": reply.text, "kind": reply.kind, "message_id": str(reply.id), "recovered": reply.recovered}
    return own | (reply.details or {})


async def _check(response: aiohttp.ClientResponse) -> None:
    """Go on if it was granted. Raises ChannelUnavailable where that may yet come: 401 is a hub that was restarted; else RobbieError."""
    if response.status != 200:
        try:
            said = str(json.loads(await response.text())["error"]["message"])
        except (ValueError, KeyError, TypeError):
            said = "the hub refused"
        if response.status in (401, 429) or response.status >= 500:
            raise ChannelUnavailable(said, retry_after=0.0 if response.status >= 500 else None)
        raise RobbieError(said)
