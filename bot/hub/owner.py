"""Names this process in the ledger, tells which of the other names there belong to dead processes, and holds leases under its own."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.domain.clock import Clock
from bot.domain.errors import StorageError
from storage.database import Database
from storage.repositories.base import Claim

END_SECONDS = 2.0
LEASE_SECONDS = 20.0
"""Of a claim, which is renewed while its work goes on."""


def name_myself() -> str:
    """This process's name: host, process id, and a word that no other run has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def claim_of(owner: str, clock: Clock) -> Claim:
    """A claim of this owner's, from now on."""
    now = clock.now()
    return Claim(owner=owner, now=now, until=now + timedelta(seconds=LEASE_SECONDS))


def is_dead(owner: str, me: str) -> bool:
    """Whether *owner* is certainly gone: it ran on this host, under a process id that is free now or is my own."""
    host, pid, _ = owner.rsplit(":", 2)
    my_host, my_pid, _ = me.rsplit(":", 2)
    if owner == me or host != my_host:
        return False
    return pid == my_pid or not _is_running(int(pid))


class Lease:
    """What one process alone may do at a time, while it holds this; whoever is certainly dead holds nothing."""

    def __init__(self, name: str, *, database: Database, owner: str, clock: Clock, seconds: float) -> None:
        self._name = name
        self._database = database
        self._owner = owner
        self._clock = clock
        self._life = timedelta(seconds=seconds)
        self._until = datetime.min.replace(tzinfo=UTC)

    async def is_held(self) -> bool:
        """Whether this process holds it; it is renewed when half of it is over. Raises StorageUnavailable."""
        now = self._clock.now()
        if self._until - now > self._life / 2:
            return True
        until = now + self._life
        async with self._database.unit_of_work() as work:
            holder = await work.housekeeping.holder(self._name)
            if holder is not None and is_dead(holder, self._owner):
                await work.housekeeping.end_lease(self._name, owner=holder)
            is_held = await work.housekeeping.lease(self._name, owner=self._owner, now=now, until=until)
        self._until = until if is_held else now
        return is_held

    async def end(self) -> None:
        """Another may begin at once."""
        self._until = datetime.min.replace(tzinfo=UTC)
        with suppress(StorageError, TimeoutError):
            async with asyncio.timeout(END_SECONDS), self._database.unit_of_work() as work:
                await work.housekeeping.end_lease(self._name, owner=self._owner)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process is dead, and only its parent has not yet looked; where that cannot be told, it is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in ("Z", "X")
    except (OSError, IndexError):
        return False
