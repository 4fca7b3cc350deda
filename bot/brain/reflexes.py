"""What tier 1 recognises: phrases kept in the database, word for word, then whatever the classifier fitted on them is sure of."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tomllib
import unicodedata
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import structlog

from bot.brain.intents import OUT, SURE, Example, read
from bot.brain.linear import Linear, words
from storage.database import Database
from storage.models.learning import Habit

log = structlog.get_logger(__name__)

LONGEST, FIT_SECONDS = 100, 300.0
"""Characters: what is longer is no phrase, and need not be looked at."""
MODEST = 5
"""The niceness of what fits: whoever is answered meanwhile goes first, and it still ends in time."""
WORD_FOR_WORD = 0.995
"""How likely a phrase means what it was kept for."""
_ASKING = r"(?:(?:hey|hi|ok|okay|please|just|robbie|(?:can|could|would|will) (?:you|i))\b[ ,]*)*"
_FRAME = re.compile(_ASKING + r"(.*?)(?:[ ,]*\b(?:please|robbie|right now|now))*[ ?.!]*")
_SAME = (
    (re.compile(r"\bwhat'?s\b"), "what is"),
    (re.compile(r"^(?:tell|give|read|list|show|display|let me see|pull up|see)(?: me)? "), "show "),
)
"""Ways to ask that make no difference."""
_LETTERS = re.compile(r"[^\W\d_]+(?:[ ,'-]+[^\W\d_]+)*")
"""What only looks alike in a number, an address or a quotation is not for the classifier."""
_DOING = re.compile(
    r"\b(?:not|no|never|without|except|close|delete|remove|cancel|add|move|change|edit|finish|complete|send|win|lose)\b|n't\b"
)
"""Nor is an order, or what leaves something out: what is told looks alike, and would be wrong."""


class Recognised(NamedTuple):
    """What a text means, how likely, and the key of the pattern that says so, or is nearest to it."""

    intent: str
    confidence: float
    pattern: str


def phrase_of(text: str) -> str:
    """*text* as phrases are compared: without case, politeness and final marks; empty where it is too long for one."""
    if len(text) > 2 * LONGEST:
        return ""
    words = " ".join(unicodedata.normalize("NFKC", text.replace("\x00", "")).replace("’", "'").casefold().split())
    found = _FRAME.fullmatch(words) if len(words) <= LONGEST else None
    phrase = found.group(1) if found else ""
    for pattern, same in _SAME:
        phrase = pattern.sub(same, phrase)
    return phrase


def key_of(phrase: str, user_id: UUID | None = None) -> str:
    """The key of a pattern: of one person's, or everybody's."""
    return f"{user_id}/{phrase}" if user_id else phrase


class Reflexes:
    """The patterns in memory. Those of one person hold word for word; those of everybody are what the classifier is fitted on."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._standing: tuple[Any, ...] = ()
        self._exact = {key: Recognised(intent, WORD_FOR_WORD, key) for key, intent in SEEDS.items()}
        self._phrases: dict[str, list[str]] = {}
        self._examples = self._fitted = SHIPPED
        self._linear = Linear.load(WEIGHTS.read_bytes())

    async def prepare(self, now: datetime) -> None:
        """Every seed is a row, once, and the rows are known. Raises StorageUnavailable."""
        await self.refresh()
        common = {"user_id": None, "state": Habit.ON, "origin": "seed", "weight": 1.0, "created_at": now, "changed_at": now}
        if new := [{**common, "key": key, "text": key, "intent": intent} for key, intent in SEEDS.items() if key not in self._exact]:
            async with self._database.unit_of_work() as work:
                await work.patterns.add_new(new)
            await self.refresh()

    async def refresh(self) -> None:
        """Know what the rows say now; nothing is read where none has changed. Raises StorageUnavailable."""
        async with self._database.reading() as work:
            if (standing := await work.patterns.standing()) == self._standing:
                return
            rows = [row for row in await work.patterns.known() if row.intent in INTENTS]
        shared = [row for row in rows if row.state == Habit.ON and row.user_id is None]
        self._exact = {row.key: Recognised(row.intent, WORD_FOR_WORD, row.key) for row in rows if row.state == Habit.ON}
        for row in rows:
            if row.state == Habit.OFF and row.user_id:  # these words of theirs were misread, or might be
                self.veto(row.text, row.user_id)
        self._phrases = {}
        for row in shared:
            self._phrases.setdefault(row.intent, []).append(row.key)
        self._examples = sorted(Example(row.key, row.intent, row.weight) for row in shared)
        self._standing = standing

    async def fit(self) -> None:
        """Fit the classifier anew where its examples changed: in a process of its own, since what fits it would stay in memory."""
        if self._examples == self._fitted:
            return
        self._fitted, environ = self._examples, {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        pipe, mute = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL  # stopped at a terminal, it would show where it stood
        command = sys.executable, "-m", "bot.brain.intents"
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=mute, env=environ)
        try:
            os.setpriority(os.PRIO_PROCESS, process.pid, MODEST)
            async with asyncio.timeout(FIT_SECONDS):
                told, _ = await process.communicate(json.dumps(self._fitted).encode())
            self._linear = Linear.load(told)
        except (TimeoutError, OSError, ValueError) as error:
            log.warning("reflexes.not_fitted", error=repr(error))
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def recognise(self, text: str, user_id: UUID) -> Recognised | None:
        """What *text* surely means to this person; unsure is None."""
        phrase = phrase_of(text)
        found = self._exact.get(key_of(phrase, user_id)) or self._exact.get(phrase) or self.guess(phrase)
        if found is None or found.intent == OUT or found.confidence < SURE:
            return None
        return found if found.pattern else found._replace(pattern=self._nearest(phrase, found.intent))

    def guess(self, phrase: str) -> Recognised | None:
        """What the classifier takes a phrase for; None where it cannot say: something is to be done or left out, or a word is new to it."""
        if not _LETTERS.fullmatch(phrase) or _DOING.search(phrase) or not all(map(self._linear.knows, words(phrase))):
            return None
        return Recognised(*read(self._linear, phrase), pattern="")

    def _nearest(self, phrase: str, intent: str) -> str:
        said, known = set(phrase.split()), ((key, set(key.split())) for key in self._phrases.get(intent, ()))
        return max(((len(said & one) / len(said | one), key) for key, one in known), default=(0, ""))[1]

    def veto(self, phrase: str, user_id: UUID) -> None:
        """These words mean nothing that is known to this person, from now on."""
        key = key_of(phrase, user_id)
        self._exact[key] = Recognised(OUT, WORD_FOR_WORD, key)


WEIGHTS = Path(__file__).with_name("patterns.bin")
"""The classifier of the shipped phrases, as `python -m training.fit_patterns` made it."""
_TOLD: dict[str, list[str]] = tomllib.loads(Path(__file__).with_name("patterns.toml").read_text("utf-8"))
INTENTS = tuple(_TOLD)
SEEDS = {phrase: intent for intent, texts in _TOLD.items() for text in texts if (phrase := phrase_of(text))}
"""What is known at first: phrases, and what each means."""
SHIPPED = sorted(Example(phrase, intent) for phrase, intent in SEEDS.items())
