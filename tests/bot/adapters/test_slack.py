"""Slack's door, by the real SDK, against a FAKE Slack that can do what no emulator can: refuse, limit, cut, stream, fall silent."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from pydantic import SecretStr

from bot.adapters.slack import SlackAdapter
from bot.config import SlackConfig
from bot.domain.address import Address, Person, Sender, SessionType
from bot.domain.clock import new_id
from bot.domain.errors import ChannelRefused, ChannelUnavailable, DeliveryRejected, DeliveryUnknown, NotAllowed, StorageUnavailable
from bot.domain.finding import Status
from bot.domain.message import Attachment, Button, Inbound, Outgoing, OutgoingKind
from bot.domain.ports import Card
from bot.hub.auth import _VISITOR, Pass, Visitor
from storage.database import Database
from tests.clock import FakeClock
from tests.machine import PATIENCE_SECONDS
from tests.slack_fake import ALLAN, BOT, CHANNEL, CUT, DIRECT, TEAM, FakeSlack, fake_slack

THREAD = "1780000000.000001"
SECRET = "signing-secret"
HELD = {"gandhi": "4", "cocktail": "5", "flirty": "1", "mood": "focused"}
LONG = "\n\n".join("word " * 280 for _ in range(20))


class FakeReception:
    """FAKE: keeps what it is brought, where its storage is not away."""

    def __init__(self) -> None:
        self.received: list[Inbound] = []
        self.is_away = False
        self.words: str | None = "Dear Grace"
        self.knows = True
        self._came = asyncio.Condition()

    async def receive(self, inbound: Inbound) -> None:
        if self.is_away:
            raise StorageUnavailable("locked")
        async with self._came:
            self.received.append(inbound)
            self._came.notify_all()

    async def overview(self, sender: Sender) -> Sequence[Card]:
        waiting = Card(text="A mail waits", buttons=(Button(label="Approve", command="/approve K7"),))
        return [Card(text="**Today**: nothing"), waiting] if self.knows else []

    async def manners(self, sender: Sender) -> Mapping[str, str]:
        return HELD | {"zone": "Europe/Berlin"} if self.knows else {}

    async def draft(self, sender: Sender, code: str) -> str | None:
        return self.words if code == "K7" else None

    async def count(self, count: int) -> list[Inbound]:
        async with asyncio.timeout(PATIENCE_SECONDS), self._came:
            await self._came.wait_for(lambda: len(self.received) >= count)
        return self.received


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with fake_slack() as running:
        yield running


@pytest.fixture
async def database(sqlite_file: Path) -> AsyncIterator[Database]:
    async with Database(f"sqlite+aiosqlite:///{sqlite_file}", organization="default") as opened:
        yield opened


@pytest.fixture
def reception() -> FakeReception:
    return FakeReception()


def make(slack: FakeSlack, database: Database, **more: Any) -> SlackAdapter:
    secrets = {"bot_token": SecretStr("xoxb-1"), "app_token": SecretStr("xapp-1"), "signing_secret": SecretStr(SECRET)}
    how = {"watch_seconds": more.pop("watch_seconds", 60.0)}
    config = SlackConfig(**{"enabled": True, "api_url": slack.api_url, **secrets, **more})
    return SlackAdapter(config=config, database=database, clock=FakeClock(), public_url="https://robbie.example", **how)


@pytest.fixture
def door(slack: FakeSlack, database: Database) -> SlackAdapter:
    return make(slack, database)


@asynccontextmanager
async def listening(door: SlackAdapter, reception: FakeReception, told: Any = lambda: None) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(door.listen(reception, told))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


def reply(text: str = "hi", *, to: str = f"{TEAM}/{DIRECT}", **more: Any) -> Outgoing:
    shared = SessionType.SHARED if f"/{CHANNEL}" in to and "~" not in to else SessionType.PRIVATE
    address = Address(channel="slack", conversation=to, session_type=shared)
    return Outgoing(**({"id": new_id(), "kind": OutgoingKind.ANSWER, "asker": f"{TEAM}/{ALLAN}"} | more), address=address, text=text)


def event(number: int = 1, **fields: Any) -> dict[str, Any]:
    said = {"type": "message", "channel_type": "im", "channel": DIRECT, "user": ALLAN, "text": "hello", "ts": f"1790000000.{number:06}"}
    return {"type": "event_callback", "team_id": TEAM, "event_id": f"Ev{number}", "event": said | fields}


# What is heard


async def test_socket_mode_needs_no_signing_secret(slack: FakeSlack, database: Database, reception: FakeReception):
    door = make(slack, database, signing_secret=None)
    assert door.routes == []
    assert {finding.status for finding in await door.examine()} == {Status.OK}


async def test_what_came_is_stored_and_then_acknowledged(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    async with listening(door, reception):
        for number in range(20):
            await slack.sends(event(number), envelope_id=f"E{number}")
        acknowledged = await slack.acknowledgements(20)
        assert [inbound.external_id for inbound in reception.received] == [f"{DIRECT}:1790000000.{number:06}" for number in range(20)]
        assert {told["envelope_id"] for told in acknowledged} == {f"E{number}" for number in range(20)}


async def test_what_cannot_be_stored_is_not_acknowledged(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    async with listening(door, reception):
        reception.is_away = True
        await slack.sends(event(1), envelope_id="E1")
        await slack.sends({"type": "event_callback", "team_id": TEAM, "event": {"type": "unheard_of"}}, envelope_id="E2")
        assert [told["envelope_id"] for told in await slack.acknowledgements(1)] == ["E2"]
        reception.is_away = False
        await slack.sends(event(1), envelope_id="E1")
        assert (await slack.acknowledgements(2))[-1]["envelope_id"] == "E1"


@pytest.mark.parametrize(
    "payload", [{}, {"event": "x"}, {"event": {"type": 7}}, {"team_id": []}, {"type": "event_callback", "authorizations": "x"}, "x"]
)
async def test_a_broken_event_holds_up_nothing(slack: FakeSlack, door: SlackAdapter, reception: FakeReception, payload: Any):
    async with listening(door, reception):
        line = await slack.connected()
        await line.send_str("no JSON {")
        await line.send_str("[1, 2]")
        await slack.sends(payload, envelope_id="E1")
        await slack.sends(event(), envelope_id="E2")
        assert len(await slack.acknowledgements(2)) == 2
        assert len(reception.received) == 1


async def test_threads_are_heard_where_robbie_takes_part(
    slack: FakeSlack, door: SlackAdapter, database: Database, reception: FakeReception
):
    said = {"channel": CHANNEL, "channel_type": "channel", "thread_ts": THREAD}
    async with listening(door, reception):
        await slack.sends(event(1, **said))
        await slack.acknowledgements(1)
        assert not reception.received
        async with database.unit_of_work() as work:
            await _know(work, f"{TEAM}/{CHANNEL}/{THREAD}")
        await slack.sends(event(2, **said))
        assert (await reception.count(1))[0].address.conversation == f"{TEAM}/{CHANNEL}/{THREAD}"


async def test_a_command_in_robbies_own_direct_channel_belongs_to_it(
    slack: FakeSlack, door: SlackAdapter, database: Database, reception: FakeReception
):
    said = {"command": "/note", "text": "milk", "user_id": ALLAN, "team_id": TEAM, "channel_id": DIRECT}
    async with listening(door, reception):
        await slack.sends(said | {"trigger_id": "t1"}, kind="slash_commands")
        assert (await reception.count(1))[0].address.conversation == f"{TEAM}/{DIRECT}/~{ALLAN}"
        async with database.unit_of_work() as work:
            await _know(work, f"{TEAM}/{DIRECT}")
        await slack.sends(said | {"trigger_id": "t2"}, kind="slash_commands")
        assert (await reception.count(2))[1].address.conversation == f"{TEAM}/{DIRECT}"


async def test_a_line_that_slack_will_close_is_replaced_first(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    async with listening(door, reception) as task:
        old = await slack.connected(1)
        await old.send_json({"type": "disconnect", "reason": "refresh_requested"})
        await slack.connected(2)
        await old.close()
        await slack.sends(event())
        await reception.count(1)
        assert not task.done()


async def test_it_is_up_when_it_hears_and_no_sooner(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    signs = []
    slack.will_answer("apps.connections.open", "internal_error")
    with pytest.raises(ChannelUnavailable):
        await door.listen(reception, lambda: signs.append("alive"))
    assert not signs


async def test_a_line_that_fell_ends_listening(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    async with listening(door, reception) as task:
        await (await slack.connected()).close()
        with pytest.raises(ChannelUnavailable):
            await asyncio.wait_for(task, PATIENCE_SECONDS)


async def test_a_server_that_says_nothing_more_is_left_at_once(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    slack.is_deaf = True
    async with listening(door, reception) as task:
        await slack.connected()
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)
        assert task.done()


async def test_pongs_prove_nothing_once_slack_pings_by_itself(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    signs: list[float] = []
    async with listening(door, reception, lambda: signs.append(time.monotonic())):
        line = await slack.connected()
        await line.pong()
        await line.ping()
        await line.ping()
        await until(lambda: len(signs) == 4)  # the greeting was the first
        await line.pong()
        await line.ping()
        await until(lambda: len(signs) == 5)
        await asyncio.sleep(0.02)
        assert len(signs) == 5


@pytest.mark.parametrize("code", ["invalid_auth", "account_inactive", "token_revoked", "not_authed"])
async def test_a_revoked_token_is_refused(slack: FakeSlack, door: SlackAdapter, reception: FakeReception, code: str):
    slack.will_answer("auth.test", code)
    with pytest.raises(ChannelRefused):
        await door.listen(reception, lambda: None)


async def test_a_token_that_is_revoked_later_ends_listening(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    async with listening(door, reception) as task:
        await slack.connected()
        slack.will_answer("auth.test", "token_revoked")
        await slack.sends({"type": "event_callback", "team_id": TEAM, "event": {"type": "tokens_revoked", "tokens": {"bot": [BOT]}}})
        with pytest.raises(ChannelRefused):
            await asyncio.wait_for(task, PATIENCE_SECONDS)


async def test_the_watch_notices_a_revoked_token(slack: FakeSlack, database: Database, reception: FakeReception):
    door = make(slack, database, watch_seconds=0.01)
    slack.will_answer("auth.test", {"team_id": TEAM, "user_id": BOT}, "token_revoked")
    with pytest.raises(ChannelRefused):
        await asyncio.wait_for(door.listen(reception, lambda: None), PATIENCE_SECONDS)


async def test_socket_mode_that_is_switched_off_is_a_refusal(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    async with listening(door, reception) as task:
        await (await slack.connected()).send_json({"type": "disconnect", "reason": "link_disabled"})
        with pytest.raises(ChannelRefused):
            await asyncio.wait_for(task, PATIENCE_SECONDS)


async def test_pressed_buttons_vanish_for_whoever_may_press(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    button = {"type": "button", "text": {"text": "Approve"}, "value": "/approve K7", "action_id": "choice-0"}
    press = {
        "type": "block_actions",
        "team": {"id": TEAM},
        "user": {"id": ALLAN, "team_id": TEAM},
        "container": {"type": "message", "channel_id": DIRECT, "message_ts": "1790000000.1"},
        "channel": {"id": DIRECT},
        "message": {
            "ts": "1790000000.1",
            "text": "mail?",
            "blocks": [{"type": "section"}, {"type": "actions", "block_id": "choice-row-0"}],
        },
        "actions": [{**button, "block_id": "choice-row-0", "action_ts": "1.1"}],
    }
    async with listening(door, reception):
        reception.knows = False
        await slack.sends(press, kind="interactive")
        await reception.count(1)
        await slack.acknowledgements(1)
        reception.knows = True
        press["actions"][0]["action_ts"] = "1.2"
        await slack.sends(press, kind="interactive")
        (updated,) = await _called(slack, "chat.update")
        assert [block["type"] for block in _blocks(updated)] == ["section", "context"]
        assert "Approve" in json.dumps(_blocks(updated))


async def test_edit_opens_the_words_and_takes_new_ones(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    press = {
        "type": "block_actions",
        "team": {"id": TEAM},
        "user": {"id": ALLAN},
        "trigger_id": "t1",
        "container": {"type": "message", "channel_id": DIRECT, "message_ts": "1790000000.1"},
        "actions": [{"type": "button", "value": "/edit K7", "action_id": "choice-1", "action_ts": "1.1"}],
    }
    async with listening(door, reception):
        await slack.sends(press, kind="interactive")
        (opened,) = await _called(slack, "views.open")
        view = json.loads(opened["view"]) if isinstance(opened["view"], str) else opened["view"]
        assert view["blocks"][0]["element"]["initial_value"] == "Dear Grace"
        values = {"state": {"values": {"edit": {"edit": {"value": "Dear Grace, no."}}}}}
        await slack.sends(
            {"type": "view_submission", "team": {"id": TEAM}, "user": {"id": ALLAN}, "trigger_id": "t2", "view": view | values}
        )
        assert [inbound.text for inbound in await reception.count(1)] == ["/edit K7\nDear Grace, no."]


def _press(command: str, **fields: Any) -> dict[str, Any]:
    button = {"type": "button", "value": command, "action_id": "choice-1", "action_ts": "1.1", "text": {"text": "x"}, "block_id": "row"}
    container = {"type": "message", "channel_id": DIRECT, "message_ts": "1790000000.1"}
    pressed = {
        "type": "block_actions",
        "team": {"id": TEAM},
        "user": {"id": ALLAN},
        "trigger_id": "t1",
        "container": container,
        "channel": {"id": DIRECT},
    }
    return pressed | {"actions": [button]} | fields


async def test_sliders_open_a_modal_whose_mistakes_stand_under_their_field(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    async with listening(door, reception):
        await slack.sends(_press("/mood"), kind="interactive")
        (opened,) = await _called(slack, "views.open")
        view = json.loads(opened["view"]) if isinstance(opened["view"], str) else opened["view"]
        fields = {name: {name: {"selected_option": {"value": value}}} for name, value in HELD.items()}
        fields |= {"context": {"context": {"selected_option": {"value": "*"}}}, "until": {"until": {"selected_date_time": None}}}
        submission = {"type": "view_submission", "team": {"id": TEAM}, "user": {"id": ALLAN}, "trigger_id": "t2"}
        await slack.sends(submission | {"view": view | {"state": {"values": fields}}}, kind="interactive")
        assert (await slack.acknowledgements(2))[-1]["payload"]["errors"] == {"mood": "Nothing is changed yet."}
        assert reception.received == []
        fields["gandhi"]["gandhi"]["selected_option"]["value"] = "7"
        await slack.sends(submission | {"view": view | {"state": {"values": fields}}}, kind="interactive")
        assert [inbound.text for inbound in await reception.count(1)] == ["/mood gandhi=7"]
        assert "payload" not in (await slack.acknowledgements(3))[-1]


async def test_a_slider_keeps_its_buttons_when_it_is_pressed(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    """The answer takes the place of the message; a mark of ours could come after it, and undo that."""
    message = {"ts": "1790000000.1", "text": "x", "blocks": [{"type": "actions", "block_id": "row"}]}
    async with listening(door, reception):
        await slack.sends(_press("/gandhi +1", message=message), kind="interactive")
        await slack.sends(_press("/task done K7", message=message), kind="interactive")
        await reception.count(2)
        assert len(await _called(slack, "chat.update")) == 1
        sent = await door.send(
            reply(channel_message_id=f"{DIRECT}:1790000000.1", buttons=(Button(label="Gandhi -1", command="/gandhi -1"),))
        )
    assert sent.channel_message_id == f"{DIRECT}:1790000000.1"


async def test_a_modal_that_does_not_open_leaves_the_command(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    slack.will_answer("views.open", "expired_trigger_id")
    press = {
        "type": "block_actions",
        "team": {"id": TEAM},
        "user": {"id": ALLAN},
        "container": {"type": "message", "channel_id": DIRECT, "message_ts": "1790000000.1"},
        "actions": [{"type": "button", "value": "/edit K7", "action_id": "choice-1", "action_ts": "1.1"}],
    }
    async with listening(door, reception):
        await slack.sends(press, kind="interactive")
        assert [inbound.text for inbound in await reception.count(1)] == ["/edit K7"]


async def test_the_home_tab_shows_what_is_to_be_known(slack: FakeSlack, door: SlackAdapter, reception: FakeReception):
    async with listening(door, reception):
        await slack.sends(event(type="app_home_opened", tab="home"))
        (published,) = await _called(slack, "views.publish")
        view = json.loads(published["view"]) if isinstance(published["view"], str) else published["view"]
        assert view["private_metadata"] == DIRECT
        assert [block["type"] for block in view["blocks"]] == ["section", "divider", "section", "actions"]


# Signed HTTP


@asynccontextmanager
async def served(door: SlackAdapter) -> AsyncIterator[str]:
    @web.middleware
    async def signed_in(request: web.Request, handler: Any) -> web.StreamResponse:
        request[_VISITOR] = Visitor(person=Person(id=new_id(), name="Allan", role="owner", timezone="UTC"), shown=Pass.SESSION)
        return await handler(request)

    app = web.Application(middlewares=[signed_in])
    app.add_routes(door.routes)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def post(url: str, body: str, *, secret: str = SECRET, at: float | None = None) -> tuple[int, str]:
    sent_at = str(int(time.time() if at is None else at))
    signature = "v0=" + hmac.new(secret.encode(), f"v0:{sent_at}:{body}".encode(), hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Slack-Request-Timestamp": sent_at, "X-Slack-Signature": signature}
    async with aiohttp.ClientSession() as session, session.post(f"{url}/slack/events", data=body, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_a_signature_that_is_not_even_ascii_is_refused(slack: FakeSlack, database: Database):
    async with served(make(slack, database, mode="http")) as url, aiohttp.ClientSession() as session:
        headers = {"X-Slack-Request-Timestamp": str(int(time.time())), "X-Slack-Signature": "v0=\u00e9"}
        async with session.post(f"{url}/slack/events", data="{}", headers=headers) as answer:
            assert answer.status == 401


async def test_signed_http_is_heard_and_nothing_else(slack: FakeSlack, database: Database, reception: FakeReception):
    door = make(slack, database, mode="http")
    async with served(door) as url:
        assert (await post(url, json.dumps(event())))[0] == 503
        ready = asyncio.Event()
        async with listening(door, reception, ready.set):
            await asyncio.wait_for(ready.wait(), PATIENCE_SECONDS)
            await asyncio.sleep(0)
            assert (await post(url, json.dumps({"type": "url_verification", "challenge": "c"})))[1] == json.dumps({"challenge": "c"})
            assert (await post(url, json.dumps(event())))[0] == 200
            for body in (json.dumps(event(2)), "{", "[]", ""):
                assert (await post(url, body, secret="wrong"))[0] == 401
                assert (await post(url, body, at=time.time() - 3600))[0] == 401
            for body in ("{", "[]", '{"event": 1}', '"x"', '{"type": "event_callback", "authorizations": 7}'):
                assert (await post(url, body))[0] == 200
            reception.is_away = True
            assert (await post(url, json.dumps(event(3))))[0] == 503
            assert len(reception.received) == 1


# What is said


async def test_a_reply_is_blocks_with_buttons_under_the_last(slack: FakeSlack, door: SlackAdapter):
    sent = await door.send(reply("**yes** & <!here>", buttons=(Button(label="👍", command="/rate 5"),), to=f"{TEAM}/{CHANNEL}/{THREAD}"))
    (posted,) = slack.called("chat.postMessage")
    section, actions = _blocks(posted)
    assert section["text"] == {"type": "mrkdwn", "text": "*yes* &amp; &lt;!here&gt;", "verbatim": True}
    assert actions["elements"][0]["value"] == "/rate 5"
    assert (posted["channel"], posted["thread_ts"]) == (CHANNEL, THREAD)
    assert sent.channel_message_id == next(iter(slack.messages))


async def test_a_long_reply_is_one_message_of_many_sections(slack: FakeSlack, door: SlackAdapter):
    outgoing = reply(LONG)
    sent = await door.send(outgoing)
    (posted,) = slack.called("chat.postMessage")
    assert len(posted["text"]) == 3000
    assert all(len(block["text"]["text"]) <= 3000 for block in _blocks(posted))
    assert " ".join(block["text"]["text"] for block in _blocks(posted)).split() == LONG.split()
    assert await door.send(reply("short", id=outgoing.id, channel_message_id=sent.channel_message_id)) == sent


async def test_what_is_there_is_found(slack: FakeSlack, door: SlackAdapter):
    outgoing = reply()
    assert await door.find(outgoing) is None
    sent = await door.send(outgoing)
    assert await door.find(outgoing) == sent
    assert await door.find(reply()) is None
    slack.messages[next(iter(slack.messages))]["user"] = "U0FORGER"
    assert await door.find(outgoing) is None


async def test_a_file_that_did_not_arrive_is_sent_again_under_the_same_message(slack: FakeSlack, door: SlackAdapter, tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"hello")
    outgoing = reply(attachments=(Attachment(name="a.txt", path=tmp_path / "a.txt"),))
    slack.will_answer("files.getUploadURLExternal", CUT)
    with pytest.raises(DeliveryUnknown) as failed:
        await door.send(outgoing)
    assert failed.value.sent in slack.messages
    found = await door.find(outgoing)
    assert (found.channel_message_id, found.is_whole) == (failed.value.sent, False)
    await door.send(replace(outgoing, channel_message_id=failed.value.sent))
    assert len(slack.called("chat.postMessage")) == 1
    assert slack.called("upload")[0]["bytes"] == b"hello"


async def test_a_short_rate_limit_is_waited_out_and_a_long_one_told(slack: FakeSlack, door: SlackAdapter, monkeypatch: pytest.MonkeyPatch):
    limited = {"ok": False, "error": "ratelimited"}
    monkeypatch.setattr("random.random", lambda: 0.0)
    slack.will_answer("chat.postMessage", (429, {"Retry-After": "0"}, limited))
    await door.send(reply())
    assert len(slack.called("chat.postMessage")) == 2
    slack.will_answer("chat.postMessage", (429, {"Retry-After": "90"}, limited))
    with pytest.raises(ChannelUnavailable) as failed:
        await door.send(reply())
    assert failed.value.retry_after == 90.0
    assert len(slack.called("chat.postMessage")) == 3


async def test_blocks_that_are_refused_are_sent_as_plain_text_once(slack: FakeSlack, door: SlackAdapter):
    slack.will_answer("chat.postMessage", "invalid_blocks")
    await door.send(reply("**yes**"))
    assert [len(_blocks(posted)) for posted in slack.called("chat.postMessage")] == [1, 0]
    slack.will_answer("chat.postMessage", "invalid_blocks", "invalid_blocks")
    with pytest.raises(DeliveryRejected):
        await door.send(reply())
    assert len(slack.called("chat.postMessage")) == 4


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("channel_not_found", DeliveryRejected),
        ("is_archived", DeliveryRejected),
        ("some_new_refusal", DeliveryRejected),
        ("token_revoked", ChannelRefused),
        ({"ok": False, "error": "missing_scope", "needed": "chat:write"}, ChannelRefused),
        ("internal_error", DeliveryUnknown),
        ((500, {}, {}), DeliveryUnknown),
        ((503, {}, {}), ChannelUnavailable),
        (CUT, DeliveryUnknown),
        ([1], DeliveryUnknown),
    ],
)
async def test_refusals_become_our_errors(slack: FakeSlack, door: SlackAdapter, answer: Any, error: type[Exception]):
    slack.will_answer("chat.postMessage", (200, {}, answer) if isinstance(answer, dict | list) else answer)
    with pytest.raises(error) as failed:
        await door.send(reply())
    assert type(failed.value) is error or error is DeliveryRejected
    assert "xoxb" not in str(failed.value)
    assert len(slack.called("chat.postMessage")) == 1


async def test_a_slack_that_is_not_there_got_nothing(slack: FakeSlack, database: Database, unused_tcp_port: int):
    door = make(slack, database, api_url=f"http://127.0.0.1:{unused_tcp_port}/api/")
    with pytest.raises(ChannelUnavailable):
        await door.send(reply())


async def test_a_message_that_is_gone_is_said_anew(slack: FakeSlack, door: SlackAdapter):
    slack.will_answer("chat.update", "message_not_found")
    sent = await door.send(reply(channel_message_id=f"{DIRECT}:1.1"))
    assert sent.channel_message_id == next(iter(slack.messages))


async def test_a_whisper_is_for_one_person_and_goes_to_them_alone_where_it_is_refused(slack: FakeSlack, door: SlackAdapter):
    whisper = reply(to=f"{TEAM}/{CHANNEL}/~{ALLAN}")
    assert (await door.send(whisper)).channel_message_id is None
    (said,) = slack.called("chat.postEphemeral")
    assert (said["channel"], said["user"]) == (CHANNEL, ALLAN)
    assert (await door.show(whisper)).channel_message_id is None
    with pytest.raises(DeliveryUnknown):
        await door.find(whisper)
    slack.will_answer("chat.postEphemeral", "user_not_in_channel")
    assert (await door.send(whisper)).channel_message_id.startswith(f"{DIRECT}:")


async def test_a_reply_streams_in_a_thread_and_ends_there(slack: FakeSlack, door: SlackAdapter):
    thread = f"{TEAM}/{CHANNEL}/{THREAD}"
    shown = await door.show(reply("One <!here>", to=thread))
    name = shown.channel_message_id
    assert await door.show(reply("One <!here> two", to=thread, channel_message_id=name)) == shown
    choices = (Button(label="👍", command="/rate 5"),)
    assert await door.send(reply("One <!here> two three", to=thread, channel_message_id=name, buttons=choices)) == shown
    (begun,), (grown,), (ended,) = (slack.called(f"chat.{verb}Stream") for verb in ("start", "append", "stop"))
    assert (begun["markdown_text"], begun["recipient_user_id"], begun["thread_ts"]) == ("One <\u200b!here>", ALLAN, THREAD)
    assert (grown["markdown_text"], ended["markdown_text"]) == (" two", " three")
    assert ended["metadata"]["event_type"] == "robbie_reply"
    assert not slack.called("chat.update")
    assert not slack.called("chat.postMessage")


async def test_a_stream_that_changes_its_words_is_stopped_and_edited(slack: FakeSlack, door: SlackAdapter):
    thread = f"{TEAM}/{CHANNEL}/{THREAD}"
    shown = await door.show(reply("One", to=thread))
    await door.show(reply("Two", to=thread, channel_message_id=shown.channel_message_id))
    await door.send(reply("Two!", to=thread, channel_message_id=shown.channel_message_id))
    assert [name for name, _ in slack.calls if "chat." in name] == [
        *("chat.startStream", "chat.update", "chat.stopStream", "chat.update", "chat.update"),
    ]


async def test_a_stream_that_ended_by_itself_goes_on_as_an_edit(slack: FakeSlack, door: SlackAdapter):
    thread = f"{TEAM}/{CHANNEL}/{THREAD}"
    shown = await door.show(reply("One", to=thread))
    slack.streaming.clear()
    assert await door.show(reply("One two", to=thread, channel_message_id=shown.channel_message_id)) == shown
    assert await door.send(reply("One two three", to=thread, channel_message_id=shown.channel_message_id)) == shown
    assert len(slack.called("chat.update")) == 2


async def test_a_stream_of_a_process_that_died_is_ended(slack: FakeSlack, door: SlackAdapter, database: Database):
    thread = f"{TEAM}/{CHANNEL}/{THREAD}"
    shown = await door.show(reply("One", to=thread))
    await make(slack, database).send(reply("Two", to=thread, channel_message_id=shown.channel_message_id))
    assert not slack.streaming
    assert len(slack.called("chat.update")) == 2


async def test_without_streams_a_message_is_edited(slack: FakeSlack, door: SlackAdapter):
    thread = f"{TEAM}/{CHANNEL}/{THREAD}"
    slack.will_answer("chat.startStream", "unknown_method")
    shown = await door.show(reply("One", to=thread))
    await door.show(reply("One two", to=thread, channel_message_id=shown.channel_message_id))
    await door.show(reply("Three", to=thread))
    assert len(slack.called("chat.startStream")) == 1
    assert len(slack.called("chat.postMessage")) == 2
    assert await door.find(reply("One two", to=thread)) is None


async def test_a_growing_message_is_found_as_a_part(slack: FakeSlack, door: SlackAdapter):
    outgoing = reply("One")
    shown = await door.show(outgoing)
    found = await door.find(outgoing)
    assert (found.channel_message_id, found.is_whole) == (shown.channel_message_id, False)


async def test_files_go_along(slack: FakeSlack, door: SlackAdapter, tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"hello")
    await door.send(reply(attachments=(Attachment(name="a.txt", path=tmp_path / "a.txt"), Attachment(name="gone", path=tmp_path / "b"))))
    assert slack.called("upload")[0]["bytes"] == b"hello"
    assert slack.called("files.completeUploadExternal")[0]["channel_id"] == DIRECT


async def test_files_are_fetched_with_the_token_from_slack_alone(slack: FakeSlack, door: SlackAdapter, tmp_path: Path):
    into, url = tmp_path / "file", slack.api_url.replace("/api/", "/files/a")
    file = Attachment(name="a.png", media_type="image/png", source=f"{TEAM} F1 {url}")
    slack.will_answer("file", b"bytes")
    await door.fetch(file, into)
    assert into.read_bytes() == b"bytes"
    assert slack.called("file")[0]["token"] == "Bearer xoxb-1"
    for elsewhere in (
        "https://evil.example/a",
        "http://files.slack.com/a",
        "https://files.slack.com.evil.example/a",
        "https://x@evil.example",
    ):
        with pytest.raises(DeliveryRejected):
            await door.fetch(Attachment(name="a", source=f"{TEAM} F1 {elsewhere}"), into)
    slack.will_answer("file", web.Response(status=302, headers={"Location": "https://evil.example"}))
    with pytest.raises(DeliveryRejected):
        await door.fetch(file, into)
    slack.will_answer("file", b"x" * (25 * 1024 * 1024 + 1))
    with pytest.raises(DeliveryRejected):
        await door.fetch(file, into)


# Is all well


async def test_doctor_tells_what_is_missing(slack: FakeSlack, door: SlackAdapter):
    slack.scopes = "chat:write,commands"
    findings = {finding.part: finding for finding in await door.examine()}
    assert findings["slack token"].status is Status.OK
    assert findings["slack scopes"].status is Status.WARN
    assert "files:read" in findings["slack scopes"].detail
    assert findings["slack socket"].status is Status.OK
    slack.will_answer("auth.test", "invalid_auth")
    slack.will_answer("apps.connections.open", "invalid_auth")
    failed = {finding.part: finding for finding in await door.examine()}
    assert failed["slack token"].status is failed["slack socket"].status is Status.FAIL
    assert all(finding.repair for finding in failed.values())


async def test_doctor_blames_no_token_for_a_slack_that_is_away(slack: FakeSlack, database: Database):
    findings = await make(slack, database, api_url="http://127.0.0.1:9/api/").examine()
    assert {finding.repair for finding in findings} == {"is this machine on the network, and slack.api_url right?"}


async def test_doctor_names_the_address_that_slack_needs(slack: FakeSlack, database: Database):
    findings = {finding.part: finding for finding in await make(slack, database, mode="http").examine()}
    assert "https://robbie.example/slack/events" in findings["slack address"].detail


async def test_doctor_looks_at_slack_before_there_is_a_database(slack: FakeSlack, tmp_path: Path):
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'none.db'}", organization="default") as empty:
        findings = {finding.part: finding.status for finding in await make(slack, empty, client_id="1.2").examine()}
    assert (findings["slack token"], findings["slack workspaces"]) == (Status.OK, Status.WARN)


# Several workspaces


@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")  # the SDK's own
async def test_a_workspace_installs_and_is_spoken_to_by_its_own_token(slack: FakeSlack, database: Database, reception: FakeReception):
    door = make(slack, database, client_id="1.2", client_secret=SecretStr("client-secret"), bot_token=None)
    access = {"access_token": "xoxb-2", "team": {"id": "T0OTHER", "name": "Other"}, "bot_user_id": "U2BOT", "authed_user": {"id": "U9"}}
    slack.will_answer("oauth.v2.access", access)
    async with served(door) as url, aiohttp.ClientSession() as browser:
        async with browser.get(f"{url}/slack/install", allow_redirects=False) as answer:
            state = answer.headers["Location"].split("state=")[1].split("&")[0]
            cookie = answer.headers["Set-Cookie"].split(";")[0]
        back = f"{url}/slack/oauth_redirect?code=c&state={state}"
        async with browser.get(back) as answer:
            assert answer.status == 400  # not the browser that began
        async with browser.get(back, headers={"Cookie": cookie}) as answer:
            assert answer.status == 200
        async with browser.get(back, headers={"Cookie": cookie}) as answer:
            assert answer.status == 401  # a state is good once
    await door.send(reply(to="T0OTHER/D2"))
    assert (await database_tokens(database)) == ["xoxb-2"]
    with pytest.raises(DeliveryRejected):
        await door.send(reply())
    async with listening(door, reception):
        await slack.sends({"type": "event_callback", "team_id": "T0OTHER", "event": {"type": "app_uninstalled"}})
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await database_tokens(database):
                await asyncio.sleep(0.01)


async def test_nobody_but_the_owner_brings_robbie_into_a_workspace(slack: FakeSlack, database: Database):
    door = make(slack, database, client_id="1.2", client_secret=SecretStr("s"))
    (begin,) = [route.handler for route in door.routes if route.path == "/slack/install"]
    request = make_mocked_request("GET", "/slack/install")
    request[_VISITOR] = Visitor(person=Person(id=new_id(), name="Grace", role="member", timezone="UTC"), shown=Pass.SESSION)
    with pytest.raises(NotAllowed):
        await begin(request)


def test_installing_needs_sign_in_and_slack_itself_does_not(slack: FakeSlack, database: Database):
    door = make(slack, database, mode="http", client_id="1.2", client_secret=SecretStr("s"))
    assert {route.path: getattr(route.handler, "is_open_to_all", False) for route in door.routes} == {
        "/slack/events": True,
        "/slack/install": False,
        "/slack/oauth_redirect": True,
    }


async def database_tokens(database: Database) -> list[str]:
    async with database.reading() as work:
        return [json.loads(row.granted)["bot_token"] for row in await work.housekeeping.installations("slack")]


async def _know(work: Any, key: str) -> None:
    now = FakeClock().now()
    await work.people.ensure_organization(now)
    user = await work.people.ensure_user(name="Allan", role="owner", timezone="UTC", now=now)
    await work.conversations.ensure(channel="slack", key=key, user_id=user.id, session_type="shared", now=now)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


async def _called(slack: FakeSlack, method: str) -> list[dict[str, Any]]:
    await until(lambda: slack.called(method))
    return slack.called(method)


def _blocks(asked: dict[str, Any]) -> list[dict[str, Any]]:
    blocks = asked["blocks"]
    return json.loads(blocks) if isinstance(blocks, str) else blocks
