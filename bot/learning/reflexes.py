"""Teaches tier 1: phrases and answers that agreed with the models often enough, and what people thought of what it said."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
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
from storage.repositories.reflexes import Exchange

LOOKS_EVERY = timedelta(seconds=10)
WINDOW = timedelta(minutes=1)
MOST = 200
"""Answers of one minute that are learned from."""
NEAR = 0.5
"""From so likely on, a phrase that was not sure is held against what its intent would have said."""
ENOUGH_PATTERN, ENOUGH_ANSWER = 3, 2
"""Agreements after which a phrase is answered, and an answer said again: three answers that are one agree twice."""
FRESH = timedelta(days=14)
CLEARLY, UP, DOWN, FLOOR, CEILING = 0.3, 1.1, 0.8, 0.3, 2.0
"""What counts as liked or not, how it moves a weight, and within which bounds; below the floor, a pattern is switched off."""
SHARED_WORDS = 0.7
COSTLY = ("/brief",)
"""What a model may have to word is not computed just to compare."""
_WORD = re.compile(r"[^\W_]+")
_NO = re.compile(r"\b(?:no|not|never|none|nothing|cannot|\w+n't)\b")
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

        Words that were misread mean nothing to this person from now on. Raises StorageUnavailable.
        """
        liked = outcome.value if outcome.value is not None else 2 * outcome.score - 1 if outcome.score is not None else 0.0
        if not outcome.pattern or abs(liked) < CLEARLY:
            return
        if not await work.job_runs.mark("reflexes liked" if liked > 0 else "reflexes disliked", f"{outcome.message_id}", now):
            return
        which = UUID(outcome.pattern)
        if (row := await work.patterns.find_by_id(which)) is not None:
            await work.patterns.change(which, **_moved(row, liked), changed_at=now)
            await self._misread(work, outcome, now, is_misread=liked < 0)
        elif (answer := await work.cached_answers.find_by_id(which)) is not None:
            await work.cached_answers.change(which, **_moved(answer, liked))
        self._next = now

    async def _misread(self, work: UnitOfWork, outcome: Feedback, now: datetime, *, is_misread: bool) -> None:
        """Switch a person's veto of the words that were answered on, or off again."""
        answer = await work.messages.find_by_id(outcome.message_id)
        asked = await work.messages.find_by_id(answer.reply_to) if answer and answer.reply_to else None
        phrase = phrase_of(asked.text) if asked else ""
        key, state = key_of(phrase, outcome.user_id), Habit.ON if is_misread else Habit.OFF
        row = await work.patterns.find(key)
        if row is not None and (is_misread or row.intent == OUT):
            await work.patterns.change(row.id, intent=OUT, state=state, changed_at=now)
        elif phrase and is_misread:
            await _propose(work, outcome.user_id, phrase, OUT, now, state=Habit.ON, origin="feedback")
        if phrase and is_misread:
            self._reflexes.veto(phrase, outcome.user_id)

    async def _learn(self, now: datetime) -> None:
        """Learn from the answers of the minute that ended last."""
        ends = now.replace(second=0, microsecond=0)
        if ends == self._learned:
            return
        async with self._database.reading() as work:
            found = await work.cached_answers.learnable(ends - WINDOW, ends, limit=MOST)
        said = [one for one in found if one.details.get("model") and not (one.asked or {}).get("quoted")]
        checked = [(one, await self._compared(one)) for one in said]
        if checked:
            async with self._database.unit_of_work() as work:
                if await work.job_runs.mark("reflexes", ends.isoformat(), now):
                    for one, (intent, is_same) in checked:
                        await _count_answer(work, one)
                        await _count_pattern(work, one, intent, is_same, now)
        self._learned = ends

    async def _compared(self, one: Exchange) -> tuple[str, bool]:
        """The intent that a phrase nearly is, or is proposed for, and whether what it says now agrees with the model; "" where none."""
        phrase = phrase_of(one.question)
        guess = self._reflexes.guess(phrase)
        near = guess.intent if guess and NEAR <= guess.confidence < SURE else ""
        intent = self._reflexes.proposed.get(key_of(phrase, one.user_id), near)
        if not phrase or intent in ("", OUT, *COSTLY):
            return "", False
        async with self._database.reading() as work:
            user = await work.people.find_user_by_id(one.user_id)
        if user is None:
            return "", False
        person = Person(id=user.id, name=user.name, role=user.role, timezone=user.timezone)
        question = Question(id=one.question_id, conversation_id=one.conversation_id, person=person, text=one.question, asked_at=one.at)
        said = await self._reactive.compute(intent, question)
        return intent, said is not None and agree(said.text, one.answer)


def _moved(row: Pattern | CachedAnswer, liked: float) -> dict[str, object]:
    """The weight and state of a row that was liked or not; what is one person's alone is switched off at once where it was not."""
    weight = min(max(row.weight, FLOOR) * UP, CEILING) if liked > 0 else row.weight * (DOWN if row.user_id is None else 0.0)
    return {"weight": weight, "state": row.state if weight >= FLOOR else Habit.OFF}


async def _count_answer(work: UnitOfWork, one: Exchange) -> None:
    """Hold a model's answer against the one before it to the same words; the last is what is said again."""
    is_own = stands_alone(one.question) and not one.details.get("tools") and not one.details.get("outside")
    row = await work.cached_answers.find(one.user_id, one.digest) if is_own else None
    before = await work.messages.find_earlier_answer(one.user_id, one.digest, before=one.question_id) if is_own else None
    if before is None or (row is not None and row.state == Habit.OFF):
        return
    is_same = agree(before.text, one.answer)
    agreed = (row.agreed if row else 0) + 1 if is_same else 0
    state = Habit.ON if agreed >= ENOUGH_ANSWER else Habit.PROPOSED
    values = {
        "text": one.answer,
        "message_id": one.answer_id,
        "at": one.at,
        "fresh_until": one.at + FRESH,
        "agreed": agreed,
        "state": state,
    }
    if row is None:
        asked = {"user_id": one.user_id, "digest": one.digest, "question": one.question}
        await work.cached_answers.add_once(**asked, **values)
    else:
        await work.cached_answers.change(row.id, **values)


async def _count_pattern(work: UnitOfWork, one: Exchange, intent: str, is_same: bool, now: datetime) -> None:
    """Propose a phrase for an intent, count what speaks for and against it, and switch it on or off by that."""
    phrase = phrase_of(one.question)
    row = await work.patterns.find(key_of(phrase, one.user_id)) if intent else None
    if intent and row is None:
        await _propose(work, one.user_id, phrase, intent, now, agreed=int(is_same), disagreed=int(not is_same))
    elif row is not None and row.state == Habit.PROPOSED and row.intent == intent:
        agreed, disagreed = row.agreed + is_same, row.disagreed + (not is_same)
        state = Habit.OFF if disagreed else Habit.ON if agreed >= ENOUGH_PATTERN else Habit.PROPOSED
        await work.patterns.change(row.id, agreed=agreed, disagreed=disagreed, state=state, changed_at=now)


async def _propose(work: UnitOfWork, user_id: UUID, phrase: str, intent: str, now: datetime, **values: object) -> None:
    common = {"state": Habit.PROPOSED, "origin": "learned", "weight": 1.0, "created_at": now, "changed_at": now}
    await work.patterns.add_once(
        **{**common, "user_id": user_id, "key": key_of(phrase, user_id), "intent": intent, "text": phrase, **values}
    )
