"""The web's dialect: a person's conversations by name; a recorded reply is a delivered one, since pages and scripts read the transcript."""

from __future__ import annotations

import re
from datetime import datetime

from bot.domain.address import Address, Person, Sender
from bot.domain.clock import new_id
from bot.domain.message import Inbound, InboundKind, Outgoing, Sent
from bot.domain.ports import Capabilities

CONSOLE = "console"
_NAME = re.compile(r"[\w][\w .-]{0,63}")


class WebAdapter:
    """The page and the HTTP API, seen from the hub."""

    channel = "web"
    capabilities = Capabilities(pulls=True)

    def address(self, person: Person, conversation: str) -> Address | None:
        """Where *person*'s conversation of this name takes place; "console" is the terminal's own. None for a name that cannot be one."""
        if conversation == CONSOLE:
            return Address(channel=CONSOLE, conversation=str(person.id))
        if not _NAME.fullmatch(conversation):
            return None
        return Address(channel=self.channel, conversation=f"{person.id}/{conversation}")

    def to_inbound(self, person: Person, address: Address, *, text: str, external_id: str, at: datetime, target: str = "") -> Inbound:
        """What *person* wrote in the page or sent to the API; with a *target*, the button that was pressed under that message."""
        sender = Sender(channel=self.channel, account=str(person.id), name=person.name)
        kind = InboundKind.ACTION if target else InboundKind.MESSAGE
        return Inbound(id=new_id(), address=address, sender=sender, external_id=external_id, text=text, at=at, kind=kind, target=target)

    async def send(self, outgoing: Outgoing) -> Sent:
        """The recorded row is the delivery."""
        return Sent(channel_message_id=str(outgoing.id))

    async def show(self, outgoing: Outgoing) -> Sent:
        """Pages watch the feed."""
        return Sent()

    async def find(self, outgoing: Outgoing) -> Sent | None:
        """What is asked about has been recorded, and so delivered."""
        return Sent(channel_message_id=str(outgoing.id))
