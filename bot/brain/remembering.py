"""What of a message is remembered, by whose word, and in which parts: pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from bot.brain.personality import is_intimate_tone
from bot.domain.clock import new_id
from bot.domain.memory import Trust
from bot.domain.message import OutgoingKind
from bot.domain.thought import Tier
from storage.models.memory import Memory

PAUSE = timedelta(hours=4)
"""After so long a silence, what is said in a conversation belongs to another session."""
LONGEST_PART = 1_500
"""Characters: about what an embedder reads of a text; a longer one is remembered in parts, cut where a sentence ends if one does."""
ROBBIE = "Robbie"
ANSWERS = (OutgoingKind.ANSWER, OutgoingKind.LATE)
_ORDER = re.compile(r"\s*/[a-z]{1,32}\b", re.I)
_END = re.compile(r"\n\s*\n|[.!?…](?=\s)|\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class Saying:
    """Something said that is to be remembered: `external_id` is unique within its `thread`."""

    thread: str
    external_id: str
    speaker: str
    text: str
    at: datetime
    user_id: UUID
    place: str
    trust: Trust
    message_id: UUID | None = None


def is_memorable(text: str) -> bool:
    """Whether a person's words are worth finding again; an order to Robbie is not."""
    return bool(text.strip()) and _ORDER.match(text) is None


def trust_of_answer(kind: str, personality: str | None, details: Mapping[str, Any]) -> Trust | None:
    """By whose word an answer of Robbie's is remembered; None for what is no answer of a model's."""
    if kind not in ANSWERS or details.get("tier") == Tier.REACTIVE:  # what was computed repeats rows that may be forgotten, or codes
        return None
    return Trust.OUTSIDE if details.get("outside") else Trust.INTIMATE if is_intimate_tone(personality) else Trust.ROBBIE


def memories_of(saying: Saying, last: Memory | None, *, organization: str, timezone: str) -> list[Memory]:
    """The rows of something said; *last* is what was remembered before it in its thread."""
    goes_on = last is not None and abs(saying.at - last.at) < PAUSE
    session, position = (last.session, last.position + 1) if last is not None and goes_on else (new_id(), 0)
    local = saying.at.astimezone(ZoneInfo(timezone))
    return [
        Memory(
            organization_id=organization,
            id=new_id(),
            number=0,
            user_id=saying.user_id,
            thread=saying.thread,
            session=session,
            position=position + part,
            part=part,
            external_id=saying.external_id,
            speaker=saying.speaker,
            said=said,
            day=f"{local.day} {local:%B %Y}",
            at=saying.at,
            place=saying.place,
            trust=saying.trust,
            message_id=saying.message_id,
        )
        for part, said in enumerate(parts_of(saying.text))
    ]


def revised(memory: Memory, text: str) -> list[Memory]:
    """The rows of a message that reads otherwise now, in the place of the first it had."""
    values = {column.key: getattr(memory, column.key) for column in Memory.__table__.columns}
    return [
        Memory(**{**values, "id": new_id(), "part": part, "position": memory.position + part, "said": said, "packed": None, "aged": 0})
        for part, said in enumerate(parts_of(text))
    ]


def parts_of(text: str) -> list[str]:
    """*text* in parts of at most `LONGEST_PART` characters; nothing of it is lost but the blanks between them."""
    parts, rest = [], text.strip()
    while len(rest) > LONGEST_PART:
        ends = [found.end() for found in _END.finditer(rest, LONGEST_PART // 2, LONGEST_PART)]
        at = ends[-1] if ends else rest.rfind(" ", LONGEST_PART // 2, LONGEST_PART) + 1 or LONGEST_PART
        parts.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*parts, rest] if rest else parts
