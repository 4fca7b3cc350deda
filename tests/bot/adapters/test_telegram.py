"""The door to Telegram, with the real library, against a FAKE of the Bot API for what no third party emulates."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application
from pydantic import SecretStr

from bot.adapters.telegram import TelegramAdapter
from bot.config import TelegramConfig
from bot.domain.address import Address, Sender, SessionType
from bot.domain.clock import new_id
from bot.domain.errors import AdapterError, ChannelRefused, ChannelUnavailable, DeliveryRejected, DeliveryUnknown, StorageUnavailable
from bot.domain.finding import Status
from bot.domain.message import Attachment, Button, Inbound, InboundKind, Outgoing, OutgoingKind
from bot.domain.ports import Card, Door
from bot.domain.vocabulary import WORDS
from bot.hub.owner import name_myself
from storage.database import Database
from tests.bot.adapters.fake_telegram import (
    ALLAN,
    BOT,
    CUT,
    GROUP,
    PRIVATE,
    TOKEN,
    FakeTelegram,
    fake_telegram,
    message,
    press,
    refusal,
)
from tests.clock import FakeClock
from tests.machine import PATIENCE_SECONDS

SECRET = "the-secret"
UNREADABLE = refusal(400, "Bad Request: can't parse entities: Unsupported start tag")


@dataclass
class FakeReception:
    """FAKE: keeps what it is brought, unless the storage is away."""

    kept: list[Inbound] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, inbound: Inbound) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        self.kept.append(inbound)
        self.came.set()

    async def until(self, count: int) -> list[Inbound]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.kept) < count:
                self.came.clear()
                await self.came.wait()
        return self.kept

    async def overview(self, sender: Sender) -> Sequence[Card]:
        return ()

    async def draft(self, sender: Sender, code: str) -> str | None:
        return None


Open = Callable[..., TelegramAdapter]


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with fake_telegram() as running:
        yield running


@pytest.fixture
async def home(sqlite_file: Path) -> AsyncIterator[Database]:
    async with Database(f"sqlite+aiosqlite:///{sqlite_file}", organization="default") as opened:
        yield opened


@pytest.fixture
async def open_door(telegram: FakeTelegram, home: Database, clock: FakeClock) -> AsyncIterator[Open]:
    doors = []

    def open_it(*, owner: str = "here:1:a", token: str = TOKEN, mode: Any = "polling", api_url: str = "") -> TelegramAdapter:
        config = TelegramConfig(
            enabled=True, mode=mode, token=SecretStr(token), secret_token=SecretStr(SECRET), api_url=api_url or telegram.url
        )
        door = TelegramAdapter(config=config, database=home, clock=clock, owner=owner, public_url="https://robbie.example")
        door._look_seconds = door._watch_seconds = 0.01
        doors.append(door)
        return door

    yield open_it
    for door in doors:
        await door.close()


@pytest.fixture
def door(open_door: Open) -> TelegramAdapter:
    return open_door()


@asynccontextmanager
async def listening(door: TelegramAdapter, reception: FakeReception, told: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    task = asyncio.create_task(door.listen(reception, told))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def saying(text: str = "hello", *, conversation: str = "41", **more: Any) -> Outgoing:
    session = SessionType.SHARED if conversation.startswith("-") else SessionType.PRIVATE
    address = Address(channel="telegram", conversation=conversation, session_type=session)
    return Outgoing(id=new_id(), address=address, kind=OutgoingKind.ANSWER, text=text, **more)


# ── What comes in ──


async def test_door_keeps_the_contract(door: TelegramAdapter):
    as_promised: Door = door
    assert as_promised.channel == "telegram"
    assert (door.capabilities.buttons, door.capabilities.finds, list(door.routes)) == (True, False, [])


async def test_update_is_confirmed_only_once_it_is_kept(door: TelegramAdapter, telegram: FakeTelegram):
    reception = FakeReception(trouble=[StorageUnavailable("locked"), StorageUnavailable("locked")])
    telegram.happens(message=message("one"))
    telegram.happens(message=message("two", number=8))
    async with listening(door, reception):
        await telegram.until("getUpdates", count=4)
    assert [inbound.text for inbound in reception.kept] == ["one", "two"]
    assert [fields["offset"] for fields in telegram.asked("getUpdates")][:4] == [0, 0, 0, 3]
    assert "message_reaction" in telegram.asked("getUpdates")[0]["allowed_updates"]


async def test_ids_may_begin_anew_after_a_quiet_week(door: TelegramAdapter, telegram: FakeTelegram):
    telegram.waiting.append({"update_id": 900, "message": message("one")})
    async with listening(door, reception := FakeReception()):
        await telegram.until("getUpdates", count=3)
        telegram.waiting.append({"update_id": 5, "message": message("two", number=8)})
        await reception.until(2)


@pytest.mark.parametrize("trouble", [ValueError("a bug"), RecursionError()])
async def test_one_bad_event_does_not_hold_up_the_next(door: TelegramAdapter, telegram: FakeTelegram, trouble: Exception):
    reception = FakeReception(trouble=[trouble])
    telegram.happens(message=message("bad"))
    telegram.happens(message={"chat": "nonsense"})
    telegram.happens(message=message("good"))
    async with listening(door, reception):
        await reception.until(1)
    assert [inbound.text for inbound in reception.kept] == ["good"]


async def test_every_good_answer_is_a_sign_of_life(door: TelegramAdapter, telegram: FakeTelegram):
    told = asyncio.Event()
    async with listening(door, FakeReception(), told.set):
        for _ in range(4):
            await asyncio.wait_for(told.wait(), PATIENCE_SECONDS)
            told.clear()
    assert 0 < door.deaf_seconds < 30


async def test_polling_begins_with_no_webhook_and_a_menu(door: TelegramAdapter, telegram: FakeTelegram):
    async with listening(door, FakeReception()):
        await telegram.until("getUpdates")
    assert [name for name, _ in telegram.calls][:4] == ["getMe", "setMyCommands", "deleteWebhook", "getUpdates"]
    assert [each["command"] for each in telegram.asked("setMyCommands")[0]["commands"]] == list(WORDS)
    assert "drop_pending_updates" not in telegram.asked("deleteWebhook")[0]


async def test_only_one_polls_and_another_takes_over_at_once_after_a_stop(open_door: Open, telegram: FakeTelegram):
    first, second, reception, told = open_door(owner="here:1:a"), open_door(owner="there:1:b"), FakeReception(), asyncio.Event()
    async with listening(first, FakeReception()):
        await telegram.until("getUpdates")
        task = asyncio.create_task(second.listen(reception, told.set))
        for _ in range(3):  # it stands by, and says that it lives
            await asyncio.wait_for(told.wait(), PATIENCE_SECONDS)
            told.clear()
        assert len(telegram.asked("deleteWebhook")) == 1
    telegram.happens(message=message("hi"))
    await reception.until(1)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_lease_of_one_that_was_killed_runs_out_in_time(open_door: Open, telegram: FakeTelegram, home: Database, clock: FakeClock):
    assert await open_door(owner="elsewhere:1:killed")._lease.is_held()
    reception = FakeReception()
    telegram.happens(message=message("hi"))
    async with listening(open_door(), reception):
        await telegram.until("getMe")
        assert telegram.asked("getUpdates") == []
        clock.advance(seconds=20)
        await reception.until(1)


async def test_group_that_moved_keeps_its_conversation(door: TelegramAdapter, telegram: FakeTelegram, home: Database, clock: FakeClock):
    await group_conversation(home, clock, "-5")
    telegram.happens(message=message(chat={"id": -5, "type": "group"}, migrate_to_chat_id=-1001))
    telegram.happens(message=message("hi"))
    reception = FakeReception()
    async with listening(door, reception):
        await reception.until(1)
    async with home.reading() as work:
        assert await work.conversations.find(channel="telegram", key="-1001")


async def test_lease_of_one_that_died_here_is_taken_over_at_once(open_door: Open, telegram: FakeTelegram):
    dead = await asyncio.create_subprocess_exec("true")
    await dead.wait()
    here = socket.gethostname()
    assert await open_door(owner=f"{here}:{dead.pid}:killed")._lease.is_held()
    telegram.happens(message=message("hi"))
    async with listening(open_door(owner=name_myself()), reception := FakeReception()):
        await reception.until(1)


async def test_press_is_answered_and_cannot_be_repeated(door: TelegramAdapter, telegram: FakeTelegram):
    telegram.happens(callback_query=press("/approve 1", message("Send it?", user=BOT)))
    async with listening(door, reception := FakeReception()):
        (closed,) = await telegram.until("editMessageReplyMarkup")
        (answered,) = await telegram.until("answerCallbackQuery")
    assert reception.kept[0].kind is InboundKind.ACTION
    assert answered["callback_query_id"] == "q1"
    assert (closed["chat_id"], closed["message_id"], "reply_markup" in closed) == (41, 7, False)


async def test_press_in_a_group_leaves_the_choice_to_whoever_may_choose(door: TelegramAdapter, telegram: FakeTelegram):
    telegram.happens(callback_query=press("/approve 1", message("Send it?", chat=GROUP, user=BOT)))
    async with listening(door, FakeReception()):
        await telegram.until("answerCallbackQuery")
        await telegram.until("getUpdates", count=4)
    assert telegram.asked("editMessageText") == telegram.asked("editMessageReplyMarkup") == []


async def test_press_of_a_slider_leaves_it_to_be_pressed_again(door: TelegramAdapter, telegram: FakeTelegram):
    """The answer edits the message; to take the buttons away could come after it."""
    telegram.happens(callback_query=press("/gandhi +1", message("How I am", user=BOT)))
    async with listening(door, reception := FakeReception()):
        await telegram.until("answerCallbackQuery")
        await telegram.until("getUpdates", count=4)
        sliders = tuple(Button(label=f"{name} {sign}1", command=f"/{name} {sign}1") for name in ("gandhi", "cocktail") for sign in "-+")
        moods = tuple(Button(label=mood, command=f"/mood {mood}") for mood in ("calm", "warm", "serious", "playful"))
        await door.send(saying("How I am now", channel_message_id=reception.kept[0].target, buttons=sliders + moods))
    assert telegram.asked("editMessageReplyMarkup") == []
    (edited,) = telegram.asked("editMessageText")
    rows = edited["reply_markup"]["inline_keyboard"]
    assert (edited["chat_id"], edited["message_id"], [len(row) for row in rows]) == (41, 7, [2, 2, 3, 1])


async def test_courtesy_that_fails_troubles_nobody(door: TelegramAdapter, telegram: FakeTelegram):
    telegram.answers("answerCallbackQuery", refusal(400, "Bad Request: query is too old"))
    telegram.answers("editMessageReplyMarkup", refusal(429, "Too Many Requests", retry_after=300))
    telegram.answers("sendChatAction", CUT)
    telegram.happens(callback_query=press("/approve 1", {"chat": PRIVATE, "message_id": 7, "date": 0}))
    telegram.happens(message=message("hi"))
    async with listening(door, reception := FakeReception()):
        await telegram.until("editMessageReplyMarkup")
        await telegram.until("sendChatAction")
        telegram.happens(message=message("still there?", number=8))
        await reception.until(3)


async def test_typing_is_shown_in_private(door: TelegramAdapter, telegram: FakeTelegram):
    telegram.happens(message=message("@robbie_bot hi", chat=GROUP))
    telegram.happens(message=message("hi"))
    async with listening(door, reception := FakeReception()):
        await telegram.until("sendChatAction")
        await reception.until(2)
        await telegram.until("getUpdates", count=4)
    assert [(each["chat_id"], each["action"]) for each in telegram.asked("sendChatAction")] == [(41, "typing")]


@pytest.mark.parametrize(
    ("method", "answer", "error"),
    [
        ("getMe", refusal(401, "Unauthorized"), ChannelRefused),
        ("getMe", refusal(502, "Bad Gateway"), ChannelUnavailable),
        ("getMe", {"ok": True, "result": None}, ChannelUnavailable),
        ("getUpdates", refusal(401, "Unauthorized"), ChannelRefused),
        ("getUpdates", refusal(409, "Conflict: terminated by other getUpdates request"), ChannelUnavailable),
        ("getUpdates", refusal(429, "Too Many Requests", retry_after=60), ChannelUnavailable),
        ("getUpdates", {"ok": True, "result": {"not": "a list"}}, ChannelUnavailable),
        ("getUpdates", {"ok": True}, ChannelUnavailable),
        ("getUpdates", CUT, ChannelUnavailable),
    ],
)
async def test_listening_ends_with_what_went_wrong(door: TelegramAdapter, telegram: FakeTelegram, method: str, answer: Any, error: Any):
    telegram.answers(method, answer)
    with pytest.raises(error):
        await asyncio.wait_for(door.listen(FakeReception(), lambda: None), PATIENCE_SECONDS)


# ── Being called ──


@asynccontextmanager
async def called(door: TelegramAdapter) -> AsyncIterator[Callable[..., Any]]:
    app = Application()
    app.add_routes(door.routes)
    async with TestClient(TestServer(app)) as client:

        async def call(update: Any, *, secret: str = SECRET) -> int:
            body = {"data": update} if isinstance(update, bytes) else {"json": update}
            async with client.post("/telegram/webhook", headers={"X-Telegram-Bot-Api-Secret-Token": secret}, **body) as answer:
                return answer.status

        yield call


async def test_webhook_is_set_and_what_it_brings_is_kept(open_door: Open, telegram: FakeTelegram):
    door, reception = open_door(mode="webhook"), FakeReception()
    async with called(door) as call, listening(door, reception):
        (told,) = await telegram.until("setWebhook")
        assert await call({"update_id": 1, "message": message("hi")}) == 200
        reception.trouble.append(StorageUnavailable("locked"))
        assert await call({"update_id": 2, "message": message("again", number=8)}) == 503  # Telegram tries again
        assert await call({"update_id": 2, "message": message("again", number=8)}) == 200
    assert [inbound.text for inbound in reception.kept] == ["hi", "again"]
    assert (told["url"], told["secret_token"]) == ("https://robbie.example/telegram/webhook", SECRET)
    assert "message_reaction" in told["allowed_updates"]


@pytest.mark.parametrize("secret", ["", "wrong", "thé-sécret"])
async def test_wrong_secret_is_turned_away_and_nothing_kept(open_door: Open, telegram: FakeTelegram, secret: str):
    door, reception = open_door(mode="webhook"), FakeReception()
    async with called(door) as call, listening(door, reception):
        await telegram.until("setWebhook")
        assert await call({"update_id": 1, "message": message("hi")}, secret=secret) == 401
    assert reception.kept == []


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b"\xff", b"[]", b"7", b"{}"])
async def test_nonsense_with_the_right_secret_is_passed_by(open_door: Open, telegram: FakeTelegram, body: bytes):
    door, reception = open_door(mode="webhook"), FakeReception()
    async with called(door) as call, listening(door, reception):
        await telegram.until("setWebhook")
        assert await call(body) == 200
    assert reception.kept == []


async def test_webhook_serves_nobody_while_nobody_listens(open_door: Open):
    async with called(open_door(mode="webhook")) as call:
        assert await call({"update_id": 1, "message": message("hi")}) == 503


async def test_webhook_that_another_program_took_is_set_again(open_door: Open, telegram: FakeTelegram):
    async with listening(open_door(mode="webhook"), FakeReception()):
        await telegram.until("getWebhookInfo")
        telegram.webhook["url"] = "https://elsewhere.example"
        assert len(await telegram.until("setWebhook", count=2)) == 2


async def test_webhook_that_telegram_will_not_have_is_the_owners_to_repair(open_door: Open, telegram: FakeTelegram):
    telegram.answers("setWebhook", refusal(400, "Bad Request: bad webhook: HTTPS url must be provided for webhook"))
    with pytest.raises(ChannelRefused, match="https"):
        await open_door(mode="webhook").listen(FakeReception(), lambda: None)


# ── What goes out ──


async def test_answer_is_formatted_and_shows_no_previews(door: TelegramAdapter, telegram: FakeTelegram):
    sent = await door.send(saying("**bold** & <b>raw</b>"))
    (told,) = telegram.asked("sendMessage")
    assert (told["text"], told["parse_mode"]) == ("<b>bold</b> &amp; &lt;b&gt;raw&lt;/b&gt;", "HTML")
    assert told["link_preview_options"] == {"is_disabled": True}
    assert sent.channel_message_id == "41:500"


async def test_answer_in_a_topic_answers_its_question(door: TelegramAdapter, telegram: FakeTelegram):
    await door.send(saying("a" * 5000, conversation="-1001/3", reply_to="-1001:7"))
    first, second = telegram.asked("sendMessage")
    assert (first["chat_id"], first["message_thread_id"]) == (-1001, 3)
    assert first["reply_parameters"] == {"message_id": 7, "allow_sending_without_reply": True}
    assert "reply_parameters" not in second


@pytest.mark.parametrize(("conversation", "reply_to"), [("41", "41:7"), ("-1001", "update:9"), ("-1001", None), ("-1001", "-5:7")])
async def test_nothing_else_is_answered_visibly(door: TelegramAdapter, telegram: FakeTelegram, conversation: str, reply_to: str | None):
    await door.send(saying(conversation=conversation, reply_to=reply_to))
    assert "reply_parameters" not in telegram.asked("sendMessage")[0]


async def test_long_answer_is_split_and_the_last_part_has_the_buttons(door: TelegramAdapter, telegram: FakeTelegram):
    buttons = (Button(label="Yes", command="/approve 1"), Button(label="Let me change it first", command="/edit 1"))
    sent = await door.send(saying("😀" * 3000, buttons=buttons))
    first, last = telegram.asked("sendMessage")
    assert all(len(each["text"].encode("utf-16-le")) // 2 <= 4096 for each in (first, last))
    assert "reply_markup" not in first
    assert [[key["callback_data"] for key in row] for row in last["reply_markup"]["inline_keyboard"]] == [["/approve 1"], ["/edit 1"]]
    assert sent.channel_message_id == "41:500,41:501"


async def test_formatting_that_is_refused_is_sent_once_more_as_plain_text(door: TelegramAdapter, telegram: FakeTelegram):
    telegram.answers("sendMessage", UNREADABLE)
    await door.send(saying("**1 < 2**"))
    first, second = telegram.asked("sendMessage")
    assert (first["text"], second["text"]) == ("<b>1 &lt; 2</b>", "1 < 2")
    assert "parse_mode" not in second


async def test_second_refusal_is_the_end_of_it(door: TelegramAdapter, telegram: FakeTelegram):
    telegram.answers("sendMessage", UNREADABLE, refusal(400, "Bad Request: message is too long"))
    with pytest.raises(DeliveryRejected, match="too long"):
        await door.send(saying())
    assert len(telegram.asked("sendMessage")) == 2


async def test_rest_that_telegram_asks_for_is_for_the_ledger_to_take(door: TelegramAdapter, telegram: FakeTelegram):
    telegram.answers("sendMessage", refusal(429, "Too Many Requests: retry after 35", retry_after=35))
    with pytest.raises(ChannelUnavailable) as caught:
        await door.send(saying("**hi**"))
    assert caught.value.retry_after == 35
    assert len(telegram.asked("sendMessage")) == 1, "a rest is no formatting failure"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal(403, "Forbidden: bot was blocked by the user"), DeliveryRejected),
        (refusal(400, "Bad Request: chat not found"), DeliveryRejected),
        (refusal(413, "Request Entity Too Large"), DeliveryRejected),
        (refusal(401, "Unauthorized"), ChannelRefused),
        (refusal(502, "Bad Gateway"), ChannelUnavailable),
        (refusal(500, "Internal Server Error"), ChannelUnavailable),
        (CUT, DeliveryUnknown),
        ({"ok": True}, DeliveryUnknown),
    ],
)
async def test_what_goes_wrong_is_told_by_its_kind(door: TelegramAdapter, telegram: FakeTelegram, answer: Any, error: type[AdapterError]):
    telegram.answers("sendMessage", answer)
    with pytest.raises(AdapterError) as caught:
        await door.send(saying())
    assert type(caught.value) is error


async def test_nobody_at_the_other_end_is_certain_not_to_have_it(open_door: Open):
    with pytest.raises(ChannelUnavailable):
        await open_door(api_url="http://127.0.0.1:9/bot").send(saying())


async def test_secret_is_in_no_error_and_no_log(open_door: Open, telegram: FakeTelegram, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    telegram.answers("sendMessage", refusal(400, f"Bad Request: {telegram.url}{TOKEN}/sendMessage"), CUT)
    words = []
    for door in (open_door(), open_door(), open_door(api_url="http://127.0.0.1:9/bot")):
        with pytest.raises(AdapterError) as caught:
            await door.send(saying())
        assert caught.value.__suppress_context__
        words.append(str(caught.value))
    assert "secret-token" not in "".join([*words, caplog.text]).lower()


async def test_retry_goes_on_where_it_was_interrupted(door: TelegramAdapter, telegram: FakeTelegram):
    outgoing = saying("a" * 9000)
    telegram.answers("sendMessage", {"ok": True, "result": message(number=500)}, refusal(502, "Bad Gateway"))
    with pytest.raises(ChannelUnavailable) as caught:
        await door.send(outgoing)
    assert caught.value.sent == "41:500"
    sent = await door.send(replace(outgoing, channel_message_id=caught.value.sent))
    assert [each["message_id"] for each in telegram.asked("editMessageText")] == [500]
    assert (len(telegram.asked("sendMessage")), sent.channel_message_id) == (4, "41:500,41:500,41:501")


async def test_interrupted_edit_forgets_none_of_the_old_parts(door: TelegramAdapter, telegram: FakeTelegram):
    telegram.answers("editMessageText", {"ok": True, "result": True}, CUT)
    with pytest.raises(ChannelUnavailable) as caught:  # an edit may be repeated
        await door.send(saying("a" * 9000, channel_message_id="41:1,41:2,41:3"))
    assert caught.value.sent == "41:1,41:2,41:3"


async def test_shown_messages_become_the_answer(door: TelegramAdapter, telegram: FakeTelegram):
    """The first two are edited (one has it already), the third is gone and said anew."""
    telegram.answers(
        "editMessageText",
        {"ok": True, "result": True},
        refusal(400, "Bad Request: message is not modified: exactly the same"),
        refusal(400, "Bad Request: message to edit not found"),
    )
    sent = await door.send(saying("a" * 9000, channel_message_id="41:1,41:2,41:3"))
    assert sent.channel_message_id == "41:1,41:2,41:500"


async def test_message_for_a_group_that_moved_follows_it(door: TelegramAdapter, telegram: FakeTelegram, home: Database, clock: FakeClock):
    """The ledger tries it again at once, in the conversation as it is called now."""
    await group_conversation(home, clock, "-5")
    telegram.answers("sendMessage", refusal(400, "Bad Request: group chat was upgraded", migrate_to_chat_id=-1001))
    with pytest.raises(ChannelUnavailable) as caught:
        await door.send(saying(conversation="-5"))
    assert caught.value.retry_after == 0
    async with home.reading() as work:
        assert await work.conversations.find(channel="telegram", key="-1001")


@pytest.mark.parametrize(
    ("media_type", "method", "part"),
    [
        ("image/png", "sendPhoto", "photo"),
        ("audio/ogg", "sendVoice", "voice"),
        ("application/pdf", "sendDocument", "document"),
    ],
)
async def test_file_is_sent_as_what_it_is(
    door: TelegramAdapter, telegram: FakeTelegram, tmp_path: Path, media_type: str, method: str, part: str
):
    (tmp_path / "it").write_bytes(b"content")
    attachment = Attachment(name="it.bin", media_type=media_type, path=tmp_path / "it")
    sent = await door.send(saying(attachments=(attachment,)))
    assert telegram.asked(method)[0][part] == ("it.bin", b"content")
    assert sent.channel_message_id == "41:500,41:501"
    await door.send(saying(attachments=(attachment,), channel_message_id=sent.channel_message_id))
    assert len(telegram.asked(method)) == 1


async def test_picture_that_telegram_will_not_show_is_a_document(door: TelegramAdapter, telegram: FakeTelegram, tmp_path: Path):
    telegram.answers("sendPhoto", refusal(400, "Bad Request: PHOTO_INVALID_DIMENSIONS"))
    (tmp_path / "it").write_bytes(b"content")
    await door.send(saying("", attachments=(Attachment(name="it.png", media_type="image/png", path=tmp_path / "it"),)))
    assert telegram.asked("sendDocument")[0]["document"] == ("it.png", b"content")


async def test_what_cannot_be_sent_is_refused_and_what_was_is_told(door: TelegramAdapter, tmp_path: Path):
    with pytest.raises(DeliveryRejected) as caught:
        await door.send(saying(attachments=(Attachment(name="gone", path=tmp_path / "gone"),)))
    assert caught.value.sent == "41:500"
    with pytest.raises(DeliveryRejected):
        await door.send(saying(" "))


# ── A growing answer ──


async def test_growing_answer_in_private_is_a_draft(door: TelegramAdapter, telegram: FakeTelegram):
    outgoing = saying("**he", conversation="41/3")
    for text in ("**he", "**hello**"):
        assert (await door.show(replace(outgoing, text=text))).channel_message_id is None
    first, second = telegram.asked("sendMessageDraft")
    assert (first["chat_id"], first["message_thread_id"], second["text"]) == (41, 3, "<b>hello</b>")
    assert first["draft_id"] == second["draft_id"] != 0
    await door.send(replace(outgoing, text="**hello**"))
    assert len(telegram.asked("sendMessage")) == 1


@pytest.mark.parametrize("answer", [refusal(404, "Not Found"), refusal(400, "Bad Request: TEXTDRAFT_PEER_INVALID")])
async def test_where_there_are_no_drafts_a_message_grows(door: TelegramAdapter, telegram: FakeTelegram, answer: Any):
    telegram.answers("sendMessageDraft", answer)
    shown = await door.show(saying("he"))
    shown = await door.show(saying("hello", channel_message_id=shown.channel_message_id))
    await door.send(saying("hello!", channel_message_id=shown.channel_message_id))
    assert [each["text"] for each in telegram.asked("editMessageText")] == ["hello", "hello!"]
    assert (len(telegram.asked("sendMessage")), len(telegram.asked("sendMessageDraft"))) == (1, 1)


async def test_growing_answer_in_a_group_is_shown_seldom(door: TelegramAdapter, telegram: FakeTelegram):
    shown = await door.show(saying("he", conversation="-1001", reply_to="-1001:7"))
    for text in ("hel", "hell"):
        shown = await door.show(saying(text, conversation="-1001", channel_message_id=shown.channel_message_id))
    assert shown.channel_message_id == "-1001:500"
    assert [each["reply_parameters"]["message_id"] for each in telegram.asked("sendMessage")] == [7]
    assert telegram.asked("editMessageText") == telegram.asked("sendMessageDraft") == []


async def test_draft_does_not_wait_for_a_rest(door: TelegramAdapter, telegram: FakeTelegram):
    telegram.answers("sendMessageDraft", refusal(429, "Too Many Requests", retry_after=3))
    with pytest.raises(ChannelUnavailable) as caught:
        await door.show(saying("he"))
    assert caught.value.retry_after == 3


# ── Files and health ──


async def test_file_is_fetched(door: TelegramAdapter, telegram: FakeTelegram, tmp_path: Path):
    telegram.files["files/F1"] = b"x" * 300_000
    await door.fetch(Attachment(name="a", source="F1"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"x" * 300_000


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal(400, "Bad Request: file is too big"), DeliveryRejected),
        ({"ok": True, "result": {"file_id": "F1", "file_unique_id": "U", "file_path": "files/gone"}}, AdapterError),
        ({"ok": True, "result": {"file_id": "F1", "file_unique_id": "U"}}, ChannelUnavailable),
        (CUT, ChannelUnavailable),
    ],
)
async def test_file_that_cannot_be_had_leaves_nothing(
    door: TelegramAdapter, telegram: FakeTelegram, tmp_path: Path, answer: Any, error: Any
):
    telegram.answers("getFile", answer)
    with pytest.raises(error):
        await door.fetch(Attachment(name="a", source="F1"), tmp_path / "a")
    assert list(tmp_path.glob("a")) == []


async def test_healthy_bot_is_found_so(door: TelegramAdapter):
    findings = await door.examine()
    assert {finding.part: finding.status for finding in findings} == {
        "telegram token": Status.OK,
        "telegram groups": Status.OK,
        "telegram webhook": Status.OK,
    }
    assert findings[0].detail == "@robbie_bot"


async def test_wrong_token_is_a_failure_with_its_repair(open_door: Open):
    (finding,) = await open_door(token="1:revoked").examine()
    assert (finding.part, finding.status) == ("telegram token", Status.FAIL)
    assert "BotFather" in finding.repair
    assert "revoked" not in finding.detail


async def test_telegram_that_cannot_be_reached_is_down(open_door: Open):
    (finding,) = await open_door(api_url="http://127.0.0.1:9/bot").examine()
    assert (finding.part, finding.status) == ("telegram token", Status.FAIL)


@pytest.mark.parametrize(
    ("mode", "info", "words"),
    [
        ("polling", {"url": f"https://elsewhere.example/{TOKEN}"}, "calls elsewhere.example"),
        ("webhook", {"url": ""}, "calls nobody"),
        (
            "webhook",
            {
                "url": "https://robbie.example/telegram/webhook",
                "last_error_message": "SSL error",
                "last_error_date": message()["date"] - 9,
            },
            "SSL error; 0 updates wait",
        ),
    ],
)
async def test_webhook_that_is_not_as_it_should_be_is_told(
    open_door: Open, telegram: FakeTelegram, mode: str, info: dict[str, Any], words: str
):
    telegram.webhook = info
    finding = (await open_door(mode=mode).examine())[-1]
    assert (finding.part, finding.status) == ("telegram webhook", Status.WARN)
    assert words in finding.detail
    assert TOKEN not in finding.detail
    assert finding.repair


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "privacy mode is on"),
        ({"can_read_all_group_messages": True}, "privacy mode is off"),
        ({"can_join_groups": False}, "cannot be added"),
    ],
)
async def test_privacy_mode_is_explained(door: TelegramAdapter, telegram: FakeTelegram, told: dict[str, Any], words: str):
    telegram.me.update(told)
    assert words in (await door.examine())[1].detail


async def group_conversation(home: Database, clock: FakeClock, key: str) -> None:
    now = clock.now()
    async with home.unit_of_work() as work:
        await work.people.ensure_organization(now)
        allan = await work.people.ensure_user(name=ALLAN["first_name"], role="owner", timezone="UTC", now=now)
        await work.conversations.ensure(channel="telegram", key=key, user_id=allan.id, session_type="shared", now=now)
