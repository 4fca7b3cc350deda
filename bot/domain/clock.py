"""What time it is, and new ids: the two things a test must be able to choose."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from uuid_utils.compat import uuid7


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return datetime.now(UTC)


class _Ids:
    """The sequence of this process's ids; uuid7 itself keeps such a one, but follows the clock when that is set back."""

    def __init__(self) -> None:
        self._latest = 0

    def next(self) -> UUID:
        """A UUIDv7: unique, and after all earlier ones of this process and those it was told of, also where the clock is set back."""
        made = uuid7().int
        if made <= self._latest:
            made = (self._latest // _MILLISECOND + 1) * _MILLISECOND + made % _MILLISECOND
        self._latest = made
        return UUID(int=made)

    def begin_after(self, id: UUID) -> None:
        """From now on ids sort after *id*, which another process made, perhaps by a clock that was ahead."""
        self._latest = max(self._latest, id.int)


_MILLISECOND = 1 << 80
"""By so much ids differ of which one was made a millisecond later (RFC 9562: the first 48 of 128 bits count them)."""
_ids = _Ids()
new_id, begin_ids_after = _ids.next, _ids.begin_after
