"""The ladder of autonomy: what Robbie does by himself, what he does and tells, and what he asks about first."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum

from bot.brain.reactive import one_line
from bot.domain.address import Person
from bot.domain.clock import Clock
from bot.domain.errand import Errand, Risk
from bot.domain.errors import ToolFailed
from bot.services.journal import added, record
from storage.database import Database, UnitOfWork

NAME = "autonomy"
"""Of the settings that keep it: `autonomy` is the level, `autonomy:KIND` what holds for one kind of action."""
DEFAULT = "default"
"""What takes back that a kind was set apart."""


class Level(StrEnum):
    """How much is left to Robbie, from little to much."""

    ASSISTED = "assisted"
    SEMI = "semi"
    HIGHLY = "highly"
    FULLY = "fully"


class Verdict(StrEnum):
    """What becomes of an action: it is done, done and told, or asked about first."""

    DO = "do"
    TELL = "tell"
    ASK = "ask"


LADDER: Mapping[Level, tuple[Verdict, Verdict, Verdict, Verdict]] = {
    Level.ASSISTED: (Verdict.DO, Verdict.ASK, Verdict.ASK, Verdict.ASK),
    Level.SEMI: (Verdict.DO, Verdict.DO, Verdict.ASK, Verdict.ASK),
    Level.HIGHLY: (Verdict.DO, Verdict.DO, Verdict.TELL, Verdict.ASK),
    Level.FULLY: (Verdict.DO, Verdict.DO, Verdict.DO, Verdict.TELL),
}
"""For each level, by risk: what only looks, one's own lists, what others rely on, what leaves the house."""
WORDS = (*Level, *Verdict)
"""What a kind can be set to: the place it would have at a level, or a verdict itself."""


def decide(level: str, overrides: Mapping[str, str], kind: str, risk: Risk, errand: Errand) -> Verdict:
    """What becomes of an action: LADDER's word, or that of its kind, unless who asked for it settles the matter.

    Looking is always done; what a text from outside may have asked for is always asked about, as is what leaves the house for somebody
    who is not the owner; and what people ask for themselves is done.
    """
    if risk is Risk.LOOK:
        return Verdict.DO
    if errand.is_untrusted:
        return Verdict.ASK
    if errand.actor == "person":
        return Verdict.DO
    if risk is Risk.OUTWARD and not errand.person.is_owner:
        return Verdict.ASK
    word = overrides.get(kind, level)
    return Verdict(word) if word in tuple(Verdict) else LADDER[Level(word)][risk]


class Autonomy:
    """Keeps and tells how far each person lets Robbie go. `kinds` are the actions there are; *level* and *overrides* are config's."""

    def __init__(
        self, *, database: Database, clock: Clock, level: str, overrides: Mapping[str, str], kinds: Callable[[], Mapping[str, Risk]]
    ) -> None:
        self._database = database
        self._clock = clock
        self._level = level
        self._overrides = overrides
        self.kinds = kinds

    async def standing(self, work: UnitOfWork, person: Person) -> tuple[str, Mapping[str, str]]:
        """What holds for this person now: the level, and the kinds that are set apart."""
        rows = await work.settings.holding(person.id, self._clock.now())
        own = {row.name: row.value for row in rows if row.name.partition(":")[0] == NAME and row.value in _known(row.name != NAME)}
        kinds = {name.partition(":")[2]: word for name, word in own.items() if name != NAME}
        return own.get(NAME, self._level), {kind: word for kind, word in {**self._overrides, **kinds}.items() if word != DEFAULT}

    async def verdict(self, kind: str, risk: Risk, errand: Errand) -> Verdict:
        """What is to become of an action of this kind. Raises StorageUnavailable."""
        async with self._database.reading() as work:
            return decide(*await self.standing(work, errand.person), kind, risk, errand)

    async def set(self, errand: Errand, word: str, kind: str = "") -> str:
        """Have another level hold, or a word for one kind; what there is to say. Raises ToolFailed with the nearest right form."""
        now, risk = self._clock.now(), self.kinds().get(kind)
        if kind and risk is None:
            raise ToolFailed(_nearest(kind, self.kinds(), "I know no kind of action called"))
        known = _known(bool(kind))
        if word not in known:
            raise ToolFailed(_nearest(word, known, "There is no such step as"))
        if risk is Risk.OUTWARD and not errand.person.is_owner:
            raise ToolFailed(f"Only the owner can set {kind}: it leaves the house, and is always asked about first.")
        async with self._database.unit_of_work() as work:
            await keep(work, errand, word, kind, now=now)
        return f"{kind or 'Autonomy'} is at **{word}** from now on. `/undo` takes that back."

    async def share_alone(self, person: Person, since: datetime) -> tuple[int, int]:
        """How many of the things done or proposed for this person Robbie did alone, and of how many."""
        async with self._database.reading() as work:
            alone = await work.activities.done_alone(person.id, since=since)
            return alone, alone + await work.proposals.count_since(person.id, since)


async def keep(work: UnitOfWork, errand: Errand, word: str, kind: str, *, now: datetime) -> None:
    """Keep a level, or a word for one kind, once for the errand's key."""
    name = f"{NAME}:{kind}" if kind else NAME
    values = {"user_id": errand.person.id, "context": "*", "name": name, "value": word, "source": errand.actor, "at": now}
    setting = await work.settings.add(**values, source_id=errand.source_id)
    text = f"set {kind or 'autonomy'} to {word}"
    if not await record(work, errand, "setting.autonomy", text, now=now, undo=added("settings", setting)):
        await work.settings.void(setting, now)


def _known(is_of_kind: bool) -> tuple[str, ...]:
    """What a kind, or the level itself, can be set to."""
    return (*WORDS, DEFAULT) if is_of_kind else tuple(Level)


def _nearest(word: str, known: Mapping[str, Risk] | tuple[str, ...], complaint: str) -> str:
    near = difflib.get_close_matches(word[:40], list(known), n=1, cutoff=0.4)
    return f"{complaint} `{one_line(word, 40)}`. " + (
        f"Did you mean `{near[0]}`?" if near else f"There are: {', '.join(known) or 'none yet'}."
    )
