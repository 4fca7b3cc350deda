"""The whole hub in Slack: a `robbie run` of its own, by the real SDK, against somebody else's emulator; only the model is a FAKE."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.domain.clock import SystemClock
from bot.services.approvals import Approvals
from storage.database import Database
from tests.contracts.model_fakes import FakeModel, Wire, fake_model
from tests.e2e.hub_process import Hub
from tests.e2e.shim import until
from tests.e2e.slack_server import ALLAN, APP_TOKEN, BOT, BOT_TOKEN, GENERAL, GRACE, SIGNING_SECRET, SlackServer, slack_server, why_no_slack
from tests.machine import PATIENCE_SECONDS, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TOKENS = {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_APP_TOKEN": APP_TOKEN, "SLACK_SIGNING_SECRET": SIGNING_SECRET}
CONFIG = """
[slack]
enabled = true
mode = "{mode}"
api_url = "http://127.0.0.1:{port}/api/"
[[people]]
name = "Allan"
role = "owner"
identities = [{{ platform = "slack", id = "T0HOUSE/U0ALLAN" }}]
"""


class Thoughts:
    """FAKE: the model says "It is " and, of a question with "slow" in it only when it `may_go_on`, the rest: "about <question>."."""

    def __init__(self, model: FakeModel) -> None:
        self.may_go_on = asyncio.Event()
        self._model = model
        model.act = self._act

    @property
    def asked(self) -> list[str]:
        """Every question that reached it."""
        return [asked["messages"][-1]["content"].rpartition("</memory>\n\n")[2] for asked in self._model.asked]

    async def _act(self, wire: Wire, _: web.Request) -> AsyncIterator[bytes]:
        question = self.asked[-1]
        yield wire.begin()
        yield wire.say("It is ")
        if "slow" in question:
            await self.may_go_on.wait()
        yield wire.say(f"about {question}.")
        yield wire.end("")


@dataclass
class House:
    """A workspace, the hub that listens in it (by Socket Mode or http), and what its model thinks."""

    mode: str
    slack: SlackServer
    hub: Hub
    thoughts: Thoughts

    async def is_up(self) -> None:
        """Return when the hub hears Slack."""

        async def is_up() -> bool:
            return (await self.health())["state"] == "up"

        await until(is_up)
        if self.mode == "socket":
            await self.slack.connected()

    async def health(self) -> dict[str, str]:
        """How the hub says that Slack is."""
        told: dict[str, dict[str, dict[str, str]]] = await self.api("/api/channels")
        return told["channels"]["slack"]

    async def api(self, path: str) -> Any:
        """What the hub answers to its owner."""
        note = json.loads((self.hub.config.parent / "data/hub.json").read_text("utf-8"))
        headers = {"Authorization": f"Bearer {note['token']}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(self.hub.url + path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def sees(self, *texts: str, channel: str = ALLAN) -> list[dict[str, Any]]:
        """What Robbie said in a channel, as soon as each of *texts* is in it, in this order."""

        def are_in(said: list[dict[str, Any]]) -> bool:
            left = iter(said)
            return all(any(text in _text(message) for message in left) for text in texts)

        return await self.once(are_in, texts, channel)

    async def offers(self, label: str, text: str) -> dict[str, Any]:
        """What Robbie said last to Allan, as soon as it is this, whole, with this button under it."""

        def is_it(said: list[dict[str, Any]]) -> bool:
            return text in _text(said[-1]) and label in json.dumps(said[-1].get("blocks"), ensure_ascii=False)

        return (await self.once(is_it, (text, label), ALLAN))[-1]

    async def once(self, is_so: Callable[[list[dict[str, Any]]], bool], texts: tuple[str, ...], channel: str) -> list[dict[str, Any]]:
        """What Robbie said in a channel, as soon as that is so; *texts* are what is told where it never is."""
        said: list[dict[str, Any]] = []

        async def are_there() -> bool:
            said[:] = [message for message in await self.slack.messages(channel) if message.get("user") == BOT]
            return bool(said) and is_so(said)

        try:
            await until(are_there)
        except TimeoutError:
            pytest.fail(f"{texts} not in {[_text(message) for message in said]}\n{self.hub.log[-3000:]}")
        return said

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What stands in the hub's database."""
        connection = sqlite3.connect(self.hub.config.parent / "data/robbie.db", timeout=PATIENCE_SECONDS)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()


@asynccontextmanager
async def house_of(folder: Path, mode: str) -> AsyncIterator[House]:
    """A House in which everything is up."""
    if reason := why_no_slack():
        pytest.skip(reason)
    port = free_port()
    async with fake_model() as model:
        hub = Hub(folder, model.url, more=CONFIG.format(mode=mode, port=port), environ=TOKENS)
        thoughts = Thoughts(model)
        async with slack_server(folder, mode="events" if mode == "http" else "socket", port=port, calls=hub.port) as slack:
            house = House(mode=mode, slack=slack, hub=hub, thoughts=thoughts)
            await hub.start()
            try:
                await house.is_up()
                yield house
            finally:
                await hub.kill()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """By Socket Mode."""
    async with house_of(tmp_path, "socket") as made:
        yield made


@pytest.fixture(params=["socket", "http"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    """In each mode."""
    async with house_of(tmp_path, request.param) as made:
        yield made


async def test_a_conversation_from_the_first_word(both: House):
    """What is asked is answered once, where it was asked; edits, deletions and judgements are kept."""
    slack = both.slack
    first = await slack.message("bees", channel=ALLAN)
    await slack.redeliver()
    await both.sees("It is about bees.")

    mention = await slack.message(f"<@{BOT}> ants")
    await both.sees("about ants", channel=GENERAL)
    await slack.message("wasps", thread_ts=mention["ts"])
    said = await both.sees("about ants", "about wasps", channel=GENERAL)
    assert {message["thread_ts"] for message in said} == {mention["ts"]}
    await slack.message("nobody is asked")

    await slack.command("/robbie", "status")
    await slack.command("/note", "buy milk")
    await both.sees("All is well", "Noted", channel=GENERAL)

    async def whispers() -> bool:
        """For the giver's eyes alone."""
        return sum("chat.postEphemeral" in entry["summary"] for entry in await slack.log("web_api")) == 2

    await until(whispers)
    assert [text for (text,) in both.rows("SELECT text FROM sticky_notes")] == ["buy milk"]

    await _an_edit_and_a_deletion(both)
    await slack.edit(first, "hornets")
    await slack.message("done", channel=ALLAN)
    answer = await both.offers("👍", "about done")
    await slack.press(answer, _button(answer, "👍"))
    await until_rows(both, "SELECT value, source FROM feedback WHERE value IS NOT NULL", (1.0, "button"))
    await slack.react(answer, "thumbsdown")
    await until_rows(both, "SELECT value, source FROM feedback WHERE value IS NOT NULL", (-1.0, "reaction"))
    counts = Counter(_text(message) for message in await slack.messages(ALLAN) if message["user"] == BOT)
    assert max(counts.values()) == 1
    assert {"hornets", "flies", "nobody is asked"}.isdisjoint(both.thoughts.asked)
    await until_rows(both, "SELECT count(*) FROM inbox_events WHERE kind = 'edit'", (2,))


async def _an_edit_and_a_deletion(house: House) -> None:
    """While one answer grows in its message: what waits and is edited is answered as it reads then, of what is deleted nothing is said."""
    await house.slack.message("slow ants", channel=ALLAN)
    growing = (await house.sees("about bees.", "It is"))[-1]
    assert "ants" not in _text(growing)
    changed = await house.slack.message("moths", channel=ALLAN)
    gone = await house.slack.message("flies", channel=ALLAN)
    await house.slack.edit(changed, "crickets")
    await house.slack.delete(gone)
    await until_rows(house, "SELECT count(*) FROM inbox_events WHERE kind IN ('edit', 'delete')", (2,))
    house.thoughts.may_go_on.set()
    said = await house.sees("about slow ants.", "about crickets.")
    assert ["slow ants" in _text(message) for message in said if message["ts"] == growing["ts"]] == [True]
    assert not any(word in _text(message) for message in said for word in ("moths", "flies"))


async def test_a_stranger_is_let_in(both: House):
    """They get one code, and silence; the owner lets them in, by a button or at the command line; then their first words are answered."""
    slack = both.slack
    await slack.message("hello there, Robbie", channel=ALLAN)
    await both.sees("")
    await slack.message("beetles", channel=GRACE, user=GRACE)
    (told,) = await both.sees("I do not know you yet", channel=GRACE)
    await slack.message("anybody?", channel=GRACE, user=GRACE)
    asked = await both.offers("Let in", "would like to talk with me")
    code = both.rows("SELECT code FROM link_codes WHERE kind = 'pair'")[0][0]
    assert code in _text(told)
    if both.mode == "http":
        assert code in await both.hub.command("pair", "list")
        await both.hub.command("pair", "approve", code)
    else:
        await slack.press(asked, _button(asked, "Let in"))
    said = await both.sees("has let you in", "about beetles.", channel=GRACE)
    assert len(said) == 3


async def test_what_waits_is_seen_edited_and_approved(both: House):
    """The home tab tells of today, of health and of what waits; the window has the words in it; what is approved is said, once."""
    slack = both.slack
    await slack.message("hello there, Robbie", channel=ALLAN)
    await both.sees("")
    await _propose(both, "Dear Grace, no.")
    asked = await both.offers("Edit", "Dear Grace, no.")
    await slack.open_home()
    home = await until(slack.home)
    assert "Dear Grace, no." in json.dumps(home)
    assert "All is well" in json.dumps(home)
    await slack.press(asked, _button(asked, "Edit"))
    (modal,) = await until(slack.modals)
    assert "Dear Grace, no." in json.dumps(modal)
    await slack.submit({"edit": {"edit": {"type": "plain_text_input", "value": "Dear Grace, yes."}}})
    changed = await both.offers("Approve", "Dear Grace, yes.")
    await slack.press(changed, _button(changed, "Approve"))
    await both.sees("Dear Grace, yes.", channel=GENERAL)
    await until_rows(both, "SELECT state FROM proposals", ("done",))

    async def is_marked() -> bool:
        message = next(message for message in await slack.messages(ALLAN) if message["ts"] == changed["ts"])
        return all(block["type"] != "actions" for block in message["blocks"])

    await until(is_marked)


async def test_a_hub_that_is_killed_forgets_nothing(both: House):
    """One question is being thought about, one answer and one whisper were sent without the hub's knowing: nothing is lost or repeated."""
    slack = both.slack
    await slack.message("slow bees", channel=ALLAN)
    await both.sees("It is")
    for method in ("/chat.postMessage", "/chat.postEphemeral"):
        slack.faults.add(method, done=True)
    await slack.message(f"<@{BOT}> status")
    await slack.command("/note", "buy milk")
    await until_met(both, "/chat.postMessage", "/chat.postEphemeral")
    for text in ("I am here", "Noted"):
        await both.sees(text, channel=GENERAL)
    await both.hub.kill()
    both.thoughts.may_go_on.set()
    await both.hub.start()
    await both.is_up()
    await slack.redeliver()
    await slack.message("after", channel=ALLAN)
    assert len(await both.sees("about slow bees.", "about after.")) == 2
    await until_rows(both, "SELECT count(*) FROM outbox WHERE state != 'sent'", (0,))
    said = [_text(message) for message in await both.sees("Noted", "(Recovered", channel=GENERAL)]
    assert sum("I am here" in text for text in said) == 1
    assert sorted("(Recovered" in text for text in said if "Noted" in text) == [False, True]
    assert both.rows("SELECT text FROM sticky_notes") == [("buy milk",)]


async def test_what_slack_did_not_sign_is_refused_and_not_stored(tmp_path: Path):
    async with house_of(tmp_path, "http") as house:
        said = {"type": "message", "channel_type": "im", "channel": "D1", "user": ALLAN, "text": "hi", "ts": "1790000000.000001"}
        body = json.dumps({"type": "event_callback", "team_id": "T0HOUSE", "event_id": "Ev1", "event": said})
        assert (await house.slack.post(body, secret="another"))[0] == 401
        assert (await house.slack.post(body, {"X-Slack-Request-Timestamp": "1000000000"}))[0] == 401
        assert (await house.slack.post(body, {"X-Slack-Signature": ""}))[0] == 401
        assert house.rows("SELECT count(*) FROM inbox_events") == [(0,)]
        assert await house.slack.verify_url() == '{"challenge": "challenge-of-the-test"}'
        assert (await house.slack.post(body))[0] == 200
        assert house.rows("SELECT count(*) FROM inbox_events") == [(1,)]


async def test_a_revoked_token_is_told_elsewhere(house: House):
    house.slack.faults.add("/auth.test", status=200, body={"ok": False, "error": "invalid_auth"}, times=1000)
    await house.slack.cut()

    async def is_told() -> bool:
        return "shut out of **slack**" in json.dumps(await house.api("/api/conversations/main/messages"))

    await until(is_told)
    assert (await house.health())["state"] == "refused"
    doctor = [sys.executable, "-m", "bot", "--config", str(house.hub.config), "doctor"]
    process = await asyncio.create_subprocess_exec(*doctor, stdout=asyncio.subprocess.PIPE, env={**os.environ, **TOKENS})
    said, _ = await process.communicate()
    assert "fail slack token: Slack: invalid_auth" in said.decode()
    assert process.returncode == 1


async def until_rows(house: House, query: str, *rows: tuple[Any, ...]) -> None:
    """Wait until the database answers so."""

    async def is_so() -> bool:
        return house.rows(query) == list(rows)

    await until(is_so)


async def until_met(house: House, *paths: str) -> None:
    """Wait until requests met their faults."""

    async def is_met() -> bool:
        return all(any(met.endswith(path) for met in house.slack.faults.met) for path in paths)

    await until(is_met)


async def _propose(house: House, text: str) -> None:
    """Something waits for the owner's yes: an answer in the channel that everybody reads."""
    url = f"sqlite+aiosqlite:///{house.hub.config.parent / 'data/robbie.db'}"
    async with Database(url, organization="default") as database, database.unit_of_work() as work:
        owner, now = await work.people.owner(), SystemClock().now()
        where = {"channel": "slack", "key": f"T0HOUSE/{GENERAL}", "session_type": "shared"}
        conversation = await work.conversations.ensure(**where, user_id=owner.id, now=now)
        last = (await work.messages.latest((await work.conversations.last_private(owner.id)).id, limit=1))[0]
        await Approvals(database=database, clock=SystemClock()).propose_reply(
            work, conversation_id=conversation.id, event_id=last.id, asked="May I?", about={"name": "Grace", "account": "grace"}, text=text
        )


def _text(message: dict[str, Any]) -> str:
    """All that is to be read of a message."""
    return message.get("text", "") + "".join(block["text"]["text"] for block in message.get("blocks") or () if "text" in block)


def _button(message: dict[str, Any], label: str) -> str:
    """The `action_id` of the button that says so."""
    elements = [element for block in message["blocks"] for element in block.get("elements", ())]
    return str(next(element["action_id"] for element in elements if element.get("text", {}).get("text") == label))
