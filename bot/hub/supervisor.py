"""Keeps each channel listening: one that falls is begun anew, one that is deaf is woken, one that is shut out is told of elsewhere."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self
from zoneinfo import ZoneInfo

import structlog
from prometheus_client import CollectorRegistry, Gauge

from bot.domain.clock import Clock
from bot.domain.errors import ChannelRefused, RobbieError, StorageError
from bot.domain.ports import Door, Reception
from bot.services.notices import tell
from storage.database import Database

log = structlog.get_logger(__name__)

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 12.0
"""A channel that was away is heard again within half a minute of its return."""
REFUSED_WAIT_SECONDS = 60.0
CLOSE_SECONDS = 2.0


class ChannelState(StrEnum):
    """How a channel is doing."""

    STARTING = "starting"
    UP = "up"
    DOWN = "down"
    REFUSED = "refused"


SPOKEN = {
    ChannelState.DOWN: "{channel} is out of reach since {at}. I try again all the time; what I owe there is kept.",
    ChannelState.REFUSED: "{channel} is closed to me since {at}: my token or password is not accepted. `robbie doctor` tells more.",
}
SHUT_OUT = """I am shut out of **{channel}**: it does not accept my token or password any more. Until that is mended I neither hear nor \
answer there; what I owe there is kept. `robbie doctor` tells more, `robbie init` takes a new one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelHealth:
    """One channel: its state, since when, and why."""

    state: ChannelState
    since: datetime
    detail: str = ""


class Supervisor:
    """Listens at every door from entering to leaving. What happens to one of them is nothing to the others. `health`: how each one is."""

    def __init__(
        self, *, doors: Sequence[Door], reception: Reception, database: Database, clock: Clock, registry: CollectorRegistry
    ) -> None:
        self._doors = doors
        self._reception = reception
        self._database = database
        self._clock = clock
        self.health: dict[str, ChannelHealth] = {}
        self._tasks: list[asyncio.Task[None]] = []
        up = Gauge("robbie_channel_up", "Whether a channel is heard", ["channel"], registry=registry)
        for door in doors:
            self._set(door, ChannelState.STARTING)
            up.labels(door.channel).set_function(self._is_up(door.channel))

    def troubles(self, zone: str) -> Sequence[str]:
        """What is to be said of channels that are not heard, with the time in *zone*."""
        return [
            SPOKEN[health.state].format(channel=channel.capitalize(), at=f"{health.since.astimezone(ZoneInfo(zone)):%H:%M}")
            for channel, health in self.health.items()
            if health.state in SPOKEN
        ]

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._keep(door), name=f"keep {door.channel}") for door in self._doors]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * CLOSE_SECONDS)

    async def _keep(self, door: Door) -> None:
        wait = FIRST_WAIT_SECONDS
        while True:
            fallen = await self._listen(door)
            if isinstance(fallen, ChannelRefused):
                await self._refused(door, fallen)
                await asyncio.sleep(REFUSED_WAIT_SECONDS)
                continue
            if self.health[door.channel].state is ChannelState.UP:
                wait = FIRST_WAIT_SECONDS
            self._fell(door, fallen)
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  many hubs are not to come back at once
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)

    async def _listen(self, door: Door) -> Exception:
        """Listen until it falls, or gives no sign of life for too long; why it ended."""
        loop = asyncio.get_running_loop()
        latest = loop.time()

        def told() -> None:
            nonlocal latest
            latest = loop.time()
            if self.health[door.channel].state is not ChannelState.UP:
                log.info("channel.rose", channel=door.channel)
                self._set(door, ChannelState.UP)

        listening = asyncio.create_task(door.listen(self._reception, told), name=f"listen {door.channel}")
        try:
            while not listening.done() and loop.time() < latest + door.deaf_seconds:
                await asyncio.wait([listening], timeout=latest + door.deaf_seconds - loop.time())
            if listening.done():
                error = None if listening.cancelled() else listening.exception()
                return error if isinstance(error, Exception) else RobbieError("it stopped listening")
            return RobbieError(f"no sign of life for {door.deaf_seconds:g} s")
        finally:
            listening.cancel()
            await asyncio.wait([listening], timeout=CLOSE_SECONDS)

    def _fell(self, door: Door, error: Exception) -> None:
        if self.health[door.channel].state is not ChannelState.DOWN:
            is_expected = isinstance(error, RobbieError)
            log.warning("channel.fell", channel=door.channel, error=str(error), exc_info=None if is_expected else error)
            self._set(door, ChannelState.DOWN, str(error) if is_expected else type(error).__name__)

    async def _refused(self, door: Door, error: ChannelRefused) -> None:
        """Only the owner can mend that, and hears of it on another channel; once a day at most."""
        if self.health[door.channel].state is not ChannelState.REFUSED:
            log.error("channel.refused", channel=door.channel, error=str(error))
            self._set(door, ChannelState.REFUSED, str(error))
        now, key = self._clock.now(), f"{door.channel}/{self._clock.now():%Y-%m-%d}"
        try:
            async with self._database.unit_of_work() as work:
                if await work.incidents.add_once(kind="channel", key=key, detail=str(error), now=now):
                    owner = await work.people.owner()
                    await tell(work, owner.id, SHUT_OUT.format(channel=door.channel), now=now, except_on=(door.channel,))
        except StorageError as trouble:
            log.warning("channel.not_told", channel=door.channel, error=str(trouble))

    def _set(self, door: Door, state: ChannelState, detail: str = "") -> None:
        self.health[door.channel] = ChannelHealth(state=state, since=self._clock.now(), detail=detail)

    def _is_up(self, channel: str) -> Callable[[], float]:
        return lambda: float(self.health[channel].state is ChannelState.UP)
