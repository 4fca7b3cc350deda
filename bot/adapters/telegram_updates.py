"""Reads what Telegram tells, as pure functions of its JSON. Any field may be missing or of another type: nothing here trusts one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from bot.domain.address import Address, Sender, SessionType
from bot.domain.clock import new_id
from bot.domain.message import Attachment, Inbound, InboundKind

CHANNEL = "telegram"
LONGEST_RAW = 256 * 1024
FORWARDED = "[forwarded message]"

_COMMAND = re.compile(r"/(?P<name>\w{1,32})(?:@(?P<bot>\w+))?(?=\s|$)", re.ASCII)
_FILES = {
    "photo": ("photo.jpg", "image/jpeg"),
    "document": ("file", "application/octet-stream"),
    "voice": ("voice.ogg", "audio/ogg"),
    "audio": ("audio.mp3", "audio/mpeg"),
    "video": ("video.mp4", "video/mp4"),
    "video_note": ("video.mp4", "video/mp4"),
    "animation": ("animation.mp4", "video/mp4"),
}
"""What a file is called, and is, where Telegram does not say."""
_IN_WORDS = ("sticker", "venue", "location", "contact", "poll", "dice")
_TOLD = ("emoji", "value", "title", "address", "first_name", "last_name", "phone_number", "question", "latitude", "longitude")
"""What is neither text nor a file, and what it tells."""

Fields = Mapping[str, Any]
Reading = dict[str, Any]
"""What of an `Inbound` an event tells."""
KEPT: Reading = {"wants_reply": False}
"""News that nobody is to answer, such as a pinned message, or that the bot was thrown out."""


def to_inbound(update: Fields, *, me: Fields, now: datetime) -> Inbound | None:
    """The event in *update*; None for what is not for Robbie: channels, bots, anonymous administrators, what a group says to itself."""
    kind = next((name for name in _READERS if isinstance(update.get(name), dict)), "")
    content, update_id = part(update, kind), number(update.get("update_id"))
    place = part(content, "message") if kind == "callback_query" else content
    chat, chat_id = part(place, "chat"), number(part(place, "chat").get("id"))
    if chat_id is None or update_id is None or chat.get("type") == "channel":
        return None
    who = part(content, "from") or part(content, "user")
    speaks_for = part(content, "sender_chat") or part(content, "actor_chat")
    if speaks_for or who.get("is_bot") is True or number(who.get("id")) is None:  # nobody whom Robbie could know
        return None
    read = _READERS[kind](content, me)
    if read is None:
        return None
    names = word(who.get("first_name")), word(who.get("last_name"))
    # a thread that is no topic is only Telegram's way to keep answers together
    topic = number(place.get("message_thread_id")) if place.get("is_topic_message") is True else None
    conversation = str(chat_id) if topic is None else f"{chat_id}/{topic}"
    session = SessionType.PRIVATE if chat.get("type") == "private" else SessionType.SHARED
    known: Reading = {
        "id": new_id(),
        "address": Address(channel=CHANNEL, conversation=conversation, session_type=session),
        "sender": Sender(channel=CHANNEL, account=str(who["id"]), name=" ".join(filter(None, names))[:255]),
        "external_id": f"update:{update_id}",
        "text": "",
        "at": datetime.fromtimestamp(number(content.get("date")) or now.timestamp(), UTC),
        "raw": json.dumps(update)[:LONGEST_RAW],
    }
    return Inbound(**(known | read))


def part(content: Fields, name: str) -> Fields:
    """What stands under this name; nothing where it is missing."""
    inner = content.get(name)
    return inner if isinstance(inner, dict) else {}


def number(value: Any) -> int | None:
    """*value*, if it is a whole number that a database can hold."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63 else None


def word(value: Any) -> str:
    """*value*, if it is text."""
    return value if isinstance(value, str) else ""


def message_key(message: Fields) -> str:
    """A message's id which needs no other knowledge: that of its chat and its own."""
    return f"{number(part(message, 'chat').get('id')) or 0}:{number(message.get('message_id')) or 0}"


def _message(message: Fields, me: Fields) -> Reading | None:
    """Something somebody wrote; None where it is not said to Robbie."""
    is_forwarded = bool(part(message, "forward_origin"))
    said = "" if is_forwarded else word(message.get("text")) or word(message.get("caption"))
    mention = re.compile(rf"(?<![\w@])@{re.escape(me['username'])}(?!\w)", re.IGNORECASE | re.ASCII)
    text = mention.sub("", said).strip().lstrip(",:").lstrip() or said if mention.search(said) else said
    command = _COMMAND.match(text)
    if command and command["bot"] and command["bot"].lower() != me["username"].lower():
        return None
    answered, is_private = part(message, "reply_to_message"), part(message, "chat").get("type") == "private"
    # everything in a topic answers, formally, the making of the topic
    answers_me = part(answered, "from").get("id") == me["id"] and "forum_topic_created" not in answered
    if not (is_private or command or mention.search(said) or answers_me):
        return None
    quoted = word(part(message, "quote").get("text")) or word(answered.get("text")) or word(answered.get("caption"))
    read = {"external_id": message_key(message), "quoted": quoted, "attachments": tuple(_attachments(message))}
    if command:
        return read | {"kind": InboundKind.COMMAND, "text": f"/{command['name']}{text[command.end() :]}"}
    if is_forwarded:  # somebody else's words, in which nothing is a command
        return read | {"text": FORWARDED, "quoted": word(message.get("text")) or word(message.get("caption"))}
    read["text"] = text or _in_words(message)
    if not read["text"] and (not read["attachments"] or "media_group_id" in message):
        read |= KEPT  # news of the chat; or of several pictures one of those that the sender wrote nothing under
    return read


def _edit(message: Fields, me: Fields) -> Reading | None:
    """A message that reads otherwise now; a live location, which is one by every step, is nothing of that sort."""
    read = _message(message, me)
    if read is None or not (word(message.get("text")) or word(message.get("caption"))):
        return None
    return {"kind": InboundKind.EDIT, "text": read["text"], "target": message_key(message)}


def _action(query: Fields, _: Fields) -> Reading:
    """A button that was pressed; its time is now, and not that of the message it stands under."""
    data = word(query.get("data"))
    return {"kind": InboundKind.ACTION, "text": data, "target": message_key(part(query, "message"))} if data else KEPT


def _reaction(event: Fields, _: Fields) -> Reading | None:
    """What was added, else what was taken back."""
    old, new = (list(_reactions(event.get(name))) for name in ("old_reaction", "new_reaction"))
    changes = [each for each in new if each not in old] + [f"-{each}" for each in old if each not in new]
    return {"kind": InboundKind.REACTION, "text": changes[0], "target": message_key(event)} if changes else None


_READERS: dict[str, Callable[[Fields, Fields], Reading | None]] = {
    "message": _message,
    "edited_message": _edit,
    "callback_query": _action,
    "message_reaction": _reaction,
    "my_chat_member": lambda *_: KEPT,
}
ALLOWED_UPDATES = tuple(_READERS)


def _attachments(message: Fields) -> Iterator[Attachment]:
    sizes = (size for size in _list(message.get("photo")) if isinstance(size, dict))
    files = {kind: part(message, kind) for kind in _FILES} | {
        "photo": max(sizes, key=lambda size: number(size.get("width")) or 0, default={}),
    }
    if files["document"]:
        del files["animation"]  # which tells the same file once more
    for kind, file in files.items():
        if source := word(file.get("file_id")):
            name, media_type = word(file.get("file_name"))[:255], word(file.get("mime_type"))[:255]
            size = max(number(file.get("file_size")) or 0, 0)
            yield Attachment(name=name or _FILES[kind][0], media_type=media_type or _FILES[kind][1], size=size, source=source)


def _in_words(message: Fields) -> str:
    for kind in _IN_WORDS:
        if content := part(message, kind):
            told = ", ".join(str(content[name]) for name in _TOLD if isinstance(content.get(name), str | int | float))
            return f"[{kind} {told}]" if told else f"[{kind}]"
    return ""


def _reactions(value: Any) -> Iterator[str]:
    for each in _list(value):
        if isinstance(each, dict):
            yield word(each.get("emoji")) or word(each.get("custom_emoji_id")) or "⭐"  # what is paid for has no emoji of its own


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
