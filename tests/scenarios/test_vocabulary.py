"""Every command that menus and manifests list is understood, and every command that is understood is listed."""

from __future__ import annotations

from bot.domain.vocabulary import WORDS
from tests.scenarios.house import House

UNLISTED = {"start", "log", "followup"}
"""What Telegram says by itself, and other words for what is listed."""


async def test_what_is_listed_is_understood(house: House):
    for name in set(WORDS) - {"research"}:
        said = await house.asks(f"/{name}")
        assert not said.text.startswith("I do not know `/"), name


async def test_what_is_understood_is_listed(house: House):
    assert set(house.app.hub._thinkers.commands._table) - UNLISTED <= set(WORDS)
