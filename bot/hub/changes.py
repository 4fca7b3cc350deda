"""What comes after a message: it is changed, withdrawn, or what Robbie said is judged. All of it is kept; little of it is answered."""

from __future__ import annotations

from uuid import UUID

from bot.brain.providers.offline import digest
from bot.domain.clock import Clock
from bot.domain.message import Inbound, InboundKind
from bot.learning.realtime import Learning
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
    now = clock.now()
    if inbound.kind is InboundKind.REACTION:
        if inbound.sender.channel == "web":  # where messages have no ids but our own
            said = await work.messages.find_by_id(UUID(inbound.target))
        else:
            said = await work.messages.find_on_channel(inbound.address.channel, inbound.target)
        if said is not None and said.direction == "out":
            value, word, known = value_of(inbound.text), inbound.text[:64], await work.feedback.find(user_id, said.id)
            if value or (known is not None and word == f"-{known.detail}"[:64]):  # what else is taken back, or tells nothing, is no word
                await learning.rate(work, user_id, said, value=value, source="reaction", detail=word, now=now)
        return False
    event = await work.inbox.find_to_change(channel=inbound.sender.channel, account=inbound.sender.account, external_id=inbound.target)
    if event is None:
        return False
    return await _edit(work, event, inbound.text) if inbound.kind is InboundKind.EDIT else await _delete(work, event, learning, clock)


async def _edit(work: UnitOfWork, event: InboxEvent, text: str) -> bool:
    """A message whose answer nobody has seen, or is still owed, is answered as it reads now; of any other, the edit is only kept."""
    is_unsent = await _take_back(work, event, keeps=True)
    if not is_unsent and event.state != InboxState.QUEUED:
        return False
    await work.messages.change_text(event.id, text, digest(text))
    await work.inbox.reopen(event.id, InboxState.RECEIVED if is_unsent else InboxState.QUEUED)
    return True


async def _delete(work: UnitOfWork, event: InboxEvent, learning: Learning, clock: Clock) -> bool:
    """A message that was withdrawn is not answered any more, and neither spoken of nor learned from."""
    await work.messages.withdraw(event.id)
    await learning.unlearn(work, event.id, clock.now())
    if await _take_back(work, event) or event.state == InboxState.QUEUED:
        await work.inbox.reopen(event.id, InboxState.NOTED)
    return True  # what came after it may go on


async def _take_back(work: UnitOfWork, event: InboxEvent, *, keeps: bool = False) -> bool:
    """Whether the answer was not yet sent; what was promised of it is void now. `keeps`: see `Outbox.void`."""
    if event.state not in (*WAITING, InboxState.ANSWERED):
        return False
    void = await work.outbox.void(event.id, keeps=keeps)
    if void is not None:
        await work.messages.withdraw(void)
    return void is not None or event.state in WAITING
