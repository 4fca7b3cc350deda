"""The modal in which Robbie is set, in Slack: what it shows, what is wrong with what was chosen, and the command that it comes to. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from bot.brain.personality import CONTEXTS, EVERYWHERE, LEFT, MOODS, RIGHT, SLIDERS
from bot.services.manners import PLACES

MANNERS_VIEW = "manners"
"""The callback of the modal."""
OPENS = "/mood"
"""The command whose button opens it."""
ALWAYS_PROFESSIONAL = ("channel", "email")

View = dict[str, Any]


def manners_modal(values: Mapping[str, str], *, zone: str, conversation: str) -> View:
    """Where a person chooses; *values* are what holds, by the names of what they may set. It remembers them."""
    ends = {str(LEFT): 0, str(RIGHT): 1}
    steps = {
        name: {str(step): f"{step} · {names[ends[str(step)]]}" if str(step) in ends else str(step) for step in range(LEFT, RIGHT + 1)}
        for name, names in SLIDERS.items()
    }
    selects = [_select(name, " – ".join(SLIDERS[name]), steps[name], values[name]) for name in SLIDERS if name in values]
    places = {place: PLACES[place] for place in (EVERYWHERE, *CONTEXTS)}
    mood, where = _select("mood", "Mood", {each: each for each in MOODS}, values["mood"]), _select("context", "Where", places, EVERYWHERE)
    until = {"type": "datetimepicker", "action_id": "until"}
    kept = {"conversation": conversation, "zone": zone, "values": dict(values)}
    end = asked("until", "Until (empty: for good)", until) | {"optional": True}
    return modal(MANNERS_VIEW, "Manners", "Save", kept, [*selects, mood, where, end])


def mistakes(view: Mapping[str, Any], now: datetime) -> dict[str, str]:
    """What is wrong with what was chosen, by its field. Raises LookupError, TypeError, ValueError for a view that is none of ours."""
    chosen, changed = _chosen(view), _changed(view)
    if not changed:
        return {"mood": "Nothing is changed yet."}
    if "flirty" in changed and chosen["context"] in ALWAYS_PROFESSIONAL:
        return {"flirty": "There I am always professional."}
    return {"until": "That moment has passed."} if chosen["until"] and int(chosen["until"]) <= now.timestamp() else {}


def command_of(view: Mapping[str, Any]) -> str:
    """The one command that it comes to. Raises what `mistakes` does."""
    chosen, words = _chosen(view), [OPENS, *(f"{name}={value}" for name, value in _changed(view).items())]
    words += [] if chosen["context"] == EVERYWHERE else [f"in {chosen['context']}"]
    if chosen["until"]:
        zone = ZoneInfo(json.loads(view["private_metadata"])["zone"])
        words.append(f"until {datetime.fromtimestamp(int(chosen['until']), UTC).astimezone(zone):%Y-%m-%d %H:%M}")
    return " ".join(words)


def _chosen(view: Mapping[str, Any]) -> dict[str, str]:
    """What was put in, by the names of the fields; empty where nothing was."""
    fields = {name: field[name] for name, field in view["state"]["values"].items()}
    return {"until": ""} | {
        name: str(field.get("selected_date_time") or "") if name == "until" else str(field["selected_option"]["value"])
        for name, field in fields.items()
    }


def _changed(view: Mapping[str, Any]) -> dict[str, str]:
    """What was chosen that is otherwise now."""
    held, chosen = json.loads(view["private_metadata"])["values"], _chosen(view)
    return {name: chosen[name] for name in held if chosen[name] != held[name]}


def _select(name: str, label: str, options: Mapping[str, str], chosen: str) -> View:
    made = {value: {"text": plain(text), "value": value} for value, text in options.items()}
    element = {"type": "static_select", "action_id": name, "options": [*made.values()], "initial_option": made[chosen]}
    return asked(name, label, element)


def modal(name: str, title: str, submit: str, kept: Mapping[str, Any], blocks: Sequence[View]) -> View:
    """A window with these blocks; what comes back is known by its *name*, and brings what was *kept*."""
    words = {"title": plain(title), "submit": plain(submit), "close": plain("Cancel")}
    return {"type": "modal", "callback_id": name, "private_metadata": json.dumps(kept), **words, "blocks": blocks}


def asked(name: str, label: str, element: View) -> View:
    """A field of a modal."""
    return {"type": "input", "block_id": name, "label": plain(label), "element": element}


def plain(text: str) -> View:
    """*text* as Slack wants it where it knows no signs."""
    return {"type": "plain_text", "text": text, "emoji": True}
