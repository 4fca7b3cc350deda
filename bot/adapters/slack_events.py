"""What Slack tells, as one `Inbound`: pure, and of everything that is malformed or not meant for Robbie it makes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import unescape
from typing import Any, Self

from bot.adapters.slack_manners import MANNERS_VIEW, command_of, mistakes
from bot.domain.address import Address, Sender, SessionType
from bot.domain.clock import new_id
from bot.domain.message import Attachment, Inbound, InboundKind
from bot.domain.vocabulary import WORDS

CHANNEL = "slack"
COMMANDS = ("robbie", *(name for name, word in WORDS.items() if word.on_slack))
"""The slash commands of the manifest; every other one is a word after /robbie."""
EDIT_VIEW = "edit"
"""The callback of the modal in which the words of a proposal are changed."""
BROKEN = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)
"""What reading a view raises that is none of ours."""
LARGEST_RAW = 256 * 1024

_WHISPER = "~"
_SPOKEN = ("", "file_share", "thread_broadcast", "me_message")
_TS = re.compile(r"\d{1,10}\.\d{1,9}")
_ID = re.compile(r"[A-Z][A-Z0-9]{1,31}")
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")
_ANGLED = re.compile(r"<([^<>\n]*)>")

Body = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where in Slack a conversation is: a channel, one of its threads, or what only one *user* sees in it (a whisper)."""

    team: str
    channel: str
    thread: str = ""
    user: str = ""

    @classmethod
    def of(cls, conversation: str) -> Self:
        """The place that the key of a *conversation* names."""
        team, _, rest = conversation.partition("/")
        channel, _, last = rest.partition("/")
        user = last.removeprefix(_WHISPER) if last.startswith(_WHISPER) else ""
        return cls(team=team, channel=channel, thread="" if user else last, user=user)

    @property
    def is_direct(self) -> bool:
        """Whether only one person sees what Robbie says there."""
        return bool(self.user) or self.channel.startswith("D")

    def address(self) -> Address:
        """The conversation at this place."""
        last = _WHISPER + self.user if self.user else self.thread
        kind = SessionType.PRIVATE if self.is_direct else SessionType.SHARED
        return Address(channel=CHANNEL, conversation="/".join(filter(None, (self.team, self.channel, last))), session_type=kind)


def to_inbound(body: Body, *, team: str, bot: str, now: datetime) -> Inbound | None:
    """What *body* says to the bot user *bot* of the workspace *team*. A message in a thread may still be none of Robbie's business."""
    scene = Scene(body=body, team=team, bot=bot, now=now)
    match _text(body, "type"):
        case "event_callback":
            return _event(scene, _dig(body, "event"))
        case "block_actions":
            return _action(scene)
        case "view_submission":
            return _submission(scene)
    return _command(scene) if _text(body, "command") else None


def mentions(body: Body, bot: str) -> bool:
    """Whether a message calls Robbie by name."""
    return f"<@{bot}>" in _text(body, "event", "text") or f"<@{bot}|" in _text(body, "event", "text")


def field_mistakes(body: Body, now: datetime) -> dict[str, str]:
    """What is wrong with a submitted modal, by its field; of what is none of ours nothing."""
    try:
        return mistakes(body["view"], now) if _text(body, "view", "callback_id") == MANNERS_VIEW else {}
    except BROKEN:
        return {}


def edited_code(body: Body) -> str:
    """The code of the proposal whose "Edit" was pressed."""
    command = _text(body, "actions", 0, "value")
    return command.removeprefix("/edit ").strip() if command.startswith("/edit ") and "\n" not in command else ""


def from_slack(text: str, bot: str = "") -> str:
    """Slack's own spelling of *text* as a person reads it; *bot*'s name at its beginning is left out."""
    text = re.sub(rf"^\s*<@{re.escape(bot)}(\|[^<>]*)?>[\s,:]*", "", text) if bot else text
    return unescape(_ANGLED.sub(lambda found: _spoken(found[1]), text)).strip()


def _spoken(inside: str) -> str:
    """What stands for <*inside*>: a person, a channel, a group, a date or an address."""
    target, _, label = inside.partition("|")
    if target.startswith(("@", "#")):
        return f"{target[0]}{label or target[1:]}"
    if target.startswith("!"):
        return label or f"@{target[1:]}"
    address = target.removeprefix("mailto:").removeprefix("tel:")
    return address if not label or unescape(label) in unescape(target) else f"{label} ({address})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One event as it came, and to whom."""

    body: Body
    team: str
    bot: str
    now: datetime

    def place(self, channel: str, message: Any = None, *, user: str = "") -> Place | None:
        """Where *message* stands: in a channel every conversation is a thread, in a direct one it need not be."""
        place = Place(team=self.team, channel=channel, user=user)
        ts, thread = _ts(message, "ts"), _ts(message, "thread_ts")
        if not _ID.fullmatch(channel):
            return None
        return place if user or (place.is_direct and thread in ("", ts)) else replace(place, thread=thread or ts)

    def is_persons(self, message: Body) -> bool:
        """Whether a person is behind *message*: no app, not Slack itself, not Robbie."""
        user, is_apps = _text(message, "user"), any(message.get(key) for key in ("bot_id", "bot_profile"))
        return bool(_ID.fullmatch(user)) and not is_apps and user not in (self.bot, "USLACKBOT")

    def inbound(self, place: Place | None, user: str, *, external_id: str, ts: str = "", **more: Any) -> Inbound | None:
        """What came from *user* at *place*; nothing where one of them is none."""
        if place is None or not _ID.fullmatch(user) or not external_id:
            return None
        raw = {key: value for key, value in self.body.items() if key not in ("token", "response_url")}  # they open doors
        name = _text(self.body, "user_name") or _text(self.body, "user", "username") or _text(self.body, "user", "name")
        return Inbound(
            id=new_id(),
            address=place.address(),
            sender=Sender(channel=CHANNEL, account=f"{self.team}/{user}", name=name[:80]),
            external_id=external_id[:200],
            at=datetime.fromtimestamp(float(ts), UTC) if ts else self.now,
            raw=json.dumps(raw, default=str)[:LARGEST_RAW],
            **more,
        )


def _event(scene: Scene, event: Any) -> Inbound | None:
    match _text(event, "type"), _text(event, "subtype"):
        case "message" | "app_mention", subtype if subtype in _SPOKEN:
            return _message(scene, event)
        case "message", "message_changed" | "message_deleted":
            return _change(scene, event)
        case "reaction_added" | "reaction_removed", _:
            return _reaction(scene, event)
    return None


def _message(scene: Scene, event: Body) -> Inbound | None:
    channel, ts, is_called = _text(event, "channel"), _ts(event, "ts"), mentions(scene.body, scene.bot)
    place = scene.place(channel, event)
    if place is None or not ts or not scene.is_persons(event) or not (place.is_direct or is_called or _ts(event, "thread_ts")):
        return None
    shared = [from_slack(_text(each, "text")) for each in _list(event, "attachments") if _dig(each, "is_msg_unfurl")]
    what = {"text": from_slack(_text(event, "text"), scene.bot), "quoted": "\n".join(shared)}
    files = tuple(_attachments(event, scene.team))
    return scene.inbound(place, _text(event, "user"), external_id=f"{channel}:{ts}", ts=ts, **what, attachments=files)


def _change(scene: Scene, event: Body) -> Inbound | None:
    """A message that was edited or deleted. Slack says "changed" also when a link unfurls (no word changes), and when one with replies is
    deleted (a tombstone is left).
    """
    before, after, channel = _dig(event, "previous_message"), _dig(event, "message"), _text(event, "channel")
    is_gone = _text(event, "subtype") == "message_deleted" or _text(after, "subtype") == "tombstone"
    message = before if is_gone else after
    if not _ts(message, "ts") or not scene.is_persons(message) or (not is_gone and _text(before, "text") == _text(after, "text")):
        return None
    text, kind = ("", InboundKind.DELETE) if is_gone else (from_slack(_text(after, "text"), scene.bot), InboundKind.EDIT)
    when = {"external_id": _text(scene.body, "event_id"), "ts": _ts(event, "event_ts") or _ts(event, "ts")}
    place, target = scene.place(channel, message), f"{channel}:{_ts(message, 'ts')}"
    return scene.inbound(place, _text(message, "user"), **when, text=text, kind=kind, target=target)


def _reaction(scene: Scene, event: Body) -> Inbound | None:
    """A reaction to what Robbie said; Slack does not tell in which thread that stands."""
    channel, target, name = _text(event, "item", "channel"), _ts(event, "item", "ts"), _text(event, "reaction")
    if not target or not name or not scene.is_persons(event) or _text(event, "item_user") not in ("", scene.bot):
        return None
    text = name if _text(event, "type") == "reaction_added" else f"-{name}"
    what = {"text": text, "kind": InboundKind.REACTION, "target": f"{channel}:{target}", "ts": _ts(event, "event_ts")}
    return scene.inbound(scene.place(channel), _text(event, "user"), external_id=_text(scene.body, "event_id"), **what)


def _command(scene: Scene) -> Inbound | None:
    """A slash command is answered where it was given, for its giver's eyes alone."""
    body, user = scene.body, _text(scene.body, "user_id")
    name, words, trigger = _text(body, "command").removeprefix("/"), _text(body, "text").strip(), _text(body, "trigger_id")
    if name not in COMMANDS:
        return None
    said = (words.removeprefix("/") or "help") if name == "robbie" else f"{name} {words}".strip()
    place = scene.place(_text(body, "channel_id"), user=user)
    return scene.inbound(place, user, external_id=trigger, text=f"/{said}", kind=InboundKind.COMMAND)


def _action(scene: Scene) -> Inbound | None:
    """A pressed button, under a message, a whisper (which tells no thread) or in the home tab (which tells its direct channel)."""
    body, action, user = scene.body, _dig(scene.body, "actions", 0), _text(scene.body, "user", "id")
    channel, ts = _text(body, "container", "channel_id"), _ts(body, "container", "message_ts")
    if _text(body, "container", "type") == "view":
        place = scene.place(_text(body, "view", "private_metadata"))
    elif _dig(body, "container", "is_ephemeral") is True:
        place = scene.place(channel, user=user)
    else:
        place = scene.place(channel, {"ts": ts, "thread_ts": _text(body, "message", "thread_ts")}) if ts else None
    command, pressed_at = _text(action, "value"), _ts(action, "action_ts")
    if _text(action, "type") != "button" or not command or not pressed_at:
        return None
    name, target = f"{pressed_at}:{_text(action, 'action_id')}", f"{channel}:{ts}" if ts else ""
    return scene.inbound(place, user, external_id=name, text=command, kind=InboundKind.ACTION, target=target)


def _submission(scene: Scene) -> Inbound | None:
    """New words for a proposal, or how Robbie is to be: the modal remembers which one, and in which conversation."""
    view = _dig(scene.body, "view")
    try:
        kept = json.loads(_text(view, "private_metadata"))
        said = command_of(view) if _text(view, "callback_id") == MANNERS_VIEW else _edited(kept, view)
    except BROKEN:
        return None
    place, trigger = Place.of(_text(kept, "conversation")), _text(scene.body, "trigger_id")
    if not said or place.team != scene.team or not _ID.fullmatch(place.channel):
        return None
    return scene.inbound(place, _text(scene.body, "user", "id"), external_id=trigger, text=said, kind=InboundKind.ACTION)


def _edited(kept: Any, view: Any) -> str:
    """The command that gives a proposal the words of the modal; empty where it is none, or has none."""
    code, text = _text(kept, "code"), _text(view, "state", "values", EDIT_VIEW, EDIT_VIEW, "value")
    return f"/edit {code}\n{text}" if _text(view, "callback_id") == EDIT_VIEW and code and text else ""


def _attachments(event: Body, team: str) -> Iterator[Attachment]:
    for file in _list(event, "files"):
        if _ID.fullmatch(file_id := _text(file, "id")):
            size, mode, url = _dig(file, "size"), _text(file, "mode"), _text(file, "url_private_download") or _text(file, "url_private")
            yield Attachment(
                name=(_text(file, "name") or _text(file, "title") or file_id)[:255],
                media_type=_text(file, "mimetype")[:127] or "application/octet-stream",
                size=size if isinstance(size, int) and size >= 0 else 0,
                source=f"{team} {file_id} {url}".strip(),
                trouble=f"Slack no longer has it ({mode})" if mode in ("tombstone", "hidden_by_limit") else "",
            )


def _dig(tree: Any, *path: str | int) -> Any:
    """What lies at *path*, whatever shape *tree* has; None where nothing does."""
    for step in path:
        if isinstance(tree, Mapping) and isinstance(step, str):
            tree = tree.get(step)
        elif isinstance(tree, list) and isinstance(step, int) and step < len(tree):
            tree = tree[step]
        else:
            return None
    return tree


def _text(tree: Any, *path: str | int) -> str:
    found = _dig(tree, *path)
    return _NOT_TEXT.sub("\ufffd", found) if isinstance(found, str) else ""


def _list(tree: Any, *path: str | int) -> list[Any]:
    found = _dig(tree, *path)
    return found if isinstance(found, list) else []


def _ts(tree: Any, *path: str | int) -> str:
    """A time stamp of Slack's, by which it also names messages; empty where there is none."""
    found = _text(tree, *path)
    return found if _TS.fullmatch(found) else ""
