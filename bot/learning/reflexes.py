"""Teaches tier 1: phrases and answers that agreed with the models often enough, and what people thought of what it said."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from bot.brain.agreement import words_of
from bot.brain.confidence import plain
from bot.brain.delicate import ENGLISH
from bot.brain.intents import OUT, SURE
from bot.brain.providers.offline import stands_alone
from bot.brain.reactive import Reactive
from bot.brain.reflexes import Reflexes, key_of, phrase_of
from bot.domain.thought import Question
from bot.learning.signals import FILLER
from storage.database import Database, UnitOfWork
from storage.models.decisions import Feedback
from storage.models.learning import Habit
from storage.models.messaging import Message

LOOKS_EVERY, WINDOW, MOST = timedelta(seconds=10), timedelta(minutes=1), 50
"""How often the rows are looked at, and how many answers of a minute are learned from: whoever writes meanwhile waits for it."""
NEAR, ENOUGH_PATTERN, ENOUGH_ANSWER, FRESH = 0.5, 3, 2, timedelta(days=14)
"""From so likely on, a phrase that was not sure is held against the models; agreements after which it is answered, and after which an
answer is said again (three that are one agree twice), and for how long.
"""
CLEARLY, UP, DOWN, FLOOR, CEILING = 0.5, 1.1, 0.8, 0.3, 2.0
"""What counts as liked or not, how each moves a weight, and within which bounds; below the floor, a pattern is switched off."""
SHARED_WORDS = 0.7
COSTLY = ("/brief",)
"""What a model may have to word is not computed just to compare."""
_NO = re.compile(r"no|not|never|none|nothing|nobody|cannot|\w+['’]t")
_OWN = re.compile(r"\b(?:i|me|my|mine|we|us|our|ours|you|your|yours)\b", re.I)
"""A question about people's own affairs, or Robbie's: the answer changes with them."""
_NOTICE = re.compile(r"\n\n\*[^*\n]+\*\s*\Z")
"""Ends an answer with what was true of that day alone: a doubt, or that the allowance is spent."""


def agree(one: str, other: str) -> bool:
    """Whether two answers say the same: the same numbers, both or neither with a no in it, and of the shorter's telling words at least
    SHARED_WORDS in the longer. It errs towards no.
    """
    read = [{"no" if _NO.fullmatch(word) else word for word in words_of(text) if not FILLER.fullmatch(word)} for text in (one, other)]
    shorter, differing = min(map(len, read)), read[0] ^ read[1]
    is_contrary = any(word == "no" or word[-1].isdecimal() for word in differing)
    return not is_contrary and shorter > 0 and len(read[0] & read[1]) >= SHARED_WORDS * shorter


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
        if self._next is None or not now < self._next <= now + LOOKS_EVERY:
            self._next = now + LOOKS_EVERY
            await self._learn(now)
            await self._reflexes.refresh()
            await self._reflexes.fit()
        return self._next

    async def learn_from(self, work: UnitOfWork, outcome: Feedback, now: datetime) -> None:
        """Make what was said, or will be, without a model as likely as people like it now; what was taken back or withdrawn never counted.

        Words that somebody says were misread mean nothing to them from now on. Raises StorageUnavailable.
        """
        is_bad, is_word = outcome.score is not None and 2 * outcome.score - 1 <= -CLEARLY, outcome.value is not None
        row = await work.patterns.find(outcome.pattern) if outcome.pattern else None
        if row is not None and row.user_id is None:
            likes = [2 * score - 1 for score in await work.feedback.scores_of(row.key)]
            ups, downs = sum(like >= CLEARLY for like in likes), sum(like <= -CLEARLY for like in likes)
            weight = min(UP**ups * DOWN**downs, CEILING)
            await work.patterns.change(row.id, weight=weight, state=Habit.ON if weight >= FLOOR else Habit.OFF, changed_at=now)
        answer = await work.messages.find_by_id(outcome.message_id)
        asked = await work.messages.find_by_id(answer.reply_to) if answer and answer.reply_to else None
        if asked is None or asked.user_id != outcome.user_id or not (is_bad or is_word):
            return
        if row is None:
            kept = await work.cached_answers.find(asked.user_id, asked.digest or "")
            if kept is not None and (is_bad or kept.state == Habit.OFF):
                await work.cached_answers.change(kept.id, state=Habit.OFF if is_bad else _state(kept.agreed, 0, ENOUGH_ANSWER))
        elif is_word or row.user_id is not None:  # who only asked on may have been understood
            phrase, self._next = phrase_of(asked.text), now
            own = await work.patterns.find(key_of(phrase, asked.user_id))
            if own is None and phrase and is_bad:
                await work.patterns.propose(asked.user_id, phrase, row.intent, now, state=Habit.OFF)
            elif own is not None and (is_bad or own.state == Habit.OFF):
                state = Habit.OFF if is_bad else _state(own.agreed, own.disagreed, ENOUGH_PATTERN)
                await work.patterns.change(own.id, state=state, changed_at=now)
            if is_bad:
                self._reflexes.veto(phrase, asked.user_id)

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
        async with self._database.reading() as work:
            row = await work.patterns.find(key_of(phrase, asked.user_id))
            intent = row.intent if row is not None and row.state == Habit.PROPOSED else near
            user = await work.people.find_user_by_id(asked.user_id) if intent not in ("", OUT, *COSTLY) else None
        if user is None:
            return "", False
        question = Question(id=asked.id, conversation_id=asked.conversation_id, person=user.person, text=asked.text, asked_at=asked.at)
        said = await self._reactive.compute(intent, question)
        return intent, said is not None and agree(said.text, answer.text)


def _is_whole(question: Message) -> bool:
    """Whether all that was asked stands in its words."""
    return question.kind == "message" and bool(question.digest) and not (question.details or {}).get("quoted")


def _state(agreed: int, disagreed: int, enough: int) -> Habit:
    return Habit.OFF if disagreed else Habit.ON if agreed >= enough else Habit.PROPOSED


def _is_lasting(asked: str, answer: Message) -> bool:
    """Whether an answer may hold on other days too, and is nobody's but the model's. Only in English can that be told."""
    made_of = answer.details or {}
    is_remembered = any(each["id"] for each in made_of.get("recalled", ()))  # and may be forgotten, or put right
    is_more = is_remembered or made_of.get("tools") or made_of.get("outside") or made_of.get("mentor") or _NOTICE.search(answer.text)
    return not is_more and stands_alone(asked) and bool(ENGLISH.search(asked)) and not _OWN.search(asked)


async def _count_answer(work: UnitOfWork, asked: Message, answer: Message) -> None:
    """Hold a model's answer against the one before it to the same words; the last is what is said again. What was disliked is neither."""
    words = asked.digest or ""
    before = await work.messages.find_earlier_answer(asked.user_id, words, before=asked.id) if _is_lasting(asked.text, answer) else None
    row = await work.cached_answers.find(asked.user_id, words)
    if before is None or (row is not None and row.state == Habit.OFF):
        return
    judged = [await work.feedback.find(asked.user_id, each.id) for each in (before, answer)]
    if any(each is not None and each.score is not None and 2 * each.score - 1 <= -CLEARLY for each in judged):
        return
    is_same = agree(before.text, answer.text)
    agreed = (row.agreed if row else 0) + 1 if is_same else 0
    values = {"text": plain(answer.text), "message_id": answer.id, "at": answer.at, "fresh_until": answer.at + FRESH, "agreed": agreed}
    values |= {"state": _state(agreed, 0, ENOUGH_ANSWER), "disagreed": (row.disagreed if row else 0) + (not is_same)}
    if row is None:
        await work.cached_answers.add_once(user_id=asked.user_id, digest=words, question=asked.text, **values)
    else:
        await work.cached_answers.change(row.id, **values)


async def _count_pattern(work: UnitOfWork, asked: Message, intent: str, is_same: bool, now: datetime) -> None:
    """Propose a phrase for an intent, count what speaks for and against it, and switch it on or off by that."""
    phrase = phrase_of(asked.text)
    row = await work.patterns.find(key_of(phrase, asked.user_id))
    if row is None:
        await work.patterns.propose(asked.user_id, phrase, intent, now, agreed=int(is_same), disagreed=int(not is_same))
    elif row.state == Habit.PROPOSED and row.intent == intent:
        agreed, disagreed = row.agreed + is_same, row.disagreed + (not is_same)
        values = {"agreed": agreed, "disagreed": disagreed, "state": _state(agreed, disagreed, ENOUGH_PATTERN)}
        await work.patterns.change(row.id, **values, changed_at=now)
