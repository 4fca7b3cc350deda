"""Keeps notes: one of each thing, the latest word on it; what was superseded stays with its dates, and what a person wrote stays theirs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from bot.domain.address import Person, SessionType
from bot.domain.errand import Errand
from bot.services.affairs import folded, title_of
from bot.services.journal import added, changed, record
from bot.services.notices import tell
from bot.services.noticing import Noticed, corrected, may_correct, notice, read
from storage.database import UnitOfWork
from storage.models.memory import Memory, StickyNote

log = structlog.get_logger(__name__)

BY_HAND, BY_RULES = "person", "rules"
"""By whom a note was made, where it was not a model."""
NOTICED = "notes"
"""The actor, in the journal, of what was noticed rather than asked for."""
RIGHT_AFTER = timedelta(minutes=10)
"""So long a bare "no, it's 5 May" is about the last note."""
NOTED = "Noted. `/notes` shows what you keep."
KEPT_BOTH = "You noted “{old}”, and now said “{new}”. I keep both; `/notes {topic}` shows them, and `/note remove` takes one away."


async def note_said(work: UnitOfWork, person: Person, memories: Sequence[Memory], text: str, *, now: datetime) -> None:
    """Note what there is in a message of a person's own, in the act that remembers it as these *memories*."""
    if not memories:
        return
    local = now.astimezone(ZoneInfo(person.timezone))
    try:
        found = [(one, BY_RULES) for one in notice(text, now=local)] or await _correction(work, person, memories[0].thread, text, local)
    except (ArithmeticError, LookupError, TypeError, ValueError):  # an edge that must survive: the message itself has to be kept
        log.exception("notes.not_noticed")
        return
    for one, made_by in found:
        memory = next((each for each in memories if one.text in each.said), memories[0])
        await keep_noticed(work, person, memory, one, made_by=made_by, now=now)


async def keep_noticed(work: UnitOfWork, person: Person, memory: Memory, one: Noticed, *, made_by: str, now: datetime) -> None:
    """Keep what was noticed in a memory."""
    key = f"noted/{memory.id}/{folded(one.text)}"
    errand = Errand(person=person, key=key, why="you said so", actor=NOTICED, source_id=memory.message_id)
    await keep_note(work, errand, one, made_by=made_by, now=now, memory_id=memory.id)


def is_speaker(person: Person, speaker: str) -> bool:
    """Whether a name in a chat that was brought in is this person's: what others say there makes no note."""
    return speaker.strip().casefold() == person.name.strip().casefold()


async def unnote(work: UnitOfWork, message_id: UUID) -> None:
    """A message was withdrawn, or says something else now: what was noticed in it is nothing; what a person had noted stays."""
    for note in await work.notes.of_source(message_id):
        if note.made_by != BY_HAND:
            await work.notes.remove(note.id)


async def keep_note(
    work: UnitOfWork, errand: Errand, one: Noticed, *, made_by: str, now: datetime, memory_id: UUID | None = None
) -> tuple[StickyNote | None, str]:
    """Keep a note, once for the errand: where the same is noted, that one is as of now. The note, if it is still there, and what to say.

    A person's own hand supersedes what else was noted on its topic, and rules what was noted by no hand; a model, whose topics are loose,
    nothing. Where rules contradict a person's hand, both hold, and they are told.
    """
    user_id = errand.person.id
    if (line := await work.activities.find_by_key(errand.key)) is not None:
        return (await work.notes.find_by_id(UUID(line.undo["id"])) if line.undo else None), NOTED
    known = await work.notes.on_topic(user_id, one.topic) if one.topic else []
    if known and known[0].created_at > now:  # of a chat that was brought in: the latest word stands already
        return known[0], "There is a later note on that. `/notes` shows what you keep."
    if same := next((row for row in known if _says(row, one, errand.person)), None):
        return same, await _again(work, errand, same, one, made_by=made_by, now=now)
    about = {"kind": one.kind, "topic": one.topic, "on": one.on, "made_by": made_by, "memory_id": memory_id}
    note = await work.notes.add(user_id=user_id, text=one.text, now=now, source_id=errand.source_id, **about)
    await record(work, errand, "note.add", f"Noted: {title_of(note)}", now=now, undo=added("notes", note.id))
    gone = [row for row in known if made_by == BY_HAND or (made_by == BY_RULES and row.made_by != BY_HAND)]
    for row in gone:
        await work.notes.supersede(row, note, now)
    for row in [row for row in known if row.made_by == BY_HAND and made_by == BY_RULES][:1]:
        said = {"old": title_of(row), "new": title_of(note), "topic": one.topic}
        await tell(work, user_id, KEPT_BOTH.format(**said), now=now)
    is_told = gone and errand.session_type is SessionType.PRIVATE  # the old one may be of a private talk
    return note, f"Noted, instead of “{title_of(gone[0])}”." if is_told else NOTED


async def _again(work: UnitOfWork, errand: Errand, row: StickyNote, one: Noticed, *, made_by: str, now: datetime) -> str:
    """The same was said again: that is a newer date, and with a person's own hand their note from then on."""
    values = {"created_at": now} | ({"text": one.text, "made_by": BY_HAND} if made_by == BY_HAND != row.made_by else {})
    if errand.actor != NOTICED:
        undo = changed("notes", row, values)
        await record(work, errand, "note.add", f"Noted: {title_of(row)}", now=now, undo=undo)
    await work.notes.change(row.id, **values)
    return "That is noted. `/notes` shows what you keep."


def _says(row: StickyNote, one: Noticed, person: Person) -> bool:
    """Whether a note on the same topic says the same of it."""
    if row.on is not None and one.on is not None:
        return row.on == one.on
    before = read(row.text, now=row.created_at.astimezone(ZoneInfo(person.timezone)))
    return folded(row.text) == folded(one.text) or (before is not None and before.says_the_same(one))


async def _correction(work: UnitOfWork, person: Person, thread: str, text: str, local: datetime) -> list[tuple[Noticed, str]]:
    """What the last note becomes by a bare correction, right after it and in the same conversation, and by whom it is made then."""
    last = next(iter(await work.notes.holding(person.id, limit=1)), None) if may_correct(text) else None
    if last is None or not timedelta(0) <= local - last.created_at <= RIGHT_AFTER or await _thread_of(work, last) != thread:
        return []
    one = corrected(last.text, text, now=local)
    return [(one, BY_HAND if last.made_by == BY_HAND else BY_RULES)] if one is not None else []


async def _thread_of(work: UnitOfWork, note: StickyNote) -> str:
    """The conversation a note was made in; empty where that is not known."""
    if note.memory_id:
        return next((each.thread for each in await work.memories.by_ids([note.memory_id])), "")
    message = await work.messages.find_by_id(note.source_id) if note.source_id else None
    return str(message.conversation_id) if message else ""
