"""Where a message comes from or goes to, and who is behind it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class SessionType(StrEnum):
    """Who can read along in a conversation."""

    PRIVATE = "private"
    SHARED = "shared"


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A conversation: the channel's name, and the channel's own id of the conversation in it."""

    channel: str
    conversation: str
    session_type: SessionType = SessionType.PRIVATE


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """An account on a channel, as the channel names it."""

    channel: str
    account: str
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Someone Robbie knows; every account of theirs leads here. `timezone` is an IANA name."""

    id: UUID
    name: str
    role: str
    timezone: str

    @property
    def is_owner(self) -> bool:
        """Whether this is the one Robbie works for."""
        return self.role == "owner"
