"""Commands and plain words about briefs: one now, on and off, at what times; quiet for a while; where the person is."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from bot.brain.context import spoken_date
from bot.briefs.delivery import BRIEFS, QUIET, ZONE, Delivery, home_of
from bot.briefs.places import nearest_place, zone_of
from bot.briefs.schedule import OFF, next_after
from bot.domain.brief import Slot
from bot.domain.clock import Clock
from bot.domain.errand import Errand
from bot.domain.ports import Card, Command
from bot.domain.thought import Question
from bot.hub.errands import in_private
from bot.services.dates import DAY_ENDS, Unclear, When, find_end, without
from bot.services.journal import added, record
from storage.database import Database, UnitOfWork

_POLITE = re.compile(r"\s*(?:(?:please|hey|hi|ok|robbie)[,:]?\s+)*(.*?)(?:,?\s+(?:please|robbie|now))*[\s.!?]*", re.I | re.DOTALL)
_TOLD = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_WORDS = {command: re.compile(pattern, re.I) for command, pattern in _TOLD.items()}
_UNTIL = re.compile(r"(.*?)(?<![,\s])[,\s]*\b((?:until|till|for|today|this week)\b.*)", re.I | re.DOTALL)
_TO_DAY = re.compile(r"(?:until|till)\b|for (?:the next )?(?:\d|an? |one|two|three)", re.I)
_TIME = re.compile(r"(\d{1,2})(?:[:.h](\d\d)?)?\s*(am|pm)?", re.I)


class BriefCommands:
    """The table of its commands, and the plain words that stand for them."""

    def __init__(self, *, database: Database, delivery: Delivery, clock: Clock) -> None:
        self._database = database
        self._delivery = delivery
        self._clock = clock
        commands = {"brief": self._brief, "quiet": self._quiet, "zone": self._zone}
        self.table: Mapping[str, Command] = {name: in_private(command) for name, command in commands.items()}

    def plain(self, text: str) -> str:
        """The command that the whole of *text* stands for; empty where it stands for none, or names a place that is not known."""
        polite = _POLITE.fullmatch(text.replace("’", "'"))
        said = polite.group(1) if polite else ""
        for command, pattern in _WORDS.items():
            if (found := pattern.fullmatch(said)) is None:
                continue
            words = next(filter(None, found.groups()), "").strip()
            if command.startswith("/zone {") and zone_of(_parted(words)[0]) is None:
                return ""
            return command.format(words).strip()
        return ""

    async def _brief(self, question: Question, words: str) -> str | Card:
        """One now; or whether, and when, they come."""
        word, *rest = words.casefold().split() or [""]
        if word in ("on", OFF):
            line, more = ("Your briefs come", "") if word == "on" else ("No more briefs", ", until you write `/brief on`")
            return await self._set(question, {BRIEFS: word}, line, more)
        if word == "times":
            return await self._times(question, rest)
        known = (*Slot, "on", OFF, "times")
        if word and word not in known:
            near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
            return f"I know no brief “{word[:40]}”. " + (f"Did you mean `/brief {near[0]}`?" if near else "`/brief morning` shows one.")
        now = self._clock.now()
        hour = now.astimezone(ZoneInfo(question.person.timezone)).hour
        slot = Slot(word) if word else Slot.MORNING if hour < 11 else Slot.AFTERNOON if hour < 16 else Slot.EVENING
        async with self._database.reading() as work:
            rows = await work.briefs.latest(question.person.id, limit=1)
        since = rows[0].composed_at if rows else now - timedelta(days=1)
        brief = await self._delivery.composer.compose(question.person, slot, now=now, since=since, channel=question.channel)
        return Card(text=brief.text, buttons=brief.buttons)

    async def _times(self, question: Question, words: list[str]) -> str:
        """Three times of day, or `off`, in the order of the day's briefs."""
        times = [OFF if word in (OFF, "-") else _time_of(word) for word in words]
        if wrong := next((word for word, at in zip(words, times, strict=True) if at is None), ""):
            return f"“{wrong[:20]}” is no time of day. Write it so: `/brief times 7:00 13:00 off`."
        if len(times) != len(Slot):
            return "Three times, for morning, afternoon and evening, `off` for one that you do without: `/brief times 7:00 13:00 19:00`."
        told = ", ".join(f"{slot} {at}" for slot, at in zip(Slot, times, strict=True))
        values = {f"brief.{slot}": str(at) for slot, at in zip(Slot, times, strict=True)}
        return await self._set(question, values, f"Your briefs: {told}")

    async def _quiet(self, question: Question, words: str) -> str:
        """No briefs until a moment; a day without a time begins it, so that its own briefs come."""
        if words.casefold() in (OFF, "no", "end"):
            return await self._set(question, {QUIET: OFF}, "Your briefs come again")
        end = self._end_of(words, question.person.timezone) if words else ""
        if isinstance(end, str):
            return end or "Until when? `/quiet until Monday`, `/quiet for 3 days`, and `/quiet off` ends it."
        more = ". Reminders come all the same; `/quiet off` ends it"
        return await self._set(question, {QUIET: "on"}, f"No briefs until {_spoken(end, question.person.timezone)}", more, expires_at=end)

    async def _zone(self, question: Question, words: str) -> str:
        """Where the person is, perhaps until some day."""
        place, until = _parted(words)
        async with self._database.reading() as work:
            user = await work.people.find_user_by_id(question.person.id)
        assert user is not None
        home, zone = home_of(user), zone_of(place)
        if place.casefold() in ("home", "back home"):
            return await self._set(question, {ZONE: f"{home} from {home}"}, f"You are home, in {home}", self._clock_in(home))
        if zone is None:
            near = nearest_place(place) if place else ""
            example = f"Did you mean `/zone {near}`?" if near else "Write `/zone Lisbon`, `/zone Europe/Lisbon` or `/zone home`."
            return (f"I do not know where “{place[:40]}” is. " if place else f"You are in {user.timezone}. ") + example
        end = self._end_of(until, zone, is_last_day=True) if until else None
        if isinstance(end, str):
            return end or f"I understood {zone}, and not “{until[:60]}”. Say it as `/zone {place} until Friday`."
        line = f"You are in {zone}" + (f" until {_spoken(end, zone)}" if end else "")
        more = self._clock_in(zone) + ("" if end else ". Write `/zone home` when you are back")
        return await self._set(question, {ZONE: f"{zone} from {home}"}, line, more, expires_at=end)

    async def _set(
        self, question: Question, values: Mapping[str, str], line: str, more: str = "", *, expires_at: datetime | None = None
    ) -> str:
        """Keep settings with their *line* in the journal, once; what to say: that and *more*, or when the next brief comes."""
        now, person = self._clock.now(), question.person
        errand = Errand(person=person, key=f"briefs/{question.id}", why=question.text[:200], source_id=question.id)
        source = "command" if question.text.lstrip().startswith("/") else "words"
        common = {"user_id": person.id, "context": "*", "source": source, "at": now, "source_id": question.id, "expires_at": expires_at}
        async with self._database.unit_of_work() as work:
            if await work.activities.find_by_key(errand.key) is None:
                made = [await work.settings.add(**common, name=name, value=value) for name, value in values.items()]
                await record(work, errand, f"{next(iter(values))}.set", line, now=now, undo=added("settings", *made))
            if ZONE in values:
                zone, _, home = values[ZONE].partition(" from ")
                await work.people.move(person.id, timezone=zone, home=home)
            return f"{line}{more or await self._following(work, question, now)}."

    async def _following(self, work: UnitOfWork, question: Question, now: datetime) -> str:
        user = await work.people.find_user_by_id(question.person.id)
        standing = await self._delivery.standing(work, user, now) if user else None
        due = next_after(standing.habits, now) if standing else None
        return f": the next is the {due.slot} one, {_spoken(due.at, due.zone)}" if due else ". None is switched on"

    def _end_of(self, words: str, zone: str, *, is_last_day: bool = False) -> datetime | str:
        """When something ends, or what there is to ask; a day without a time is the last of it, or begins what comes after."""
        now = self._clock.now().astimezone(ZoneInfo(zone))
        found = find_end(words, now=now)
        if not isinstance(found, When) or found.rule or re.search(r"\w\w|\d", without(words, found)):
            return found.question if isinstance(found, Unclear) else ""
        if found.is_past(now):
            return f"That is over already: {found.spoken(now)}. Until when?"
        begun = replace(found, time=time()).moment(ZoneInfo(zone))
        names_day = _TO_DAY.match(words) and found.time == DAY_ENDS and begun > now
        return begun if names_day and not is_last_day else found.moment(ZoneInfo(zone))

    def _clock_in(self, zone: str) -> str:
        return f": it is {self._clock.now().astimezone(ZoneInfo(zone)):%H:%M} there"


def _parted(words: str) -> tuple[str, str]:
    words = " ".join(words.split())
    found = _UNTIL.fullmatch(words)
    return (found.group(1).strip(), found.group(2).strip()) if found else (words, "")


def _time_of(word: str) -> str | None:
    """A time of day as config writes it; None for what is none."""
    if (found := _TIME.fullmatch(word)) is None:
        return None
    hour, minute, half = int(found.group(1)), int(found.group(2) or 0), (found.group(3) or "").lower()
    if half:
        hour = hour % 12 + 12 * (half == "pm") if 1 <= hour <= 12 else 99
    return f"{hour:02}:{minute:02}" if hour < 24 and minute < 60 else None


def _spoken(moment: datetime, zone: str) -> str:
    local = moment.astimezone(ZoneInfo(zone))
    return f"{spoken_date(local)} at {local:%H:%M}"
