"""FAKE: a clock that tells the time it is set to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """FAKE: starts at noon of a day in November and moves only when told to."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return self.moment

    def advance(self, *, seconds: float) -> datetime:
        """Let time pass; the new present."""
        self.moment += timedelta(seconds=seconds)
        return self.moment
