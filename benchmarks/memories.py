"""Recall through the product's own road: how fast among 100,000 memories, how little room it takes, and how much of LoCoMo it finds.

The memories are variations of LoCoMo's turns (`--data FILE`), or of generated ones where there are none; a vector is the mean of its words'
seeded ones, so that a question is near those that share its words. One person has nine tenths of them, one has 50, others the rest.
The yardstick is timed in the same run, question by question: a bare full-text query of all the question's terms and a bare scan or HNSW.
"""

from __future__ import annotations

import random
import sqlite3
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from uuid import UUID

import numpy as np
import psutil
from sqlalchemy import text

from benchmarks.figure import Figure, progress
from benchmarks.locomo import BARS, NAMED_BARS, UNNAMED, Rung, Talk, conversations, figures, rungs
from bot.brain.memory import Recall, embedded
from bot.brain.recall import Weights, terms
from bot.brain.remembering import Saying, memories_of
from bot.domain.memory import Scope, Trust
from storage.database import Database
from storage.models.memory import Memory
from storage.schema import upgrade
from tests.postgres import Postgres, running_postgres, why_missing

MEMORIES, PEOPLE, FEW, QUESTIONS = 100_000, 20, 50, 100
AT_ONCE, SPAN, SESSION = 2_000, timedelta(minutes=1), 40
DIMENSION = 384
MOST_RATIO, MOST_MB = 1.5, 60.0
SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo zu".split()  # noqa: SIM905


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """Embeds as a rung of `locomo` does; what was asked before is known, so that its embedding is not measured."""

    sentences: Callable[[Sequence[str]], Any]
    words: Any = None
    dimension: int = DIMENSION
    model: str = "bench"
    known: dict[str, Any] = field(default_factory=dict)

    async def embed(self, texts: Sequence[str]) -> Any:
        """float32 (texts, dimension)."""
        if len(texts) > 1:
            return np.asarray(self.sentences(texts), dtype=np.float32)
        if texts[0] not in self.known:
            self.known[texts[0]] = np.asarray(self.sentences(texts), dtype=np.float32)
        return self.known[texts[0]]


async def among_many(folder: Path, *, data: Sequence[Path] = ()) -> AsyncIterator[Figure]:
    """Speed and room of recall among 100,000 memories, on both databases, and whether a person with few gets theirs."""
    said, questions = _texts([talk for path in data if path.suffix == ".json" for talk in conversations(path)])
    async with _house(f"sqlite+aiosqlite:///{folder / 'many.db'}") as database:
        people = await _fill(database, said)
        async for figure in _measured(database, people, questions, "sqlite", _bare_sqlite(folder / "many.db", said)):
            yield figure
    if reason := why_missing():
        progress(f"memories: PostgreSQL was not measured: {reason}")
        return
    with running_postgres() as server:
        name = server.create()
        async with _house(server.url(name)) as database:
            async with database.unit_of_work(is_long=True) as work:
                await work.connection.execute(text("DROP INDEX memory_vectors_384"))
            people = await _fill(database, said)
            await _index(database)
            async for figure in _measured(database, people, questions, "postgres", _bare_postgres(server, name, said)):
                yield figure


async def locomo_product(folder: Path, *, data: Sequence[Path] = ()) -> AsyncIterator[Figure]:
    """LoCoMo's questions asked of real databases, filled as an import fills them."""
    talks = [talk for path in data if path.suffix == ".json" for talk in conversations(path)]
    rung = next((each for each in rungs() if each.name == "minilm"), None)
    if not talks or rung is None:
        progress("locomo_product: skipped; it needs --data FILE, LoCoMo's conversations as JSON, and the embeddings' packages")
        return
    for figure in await _of_talks("", talks, rung, lambda at: f"sqlite+aiosqlite:///{folder / f'talk{at}.db'}"):
        yield figure
    if reason := why_missing():
        progress(f"locomo_product: PostgreSQL was not measured: {reason}")
        return
    with running_postgres() as server:
        for figure in await _of_talks("_postgres", talks, rung, lambda _: server.url(server.create())):
            yield figure


async def _of_talks(name: str, talks: Sequence[Talk], rung: Rung, url: Callable[[int], str]) -> list[Figure]:
    orders: dict[str, list[list[list[int]]]] = {"": [], "_named": []}
    for at, talk in enumerate(talks):
        async with _house(url(at)) as database:
            scope, embedder = await _talked(database, talk, rung), Embedding(sentences=rung.sentences, words=rung.words)
            for which, weights in (("", UNNAMED), ("_named", Weights())):
                recall = Recall(database=database, embedder=embedder, weights=weights)
                found = [await recall.find(question, scope, limit=20) for question, _ in talk.questions]
                orders[which].append([[int(each.memory.external_id) for each in one] for one in found])
    both = (("", BARS), ("_named", NAMED_BARS))
    return [figure for which, bars in both for figure in figures(f"locomo_product{name}{which}", talks, orders[which], bars=bars)]


async def _talked(database: Database, talk: Talk, rung: Rung) -> Scope:
    """The conversation as it would be imported: a turn a minute, sessions by their pauses."""
    (person,), rows = await _people(database, 1), list[Memory]()
    for place, turn in enumerate(talk.turns):
        at = datetime(turn.on.year, turn.on.month, turn.on.day, 9, tzinfo=UTC) + turn.position * SPAN
        rows += _remembered(database, person, str(place), turn.said, at, rows[-1] if rows else None, speaker=turn.speaker)
    await _keep(database, rows, Embedding(sentences=rung.sentences, words=rung.words))
    return Scope(user_id=person)


async def _measured(
    database: Database, people: Sequence[UUID], questions: Sequence[str], name: str, bare: Callable[[str, Any], None]
) -> AsyncIterator[Figure]:
    """Our p95 against that of what is bare, question by question; the room taken; and what somebody with few memories gets."""
    recall, before = Recall(database=database, embedder=_BY_WORDS), psutil.Process().memory_info().rss
    ours, theirs, owner = list[float](), list[float](), Scope(user_id=people[0])
    vectors = [(await _BY_WORDS.embed([question]))[0] for question in questions]
    began = time.perf_counter()
    await recall.find(questions[0], owner, limit=10)
    progress(f"memories: the first question on {name} took {time.perf_counter() - began:.2f} s")
    mb = (psutil.Process().memory_info().rss - before) / 2**20
    for question, vector in zip(questions, vectors, strict=True):
        began = time.perf_counter()
        await recall.find(question, owner, limit=10)
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        bare(question, vector)
        theirs.append(time.perf_counter() - began)
    value, yardstick = (quantiles(each, n=20)[-1] * 1000 for each in (ours, theirs))
    more = {"bare_ms": yardstick, "p50_ms": median(ours) * 1000, "bare_p50_ms": median(theirs) * 1000}
    bar, ok = f"<= {MOST_RATIO} x the bare queries", value <= MOST_RATIO * yardstick
    yield Figure(name=f"memories_{name}_p95", value=value, unit="ms", bar=bar, ok=ok, yardstick=more, ratio=value / yardstick)
    if name == "sqlite":
        yield Figure(name="memories_extra_mb", value=mb, unit="MB resident", bar=f"<= {MOST_MB:g}", ok=mb <= MOST_MB)
    found = [len(await recall.find(question, Scope(user_id=people[1]), limit=10)) for question in questions]
    yield Figure(name=f"memories_{name}_of_few", value=min(found), unit="found", bar=">= 10", ok=min(found) >= 10, yardstick={"has": FEW})


def _bare_sqlite(file: Path, rows: Sequence[str]) -> Callable[[str, Any], None]:
    """A full-text table of the same texts and nothing else, and a scan of the same vectors by blocks of int8."""
    index = sqlite3.connect(file)
    index.execute("CREATE VIRTUAL TABLE bare USING fts5(words, content='', tokenize='porter unicode61')")
    index.executemany("INSERT INTO bare(rowid, words) VALUES (?, ?)", enumerate(rows, 1))
    index.commit()
    vectors = np.concatenate([np.rint(_mean_of_words(rows[at : at + AT_ONCE]) * 500) for at in range(0, len(rows), AT_ONCE)]).astype(
        np.int8
    )

    def ask(question: str, vector: Any) -> None:
        wanted = " OR ".join(f'"{word}"' for word in terms(question))
        index.execute("SELECT rowid FROM bare WHERE bare MATCH ? ORDER BY bm25(bare) LIMIT 50", (wanted,)).fetchall()
        scores = np.concatenate([vectors[at : at + 1024].astype(np.float32) @ vector for at in range(0, len(vectors), 1024)])
        np.argpartition(-scores, 50)

    return ask


def _bare_postgres(server: Postgres, name: str, rows: Sequence[str]) -> Callable[[str, Any], None]:
    """As a superuser, whom no row-level security keeps from an index: a tsvector of the same texts, and HNSW, with nothing asked beside."""
    import psycopg

    connection = psycopg.connect(server.url(name).replace("postgresql+psycopg://robbie", "postgresql://postgres"), autocommit=True)
    connection.execute("CREATE TABLE bare (number bigint, words tsvector)")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO bare VALUES (%s, to_tsvector('english', %s))", list(enumerate(rows, 1)))
    connection.execute("CREATE INDEX ON bare USING gin (words)")
    connection.execute("VACUUM ANALYZE")
    found = "SELECT number FROM bare, to_tsquery('english', %s) asked WHERE words @@ asked ORDER BY ts_rank(words, asked) DESC LIMIT 50"
    near = "SELECT memory_id FROM memory_vectors WHERE dimension = 384 ORDER BY vector::vector(384) <=> %s::vector LIMIT 50"

    def ask(question: str, vector: Any) -> None:
        connection.execute(found, (" | ".join(f"'{word}'" for word in terms(question)),)).fetchall()
        connection.execute(near, (str(vector.tolist()),)).fetchall()

    return ask


def _texts(talks: Sequence[Talk]) -> tuple[list[str], list[str]]:
    """100,000 texts, each a turn with a quarter of its words exchanged for others; and questions."""
    chance = random.Random(1)
    if talks:
        turns = [turn.said for talk in talks for turn in talk.turns]
        asked = [question for talk in talks for question, _ in talk.questions if terms(question)]
    else:
        words = ["".join(chance.choices(SYLLABLES, k=chance.randint(2, 4))) for _ in range(5_000)]
        turns = [" ".join(words[min(int(chance.paretovariate(0.5)), 5_000) - 1] for _ in range(25)) for _ in range(2_000)]
        asked = [" ".join(chance.sample(turn.split(), 6)) for turn in turns]
    every = [word for turn in turns for word in turn.split()]

    def varied(turn: str) -> str:
        return " ".join(chance.choice(every) if chance.random() < 0.25 else word for word in turn.split())

    return [varied(chance.choice(turns)) for _ in range(MEMORIES)], chance.sample(asked, QUESTIONS)


@cache
def _vector_of(word: str) -> Any:
    return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(DIMENSION).astype(np.float32)


def _mean_of_words(texts: Sequence[str]) -> Any:
    means = np.stack([np.mean([_vector_of(word) for word in terms(each) or [each]], axis=0) for each in texts])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


_BY_WORDS = Embedding(sentences=_mean_of_words)


@asynccontextmanager
async def _house(url: str) -> AsyncIterator[Database]:
    async with Database(url, organization="bench", act_seconds=600) as database:
        await upgrade(database)
        async with database.unit_of_work() as work:
            await work.people.ensure_organization(datetime.now(UTC))
        yield database


async def _people(database: Database, number: int) -> list[UUID]:
    now = datetime.now(UTC)
    async with database.unit_of_work() as work:
        users = [await work.people.ensure_user(name=f"P{at}", role="member", timezone="UTC", now=now) for at in range(number)]
    return [user.id for user in users]


async def _fill(database: Database, said: Sequence[str]) -> list[UUID]:
    """Everybody's memories in turn, forty to a session; the first person has nine tenths, the second `FEW`."""
    chance, people, began = random.Random(2), await _people(database, PEOPLE + 1), time.perf_counter()
    whose = [people[0] if chance.random() < 0.9 else chance.choice(people[2:]) for _ in said]
    for at in range(0, len(said), len(said) // FEW):
        whose[at] = people[1]
    last: dict[UUID, Memory] = {}
    start = datetime(2020, 1, 1, tzinfo=UTC)
    for first in range(0, len(said), AT_ONCE):
        rows = []
        for at in range(first, min(first + AT_ONCE, len(said))):
            moment = start + at * SPAN + at // SESSION * timedelta(hours=5)
            rows += _remembered(database, whose[at], str(at), said[at], moment, last.get(whose[at]))
            last[whose[at]] = rows[-1]
        await _keep(database, rows, _BY_WORDS)
    progress(f"memories: {len(said)} kept in {time.perf_counter() - began:.0f} s")
    return people


def _remembered(
    database: Database, person: UUID, which: str, said: str, at: datetime, last: Memory | None, *, speaker: str = "Ann"
) -> list[Memory]:
    saying = Saying(thread=str(person), external_id=which, speaker=speaker, text=said, at=at, user_id=person, place="", trust=Trust.OWN)
    return memories_of(saying, last, organization=database.organization, timezone="UTC")


async def _keep(database: Database, rows: Sequence[Memory], embedder: Embedding) -> None:
    vectors = await embedder.embed([embedded(row) for row in rows])
    async with database.unit_of_work(is_long=True) as work:
        await work.memories.add_once(rows)
        await work.memories.keep_vectors(embedder.model, dict(zip([row.id for row in rows], vectors, strict=True)))


async def _index(database: Database) -> None:
    """Build HNSW after the vectors are in, as whoever imports so many would: one by one it takes several times as long."""
    async with database.unit_of_work(is_long=True) as work:
        for statement in (
            "SET LOCAL maintenance_work_mem = '512MB'",
            "CREATE INDEX memory_vectors_384 ON memory_vectors USING hnsw ((vector::vector(384)) vector_cosine_ops) WHERE dimension = 384",
            "ANALYZE",
        ):
            await work.connection.execute(text(statement))
