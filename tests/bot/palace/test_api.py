"""The HTTP API: answered once, told as it grows, bad bodies refused as JSON, nobody reads anybody else's conversation."""

from __future__ import annotations

import asyncio
import json
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest

from bot.domain.message import OutgoingKind
from tests.bot.palace.web_house import House, error_of, open_house, read_events

EVENTS = {"Accept": "text/event-stream"}
NASTY = "NUL \x00, lone \ud800 surrogate, <script>alert(1)</script>, \U0001f600, \r\n\t end"


async def chat(client: aiohttp.ClientSession, **body: object) -> dict[str, object]:
    async with client.post("/api/chat", data=BytesIO(json.dumps(body).encode())) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def transcript(client: aiohttp.ClientSession, name: str = "main", **query: str) -> list[dict[str, object]]:
    async with client.get(f"/api/conversations/{name}/messages", params=query) as response:
        assert response.status == 200
        return (await response.json())["messages"]


async def test_question_is_answered_with_what_ask_tells(house: House):
    answer = await chat(await house.script(), text="hello", id="E1")
    assert (answer["id"], answer["reply"], answer["kind"]) == ("E1", "heard: hello", "answer")
    expected = {
        "id",
        "reply",
        "kind",
        "at",
        "tier",
        "level",
        "provider",
        "model",
        "task_type",
        "confidence",
        "why",
        "latency_ms",
        "cost_usd",
    }
    assert set(answer) >= expected | {"offline"}


async def test_same_id_is_answered_once_and_alike(house: House):
    client = await house.script()
    house.brain.gate.clear()
    both = [asyncio.create_task(chat(client, text="hello", id="E1")) for _ in range(3)]
    await asyncio.sleep(0.05)
    house.brain.gate.set()
    answers = [*await asyncio.gather(*both), await chat(client, text="hello", id="E1")]
    assert house.brain.asked == ["hello"]
    assert all(answer == answers[0] for answer in answers)


async def test_same_id_at_another_door_of_the_person_is_the_same_question(house: House):
    script = await house.script()
    replies = []
    for conversation in ("main", "console", "other"):
        async with script.post("/api/chat", json={"text": "hello", "id": "E1", "conversation": conversation}) as response:
            replies.append((await response.json())["message_id"])
    assert len(set(replies)) == 1


async def test_same_id_of_two_people_is_two_questions(house: House):
    await chat(await house.script(), text="mine", id="E1")
    assert (await chat(await house.script(house.grace), text="hers", id="E1"))["reply"] == "heard: hers"


async def test_without_an_id_every_question_is_new(house: House):
    client = await house.script()
    assert (await chat(client, text="x"))["id"] != (await chat(client, text="x"))["id"]
    assert house.brain.asked == ["x", "x"]


@pytest.mark.parametrize(
    "text",
    ["", " \n", NASTY, "\U0001f600" * 10_000, "é" * 1_000_000, "\x00" * 100_000],
    ids=["empty", "blank", "nasty", "emoji", "large", "nul"],
)
async def test_text_is_kept_exactly(house: House, text: str):
    client = await house.script()
    await chat(client, text=text, id="E1")
    question, answer = await transcript(client)
    assert (question["text"], question["external_id"]) == (text, "E1")
    assert (answer["text"], answer["reply_to"]) == (f"heard: {text}", question["id"])


BAD = [
    (b"", 400, "not_json"),
    (b"{", 400, "not_json"),
    (b"[" * 100_000, 400, "not_json"),
    (b"\xff\xfe", 400, "not_utf8"),
    (b"[]", 400, "bad_request"),
    (b"null", 400, "bad_request"),
    (b"{}", 400, "bad_request"),
    (b'{"text": null}', 400, "bad_request"),
    (b'{"text": 7}', 400, "bad_request"),
    (b'{"text": "x", "id": 7}', 400, "bad_request"),
    (b'{"text": "x", "id": ""}', 400, "bad_request"),
    (b'{"text": "x", "conversation": []}', 400, "bad_request"),
    (b'{"text": "x", "conversation": "../other"}', 400, "bad_conversation"),
    (b'{"text": "' + b"x" * 10_000_000 + b'"}', 413, "request_entity_too_large"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD, ids=[f"{body[:24]!r}" for body, _, _ in BAD])
async def test_bad_body_is_refused_as_json(house: House, body: bytes, status: int, code: str):
    client = await house.script()
    async with client.post("/api/chat", data=BytesIO(body)) as response:
        assert await error_of(response) == (status, code)
    assert house.brain.asked == []


async def test_body_that_is_not_as_its_headers_say_is_refused_as_json(house: House):
    client = await house.script()
    async with client.post("/api/chat", data=b"no gzip at all", headers={"Content-Encoding": "gzip"}) as response:
        assert await error_of(response) == (400, "bad_body")


async def test_stream_tells_tokens_then_the_same_answer(house: House):
    client = await house.script()
    watched = asyncio.Event()
    house.brain.replies["hello"] = ["One ", "two ", "three."]
    house.brain.before_piece = lambda: asyncio.wait_for(watched.wait(), 2)
    async with client.post("/api/chat", data=json.dumps({"text": "hello", "id": "E1"}), headers=EVENTS) as response:
        assert response.content_type == "text/event-stream"
        watched.set()
        events = [(name, json.loads(data)) async for name, data in read_events(response)]
    names = [name for name, _ in events]
    assert names[-1] == "done"
    assert set(names[:-1]) == {"token"}
    assert "".join(data["text"] for name, data in events if name == "token") == "One two three."
    assert events[-1][1] == await chat(client, text="hello", id="E1")


async def test_stream_that_changes_model_is_replaced(house: House):
    client = await house.script()
    house.brain.replies["hello"] = ["Wrong", "\x01Right", " indeed."]
    house.brain.before_piece = lambda: asyncio.sleep(0.02)
    async with client.post("/api/chat", data=json.dumps({"text": "hello"}), headers=EVENTS) as response:
        events = [(name, json.loads(data)) async for name, data in read_events(response)]
    shown = ""
    for name, data in events[:-1]:
        shown = data["text"] if name == "replace" else shown + data["text"]
    assert "replace" in [name for name, _ in events]
    assert shown == events[-1][1]["reply"] == "Right indeed."


async def test_answer_that_never_streamed_is_told_in_full(house: House):
    client = await house.script()
    for _ in range(2):  # the second time it is an old answer
        async with client.post("/api/chat", data=json.dumps({"text": "hi", "id": "E1"}), headers=EVENTS) as response:
            events = [(name, json.loads(data)) async for name, data in read_events(response)]
        assert [name for name, _ in events] == ["token", "done"]
        assert events[0][1]["text"] == events[1][1]["reply"] == "heard: hi"


async def test_caller_that_hangs_up_loses_nothing(house: House):
    client = await house.script()
    house.brain.gate.clear()
    async with client.post("/api/chat", data=json.dumps({"text": "hello", "id": "E1"}), headers=EVENTS):
        pass
    house.brain.gate.set()
    assert (await chat(client, text="hello", id="E1"))["reply"] == "heard: hello"
    assert house.brain.asked == ["hello"]


async def test_slow_answer_can_be_asked_for_again(sqlite_file: Path):
    async with open_house(sqlite_file, patience_seconds=0.05) as house:
        client = await house.script()
        house.brain.gate.clear()
        async with client.post("/api/chat", data=b'{"text": "hello", "id": "E1"}') as response:
            assert await error_of(response) == (504, "still_thinking")
            assert (await response.json())["id"] == "E1"
        house.brain.gate.set()
        while not await house_answered(house, client):
            await asyncio.sleep(0.01)
        assert (await chat(client, text="hello", id="E1"))["reply"] == "heard: hello"


async def house_answered(house: House, client: aiohttp.ClientSession) -> bool:
    return len(await transcript(client)) == 2


async def test_nobody_reads_anybody_elses_conversation(house: House):
    await chat(await house.script(), text="a secret")
    hers = await house.script(house.grace)
    assert await transcript(hers) == []
    assert await transcript(hers, f"{house.owner.id}") == []
    async with hers.get(f"/api/conversations/{house.owner.id}%2Fmain/messages") as response:
        assert await error_of(response) == (400, "bad_conversation")


async def test_conversations_are_apart_and_limited(house: House):
    client = await house.script()
    for text in ("one", "two"):
        await chat(client, text=text, conversation="work")
    assert await transcript(client) == []
    assert [line["text"] for line in await transcript(client, "work", limit="2")] == ["two", "heard: two"]
    for limit in ("0", "501", "x", "-1", "1e2", "²"):
        async with client.get("/api/conversations/work/messages", params={"limit": limit}) as response:
            assert await error_of(response) == (400, "bad_request")


async def test_console_conversation_is_the_terminals(house: House):
    client = await house.script()
    await chat(client, text="from a script", conversation="console")
    async with house.database.reading() as work:
        assert await work.conversations.find(channel="console", key=str(house.owner.id)) is not None
    assert len(await transcript(client, "console")) == 2


async def test_command_line_may_act_as_another_and_nobody_else_may(house: House):
    await chat(await house.command_line(), text="for her", **{"as": "grace"})
    assert [line["text"] for line in await transcript(await house.script(house.grace))] == ["for her", "heard: for her"]
    assert len(await transcript(await house.command_line(), **{"as": "Grace"})) == 2
    for client, status, code in ((await house.script(), 403, "not_allowed"), (await house.command_line(), 404, "unknown_person")):
        async with client.post("/api/chat", data=b'{"text": "x", "as": "Nobody"}') as response:
            assert await error_of(response) == (status, code)


async def test_kind_of_a_makeshift_is_told(house: House):
    client = await house.script()
    house.brain.kind = OutgoingKind.OFFLINE
    answer = await chat(client, text="hello")
    assert (answer["kind"], answer["offline"]) == ("offline", True)
    assert (await transcript(client))[1]["kind"] == "offline"
