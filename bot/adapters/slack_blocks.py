"""Block Kit: what Robbie says, as Slack draws it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from bot.adapters.dialects import Slack
from bot.adapters.markup import split
from bot.adapters.slack_events import EDIT_VIEW
from bot.adapters.slack_manners import OPENS, asked, modal, plain
from bot.domain.message import Button, Outgoing
from bot.domain.ports import Card
from bot.domain.vocabulary import in_rows

SECTION = 3_000
"""Characters of a section's text."""
LONGEST_DRAFT = 3_000
"""Characters that the text area of a modal holds."""

Block = dict[str, Any]
_ROW = 5
_MOST_BLOCKS = 100


def render(outgoing: Outgoing, *, is_whole: bool = True) -> dict[str, Any]:
    """A reply as the Web API takes it: one message, which tells by its metadata what it is, and whether it is the *whole*."""
    texts = split(outgoing.text, Slack(), limit=SECTION) or ["…"]
    metadata = {"event_type": "robbie_reply", "event_payload": {"id": str(outgoing.id), "is_whole": is_whole}}
    under = buttons(outgoing.buttons) if is_whole else []
    return {"text": "\n\n".join(texts), "blocks": [*map(_section, texts), *under], "metadata": metadata}


def buttons(choices: Sequence[Button], *, name: str = "choice") -> list[Block]:
    """*choices* in rows; Slack wants a name of its own for each. Where there are sliders, one more opens the modal."""
    numbers, has_sliders = count(), any(choice.command.split()[:1] == ["/cocktail"] for choice in choices)
    choices = [*choices, Button(label="Sliders…", command=OPENS)] if has_sliders else choices
    rows = [[_button(each, f"{name}-{next(numbers)}") for each in row] for row in in_rows(choices, _ROW)]
    return [{"type": "actions", "block_id": f"{name}-row-{number}", "elements": row} for number, row in enumerate(rows)]


def pressed(blocks: Sequence[Block], *, row: str, chosen: str) -> list[Block]:
    """What stands there once a button was pressed: what was *chosen*, in the place of its *row*."""
    said = {"type": "context", "elements": [plain(f"✓ {clipped(chosen, 200)}")]}
    return [said if block.get("block_id") == row else block for block in blocks]


def home(cards: Sequence[Card], *, direct: str) -> dict[str, Any]:
    """The home tab; it remembers the *direct* channel of who looks at it, where its buttons are answered."""
    blocks: list[Block] = []
    for number, card in enumerate(cards or [Card(text="Nothing to see here yet. Write to me under **Messages**.")]):
        blocks += [{"type": "divider"}] if blocks else []
        blocks += map(_section, split(card.text, Slack(), limit=SECTION))
        blocks += buttons(card.buttons, name=f"card-{number}")
    return {"type": "home", "private_metadata": direct, "blocks": blocks[:_MOST_BLOCKS]}


def draft_modal(*, code: str, text: str, conversation: str) -> dict[str, Any]:
    """Where the words of a proposal are changed; it remembers which, and in which conversation."""
    area = {"type": "plain_text_input", "action_id": EDIT_VIEW, "multiline": True, "initial_value": text, "max_length": LONGEST_DRAFT}
    kept = {"code": code, "conversation": conversation}
    return modal(EDIT_VIEW, "Edit", "Use this", kept, [asked(EDIT_VIEW, "What is to be sent", area)])


def clipped(text: str, limit: int) -> str:
    """*text*, cut off visibly where it is longer than *limit*."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _button(choice: Button, name: str) -> Block:
    return {"type": "button", "action_id": name, "text": plain(clipped(choice.label, 75)), "value": choice.command}


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}, "expand": True}
