"""The app's manifest asks for what Robbie listens to and calls, no less and no more."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bot.adapters import slack_events, slack_hearing
from bot.adapters.slack_install import SCOPES
from bot.domain.vocabulary import WORDS, Word

ROOT = Path(__file__).parents[3]
MANIFEST: dict[str, Any] = json.loads((ROOT / "deploy" / "slack-manifest.json").read_text())
OF_METHODS = {
    "auth_test": set(),
    "apps_connections_open": set(),
    "oauth_v2_access": set(),
    "views_open": set(),
    "views_publish": set(),
    "chat_postMessage": {"chat:write"},
    "chat_postEphemeral": {"chat:write"},
    "chat_update": {"chat:write"},
    "chat_delete": {"chat:write"},
    "chat_startStream": {"chat:write"},
    "chat_appendStream": {"chat:write"},
    "chat_stopStream": {"chat:write"},
    "conversations_open": {"im:write"},
    "conversations_history": {"channels:history", "groups:history", "im:history", "mpim:history"},
    "conversations_replies": {"channels:history", "groups:history", "im:history", "mpim:history"},
    "files_info": {"files:read"},
    "files_upload_v2": {"files:write"},
}
"""What Slack's reference asks for each method that Robbie calls."""
OF_EVENTS = {
    "app_home_opened": set(),
    "app_uninstalled": set(),
    "tokens_revoked": set(),
    "app_mention": {"app_mentions:read"},
    "message.channels": {"channels:history"},
    "message.groups": {"groups:history"},
    "message.im": {"im:history"},
    "message.mpim": {"mpim:history"},
    "reaction_added": {"reactions:read"},
    "reaction_removed": {"reactions:read"},
}
MOST_COMMANDS = 50
OF_FEATURES = {"commands", "assistant:write", "files:read"}
"""Slash commands, the agent view, and the files that are fetched by their address."""


def _entry(name: str, word: Word) -> dict[str, Any]:
    hint = {"usage_hint": word.hint} if word.hint else {}
    return {"command": f"/{name}", "description": word.says[0].upper() + word.says[1:], **hint, "should_escape": False}


def _called() -> set[str]:
    code = "".join(file.read_text() for file in (ROOT / "bot" / "adapters").glob("slack*.py"))
    return set(re.findall(r"(?:client|_bare)\.([a-z]+_\w+)", code)) - {"client_id", "client_secret"}


def test_scopes_are_those_of_the_methods_and_events():
    needed = OF_FEATURES.union(*OF_EVENTS.values(), *(OF_METHODS[method] for method in _called()))
    assert sorted(needed) == list(SCOPES) == MANIFEST["oauth_config"]["scopes"]["bot"]


def test_no_method_is_forgotten():
    assert _called() <= OF_METHODS.keys()
    assert {"chat_postMessage", "chat_update", "views_open", "auth_test", "files_upload_v2"} <= _called()


def test_events_are_those_that_are_listened_to():
    subscribed = set(MANIFEST["settings"]["event_subscriptions"]["bot_events"])
    assert subscribed == set(OF_EVENTS)
    code = Path(slack_events.__file__).read_text() + Path(slack_hearing.__file__).read_text()
    assert all(f'"{event.partition(".")[0]}"' in code for event in subscribed)


def test_commands_are_those_of_the_vocabulary():
    robbie, *others = MANIFEST["features"]["slash_commands"]
    assert robbie["command"] == "/robbie"
    assert others == [_entry(name, word) for name, word in WORDS.items() if word.on_slack]
    assert ["/robbie", *(each["command"] for each in others)] == [f"/{name}" for name in slack_events.COMMANDS]
    assert len(others) < MOST_COMMANDS
    assert not {"/status", "/who", "/remind", "/topic", "/feedback"} & {each["command"] for each in others}, "Slack keeps these for itself"


def test_buttons_home_and_socket_are_switched_on():
    assert MANIFEST["settings"]["interactivity"]["is_enabled"]
    assert MANIFEST["settings"]["socket_mode_enabled"]
    home = MANIFEST["features"]["app_home"]
    assert home == {"home_tab_enabled": True, "messages_tab_enabled": True, "messages_tab_read_only_enabled": False}
    assert MANIFEST["features"]["agent_view"]["agent_description"]
    assert "assistant_view" not in MANIFEST["features"]
