"""The mesh on four real Ollama servers: killed, stalled, slowed, garbled and drained while turns run through a whole hub."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from bot.app import build
from bot.brain.nodes import NodeState
from bot.config import load_config
from storage.models.messaging import Message
from tests.e2e.hub_process import beside
from tests.e2e.ollama_servers import MODEL, OLLAMA_MISSING, OllamaServer, Shim, ollama_servers, shimmed
from tests.machine import PATIENCE_SECONDS
from tests.scenarios.house import FakeModel, FakePush, House, until

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(OLLAMA_MISSING is not None, reason=OLLAMA_MISSING or "")]

NAMES = ("iceland", "snowball", "wallet", "maverick")
HEDGE, BOUND, STALL = 4.0, 110.0, 60.0
"""Whoever is well answers within the last two, on a loaded machine too."""
CONFIG = f"""
[robbie]
owner = "Allan"
data_dir = "data"
[database]
url = "sqlite+aiosqlite:///data/robbie.db"
[web]
port = 0
[brain]
turn_seconds = {BOUND}
hedge_seconds = {HEDGE}
stall_seconds = {STALL}
[[brain.levels]]
name = "llama"
provider = "ollama"
model = "{MODEL}"
nodes = {list(NAMES)}
context = 1024
max_output_tokens = 16
[mesh]
watch_seconds = 2.0
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, OllamaServer]]:
    """Four servers, all well."""
    with ollama_servers(tmp_path_factory.mktemp("ollama"), *NAMES) as running:
        yield running


@pytest.fixture(autouse=True)
def mended(servers: dict[str, OllamaServer]) -> Iterator[None]:
    """Whatever a test broke is whole for the next one."""
    yield
    for server in servers.values():
        server.signal(signal.SIGCONT)
        if server.process is None or server.process.poll() is not None:
            server.start()


class Mesh:
    """A hub over these nodes, which asks and is asked."""

    def __init__(self, house: House, config: Path) -> None:
        self.house, self.config = house, config

    def state(self, name: str) -> NodeState:
        """What the hub knows of a node."""
        return next(state for state in self.house.app.chain.mesh.states if state.name == name)

    @property
    def first(self) -> str:
        """The node that would be asked next."""
        return self.house.app.chain.mesh.arrange(self.house.app.chain.rungs)[0].node

    async def ask(self, *questions: str) -> list[Message]:
        """Answers to questions that are asked at once."""
        asked = [await self.house.hears(text, conversation=text, channel="console") for text in questions]
        return list(await asyncio.gather(*(self.house.reply(each, seconds=BOUND) for each in asked)))

    async def run(self, *words: str) -> str:
        """What `robbie mesh …` prints, run beside the hub."""
        return await beside(self.config, "mesh", *words)


@asynccontextmanager
async def hub_over(urls: Mapping[str, str], folder: Path) -> AsyncIterator[Mesh]:
    """A hub with its doors, whose level runs on these nodes; each has loaded its model."""
    config = folder / "config.toml"
    nodes = [f'[[mesh.nodes]]\nname = "{name}"\nurl = "{url}"\n' for name, url in urls.items()]
    config.write_text(CONFIG + "\n".join(nodes), encoding="utf-8")
    async with build(load_config(config, environ={}), environ={}) as app, app.serve():
        owner = await app.directory.owner()
        mesh = Mesh(House(app=app, owner=owner, model=FakeModel(), push=FakePush()), config)
        await until(lambda: all(state.is_up for state in app.chain.mesh.states), seconds=PATIENCE_SECONDS)
        for rung in app.chain.rungs:
            await app.chain.mesh.preload(rung)
        await until(lambda: all(state.resident for state in app.chain.mesh.states), seconds=PATIENCE_SECONDS)
        yield mesh


@pytest.fixture
async def mesh(servers: dict[str, OllamaServer], tmp_path: Path) -> AsyncIterator[Mesh]:
    """A hub over the four servers."""
    async with hub_over({name: server.url for name, server in servers.items()}, tmp_path) as running:
        yield running


def is_whole(reply: Message) -> bool:
    """Whether it is a real answer of a node's."""
    is_clean = not {"\x00", "\ufffd"} & set(reply.text)
    return (reply.kind, reply.details["level"]) == ("answer", "llama") and bool(reply.text.strip()) and is_clean


def met_trouble(reply: Message) -> bool:
    """Whether a node was asked in vain on the way to it."""
    return bool(reply.details["why"] != "llama answered")


async def test_what_a_node_has_in_memory_is_seen(mesh: Mesh, servers: dict[str, OllamaServer]) -> None:
    for name, server in servers.items():
        assert list(mesh.state(name).resident) == server.resident()


async def test_a_killed_node_fails_no_turn_and_returns_by_itself(mesh: Mesh, servers: dict[str, OllamaServer]) -> None:
    """It dies with questions on their way to it: others answer them, and those that come after never meet it."""
    dead = mesh.first
    servers[dead].signal(signal.SIGSTOP)  # it is not to have answered before it dies
    asking = asyncio.create_task(mesh.ask(*(f"What is the capital of {country}?" for country in ("France", "Italy", "Spain", "Norway"))))
    await until(lambda: mesh.state(dead).in_flight > 0, seconds=PATIENCE_SECONDS)
    servers[dead].kill()
    replies = await asking
    assert all(is_whole(reply) for reply in replies)
    assert any(met_trouble(reply) for reply in replies)
    await until(lambda: mesh.state(dead).is_up is False, seconds=PATIENCE_SECONDS)
    assert mesh.first != dead
    after = await mesh.ask("Who wrote Faust?", "Who wrote Hamlet?")
    assert all(is_whole(reply) for reply in after)
    assert not any("could not be reached" in reply.details["why"] for reply in after)  # a busy one may still be overtaken by another
    servers[dead].start()
    await until(lambda: mesh.state(dead).is_up is True, seconds=PATIENCE_SECONDS)
    assert mesh.first == dead or not mesh.state(dead).resident


async def test_a_stalled_node_is_not_waited_for(mesh: Mesh, servers: dict[str, OllamaServer]) -> None:
    """SIGSTOP: it takes the question and says nothing. Another node is asked as well; after SIGCONT it is well again by itself."""
    stalled = mesh.first
    servers[stalled].signal(signal.SIGSTOP)
    (reply,) = await mesh.ask("What is the capital of Sweden?")
    assert is_whole(reply)
    assert met_trouble(reply)
    await until(lambda: mesh.state(stalled).is_up is False, seconds=PATIENCE_SECONDS)
    assert mesh.first != stalled
    servers[stalled].signal(signal.SIGCONT)
    await until(lambda: mesh.state(stalled).is_up is True, seconds=PATIENCE_SECONDS)


@pytest.mark.parametrize("fault", [{"delay_seconds": STALL}, {"garbled": True}], ids=["slow", "garbled"])
async def test_a_node_that_crawls_or_talks_garbage_spoils_no_answer(
    fault: dict[str, float], servers: dict[str, OllamaServer], tmp_path: Path
) -> None:
    """Through the SHIM, which slows or garbles every byte of the first node's answers."""
    async with AsyncExitStack() as stack:
        shims: dict[str, Shim] = {name: await stack.enter_async_context(shimmed(server)) for name, server in servers.items()}
        mesh = await stack.enter_async_context(hub_over({name: shim.url for name, shim in shims.items()}, tmp_path))
        broken = mesh.first
        vars(shims[broken]).update(fault)
        replies = await mesh.ask("What is the capital of Poland?", "What is the capital of Greece?")
        assert all(is_whole(reply) for reply in replies)
        assert any(met_trouble(reply) for reply in replies) or mesh.state(broken).why  # a look may have met it first
        await until(lambda: bool(mesh.state(broken).why) and not mesh.state(broken).resident, seconds=PATIENCE_SECONDS)
        assert mesh.first != broken
        vars(shims[broken]).update(delay_seconds=0.0, garbled=False)
        await until(lambda: bool(mesh.state(broken).resident), seconds=PATIENCE_SECONDS)


async def test_a_drained_node_is_left_alone_until_it_is_returned(mesh: Mesh) -> None:
    drained = mesh.first
    await mesh.run("drain", drained)
    await until(lambda: mesh.state(drained).is_drained, seconds=PATIENCE_SECONDS)
    assert drained not in [rung.node for rung in mesh.house.app.chain.mesh.arrange(mesh.house.app.chain.rungs)]
    assert all(is_whole(reply) for reply in await mesh.ask("What is the capital of Peru?", "What is the capital of Cuba?"))
    assert "drained" in await mesh.run()
    await mesh.run("return", drained)
    await until(lambda: not mesh.state(drained).is_drained, seconds=PATIENCE_SECONDS)
