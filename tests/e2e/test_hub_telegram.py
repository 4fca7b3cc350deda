"""The whole hub at Telegram, polling and called: what a person sees of it from nothing to the first answer, and what none of it may break.

FAKE is the model; of Telegram, what the shim adds to the emulators (see `telegram_server.py`).
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.contracts.model_fakes import FakeModel, Wire, fake_model
from tests.e2e.hub_process import Hub
from tests.e2e.shim import until
from tests.e2e.telegram_server import CallingTelegram, PolledTelegram
from tests.e2e.telegram_shim import ALLAN, GRACE, TOKEN, BotApi
from tests.machine import PATIENCE_SECONDS

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PUBLIC = "https://robbie.example"
SECRET = "secret_of-the-test"
HEIDI = {"id": 43, "is_bot": False, "first_name": "Heidi"}
GROUP = {"id": -1001, "type": "supergroup", "title": "Crew", "is_forum": True}
RECOVERED = "(Recovered after a restart; you may have seen this before.)"
CONFIG = """
[telegram]
enabled = true
mode = "{mode}"
token = "{token}"
secret_token = "{secret}"
api_url = "{url}/bot"
"""
ALLAN_IS_KNOWN = """
[[people]]
name = "Allan"
role = "owner"
identities = [{ platform = "telegram", id = "41" }]
"""


class Thoughts:
    """FAKE: the model says the question after "re: ", and at `hangs_at` stops in the middle of that."""

    def __init__(self, model: FakeModel) -> None:
        self.hangs_at = ""
        self.model = model
        model.act = self._act

    @property
    def asked(self) -> list[str]:
        """Every question, in order."""
        return [asked["messages"][-1]["content"].rpartition("</memory>\n\n")[2] for asked in self.model.asked]

    async def _act(self, wire: Wire, request: web.Request) -> AsyncIterator[bytes]:
        words = self.asked[-1]
        yield wire.begin()
        yield wire.say("re: ")
        while words == self.hangs_at and request.transport and not request.transport.is_closing():
            await asyncio.sleep(0.02)
        yield wire.say("long " * 3000 if words == "tell me all" else words)
        yield wire.end("")


class House:
    """A hub, its Telegram, and what the model is asked."""

    def __init__(self, hub: Hub, telegram: BotApi, thoughts: Thoughts) -> None:
        self.hub, self.telegram, self.thoughts = hub, telegram, thoughts
        self._token = ""

    async def start(self) -> None:
        """Run the hub, until it hears Telegram."""
        rises = self.hub.log.count("channel.rose") if self.hub.config.with_name("log").exists() else 0
        await self.hub.start()
        await until_so(lambda: self.hub.log.count("channel.rose") > rises)

    async def asks(self, path: str, **told: str) -> Any:
        """What the HTTP API answers."""
        self._token = self._token or (await self.hub.command("token", "create")).split()[-1]
        async with aiohttp.ClientSession(
            self.hub.url, headers={"Authorization": f"Bearer {self._token}"}, raise_for_status=True
        ) as session:
            answer = await (session.post(path, json=told) if told else session.get(path))
            return await answer.json()

    async def on_the_web(self, text: str = "") -> list[str]:
        """Say something in the web chat, by the API; all that was said there."""
        if text:
            await self.asks("/api/chat", text=text, conversation="main")
        return [message["text"] for message in (await self.asks("/api/conversations/main/messages"))["messages"]]

    def rows(self, question: str) -> list[Any]:
        """What the database holds."""
        with closing(sqlite3.connect(self.hub.config.parent / "data/robbie.db", timeout=PATIENCE_SECONDS)) as database:
            return database.execute(question).fetchall()

    async def settled(self) -> None:
        """Until all that was promised was sent."""
        await until_so(lambda: {state for (state,) in self.rows("select state from outbox")} == {"sent"})

    async def hears(self, *texts: str, chat: int = ALLAN["id"]) -> list[dict[str, Any]]:
        """What Robbie said in a chat, once the last of it reads so."""

        def is_said() -> bool:
            return [text for text in self.said(chat) if text in texts] == list(texts)

        try:
            await until_so(is_said)
        except TimeoutError:
            pytest.fail(f"{self.said(chat)}\n{self.hub.log[-3000:]}")
        return [message for message in self.telegram.messages if message["chat"]["id"] == chat]

    def said(self, chat: int = ALLAN["id"]) -> list[str]:
        return [message.get("text", "") for message in self.telegram.messages if message["chat"]["id"] == chat]


async def until_so(is_so: Callable[[], bool]) -> None:
    async def condition() -> bool:
        return is_so()

    await until(condition)


@pytest.fixture
async def thoughts() -> AsyncIterator[Thoughts]:
    async with fake_model() as model:
        yield Thoughts(model)


@asynccontextmanager
async def house_at(
    telegram: BotApi, thoughts: Thoughts, folder: Path, *, more: str = ALLAN_IS_KNOWN, **environ: str
) -> AsyncIterator[House]:
    """A hub that is up."""
    mode = "webhook" if isinstance(telegram, CallingTelegram) else "polling"
    told = CONFIG.format(mode=mode, token=TOKEN, secret=SECRET, url=telegram.url)
    hub = Hub(folder, thoughts.model.url, more=told + more, environ={"ROBBIE__WEB__PUBLIC_URL": PUBLIC, **environ})
    if isinstance(telegram, CallingTelegram):
        telegram.gateway = (PUBLIC, hub.url)
    house = House(hub, telegram, thoughts)
    await house.start()
    try:
        yield house
    finally:
        await hub.kill()
        print(hub.log)


async def test_from_nothing_to_the_first_answer(telegram: PolledTelegram, thoughts: Thoughts, tmp_path: Path):
    async with house_at(telegram, thoughts, tmp_path, more="") as house:
        await telegram.message("/start")
        await telegram.message("/start")
        (told,) = await telegram.said()
        code = told["raw"].rpartition("<b>")[2].partition("</b>")[0]
        assert "I do not know you yet" in told["text"]
        await house.hub.command("pair", "approve", code)
        _, welcome, helped = await telegram.said(count=3)
        assert "has let you in" in welcome["text"]
        assert "/note" in helped["text"]
        telegram.fail("sendMessage", 429, "Too Many Requests: retry after 1", retry_after=1)
        begun = time.monotonic()
        await telegram.message("hello")
        await house.hears("re: hello")
        assert time.monotonic() - begun >= 1
        assert thoughts.asked == ["hello"]
        assert len(house.said()) == 4


async def test_owner_lets_somebody_in_by_a_button_and_an_update_is_answered_once(
    telegram: PolledTelegram, thoughts: Thoughts, tmp_path: Path
):
    async with house_at(telegram, thoughts, tmp_path) as house:
        await telegram.inject({"message": (same := message_of("hello", 7))})
        await telegram.inject({"message": same})
        await house.hears("re: hello")
        await telegram.message("may I come in?", user=GRACE)
        await telegram.said(GRACE["id"])
        asked = (await telegram.said(count=2))[-1]
        assert "Grace" in asked["text"]
        await telegram.press(asked, "Let in")
        await house.hears("re: may I come in?", chat=GRACE["id"])
        await telegram.press((await house.hears("re: hello"))[0], "👍")
        said = (await house.hears("re: may I come in?", chat=GRACE["id"]))[-1]
        event = {"chat": said["chat"], "message_id": said["message_id"], "user": GRACE, "date": int(time.time()), "old_reaction": []}
        await telegram.inject({"message_reaction": {**event, "new_reaction": [{"type": "emoji", "emoji": "👎"}]}})
        query = "select source, value from feedback where value is not null order by source"
        await until_so(lambda: house.rows(query) == [("button", 1.0), ("reaction", -1.0)])
        assert thoughts.asked == ["hello", "may I come in?"]


async def test_conversation_of_the_web_goes_on_in_telegram(telegram: PolledTelegram, thoughts: Thoughts, tmp_path: Path):
    async with house_at(telegram, thoughts, tmp_path, more="") as house:
        await house.on_the_web("my dog is called Rex")
        code = (await house.on_the_web("/link"))[-1].rpartition("/link ")[2].strip("`")
        await telegram.message(f"/link {code}", chat=GROUP, user=HEIDI)  # in public it is worth nothing
        await telegram.message(f"/link {code}")
        assert "This account is yours now" in (await telegram.said())[0]["text"]
        await telegram.message("as I said earlier, what is he called?")
        await house.hears("re: as I said earlier, what is he called?")
        told = "".join(str(message["content"]) for message in thoughts.model.asked[-1]["messages"])
        assert "my dog is called Rex" in told
        await telegram.message("@robbie_bot what is my dog called?", chat=GROUP)
        await house.hears("re: what is my dog called?", chat=-1001)
        assert "Rex" not in json.dumps(thoughts.model.asked[-1])
        await telegram.message(f"/link {code}", user=GRACE)  # it was good once
        assert "I do not know you yet" in (await telegram.said(GRACE["id"]))[0]["text"]


async def test_groups_topics_and_edits(telegram: PolledTelegram, thoughts: Thoughts, tmp_path: Path):
    async with house_at(telegram, thoughts, tmp_path) as house:
        topic = {"message_thread_id": 3, "is_topic_message": True}
        await telegram.message("what a day", chat=GROUP)
        await telegram.message("@robbie_bot one", chat=GROUP)
        await telegram.message("@robbie_bot two", chat=GROUP, **topic)
        await telegram.message("/notes@robbie_bot", chat=GROUP, **topic)
        private, first, second = sorted(await telegram.said(-1001, count=3), key=lambda said: str(said["text"]))
        assert [(said["text"], said.get("message_thread_id")) for said in (first, second)] == [("re: one", None), ("re: two", 3)]
        assert "private" in private["text"]
        assert house.rows("select count(*) from messages where text like '%what a day%'") == [(0,)]

        thoughts.hangs_at = "wath time"
        await telegram.inject({"message": message_of("wath time", 70)})
        await until_so(lambda: bool(telegram.called("sendMessageDraft")))
        await telegram.inject({"edited_message": message_of("which tune", 70, edit_date=int(time.time()))})
        await until_so(lambda: house.rows("select count(*) from inbox_events where kind = 'edit'") == [(1,)])
        thoughts.hangs_at = ""
        await house.hears("re: which tune")
        await telegram.inject({"edited_message": message_of("which team", 70, edit_date=int(time.time()))})
        await telegram.message("next")
        await house.hears("re: which tune", "re: next")
        assert house.said() == ["re: which tune", "re: next"]
        assert house.rows("select count(*) from inbox_events where kind = 'edit'") == [(2,)]


async def test_files_come_and_go(telegram: PolledTelegram, thoughts: Thoughts, tmp_path: Path):
    async with house_at(telegram, thoughts, tmp_path) as house:
        telegram.files |= {"D": b"Buy milk.", "V": b"voice", "P": b"picture"}
        files = {
            "document": {"file_id": "D", "file_unique_id": "D", "file_name": "list.txt", "mime_type": "text/plain", "file_size": 9},
            "voice": {"file_id": "V", "file_unique_id": "V", "duration": 1, "mime_type": "audio/ogg", "file_size": 5},
            "photo": [{"file_id": "P", "file_unique_id": "P", "width": 1, "height": 1, "file_size": 7}],
        }
        for kind, file in files.items():
            await telegram.message(None, caption=f"see {kind}", **{kind: file})
        await until_so(lambda: len(house.said()) == 3)
        assert "Buy milk." in thoughts.asked[0]
        kept = house.rows("select name, path from attachments order by name")
        assert [(name, Path(path).read_bytes()) for name, path in kept] == [
            ("list.txt", b"Buy milk."),
            ("photo.jpg", b"picture"),
            ("voice.ogg", b"voice"),
        ]
        await telegram.message("tell me all")
        await until_so(lambda: bool(telegram.called("sendDocument")))
        await house.settled()
        said = telegram.messages[-2:]
        assert "the whole of it is in the file" in said[0]["text"]
        assert telegram.files[said[1]["document"]["file_id"]].decode().rstrip() == ("re: " + "long " * 3000).rstrip()


async def test_kill_in_the_middle_loses_nothing(telegram: PolledTelegram, thoughts: Thoughts, tmp_path: Path):
    async with house_at(telegram, thoughts, tmp_path) as house:
        telegram.faults.add("/sendMessage", done=True, hangs=True)
        await telegram.message("@robbie_bot being delivered", chat=GROUP)
        await until_so(lambda: house.said(-1001) == ["re: being delivered"] and len(telegram.faults) == 0)
        thoughts.hangs_at = "being thought about"
        await telegram.message("being thought about")
        await telegram.message("and this")
        await until_so(lambda: thoughts.asked[-1] == "being thought about" and bool(telegram.called("sendMessageDraft")))
        await house.hub.kill()
        await telegram.message("while it was dead")
        thoughts.hangs_at = ""
        begun = time.monotonic()
        await house.start()
        await house.hears("re: and this", "re: while it was dead")
        await house.settled()
        print(f"recovered {time.monotonic() - begun:.1f} s after the restart began")
        first, *others = house.said()
        assert first in ("re: being thought about", f"{RECOVERED}\n\nre: being thought about")
        assert others == ["re: and this", "re: while it was dead"]
        assert house.said(-1001) in (["re: being delivered"], ["re: being delivered", f"{RECOVERED}\n\nre: being delivered"])


async def test_called_from_nothing_to_the_first_answer_and_a_kill(telegram_over_http: CallingTelegram, thoughts: Thoughts, tmp_path: Path):
    telegram = telegram_over_http
    async with house_at(telegram, thoughts, tmp_path) as house:
        await until_so(lambda: telegram.webhook == f"{PUBLIC}/telegram/webhook")
        assert await telegram.message("hello") == 200
        assert await telegram.redeliver() == 200
        (answer,) = await house.hears("re: hello")
        assert await telegram.press(answer, "👎") == 200
        assert await telegram.inject({"update_id": 1, "message": message_of("psst", 9)}, secret="wrong") == 401
        assert await telegram.message("/start", user=GRACE) == 200
        assert await telegram.message("/start", user=GRACE) == 200
        await telegram.press((await telegram.said(count=2))[-1], "Let in")
        assert "has let you in" in (await telegram.said(GRACE["id"], count=3))[1]["text"]
        await house.settled()
        assert house.rows("select count(*) from inbox_events where raw like '%psst%'") == [(0,)]
        await until_so(lambda: house.rows("select source, value from feedback where value is not null") == [("button", -1.0)])

        telegram.faults.add("/sendMessage", done=True, hangs=True)
        await telegram.message("being delivered", user=GRACE)
        await until_so(lambda: house.said(GRACE["id"])[-1] == "re: being delivered")
        thoughts.hangs_at = "being thought about"
        await telegram.message("being thought about")
        await until_so(lambda: thoughts.asked[-1] == "being thought about")
        await house.hub.kill()
        assert await telegram.message("while it was dead") == 502
        thoughts.hangs_at = ""
        await house.start()

        async def is_taken() -> bool:
            return await telegram.redeliver() == 200

        await until(is_taken)  # Telegram tries for a day
        await house.hears("re: while it was dead")
        await house.settled()
        assert thoughts.asked.count("hello") == thoughts.asked.count("being delivered") == 1
        assert [text for text in house.said() if "thought about" in text] in (
            ["re: being thought about"],
            [f"{RECOVERED}\n\nre: being thought about"],
        )
        assert house.said(GRACE["id"])[-1] in ("re: being delivered", f"{RECOVERED}\n\nre: being delivered")


async def test_revoked_token_is_told_elsewhere_and_closes_one_door_alone(telegram: PolledTelegram, thoughts: Thoughts, tmp_path: Path):
    async with house_at(telegram, thoughts, tmp_path) as house:
        await house.on_the_web("hello")
        telegram.fail("getUpdates", 401, "Unauthorized", times=10_000)
        telegram.fail("getMe", 401, "Unauthorized", times=10_000)
        telegram.fail("sendMessage", 401, "Unauthorized", times=10_000)
        await telegram.message("hello")
        await until_so(lambda: house.rows("select 1 from messages where text like '%shut out of **telegram**%'"))
        assert "shut out of **telegram**" in (await house.on_the_web())[-1]
        assert "re: still there?" in await house.on_the_web("still there?")
        assert (await house.asks("/api/channels"))["channels"]["telegram"]["state"] == "refused"
        found = await house.hub.command("doctor", status=1)
        assert "Telegram does not accept the token" in found
        assert TOKEN.partition(":")[2] not in found + house.hub.log


async def test_getupdates_that_fails_is_tried_again_and_misses_nothing(telegram: PolledTelegram, thoughts: Thoughts, tmp_path: Path):
    async with house_at(telegram, thoughts, tmp_path) as house:
        telegram.faults.add("/getUpdates", times=2)
        telegram.fail("getUpdates", 502, "Bad Gateway", times=2)
        begun = time.monotonic()
        await telegram.message("one")
        await until_so(lambda: not telegram.faults)
        await telegram.message("two")
        await house.hears("re: one", "re: two")
        print(f"heard again {time.monotonic() - begun:.1f} s after four failures began")
        assert house.said() == ["re: one", "re: two"]


async def test_another_hub_takes_over_when_the_one_that_polls_is_killed(
    telegram: PolledTelegram, thoughts: Thoughts, tmp_path: Path, postgres_url: str
):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    environ = {"ROBBIE__DATABASE__URL": postgres_url}
    async with house_at(telegram, thoughts, tmp_path / "a", **environ) as first:
        await telegram.message("one")
        await first.hears("re: one")
        async with house_at(telegram, thoughts, tmp_path / "b", **environ) as second:
            await first.hub.kill()
            await telegram.message("two")
            begun = time.monotonic()
            await second.hears("re: one", "re: two")
            print(f"answered by the other {time.monotonic() - begun:.1f} s after the kill")
            assert second.said() == ["re: one", "re: two"]


def message_of(text: str, number: int, **more: Any) -> dict[str, Any]:
    """A message of Allan's, as an update holds it."""
    chat = {"id": ALLAN["id"], "type": "private", "first_name": "Allan"}
    return {"message_id": number, "from": ALLAN, "chat": chat, "date": int(time.time()), "text": text, **more}
