"""The servers that the doors are tested against do what those tests lean on, with the clients that the doors use."""

from __future__ import annotations

import asyncio
import imaplib
from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Any

import aiosmtplib
import imap_tools
import pytest
import telegram as ptb
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.e2e.mail_server import ALLAN, OUTSIDER, PASSWORDS, ROBBIE, MailServer
from tests.e2e.shim import serving, until
from tests.e2e.slack_server import ALLAN as IN_SLACK
from tests.e2e.slack_server import APP_TOKEN, BOT, BOT_TOKEN, GENERAL, SIGNING_SECRET, SlackServer
from tests.e2e.telegram_server import CallingTelegram, PolledTelegram
from tests.e2e.telegram_shim import TOKEN, BotApi
from tests.machine import PATIENCE_SECONDS, free_port

pytestmark = pytest.mark.e2e

YES = {"type": "button", "action_id": "yes", "text": {"type": "plain_text", "text": "Yes"}}
WORD = {"type": "input", "block_id": "word", "label": {"type": "plain_text", "text": "Word"}}
MODAL = {
    "type": "modal",
    "callback_id": "modal",
    "title": {"type": "plain_text", "text": "Modal"},
    "blocks": [{**WORD, "element": {"type": "plain_text_input", "action_id": "it"}}],
}


class Bot:
    """A bot of bolt's that notes what it hears, says it again with a button, and opens a modal for whoever presses it."""

    def __init__(self, server: SlackServer) -> None:
        self.client = AsyncWebClient(token=BOT_TOKEN, base_url=server.api_url)
        self.app = AsyncApp(client=self.client, signing_secret=SIGNING_SECRET)
        self.heard: list[Any] = []
        self.app.event("message")(self.hear)
        self.app.event("app_mention")(self.note)
        self.app.event("reaction_added")(self.note)
        self.app.event("app_home_opened")(self.show_home)
        self.app.command("/note")(self.command)
        self.app.action("yes")(self.press)
        self.app.view("modal")(self.submit)

    async def has_heard(self, *kinds: str) -> None:
        """Wait until these are the last that it heard of."""

        async def are_last() -> bool:
            return [kind for kind, _ in self.heard[-len(kinds) :]] == list(kinds)

        await until(are_last)

    async def hear(self, event: dict[str, Any], body: dict[str, Any]) -> None:
        self.heard.append((event.get("subtype", "message"), body["event_id"]))
        if "subtype" not in event:
            blocks = [{"type": "actions", "elements": [YES]}]
            metadata = {"event_type": "robbie", "event_payload": {"id": "1"}}
            await self.client.chat_postMessage(channel=event["channel"], text=event["text"], blocks=blocks, metadata=metadata)

    async def note(self, event: dict[str, Any], body: dict[str, Any]) -> None:
        self.heard.append((event["type"], body["event_id"]))

    async def show_home(self, event: dict[str, Any]) -> None:
        await self.client.views_publish(user_id=event["user"], view={"type": "home", "blocks": []})

    async def command(self, ack: Any, body: dict[str, Any]) -> None:
        await ack(response_type="ephemeral", text=f"noted: {body['text']}")

    async def press(self, ack: Any, body: dict[str, Any]) -> None:
        await ack()
        await self.client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    async def submit(self, ack: Any, body: dict[str, Any]) -> None:
        await ack()
        self.heard.append(("submitted", body["view"]["state"]["values"]["word"]["it"]["value"]))


@pytest.fixture
async def bot(slack: SlackServer) -> AsyncIterator[Bot]:
    """A bot that listens by Socket Mode."""
    listening = Bot(slack)
    connects = AsyncWebClient(token=APP_TOKEN, base_url=slack.api_url)
    handler = AsyncSocketModeHandler(listening.app, APP_TOKEN, web_client=connects, ping_interval=1)
    await handler.connect_async()
    await slack.connected()
    yield listening
    await handler.close_async()


async def test_slack_carries_words_commands_presses_modals_and_what_becomes_of_messages(slack: SlackServer, bot: Bot):
    asked = await slack.message(f"<@{BOT}> hello")
    [answer] = await slack.said()
    assert answer["text"] == f"<@{BOT}> hello"
    await bot.has_heard("message", "app_mention")

    async def payload() -> Any:
        history = await bot.client.conversations_history(channel=GENERAL, include_all_metadata=True)
        return history["messages"][0].get("metadata", {}).get("event_payload")

    assert await until(payload) == {"id": "1"}

    await slack.command("/note", "milk")
    assert (await slack.said(count=2))[-1]["text"] == "noted: milk"
    await slack.press(answer, "yes")
    await until(slack.modals)
    await slack.submit({"word": {"it": {"type": "plain_text_input", "value": "typed"}}})
    await bot.has_heard("submitted")
    assert bot.heard[-1] == ("submitted", "typed")

    await slack.react(asked, "thumbsup")
    await slack.edit(asked, "bye")
    await slack.delete(asked)
    await bot.has_heard("reaction_added", "message_changed", "message_deleted")
    await slack.open_home()
    assert await until(slack.home)
    await slack.message("in private", channel=IN_SLACK)
    assert [message["text"] for message in await slack.said(IN_SLACK)] == ["in private"]


async def test_slack_repeats_limits_falls_and_comes_back(slack: SlackServer, bot: Bot):
    await slack.message("once")
    await slack.said()
    await slack.redeliver()
    await slack.said(count=2)
    assert bot.heard[0] == bot.heard[1], "a repeat has the event id of the first"

    slack.faults.add("chat.postMessage", status=429, headers={"Retry-After": "1"}, body={"ok": False, "error": "ratelimited"})
    with pytest.raises(SlackApiError) as refused:
        await bot.client.chat_postMessage(channel=GENERAL, text="too much")
    assert refused.value.response.headers["Retry-After"] == "1"

    await slack.stop()
    await slack.start()
    await slack.connected()
    await slack.message("again")
    assert (await slack.said())[-1]["text"] == "again"


async def test_slack_calls_by_signed_http(slack_over_http: SlackServer):
    slack, bot = slack_over_http, Bot(slack_over_http)

    async def dispatch(request: web.Request) -> web.StreamResponse:
        return await to_aiohttp_response(await bot.app.async_dispatch(await to_bolt_request(request)))

    async with serving(dispatch, port=int(slack.request_url.split(":")[2].split("/")[0])):
        await slack.message("hello")
        await slack.said()
        await slack.redeliver()
        await slack.said(count=2)
        assert bot.heard[0] == bot.heard[1]
        assert "challenge-of-the-test" in await slack.verify_url()
        assert (await slack.post("{}", secret="wrong"))[0] == 401


def ptb_bot(server: BotApi, token: str = TOKEN) -> Any:
    return ptb.Bot(token, base_url=f"{server.url}/bot", base_file_url=f"{server.url}/file/bot")


def keyboard(data: str) -> Any:
    return {"inline_keyboard": [[{"text": "Yes", "callback_data": data}]]}


async def test_telegram_gives_an_update_until_it_is_confirmed(telegram: PolledTelegram):
    async with ptb_bot(telegram) as bot:
        await telegram.message("hello")
        [update] = await bot.get_updates(timeout=30)
        assert [update] == list(await bot.get_updates())
        waiting = asyncio.create_task(bot.get_updates(offset=update.update_id + 1, timeout=30))
        await telegram.message("/start", chat={"id": -5, "type": "supergroup", "title": "A group"}, message_thread_id=7)
        [update] = await waiting
        assert (update.message.text, update.message.message_thread_id, update.message.entities[0].type) == ("/start", 7, "bot_command")


@pytest.mark.filterwarnings("ignore:Deprecated since version v22.2")  # comes with every RetryAfter
async def test_telegram_takes_edits_presses_and_refuses_as_telegram_does(telegram: PolledTelegram):
    async with ptb_bot(telegram) as bot:
        sent = await bot.send_message(41, "<b>Well?</b>", parse_mode="HTML", reply_markup=keyboard("y"))
        [message] = await telegram.said()
        assert (message["text"], message["raw"]) == ("Well?", "<b>Well?</b>")
        await telegram.press(message, "Yes")
        [update] = await bot.get_updates()
        assert (update.callback_query.data, update.callback_query.message.message_id) == ("y", sent.message_id)
        assert await update.callback_query.answer()
        assert (await bot.edit_message_text("Well.", chat_id=41, message_id=sent.message_id)).text == "Well."
        for wrong in ({"text": "<b>", "parse_mode": "HTML"}, {"text": "x" * 4097}, {"text": "Well?", "reply_markup": keyboard("x" * 65)}):
            with pytest.raises(ptb.error.BadRequest):
                await bot.send_message(41, **wrong)
        telegram.fail("sendMessage", 429, "Too Many Requests: retry after 1", retry_after=1)
        with pytest.raises(ptb.error.RetryAfter):
            await bot.send_message(41, "too much")
        with pytest.raises(ptb.error.InvalidToken):
            async with ptb_bot(telegram, "1:wrong"):
                pass


async def test_telegram_calls_with_the_secret(telegram_over_http: CallingTelegram):
    telegram, secrets = telegram_over_http, []

    async def hook(request: web.Request) -> web.StreamResponse:
        secrets.append((await request.json(), request.headers.get("X-Telegram-Bot-Api-Secret-Token")))
        return web.Response()

    port = free_port()
    async with serving(hook, port=port), ptb_bot(telegram) as bot:
        await bot.set_webhook(f"http://127.0.0.1:{port}/", secret_token="secret")
        assert await telegram.message("hello") == 200
        sent = await bot.send_message(41, "Well?", reply_markup=keyboard("y"))
        await telegram.press((await telegram.said())[0], "Yes")
        await telegram.redeliver()
        await bot.edit_message_text("Well.", chat_id=41, message_id=sent.message_id)
    assert [secret for _, secret in secrets] == ["secret"] * 3
    assert secrets[0][0]["message"]["text"] == "hello"
    assert secrets[1] == secrets[2]
    assert [answer["method"] for answer in await telegram.responses()] == ["sendMessage", "editMessageText"]


def letter(subject: str) -> EmailMessage:
    written = EmailMessage()
    written["From"], written["To"], written["Subject"] = OUTSIDER, ROBBIE, subject
    written.set_content("Hello.")
    return written


def mailbox(mail: MailServer, transport: str) -> Any:
    ports = mail.ports
    if transport == "none":
        return imap_tools.MailBoxUnencrypted("127.0.0.1", ports["imap"])
    if transport == "starttls":
        return imap_tools.MailBoxStartTls("localhost", ports["imap"], ssl_context=mail.trust)
    return imap_tools.MailBox("localhost", ports["imaps"], ssl_context=mail.trust)


SUBMISSION = {
    "none": ("smtp", {"start_tls": False}),
    "starttls": ("smtp_starttls", {"start_tls": True}),
    "tls": ("smtps", {"use_tls": True}),
}


@pytest.mark.parametrize("transport", SUBMISSION)
async def test_mail_goes_and_comes_and_wakes_who_waits(mail: MailServer, transport: str):
    port, how = SUBMISSION[transport]
    with mailbox(mail, transport).login(ROBBIE, PASSWORDS[ROBBIE]) as box, box.idle as idle:
        waiting = asyncio.create_task(asyncio.to_thread(idle.poll, timeout=PATIENCE_SECONDS))
        trust = {} if transport == "none" else {"tls_context": mail.trust}
        account = {"username": ALLAN, "password": PASSWORDS[ALLAN]}
        await aiosmtplib.send(letter("awake"), sender=ALLAN, hostname="localhost", port=mail.ports[port], **account, **how, **trust)
        assert any(b"EXISTS" in told for told in await waiting)
    with mailbox(mail, transport).login(ROBBIE, PASSWORDS[ROBBIE]) as box:
        assert [message.subject for message in box.fetch()] == ["awake"]
        assert {folder.name for folder in box.folder.list()} == {"INBOX", "Sent", "Junk"}


async def test_mail_host_says_bye_bounces_and_wants_the_right_token(mail: MailServer):
    await mail.deliver(letter("from outside"))
    box = mailbox(mail, "tls").login(ROBBIE, PASSWORDS[ROBBIE])
    box.idle.start()
    mail.bye()
    while not (told := box.idle.poll(timeout=1)):
        mail.bye()  # a line may be too new to be known
    assert told[0].startswith(b"* BYE")
    with pytest.raises(imaplib.IMAP4.abort):
        box.idle.stop()
    box.client.shutdown()
    await mail.submit(letter("to nobody"), user=ROBBIE, to=["nobody@elsewhere.test"])
    [_, bounce] = await mail.mail(ROBBIE, count=2)
    assert (bounce["Return-Path"], bounce.get_content_type()) == ("<>", "multipart/report")
    mail.tokens["token"] = ROBBIE
    with mailbox(mail, "tls").xoauth2(ROBBIE, "token") as box:
        assert len(box.uids()) == 2
    stranger = mailbox(mail, "tls")
    with pytest.raises(imaplib.IMAP4.error):
        stranger.xoauth2(ROBBIE, "another token")
    stranger.client.shutdown()


async def test_mail_host_keeps_the_mail_while_it_is_down(mail: MailServer):
    await mail.deliver(letter("kept"))
    mail.stop()
    mail.start()
    with mailbox(mail, "starttls").login(ROBBIE, PASSWORDS[ROBBIE]) as box:
        assert [message.subject for message in box.fetch()] == ["kept"]
