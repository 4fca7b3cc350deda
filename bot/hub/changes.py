"""What comes after a message: it is changed, withdrawn, or what Robbie said is judged. All of it is kept; little of it is answered."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from bot.brain.providers.offline import digest
from bot.brain.remembering import ANSWERS, revised
from bot.domain.clock import Clock
from bot.domain.memory import Trust
from bot.domain.message import Inbound, InboundKind
from bot.learning.realtime import Learning
from bot.services.note_keeping import note_said, unnote
from storage.database import UnitOfWork
from storage.models.messaging import InboxEvent, InboxState
from storage.repositories.inbox import WAITING

GOOD = frozenset("👍 👏 🎉 ❤ ❤️ 🔥 💯 🙏 +1 thumbsup clap tada heart fire 100 pray raised_hands white_check_mark".split())  # noqa: SIM905
BAD = frozenset("👎 💩 😡 🤬 -1 thumbsdown angry rage disappointed confused x no_entry".split())  # noqa: SIM905
"""As Telegram draws them and as Slack names them."""
LOWEST, HIGHEST = -1.0, 1.0


def value_of(reaction: str) -> float:
    """What a reaction says of an answer, from -1 to 1; 0 for one that was taken back, or says nothing either way."""
    name = reaction.partition("::")[0]
    return HIGHEST if name in GOOD else LOWEST if name in BAD else 0.0


async def apply(work: UnitOfWork, inbound: Inbound, user_id: UUID, *, clock: Clock, learning: Learning) -> bool:
    """Do what somebody's edit, deletion or reaction asks for; whether its conversation has something to answer now."""
    if inbound.kind is InboundKind.REACTION:
        await _judge(work, inbound, user_id, learning, clock.now())
        return False
    event = await work.inbox.find_to_change(channel=inbound.sender.channel, account=inbound.sender.account, external_id=inbound.target)
    if event is None:
        return False
    return await _edit(work, event, inbound.text) if inbound.kind is InboundKind.EDIT else await _delete(work, event, learning, clock)


async def _judge(work: UnitOfWork, inbound: Inbound, user_id: UUID, learning: Learning, now: datetime) -> None:
    """Keep somebody's word on what Robbie said; one that they gave before, with a minus before it, takes that back."""
    is_web, messages, word = inbound.sender.channel == "web", work.messages, inbound.text[:64]
    find = messages.find_by_id(UUID(inbound.target)) if is_web else messages.find_on_channel(inbound.address.channel, inbound.target)
    said = await find  # on the web messages have no ids but our own
    if said is None or said.direction != "out":
        return
    known = await work.feedback.find(user_id, said.id)
    value = 0.0 if is_web and word.startswith("-") else value_of(word)  # "-1" takes a `/rate 1` back there, and is a thumb on Slack
    if value or (known is not None and word == f"-{known.detail}"[:64]):  # what else is taken back, or tells nothing, is no word
        await learning.rate(work, user_id, said, value=value, source="reaction", detail=word, now=now)


async def _edit(work: UnitOfWork, event: InboxEvent, text: str) -> bool:
    """A message whose answer nobody has seen, or is still owed, is answered as it reads now; of any other, the edit is only kept."""
    is_unsent = await _take_back(work, event, keeps=True)
    if not is_unsent and event.state != InboxState.QUEUED:
        return False
    await work.messages.change_text(event.id, text, digest(text))
    if known := await work.memories.of_messages([event.id]):
        await work.memories.remove([each.id for each in known])
        await work.memories.add_once(memories := revised(known[0], text))
        await unnote(work, event.id)
        user = await work.people.find_user_by_id(known[0].user_id)
        if user is not None and known[0].trust == Trust.OWN:
            await note_said(work, user.person, memories, text, now=known[0].at)
    await work.inbox.reopen(event.id, InboxState.RECEIVED if is_unsent else InboxState.QUEUED)
    return True


async def _delete(work: UnitOfWork, event: InboxEvent, learning: Learning, clock: Clock) -> bool:
    """A message that was withdrawn is not answered any more, and neither spoken of nor learned from, nor is its answer."""
    await work.messages.withdraw(event.id)
    answer = await work.messages.find_reply(event.id, ANSWERS)
    await _unremember(work, event.id, *([answer.id] if answer else []))
    await unnote(work, event.id)
    await learning.unlearn(work, event.id, clock.now())
    if await _take_back(work, event) or event.state == InboxState.QUEUED:
        await work.inbox.reopen(event.id, InboxState.NOTED)
    return True  # what came after it may go on


async def _unremember(work: UnitOfWork, *messages: UUID) -> None:
    await work.memories.remove([each.id for each in await work.memories.of_messages(messages)])


async def _take_back(work: UnitOfWork, event: InboxEvent, *, keeps: bool = False) -> bool:
    """Whether the answer was not yet sent; what was promised of it is void now. `keeps`: see `Outbox.void`."""
    if event.state not in (*WAITING, InboxState.ANSWERED):
        return False
    void = await work.outbox.void(event.id, keeps=keeps)
    if void is not None:
        await work.messages.withdraw(void)
        await _unremember(work, void)
    return void is not None or event.state in WAITING
