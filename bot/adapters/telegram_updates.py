"""Reads what Telegram tells, as pure functions of its JSON. Any field may be missing or of another type: nothing here trusts one.

What is nobody's to answer, such as a pinned message or a bot that was thrown out, is kept as it came, and says nothing itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
    "document": ("file", "application/octet-stream"),
    "voice": ("voice.ogg", "audio/ogg"),
    "audio": ("audio.mp3", "audio/mpeg"),
    "video": ("video.mp4", "video/mp4"),
    "video_note": ("video.mp4", "video/mp4"),
    "animation": ("animation.mp4", "video/mp4"),
}
"""What a file is called, and is, where Telegram does not say."""

Fields = Mapping[str, Any]
Reading = dict[str, Any]
"""What of an `Inbound` an event tells."""
KEPT: Reading = {"wants_reply": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class Me:
    """The bot itself. `reads_all`: privacy mode is off, so that it is shown everything said in its groups."""

    id: int
    username: str
    reads_all: bool = False
    joins_groups: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where something is said: a chat, perhaps a topic in it, perhaps in answer to a message."""

    chat: int
    thread: int | None = None
    reply_to: int | None = None


def to_inbound(update: Fields, *, me: Me, now: datetime) -> Inbound | None:
    """The event in *update*; None for what is not for Robbie: channels, bots, what a group says to each other."""
    kind = next((name for name in _READERS if isinstance(update.get(name), dict)), "")
    content, update_id = part(update, kind), number(update.get("update_id"))
    place = part(content, "message") if kind == "callback_query" else content
    chat, chat_id = part(place, "chat"), number(part(place, "chat").get("id"))
    if chat_id is None or update_id is None or chat.get("type") == "channel":
        return None
    speaks_for = part(content, "sender_chat") or part(content, "actor_chat")
    who = speaks_for or part(content, "from") or part(content, "user")
    if not speaks_for and (who.get("is_bot") is True or who.get("id") == me.id):
        return None
    read = _READERS[kind](content, me)
    if read is None:
        return None
    if speaks_for or number(who.get("id")) is None:  # an anonymous administrator, a channel: nobody whom Robbie could know
        read = KEPT
    session = SessionType.PRIVATE if chat.get("type") == "private" else SessionType.SHARED
    known: Reading = {
        "id": new_id(),
        "address": Address(channel=CHANNEL, conversation=_conversation(place, chat_id), session_type=session),
        "sender": Sender(channel=CHANNEL, account=str(number(who.get("id")) or ""), name=_name(who)),
        "external_id": f"update:{update_id}",
        "text": "",
        "at": _time(content.get("date"), now),
        "raw": json.dumps(update)[:LONGEST_RAW],
    }
    return Inbound(**(known | read))


def migration(update: Fields) -> tuple[str, str] | None:
    """The old and the new id of a group that became a supergroup."""
    message = part(update, "message")
    here = number(part(message, "chat").get("id"))
    old, new = number(message.get("migrate_from_chat_id")), number(message.get("migrate_to_chat_id"))
    if here is None or (old is None and new is None):
        return None
    return (str(here), str(new)) if old is None else (str(old), str(here))


def chosen(query: Fields) -> str:
    """The label of the button that was pressed."""
    for row in _list(part(query, "message", "reply_markup").get("inline_keyboard")):
        for button in _list(row):
            if isinstance(button, dict) and button.get("callback_data") == query.get("data"):
                return word(button.get("text"))
    return ""


def part(content: Fields, *names: str) -> Fields:
    """What stands under these names, one within the other; nothing where any is missing."""
    for name in names:
        inner = content.get(name)
        content = inner if isinstance(inner, dict) else {}
    return content


def number(value: Any) -> int | None:
    """*value*, if it is a whole number that a database can hold."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63 else None


def word(value: Any) -> str:
    """*value*, if it is text."""
    return value if isinstance(value, str) else ""


def message_key(message: Fields) -> str:
    """A message's id which needs no other knowledge: that of its chat and its own."""
    return f"{number(part(message, 'chat').get('id')) or 0}:{number(message.get('message_id')) or 0}"


def where(place: Place) -> dict[str, Any]:
    """*place*, as a method of the Bot API wants it."""
    answering = {"message_id": place.reply_to, "allow_sending_without_reply": True}
    told = {"chat_id": place.chat, "message_thread_id": place.thread}
    return told if place.reply_to is None else told | {"reply_parameters": answering}


def _message(message: Fields, me: Me) -> Reading | None:
    """Something somebody wrote; None where it is not said to Robbie."""
    is_forwarded = bool(part(message, "forward_origin"))
    said = "" if is_forwarded else word(message.get("text")) or word(message.get("caption"))
    mention = re.compile(rf"(?<![\w@])@{re.escape(me.username)}(?!\w)", re.IGNORECASE | re.ASCII)
    text = mention.sub("", said).strip().lstrip(",:").lstrip() or said if mention.search(said) else said
    command = _COMMAND.match(text)
    if command and command["bot"] and command["bot"].lower() != me.username.lower():
        return None
    is_private = part(message, "chat").get("type") == "private"
    if not (is_private or text != said or command or mention.search(said) or _answers(message, me)):
        return None
    read = {"external_id": message_key(message), "quoted": _quoted(message), "attachments": tuple(_attachments(message))}
    if command:
        return read | {"kind": InboundKind.COMMAND, "text": f"/{command['name']}{text[command.end() :]}"}
    if is_forwarded:  # somebody else's words, in which nothing is a command
        return read | {"text": FORWARDED, "quoted": word(message.get("text")) or word(message.get("caption"))}
    read["text"] = text or _in_words(message)
    if not read["text"] and (not read["attachments"] or "media_group_id" in message):
        read |= KEPT  # news of the chat; or of several pictures one of those that the sender wrote nothing under
    return read


def _edit(message: Fields, me: Me) -> Reading | None:
    """A message that reads otherwise now; a live location, which is one by every step, is nothing of that sort."""
    read = _message(message, me)
    if read is None or not (word(message.get("text")) or word(message.get("caption"))):
        return None
    return {"kind": InboundKind.EDIT, "text": read["text"], "target": message_key(message)}


def _action(query: Fields, _: Me) -> Reading:
    """A button that was pressed; its time is now, and not that of the message it stands under."""
    data = word(query.get("data"))
    return {"kind": InboundKind.ACTION, "text": data, "target": message_key(part(query, "message"))} if data else KEPT


def _reaction(event: Fields, _: Me) -> Reading | None:
    """What was added, else what was taken back."""
    old, new = (list(_reactions(event.get(name))) for name in ("old_reaction", "new_reaction"))
    changes = [each for each in new if each not in old] + [f"-{each}" for each in old if each not in new]
    return {"kind": InboundKind.REACTION, "text": changes[0], "target": message_key(event)} if changes else None


def _kept(_: Fields, __: Me) -> Reading:
    return KEPT


_READERS = {
    "message": _message,
    "edited_message": _edit,
    "callback_query": _action,
    "message_reaction": _reaction,
    "my_chat_member": _kept,
}
ALLOWED_UPDATES = tuple(_READERS)


def _conversation(place: Fields, chat_id: int) -> str:
    """A chat, or a topic in it (a thread that is no topic is only Telegram's way to keep answers together)."""
    thread = number(place.get("message_thread_id")) if place.get("is_topic_message") is True else None
    return str(chat_id) if thread is None else f"{chat_id}/{thread}"


def _answers(message: Fields, me: Me) -> bool:
    """Whether it answers something the bot said; everything in a topic answers, formally, the making of the topic."""
    answered = part(message, "reply_to_message")
    return part(answered, "from").get("id") == me.id and "forum_topic_created" not in answered


def _quoted(message: Fields) -> str:
    answered = part(message, "reply_to_message")
    return word(part(message, "quote").get("text")) or word(answered.get("text")) or word(answered.get("caption"))


def _attachments(message: Fields) -> Iterator[Attachment]:
    sizes = [size for size in _list(message.get("photo")) if isinstance(size, dict)]
    if sizes:
        yield from _attachment(max(sizes, key=lambda size: number(size.get("width")) or 0), "photo.jpg", "image/jpeg")
    for kind, (name, media_type) in _FILES.items():
        if kind != "animation" or "document" not in message:  # which tells the same file once more
            yield from _attachment(part(message, kind), name, media_type)


def _attachment(file: Fields, name: str, media_type: str) -> Iterator[Attachment]:
    if source := word(file.get("file_id")):
        yield Attachment(
            name=word(file.get("file_name"))[:255] or name,
            media_type=word(file.get("mime_type"))[:255] or media_type,
            size=max(number(file.get("file_size")) or 0, 0),
            source=source,
        )


def _in_words(message: Fields) -> str:
    """What is neither text nor a file."""
    told: dict[str, tuple[object, ...]] = {
        "sticker": (part(message, "sticker").get("emoji"),),
        "venue": (part(message, "venue").get("title"), part(message, "venue").get("address")),
        "location": (part(message, "location").get("latitude"), part(message, "location").get("longitude")),
        "contact": tuple(part(message, "contact").get(name) for name in ("first_name", "last_name", "phone_number")),
        "poll": (part(message, "poll").get("question"), *(_text_of(each) for each in _list(part(message, "poll").get("options")))),
        "dice": (part(message, "dice").get("emoji"), part(message, "dice").get("value")),
    }
    for name, values in told.items():
        if part(message, name):
            return (
                f"[{' '.join([name, ', '.join(str(value) for value in values if isinstance(value, str | int | float) and value)]).strip()}]"
            )
    return ""


def _text_of(option: Any) -> str:
    return word(option.get("text")) if isinstance(option, dict) else ""


def _reactions(value: Any) -> Iterator[str]:
    for each in _list(value):
        if isinstance(each, dict):
            custom = word(each.get("custom_emoji_id"))
            yield word(each.get("emoji")) or (f"custom:{custom}" if custom else "⭐")  # what is paid for has no emoji of its own


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _name(who: Fields) -> str:
    full = " ".join(filter(None, (word(who.get("first_name")), word(who.get("last_name")))))
    return (full or word(who.get("title")) or word(who.get("username")))[:255]


def _time(value: Any, now: datetime) -> datetime:
    try:
        return datetime.fromtimestamp(number(value) or now.timestamp(), UTC)
    except (ValueError, OverflowError, OSError):
        return now
