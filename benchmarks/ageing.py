"""What ageing costs recall, on LoCoMo's conversations: sessions found through `Recall` before and after all is summarised and packed.

The data are LoCoMo's own JSON, by `--data`. Each conversation is remembered in a database of its own, as old as it is, and asked; then the
round ages it, with no model, until nothing is left to do, and it is asked again. Session recall@5 is the share of questions that have a
session of their evidence among the first 5 sessions of the ranking. For information stand beside it what a memory of summaries alone would
find, how many tokens ten memories take in a prompt at each age, what is kept of the facts, and what packing saves.
Needs what `benchmarks/locomo.py` needs; without it, words alone are asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select

from benchmarks.figure import Figure, progress
from benchmarks.locomo import Rung, Talk, conversations, rungs
from bot.brain.chain import FallbackChain
from bot.brain.health import HealthBoard
from bot.brain.memory import Found, Recall, embedded
from bot.brain.remembering import parts_of
from bot.brain.summaries import SESSION, aged, facts_of, kept
from bot.domain.clock import SystemClock, new_id
from bot.domain.memory import Embedder, Scope, Trust
from bot.domain.thought import estimate_tokens
from bot.learning.ageing import Ageing
from storage.database import Database
from storage.models.memory import Memory, Summary
from storage.repositories.base import values_of
from storage.schema import upgrade

FIRST, RANKED, IN_PROMPT, BAR = 5, 200, 10, 0.97
AGES = {"verbatim": 1, "summarised": 10, "high_level": 60, "compressed": 400}
"""Days, of memories in a prompt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What one session says, in turns or otherwise."""

    session: UUID
    at: datetime
    lines: Sequence[tuple[str, str]]  # speaker, text


@dataclass(frozen=True, kw_only=True)
class BenchEmbedder:
    """The benchmark's embedders of sentences and words, as `Recall` wants one."""

    rung: Rung
    model: str = "bench"
    dimension: int = 384

    async def embed(self, texts: Sequence[str]) -> Any:
        """Vectors of sentences."""
        assert self.rung.sentences
        return self.rung.sentences(texts)

    def words(self, words: Sequence[str]) -> Any | None:
        """Vectors of words."""
        return self.rung.words(words) if self.rung.words else None


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """A conversation in a database."""

    database: Database
    user: UUID
    recall: Recall
    sessions: Mapping[UUID, str]  # of a memory, its session as LoCoMo calls it

    async def found(self, question: str, limit: int) -> list[Found]:
        """What is recalled."""
        return await self.recall.find(question, Scope(user_id=self.user), limit=limit)


async def kept_findable(folder: Path, *, data: Sequence[Path] = ()) -> AsyncIterator[Figure]:
    """Session recall after ageing as a share of what it was before."""
    if not (talks := [talk for path in data if path.suffix == ".json" for talk in conversations(path)]):
        progress("ageing: skipped; it needs --data FILE: LoCoMo's conversations as JSON")
        return
    rung = next(rungs())
    progress(f"ageing: {len(talks)} conversations, {rung.name}")
    shares: dict[str, list[bool]] = defaultdict(list)
    tokens: dict[str, list[int]] = defaultdict(list)
    facts, texts = list[float](), list[int]()
    for at, talk in enumerate(talks):
        async with Database(f"sqlite+aiosqlite:///{folder / f'{at}.db'}", organization="bench") as database:
            memory = await _remember(database, rung, _sessions(talk))
            shares["before"] += await _asked(memory, talk)
            texts.append(await _bytes(database))
            await _age(database)
            texts.append(await _bytes(database))
            shares["after"] += await _asked(memory, talk)
            for name, counts in (await _tokens(memory, talk)).items():
                tokens[name] += counts
            summaries = await _summaries(memory)
            facts += [await _facts_kept(memory, each, summary) for each, summary in summaries.items()]
        for name, has_text, has_facts in (("summaries", True, False), ("facts", False, True), ("summaries_and_facts", True, True)):
            async with Database(f"sqlite+aiosqlite:///{folder / f'{at}-{name}.db'}", organization="bench") as database:
                shares[name] += await _asked(await _remember(database, rung, _alone(summaries, has_text, has_facts)), talk)
    mean = {name: sum(each) / len(each) for name, each in shares.items()}
    ratio = mean["after"] / mean["before"]
    counts = {"before": mean["before"], "after": mean["after"], "questions": len(shares["after"])}
    yield Figure(name="ageing_session_r5_kept", value=ratio, unit="share", bar=f">= {BAR}", ok=ratio >= BAR, yardstick=counts)
    told = {"unit": "share", "bar": "(information)", "ok": True, "yardstick": {"verbatim": mean["before"]}}
    for name in ("summaries", "facts", "summaries_and_facts"):
        yield Figure(name=f"ageing_{name}_alone_session_r5", value=mean[name], **told)
    yield Figure(
        name="ageing_session_facts_in_text", value=sum(facts) / len(facts), **told | {"yardstick": {"with the facts beside it": 1.0}}
    )
    yield Figure(
        name="ageing_text_bytes_kept", value=sum(texts[1::2]) / sum(texts[::2]), **told | {"yardstick": {"before": sum(texts[::2])}}
    )
    for name in AGES:
        verbatim = {"verbatim": sum(tokens["verbatim"]) / len(tokens["verbatim"])}
        value = sum(tokens[name]) / len(tokens[name])
        yield Figure(name=f"ageing_prompt_tokens_{name}", value=value, unit="tokens", bar="(information)", ok=True, yardstick=verbatim)


def _sessions(talk: Talk) -> dict[str, Told]:
    """A conversation's sessions, by LoCoMo's name."""
    told: dict[str, Told] = {}
    for turn in talk.turns:
        at = datetime.combine(turn.on, time(12), UTC)
        before = told.get(turn.session, Told(session=new_id(), at=at, lines=()))
        told[turn.session] = Told(session=before.session, at=at, lines=[*before.lines, (turn.speaker, turn.said)])
    return told


def _alone(summaries: Mapping[str, Summary], has_text: bool, has_facts: bool) -> dict[str, Told]:
    """A memory that has nothing but its sessions' summaries, or the facts beside them, or both."""
    return {
        session: Told(
            session=new_id(),
            at=summary.starts_at,
            lines=[("", part) for part in parts_of(" ".join([summary.text] * has_text + [". ".join(summary.facts)] * has_facts))],
        )
        for session, summary in summaries.items()
    }


async def _remember(database: Database, rung: Rung, told: Mapping[str, Told]) -> Remembered:
    await upgrade(database)
    embedder: Embedder | None = BenchEmbedder(rung=rung) if rung.sentences else None
    async with database.unit_of_work() as work:
        await work.people.ensure_organization(SystemClock().now())
        user = await work.people.ensure_user(name="Allan", role="owner", timezone="UTC", now=SystemClock().now())
        memories = [
            Memory(
                organization_id="bench",
                id=new_id(),
                number=0,
                user_id=user.id,
                thread=name,
                session=each.session,
                position=position,
                part=0,
                external_id=str(position),
                speaker=speaker,
                said=text,
                day=f"{each.at.day} {each.at:%B %Y}",
                at=each.at + timedelta(minutes=position),
                place="",
                trust=Trust.OWN,
            )
            for name, each in told.items()
            for position, (speaker, text) in enumerate(each.lines)
        ]
        await work.memories.add_once(memories)
        if embedder is not None:
            vectors = await embedder.embed([embedded(each) for each in memories])
            await work.memories.keep_vectors(embedder.model, {each.id: vector for each, vector in zip(memories, vectors, strict=True)})
    sessions = {each.id: each.thread for each in memories}
    return Remembered(database=database, user=user.id, recall=Recall(database=database, embedder=embedder), sessions=sessions)


async def _asked(memory: Remembered, talk: Talk) -> list[bool]:
    """Of each question, whether a session of its evidence is among the first."""
    told = []
    for question, evidence in talk.questions:
        ranking = [memory.sessions[each.memory.id] for each in await memory.found(question, RANKED)]
        first = [*dict.fromkeys(ranking)][:FIRST]
        told.append(bool({*first} & {talk.turns[at].session for at in evidence}))
    return told


async def _age(database: Database) -> None:
    """The round goes until it rests; nobody waits for the clock."""
    clock = SystemClock()
    health = HealthBoard(database=database, clock=clock)
    chain = FallbackChain(rungs=[], health=health, budget=None, turn_seconds=1, hedge_seconds=0, stall_seconds=1)
    ages, now = Ageing(database=database, chain=chain, owner="bench"), clock.now()
    while (due := await ages.look(now)) - now < timedelta(minutes=1):
        now = due


async def _bytes(database: Database) -> int:
    """How long the texts are as they are kept."""
    async with database.reading() as work:
        rows = await work.connection.execute(select(Memory.said, Memory.packed))
        return sum(len(packed or said.encode()) for said, packed in rows)


async def _summaries(memory: Remembered) -> dict[str, Summary]:
    async with memory.database.reading() as work:
        covering = await work.summaries.covering(list(memory.sessions))
    return {memory.sessions[which]: each for which, found in covering.items() for each in found if each.level == SESSION}


async def _facts_kept(memory: Remembered, session: str, summary: Summary) -> float:
    """The share of a session's facts that its summary's text states; with the facts beside it, all must be there."""
    async with memory.database.reading() as work:
        said = await work.memories.by_ids([which for which, name in memory.sessions.items() if name == session])
    facts = [fact for each in said for fact in facts_of(each.text)]
    assert kept(facts, "\n".join((summary.text, *summary.facts))) == 1
    return kept(facts, summary.text)


def _as_old(memory: Memory, at: datetime) -> Memory:
    return Memory(**{**values_of(memory), "at": at})


async def _tokens(memory: Remembered, talk: Talk) -> dict[str, list[int]]:
    """Of each question, the tokens that the first memories take in a prompt, were they of such an age."""
    counts = defaultdict(list)
    for question, _ in talk.questions:
        found = await memory.found(question, IN_PROMPT)
        async with memory.database.reading() as work:
            covering = await work.summaries.covering([each.memory.id for each in found])
        for name, days in AGES.items():
            now = SystemClock().now()
            of_that_age = [_as_old(each.memory, now - timedelta(days=days)) for each in found]
            read = aged(of_that_age, covering, now, question=question)
            lines = [f"{each.head}{memory.day}, {memory.speaker}: {each.words}" for memory, each in zip(of_that_age, read, strict=True)]
            counts[name].append(estimate_tokens("\n".join(lines)))
    return counts
