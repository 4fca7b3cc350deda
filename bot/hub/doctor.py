"""Looks at everything Robbie needs and says of each part whether it is well and, if not, how to mend it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar
from zoneinfo import ZoneInfo

from bot.brain.call import Rung
from bot.brain.catalog import deprecation, known_models
from bot.brain.gguf import KNOWN, SMOLLM2, cache_folder, is_present, resolve
from bot.brain.health import BreakerState
from bot.brain.levels import find_gaps
from bot.brain.mcp_tools import McpTools
from bot.brain.mesh import DRAINED
from bot.brain.pricing import Prices
from bot.config import Config
from bot.domain.clock import Clock
from bot.domain.errors import CredentialsRejected, ProviderError, RobbieError, StorageError
from bot.domain.finding import Finding, Status
from bot.domain.memory import Embedder
from bot.domain.ports import Door
from bot.domain.thought import Usage
from bot.hub.memory_health import examine_memory
from storage.database import Database, UnitOfWork
from storage.schema import schema_status

T = TypeVar("T")

LOOK_SECONDS = 8.0
"""Bound on asking one level or node how it is."""
LITTLE_SPACE = 500 * 2**20
NO_SPACE = 50 * 2**20
CLOCK_SLACK = timedelta(minutes=5)
OFFERED = 6
"""Names of a vendor's current list that one line offers."""

ok, warn, fail = (partial(Finding, status=status) for status in Status)
_ON_SERVER = "check that it runs, the address, and the rights on it"
_IN_FILE = "see that the disk has room and that Robbie may write the file and its folder; if it is damaged, restore a backup"


@dataclass(frozen=True, kw_only=True, slots=True)
class Doctor:
    """Examines; changes nothing, and spends no tokens."""

    config: Config
    database: Database
    rungs: Sequence[Rung]
    prices: Prices
    environ: Mapping[str, str]
    clock: Clock
    doors: Sequence[Door] = ()
    mcp: McpTools | None = None
    embedder: Embedder | None = None

    async def examine(self) -> AsyncIterator[Finding]:
        """One finding after another, each as soon as it is known."""
        levels, people = len(self.config.brain.levels), len(self.config.household())
        yield ok(part="config", detail=f"levels: {levels}, people: {people}")
        yield await self._data()
        async for finding in self._levels():
            yield finding
        for examining in asyncio.as_completed([self._channel(door) for door in self.doors]):
            for finding in await examining:
                yield finding
        for finding in await self.mcp.examine() if self.mcp else ():
            yield finding
        yield await self._memory()
        yield self._disk()
        yield await self._time()

    async def _channel(self, door: Door) -> Sequence[Finding]:
        try:
            async with asyncio.timeout(2 * LOOK_SECONDS):
                return await door.examine()
        except (RobbieError, TimeoutError) as error:
            detail = str(error) or f"nothing came in {2 * LOOK_SECONDS:.0f} s"
            return [fail(part=door.channel, detail=detail, repair="check the network, then `robbie init`")]

    async def _data(self) -> Finding:
        where, file = self.database.place, self.database.file
        if file is not None and not file.exists():
            return warn(part="database", detail=f"{where} does not exist yet", repair="`robbie run` makes it")
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                status = await schema_status(self.database)
                await self.database.check_writing()
        except (StorageError, TimeoutError) as error:
            repair = _ON_SERVER if file is None else _IN_FILE
            return fail(part="database", detail=str(error) or f"{where}: no answer", repair=repair)
        if status.is_newer:
            detail = f"{where}: made by a newer Robbie ({status.current})"
            return fail(part="database", detail=detail, repair="update Robbie, or restore a backup from before")
        if status.pending:
            return warn(part="database", detail=f"{where}: migrations wait: {', '.join(status.pending)}", repair="`robbie db upgrade`")
        return ok(part="database", detail=f"{where}, revision {status.current}")

    async def _levels(self) -> AsyncIterator[Finding]:
        """Every level and node, all asked at once. One that is out is a warning while another one answers."""
        for gap in find_gaps(self.config.brain.levels, self.config.mesh.nodes):
            yield warn(part=f"level {gap.level}", detail=gap.reason, repair=gap.repair)
        looked = await asyncio.gather(*(self._level(rung) for rung in self.rungs))
        failed = {row.rung for row in await self._told(lambda work: work.health.all()) or () if row.state != BreakerState.CLOSED}
        drained = (await self._told(lambda work: work.housekeeping.cursor(DRAINED)) or "").splitlines()
        findings = [_drained(each) if rung.node in drained else each for rung, each in zip(self.rungs, looked, strict=True)]
        for finding in (_doubted(finding) if rung.id in failed else finding for rung, finding in zip(self.rungs, findings, strict=True)):
            yield finding
        well = sum(finding.status is Status.OK for finding in findings)
        usable = sum(finding.can_answer is True for finding in findings)
        if usable == 0:
            detail = "no level can answer: only the honest offline reply is left"
            repair = f"`robbie model fetch {SMOLLM2.name}` gets the embedded model, which needs no key; `robbie init` asks for keys"
            yield fail(part="chain", detail=detail, repair=repair)
        else:
            yield ok(part="chain", detail=f"{usable} of {len(findings)} levels can answer, {well} without a remark")

    async def _level(self, rung: Rung) -> Finding:
        provider, model = rung.provider.provider, rung.provider.model
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                served = await rung.provider.models()
        except TimeoutError:
            return _out(rung, f"nothing came in {LOOK_SECONDS:.0f} s", "is its server up?")
        except CredentialsRejected as error:
            return _out(rung, str(error), "`robbie init` asks for a new key and tests it")
        except ProviderError as error:
            return _out(rung, str(error), self._repair(rung))
        if served and model not in served and f"{model}:latest" not in served:  # Ollama adds that to a bare name; some servers list nothing
            return _out(rung, f"{model} is not served here", _offer(provider, served))
        least = self.prices.cost_usd(provider, model, Usage(output_tokens=rung.max_output_tokens), level=rung.level)
        if least > self.config.brain.daily_usd:
            detail = f"{model} is never asked: one call can cost ${least:.2g} and more, daily_usd is ${self.config.brain.daily_usd:g}"
            return _out(rung, detail, "raise daily_usd, or lower max_output_tokens of this level")
        # a server of the owner's choice serves what it likes under names of its own
        is_elsewhere = any(level.name == rung.level and level.base_url for level in self.config.brain.levels)
        if not is_elsewhere and (ending := deprecation(provider, model)):
            return _answering(rung, ending, _offer(provider, [name for name in served if name != model]))
        if not self.prices.known(provider, model, level=rung.level):
            repair = "its calls are reckoned at the vendor's dearest price until bot/brain/prices.toml names it"
            return _answering(rung, f"{model} answers, but its price is not known", repair)
        return _answering(rung, f"{provider} {model}")

    def _repair(self, rung: Rung) -> str:
        match rung.provider.provider:
            case "local" if rung.provider.model in KNOWN:
                return "`robbie model fetch`"
            case "local" if is_present(resolve(rung.provider.model, self.environ)):
                return "`pip install 'robbie[local]'`"
            case "local":
                return "correct the path in config.toml"
            case "ollama":
                return "start it (`ollama serve`), or correct its address under [[mesh.nodes]]"
            case _:
                return "check the network and base_url; the vendor's status page may know more"

    async def _memory(self) -> Finding:
        """What is remembered, and by what it is found."""
        if self.database.file is not None and not self.database.file.exists():
            return ok(part="memory", detail="nothing is remembered yet")
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await examine_memory(self.database, self.embedder, self.config.memory)
        except (StorageError, TimeoutError) as error:
            return warn(part="memory", detail=str(error) or f"not looked through in {LOOK_SECONDS:.0f} s", repair="`robbie db status`")

    def _disk(self) -> Finding:
        wanted = self.config.robbie.data_dir
        folder = next(path for path in (wanted, *wanted.absolute().parents) if path.exists())
        free = shutil.disk_usage(folder).free
        if not os.access(folder, os.W_OK):
            return fail(part="disk", detail=f"{folder} cannot be written", repair="give Robbie the right to write there")
        status = Status.FAIL if free < NO_SPACE else Status.WARN if free < LITTLE_SPACE else Status.OK
        repair = "" if status is Status.OK else f"make room; the embedded model lives in {cache_folder(self.environ)}"
        return Finding(part="disk", status=status, detail=f"{free / 2**30:.1f} GiB free at {folder}", repair=repair)

    async def _time(self) -> Finding:
        """The clock must not run behind what was written by it."""
        now, latest = self.clock.now(), await self._told(lambda work: work.messages.latest_at())
        if latest is not None and latest > now + CLOCK_SLACK:
            detail = f"it is {now:%Y-%m-%d %H:%M} UTC by this clock, but a message is dated {latest:%Y-%m-%d %H:%M}"
            return fail(part="clock", detail=detail, repair="set the clock (timedatectl set-ntp true)")
        local = now.astimezone(ZoneInfo(self.config.robbie.timezone))
        return ok(part="clock", detail=f"{local:%Y-%m-%d %H:%M} in {self.config.robbie.timezone}")

    async def _told(self, question: Callable[[UnitOfWork], Awaitable[T]]) -> T | None:
        """What the database says, where it can be asked; one that does not exist is not made by asking."""
        if self.database.file is not None and not self.database.file.exists():
            return None
        try:
            async with asyncio.timeout(LOOK_SECONDS), self.database.reading() as work:
                return await question(work)
        except (StorageError, TimeoutError):
            return None


def _out(rung: Rung, reason: str, repair: str) -> Finding:
    """A level that cannot be asked: a warning, since another one may answer."""
    return replace(_answering(rung, f"does not answer: {reason}", repair), can_answer=False)


def _drained(finding: Finding) -> Finding:
    """A level on a node that the owner took out of work."""
    detail = f"its node is drained, so that it is not asked; {finding.detail}"
    return replace(finding, status=Status.WARN, detail=detail, repair="`robbie mesh return` and its name", can_answer=False)


def _doubted(finding: Finding) -> Finding:
    """A level that looks well, and yet failed at the last questions it was asked."""
    if not finding.can_answer:
        return finding
    repair = finding.repair or "it is tried again by itself; if it goes on failing, look at its server or its model file"
    return replace(finding, status=Status.WARN, detail=f"{finding.detail}, but it failed at what it was asked last", repair=repair)


def _answering(rung: Rung, detail: str, repair: str = "") -> Finding:
    """A level that can be asked, and what there is to remark on it, where something can be mended."""
    part = f"level {rung.level}" + (f" on {rung.node}" if rung.node else "")
    return Finding(part=part, status=Status.WARN if repair else Status.OK, detail=detail, repair=repair, can_answer=True)


def _offer(provider: str, served: Sequence[str]) -> str:
    """Models to change to: those that are served, the ones the SDK names first; what the SDK names where the server told none."""
    known = known_models(provider)
    if not served:
        return f"named by the installed {provider} SDK: {', '.join(known[:OFFERED])}"
    ordered = [*(name for name in known if name in served), *(name for name in served if name not in known)]
    return f"served now: {', '.join(ordered[:OFFERED])}"
