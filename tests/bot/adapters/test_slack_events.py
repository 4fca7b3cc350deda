"""Slack's dialect, in: every kind of event, and what is none."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.adapters.slack_events import from_slack, to_inbound
from bot.domain.address import SessionType
from bot.domain.message import Inbound, InboundKind

TEAM, BOT, ALLAN = "T1", "U0ROBBIE", "U1ALLAN"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def heard(body: Any) -> Inbound | None:
    return to_inbound(body, team=TEAM, bot=BOT, now=NOW)


def event(**fields: Any) -> dict[str, Any]:
    said = {"type": "message", "user": ALLAN, "channel": "D1", "ts": "1790000000.000100", "text": "hello"}
    return {"type": "event_callback", "team_id": TEAM, "event_id": "Ev1", "token": "secret", "event": said | fields}


def press(**fields: Any) -> dict[str, Any]:
    return {
        "type": "block_actions",
        "user": {"id": ALLAN, "username": "allan", "team_id": TEAM},
        "team": {"id": TEAM},
        "trigger_id": "tr1",
        "response_url": "https://hooks.slack.com/secret",
        "container": {"type": "message", "channel_id": "D1", "message_ts": "1790000000.000200"},
        "actions": [{"type": "button", "action_id": "choice-0", "value": "/approve K7", "action_ts": "1790000001.5"}],
    } | fields


def test_a_direct_message_is_private():
    inbound = heard(event())
    assert inbound is not None
    assert (inbound.kind, inbound.text, inbound.external_id) == (InboundKind.MESSAGE, "hello", "D1:1790000000.000100")
    assert (inbound.address.conversation, inbound.address.session_type) == ("T1/D1", SessionType.PRIVATE)
    assert inbound.sender.account == "T1/U1ALLAN"
    assert inbound.at == datetime.fromtimestamp(1790000000.0001, UTC)


def test_a_thread_in_a_direct_channel_is_a_conversation_of_its_own():
    assert heard(event(thread_ts="1780000000.1")).address.conversation == "T1/D1/1780000000.1"


def test_a_mention_begins_a_thread_and_arrives_twice_under_one_name():
    said = {"text": f"<@{BOT}> what is up?", "channel": "C1"}
    first, second = heard(event(**said, channel_type="channel")), heard(event(**said, type="app_mention"))
    assert first.text == second.text == "what is up?"
    assert (first.external_id, first.address) == (second.external_id, second.address)
    assert (first.address.conversation, first.address.session_type) == ("T1/C1/1790000000.000100", SessionType.SHARED)


def test_a_mention_in_a_thread_belongs_to_that_thread():
    assert heard(event(text=f"hey <@{BOT}>", channel="C1", thread_ts="1780000000.1")).address.conversation == "T1/C1/1780000000.1"


def test_talk_in_a_channel_is_not_for_robbie():
    assert heard(event(channel="C1")) is None
    assert heard(event(channel="G1", channel_type="mpim")) is None


def test_files_come_along():
    file = {"id": "F1", "name": "a.png", "mimetype": "image/png", "size": 7, "url_private_download": "https://files.slack.com/a"}
    inbound = heard(event(subtype="file_share", files=[file, {"id": "F2", "mode": "tombstone"}, {"no": "id"}, "x"]))
    first, gone = inbound.attachments
    assert (first.name, first.media_type, first.size, first.source) == ("a.png", "image/png", 7, "T1 F1 https://files.slack.com/a")
    assert gone.trouble


def test_a_forwarded_message_is_quoted():
    assert heard(event(attachments=[{"is_msg_unfurl": True, "text": "old &amp; gold"}])).quoted == "old & gold"


def test_an_edit_names_its_message():
    message = {"user": ALLAN, "ts": "1790000000.000100", "text": "hello again"}
    body = event(subtype="message_changed", message=message, previous_message=message | {"text": "hello"}, event_ts="1790000009.1")
    inbound = heard(body)
    assert (inbound.kind, inbound.text, inbound.target) == (InboundKind.EDIT, "hello again", "D1:1790000000.000100")
    assert inbound.external_id == "Ev1"


def test_an_unfurled_link_is_no_edit():
    message = {"user": ALLAN, "ts": "1790000000.000100", "text": "see <https://example.com>"}
    assert heard(event(subtype="message_changed", message=message | {"attachments": [1]}, previous_message=message)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"subtype": "message_deleted", "deleted_ts": "1790000000.000100"},
        {"subtype": "message_changed", "message": {"subtype": "tombstone", "ts": "1790000000.000100"}},
    ],
)
def test_a_deletion_names_its_message(fields: dict[str, Any]):
    inbound = heard(event(**fields, previous_message={"user": ALLAN, "ts": "1790000000.000100", "text": "x", "thread_ts": "1780000000.1"}))
    assert (inbound.kind, inbound.target) == (InboundKind.DELETE, "D1:1790000000.000100")
    assert inbound.address.conversation == "T1/D1/1780000000.1"


def test_reactions_come_and_go():
    item = {"type": "message", "channel": "C1", "ts": "1790000000.000300"}
    added = heard(event(type="reaction_added", reaction="thumbsup", item=item, item_user=BOT))
    removed = heard(event(type="reaction_removed", reaction="thumbsup", item=item, item_user=BOT))
    assert (added.kind, added.text, added.target) == (InboundKind.REACTION, "thumbsup", "C1:1790000000.000300")
    assert removed.text == "-thumbsup"
    assert heard(event(type="reaction_added", reaction="eyes", item=item, item_user="U2GRACE")) is None


@pytest.mark.parametrize(
    ("command", "text", "written"),
    [
        ("/robbie", "status", "/status"),
        ("/robbie", "", "/help"),
        ("/robbie", "/note milk", "/note milk"),
        ("/note", "buy  milk", "/note buy  milk"),
        ("/notes", " ", "/notes"),
    ],
)
def test_slash_commands_are_whispered_about(command: str, text: str, written: str):
    body = {"command": command, "text": text, "user_id": ALLAN, "user_name": "allan", "channel_id": "C1", "trigger_id": "tr1"}
    inbound = heard(body)
    assert (inbound.kind, inbound.text, inbound.external_id, inbound.sender.name) == (InboundKind.COMMAND, written, "tr1", "allan")
    assert (inbound.address.conversation, inbound.address.session_type) == ("T1/C1/~U1ALLAN", SessionType.PRIVATE)


def test_a_pressed_button_is_its_command():
    inbound = heard(press())
    assert (inbound.kind, inbound.text, inbound.target) == (InboundKind.ACTION, "/approve K7", "D1:1790000000.000200")
    assert inbound.address.conversation == "T1/D1"
    assert inbound.external_id == heard(press()).external_id


@pytest.mark.parametrize(
    ("fields", "conversation"),
    [
        ({"container": {"type": "message", "channel_id": "C1", "message_ts": "1790000000.2"}}, "T1/C1/1790000000.2"),
        (
            {"container": {"channel_id": "C1", "message_ts": "1790000000.2"}, "message": {"thread_ts": "1780000000.1"}},
            "T1/C1/1780000000.1",
        ),
        ({"container": {"channel_id": "C1", "message_ts": "1790000000.2", "is_ephemeral": True}}, "T1/C1/~U1ALLAN"),
        ({"container": {"type": "view"}, "view": {"private_metadata": "D1"}}, "T1/D1"),
    ],
)
def test_a_button_is_answered_where_it_stood(fields: dict[str, Any], conversation: str):
    assert heard(press(**fields)).address.conversation == conversation


def test_a_submitted_modal_is_new_words_for_the_proposal():
    view = {
        "callback_id": "edit",
        "private_metadata": json.dumps({"code": "K7", "conversation": "T1/D1"}),
        "state": {"values": {"edit": {"edit": {"type": "plain_text_input", "value": "Dear Grace,\nyes."}}}},
    }
    body = {"type": "view_submission", "user": {"id": ALLAN}, "trigger_id": "tr2", "view": view}
    inbound = heard(body)
    assert (inbound.kind, inbound.text) == (InboundKind.ACTION, "/edit K7\nDear Grace,\nyes.")
    assert (inbound.address.conversation, inbound.external_id) == ("T1/D1", "tr2")
    view["private_metadata"] = json.dumps({"code": "K7", "conversation": "T2/D1"})
    assert heard(body) is None


def test_no_secret_is_kept():
    assert "secret" not in heard(event()).raw
    assert "secret" not in heard(press()).raw


@pytest.mark.parametrize(
    "fields",
    [
        {"bot_id": "B1"},
        {"user": BOT},
        {"user": "USLACKBOT"},
        {"user": None},
        {"user": 7},
        {"user": "../x"},
        {"ts": None},
        {"ts": "99999999999999.1"},
        {"ts": "NaN"},
        {"channel": ""},
        {"channel": "D1/../C1"},
        {"subtype": "channel_join"},
        {"subtype": "something_new"},
        {"type": "something_new"},
        {"subtype": "message_changed", "message": "x"},
        {"subtype": "message_changed", "message": {"bot_id": "B1", "user": BOT, "text": "z", "ts": "1.1"}},
        {"subtype": "message_deleted"},
        {"type": "reaction_added", "item": []},
        {"type": ["message"]},
    ],
)
def test_robots_and_broken_events_are_nothing(fields: dict[str, Any]):
    assert heard(event(**fields)) is None


@pytest.mark.parametrize(
    "body", [{}, {"type": "event_callback"}, {"type": "event_callback", "event": []}, {"type": "shortcut"}, press(actions=[])]
)
def test_unknown_shapes_are_nothing(body: dict[str, Any]):
    assert heard(body) is None


def test_odd_values_do_no_harm():
    inbound = heard(event(text="a\x00b\ud800", files="x", attachments={"a": 1}))
    assert inbound.text == "a\ufffdb\ufffd"
    assert len(heard(event(text="x" * 1_000_000)).raw) <= 256 * 1024


@pytest.mark.parametrize(
    ("slack", "read"),
    [
        (f"<@{BOT}>, hi", "hi"),
        (f"ask <@{BOT}> now", f"ask @{BOT} now"),
        ("&lt;b&gt; &amp; <https://a.b/?x=1&amp;y=2>", "<b> & https://a.b/?x=1&y=2"),
        ("<https://a.b|a.b> and <https://a.b|this>", "https://a.b and this (https://a.b)"),
        ("<!here> <#C1|general> <!subteam^S1|@team> <mailto:a@b.c|a@b.c>", "@here #general @team a@b.c"),
        ("1 < 2 <", "1 < 2 <"),
    ],
)
def test_slacks_spelling_is_read(slack: str, read: str):
    assert from_slack(slack, BOT) == read
