"""What a morning brief becomes on each channel: Slack's blocks, Telegram's HTML, a mail with numbered choices."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from html.parser import HTMLParser

import pytest

from bot.adapters.dialects import Telegram
from bot.adapters.mail_letter import write
from bot.adapters.markup import split
from bot.adapters.slack_blocks import render
from bot.adapters.telegram_bot import _keyboard
from bot.briefs.composer import Brief
from bot.domain.address import Address
from bot.domain.brief import Item, Section, Slot
from bot.domain.clock import new_id
from bot.domain.message import Button, Outgoing, OutgoingKind


def brief(items: int = 4) -> Brief:
    """A full one: four sections, with buttons wherever something can be done."""

    def section(title: str, weight: float, *labels: str) -> Section:
        made = [
            Item(
                text=f"{title} number {n} for Dana & <Co>, *soon*",
                buttons=tuple(Button(label=label, command=f"/task {label.lower()} {title[0]}{n}") for label in labels),
            )
            for n in range(items)
        ]
        return Section(key=title.lower(), title=title, items=made, weight=weight, more=3)

    parts = (section("Overdue", 100, "Done", "Snooze"), section("Today", 50, "Done"), section("Deals", 20), section("Cost", 5))
    return Brief(
        slot=Slot.MORNING, title="Morning brief, Friday 27 November 2026", sections=parts, opening="Good morning.", notes=("It is late.",)
    )


def outgoing(channel: str, made: Brief) -> Outgoing:
    conversation = "allan@example.com/<brief 2026-11-27 morning>" if channel == "email" else "D1"
    where = Address(channel=channel, conversation=conversation)
    return Outgoing(id=new_id(), address=where, kind=OutgoingKind.NOTICE, text=made.text, buttons=made.buttons)


@pytest.mark.parametrize("items", [1, 4, 40])
def test_slack_gets_blocks_that_keep_to_its_schema(items: int):
    """As its own SDK checks them, and as https://docs.slack.dev/reference/block-kit/blocks limits them."""
    blocks_room = pytest.importorskip("slack_sdk.models.blocks")
    payload = render(outgoing("slack", brief(items)))
    assert 0 < len(payload["blocks"]) <= 50
    for block in payload["blocks"]:
        parsed = blocks_room.Block.parse(block)
        parsed.validate_json()
        assert block["type"] in ("section", "actions")
        assert len(block.get("text", {}).get("text", "x")) in range(1, 3001)
        elements = block.get("elements", [])
        assert len(elements) <= 25
        assert all(len(each["text"]["text"]) <= 75 and len(each["value"]) <= 2000 for each in elements)
    pressed = [each["value"] for block in payload["blocks"] for each in block.get("elements", [])]
    assert pressed == [button.command for button in brief(items).buttons]
    assert len({each["action_id"] for block in payload["blocks"] for each in block.get("elements", [])}) == len(pressed) <= 8


class Tags(HTMLParser):
    """FAKE: Telegram's own parser, which refuses what is not closed and tags that it does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        assert tag in ("b", "i", "code", "a", "blockquote", "pre", "s")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_telegram_gets_html_and_an_inline_keyboard():
    pytest.importorskip("telegram")
    made = outgoing("telegram", brief())
    texts = split(made.text, Telegram(), limit=4096)
    for text in texts:
        tags = Tags()
        tags.feed(text)
        assert tags.open == []
    assert "<b>Morning brief, Friday 27 November 2026</b>" in texts[0]
    assert "<i>It is late.</i>" in texts[0]
    keyboard = _keyboard(made.buttons)["inline_keyboard"]
    assert all(len(key["callback_data"].encode()) <= 64 for row in keyboard for key in row)
    assert sum(map(len, keyboard)) == len(made.buttons) == 8


def test_a_mail_has_the_brief_s_name_as_its_subject_and_numbered_choices():
    letter = message_from_bytes(
        write(outgoing("email", brief()), address="robbie@example.org", at=datetime.now(UTC)), policy=policy.default
    )
    assert (letter["To"], letter["Subject"]) == ("allan@example.com", "Morning brief, Friday 27 November 2026")
    assert (letter["In-Reply-To"], letter["Auto-Submitted"]) == (None, "auto-generated")
    plain, page = (letter.get_body((kind,)).get_content() for kind in ("plain", "html"))
    assert "1. Done: Overdue number 0 for Dana &…: /task done O0" in plain
    assert "Answer with the number alone" in plain
    assert "<h3>Morning brief, Friday 27 November 2026</h3>" in page
    assert "Dana &amp; &lt;Co&gt;" in page
