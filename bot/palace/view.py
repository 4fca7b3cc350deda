"""Turns what was said into HTML: whole pages, single messages, and the pieces by which an open page follows a conversation."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from bot.domain.address import Person
from bot.domain.clock import Clock, new_id
from bot.domain.message import Button
from bot.domain.ports import Card
from bot.domain.vocabulary import in_rows
from bot.hub.server import Problem
from bot.learning.realtime import takes_word
from bot.palace.assets import Assets
from bot.palace.transcript import IN, MAIN, Words, is_adjusting, still_standing
from storage.models.decisions import Feedback
from storage.models.messaging import Message

if TYPE_CHECKING:
    from jinja2 import Environment

LABELS = {
    "offline": "Answered without a model. Your question is kept; the real answer follows.",
    "late": "A late answer",
    "notice": "A note from Robbie",
}
RECOVERED = "Sent again after an interruption; you may have seen it before."
PAGE = 50
WIDEST_ROW = 12
THUMBS = (("👍", "Good answer", 1), ("👎", "Bad answer", -1))
LONGEST_BLOCK = 4_000
"""Characters; a growing block is read anew for every few words, and a longer one is shown as it comes until it seems to end."""
LOOK_BACK = 250
"""Characters in which a long block may have ended; it is known when the line that follows is whole."""
_BLOCK_END = re.compile(r"\n\s*\n|\n[`~]{3}")
_UNSHOWABLE = re.compile("[\x00\ud800-\udfff]+")

MarkdownToHtml = Callable[[str], str]
LastBlock = Callable[[str], int]
"""Where in a text begins what more text may turn into something else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One message, ready to be shown; `html` is harmless. A thumb: its label, the word a press gives, whether it was the last one."""

    id: UUID
    direction: str
    kind: str
    html: str
    at: datetime
    time: str
    label: str
    facts: Mapping[str, str]
    rows: Sequence[Sequence[Button]]
    replaces: str
    thumbs: Sequence[tuple[str, str, bool]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """A reply that is not finished: what a page shows of it; the first `settled` characters are blocks that change no more."""

    event_id: UUID
    text: str = ""
    settled: int = 0

    @property
    def is_long(self) -> bool:
        """Whether its last block is too long to be read anew for every word."""
        return len(self.text) - self.settled > LONGEST_BLOCK


class View:
    """Every piece of HTML of the chat."""

    def __init__(self, *, assets: Assets, markdown: MarkdownToHtml, last_block: LastBlock, clock: Clock) -> None:
        self._assets, self._markdown, self._last_block, self._clock = assets, markdown, last_block, clock

    @cached_property
    def _templates(self) -> Environment:
        """All that the page is made of: read when it is first shown, which a hub without its page never does."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        where = PackageLoader("bot.palace")
        templates = Environment(loader=where, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        templates.tests["about"] = lambda label, what: label.partition(": ")[2] == what
        templates.globals |= {"static": self._assets.url, "MAIN": MAIN}
        return templates

    @cached_property
    def _pieces(self) -> Any:
        """What a message and a growing one look like."""
        return self._templates.get_template("message.html").module

    def chat(
        self, person: Person, messages: Sequence[Message], words: Words, *, conversation: str, progress: Mapping[UUID, str] | None = None
    ) -> str:
        """The whole page, of the last PAGE messages; without *progress*, what takes the place of the button that asked for them."""
        shown, now = messages[-PAGE:], self._clock.now().astimezone(ZoneInfo(person.timezone))
        return self._templates.get_template("earlier.html" if progress is None else "chat.html").render(
            person=person,
            conversation=conversation,
            lines=[self.line(message, person, words) for message in still_standing(shown)],
            first=shown[0].id if shown else None,
            last=shown[-1].id if shown else None,
            progress={each: self._growing(self._progress_to(Progress(event_id=each), text)) for each, text in (progress or {}).items()},
            has_earlier=len(messages) > PAGE,
            request_id=str(new_id()),
            greeting="Good morning" if 5 <= now.hour < 12 else "Good afternoon" if 12 <= now.hour < 18 else "Good evening",
        )

    def attention(self, troubles: Sequence[str], cards: Sequence[Card]) -> str:
        """What a person should see to: channels that are down, and what waits for their decision."""
        waiting = [(self._markdown(card.text), in_rows(card.buttons, WIDEST_ROW)) for card in cards]
        return self._templates.get_template("attention.html").render(troubles=troubles, waiting=waiting)

    def problem(self, problem: Problem) -> str:
        """The page for a request that is not served; it tells what to do, not what went wrong."""
        return self._templates.get_template("problem.html").render(code=problem.code, status=problem.status)

    def line(self, message: Message, person: Person, words: Words) -> Line:
        """*message* as *person* sees it, and has judged it; only Robbie's words are read as Markdown, a person's stay as they are."""
        is_question = message.direction == IN
        at = message.at.astimezone(ZoneInfo(person.timezone))
        details = message.details or {}
        labels = [LABELS.get(message.kind, ""), RECOVERED if message.recovered else ""]
        return Line(
            id=message.id,
            direction=message.direction,
            kind=message.kind,
            html=escape(showable(message.text)) if is_question else self._markdown(message.text),
            at=at,
            time=_time(at, self._clock.now().astimezone(at.tzinfo)),
            label=" ".join(filter(None, labels)),
            facts={} if is_question else _facts(message),
            rows=in_rows([Button(label=label, command=command) for label, command in details.get("buttons", ())], WIDEST_ROW),
            replaces=details.get("replaces", ""),
            thumbs=_thumbs(words.get(message.id)) if takes_word(message) else (),
        )

    def add(self, message: Message, person: Person, words: Words) -> str:
        """A piece that shows a message (once, however often it is sent), in the place of the one that it replaces."""
        return "" if is_adjusting(message) else _partial("#log", "beforeend", self._pieces.message(self.line(message, person, words)))

    def thumbs(self, message: Message, person: Person, words: Words) -> str:
        """What stands under an answer for judging it, as it was judged."""
        return str(self._pieces.thumbs(self.line(message, person, words)))

    def begin(self, event_id: UUID, text: str) -> tuple[Progress, str]:
        """A piece that shows that, and how far, a reply is being made; and what is shown then."""
        progress = self._progress_to(Progress(event_id=event_id), text)
        return progress, _partial("#log", "beforeend", self._pieces.progress(event_id, self._growing(progress)))

    def grow(self, shown: Progress, text: str) -> tuple[Progress, str]:
        """A piece that brings what is shown of a reply to *text*: blocks that are whole once, the last one anew; and what is shown then."""
        if not shown.text or not text.startswith(shown.text):
            progress = self._progress_to(Progress(event_id=shown.event_id), text)
            return progress, _partial(f"#t-{shown.event_id}", "innerHTML", self._growing(progress))
        new = text[len(shown.text) :]
        may_end = not shown.is_long or ("\n" in new and _BLOCK_END.search(text, max(len(shown.text) - LOOK_BACK, 0)))
        progress = self._progress_to(shown, text) if may_end else replace(shown, text=text)
        if shown.is_long and progress.settled == shown.settled:
            return progress, _partial(f"#v-{shown.event_id}", "beforeend", escape(showable(new)))
        last = _partial(f"#g-{shown.event_id}", "innerHTML", self._last(progress))
        if progress.settled == shown.settled:
            return progress, last
        return progress, _partial(f"#g-{shown.event_id}", "beforebegin", self._markdown(text[shown.settled : progress.settled])) + last

    def end(self, event_id: UUID) -> str:
        """A piece that takes a growing reply away, the finished one being there."""
        return _partial(f"#r-{event_id}", "delete", "")

    def _progress_to(self, shown: Progress, text: str) -> Progress:
        return replace(shown, text=text, settled=shown.settled + self._last_block(text[shown.settled :]))

    def _growing(self, progress: Progress) -> str:
        """The HTML of all that is there of a reply; its last block has an element of its own."""
        if not progress.text:
            return ""
        settled = self._markdown(progress.text[: progress.settled])
        return f'{settled}<div class="last" id="g-{progress.event_id}">{self._last(progress)}</div>'

    def _last(self, progress: Progress) -> str:
        """The HTML of the block that may yet change."""
        last = progress.text[progress.settled :]
        if not progress.is_long:
            return self._markdown(last)
        return f'<p class="verbatim" id="v-{progress.event_id}">{escape(showable(last))}</p>'


def _partial(target: str, swap: str, html: str) -> str:
    return f'<hx-partial hx-target="{target}" hx-swap="{swap}">{html}</hx-partial>'


def showable(text: str) -> str:
    """*text* without what no page can hold."""
    return _UNSHOWABLE.sub("\ufffd", text)


def _time(at: datetime, now: datetime) -> str:
    """The time, with the day where it is another one."""
    if at.date() == now.date():
        return f"{at:%H:%M}"
    return f"{at.day} {at:%b, %H:%M}" if at.year == now.year else f"{at.day} {at:%b %Y, %H:%M}"


def _thumbs(known: Feedback | None) -> list[tuple[str, str, bool]]:
    """A thumb for either word; the one that was given last is pressed, and pressing it again takes that back."""
    value, told = (known.value or 0.0, known.detail) if known else (0.0, "")
    return [(label, f"-{told}" if value * sign > 0 else word, value * sign > 0) for word, label, sign in THUMBS]


def _facts(message: Message) -> dict[str, str]:
    """How an answer came about; nothing of what a command said."""
    details = message.details or {}
    if not (model := details.get("model")) and not details.get("pattern"):
        return {}
    cost = details.get("cost_usd") or 0.0
    facts = {
        "Answered by": f"{details.get('level')} ({model})" if model else "",
        "Confidence": f"{details['confidence']:.0%}" if details.get("confidence") is not None else "",
        "Took": f"{(details.get('latency_ms') or 0.0) / 1000:.1f} s",
        "Cost": f"${cost:.4f}" if cost else "nothing",
        "How": str(details.get("why") or ""),
    }
    return {name: showable(value) for name, value in facts.items() if value}
