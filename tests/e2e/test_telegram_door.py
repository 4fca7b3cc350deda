"""The door to Telegram against servers that are not ours: polled and called, with a reception of the tests' own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from bot.adapters.telegram import TelegramAdapter
from bot.config import TelegramConfig
from bot.domain.address import Sender
from bot.domain.clock import SystemClock, new_id
from bot.domain.errors import StorageUnavailable
from bot.domain.finding import Status
from bot.domain.message import Attachment, Button, Inbound, InboundKind, Outgoing, OutgoingKind, Sent
from bot.domain.ports import Card
from bot.hub.server import Server
from storage.database import Database
from tests.e2e.shim import until
from tests.e2e.telegram_server import CallingTelegram, PolledTelegram
from tests.e2e.telegram_shim import ALLAN, TOKEN, BotApi
from tests.machine import PATIENCE_SECONDS, free_port

pytestmark = pytest.mark.e2e

SECRET = "secret_of-the-test"
GROUP = {"id": -1001, "type": "supergroup", "title": "Crew", "is_forum": True}
BUTTONS = (Button(label="👍", command="/rate good"), Button(label="👎", command="/rate bad"))


class Reception:
    """Keeps what it is brought, in order; `is_away` while its storage is."""

    def __init__(self) -> None:
        self.kept: list[Inbound] = []
        self.is_away, self.refused = False, asyncio.Event()

    async def receive(self, inbound: Inbound) -> None:
        if self.is_away:
            self.refused.set()
            raise StorageUnavailable("away")
        if all(inbound.external_id != known.external_id for known in self.kept):
            self.kept.append(inbound)

    async def until(self, count: int) -> list[Inbound]:
        """What is kept, once it is so much."""

        async def enough() -> list[Inbound]:
            return self.kept if len(self.kept) >= count else []

        found: list[Inbound] = await until(enough)
        return found

    async def overview(self, sender: Sender) -> Sequence[Card]:
        return ()

    async def draft(self, sender: Sender, code: str) -> str | None:
        return None


@pytest.fixture
async def home(sqlite_file: Path) -> AsyncIterator[Database]:
    async with Database(f"sqlite+aiosqlite:///{sqlite_file}", organization="default") as opened:
        yield opened


@asynccontextmanager
async def door_to(
    server: BotApi, home: Database, *, owner: str = "here:1:a", mode: Any = "polling", public_url: str = ""
) -> AsyncIterator[Any]:
    """A door that listens, and its reception."""
    token, secret = SecretStr(TOKEN), SecretStr(SECRET)
    config = TelegramConfig(enabled=True, mode=mode, token=token, secret_token=secret, api_url=f"{server.url}/bot")
    door, reception = TelegramAdapter(config=config, database=home, clock=SystemClock(), owner=owner, public_url=public_url), Reception()
    task = asyncio.create_task(door.listen(reception, lambda: None))
    try:
        yield door, reception
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await door.close()


def answer(inbound: Inbound, text: str, **more: Any) -> Outgoing:
    reply_to = inbound.external_id
    return Outgoing(id=new_id(), address=inbound.address, kind=OutgoingKind.ANSWER, text=text, reply_to=reply_to, **more)


async def test_polled_conversation_from_the_first_word_to_the_pressed_button(telegram: PolledTelegram, home: Database):
    async with door_to(telegram, home) as (door, reception):
        await telegram.message("hello **you**")
        (hello,) = await reception.until(1)
        assert (hello.text, hello.sender.account, hello.address.conversation) == ("hello **you**", "41", "41")
        sent = await door.send(answer(hello, "Hello *Allan* <3\n\n```py\n1 < 2\n```", buttons=BUTTONS))
        (said,) = await telegram.said()
        assert said["raw"] == 'Hello <i>Allan</i> &lt;3\n\n<pre><code class="language-py">1 &lt; 2</code></pre>'
        assert sent.channel_message_id == f"41:{said['message_id']}"
        await telegram.press(said, "👍")
        _, press = await reception.until(2)
        assert (press.kind, press.text, press.target) == (InboundKind.ACTION, "/rate good", sent.channel_message_id)
        await until_closed(telegram)
        await telegram.message("/note@robbie_bot buy milk")
        assert (await reception.until(3))[2].text == "/note buy milk"


async def test_nothing_is_lost_while_the_storage_is_away_or_the_process_is(telegram: PolledTelegram, home: Database):
    async with door_to(telegram, home) as (_, reception):
        reception.is_away = True
        await telegram.message("one")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await reception.refused.wait()
        await telegram.message("two")
    async with door_to(telegram, home, owner="there:1:b") as (_, reception):
        assert [inbound.text for inbound in await reception.until(2)] == ["one", "two"]


async def test_long_answer_is_split_and_changed(telegram: PolledTelegram, home: Database):
    async with door_to(telegram, home) as (door, reception):
        await telegram.message("tell me all")
        (question,) = await reception.until(1)
        text = "\n\n".join(f"**{number}.** " + "word " * 150 for number in range(12))
        long = await door.send(answer(question, text))
        assert len(await telegram.said()) == len(long.channel_message_id.split(",")) >= 3
        again = await door.send(answer(question, text, channel_message_id=long.channel_message_id))  # is not modified
        assert again == long
        await door.send(answer(question, f"Well. {text}", channel_message_id=long.channel_message_id))
        assert (await telegram.said())[0]["text"].startswith("Well.")


async def test_growing_answer_is_a_draft_in_private_and_a_message_in_a_topic(telegram: PolledTelegram, home: Database):
    async with door_to(telegram, home) as (door, reception):
        await telegram.message("hello")
        await telegram.message("@robbie_bot hello", chat=GROUP, message_thread_id=3, is_topic_message=True)
        await telegram.message("not for you", chat=GROUP)
        alone, in_group = await reception.until(2)
        assert (await door.show(answer(alone, "I th"))) == Sent()
        assert telegram.called("sendMessageDraft")[0]["text"] == "I th"
        assert in_group.address.conversation == "-1001/3"
        shown = await door.show(answer(in_group, "I th"))
        assert await door.send(answer(in_group, "I think so.", channel_message_id=shown.channel_message_id)) == shown
        (said,) = await telegram.said(-1001)
        assert (said["text"], said["message_thread_id"]) == ("I think so.", 3)
        assert len(reception.kept) == 2


async def test_reactions_edits_and_files_come_in_and_files_go_out(telegram: PolledTelegram, home: Database, tmp_path: Path):
    async with door_to(telegram, home) as (door, reception):
        await telegram.message(None, caption="look", document={"file_id": "F1", "file_unique_id": "U1", "file_name": "a.txt"})
        (file,) = await reception.until(1)
        telegram.files["F1"] = b"what is in it"
        await door.fetch(file.attachments[0], tmp_path / "a.txt")
        assert (tmp_path / "a.txt").read_bytes() == b"what is in it"
        sent = await door.send(answer(file, "Thanks.", attachments=(Attachment(name="a.txt", path=tmp_path / "a.txt"),)))
        assert len(telegram.called("sendDocument")) == 1
        key = sent.channel_message_id.split(",")[0]
        event = {"chat": {"id": 41, "type": "private"}, "message_id": int(key[3:]), "user": ALLAN, "date": 1, "old_reaction": []}
        await telegram.inject({"message_reaction": {**event, "new_reaction": [{"type": "emoji", "emoji": "👍"}]}})
        _, reaction = await reception.until(2)
        assert (reaction.kind, reaction.text, reaction.target) == (InboundKind.REACTION, "👍", key)


async def test_only_one_of_two_polls_and_the_other_takes_over(telegram: PolledTelegram, home: Database):
    async with door_to(telegram, home, owner="there:1:b") as (_, second):
        async with door_to(telegram, home, owner="here:1:a") as (_, first):
            await telegram.message("one")

            async def heard() -> bool:
                return len(first.kept) + len(second.kept) == 1

            await until(heard)
            loser = first if second.kept else second
        if loser is second:
            await telegram.message("two")
            assert [inbound.text for inbound in await second.until(1)] == ["two"]


async def test_doctor_finds_it_well(telegram: PolledTelegram, home: Database):
    async with door_to(telegram, home) as (door, _):
        assert {finding.status for finding in await door.examine()} == {Status.OK}


async def test_called_conversation_with_repeats_and_a_wrong_secret(telegram_over_http: CallingTelegram, home: Database):
    telegram, port = telegram_over_http, free_port()
    url = f"http://127.0.0.1:{port}"
    async with door_to(telegram, home, mode="webhook", public_url=url) as (door, reception), serving(door.routes, port):
        await until_set(telegram)
        assert await telegram.message("hello") == 200
        assert await telegram.redeliver() == 200
        assert await telegram.inject({"update_id": 1, "message": {"text": "psst"}}, secret="wrong") == 401
        reception.is_away = True
        assert await telegram.message("again") == 503
        reception.is_away = False
        assert await telegram.redeliver() == 200
        hello, again = await reception.until(2)
        assert (hello.text, again.text) == ("hello", "again")
        await door.send(answer(hello, "Send it?", buttons=BUTTONS))
        assert await telegram.press((await telegram.said())[0], "👎") == 200
        assert (await reception.until(3))[2].text == "/rate bad"
        await until_closed(telegram)
        assert (await telegram.responses())[0]["method"] == "sendMessage"
        assert {finding.status for finding in await door.examine()} == {Status.OK}


@asynccontextmanager
async def serving(routes: Sequence[web.RouteDef], port: int) -> AsyncIterator[None]:
    """Robbie's own web server over these routes."""

    async def ready() -> dict[str, bool]:
        return {}

    server = Server(
        host="127.0.0.1",
        port=port,
        public_url="",
        routes=routes,
        middlewares=[],
        readiness=ready,
        problem_page=str,
        registry=CollectorRegistry(),
    )
    async with server:
        yield


async def until_closed(telegram: BotApi) -> None:
    """Until the press was answered and the buttons are gone."""

    async def is_closed() -> bool:
        gone = telegram.messages and not telegram.messages[-1].get("reply_markup")
        return bool(gone and telegram.called("answerCallbackQuery"))

    await until(is_closed)


async def until_set(telegram: CallingTelegram) -> None:
    """Until Telegram knows whom to call."""

    async def is_set() -> str:
        return telegram.webhook

    await until(is_set)
