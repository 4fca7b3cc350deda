"""Every fault that the third-party emulator can make, on each of three wires, inside a whole chain: the person gets one clean answer.

The chain is OpenAI's wire, Anthropic's, Ollama's (all by aimock), and a real model behind OpenAI's wire at its end (llama.cpp).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing

import pytest

from bot.brain.brain import CUT_MARK, Brain
from bot.brain.call import Rung
from bot.brain.chain import FallbackChain
from bot.brain.context import ContextBuilder
from bot.brain.health import HealthBoard
from bot.brain.providers.offline import OUT_OF_REACH, OfflineRung
from bot.brain.providers.openai import OpenAIProvider
from bot.brain.reactive import Reactive
from bot.domain.message import OutgoingKind
from bot.domain.ports import Provider
from tests.e2e.model_servers import AIMOCK_MISSING, ANSWER, FAULTS, STALLS, WIRES, Aimock, Embedded, Fault, connect
from tests.fakes import FakeListener, asked, prompting
from tests.machine import free_port
from tests.stage import Stage

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(AIMOCK_MISSING is not None, reason=AIMOCK_MISSING or "")]

HEDGE, BOUND = 0.5, 100.0
"""Where none is meant to be late, none is overtaken for being slow on a loaded machine: only one test hedges."""
FAILING = [fault for fault in FAULTS if fault.error is not None]


@pytest.fixture
def database_url(sqlite_file: object) -> str:
    """An embedded database."""
    return f"sqlite+aiosqlite:///{sqlite_file}"


@pytest.fixture
async def brain_over(stage: Stage) -> AsyncIterator[Callable[..., Brain]]:
    """Makes a brain over these levels; closes their clients afterwards."""
    async with AsyncExitStack() as stack:

        async def close(provider: Provider) -> None:
            await provider.close()

        def make(hedge: float = 0.0, **levels: Provider) -> Brain:
            for provider in levels.values():
                stack.push_async_callback(close, provider)
            health = HealthBoard(database=stage.database, clock=stage.clock)
            rungs = [Rung(level=name, provider=provider, context=2048, max_output_tokens=40) for name, provider in levels.items()]
            return Brain(
                reactive=Reactive(database=stage.database, health=health, rungs=[], clock=stage.clock),
                context=ContextBuilder(database=stage.database, owner="Allan", clock=stage.clock),
                chain=FallbackChain(rungs=rungs, health=health, budget=None, turn_seconds=BOUND, hedge_seconds=hedge, stall_seconds=BOUND),
                offline=OfflineRung(database=stage.database),
            )

        yield make


def three(mock: Aimock, **models: str) -> dict[str, Provider]:
    """A level for each wire, named after it; the models not named are well."""
    return {wire: connect(wire, models.get(wire, "well"), mock.url) for wire in WIRES}


@pytest.mark.parametrize("broken", WIRES)
@pytest.mark.parametrize("fault", FAILING, ids=lambda fault: fault.name)
async def test_a_fault_of_one_level_ends_in_one_clean_answer_of_the_next(
    fault: Fault, broken: str, mock: Aimock, brain_over: Callable[..., Brain]
) -> None:
    """Whichever wire breaks, the next in the row answers; one that broke in mid-stream is replaced, not repeated."""
    row = [broken, *(wire for wire in WIRES if wire != broken)]
    levels = {wire: connect(wire, fault.name if wire == broken else "well", mock.url) for wire in row}
    listener = FakeListener()
    turn = await brain_over(**levels).answer(asked("How are you?"), listener)
    assert (turn.text, turn.level, turn.kind) == (ANSWER, row[1], OutgoingKind.ANSWER)
    assert listener.shown == ANSWER
    assert ("replace" in [step for step, _ in listener.steps]) is fault.begun
    assert fault.error is not None
    assert [(one.level, one.error) for one in turn.attempts] == [(broken, fault.error.__name__), (row[1], "")]


@pytest.mark.parametrize("broken", WIRES)
@pytest.mark.parametrize("fault", STALLS, ids=lambda fault: fault.name)
async def test_a_late_level_is_overtaken_by_the_next_at_the_hedge_delay(
    fault: Fault, broken: str, mock: Aimock, brain_over: Callable[..., Brain]
) -> None:
    row = [broken, *(wire for wire in WIRES if wire != broken)]
    levels = {wire: connect(wire, fault.name if wire == broken else "well", mock.url) for wire in row}
    listener = FakeListener()
    began = time.monotonic()
    turn = await brain_over(HEDGE, **levels).answer(asked("How are you?"), listener)
    assert (turn.text, turn.level) == (ANSWER, row[1])
    assert listener.shown == ANSWER
    assert time.monotonic() - began >= HEDGE
    assert [str(one.outcome) for one in turn.attempts] == ["overtaken", "answered"]


@pytest.mark.parametrize("fault", FAILING, ids=lambda fault: fault.name)
async def test_with_all_three_wires_broken_the_real_model_answers(
    fault: Fault, mock: Aimock, real: Embedded, brain_over: Callable[..., Brain]
) -> None:
    levels = three(mock, **dict.fromkeys(WIRES, fault.name))
    levels["embedded"] = OpenAIProvider(model=real.model, api_key=real.key, base_url=f"{real.url}/v1")
    listener = FakeListener()
    turn = await brain_over(**levels).answer(asked("What is the capital of France?"), listener)
    assert (turn.level, turn.kind) == ("embedded", OutgoingKind.ANSWER)
    assert turn.text
    assert listener.shown.strip() == turn.text.removesuffix(CUT_MARK)
    assert ANSWER[:5] not in turn.text
    assert [one.level for one in turn.attempts] == [*WIRES, "embedded"]


@pytest.mark.parametrize("fault", FAILING, ids=lambda fault: fault.name)
async def test_with_everything_broken_the_person_gets_the_honest_line(fault: Fault, mock: Aimock, brain_over: Callable[..., Brain]) -> None:
    levels = three(mock, **dict.fromkeys(WIRES, fault.name))
    levels["gone"] = connect("openai", "well", f"http://127.0.0.1:{free_port()}")
    listener = FakeListener()
    turn = await brain_over(**levels).answer(asked("What is love?"), listener)
    assert turn.text in OUT_OF_REACH
    assert (turn.kind, turn.level, turn.queued) == (OutgoingKind.OFFLINE, "offline", True)
    assert listener.shown in ("", turn.text)
    assert [one.level for one in turn.attempts] == [*WIRES, "gone"]


@pytest.mark.parametrize("rates", [{"rateLimitRate": 1}, {"dropRate": 1}, {"malformedRate": 1}, {"disconnectRate": 1}], ids=str)
async def test_chaos_and_calm(rates: dict[str, float], mock: Aimock, brain_over: Callable[..., Brain]) -> None:
    """The whole emulator breaks: honest. It calms down: the very next question is answered, whoever asked for rest or not."""
    levels = three(mock)
    brain = brain_over(**levels)
    mock.chaos(**rates)
    try:
        assert (await brain.answer(asked("What is love?"))).offline
    finally:
        mock.calm()
    turn = await brain.answer(asked("What is love?"))
    told_to_wait = rates == {"rateLimitRate": 1}  # by Retry-After, which is obeyed
    assert turn.offline is told_to_wait
    assert told_to_wait or turn.text == ANSWER


async def test_hanging_up_on_a_stream_leaves_the_client_usable(mock: Aimock) -> None:
    for wire in WIRES:
        provider = connect(wire, "well", mock.url)
        for _ in range(3):
            async with aclosing(provider.stream(prompting())) as stream:
                await anext(stream)
        assert [piece async for piece in provider.stream(prompting())]
        await provider.close()
