"""Slack's door against local-slack, somebody else's emulator, by the real SDK: Socket Mode and signed HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from bot.adapters.slack import SlackAdapter
from bot.config import SlackConfig
from bot.domain.address import Sender
from bot.domain.clock import SystemClock, new_id
from bot.domain.errors import ChannelUnavailable, DeliveryUnknown
from bot.domain.message import Attachment, Button, Inbound, InboundKind, Outgoing, OutgoingKind
from bot.domain.ports import Card
from bot.hub.supervisor import Supervisor
from storage.database import Database
from tests.e2e.shim import serving
from tests.e2e.slack_server import ALLAN, APP_TOKEN, BOT, BOT_TOKEN, GENERAL, SIGNING_SECRET, SlackServer, slack_server, why_no_slack
from tests.machine import PATIENCE_SECONDS

pytestmark = pytest.mark.e2e

TEAM = "T0HOUSE"
YES = (Button(label="Yes", command="/approve K7"), Button(label="Edit", command="/edit K7"))


class Parrot:
    """A reception that says again what it hears, with buttons, and remembers that it knows the conversation."""

    def __init__(self, database: Database) -> None:
        self.door: SlackAdapter
        self.heard: list[Inbound] = []
        self._database = database
        self._known: set[str] = set()

    async def receive(self, inbound: Inbound) -> None:
        if inbound.external_id in self._known:
            return
        self._known.add(inbound.external_id)
        self.heard.append(inbound)
        async with self._database.unit_of_work() as work:
            now = SystemClock().now()
            await work.people.ensure_organization(now)
            user = await work.people.ensure_user(name="Allan", role="owner", timezone="UTC", now=now)
            await work.people.ensure_identity(channel="slack", account=f"{TEAM}/{ALLAN}", user_id=user.id, now=now)
            key, kind = inbound.address.conversation, inbound.address.session_type
            await work.conversations.ensure(channel="slack", key=key, user_id=user.id, session_type=kind, now=now)
        if inbound.kind in (InboundKind.MESSAGE, InboundKind.COMMAND):
            await self.door.send(reply(inbound, f"**{inbound.text}**", buttons=YES))

    async def overview(self, sender: Sender) -> Sequence[Card]:
        return [Card(text=f"Hello {sender.account}", buttons=YES)]

    async def manners(self, sender: Sender) -> Mapping[str, str]:
        return {"gandhi": "4", "cocktail": "5", "flirty": "1", "mood": "focused", "zone": "Europe/Berlin"}

    async def draft(self, sender: Sender, code: str) -> str | None:
        return "Dear Grace"

    async def heard_kinds(self, *kinds: InboundKind) -> list[Inbound]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while [inbound.kind for inbound in self.heard] != list(kinds):
                await asyncio.sleep(0.02)
        return self.heard


def reply(inbound: Inbound, text: str, **more: Any) -> Outgoing:
    return Outgoing(
        **{"id": new_id(), "kind": OutgoingKind.ANSWER, "asker": inbound.sender.account} | more, address=inbound.address, text=text
    )


@pytest.fixture
async def database(sqlite_file: Path) -> AsyncIterator[Database]:
    async with Database(f"sqlite+aiosqlite:///{sqlite_file}", organization="default") as opened:
        yield opened


@asynccontextmanager
async def robbie(server: SlackServer, database: Database, mode: str) -> AsyncIterator[Parrot]:
    config = SlackConfig.model_validate(
        {"mode": mode, "api_url": server.api_url, "bot_token": SecretStr(BOT_TOKEN), "app_token": SecretStr(APP_TOKEN)}
        | {"signing_secret": SecretStr(SIGNING_SECRET)}
    )
    parrot = Parrot(database)
    parrot.door = SlackAdapter(config=config, database=database, clock=SystemClock())
    registry = CollectorRegistry()
    async with Supervisor(doors=[parrot.door], reception=parrot, database=database, clock=SystemClock(), registry=registry) as supervisor:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while supervisor.health["slack"].state != "up":
                await asyncio.sleep(0.02)
        if mode == "socket":
            await server.connected()
        yield parrot


@pytest.fixture
async def parrot(slack: SlackServer, database: Database) -> AsyncIterator[Parrot]:
    async with robbie(slack, database, "socket") as listening:
        yield listening


@pytest.fixture(params=["socket", "http"])
async def both(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> AsyncIterator[tuple[SlackServer, Parrot]]:
    """A workspace and whoever listens there, in each mode."""
    if reason := why_no_slack():
        pytest.skip(reason)
    mode = request.param
    async with slack_server(tmp_path, mode="socket" if mode == "socket" else "events") as server, robbie(server, database, mode) as parrot:
        if mode == "socket":
            yield server, parrot
            return
        (route,) = parrot.door.routes
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]] = route.handler
        port = urlsplit(server.request_url).port or 0
        async with serving(handler, port=port):
            yield server, parrot


async def test_a_conversation(both: tuple[SlackServer, Parrot]):
    """A direct message, a mention and its thread, a command, a press, an edit, a deletion, a file and the home tab."""
    server, parrot = both
    first = await server.message("hello <b>", channel=ALLAN)
    assert "*hello" in str((await server.said(ALLAN))[0]["blocks"])
    mention = await server.message(f"<@{BOT}> what is up?")
    (answer,) = await server.said(GENERAL)
    assert answer["thread_ts"] == mention["ts"]
    await server.message("and now?", thread_ts=mention["ts"])
    await server.message("nothing to do with anybody")
    await server.said(GENERAL, count=2)
    await server.command("/note", "milk", channel=GENERAL)
    await server.edit(first, "hello again")
    await server.delete(first)
    await server.upload("a.txt", b"bytes", "look", channel=ALLAN)
    kinds = [InboundKind.MESSAGE] * 3 + [InboundKind.COMMAND, InboundKind.EDIT, InboundKind.DELETE, InboundKind.MESSAGE]
    heard = await parrot.heard_kinds(*kinds)
    assert heard[4].target == heard[5].target == heard[0].external_id
    assert heard[3].address.conversation == f"{TEAM}/{GENERAL}/~{ALLAN}"
    assert heard[1].address == heard[2].address
    await server.open_home()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await server.home():
            await asyncio.sleep(0.02)


async def test_buttons_and_the_words_of_a_proposal(both: tuple[SlackServer, Parrot]):
    server, parrot = both
    await server.message("hello", channel=ALLAN)
    (answer,) = await server.said(ALLAN)
    await server.press(answer, "choice-1")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await server.modals():
            await asyncio.sleep(0.02)
    await server.submit({"edit": {"edit": {"type": "plain_text_input", "value": "Dear Grace, no."}}})
    await server.press(answer, "choice-0")
    heard = await parrot.heard_kinds(InboundKind.MESSAGE, InboundKind.ACTION, InboundKind.ACTION)
    assert [inbound.text for inbound in heard[1:]] == ["/edit K7\nDear Grace, no.", "/approve K7"]
    assert heard[0].address == heard[1].address == heard[2].address
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(block["type"] == "actions" for block in (await server.said(ALLAN))[0]["blocks"]):
            await asyncio.sleep(0.02)


async def test_sliders_are_set_in_a_modal_and_pressed_in_place(both: tuple[SlackServer, Parrot]):
    server, parrot = both
    await server.message("hello", channel=ALLAN)
    (inbound,) = await parrot.heard_kinds(InboundKind.MESSAGE)
    sliders = tuple(Button(label=f"{name} {sign}1", command=f"/{name} {sign}1") for name in ("gandhi", "cocktail") for sign in "-+")
    sent = await parrot.door.send(reply(inbound, "how I am", buttons=sliders))
    shown = (await server.said(ALLAN, count=2))[-1]
    assert [len(block["elements"]) for block in shown["blocks"][1:]] == [2, 2, 1], "a slider a row, and the modal"
    await server.press(shown, "choice-4")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await server.modals():
            await asyncio.sleep(0.02)
    held = {"gandhi": "7", "cocktail": "5", "flirty": "1", "mood": "calm", "context": "private"}
    fields = {name: {name: {"type": "static_select", "selected_option": {"value": value}}} for name, value in held.items()}
    late = fields | {"until": {"until": {"type": "datetimepicker", "selected_date_time": 1}}}
    await server.submit(late)
    assert len(await server.modals()) == 1, "a moment that has passed keeps it open"
    await server.submit(fields | {"until": {"until": {"type": "datetimepicker", "selected_date_time": None}}})
    await server.press(shown, "choice-1")
    heard = await parrot.heard_kinds(InboundKind.MESSAGE, InboundKind.ACTION, InboundKind.ACTION)
    assert [each.text for each in heard[1:]] == ["/mood gandhi=7 mood=calm in private", "/gandhi +1"]
    edited = await parrot.door.send(reply(heard[2], "how I am now", buttons=sliders, channel_message_id=heard[2].target))
    assert edited == sent
    assert "how I am now" in str((await server.said(ALLAN, count=2))[-1]["blocks"])


async def test_a_repeated_event_is_heard_once(both: tuple[SlackServer, Parrot]):
    server, parrot = both
    await server.message("hello", channel=ALLAN)
    await server.redeliver()
    await server.message("again", channel=ALLAN)
    await parrot.heard_kinds(InboundKind.MESSAGE, InboundKind.MESSAGE)


async def test_files_go_both_ways(slack: SlackServer, parrot: Parrot, tmp_path: Path):
    await slack.upload("a.txt", b"bytes", "look", channel=ALLAN)
    (inbound,) = await parrot.heard_kinds(InboundKind.MESSAGE)
    (file,) = inbound.attachments
    await parrot.door.fetch(file, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"bytes"
    await parrot.door.send(reply(inbound, "here", attachments=(Attachment(name="b.txt", path=tmp_path / "got"),)))
    assert any(message.get("files") for message in await slack.said(ALLAN, count=3))


async def test_a_growing_reply_is_one_message(slack: SlackServer, parrot: Parrot):
    """local-slack knows no streams: a message is edited."""
    await slack.message(f"<@{BOT}> tell me")
    (inbound,) = await parrot.heard_kinds(InboundKind.MESSAGE)
    shown = await parrot.door.show(reply(inbound, "One"))
    await parrot.door.show(reply(inbound, "One two", channel_message_id=shown.channel_message_id))
    assert await parrot.door.send(reply(inbound, "One two three", channel_message_id=shown.channel_message_id)) == shown
    assert len(await slack.said(GENERAL, count=2)) == 2


async def test_a_lost_answer_is_found_again(slack: SlackServer, parrot: Parrot):
    """The metadata of messages are the shim's word alone."""
    await slack.message("hello", channel=ALLAN)
    (inbound,) = await parrot.heard_kinds(InboundKind.MESSAGE)
    outgoing = reply(inbound, "perhaps")
    slack.faults.add("/chat.postMessage", done=True)
    with pytest.raises(DeliveryUnknown):
        await parrot.door.send(outgoing)
    found = await parrot.door.find(outgoing)
    assert found is not None
    assert found.is_whole
    assert await parrot.door.find(reply(inbound, "never")) is None
    slack.faults.add("/chat.postMessage", status=429, headers={"Retry-After": "60"}, body={"ok": False, "error": "ratelimited"})
    with pytest.raises(ChannelUnavailable):
        await parrot.door.send(outgoing)


async def test_a_cut_line_is_opened_anew(slack: SlackServer, parrot: Parrot):
    await slack.cut()
    await slack.connected()
    await slack.message("hello", channel=ALLAN)
    await parrot.heard_kinds(InboundKind.MESSAGE)


async def test_a_server_that_comes_back_is_heard(slack: SlackServer, parrot: Parrot):
    await slack.stop()
    await slack.start()
    await slack.connected()
    await slack.message("hello", channel=ALLAN)
    await parrot.heard_kinds(InboundKind.MESSAGE)


async def test_doctor_is_content(slack: SlackServer, parrot: Parrot):
    assert {finding.part: finding.status for finding in await parrot.door.examine()} == {
        "slack token": "ok",
        "slack scopes": "ok",
        "slack socket": "ok",
    }
