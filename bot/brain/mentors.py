"""Mentors: six people of data; who of them speaks in an answer, in which mood, and how well that went so far."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from bot.domain.errors import ConfigError
from bot.placed_toml import read_toml

LOOKED_AT = 4_000
"""Characters of a question in which a name, a situation and a mood are looked for."""
PRIOR_SCORE, PRIOR_ANSWERS = 0.5, 5
"""Before anything is known of a mentor, it is as if five answers had been neither good nor bad."""
Mood = Literal["confident", "thoughtful", "concerned", "determined"]
Situation = Literal["strategy", "problem", "creative", "encouragement", "conversation"]
Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=90)]


class Mentor(BaseModel, frozen=True, extra="forbid"):
    """A file of data. An alias in small letters is found however it is written; `situations` has first what they are best at."""

    name: Said
    aliases: tuple[Said, ...]
    situations: Annotated[tuple[Situation, ...], Field(min_length=1, max_length=2)]
    stance: Said
    thinks: Said
    speaks: Said
    never: Said
    moods: Annotated[dict[Mood, Said], Field(min_length=4)]


class MentorView(NamedTuple):
    """Who has a view on a question, and in which mood; `words` have a model speak for them."""

    name: str
    mood: Mood

    @property
    def words(self) -> str:
        """What is added to its standing words."""
        return mentor_words([self])


def load_mentor(file: Path) -> Mentor:
    """The mentor in *file*. Raises ConfigError, with the line, where it holds none."""
    table = read_toml(file)
    try:
        return Mentor.model_validate(table)
    except ValidationError as error:
        last = error.errors()[-1]  # what is missing comes first, a misspelt key last
        key, place, _ = table.find(last["loc"])
        raise ConfigError(last["msg"], key=key, file=file, line=place.line or 1, repair="write it as the other mentors do") from None


def choose(text: str, setting: str = "off") -> tuple[MentorView, ...]:
    """Who speaks in the answer to *text*, two at most: who is asked in it by name, else as it is set (one of `SETTINGS`)."""
    seen = text[:LOOKED_AT]
    asked = " ".join(found.group() for found in _ASKED.finditer(seen)).lower()
    named = [_KEYS[each] for each in re.findall(rf"\b(?:{'|'.join(map(re.escape, _KEYS))})\b", asked)]
    key, _, set_mood = setting.partition(" ")
    who = named or ([key] if key in MENTORS else FITTING.get(_signed(seen, "situations"), []) if key == "auto" else [])
    words = asked.split() if named else [set_mood]
    mood: Any = next((each for each in MOODS if each in words), "") or _signed(seen, "moods") or "thoughtful"
    return tuple(MentorView(each, mood) for each in [*dict.fromkeys(who)][:2])


def _signed(text: str, kind: str) -> Any:
    """The situation, or mood, of which most different signs stand in *text*; the first of equals, empty where none does."""
    count = {name: len({each.group().lower() for each in signs.finditer(text)}) for name, signs in _SIGNS[kind].items()}
    return max(count, key=lambda name: count[name]) if any(count.values()) else ""


def heard_in(answer: str, invited: Iterable[str]) -> str:
    """Who of those *invited* did speak in an answer: whose mark stands in it, with a mood or before a colon."""
    mark = r"\*\*{}(?:\*\*)?(?: \((?:{})\)|:)"
    return " ".join(key for key in dict.fromkeys(invited) if key and re.search(mark.format(key.title(), "|".join(MOODS)), answer))


def effectiveness(rows: Iterable[tuple[str, float]]) -> Mapping[str, tuple[float, int]]:
    """The mean score of each mentor's answers, from 0 to 1, and how many there are, by rows of (who spoke, score)."""
    spoke = [(key, score) for who, score in rows for key in who.split()]
    scores = {key: [score for each, score in spoke if each == key] for key in dict(spoke)}
    return {key: (fmean(each), len(each)) for key, each in scores.items()}


def ranked(views: Sequence[MentorView], rows: Sequence[tuple[str, float]]) -> tuple[MentorView, ...]:
    """Who did better so far speaks first, by rows of (who spoke, score); of equals who was first remains so."""
    prior = [(view.name, PRIOR_SCORE) for view in views] * PRIOR_ANSWERS
    expected = effectiveness([*rows, *prior])
    return tuple(sorted(views, key=lambda view: -expected[view.name][0]))


def mentor_words(views: Sequence[MentorView], form: str = "") -> str:
    """What a model is told so that they speak in its answer, in whole or in the *form* "brief"; empty for nobody."""
    marks = " and ".join(f"**{key.title()}** ({mood}):" for key, mood in views)
    first = WORDS[form or ("one" if len(views) == 1 else "two")].format(marks=marks)
    each = [WORDS["each"].format(**dict(MENTORS[key]), now=MENTORS[key].moods[mood]) for key, mood in views if not form]
    return "\n".join([first, *each]) if views else ""


def read_setting(words: str) -> tuple[str, str]:
    """What *words* would set, as it is stored ("churchill determined"), and what else they say; an unknown name stays as it is."""
    found = re.match(rf"({'|'.join(map(re.escape, _KEYS))})\b(?:\s+({'|'.join(MOODS)})\b)?", words, re.I)
    first = found.group() if found else words.partition(" ")[0]
    value = " ".join(filter(None, (_KEYS[found[1].lower()], found[2]))) if found else first
    return value.lower(), words[len(first) :].strip()


def introduced(setting: str) -> str:
    """What a setting means, for a person."""
    key, _, mood = (setting or "off").partition(" ")
    about = dict(MENTORS[key]) if key in MENTORS else {}
    return str(WORDS["said"]["named" if about else key].format(**about, mood=mood and f" ({mood})"))


MENTORS = {file.stem: load_mentor(file) for file in sorted(Path(__file__).with_name("mentors").glob("*.toml"))}
MOODS: tuple[Mood, ...] = get_args(Mood)
SETTINGS = ("auto", "off", *MENTORS, *(f"{key} {mood}" for key in MENTORS for mood in MOODS))
WORDS: Mapping[str, Any] = read_toml(Path(__file__).parent / "prompts" / "mentors.toml")
FITTING = {each: [key for at in (0, 1) for key, one in MENTORS.items() if each in one.situations[at:][:1]] for each in get_args(Situation)}
"""Who fits a situation, best first."""
_KEYS = {alias.lower(): key for key, mentor in MENTORS.items() for alias in mentor.aliases}
_NAME = "|".join(alias if alias.islower() else f"(?-i:{alias})" for mentor in MENTORS.values() for alias in mentor.aliases)
_WHO = rf"(?:(?:an? |the )?(?:{'|'.join(MOODS)}) )?(?:{_NAME})\b(?:(?:,| and| or| &) (?:{_NAME})\b)?"
_ASKED = re.compile("|".join(each.replace("{who}", _WHO) for each in WORDS["asked"]), re.I)
_SIGNS = {of: {name: re.compile(rf"\b(?:{'|'.join(some)})\b", re.I) for name, some in WORDS[of].items()} for of in ("situations", "moods")}
