"""Reads what people said elsewhere: JSON lines; exports of Slack (a day's file), Telegram (result.json) and WhatsApp (text). Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime, tzinfo
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.parser import parse

KEYS = ("external_id", "conversation", "speaker", "text", "at")
LONGEST_NAME = 600
"""Characters; PostgreSQL's index has room for 2,700 bytes."""
_LOCOMO = "%I:%M %p on %d %B, %Y"
_WHATSAPP = re.compile(
    r"[\u200e\u202a]?\[?(\d{1,4}[./-]\d{1,2}[./-]\d{1,4}),? (\d{1,2}[:.]\d\d(?:[:.]\d\d)?)"  # [08.05.23, 13:56:22] or 5/8/23, 1:56 PM -
    r"[\s\u202f]?([ap]\.?[\s\u202f]?m\.?)?\]?(?: -)? (?:([^:\n]+): )?(.*)",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """Something that somebody said elsewhere; `external_id` is unique within its conversation."""

    external_id: str
    conversation: str
    speaker: str
    text: str
    at: datetime

    def __post_init__(self) -> None:
        if len(self.external_id) + len(self.conversation) > LONGEST_NAME:
            raise ValueError(f"its external_id and conversation have more than {LONGEST_NAME} characters")


Read = Iterator[tuple[int, Said | str]]
"""Each line, or entry, by its number from 1; where it cannot be read, why."""


def read_chat(data: bytes, path: Path, timezone: str) -> Read:
    """Everything in a file, by what it looks like; moments without a zone are of *timezone*. A conversation may be named by the *path*."""
    zone, whole = ZoneInfo(timezone), _json(data)
    if isinstance(whole, list):
        return _entries(whole, lambda entry: _slack(entry, path.absolute().parent.name))
    if isinstance(whole, dict) and {"messages", "chats"} & whole.keys():
        return _entries(_of_chats(whole), lambda entry: _telegram(entry[0], entry[1], zone))
    if _WHATSAPP.match(data[:300].decode("utf-8-sig", "replace")):
        name = path.absolute().parent.name if path.stem == "_chat" else path.stem  # which an iPhone calls every chat
        return _whatsapp(data.decode("utf-8-sig", "replace").replace("\r\n", "\n").split("\n"), name, zone)
    return _entries(data.split(b"\n"), lambda line: _line(line, zone))


def moment(text: str, zone: ZoneInfo) -> datetime:
    """When that was, in UTC: ISO 8601, or as LoCoMo writes it. Raises ValueError."""
    for read in (datetime.fromisoformat, lambda text: datetime.strptime(text, _LOCOMO)):  # noqa: DTZ007  a zone comes next
        with suppress(ValueError):
            return _utc(read(text), zone)
    raise ValueError(f"“{text[:40]}” is no moment in any calendar")


def _utc(read: datetime, zone: tzinfo) -> datetime:
    """In UTC, where every zone can tell it. Raises ValueError."""
    if not MINYEAR < read.year < MAXYEAR:
        raise ValueError("its date is beyond all calendars")
    return (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)


def _json(data: bytes) -> Any:
    """The file as one JSON text; None where it is none."""
    try:
        return json.loads(data) if data.lstrip()[:1] in (b"[", b"{") else None
    except (ValueError, RecursionError):
        return None


def _entries(entries: Iterable[Any], read: Callable[[Any], Said | None]) -> Read:
    """What can be read of them; of the rest, why not."""
    for number, entry in enumerate(entries, start=1):
        try:
            said = read(entry)
        except RecursionError:
            yield number, "it is nested too deeply"
        except (ValueError, LookupError, TypeError, AttributeError, OSError, OverflowError) as error:
            yield number, str(error) if type(error) is ValueError else f"it cannot be read ({type(error).__name__})"
        else:
            if said is not None:
                yield number, said


def _line(line: bytes, zone: ZoneInfo) -> Said | None:
    """A JSON line; nothing for an empty one. Raises ValueError."""
    try:
        if not (text := line.decode("utf-8-sig").strip()):
            return None
        read = json.loads(text)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except ValueError:
        raise ValueError("it is no JSON") from None
    if not isinstance(read, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004  what is wrong is the line
    if wrong := [key for key in KEYS if not isinstance(read.get(key), str) or not read[key].strip()]:
        raise ValueError(f"its {', '.join(wrong)} is missing, empty or no text")
    return Said(**{key: read[key] for key in KEYS if key != "at"}, at=moment(read["at"], zone))


def _slack(entry: Any, conversation: str) -> Said | None:
    """A message of somebody's; Slack's own remarks have a subtype."""
    if entry["type"] != "message" or entry.get("subtype") not in (None, "thread_broadcast", "me_message") or not entry["text"].strip():
        return None
    profile = entry.get("user_profile") or {}
    speaker = profile.get("real_name") or profile.get("display_name") or entry["user"]
    at = _utc(datetime.fromtimestamp(float(entry["ts"]), UTC), UTC)
    return Said(external_id=entry["ts"], conversation=conversation, speaker=speaker, text=entry["text"], at=at)


def _of_chats(whole: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Telegram exports one chat, or a list of them, of which two may have one name: their numbers go with it."""
    chats = [whole] if "messages" in whole else whole["chats"].get("list", []) if isinstance(whole["chats"], dict) else []
    for chat in (each for each in chats if isinstance(each, dict) and isinstance(each.get("messages"), list)):
        name = " ".join(str(part) for part in (chat.get("name") or "saved messages", chat.get("id")) if part)
        yield from ((name, message) for message in chat["messages"])


def _telegram(conversation: str, entry: Any, zone: ZoneInfo) -> Said | None:
    """A message of somebody's, its styled pieces joined; what Telegram itself says of a chat is passed over."""
    pieces = entry["text"] if isinstance(entry["text"], list) else [entry["text"]]
    text = "".join(piece if isinstance(piece, str) else piece["text"] for piece in pieces)
    if entry["type"] != "message" or not text.strip():
        return None
    stamp = entry.get("date_unixtime")
    at = _utc(datetime.fromtimestamp(int(stamp), UTC), UTC) if stamp else moment(entry["date"], zone)
    return Said(external_id=str(entry["id"]), conversation=conversation, speaker=entry["from"] or "unknown", text=text, at=at)


def _whatsapp(lines: list[str], conversation: str, zone: ZoneInfo) -> Read:
    """A line that begins none goes on with the last message; what nobody said is WhatsApp's own.

    Whether days or months come first, numbers above 12 tell, else am and pm.
    """
    begun: list[list[Any]] = []
    for number, line in enumerate(lines, start=1):
        if found := _WHATSAPP.match(line):
            begun.append([number, *found.groups("")])
        elif begun:
            begun[-1][-1] += f"\n{line}"
    firsts, seconds, _ = zip(*(map(int, re.split(r"[./-]", date)) for _, date, *_ in begun), strict=True)
    is_day_first = max(firsts) <= 31 and max(seconds) <= 12 and (max(firsts) > 12 or not any(half for *_, half, _, _ in begun))
    seen: Counter[str] = Counter()
    for number, date, clock, half, speaker, text in begun:
        if not speaker or not text.strip():
            continue
        try:
            at = _utc(parse(f"{date} {clock.replace('.', ':')} {re.sub(r'[^apmAPM]', '', half)}", dayfirst=is_day_first), zone)
        except (ValueError, OverflowError):
            yield number, "its date does not exist"
            continue
        mark = sha256(f"{at}|{speaker}|{text}".encode(errors="replace")).hexdigest()[:16]
        seen[mark] += 1
        yield number, Said(external_id=f"{mark}/{seen[mark]}", conversation=conversation, speaker=speaker, text=text, at=at)
