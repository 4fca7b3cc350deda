"""Block Kit: what Robbie says, as Slack draws it. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bot.adapters.dialects import Slack
from bot.adapters.markup import split
from bot.adapters.slack_events import EDIT_VIEW
from bot.domain.message import Button, Outgoing
from bot.domain.ports import Card

SECTION = 3_000
"""Characters of a section's text."""
SECTIONS = 4
"""So many to a message; what is longer than 12,000 characters becomes several."""
FALLBACK = 3_000
"""Characters of the text for notifications (Slack refuses 4,000 when it updates a message)."""
LONGEST_DRAFT = 3_000
"""Characters that the text area of a modal holds."""
METADATA = "robbie_reply"

Block = dict[str, Any]
T = TypeVar("T")
_ROW = 5
_MOST_BLOCKS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One message of a reply: its *text* in blocks; `metadata` tells which reply, and which part of it."""

    text: str
    blocks: list[Block]
    metadata: dict[str, Any]

    @property
    def drawn(self) -> dict[str, Any]:
        """The part as the Web API takes it."""
        return {"text": clipped(self.text, FALLBACK), "blocks": self.blocks, "metadata": self.metadata}

    @property
    def plain(self) -> dict[str, Any]:
        """The part without anything that could be refused for its form."""
        return {"text": self.text, "blocks": [], "metadata": self.metadata, "parse": "none"}


def render(outgoing: Outgoing) -> list[Part]:
    """The messages that a reply becomes, at least one; the buttons stand under the last."""
    messages = _rows(split(outgoing.text, Slack(), limit=SECTION) or ["…"], SECTIONS)
    parts = []
    for number, texts in enumerate(messages):
        told = {"id": str(outgoing.id), "part": number, "of": len(messages)}
        under = buttons(outgoing.buttons) if number == len(messages) - 1 else []
        metadata = {"event_type": METADATA, "event_payload": told}
        parts.append(Part(text="\n\n".join(texts), blocks=[*map(_section, texts), *under], metadata=metadata))
    return parts


def growing(outgoing: Outgoing) -> Part:
    """As much of an unfinished reply as one message holds; it tells that it is not the whole."""
    first = render(replace(outgoing, buttons=()))[0]
    return replace(first, metadata={"event_type": METADATA, "event_payload": {"id": str(outgoing.id), "part": 0, "of": 0}})


def buttons(choices: Sequence[Button], *, name: str = "choice") -> list[Block]:
    """*choices* in rows; Slack wants an `action_id` of its own for each."""
    elements = [_button(f"{name}-{number}", choice) for number, choice in enumerate(choices)]
    return [{"type": "actions", "elements": row} for row in _rows(elements, _ROW)]


def pressed(blocks: Sequence[Block], *, chosen: str, action_id: str = "") -> list[Block]:
    """A message whose button was pressed: its buttons are gone, and what was *chosen* is said in their place.

    Where many things are to be decided (the home tab) only the row with *action_id* goes.
    """
    kept: list[Block] = []
    said = {"type": "context", "elements": [_plain(f"✓ {clipped(chosen, 200)}")]}
    for block in blocks:
        is_gone = block.get("type") == "actions" and (
            not action_id or any(action_id == each.get("action_id") for each in block["elements"])
        )
        kept += [] if is_gone and said in kept else [said] if is_gone else [block]
    return kept


def home(cards: Sequence[Card], *, direct: str) -> dict[str, Any]:
    """The home tab; it remembers the *direct* channel of who looks at it, where its buttons are answered."""
    blocks: list[Block] = []
    for number, card in enumerate(cards):
        blocks += [{"type": "divider"}] if blocks else []
        blocks += map(_section, split(card.text, Slack(), limit=SECTION))
        blocks += buttons(card.buttons, name=f"card-{number}")
    nothing = _section("Nothing to see here yet. Write to me under *Messages*.")
    return {"type": "home", "private_metadata": direct, "blocks": blocks[:_MOST_BLOCKS] or [nothing]}


def draft_modal(*, code: str, text: str, conversation: str) -> dict[str, Any]:
    """Where the words of a proposal are changed; it remembers which, and in which conversation."""
    area = {"type": "plain_text_input", "action_id": EDIT_VIEW, "multiline": True, "initial_value": text, "max_length": LONGEST_DRAFT}
    return {
        "type": "modal",
        "callback_id": EDIT_VIEW,
        "private_metadata": json.dumps({"code": code, "conversation": conversation}),
        "title": _plain("Edit"),
        "submit": _plain("Use this"),
        "close": _plain("Cancel"),
        "blocks": [{"type": "input", "block_id": EDIT_VIEW, "label": _plain("What is to be sent"), "element": area}],
    }


def clipped(text: str, limit: int) -> str:
    """*text*, cut off visibly where it is longer than *limit*."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}, "expand": True}


def _button(action_id: str, choice: Button) -> Block:
    return {"type": "button", "action_id": action_id, "text": _plain(clipped(choice.label, 75)), "value": choice.command}


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": True}


def _rows(items: Sequence[T], size: int) -> list[list[T]]:
    return [list(items[start : start + size]) for start in range(0, len(items), size)]
