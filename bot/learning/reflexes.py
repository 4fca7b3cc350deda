"""Teaches tier 1: phrases and answers that agreed with the models often enough, and what people thought of what it said."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from bot.brain.intents import OUT, SURE
from bot.brain.providers.offline import stands_alone
from bot.brain.reactive import Reactive
from bot.brain.reflexes import Reflexes, key_of, phrase_of
from bot.domain.address import Person
from bot.domain.thought import Question
from storage.database import Database, UnitOfWork
from storage.models.decisions import Feedback
from storage.models.learning import CachedAnswer, Habit, Pattern
from storage.models.messaging import Message

LOOKS_EVERY, WINDOW, MOST = timedelta(seconds=10), timedelta(minutes=1), 50
"""How often the rows are looked at, and how many answers of a minute are learned from: whoever writes meanwhile waits for it."""
NEAR, ENOUGH_PATTERN, ENOUGH_ANSWER, FRESH = 0.5, 3, 2, timedelta(days=14)
"""From so likely on, a phrase that was not sure is held against the models; agreements after which it is answered, and after which an
answer is said again (three that are one agree twice), and for how long.
"""
CLEARLY, UP, DOWN, FLOOR, CEILING = 0.3, 1.1, 0.8, 0.3, 2.0
"""What counts as liked or not, how it moves a weight, and within which bounds; below the floor, a pattern is switched off."""
SHARED_WORDS = 0.7
COSTLY = ("/brief",)
"""What a model may have to word is not computed just to compare."""
_WORD = re.compile(r"[^\W_]+")
_NO = re.compile(r"\b(?:no|not|never|none|nothing|cannot|\w+n't)\b")
_OWN = re.compile(r"\b(?:i|me|my|mine|we|us|our|ours|you|your|yours)\b", re.I)
"""A question about people's own affairs, or Robbie's: the answer changes with them."""
_FILLING = re.compile(
    r"\b(?:an?|the|is|are|was|were|be|been|it|its|this|that|there|i|you|we|they|my|your|our|his|her|their|me|of|to|in|on|at|by|for|with"
    r"|from|and|or|but|so|as|do|does|did|have|has|had|will|would|can|could)\b"
)


def agree(one: str, other: str) -> bool:
    """Whether two answers say the same: the same numbers, both or neither with a no in it, and of the shorter's telling words at least
    SHARED_WORDS in the longer. It errs towards no.
    """
    texts = [text.casefold().replace("’", "'") for text in (one, other)]
    words = [set(_WORD.findall(_FILLING.sub("", text))) for text in texts]
    numbers = [{word for word in each if word.isdecimal()} for each in words]
    shorter = min(map(len, words))
    is_alike = numbers[0] == numbers[1] and bool(_NO.search(texts[0])) == bool(_NO.search(texts[1]))
    return is_alike and shorter > 0 and len(words[0] & words[1]) >= SHARED_WORDS * shorter


class ReflexLearning:
    """A round: keeps the patterns in memory as the rows are, and learns, of each minute's answers, once, in one hub or another."""

    name = "reflexes"

    def __init__(self, *, database: Database, reflexes: Reflexes, reactive: Reactive) -> None:
        self._database = database
        self._reflexes = reflexes
        self._reactive = reactive
        self._next: datetime | None = None
        self._learned: datetime | None = None

    async def look(self, now: datetime) -> datetime:
        """Learn what there is to learn. Raises StorageUnavailable."""
        if self._next is None or now >= self._next:
            self._next = now + LOOKS_EVERY
            await self._learn(now)
            await self._reflexes.refresh()
            await self._reflexes.fit()
        return self._next

    async def learn_from(self, work: UnitOfWork, outcome: Feedback, now: datetime) -> None:
        """Move the weight of what was said without a model by what somebody thinks of it: once up and once down for each answer, at most.

        Words that somebody says were misread mean nothing to them from now on, until they take that back. Raises StorageUnavailable.
        """
        liked = outcome.value if outcome.value is not None else 2 * outcome.score - 1 if outcome.score is not None else 0.0
        row = await work.patterns.find(outcome.pattern) if outcome.pattern else None
        slot = f"{outcome.message_id} {'up' if liked > 0 else 'down'}"
        if outcome.pattern and abs(liked) >= CLEARLY and await work.job_runs.mark("reflexes judged", slot, now):
            if row is not None:
                await work.patterns.change(row.id, **_moved(row, liked), changed_at=now)
            elif (answer := await work.cached_answers.find(outcome.user_id, outcome.pattern)) is not None:
                await work.cached_answers.change(answer.id, **_moved(answer, liked))
        if row is not None and outcome.value is not None:  # who only asked on may have been understood
            await self._misread(work, outcome, now, is_misread=liked <= -CLEARLY)
            self._next = now

    async def _misread(self, work: UnitOfWork, outcome: Feedback, now: datetime, *, is_misread: bool) -> None:
        """Switch a person's veto of the words that were answered on, or off again."""
        answer = await work.messages.find_by_id(outcome.message_id)
        asked = await work.messages.find_by_id(answer.reply_to) if answer and answer.reply_to else None
        phrase = phrase_of(asked.text) if asked else ""
        row = await work.patterns.find(key_of(phrase, outcome.user_id))
        if row is not None and (is_misread or row.intent == OUT):
            await work.patterns.change(row.id, intent=OUT, state=Habit.ON if is_misread else Habit.OFF, changed_at=now)
        if phrase and is_misread:
            await work.patterns.add_new([_row(outcome.user_id, phrase, OUT, now, state=Habit.ON, origin="feedback")])
            self._reflexes.veto(phrase, outcome.user_id)

    async def _learn(self, now: datetime) -> None:
        """Learn from the answers of the minute that ended last."""
        ends = now.replace(second=0, microsecond=0)
        if ends == self._learned:
            return
        async with self._database.reading() as work:
            answers = await work.cached_answers.candidates(ends - WINDOW, ends, limit=MOST)
            told = [one for one in answers if (one.details or {}).get("model") and one.reply_to]
            asked = [await work.messages.find_by_id(one.reply_to) for one in told if one.reply_to]
            pairs = [(question, answer) for question, answer in zip(asked, told, strict=True) if question and _is_whole(question)]
            pairs = [pair for pair in pairs if not await work.attachments.of(pair[0].id)]
        checked = [(*pair, *await self._compared(*pair)) for pair in pairs]
        if checked:
            async with self._database.unit_of_work() as work:
                if await work.job_runs.mark("reflexes", ends.isoformat(), now):
                    for question, answer, intent, is_same in checked:
                        await _count_answer(work, question, answer)
                        if intent:
                            await _count_pattern(work, question, intent, is_same, now)
        self._learned = ends

    async def _compared(self, asked: Message, answer: Message) -> tuple[str, bool]:
        """The intent that a phrase nearly is, or is proposed for, and whether what it says now agrees with the model; "" where none."""
        phrase = phrase_of(asked.text)
        guess = self._reflexes.guess(phrase)
        near = guess.intent if guess and NEAR <= guess.confidence < SURE else ""
        intent = self._reflexes.proposed.get(key_of(phrase, asked.user_id), near)
        async with self._database.reading() as work:
            user = await work.people.find_user_by_id(asked.user_id) if intent not in ("", OUT, *COSTLY) else None
        if user is None:
            return "", False
        person = Person(id=user.id, name=user.name, role=user.role, timezone=user.timezone)
        question = Question(id=asked.id, conversation_id=asked.conversation_id, person=person, text=asked.text, asked_at=asked.at)
        said = await self._reactive.compute(intent, question)
        return intent, said is not None and agree(said.text, answer.text)


def _is_whole(question: Message) -> bool:
    """Whether all that was asked stands in its words."""
    return question.kind == "message" and bool(question.digest) and not (question.details or {}).get("quoted")


def _moved(row: Pattern | CachedAnswer, liked: float) -> dict[str, object]:
    """The weight and state of a row that was liked or not; what is one person's alone is switched off at once where it was not."""
    weight = min(max(row.weight, FLOOR) * UP, CEILING) if liked > 0 else row.weight * (DOWN if row.user_id is None else 0.0)
    return {"weight": weight, "state": row.state if weight >= FLOOR else Habit.OFF}


async def _count_answer(work: UnitOfWork, asked: Message, answer: Message) -> None:
    """Hold a model's answer against the one before it to the same words; the last is what is said again."""
    made_of, words = answer.details or {}, asked.digest or ""
    if not stands_alone(asked.text) or _OWN.search(asked.text) or made_of.get("tools") or made_of.get("outside"):
        return
    row = await work.cached_answers.find(asked.user_id, words)
    before = await work.messages.find_earlier_answer(asked.user_id, words, before=asked.id)
    if before is None or (row is not None and row.state == Habit.OFF):
        return
    judged = await work.feedback.find(asked.user_id, answer.id)
    is_same = agree(before.text, answer.text) and not (judged and (judged.value or 0) < 0)  # what was disliked is not said again
    agreed = (row.agreed if row else 0) + 1 if is_same else 0
    values = {"text": answer.text, "message_id": answer.id, "at": answer.at, "fresh_until": answer.at + FRESH, "agreed": agreed}
    values["state"] = Habit.ON if agreed >= ENOUGH_ANSWER else Habit.PROPOSED
    values["disagreed"] = (row.disagreed if row else 0) + (not is_same)
    if row is None:
        await work.cached_answers.add_once(user_id=asked.user_id, digest=words, question=asked.text, **values)
    else:
        await work.cached_answers.change(row.id, **values)


async def _count_pattern(work: UnitOfWork, asked: Message, intent: str, is_same: bool, now: datetime) -> None:
    """Propose a phrase for an intent, count what speaks for and against it, and switch it on or off by that."""
    phrase = phrase_of(asked.text)
    row = await work.patterns.find(key_of(phrase, asked.user_id))
    if row is None:
        await work.patterns.add_new([_row(asked.user_id, phrase, intent, now, agreed=int(is_same), disagreed=int(not is_same))])
    elif row.state == Habit.PROPOSED and row.intent == intent:
        agreed, disagreed = row.agreed + is_same, row.disagreed + (not is_same)
        state = Habit.OFF if disagreed else Habit.ON if agreed >= ENOUGH_PATTERN else Habit.PROPOSED
        await work.patterns.change(row.id, agreed=agreed, disagreed=disagreed, state=state, changed_at=now)


def _row(user_id: UUID, phrase: str, intent: str, now: datetime, **values: Any) -> dict[str, Any]:
    about = {"user_id": user_id, "key": key_of(phrase, user_id), "intent": intent, "text": phrase, "created_at": now, "changed_at": now}
    return {**about, "state": Habit.PROPOSED, "origin": "learned", "weight": 1.0, **values}
