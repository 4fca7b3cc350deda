"""Foretells which levels are about to fail, has the next one made ready, and sees afterwards what came true."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from bot.brain.chain import FallbackChain
from bot.brain.forecast import ALARM, HORIZON, Score, scored
from bot.domain.thought import AttemptOutcome
from storage.database import Database, UnitOfWork
from storage.models.models import ModelUsage

KIND = "failure"
EXCUSED = ("BudgetExhausted", "ContextTooLong", "RequestRejected")


class Forecasts:
    """A round. A level's failure is foretold once in a HORIZON of the clock, and *warm*, which bounds itself, readies the next level."""

    name = "forecasts"

    def __init__(self, *, database: Database, chain: FallbackChain, warm: Callable[[str], Awaitable[None]]) -> None:
        self._database = database
        self._chain = chain
        self._warm = warm
        self._slot = 0
        self._told: set[str] = set()

    async def look(self, now: datetime) -> datetime | None:
        """Judge once in a HORIZON, and foretell where there is a reason. Raises StorageUnavailable."""
        slot, ahead = int(now.timestamp() // HORIZON.total_seconds()), ""
        if slot != self._slot:
            async with self._database.unit_of_work() as work:
                await judge(work, now)
            self._slot, self._told = slot, set()
        for level in reversed(dict.fromkeys(rung.level for rung in self._chain.rungs)):
            if (risk := self._chain.risk(level)) < ALARM:
                ahead = level
            elif level not in self._told:
                text, until = f"{level} may fail soon (risk {risk:.2f})", now + HORIZON
                async with self._database.unit_of_work() as work:
                    if await work.job_runs.mark(self.name, f"{level}/{slot}", now):
                        await work.insights.add(kind=KIND, key=level, text=text, details={"risk": risk}, at=now, due_at=until)
                self._told.add(level)
                if ahead:
                    await self._warm(ahead)
        return None


async def judge(work: UnitOfWork, now: datetime) -> None:
    """Say of each prediction whether it came true, a HORIZON after its time: a call is written down when its turn ends."""
    due = [each for each in await work.insights.unjudged(KIND) if each.due_at is None or each.due_at + HORIZON <= now]
    calls = await work.usage.since(min(each.at for each in due)) if due else ()
    for each in due:
        await work.insights.judge(each.id, outcome=scored([(each.key, each.at)], failures(calls)).true, judged_at=now)


async def precision_recall(work: UnitOfWork, since: datetime, calls: Sequence[ModelUsage]) -> Score:
    """How good the predictions since then were that are judged, by what became of these *calls*."""
    told = [each for each in await work.insights.since(KIND, since) if each.outcome is not None]
    score = scored([(each.key, each.at) for each in told], failures(calls))
    return score._replace(true=sum(each.outcome == 1 for each in told))


def failures(calls: Sequence[ModelUsage]) -> Sequence[tuple[str, datetime]]:
    """Which levels failed at a question, by no fault of that and with no node of theirs to answer it; and when."""
    failed = {(call.level, call.event_id or call.id): call.at for call in calls if call.error and call.error not in EXCUSED}
    answered = {(call.level, call.event_id) for call in calls if call.outcome == AttemptOutcome.ANSWERED}
    return [(asked[0], at) for asked, at in failed.items() if asked not in answered]
