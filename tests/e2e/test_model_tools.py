"""Tools over the wires of a third-party emulator: a call comes, its result goes back, the answer follows, on each of the three."""

from __future__ import annotations

import pytest

from bot.brain.call import Rung
from bot.brain.chain import FallbackChain
from bot.brain.health import HealthBoard
from bot.brain.tools import Kit, answer_with
from bot.domain.thought import Line, Prompt, Role
from tests.e2e.model_servers import AIMOCK_MISSING, TOOL_ANSWER, TOOL_MODEL, WIRES, Aimock, connect
from tests.fakes import FakeClock, asked
from tests.tool_fakes import FakeGate, FakeLooker

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(AIMOCK_MISSING is not None, reason=AIMOCK_MISSING or "")]


@pytest.mark.parametrize("mode", ["native", "text"])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_tool_is_called_and_its_result_answered(wire: str, mode: str, mock: Aimock) -> None:
    looker = FakeLooker("rain")
    provider = connect(wire, TOOL_MODEL[mode], mock.url)
    rung = Rung(level="a", provider=provider, context=8000, max_output_tokens=99, tools=mode)
    health = HealthBoard(database=None, clock=FakeClock())
    chain = FallbackChain(rungs=[rung], health=health, budget=None, turn_seconds=100, hedge_seconds=0, stall_seconds=100)
    question = asked("What is the weather in Oslo?")
    prompt = Prompt(system="s", tool_system="You are Robbie.", brief_system="b", lines=(Line(role=Role.USER, text=question.text),))
    kit = Kit(question=question, tools=[looker], gate=FakeGate())
    before = len(mock.journal())
    try:
        done = await answer_with(kit, prompt, chain=chain, watch=None, question=question, seconds=100)
    finally:
        await provider.close()
    assert done.text == TOOL_ANSWER
    assert (looker.looked, kit.used) == (2, ["look_up", "look_up"])  # two calls in one breath
    assert len(mock.journal()) == before + 2
