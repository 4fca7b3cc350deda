"""How memories are found: by words, by vectors, and what stands beside them; only those in scope, whichever database it is."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from sqlalchemy import Float, LargeBinary, and_, case, or_, select, text, type_coerce
from sqlalchemy import bindparam as given
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased
from sqlalchemy.types import NullType

from bot.domain.memory import Corpus, Scope
from storage.models.memory import Memory, MemoryVector, unpack
from storage.repositories.base import Repository, ours
from storage.types import Vector, escape_text
from storage.vector_index import VectorIndex

MOST_COUNTED = 20_000
"""A word that more memories hold says nothing."""
MOST_READ = 4_000
"""So many places where words stand are read for a question: of its rarest words all, of the commonest none."""
OF_A_KIND = 25
"""So many of those that hold the same words of the question, the latest, come before others which hold fewer or commoner words."""
RESCORED = 100
"""Of the scan in eight bits, so many are compared exactly."""
EXACT_BELOW = 5_000
"""Memories in scope that PostgreSQL compares one by one: an index that filters afterwards may miss what few there are."""
PAGE = 500

_TOLD_HERE = and_(
    Memory.user_id == given("user"),
    Memory.trust.in_(given("trusts", expanding=True)),
    or_(given("at_place") == "", Memory.place == given("at_place")),
    Memory.forgotten_by.is_(None),
    Memory.corrected_by.is_(None),
)
IN_SCOPE = and_(ours(Memory), _TOLD_HERE)


def _by_number(table: Any) -> Any:
    """`ours`, in words that leave SQLite no index but that of numbers: it would read all of an organization's rows, or of a person's."""
    return and_(table.organization_id.concat("") == given("organization"), table.number.in_(given("numbers", expanding=True)))


_near, _beside = aliased(Memory), aliased(Memory)
_BESIDE = (
    select(_beside.number)
    .join(_near, and_(_near.organization_id == _beside.organization_id, _near.session == _beside.session))
    .where(_by_number(_near))
    .where(_beside.position.between(_near.position - given("steps"), _near.position + given("steps")))
)
_RAW = type_coerce(MemoryVector.vector, LargeBinary())
_OF_MEMORY = and_(MemoryVector.organization_id == Memory.organization_id, MemoryVector.memory_id == Memory.id)
_IS_COMPARED = and_(MemoryVector.model == given("by"), MemoryVector.dimension == given("size"))
_LESS_COSINE = MemoryVector.vector.op("<#>", return_type=Float())(given("asked", type_=Vector()))
_LIKENESS = {"sqlite": case((MemoryVector.model == given("by"), _RAW)), "postgresql": case((_IS_COMPARED, -_LESS_COSINE))}
_SEEN = (Memory.number, type_coerce(Memory.session, NullType()), Memory.position, Memory.thread, Memory.external_id)
_SAID = (Memory.speaker, Memory.at, Memory.said, Memory.packed)
_ARE_NUMBERED = (_TOLD_HERE, _by_number(Memory))
_NUMBERED = {
    kind: select(*_SEEN, *_SAID, select(likeness).where(_OF_MEMORY).scalar_subquery()).where(*_ARE_NUMBERED).order_by(Memory.number.desc())
    for kind, likeness in _LIKENESS.items()
}
_OF_NUMBERS = select(Memory).where(*_ARE_NUMBERED)
_HOLDING = {
    "sqlite": text("""SELECT asked.key, (SELECT count(*) FROM (SELECT 1 FROM memory_words WHERE memory_words MATCH asked.value LIMIT :most))
        FROM json_each(:asked) asked UNION ALL SELECT * FROM (SELECT -1, number FROM memories
        WHERE organization_id || '' = :organization ORDER BY number DESC LIMIT 1)"""),
    "postgresql": text("""SELECT place - 1, (SELECT count(*) FROM (SELECT 1 FROM memory_words WHERE organization_id = :organization
            AND word = (tsvector_to_array(to_tsvector('english', asked)))[1] LIMIT :most) held)
        FROM json_array_elements_text(CAST(:asked AS json)) WITH ORDINALITY one(asked, place) UNION ALL (SELECT -1, number FROM memories
        WHERE organization_id || '' = :organization ORDER BY number DESC LIMIT 1)"""),
}
"""How many hold each word, and as of the word -1 the last number, by the index of numbers: with a plain comparison SQLite takes that of
organizations, and sorts all there is."""
_STANDING = {
    "sqlite": text("""SELECT asked.key, (SELECT json_group_array(rowid) FROM
            (SELECT rowid FROM memory_words WHERE memory_words MATCH asked.value ORDER BY rowid DESC LIMIT :most))
        FROM json_each(:asked) asked"""),
    "postgresql": text("""SELECT place - 1, (SELECT json_agg(number)::text FROM (SELECT number FROM memory_words
            WHERE organization_id = :organization AND word = (tsvector_to_array(to_tsvector('english', asked)))[1] AND user_id = :user
            AND trust = ANY(:trusts) AND (:place = '' OR memory_words.place = :place) ORDER BY number DESC LIMIT :most) found)
        FROM json_array_elements_text(CAST(:asked AS json)) WITH ORDINALITY one(asked, place)"""),
}
_ADDED = text("""SELECT number, user_id, place, trust, stamp, vector FROM memory_vectors v
    JOIN memories m ON m.organization_id = v.organization_id AND m.id = v.memory_id
    WHERE v.organization_id = :organization AND model = :by AND stamp > :since ORDER BY stamp LIMIT :limit""")
_LATELY = text("SELECT count(*) FROM memory_vectors WHERE organization_id = :organization AND model = :by AND stamp > :since")
_RESCORED = select(Memory.number, _LIKENESS["sqlite"], _TOLD_HERE).join(MemoryVector, _OF_MEMORY).where(_by_number(Memory))
# LATERAL with OFFSET fixes which table is read first, and keeps the model out of the join: a table that was not analysed yet would be
# read as a whole for each row of the other
_TOLD = """m.organization_id = :organization AND user_id = :user AND trust = ANY(:trusts) AND (:place = '' OR place = :place)
    AND forgotten_by IS NULL AND corrected_by IS NULL"""
_IN_SCOPE = text(f"SELECT count(*) FROM (SELECT 1 FROM memories m WHERE {_TOLD} LIMIT :most) held")  # noqa: S608
_OF_MODEL = "v.organization_id = :organization AND model = :by AND dimension = {size}"
_EXACT = f"""SELECT number FROM memories m CROSS JOIN LATERAL (
        SELECT CASE WHEN model = :by AND dimension = {{size}} THEN vector <=> CAST(:asked AS vector) END AS distance FROM memory_vectors v
        WHERE v.organization_id = :organization AND v.memory_id = m.id OFFSET 0) near
    WHERE {_TOLD} AND distance IS NOT NULL ORDER BY distance, number DESC LIMIT :limit"""  # noqa: S608
_INDEXED = f"""SELECT number FROM memory_vectors v CROSS JOIN LATERAL (SELECT number FROM memories m
    WHERE m.id = v.memory_id AND {_TOLD} OFFSET 0) told
    WHERE {_OF_MODEL} ORDER BY vector::vector({{size}}) <=> CAST(:asked AS vector({{size}})) LIMIT :limit"""  # noqa: S608
_ITERATIVE = text("SET LOCAL hnsw.iterative_scan = strict_order")


@dataclass(frozen=True, kw_only=True, slots=True)
class Near:
    """Of a memory that was found, or stands beside one that was, what it is ranked by: a whole row would take five times as long.

    `session` compares with others found in the same way alone. `cosine` is None where there is no sound vector.
    """

    number: int
    session: Any
    position: int
    thread: str
    external_id: str
    speaker: str
    at: datetime
    text: str
    cosine: float | None


class Finding(Repository):
    """Finds memories. `indexes` are the process's own of an embedded database's vectors, by their model; `added` counts what was kept."""

    def __init__(self, connection: AsyncConnection, organization: str, indexes: dict[str, VectorIndex] | None = None) -> None:
        super().__init__(connection, organization)
        self.added = 0
        self._kind = connection.dialect.name
        self._indexes = {} if indexes is None else indexes

    async def counts(self, words: Sequence[str]) -> Corpus:
        """How many of anybody's memories hold these words, `MOST_COUNTED` at most; of deleted ones, all are counted but the last."""
        asked = list(dict.fromkeys(words))
        rows = await self._execute(_HOLDING[self._kind], asked=self._queries(asked), most=MOST_COUNTED)
        held: dict[int, int] = dict(rows.all())
        return Corpus(turns=held.pop(-1, 0), holding={asked[at]: count for at, count in held.items()})

    async def find_by_words(self, scope: Scope, words: Sequence[str], *, limit: int, counts: Corpus | None = None) -> list[int]:
        """The numbers of the memories in scope that hold any of these words, by the rarity of those they hold, the latest first.

        Of a question's words the rarest are looked up, until `MOST_READ` places are read: what is common is not what it is about.
        """
        counts = counts or await self.counts(words)
        rarest = _rarest(counts)
        values = {"asked": self._queries(rarest, f"whose:({_whose(scope)}) AND "), **values_of_scope(scope)}
        scores: dict[int, float] = defaultdict(float)
        for at, numbers in await self._execute(_STANDING[self._kind], **values, most=MOST_READ):
            rarity = counts.rarity(rarest[at])
            for number in json.loads(numbers or "[]"):
                scores[number] += rarity
        return _varied(scores, limit)

    async def find_by_vector(self, scope: Scope, vector: Any, model: str, *, limit: int) -> list[int]:
        """The numbers of the memories in scope whose vectors of this model are nearest, best first."""
        if self._kind == "postgresql":
            return await self._find_on_server(scope, vector, model, limit)
        index, told = await self.caught_up(model, len(vector)), dict[int, float]()
        for wanted in (RESCORED, 5 * RESCORED, 25 * RESCORED):
            near = await asyncio.to_thread(index.nearest, vector, scope, limit=max(wanted, limit))
            found = {
                number: (raw, is_told)
                for number, raw, is_told in await self._execute(_RESCORED, **values_of_scope(scope), numbers=near, by=model)
            }
            index.drop([number for number in near if number not in found])
            cosines = {number: _cosine(raw, vector) for number, (raw, is_told) in found.items() if is_told}
            told = {number: cosine for number, cosine in cosines.items() if cosine is not None}
            if len(told) >= limit or len(near) < wanted:
                break
        return sorted(told, key=lambda number: (-told[number], -number))[:limit]

    async def warm(self, model: str, dimension: int) -> None:
        """Have an embedded database's vectors of this model in memory before anybody asks; a server has its own ways."""
        if self._kind == "sqlite" and dimension:
            await self.caught_up(model, dimension)

    async def caught_up(self, model: str, dimension: int) -> VectorIndex:
        """The index of the vectors of this model, after what was added by whomever; of an embedded database alone."""
        index = self._indexes.setdefault(model, VectorIndex(dimension))
        async with index.lock:
            await self._read_on(index, model)
            if index.may_be_behind() and (
                (await self._execute(_LATELY, by=model, since=index.window)).scalar() != index.count_lately()
            ):  # somebody's clock is behind, or something was deleted
                index.forget_lately()
                await self._read_on(index, model)
        return index

    async def around(self, scope: Scope, numbers: Collection[int], *, reach: int, vector: Any = None, model: str = "") -> list[Near]:
        """The memories of these numbers, and those in scope that stand at most *reach* steps from one of them in its session.

        Where *vector* is given, each with the cosine of its own by this model.
        """
        asked = {"by": model, "asked": vector, "size": 0 if vector is None else len(vector)}
        beside = await self._values(_BESIDE, numbers=list(numbers), steps=reach)
        rows = await self._execute(_NUMBERED[self._kind], **values_of_scope(scope), numbers=[*{*beside}], **asked)
        return [_near_of(row, vector) for row in rows]

    async def of_numbers(self, scope: Scope, numbers: Collection[int]) -> dict[int, Memory]:
        """The memories in scope of these numbers, by them."""
        found = await self._all(Memory, _OF_NUMBERS, **values_of_scope(scope), numbers=list(numbers))
        return {each.number: each for each in found}

    async def _read_on(self, index: VectorIndex, model: str) -> None:
        is_more = True
        while is_more:
            rows = (await self._execute(_ADDED, by=model, since=index.latest, limit=PAGE)).all()
            if rows:
                await asyncio.to_thread(index.add, rows)
            is_more = len(rows) == PAGE

    async def _find_on_server(self, scope: Scope, vector: Any, model: str, limit: int) -> list[int]:
        is_exact = ((await self._execute(_IN_SCOPE, **values_of_scope(scope), most=EXACT_BELOW)).scalar() or 0) < EXACT_BELOW
        if not is_exact:
            await self._execute(_ITERATIVE)
        statement = text((_EXACT if is_exact else _INDEXED).format(size=len(vector)))
        asked = "[" + ",".join(f"{each:.8g}" for each in vector) + "]"
        return [*(await self._execute(statement, **values_of_scope(scope), by=model, asked=asked, limit=limit)).scalars()]

    def _queries(self, words: Sequence[str], whose: str = "") -> str:
        """Words as the database looks them up, as JSON; on SQLite only where *whose* is so."""
        stored = [escape_text(word).replace('"', '""') for word in words]  # a word in quotes is a phrase of FTS5's
        return json.dumps(stored if self._kind == "postgresql" else [f'{whose}words:("{word}")' for word in stored])


def values_of_scope(scope: Scope) -> dict[str, Any]:
    """What `IN_SCOPE` is given, and statements in SQL, whose `place` is as it is stored."""
    trusts = [str(each) for each in scope.trusts]
    return {"user": scope.user_id, "trusts": trusts, "at_place": scope.place, "place": escape_text(scope.place)}


def _whose(scope: Scope) -> str:
    """The words by which the index of SQLite knows who may be told: see WHOSE in the migration."""
    place = f"p{escape_text(scope.place).encode().hex()}" if scope.place else ""
    return " OR ".join(f"u{scope.user_id.hex}{trust}{place}" for trust in scope.trusts)


def _rarest(counts: Corpus) -> list[str]:
    """The words that any memory holds, rarest first, as many as may be read; one, however common."""
    chosen, read = list[str](), 0
    for word, held in sorted(counts.holding.items(), key=lambda each: each[1]):
        read += held
        if held and (not chosen or read <= MOST_READ):
            chosen.append(word)
    return chosen


def _varied(scores: Mapping[int, float], limit: int) -> list[int]:
    """The best, but of those with the same score only `OF_A_KIND` before the others: what was said a thousand times leaves room."""
    of_score: dict[float, int] = defaultdict(int)
    first, others = list[int](), list[int]()
    for number in sorted(scores, key=lambda number: (-scores[number], -number)):
        of_score[scores[number]] += 1
        (first if of_score[scores[number]] <= OF_A_KIND else others).append(number)
    return [*first, *others][:limit]


def _near_of(row: Any, vector: Any) -> Near:
    number, session, position, thread, external_id, speaker, at, said, packed, likeness = row
    return Near(
        number=number,
        session=session,
        position=position,
        thread=thread,
        external_id=external_id,
        speaker=speaker,
        at=at,
        text=said if packed is None else unpack(packed),
        cosine=_cosine(likeness, vector) if isinstance(likeness, bytes) else likeness,
    )


def _cosine(raw: bytes | None, vector: Any) -> float | None:
    """Of a kept vector with this one; None for what is none, or none as long."""
    import numpy as np

    if raw is None or vector is None or len(raw) != 4 * len(vector):
        return None
    cosine = float(np.frombuffer(raw, dtype="<f4") @ vector)
    return cosine if isfinite(cosine) else None
