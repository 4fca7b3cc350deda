"""The modal in which Robbie is set: what was changed in it, and nothing else, becomes one command."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bot.adapters.slack_events import field_mistakes, to_inbound
from bot.adapters.slack_manners import command_of, manners_modal, mistakes
from bot.domain.message import InboundKind
from bot.services.manners import read_end

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
HELD = {"gandhi": "4", "cocktail": "5", "flirty": "1", "mood": "focused"}


def submitted(values: dict[str, str] = HELD, /, **chosen: Any) -> dict[str, Any]:
    """The modal as Slack sends it back, with these fields changed."""
    view = manners_modal(values, zone="Europe/Berlin", conversation="T1/D1")
    fields: dict[str, Any] = {}
    for block in view["blocks"]:
        name, element = block["block_id"], block["element"]
        if element["type"] == "datetimepicker":
            fields[name] = {name: {"selected_date_time": chosen.get(name)}}
        else:
            value = chosen.get(name, element["initial_option"]["value"])
            assert value in [option["value"] for option in element["options"]]
            fields[name] = {name: {"type": "static_select", "selected_option": {"value": value}}}
    return view | {"state": {"values": fields}}


def test_modal_shows_what_holds_and_keeps_slacks_bounds():
    view = manners_modal(HELD, zone="Europe/Berlin", conversation="T1/D1")
    assert [block["block_id"] for block in view["blocks"]] == ["gandhi", "cocktail", "flirty", "mood", "context", "until"]
    gandhi = view["blocks"][0]["element"]
    assert [option["text"]["text"] for option in gandhi["options"]][::9] == ["1 · Gandhi", "10 · Genghis"]
    assert gandhi["initial_option"] in gandhi["options"]
    assert len(view["title"]["text"]) <= 24
    assert len(view["private_metadata"]) <= 3000
    assert all(len(option["text"]["text"]) <= 75 for block in view["blocks"][:5] for option in block["element"]["options"])


def test_who_may_not_set_a_slider_does_not_see_it():
    member = {name: value for name, value in HELD.items() if name != "flirty"}
    view = submitted(member, gandhi="2")
    assert "flirty" not in [block["block_id"] for block in view["blocks"]]
    assert command_of(view) == "/mood gandhi=2"


def test_only_what_was_changed_becomes_the_command():
    assert command_of(submitted(gandhi="3", mood="playful")) == "/mood gandhi=3 mood=playful"
    later = int(datetime(2026, 11, 27, 17, 0, tzinfo=UTC).timestamp())
    assert command_of(submitted(cocktail="8", context="brief", until=later)) == "/mood cocktail=8 in brief until 2026-11-27 18:00"
    assert read_end("until 2026-11-27 18:00", timezone="Europe/Berlin", now=NOW) == datetime.fromtimestamp(later, UTC), "it is understood"


@pytest.mark.parametrize(
    ("chosen", "field"),
    [
        ({}, "mood"),
        ({"context": "email"}, "mood"),
        ({"flirty": "5", "context": "channel"}, "flirty"),
        ({"gandhi": "3", "until": 1}, "until"),
    ],
)
def test_what_is_wrong_is_told_under_its_field(chosen: dict[str, Any], field: str):
    assert list(mistakes(submitted(**chosen), NOW)) == [field]


def test_submission_is_one_event_and_a_forged_one_none():
    body = {"type": "view_submission", "user": {"id": "U1ALLAN"}, "trigger_id": "tr2", "view": submitted(gandhi="3")}
    inbound = to_inbound(body, team="T1", bot="U0", now=NOW)
    assert inbound is not None
    assert (inbound.kind, inbound.text, inbound.external_id) == (InboundKind.ACTION, "/mood gandhi=3", "tr2")
    assert inbound.address.conversation == "T1/D1"
    assert to_inbound(body, team="T2", bot="U0", now=NOW) is None
    far = submitted(gandhi="3", until=10**15)["state"]
    for broken in (far, {}, {"values": {}}, {"values": {"gandhi": []}}, {"values": {"mood": {"mood": {"selected_option": None}}}}):
        forged = body | {"view": body["view"] | {"state": broken}}
        assert to_inbound(forged, team="T1", bot="U0", now=NOW) is None
        assert field_mistakes(forged, NOW) == {}
