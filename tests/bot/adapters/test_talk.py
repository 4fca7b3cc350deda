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
    """A FAKE hub that answers every question with these server-sent events, and has said one thing so far."""
    heard: list[dict[str, object]] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append({"token": request.headers["Authorization"], **await request.json()})
        if status != 200:
            return web.json_response({"error": {"code": "no", "message": "nobody is called that"}}, status=status)
        text = "".join(f"event: {event}\ndata: {json.dumps(data)}\n\n" for event, data in events)
        return web.Response(text=f": hello\n\n{text}", content_type="text/event-stream")

    async def tell(request: web.Request) -> web.Response:
        heard.append({"token": request.headers["Authorization"], **request.query})
        if status != 200:
            return web.json_response({"error": {"code": "no", "message": "nobody is called that"}}, status=status)
        return web.json_response({"messages": [{"id": "m0", "direction": "in"}, {"id": "m1", "direction": "out"}]})

    app = web.Application()
    app.router.add_post("/api/chat", answer)
    app.router.add_get("/api/conversations/console/messages", tell)
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
        assert await talk.ask_once("capital?", external_id="E1", listener=listener) == DONE
    assert listener.steps == [("replace", "Lon"), ("replace", "Par"), ("token", "is.")]
    assert heard == [{"as": "Grace", "text": "capital?", "id": "E1", "conversation": "console", "token": "Bearer t"}]


@pytest.mark.parametrize(
    "events", [(), (("token", {"text": "x"}),), (("error", {"error": {"code": "still_thinking", "message": "not yet"}}),)]
)
async def test_answer_that_does_not_come_is_told(events):
    async with fake_hub(*events) as (hub, _), RemoteTalk(hub, person=None) as talk:
        with pytest.raises(ChannelUnavailable):
            await talk.ask("capital?")


@pytest.mark.parametrize(
    ("status", "may_pass"), [(401, True), (403, False), (404, False), (413, False), (429, True), (500, True), (503, True)]
)
async def test_refusal_is_told_in_its_own_words_and_says_whether_it_may_pass(status, may_pass):
    async with fake_hub(status=status) as (hub, _), RemoteTalk(hub, person="Nobody") as talk:
        for act in (lambda: talk.ask("capital?"), talk.latest_replies):
            with pytest.raises(RobbieError, match="nobody is called that") as raised:
                await act()
            assert isinstance(raised.value, ChannelUnavailable) is may_pass


async def test_hub_that_was_restarted_is_asked_again_under_the_same_id():
    """Its first life hung up in the middle; its second has another address and another token."""
    async with AsyncExitStack() as stack:
        first, heard = await stack.enter_async_context(fake_hub(("token", {"text": "Lon"})))
        second, again = await stack.enter_async_context(fake_hub(("token", {"text": "Paris."}), ("done", DONE)))
        talk = await stack.enter_async_context(RemoteTalk(first, person=None, find=lambda: second))
        assert await talk.ask("capital?") == DONE
    assert [said["id"] for said in heard] == [said["id"] for said in again]


async def test_latest_replies_are_those_of_the_hub_that_is_there_now():
    """The note of a hub that was restarted is found at once; the one that turned the old token away is not asked twice."""
    async with AsyncExitStack() as stack:
        first, heard = await stack.enter_async_context(fake_hub(status=401))
        second, again = await stack.enter_async_context(fake_hub())
        talk = await stack.enter_async_context(RemoteTalk(first, person="Grace", find=lambda: second))
        for _ in range(2):
            assert await talk.latest_replies(7) == [{"id": "m1", "direction": "out"}]
    assert len(heard) == 1
    assert again == [{"token": "Bearer t", "limit": "7", "as": "Grace"}] * 2


async def test_hub_that_is_gone_is_told():
    hub = RunningHub(url="http://127.0.0.1:9", token="t", pid=1)
    async with RemoteTalk(hub, person=None) as talk:
        with pytest.raises(ChannelUnavailable):
            await talk.ask("capital?")
        with pytest.raises(ChannelUnavailable):
            await talk.latest_replies()
