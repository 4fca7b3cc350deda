"""The mesh beside the road: what nodes say or fail to say, what calls show, what is loaded, drained and given back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bot.brain import mesh as mesh_module
from bot.brain.call import Rung
from bot.brain.chain import FallbackChain
from bot.brain.health import BreakerState, HealthBoard
from bot.brain.mesh import IDLE_TIMES, Mesh
from bot.brain.nodes import NodeState
from bot.brain.providers import ollama
from bot.brain.providers.ollama import OllamaProvider
from bot.config import MeshConfig, NodeConfig
from bot.domain.errors import NotAllowed, ProviderUnavailable
from bot.domain.thought import Attempt, AttemptOutcome
from storage.database import Database
from tests.fake_node import MODEL, FakeNode, served
from tests.fakes import FakeClock, FakeProvider, prompting
from tests.machine import PATIENCE_SECONDS, free_port


@pytest.fixture
async def node() -> AsyncIterator[FakeNode]:
    async with served(FakeNode()) as fake:
        yield fake


def rung(name: str = "iceland", model: str = MODEL, level: str = "llama") -> Rung:
    return Rung(level=level, provider=FakeProvider("x", model=model), context=4096, max_output_tokens=100, node=name)


def mesh_of(*nodes: FakeNode, clock: FakeClock | None = None, rungs: list[Rung] | None = None, **more: Any) -> Mesh:
    names = ("iceland", "snowball", "wallet")[: len(nodes)]
    health = more.pop("health", None) or HealthBoard(database=None, clock=clock or FakeClock())
    addresses = tuple(NodeConfig(name=name, url=each.url or "http://nobody") for name, each in zip(names, nodes, strict=True))
    config = MeshConfig(watch_seconds=more.pop("watch_seconds", 0.05), nodes=addresses)
    return Mesh(config=config, rungs=rungs or [rung(name) for name in names], health=health, **more)


def attempt(outcome: AttemptOutcome = AttemptOutcome.FAILED, **more: Any) -> Attempt:
    return Attempt(level="llama", provider="ollama", model=MODEL, outcome=outcome, **more)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():
            await asyncio.sleep(0.005)


async def test_a_look_tells_what_a_node_has_and_holds(node: FakeNode):
    node.holds = [{"name": MODEL, "size": 5 * 10**9, "size_vram": 4 * 10**9}]
    mesh = mesh_of(node)
    await mesh.examine("iceland")
    [state] = mesh.states
    assert (state.is_up, state.models, state.resident) == (True, {MODEL: 0}, {MODEL: 5 * 10**9})
    assert state.told()["state"] == "up"


def says(text: str | bytes, status: int = 200, **headers: str) -> Callable[[web.Request], Any]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=text if isinstance(text, bytes) else text.encode(), status=status, headers=headers)

    return answer


async def drips(request: web.Request) -> web.StreamResponse:
    """FAKE: a byte now and then, for ever."""
    response = web.StreamResponse()
    await response.prepare(request)
    while request.transport and not request.transport.is_closing():
        await response.write(b" ")
        await asyncio.sleep(0.01)
    return response


async def pours(request: web.Request) -> web.StreamResponse:
    """FAKE: an answer without end, as fast as it goes."""
    response = web.StreamResponse()
    await response.prepare(request)
    while request.transport and not request.transport.is_closing():
        await response.write(b'{"models": [' + b" " * 2**16)
    return response


async def hangs_up(request: web.Request) -> web.Response:
    """FAKE: the connection is cut before an answer."""
    assert request.transport
    request.transport.abort()
    return web.Response()


NONSENSE = [
    says("{not json"),
    says(b"\xff\xfe\x00"),
    says(""),
    says("[1, 2]", 404),
    says("null", 404),
    says('{"models": 7}'),
    says("{}"),
    says("[" * 100_000),
    says('{"models": []}' + " " * 10_000_000),
    says("1" * 10_000),
    says("404 page not found", 404),
    pours,
]
SILENCES = [says('{"error": "no"}', 500), says('{"models": []}', 302, Location="http://127.0.0.1:1/"), says("[]", 407), drips, hangs_up]


@pytest.mark.parametrize(("answer", "is_up"), [*((each, True) for each in NONSENSE), *((each, False) for each in SILENCES)])
async def test_a_node_is_asked_after_the_others_if_it_talks_nonsense_and_last_of_all_if_it_does_not_answer(
    node, answer, is_up, monkeypatch
):
    async with served(FakeNode(holds=[{"model": MODEL}])) as sound:
        node.holds, node.answer = [{"model": MODEL}], None
        mesh = mesh_of(node, sound)
        for each in ("iceland", "snowball"):
            await mesh.examine(each)
        node.answer = answer
        async with asyncio.timeout(ollama.LOOK_SECONDS + PATIENCE_SECONDS):
            await mesh.examine("iceland")
    [state, _] = mesh.states
    assert state.is_up is is_up
    assert 0 < len(state.why) < 400
    assert not state.resident
    assert [each.node for each in mesh.arrange(mesh._rungs)] == ["snowball", "iceland"]
    node.answer = None
    await mesh.examine("iceland")
    assert (mesh.states[0].is_up, mesh.states[0].why) == (True, "")


async def test_entries_that_are_no_models_are_passed_over(node: FakeNode):
    odd = [None, 7, "x", {}, {"model": 3}, {"model": ""}, {"model": "n" * 999}, {"model": "a", "size": "big"}, {"model": "b", "size": -1}]
    node.holds = [
        *odd,
        {"model": "c", "size": 1e400},
        {"model": "d", "size": True},
        {"model": MODEL, "size": 10**40},
        *[{"model": "e"}] * 10**4,
    ]
    mesh = mesh_of(node)
    await mesh.examine("iceland")
    assert dict(mesh.states[0].resident) == {"a": 0, "b": 0, "c": 0, "d": 1, MODEL: 0, "e": 0}


async def test_what_a_call_shows_is_believed_before_what_the_node_says(node: FakeNode):
    """It claims to have the model; a call finds that it has not: for a while that model is asked elsewhere, whatever the node repeats."""
    mesh = mesh_of(node, node)
    first, second = mesh._rungs
    await mesh.examine("iceland")
    mesh.asked(first)
    mesh.ended(first, attempt(error="ModelNotServed"))
    await mesh.examine("iceland")
    assert mesh.arrange([first, second]) == [second, first]


@pytest.mark.parametrize(
    ("ending", "is_doubted"),
    [
        (attempt(error="StreamBroken"), True),
        (attempt(AttemptOutcome.OVERTAKEN, latency_ms=500.0), True),
        (attempt(AttemptOutcome.OVERTAKEN, latency_ms=20.0), False),
    ],
    ids=["failed", "silent", "hardly asked"],
)
async def test_a_node_that_failed_is_asked_after_the_others_for_a_while_however_well_it_says_it_is(node, ending: Attempt, is_doubted: bool):
    """Its server answers every look while its model hangs: each turn would lose its patience there. It is looked at at once."""
    mesh = mesh_of(node, node, watch_seconds=60)
    async with mesh:
        await until(lambda: all(state.is_up for state in mesh.states))
        first, second = mesh._rungs
        for _ in range(10):
            mesh.asked(first)
            mesh.ended(first, attempt(AttemptOutcome.ANSWERED, first_token_ms=40.0, latency_ms=90.0))
        mesh.asked(first)
        mesh.ended(first, ending)
        await until(lambda: node.looks >= 2 + is_doubted)
        await asyncio.sleep(0.05)
        assert mesh.arrange([first, second]) == ([second, first] if is_doubted else [first, second])


async def test_a_bad_question_is_not_held_against_a_node(node: FakeNode):
    mesh = mesh_of(node)
    [first] = mesh._rungs
    mesh.asked(first)
    assert mesh.states[0].in_flight == 1
    mesh.ended(first, attempt(error="RequestRejected"))
    assert mesh.states[0] == NodeState(name="iceland")


async def test_a_node_that_comes_back_is_seen_by_itself_and_may_be_asked_at_once():
    """It falls and rises once in the log, and what its breaker rested for is over."""
    clock, fake = FakeClock(), FakeNode()
    health = HealthBoard(database=None, clock=clock)
    with capture_logs() as logs:
        async with served(fake, port := free_port()):
            mesh = mesh_of(fake, health=health)
            mesh.wake()
            await mesh.__aenter__()
            await until(lambda: mesh.states[0].is_up)
        await until(lambda: mesh.states[0].is_up is False)
        breaker = health.breaker(mesh._rungs[0].id)
        for _ in range(2):
            permit = breaker.permit()
            assert permit
            permit.failed(ProviderUnavailable("refused"))
        assert breaker.permit() is None
        async with served(fake, port):
            await until(lambda: mesh.states[0].is_up)
            assert breaker.state is BreakerState.OPEN
            assert breaker.permit() is not None
        await mesh.__aexit__()
    assert [log["event"] for log in logs][:3] == ["node.rose", "node.fell", "node.rose"]


async def test_use_that_begins_loads_the_likely_model_and_idleness_loads_nothing(node: FakeNode, clock: FakeClock):
    mesh = mesh_of(node)
    async with mesh:
        await until(lambda: mesh.states[0].is_up)
        await mesh.look(clock.now())
        assert not node.loaded
        mesh.wake()
        await mesh.look(clock.now())
        await until(lambda: mesh.states[0].holds(MODEL))
        await mesh.look(clock.now())
    [wish] = node.loaded
    assert (wish["model"], wish["options"], "prompt" in wish) == (MODEL, {"num_ctx": 4096}, False)


async def test_an_idle_mesh_looks_rarely(node: FakeNode):
    async with mesh_of(node) as mesh:
        await until(lambda: node.looks)
        began = time.monotonic()
        await asyncio.sleep(0.25)
        assert node.looks - 1 <= (time.monotonic() - began) / (IDLE_TIMES * 0.05)
        mesh.wake()
        await until(lambda: node.looks > 3)


@pytest.mark.parametrize(
    ("ahead", "is_loaded"), [(timedelta(minutes=2), True), (timedelta(minutes=20), False), (timedelta(minutes=-1), False)]
)
async def test_the_model_is_warm_before_a_brief(node: FakeNode, clock: FakeClock, ahead: timedelta, is_loaded: bool):
    async with mesh_of(node, clock=clock, brief_at=lambda: clock.now() + ahead) as mesh:
        await until(lambda: mesh.states[0].is_up)
        await mesh.look(clock.now())
        await (until(lambda: node.loaded) if is_loaded else asyncio.sleep(0.05))
    assert bool(node.loaded) is is_loaded


async def test_a_model_that_cannot_be_loaded_is_not_tried_again_and_again(node: FakeNode, clock: FakeClock):
    mesh = mesh_of(node)
    async with mesh:
        await until(lambda: mesh.states[0].is_up)
        tried = []

        async def refuses(request: web.Request) -> web.Response:
            tried.append(request.path)
            return web.json_response({"error": "out of memory"}, status=500)

        mesh.wake()
        node.answer = refuses
        await mesh.look(clock.now())
        await until(lambda: mesh._loading and mesh._loading.done())
        node.answer = None
        await mesh.examine("iceland")
        assert mesh.states[0].is_up
        await mesh.look(clock.now())
    assert tried.count("/api/generate") == 1
    assert not node.loaded


async def test_drained_nodes_are_kept_and_heeded_by_every_hub(database: Database, clock: FakeClock):
    here, there = (mesh_of(FakeNode(), FakeNode(), database=database) for _ in range(2))
    await here.drain("iceland", is_drained=True)
    await here.drain("iceland", is_drained=True)
    await there.look(clock.now())
    assert [state.is_drained for state in there.states] == [True, False]
    assert [each.node for each in there.arrange(there._rungs)] == ["snowball"]
    await there.drain("iceland", is_drained=False)
    await here.look(clock.now())
    assert not any(state.is_drained for state in here.states)
    with pytest.raises(NotAllowed, match="iceland, snowball"):
        await here.drain("Iceland\nsnowball", is_drained=True)


async def test_a_silent_node_is_followed_by_another_within_twice_its_usual(node: FakeNode):
    """Before its pace is known, or where the other would have to load, the chain's own patience holds."""
    node.holds = [{"model": MODEL}]
    mesh = mesh_of(node, node)
    first, second = mesh._rungs
    await mesh.examine("snowball")
    assert mesh.patience_seconds(first, second) == float("inf")
    for _ in range(10):
        mesh.asked(first)
        mesh.ended(first, attempt(AttemptOutcome.ANSWERED, first_token_ms=40.0, latency_ms=90.0))
    assert mesh.patience_seconds(first, second) == 0.08
    assert mesh.patience_seconds(first, rung("snowball", level="other")) == float("inf")
    node.holds = []
    await mesh.examine("snowball")
    assert mesh.patience_seconds(first, second) == float("inf")


async def test_a_turn_passes_from_a_dead_node_to_the_next_and_the_next_turn_does_not_meet_it(node: FakeNode):
    """The real provider: nobody listens at the first node's address any more."""
    dead = FakeNode(url=f"http://127.0.0.1:{free_port()}")
    fakes = {"iceland": dead, "snowball": node}
    rungs = [
        Rung(level="llama", provider=OllamaProvider(model=MODEL, url=each.url), context=4096, max_output_tokens=9, node=name)
        for name, each in fakes.items()
    ]
    health = HealthBoard(database=None, clock=FakeClock())
    mesh = mesh_of(dead, node, rungs=rungs, health=health, watch_seconds=60)
    chain = FallbackChain(rungs=rungs, health=health, budget=None, turn_seconds=90, hedge_seconds=60, stall_seconds=60, mesh=mesh)
    first = await chain.complete(prompting())
    second = await chain.complete(prompting())
    assert [each.outcome for each in first.attempts] == ["failed", "answered"]
    assert [each.outcome for each in second.attempts] == ["answered"]
    assert [state.in_flight for state in mesh.states] == [0, 0]
    for each in rungs:
        await each.provider.close()


def test_the_bounds_are_ordered():
    """A brief's warmth begins early enough for any load, and a doubt outlasts the look that settles it."""
    assert mesh_module.WARM_AHEAD.total_seconds() >= ollama.LOAD_SECONDS
    assert mesh_module.DOUBT_SECONDS > ollama.LOOK_SECONDS
