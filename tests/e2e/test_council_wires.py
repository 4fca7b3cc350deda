"""The council over the wires of a third-party emulator: three vendors at once, one of them broken, one that stalls."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.brain.call import Rung
from tests.conftest import sqlite_url
from tests.e2e.model_servers import AIMOCK_MISSING, COUNCIL, COUNCIL_ANSWER, WIRES, Aimock, connect
from tests.scenarios.house import open_house

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(AIMOCK_MISSING is not None, reason=AIMOCK_MISSING or "")]

ASKED = "/council should we lease or buy the van?"


def seats(mock: Aimock, **models: str) -> list[Rung]:
    """A level of each wire; its model is the one with an opinion, or a faulty one."""
    rungs = [(wire, connect(wire, models.get(wire, f"seat-{wire}"), mock.url)) for wire in WIRES]
    return [Rung(level=wire, provider=provider, context=8000, max_output_tokens=200) for wire, provider in rungs]


async def test_three_vendors_are_asked_at_once_and_one_puts_it_together(mock: Aimock, sqlite_file: Path, tmp_path: Path) -> None:
    before = len(mock.journal())
    async with open_house(sqlite_url(sqlite_file), tmp_path, rungs=seats(mock)) as house:
        reply = await house.asks(ASKED)
        details = reply.details or {}
        assert (reply.text, details["level"], details["tier"]) == (COUNCIL_ANSWER, "openai", "analytical")
        assert {step["who"]: step["said"] for step in details["path"][:3]} == COUNCIL
        assert len(mock.journal()) == before + 4
        assert "42" in (await house.asks("/why")).text


@pytest.mark.parametrize("fault", ["fault-500", "fault-429", "fault-malformed", "fault-truncated", "fault-dropped"])
async def test_a_broken_vendor_is_done_without(mock: Aimock, sqlite_file: Path, tmp_path: Path, fault: str) -> None:
    async with open_house(sqlite_url(sqlite_file), tmp_path, rungs=seats(mock, anthropic=fault)) as house:
        reply = await house.asks(ASKED)
        assert reply.text == COUNCIL_ANSWER or reply.text in COUNCIL.values()
        assert [step.get("who") for step in (reply.details or {})["path"]] == ["openai", "ollama", "anthropic", None]
