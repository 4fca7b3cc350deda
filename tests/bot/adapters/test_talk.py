"""Talking from a terminal: the same words whether the hub is in this process or beside it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web

from bot.adapters.talk import RemoteTalk
from bot.domain.errors import ChannelUnavailable, RobbieError
from bot.hub.home import RunningHub
from tests.fakes import FakeListener

DONE = {"reply": "Paris.", "kind": "answer", "message_id": "m1"}


@asynccontextmanager
async def fake_hub(*events: tuple[str, object], status: int = 200) -> AsyncIterator[tuple[RunningHub, list[dict[str, object]]]]:
    """A FAKE hub that answers every question with these server-sent events."""
    heard: list[dict[str, object]] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append({"token": request.headers["Authorization"], **await request.json()})
        if status != 200:
            return web.json_response({"error": {"code": "no", "message": "nobody is called that"}}, status=status)
        text = "".join(f"event: {event}\ndata: {json.dumps(data)}\n\n" for event, data in events)
        return web.Response(text=f": hello\n\n{text}", content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/api/chat", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield RunningHub(url=f"http://127.0.0.1:{runner.addresses[0][1]}", token="t", pid=1), heard
    finally:
        await runner.cleanup()


async def test_answer_grows_and_ends():
    listener = FakeListener()
    async with (
        fake_hub(("token", {"text": "Lon"}), ("replace", {"text": "Par"}), ("token", {"text": "is."}), ("done", DONE)) as (
            hub,
            heard,
        ),
        RemoteTalk(hub, person="Grace") as talk,
    ):
        assert await talk.ask("capital?", listener) == DONE
    assert listener.steps == [("replace", "Lon"), ("replace", "Par"), ("token", "is.")]
    assert (heard[0]["as"], heard[0]["text"], heard[0]["conversation"], heard[0]["token"]) == ("Grace", "capital?", "console", "Bearer t")


@pytest.mark.parametrize(
    "events", [(), (("token", {"text": "x"}),), (("error", {"error": {"code": "still_thinking", "message": "not yet"}}),)]
)
async def test_answer_that_does_not_come_is_told(events):
    async with fake_hub(*events) as (hub, _), RemoteTalk(hub, person=None) as talk:
        with pytest.raises(ChannelUnavailable):
            await talk.ask("capital?")


async def test_refusal_is_told_in_its_own_words():
    async with fake_hub(status=403) as (hub, _), RemoteTalk(hub, person="Nobody") as talk:
        with pytest.raises(RobbieError, match="nobody is called that"):
            await talk.ask("capital?")


async def test_hub_that_was_restarted_is_asked_again_under_the_same_id():
    """Its first life hung up in the middle; its second has another address and another token."""
    listener = FakeListener()
    async with AsyncExitStack() as stack:
        first, heard = await stack.enter_async_context(fake_hub(("token", {"text": "Lon"})))
        second, again = await stack.enter_async_context(fake_hub(("token", {"text": "Paris."}), ("done", DONE)))
        talk = await stack.enter_async_context(RemoteTalk(first, person=None, find=lambda: second))
        assert await talk.ask("capital?", listener) == DONE
    assert [said["id"] for said in heard] == [said["id"] for said in again]
    assert listener.shown == "Paris."


async def test_hub_that_is_gone_is_told():
    hub = RunningHub(url="http://127.0.0.1:9", token="t", pid=1)
    async with RemoteTalk(hub, person=None) as talk:
        with pytest.raises(ChannelUnavailable):
            await talk.ask("capital?")
        with pytest.raises(ChannelUnavailable):
            await talk.latest_replies()
