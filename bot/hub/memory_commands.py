"""The command that has things forgotten, /forget, and the plain words for it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bot.domain.errand import Errand
from bot.domain.errors import ToolFailed
from bot.domain.ports import Card, Command
from bot.domain.thought import Question
from bot.services.forgetting import Forgetful

_POLITE = r"(?:hey |ok |please )?(?:robbie,? )?(?:please )?(?:can you |could you )?"
_LAST = re.compile(_POLITE + r"forget (?:that|this|what (?:i|we) (?:just )?said)(?: again)?", re.I)
_ABOUT = re.compile(
    _POLITE
    + r"(?:forget|delete|erase) ((?:everything|all|anything|what)(?: (?:that )?(?:you know|you have|i(?: have)? (?:said|told you)))?"
    r"(?: (?:about|of|since|from|on|between|yesterday|today|last) [^,;:\n]{1,120}| yesterday| today)?)",
    re.I,
)
_BARE = ("what", "anything")


class MemoryCommands:
    """See `Commands`: a family of its own."""

    def __init__(self, *, forgetful: Forgetful) -> None:
        self._forgetful = forgetful
        self.table: Mapping[str, Command] = {"forget": self._forget}

    def plain(self, text: str) -> str:
        """See `Plain`."""
        said = " ".join(text.split()).rstrip(".! ").removesuffix(" please")
        if _LAST.fullmatch(said):
            return "/forget last"
        found = _ABOUT.fullmatch(said)
        return f"/forget {found[1]}" if found and found[1].lower() not in _BARE else ""

    async def _forget(self, question: Question, words: str) -> Card | str:
        verb, _, which = words.partition(" ")
        try:
            if verb.lower() == "keep" and which:
                return await self._forgetful.keep(question.person, which.strip())
            if verb.lower() == "yes" and which:
                errand = Errand(person=question.person, key=f"forget/{question.id}", why="you asked for it", source_id=question.id)
                return await self._forgetful.forget(errand, which.strip().lower())
            card, _ = await self._forgetful.show(question.person, words, order=question.id, conversation_id=question.conversation_id)
        except ToolFailed as failed:
            return str(failed)
        return card
