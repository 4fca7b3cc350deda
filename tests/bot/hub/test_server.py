"""The web server: its names, its headers, the shape of its errors, how it starts and stops."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from bot.domain.errors import ConfigError, StorageUnavailable
from bot.hub.server import Problem, Server, event_stream, open_to_all
from bot.logs import configure_log
from tests.bot.palace.web_house import House, error_of, open_house
from tests.machine import PATIENCE_SECONDS


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged while the test runs."""
    stream = io.StringIO()
    configure_log("info", stream=stream)
    yield stream
    structlog.reset_defaults()


def make_server(*routes: web.RouteDef, port: int = 0, host: str = "127.0.0.1") -> Server:
    async def readiness() -> dict[str, bool]:
        return {"database": True}

    def page(problem: Problem) -> str:
        return f"a friendly page about {problem.code}"

    return Server(
        host=host,
        port=port,
        public_url="",
        routes=routes,
        middlewares=[],
        readiness=readiness,
        problem_page=page,
        registry=CollectorRegistry(),
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9000", "[::1]:8765", "robbie.example.com"])
async def test_own_names_are_served(sqlite_file: Path, host: str):
    async with (
        open_house(sqlite_file, public_url="https://robbie.example.com") as house,
        house.anonymous.get("/healthz", headers={"Host": host}) as response,
    ):
        assert response.status == 200


@pytest.mark.parametrize("host", ["evil.example.com", "127.0.0.1.evil.com", "", "[", "0.0.0.0:8765"])
async def test_other_names_are_refused(house: House, host: str):
    async with house.anonymous.get("/healthz", headers={"Host": host}) as response:
        assert response.status == 421


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://127.0.0.1:1", "http://localhost", "file://"])
async def test_other_sites_may_not_write(house: House, origin: str):
    client = await house.script()
    async with client.post("/api/chat", data=b'{"text": "x"}', headers={"Origin": origin}) as response:
        assert await error_of(response) == (403, "cross_origin")


async def test_own_pages_may_write(sqlite_file: Path):
    async with open_house(sqlite_file, public_url="https://robbie.example.com") as house:
        client = await house.script()
        for origin in (house.server.url, "https://robbie.example.com"):
            async with client.post("/api/chat", data=b'{"text": "x"}', headers={"Origin": origin}) as response:
                assert response.status == 200


async def test_every_answer_is_fenced_in(house: House):
    browser = await house.browser()
    for client, path in (
        (browser, "/"),
        (house.anonymous, "/"),
        (house.anonymous, "/nowhere"),
        (browser, "/api/nowhere"),
        (browser, "/chat/events"),
    ):
        async with client.get(path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "same-origin"
            assert response.headers["Cache-Control"] == "no-store"
            assert "Server" not in response.headers


async def test_errors_are_json_for_programs_and_pages_for_people(house: House):
    client = await house.script()
    async with client.get("/api/nowhere") as response:
        assert await error_of(response) == (404, "not_found")
    async with client.get("/api/chat") as response:
        assert await error_of(response) == (405, "method_not_allowed")
    async with house.anonymous.get("/nowhere") as response:
        assert (response.status, response.content_type) == (404, "text/html")


async def test_what_went_wrong_is_never_shown():
    @open_to_all
    async def fail(request: web.Request) -> web.Response:
        raise KeyError("a secret of the code") if request.query else StorageUnavailable("disk of the machine is full")

    server = make_server(web.get("/api/fail", fail), web.get("/fail", fail))
    async with server, session(server) as client:
        for path, status, code in (("/api/fail", 503, "unavailable"), ("/api/fail?x=1", 500, "internal")):
            async with client.get(path) as response:
                assert await error_of(response) == (status, code)
                assert "secret" not in await response.text()
        async with client.get("/fail?x=1") as response:
            assert await response.text() == "a friendly page about internal"


async def test_health_and_readiness_need_no_sign_in(house: House):
    async with house.anonymous.get("/readyz") as response:
        assert (response.status, await response.json()) == (200, {"ready": True, "database": True, "levels": True})
    house.is_ready["levels"] = False
    async with house.anonymous.get("/readyz") as response:
        assert (response.status, (await response.json())["ready"]) == (503, False)
    async with house.anonymous.get("/healthz") as response:
        assert response.status == 200


async def test_metrics_are_for_those_signed_in(house: House):
    async with house.anonymous.get("/metrics") as response:
        assert response.status == 401
    async with (await house.script()).get("/metrics") as response:
        told = await response.text()
    assert 'robbie_http_requests_total{method="GET",route="/metrics",status="401"} 1.0' in told
    assert "robbie_http_streams 0.0" in told


async def test_taken_port_is_told_by_its_address():
    async with make_server() as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(ConfigError, match=rf"^web\.port: .* 127\.0\.0\.1:{port}: something else listens there \(stop it"):
            await make_server(port=port).__aenter__()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
async def test_impossible_host_is_told(host: str):
    with pytest.raises(ConfigError, match=rf"^web\.host: .* {host}:0: this machine has no such address \(write "):
        await make_server(host=host).__aenter__()


async def test_open_streams_do_not_delay_the_end():
    @open_to_all
    async def forever(request: web.Request) -> web.StreamResponse:
        async with event_stream(request) as stream:
            await stream.send("one\r\ntwo\rthree\n", event="lines", event_id="7")
            await asyncio.Event().wait()
        return stream.response

    server = make_server(web.get("/forever", forever))
    async with server, session(server) as client, client.get("/forever") as response:
        assert await response.content.readuntil(b"\n\n") == b"id: 7\nevent: lines\ndata: one\ndata: two\ndata: three\ndata: \n\n"
        began = time.monotonic()
        await server.__aexit__()
        assert time.monotonic() - began < 1


async def test_reader_that_leaves_ends_its_stream():
    ended = asyncio.Event()

    @open_to_all
    async def forever(request: web.Request) -> web.StreamResponse:
        async with event_stream(request) as stream:
            while stream.is_open:
                await stream.keep_alive()
                await asyncio.sleep(0.01)
        ended.set()
        return stream.response

    server = make_server(web.get("/forever", forever))
    async with server, session(server) as client:
        async with client.get("/forever") as response:
            await response.content.readany()
        await asyncio.wait_for(ended.wait(), PATIENCE_SECONDS)


@pytest.mark.parametrize("error", [StorageUnavailable("away"), KeyError("a bug")])
async def test_failure_is_logged_without_the_code_in_its_address(log: io.StringIO, error: Exception):
    @open_to_all
    async def fail(request: web.Request) -> web.Response:
        raise error

    server = make_server(web.get("/signin/{code}", fail))
    async with server, session(server) as client, client.get("/signin/a-code-that-opens") as response:
        assert response.status >= 500
    assert "/signin/{code}" in log.getvalue()
    assert "a-code" not in log.getvalue()


@pytest.mark.parametrize("error", [StorageUnavailable("disk of the machine is full"), KeyError("a secret of the code")])
async def test_stream_that_fails_is_cut_and_gets_no_second_answer(error: Exception):
    """Its headers are sent: an answer about the failure would stand in the middle of the events."""

    @open_to_all
    async def fail(request: web.Request) -> web.StreamResponse:
        async with event_stream(request) as stream:
            await stream.send("one")
            raise error
        return stream.response

    async with make_server(web.get("/api/fail", fail)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(b"GET /api/fail HTTP/1.1\r\nHost: localhost\r\n\r\n")
        told = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
        writer.close()
        assert told.startswith(b"HTTP/1.1 200 OK\r\n")
        assert told.endswith(b"\r\n\r\nb\r\ndata: one\n\n\r\n")  # one piece, and not the empty one that would say: this was all
        async with session(server) as client, client.get("/healthz") as response:
            assert response.status == 200


async def test_reader_that_left_before_the_first_word_is_no_failure(log: io.StringIO):
    left, ended = asyncio.Event(), asyncio.Event()

    @open_to_all
    async def late(request: web.Request) -> web.StreamResponse:
        left.set()
        while request.transport is not None:
            await asyncio.sleep(0.01)
        ended.set()
        async with event_stream(request) as stream:
            await stream.send("nobody hears this")
        return stream.response

    async with make_server(web.get("/late", late)) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(b"GET /late HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.wait_for(left.wait(), PATIENCE_SECONDS)
        writer.close()
        await asyncio.wait_for(ended.wait(), PATIENCE_SECONDS)
    assert log.getvalue() == ""


async def test_request_that_cannot_be_read_leaves_no_secret_in_the_log(log: io.StringIO):
    """A browser sends this host's cookies to every port of it; together they can be too long."""
    async with make_server() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: robbie_session=a-secret; other=" + b"x" * 20_000 + b"\r\n\r\n")
        status = await asyncio.wait_for(reader.readline(), PATIENCE_SECONDS)
        writer.close()
    assert b" 400 " in status
    assert "web.unreadable" in log.getvalue()
    assert "a-secret" not in log.getvalue()


async def test_files_are_kept_by_browsers_for_good(house: House):
    async with (await house.browser()).get("/") as response:
        page = await response.text()
    path = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
    async with house.anonymous.get(path) as response:
        assert (response.status, response.content_type) == (200, "text/css")
        assert "immutable" in response.headers["Cache-Control"]
    async with house.anonymous.get("/static/old/robbie.css") as response:
        assert response.headers["Cache-Control"] == "no-cache"
    for path in (
        "/static/x/nothing.css",
        "/static/x/../templates/chat.html",
        "/static/x/..%2f..%2fapi.py",
        "/static/x/vendor/LICENSE-htmx",
    ):
        async with house.anonymous.get(path) as response:
            assert response.status == 404


async def test_ten_megabytes_are_refused_before_they_are_read(house: House):
    port = int(house.server.url.rpartition(":")[2])
    _, token = await house.auth.create_token(house.owner.id, "raw")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 10000000\r\n\r\n"
    writer.write(head.encode() + b"x" * 9_000_000)
    status = await asyncio.wait_for(reader.readline(), PATIENCE_SECONDS)
    assert b" 413 " in status
    body = (await reader.readuntil(b"}}")).partition(b"\r\n\r\n")[2]
    assert json.loads(body)["error"]["code"] == "request_entity_too_large"
    writer.close()


def session(server: Server) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(server.url, cookie_jar=aiohttp.DummyCookieJar())
