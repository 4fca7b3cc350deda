"""What decisions teach: whether a kind of action should be left to Robbie more, or less. It is asked about, never changed by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from bot.domain.address import Person
from bot.domain.errand import Errand, Risk
from bot.services.approvals import errand_of, propose
from bot.services.autonomy import Autonomy, Verdict, decide, keep
from storage.database import Database, UnitOfWork
from storage.models.decisions import Proposal, ProposalState

SUGGESTION = "autonomy"
"""The kind of proposal that changes the ladder."""
COUNTED, LOOKED_AT = 20, 500
"""Of each kind; and of all kinds together."""
YESES, NOES, AMONG = 8, 3, 5
APART = timedelta(days=7)
REST = timedelta(minutes=15)
FROM_HOUR = 9
"""Local time: nobody is woken for this."""


class Outcome(StrEnum):
    """What became of something that Robbie proposed, or did alone."""

    APPROVED = "approved"
    EDITED = "edited"
    REJECTED = "rejected"
    EXPIRED = "expired"
    KEPT = "kept"
    UNDONE = "taken back"


_OUTCOMES = dict.fromkeys((ProposalState.APPROVED, ProposalState.DONE, ProposalState.FAILED), Outcome.APPROVED) | {
    ProposalState.REJECTED: Outcome.REJECTED,
    ProposalState.EXPIRED: Outcome.EXPIRED,
}


def suggest(history: Sequence[Outcome]) -> Verdict | None:
    """What its outcomes, newest first, say a kind should come to: the last 8 approved unchanged, it may be done and told; 3 of the last 5
    rejected or taken back, it should be asked about; else nothing.
    """
    if len(history) >= YESES and all(each is Outcome.APPROVED for each in history[:YESES]):
        return Verdict.TELL
    if sum(each in (Outcome.REJECTED, Outcome.UNDONE) for each in history[:AMONG]) >= NOES:
        return Verdict.ASK
    return None


class Lessons:
    """A round: once a day and person it looks back, and asks; at most once a week about one kind, and of what happened since then."""

    name = "lessons"

    def __init__(self, *, database: Database, autonomy: Autonomy) -> None:
        self._database = database
        self._autonomy = autonomy
        self._again: datetime | None = None

    async def look(self, now: datetime) -> datetime | None:
        """Ask what there is to ask. Raises StorageUnavailable."""
        if self._again is not None and now < self._again:
            return self._again
        async with self._database.reading() as work:
            users = [user for user in await work.people.users() if user.role in ("owner", "member")]
        for user in users:
            local = now.astimezone(ZoneInfo(user.timezone))
            if local.hour >= FROM_HOUR:
                await self._learn(user.person, f"{user.id}/{local.date()}", now)
        self._again = now + REST
        return self._again

    async def _learn(self, person: Person, slot: str, now: datetime) -> None:
        async with self._database.unit_of_work() as work:
            if not await work.job_runs.mark(self.name, slot, now):
                return
            proposals = await work.proposals.latest(person.id, limit=LOOKED_AT)
            asked = {each.details["of"]: each for each in reversed(proposals) if each.kind == SUGGESTION}
            for kind, history in (await _histories(work, person, proposals, asked)).items():
                before = asked.get(kind)
                if before is None or before.created_at <= now - APART:
                    await self._ask(work, person, kind, history[:COUNTED], slot, now)

    async def _ask(self, work: UnitOfWork, person: Person, kind: str, history: Sequence[Outcome], slot: str, now: datetime) -> None:
        """Propose what the history suggests, where that would change anything."""
        errand = Errand(person=person, key=f"lesson/{slot}/{kind}", why="how you decided lately", actor="robbie")
        risk, step = self._autonomy.kinds().get(kind), suggest(history)
        if risk is None or step is None or (risk is Risk.OUTWARD and not person.is_owner):
            return
        is_asked = decide(*await self._autonomy.standing(work, person), kind, risk, errand) is Verdict.ASK
        if is_asked == (step is Verdict.TELL):
            counts = ", ".join(f"{history.count(each)} {each}" for each in Outcome if each in history)
            title = f"Do {kind} by myself from now on, and tell you" if is_asked else f"Ask you first about {kind} from now on"
            about, details = f"Of the last {len(history)}: {counts}. Shall I?", {"of": kind, "word": step}
            what = {"kind": SUGGESTION, "action": "setting.autonomy", "title": title, "about": about}
            await propose(work, errand, **what, risk=Risk.OWN, details=details, now=now)


async def run_suggestion(work: UnitOfWork, proposal: Proposal, now: datetime) -> str:
    """The runner of what was suggested and approved."""
    kind, word = proposal.details["of"], proposal.details["word"]
    await keep(work, await errand_of(work, proposal), word, kind, now=now)
    return f"{kind} is at **{word}** from now on. `/undo` takes that back."


async def _histories(
    work: UnitOfWork, person: Person, proposals: Sequence[Proposal], asked: Mapping[str, Proposal]
) -> Mapping[str, Sequence[Outcome]]:
    """The outcomes of each kind since it was last asked about, newest first."""
    lines = {line.key: line for line in await work.activities.latest(person.id, limit=LOOKED_AT) if line.actor == "robbie"}
    found: list[tuple[UUID, str, Outcome]] = []
    for each in proposals:
        line, outcome = lines.pop(each.key, None), _OUTCOMES.get(ProposalState(each.state))
        if outcome is not None and "action" in each.details:
            was = Outcome.EDITED if outcome is Outcome.APPROVED and each.details.get("edited") else outcome
            found.append((each.id, each.details["action"], Outcome.UNDONE if line is not None and line.undone_at else was))
    found += [(line.id, line.kind, Outcome.UNDONE if line.undone_at else Outcome.KEPT) for line in lines.values()]
    histories: dict[str, list[Outcome]] = defaultdict(list)
    for made, kind, outcome in sorted(found, reverse=True):
        if kind not in asked or made > asked[kind].id:
            histories[kind].append(outcome)
    return histories
