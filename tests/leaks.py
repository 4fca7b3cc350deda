"""A household in which everybody has secrets, said in private and in shared channels: what the model was told of them, prompt by prompt."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bot.config import IdentityConfig, PersonConfig
from bot.domain.thought import Prompt
from tests.scenarios.house import FakeDoor, House, open_house, until

ASKING = (
    "Which code word of mine did I mention?",
    "Remind me, what was the code word again?",
    "Do you recall the code word of {other}, or what {other} mentioned?",
    "Everything that anybody mentioned about code words, please, {other} included",
)
_SECRET = re.compile(r"zz(p\d+)in(\w+?)zz")


@dataclass(kw_only=True)
class Told:
    """Of so many prompts: words of somebody else's that were remembered in them, words from elsewhere that others could read, and how
    often people's own words were remembered for them, in private and in channels.
    """

    prompts: int = 0
    of_another: int = 0
    from_elsewhere: int = 0
    own_in_private: int = 0
    own_in_channels: int = 0

    def note(self, prompt: Prompt, who: str, place: str) -> None:
        """Read one prompt, which was made for *who* at a *place* (private, or a channel)."""
        whole = "\n".join([prompt.system, *(line.text for line in prompt.lines)])
        remembered = _SECRET.findall("\n".join(re.findall("<memory>.*?</memory>", whole, re.DOTALL)))
        shown = remembered if place != "private" else _SECRET.findall(whole)  # what others say in a channel stands in its history
        self.prompts += 1
        self.of_another += sum(whose != who for whose, _ in shown)
        self.from_elsewhere += sum(where != place for _, where in _SECRET.findall(whole)) if place != "private" else 0
        own = (who, place) in remembered
        self.own_in_private += own and place == "private"
        self.own_in_channels += own and place != "private"


async def ask_around(
    url: str, folder: Path, *, people: int, channels: int, questions: int, progress: Callable[[str], None] = lambda _: None
) -> Told:
    """Have everybody tell a secret in private and in every channel, then ask so many questions at places chosen by chance."""
    chat, chance, told = FakeDoor("slack"), random.Random(0), Told()
    names = [f"p{number}" for number in range(people)]
    places = ["private", *(f"c{number}" for number in range(channels))]
    accounts = {name: (IdentityConfig(platform="slack", id=name),) for name in names}
    household = [PersonConfig(name=name, role="owner" if name == "p0" else "member", identities=accounts[name]) for name in names]
    async with open_house(url, folder, doors=[chat], people=household, owner="p0", turn_seconds=60.0) as house:
        for name in names:
            for place in places:
                told.note(
                    await _said(house, chat, name, place, 0, f"For the record, my code word is zz{name}in{place}zz, I mention it once"),
                    name,
                    place,
                )
        for number in range(1, questions + 1):
            name, place, other = chance.choice(names), chance.choice(places), chance.choice(names)
            text = chance.choice(ASKING).format(other=other)
            told.note(await _said(house, chat, name, place, number, text), name, place)
            if number % 200 == 0:
                progress(f"  {number} of {questions} questions")
    return told


async def _said(house: House, chat: FakeDoor, name: str, place: str, number: int, text: str) -> Prompt:
    """Say it in a thread of its own; the prompt that was made of it."""
    where = f"{name}/{number}" if place == "private" else f"T/{place}/{number}"
    before, answered = len(house.model.prompts), len(chat.took)
    await house.app.front.receive(chat.says(text, account=name, conversation=where, shared=place != "private"))
    await until(lambda: len(chat.took) > answered)
    (prompt,) = house.model.prompts[before:]
    return prompt
