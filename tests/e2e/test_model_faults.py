"""Every fault that the third-party emulator can make, on each of the three vendors' wires, becomes the error that means it."""

from __future__ import annotations

import time

import pytest

from bot.domain.errors import ProviderUnavailable, RateLimited
from bot.domain.ports import Provider
from bot.domain.thought import Delta, Finish, Line, Prompt, Role
from tests.e2e.model_servers import AIMOCK_MISSING, ANSWER, FAULTS, WIRES, Aimock, Fault, connect

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(AIMOCK_MISSING is not None, reason=AIMOCK_MISSING or "")]

ASKING = Prompt(system="You are Robbie.", brief_system="", lines=(Line(role=Role.USER, text="how are you?"),), max_output_tokens=99)


async def ask(provider: Provider, said: list[Delta | Finish]) -> None:
    try:
        async for part in provider.stream(ASKING):
            said.append(part)  # noqa: PERF401 (what came before a fault is to be seen)
    finally:
        await provider.close()


def text(said: list[Delta | Finish]) -> str:
    return "".join(part.text for part in said if isinstance(part, Delta))


@pytest.mark.parametrize("wire", WIRES)
async def test_without_a_fault_the_answer_is_whole(wire: str, mock: Aimock) -> None:
    said: list[Delta | Finish] = []
    await ask(connect(wire, "well", mock.url), said)
    assert text(said) == ANSWER
    assert [type(part) for part in said].count(Finish) == 1
    assert isinstance(said[-1], Finish)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_fault_is_the_error_that_means_it_or_a_late_answer(fault: Fault, wire: str, mock: Aimock) -> None:
    said: list[Delta | Finish] = []
    began = time.monotonic()
    provider = connect(wire, fault.name, mock.url)
    if fault.error is None:
        await ask(provider, said)
        assert text(said) == ANSWER
        assert (time.monotonic() - began) * 1000 >= fault.delay_ms
        return
    with pytest.raises(fault.error) as caught:
        await ask(provider, said)
    assert type(caught.value) is fault.error
    assert bool(text(said)) is fault.begun
    assert ANSWER not in text(said)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_rate_limit_says_how_long_to_wait(wire: str, mock: Aimock) -> None:
    with pytest.raises(RateLimited) as caught:
        await ask(connect(wire, "fault-429", mock.url), [])
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 0


@pytest.mark.parametrize("wire", WIRES)
async def test_a_model_that_breaks_and_recovers_answers_again(wire: str, mock: Aimock) -> None:
    mock.chaos(dropRate=1)
    try:
        with pytest.raises(ProviderUnavailable):
            await ask(connect(wire, "well", mock.url), [])
    finally:
        mock.calm()
    said: list[Delta | Finish] = []
    await ask(connect(wire, "well", mock.url), said)
    assert text(said) == ANSWER
