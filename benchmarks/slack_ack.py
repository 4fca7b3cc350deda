"""How soon Slack is told that an event was kept, while a model thinks for ten seconds about each."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import aiohttp
from aiohttp import web

from benchmarks.figure import Figure, p50, progress
from tests.contracts.model_fakes import Wire, fake_model
from tests.e2e.hub_process import Hub
from tests.slack_fake import ALLAN, TEAM, fake_slack

SECONDS, PER_SECOND, THINKING_SECONDS = 30, 20, 10.0
CONVERSATIONS = 20
SECRET = "of the benchmark"
TOKENS = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_SIGNING_SECRET": SECRET}
CONFIG = """
[slack]
enabled = true
mode = "http"
api_url = "{api_url}"
[[people]]
name = "Allan"
role = "owner"
identities = [{{ platform = "slack", id = "{account}" }}]
"""


async def slack_acknowledgement(folder: Path) -> AsyncIterator[Figure]:
    """A real hub hears signed HTTP at a steady pace; the model and Slack's Web API are FAKES in this process."""
    progress(f"acknowledgements: {PER_SECOND} events/s for {SECONDS} s, a model that takes {THINKING_SECONDS:g} s")
    async with fake_model() as model, fake_slack() as slack:
        model.act = _think
        more = CONFIG.format(api_url=slack.api_url, account=f"{TEAM}/{ALLAN}")
        hub = Hub(folder, model.url, more=more, environ=TOKENS)
        await hub.start()
        try:
            took = await _knock(f"{hub.url}/slack/events")
            thinking = len(model.asked)
        finally:
            await hub.kill()
    with closing(sqlite3.connect(folder / "data" / "robbie.db")) as connection:
        (stored,) = connection.execute("SELECT count(*) FROM inbox_events").fetchone()
    p99, sent = sorted(took)[int(len(took) * 0.99)], len(took)
    yardstick = {"p50_ms": p50(took), "max_ms": max(took), "events": sent, "questions_at_the_model": thinking}
    yield Figure(name="slack_acknowledged_p99", value=p99, unit="ms", bar="<= 300", ok=p99 <= 300, yardstick=yardstick)
    yield Figure(name="slack_acknowledged_not_stored", value=sent - stored, unit="events", bar="0", ok=stored == sent)


async def _think(wire: Wire, _: web.Request) -> AsyncIterator[bytes]:
    """FAKE: the answer comes late."""
    await asyncio.sleep(THINKING_SECONDS)
    yield wire.begin()
    yield wire.say("Yes.")
    yield wire.end()


async def _knock(url: str) -> list[float]:
    """Milliseconds until each event was acknowledged."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await _until_open(session, url)
        began, events = asyncio.get_running_loop().time(), []
        for number in range(SECONDS * PER_SECOND):
            await asyncio.sleep(max(0.0, began + number / PER_SECOND - asyncio.get_running_loop().time()))
            events.append(asyncio.create_task(_tell(session, url, number)))
        return list(await asyncio.gather(*events))


async def _until_open(session: aiohttp.ClientSession, url: str) -> None:
    """The hub listens to Slack: it takes what is signed, however empty."""
    async with asyncio.timeout(20):
        while (await _post(session, url, json.dumps({"type": "url_verification", "challenge": "c"}))) != 200:
            await asyncio.sleep(0.1)


async def _tell(session: aiohttp.ClientSession, url: str, number: int) -> float:
    thread = {"thread_ts": f"1780000000.{number % CONVERSATIONS + 1:06}"} if number % CONVERSATIONS else {}
    said = {"type": "message", "channel_type": "im", "channel": "D0ALLAN", "user": ALLAN, "ts": f"1790000000.{number:06}"}
    event = {"type": "event_callback", "team_id": TEAM, "event_id": f"Ev{number}", "event": said | thread | {"text": f"question {number}"}}
    body, began = json.dumps(event), time.perf_counter()
    status = await _post(session, url, body)
    assert status == 200, status
    return (time.perf_counter() - began) * 1000


async def _post(session: aiohttp.ClientSession, url: str, body: str) -> int:
    """Signed, as Slack does."""
    now = str(int(time.time()))
    signature = "v0=" + hmac.new(SECRET.encode(), f"v0:{now}:{body}".encode(), hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Slack-Request-Timestamp": now, "X-Slack-Signature": signature}
    async with session.post(url, data=body, headers=headers) as answer:
        return answer.status
