"""The words of doing: what is asked to be done, for whom and why, and what a tool promises to whoever calls it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol
from uuid import UUID

from pydantic import BaseModel

from bot.domain.address import Person, SessionType


class Risk(IntEnum):
    """How much harm an action could do: it only looks; changes one's own lists; changes what others rely on; leaves the house."""

    LOOK = 0
    OWN = 1
    SHARED = 2
    OUTWARD = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Errand:
    """On whose behalf something is done, and why. The same `key` is done once, however often it is asked for.

    `actor` is who does it: the person (by a command, button or page) or robbie (a model's tool call, a rule). `is_untrusted`: text from
    outside (a mail, a file, a web page, a foreign tool) may have asked for it, so that it is only ever proposed.
    """

    person: Person
    key: str
    why: str
    actor: str = "person"
    conversation_id: UUID | None = None
    source_id: UUID | None = None
    session_type: SessionType = SessionType.PRIVATE
    is_untrusted: bool = False


OUTSIDE = "<outside>"
_FRAME = re.compile(
    r"[<＜﹤](?:[\s/\u00ad\u200b-\u200f\u2060-\u206f\ufeff]*(?:mail|file|draft|memory|outside|said)\b|[\s/]*[^\s<>]{0,30}?[^\x00-\x7f\s<>])",
    re.IGNORECASE,
)
"""One of our frames, or what a reader may take for one: no tag of any format has letters beyond ASCII."""


def inert(text: str) -> str:
    """*text* that cannot end the frame it is put into, nor seem to."""
    return _FRAME.sub(lambda found: f"‹{found.group()[1:]}", text)


def from_outside(text: str) -> str:
    """A tool's result, or a part of it, that somebody outside wrote: in a frame that it cannot end, by which it is known as material."""
    return f"{OUTSIDE}\n{inert(text)}\n</outside>"


class Tool(Protocol):
    """Something a model, a rule or an approved proposal can have Robbie do. `kind` is what the ladder knows it by, such as task.add."""

    @property
    def name(self) -> str:
        """What a model calls it by: letters and underscores."""

    @property
    def description(self) -> str:
        """What it does, in one sentence for a model."""

    @property
    def kind(self) -> str:
        """What sort of action it is, as the ladder of autonomy lists it."""

    @property
    def risk(self) -> Risk:
        """How much harm it could do."""

    @property
    def arguments(self) -> type[BaseModel]:
        """What it wants to know; names, types and descriptions are told to the model."""

    async def run(self, arguments: Any, errand: Errand) -> str:
        """Do it, once for the errand's key, and say what was done or found. Raises NotAllowed, StorageUnavailable, ToolFailed."""


def is_repeatable(tool: Tool) -> bool:
    """Whether running it again for the same errand does nothing. One elsewhere cannot promise that, and says `is_repeatable = False`."""
    return bool(getattr(tool, "is_repeatable", True))


def seconds_of(tool: Tool) -> float:
    """How long it may take, 10 s where it does not say; what asks a model in its turn needs more."""
    return float(getattr(tool, "seconds", 10.0))


class Gate(Protocol):
    """Where every action passes: by its risk, the ladder of autonomy and who asked, it is done, done and told, or proposed."""

    async def run(self, tool: Tool, arguments: BaseModel, errand: Errand) -> str:
        """Have it done or proposed; what came of it, for whoever asked. Raises what the tool raises."""
