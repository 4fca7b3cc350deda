"""What both emulators of Telegram lack before an unmodified bot library can talk to them: a labelled part of ours.

It hands sendMessage, editMessageText, editMessageReplyMarkup, deleteMessage, answerCallbackQuery and getMe to the emulator and turns the
answers into what the Bot API documents. It refuses, in Telegram's words, what Telegram refuses: a wrong token, an empty or too long text,
HTML that cannot be parsed, callback data over 64 bytes, an edit that changes nothing or of an unknown message. It alone answers drafts,
reactions, chat actions, commands, getChat, files and media: these are recorded in `calls`, not checked. Anything else is "Not Found", which
is what an unknown method is told.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import aiohttp
from aiohttp import web

from tests.e2e.shim import Emulator, Faults, until

TOKEN = "1234567890:token-of-the-test"
BOT: dict[str, Any] = {"id": 1234567890, "is_bot": True, "first_name": "Robbie", "username": "robbie_bot", "can_join_groups": True}
ALLAN: dict[str, Any] = {"id": 41, "is_bot": False, "first_name": "Allan", "username": "allan"}
GRACE: dict[str, Any] = {"id": 42, "is_bot": False, "first_name": "Grace", "username": "grace"}

Fields = dict[str, Any]

TEXT_LIMIT = 4096  # UTF-16 code units, after parsing
CALLBACK_BYTES = 64
TAGS = {"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "span", "tg-spoiler", "a", "tg-emoji", "code", "pre", "blockquote"}
MEDIA = {"sendDocument": "document", "sendPhoto": "photo", "sendVoice": "voice", "sendAudio": "audio", "sendVideo": "video"}
TRUE = {
    "sendChatAction",
    "sendMessageDraft",
    "setMessageReaction",
    "setMyCommands",
    "deleteMyCommands",
    "setChatMenuButton",
    "pinChatMessage",
}
GIFTS = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")


class Refused(Exception):
    """What Telegram answers with `ok: false`."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.answer = {"ok": False, "error_code": code, "description": description}
        self.code = code


@dataclass(frozen=True)
class Call:
    """What the bot asked for: the method's name, its fields, the files that came with it by field."""

    method: str
    fields: Fields
    files: dict[str, bytes]


class BotApi(ABC):
    """The Bot API as the bot sees it. `url + "/bot"` is a library's base_url, `url + "/file/bot"` its base_file_url."""

    def __init__(self, url: str, emulator: Emulator) -> None:
        self.url = url
        self.faults = Faults()
        self.calls: list[Call] = []
        self.messages: list[Fields] = []
        """The bot's messages as they stand, oldest first: `raw` is the text as it was sent, with its markup."""
        self.files: dict[str, bytes] = {}
        """What getFile and the download give, by file_id: the test puts it there."""
        self._emulator = emulator
        self._ids = itertools.count(1_000_000)

    def called(self, method: str) -> list[Fields]:
        """The fields of every call of *method*."""
        return [call.fields for call in self.calls if call.method == method]

    async def said(self, chat_id: int = ALLAN["id"], *, count: int = 1) -> list[Fields]:
        """The bot's messages in a chat, once there are *count*. Raises TimeoutError."""

        async def enough() -> list[Fields] | None:
            found = [message for message in self.messages if message["chat"]["id"] == chat_id]
            return found if len(found) >= count else None

        found: list[Fields] = await until(enough)
        return found

    def fail(self, method: str, code: int, description: str, *, times: int = 1, retry_after: int | None = None) -> None:
        """Let *method* be answered by an error, such as 429 "Too Many Requests: retry after 1"."""
        parameters = {"parameters": {"retry_after": retry_after}} if retry_after is not None else {}
        body = {"ok": False, "error_code": code, "description": description, **parameters}
        self.faults.add(f"/{method}", status=code, body=body, times=times)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of the bot."""
        first, _, rest = request.path.strip("/").partition("/")
        if first == "file":
            content = self.files.get(rest.rpartition("/")[2])
            return web.Response(status=404) if content is None else web.Response(body=content)
        call = await read_call(request, rest)
        self.calls.append(call)
        try:
            if first != f"bot{TOKEN}":
                raise Refused(401, "Unauthorized")
            return web.json_response({"ok": True, "result": public(await self.answer(call))})
        except Refused as refused:
            return web.json_response(refused.answer, status=refused.code)

    async def answer(self, call: Call) -> Any:
        """The result of a call. Raises Refused."""
        fields = call.fields
        match call.method:
            case "getMe":
                return {**(await self.pass_on(call))["result"], **BOT}
            case "sendMessage":
                return await self._send(call, {"text": check_text(fields), "raw": fields["text"]})
            case "editMessageText":
                return await self._edit(call, {"text": check_text(fields), "raw": fields["text"]})
            case "editMessageReplyMarkup":
                return await self._edit(call, {})
            case "deleteMessage":
                self.messages.remove(self._find(fields, "delete"))
                await self.pass_on(call)
                return True
            case "answerCallbackQuery":
                await self.pass_on(call)
                return True
            case _:
                return self._answer_alone(call)

    def _answer_alone(self, call: Call) -> Any:
        fields = call.fields
        match call.method:
            case "getFile" if fields["file_id"] in self.files:
                return {**file_of(fields["file_id"], self.files[fields["file_id"]]), "file_path": f"files/{fields['file_id']}"}
            case "getFile":
                raise Refused(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
            case "getChat":
                shape = {"accent_color_id": 1, "max_reaction_count": 11, "accepted_gift_types": dict.fromkeys(GIFTS, True)}
                return {**chat_of(fields["chat_id"]), **shape}
            case method if method in MEDIA:
                return self._keep(fields, next(self._ids), self._media(call))
            case method if method in TRUE:
                return True
            case _:
                raise Refused(404, "Not Found")

    @abstractmethod
    async def pass_on(self, call: Call) -> Any:
        """Hand it to the emulator; returns its answer as it is."""

    async def ask_emulator(self, call: Call) -> Any:
        """The emulator's answer to a call of its Bot API, asked in JSON. Raises Refused."""
        answer = await self._emulator.ask("POST", f"/bot{TOKEN}/{call.method}", json=call.fields)
        if not answer["ok"]:
            raise Refused(answer.get("error_code") or 400, answer["description"])
        return answer

    async def _send(self, call: Call, content: Fields) -> Fields:
        check_buttons(call.fields)
        return self._keep(call.fields, (await self.pass_on(call))["result"]["message_id"], content)

    def _keep(self, fields: Fields, message_id: int, content: Fields) -> Fields:
        message = {"message_id": message_id, "from": BOT, "chat": chat_of(fields["chat_id"]), "date": int(time.time()), **content}
        message |= {name: fields[name] for name in ("reply_markup", "message_thread_id") if name in fields}
        if (replied := fields.get("reply_parameters", {}).get("message_id")) is not None:
            message["reply_to_message"] = {"message_id": replied, "date": message["date"], "chat": message["chat"]}
        self.messages.append(message)
        return message

    async def _edit(self, call: Call, content: Fields) -> Fields:
        check_buttons(call.fields)
        message = self._find(call.fields, "edit")
        changed = {**content, "reply_markup": call.fields.get("reply_markup")}
        if all(message.get(name) == value for name, value in changed.items()):
            raise Refused(400, "Bad Request: message is not modified: specified new message content and reply markup are exactly the same")
        await self.pass_on(call)
        message.update(changed, edit_date=int(time.time()))
        return message

    def _find(self, fields: Fields, to_do: str) -> Fields:
        for message in self.messages:
            if (message["chat"]["id"], message["message_id"]) == (int(fields["chat_id"]), int(fields["message_id"])):
                return message
        raise Refused(400, f"Bad Request: message to {to_do} not found")

    def _media(self, call: Call) -> Fields:
        kind = MEDIA[call.method]
        content = next(iter(call.files.values()), b"")
        file_id = f"sent-{next(self._ids)}"
        self.files[file_id] = content
        sized = {"photo": {"width": 1, "height": 1}, "video": {"width": 1, "height": 1, "duration": 1}, "document": {}}
        medium = {**file_of(file_id, content), **sized.get(kind, {"duration": 1})}
        return {kind: [medium] if kind == "photo" else medium, "caption": call.fields.get("caption")}


def public(result: Any) -> Any:
    """A result as Telegram gives it."""
    return {name: value for name, value in result.items() if name != "raw"} if isinstance(result, dict) else result


async def read_call(request: web.Request, method: str) -> Call:
    """What the bot asks for, however it was encoded."""
    if request.content_type == "application/json":
        return Call(method, await request.json(), {})
    form = {**request.query, **await request.post()}
    files = {name: value.file.read() for name, value in form.items() if isinstance(value, web.FileField)}
    return Call(method, {name: decoded(name, value) for name, value in form.items() if isinstance(value, str)}, files)


def decoded(name: str, value: str) -> Any:
    """A field of a form, where nested values, numbers and flags come as JSON but words as they are."""
    if name in {"text", "caption", "url", "secret_token", "callback_query_id", "file_id", "parse_mode", "action"}:
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def chat_of(chat_id: int) -> Fields:
    """The chat with this id: negative ones are groups."""
    person = next((person for person in (ALLAN, GRACE) if person["id"] == chat_id), None)
    if person is None:
        return {"id": chat_id, "type": "supergroup" if chat_id < 0 else "private", "title": "A group"}
    return {"id": chat_id, "type": "private", "first_name": person["first_name"], "username": person["username"]}


def file_of(file_id: str, content: bytes) -> Fields:
    """What Telegram tells of a file."""
    return {"file_id": file_id, "file_unique_id": f"unique-{file_id}", "file_size": len(content)}


def check_text(fields: Fields) -> str:
    """The text that a message will show. Raises Refused where Telegram would."""
    text = str(fields.get("text", ""))
    shown = Html.shown(text) if fields.get("parse_mode") == "HTML" else text
    if not shown.strip():
        raise Refused(400, "Bad Request: message text is empty")
    if len(shown.encode("utf-16-le")) // 2 > TEXT_LIMIT:
        raise Refused(400, "Bad Request: message is too long")
    return shown


def check_buttons(fields: Fields) -> None:
    """Raises Refused where a button carries more than Telegram would."""
    for row in (fields.get("reply_markup") or {}).get("inline_keyboard", ()):
        if any(len(button.get("callback_data", "").encode()) > CALLBACK_BYTES for button in row):
            raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")


class Html(HTMLParser):
    """Telegram's few tags, which must be closed in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    @classmethod
    def shown(cls, html: str) -> str:
        """The text without its tags. Raises Refused."""
        parser = cls()
        parser.feed(html)
        parser.close()
        if parser.open:
            raise Refused(400, f"Bad Request: can't parse entities: Can't find end tag corresponding to start tag \"{parser.open[-1]}\"")
        return parser.text

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in TAGS:
            raise Refused(400, f'Bad Request: can\'t parse entities: Unsupported start tag "{tag}"')
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise Refused(400, f'Bad Request: can\'t parse entities: Unexpected end tag "{tag}"')

    def handle_data(self, data: str) -> None:
        self.text += data


async def post_update(url: str, update: Fields, secret: str | None) -> int:
    """Send an update to a bot's webhook, as Telegram does; returns the status of the answer, 0 where nobody answered."""
    headers = {} if secret is None else {"X-Telegram-Bot-Api-Secret-Token": secret}
    with contextlib.suppress(aiohttp.ClientConnectionError):
        async with aiohttp.ClientSession() as session, session.post(url, json=update, headers=headers) as answer:
            return answer.status
    return 0
