"""The mesh in a running hub: it is seen, drained and given back from the command line, and a turn is answered by its nodes."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from bot import commands
from bot.app import App, build
from bot.config import Config, PersonConfig
from bot.domain.errors import NotAllowed
from tests.fake_node import MODEL, FakeNode, served
from tests.scenarios.house import config_of, until

pytestmark = pytest.mark.either


def config_over(url: str, folder: Path, nodes: dict[str, FakeNode]) -> Config:
    level = {"name": "llama", "provider": "ollama", "model": MODEL, "context": 4096, "nodes": tuple(nodes)}
    config = config_of(url, folder, levels=(level,))
    mesh = config.mesh.model_validate(
        {"watch_seconds": 0.1, "nodes": tuple({"name": name, "url": node.url} for name, node in nodes.items())}
    )
    return config.model_copy(update={"mesh": mesh, "people": (PersonConfig(name="Grace"),)})


def another(app: App) -> App:
    """The command line beside the hub: the same home, in a process of its own."""
    return build(app.config, environ={}, tends=False)


async def test_the_hub_tells_how_its_nodes_are_and_heeds_what_is_drained(database_url: str, tmp_path: Path):
    async with served(FakeNode()) as iceland, served(FakeNode()) as snowball:
        config = config_over(database_url, tmp_path, {"iceland": iceland, "snowball": snowball})
        async with build(config, environ={}) as app, app.serve():
            answer = await app.talk(await app.directory.owner()).ask("how are you?")
            assert (answer["reply"], answer["level"]) == ("Good day", "llama")
            await until(lambda: all(state.is_up for state in app.chain.mesh.states))
            await until(lambda: bool(iceland.loaded or snowball.loaded))  # the first words had the model loaded in the background
            _, told = await commands.mesh_nodes(another(app))
            assert [(each["node"], each["state"], each["in_flight"]) for each in told["nodes"]] == [
                ("iceland", "up", 0),
                ("snowball", "up", 0),
            ]
            assert (await commands.mesh_drain(another(app), "iceland", is_drained=True))[0]
            await until(lambda: app.chain.mesh.states[0].is_drained)
            assert [each.node for each in app.chain.mesh.arrange(app.chain.rungs)] == ["snowball"]
            examined = {each.part: each.can_answer async for each in app.doctor.examine()}
            assert [examined[f"level llama on {node}"] for node in ("iceland", "snowball")] == [False, True]
            assert (await commands.mesh_drain(another(app), "iceland", is_drained=False))[0]
            await until(lambda: not app.chain.mesh.states[0].is_drained)


async def test_the_owner_is_told_of_a_lost_node_and_nobody_else(database_url: str, tmp_path: Path):
    async with served(FakeNode()) as iceland:
        nodes = {"iceland": iceland, "gone": FakeNode(url="http://127.0.0.1:9")}
        async with build(config_over(database_url, tmp_path, nodes), environ={}) as app, app.serve():
            await until(lambda: app.chain.mesh.states[1].is_up is False)
            grace = await app.directory.by_name("Grace")
            assert grace
            for person, is_told in ((await app.directory.owner(), True), (grace, False)):
                answer = await app.talk(person).ask("/status")
                assert ("The node gone does not answer since" in answer["reply"], "iceland" in answer["reply"]) == (is_told, False)


async def test_only_the_owner_sees_the_nodes_and_metrics_tell_of_them(database_url: str, tmp_path: Path):
    async with served(FakeNode()) as iceland, build(config_over(database_url, tmp_path, {"iceland": iceland}), environ={}) as app:
        await app.prepare()
        grace = await app.directory.by_name("Grace")
        assert grace
        _, theirs = await app.auth.create_token(grace.id, "test")
        async with app.server as server, aiohttp.ClientSession(server.url) as session:
            for token, status in ((theirs, 403), (app.hub_token, 200), ("", 401)):
                async with session.get("/api/mesh", headers={"Authorization": f"Bearer {token}"}) as response:
                    assert response.status == status
            async with session.get("/metrics", headers={"Authorization": f"Bearer {app.hub_token}"}) as response:
                assert 'robbie_node_up{node="iceland"} 0.0' in await response.text()


async def test_without_a_hub_the_command_asks_the_nodes_itself(database_url: str, tmp_path: Path):
    async with served(FakeNode()) as iceland:
        config = config_over(database_url, tmp_path, {"iceland": iceland, "gone": FakeNode(url="http://127.0.0.1:9")})
        text, told = await commands.mesh_nodes(build(config, environ={}))
        assert [each["state"] for each in told["nodes"]] == ["up", "down"]
        assert told["nodes"][1]["why"].startswith("nobody answers at http://")
        assert text.splitlines()[1].startswith("gone         down")
        with pytest.raises(NotAllowed, match="iceland, gone"):
            await commands.mesh_drain(build(config, environ={}), "icland", is_drained=True)
