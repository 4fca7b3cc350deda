"""Sign-in: links work once, sessions and tokens until they end, secrets are not kept, wrong ones harm nobody."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy import select

from bot.domain.errors import StorageUnavailable
from bot.hub import server
from storage.models.housekeeping import Credential
from tests.bot.palace.web_house import HUB_TOKEN, House, error_of, open_house, read_events
from tests.clock import FakeClock
from tests.machine import PATIENCE_SECONDS


async def test_link_signs_in_once(house: House):
    link = await house.auth.create_link(house.owner.id)
    async with house.anonymous.get(link, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/")
        assert response.headers["Referrer-Policy"] == "no-referrer"
        cookie = response.cookies["robbie_session"]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["secure"], cookie["max-age"]) == ("Lax", "", str(30 * 24 * 3600))
    async with house.anonymous.get(link, allow_redirects=False) as response:
        assert response.status == 410
        assert "robbie signin" in await response.text()
        assert not response.cookies
    async with house.anonymous.get("/", headers={"Cookie": f"robbie_session={cookie.value}"}) as response:
        assert response.status == 200


async def test_looking_at_a_link_does_not_use_it_up(house: House):
    link = await house.auth.create_link(house.owner.id)
    async with house.anonymous.head(link) as response:
        assert response.status == 405
    async with house.anonymous.get(link, allow_redirects=False) as response:
        assert response.status == 303


async def test_used_link_leads_home_who_is_signed_in(house: House):
    browser = await house.browser()
    async with browser.get("/signin/used-long-ago", allow_redirects=False) as response:
        assert response.status == 303


async def test_stranger_is_told_how_to_sign_in(house: House):
    async with house.anonymous.get("/") as response:
        assert response.status == 401
        assert "robbie signin" in await response.text()
    async with house.anonymous.post("/api/chat", data=b"{}") as response:
        assert await error_of(response) == (401, "sign_in")
        assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_signing_out_ends_the_session(house: House):
    browser = await house.browser()
    cookie = {"Cookie": f"robbie_session={next(iter(browser.cookie_jar)).value}"}
    async with browser.post("/signout", allow_redirects=False) as response:
        assert response.status == 303
    async with house.anonymous.get("/", headers=cookie) as response:
        assert response.status == 401


async def test_cookie_alone_may_read_but_not_write(house: House):
    browser = await house.browser()
    cookie = {"Cookie": f"robbie_session={next(iter(browser.cookie_jar)).value}"}
    async with house.anonymous.get("/api/conversations/main/messages", headers=cookie) as response:
        assert response.status == 200
    async with house.anonymous.post("/api/chat", data=b'{"text": "x"}', headers=cookie) as response:
        assert await error_of(response) == (403, "cross_origin")


async def test_token_opens_until_it_is_revoked(house: House):
    credential, secret = await house.auth.create_token(house.grace.id, "laptop")
    headers = {"Authorization": f"Bearer {secret}"}
    assert [(token.label, token.user_id) for token in await house.auth.tokens()] == [("laptop", house.grace.id)]
    async with house.anonymous.get("/api/conversations/main/messages", headers=headers) as response:
        assert response.status == 200
    assert await house.auth.revoke(credential.id)
    assert not await house.auth.revoke(credential.id)
    async with house.anonymous.get("/api/conversations/main/messages", headers=headers) as response:
        assert await error_of(response) == (401, "token_refused")


async def test_stream_that_was_opened_before_hears_nothing_after_the_token_is_revoked(house: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "RECHECK_SECONDS", 0.0)
    credential, secret = await house.auth.create_token(house.owner.id, "laptop")
    owner = await house.script()
    async with house.anonymous.get("/chat/events", headers={"Authorization": f"Bearer {secret}"}) as response:
        async with owner.post("/api/chat", json={"text": "one"}) as answer:
            assert answer.status == 200
        events = read_events(response)
        while "heard: one" not in (await anext(events))[1]:
            pass
        await house.auth.revoke(credential.id)
        async with owner.post("/api/chat", json={"text": "a secret"}) as answer:
            assert answer.status == 200
        heard = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            with suppress(aiohttp.ClientError):
                async for _, data in events:
                    heard.append(data)
        assert "a secret" not in "".join(heard)


async def test_stream_goes_on_where_nobody_can_be_asked_about_its_listener(house: House, monkeypatch: pytest.MonkeyPatch):
    async def unknown(*_: object) -> bool:
        raise StorageUnavailable("FAKE: away")

    monkeypatch.setattr(server, "RECHECK_SECONDS", 0.0)
    monkeypatch.setattr(house.auth, "_is_welcome", unknown)
    owner = await house.script()
    async with owner.post("/api/chat", json={"text": "one"}, headers={"Accept": "text/event-stream"}) as response:
        events = [name async for name, _ in read_events(response)]
    assert events[-1] == "done"


async def test_secrets_are_not_kept(house: House):
    link, (_, secret) = await house.auth.create_link(house.owner.id), await house.auth.create_token(house.owner.id, "t")
    async with house.database.reading() as work:
        rows = (await work.connection.execute(select(Credential))).all()
    kept = " ".join(f"{row.secret_hash} {row.label}" for row in rows)
    assert secret not in kept
    assert link.rpartition("/")[2] not in kept
    assert len(secret.removeprefix("robbie_")) >= 43  # 256 bits


@pytest.mark.parametrize("kind", ["session", "token", "link"])
async def test_one_kind_of_secret_is_no_other(house: House, kind: str):
    browser = await house.browser()
    secrets = {
        "session": next(iter(browser.cookie_jar)).value,
        "token": (await house.auth.create_token(house.owner.id, "t"))[1],
        "link": (await house.auth.create_link(house.owner.id)).rpartition("/")[2],
    }
    if kind != "token":
        async with house.anonymous.get("/metrics", headers={"Authorization": f"Bearer {secrets[kind]}"}) as response:
            assert response.status == 401
    if kind != "session":
        async with house.anonymous.get("/", headers={"Cookie": f"robbie_session={secrets[kind]}"}) as response:
            assert response.status == 401
    if kind != "link":
        async with house.anonymous.get(f"/signin/{secrets[kind]}", allow_redirects=False) as response:
            assert response.status == 410


async def test_links_and_sessions_expire_and_tokens_do_not(sqlite_file: Path, clock: FakeClock):
    async with open_house(sqlite_file, clock=clock) as house:
        script, browser, link = await house.script(), await house.browser(), await house.auth.create_link(house.owner.id)
        clock.advance(seconds=3601)
        async with house.anonymous.get(link, allow_redirects=False) as response:
            assert response.status == 410
        for days, statuses in ((29, (200, 200)), (31, (401, 200))):
            clock.moment = FakeClock().moment + timedelta(days=days)
            for client, status in zip((browser, script), statuses, strict=True):
                async with client.get("/api/conversations/main/messages") as response:
                    assert response.status == status


async def test_command_line_acts_as_the_owner(house: House):
    async with (await house.command_line()).post("/api/chat", data=b'{"text": "x"}') as response:
        assert response.status == 200
    async with house.anonymous.get("/metrics", headers={"Authorization": f"Bearer {HUB_TOKEN}x"}) as response:
        assert response.status == 401
    async with house.anonymous.get("/metrics", headers={"Authorization": "Bearer \udcff\udcfe"}) as response:
        assert response.status == 401


async def test_wrong_secrets_of_one_visitor_shut_nobody_out(house: House):
    """Behind a proxy everybody comes from one address: a right secret works, however many wrong ones came from there."""
    _, secret = await house.auth.create_token(house.owner.id, "t")
    link = await house.auth.create_link(house.owner.id)
    for _ in range(50):
        async with house.anonymous.get("/metrics", headers={"Authorization": "Bearer wrong"}) as response:
            assert response.status == 401
        async with house.anonymous.get("/signin/wrong", allow_redirects=False) as response:
            assert response.status == 410
    async with house.anonymous.get("/metrics", headers={"Authorization": f"Bearer {secret}"}) as response:
        assert response.status == 200
    async with house.anonymous.get(link, allow_redirects=False) as response:
        assert response.status == 303


async def test_wrong_secrets_write_nothing(house: House, sqlite_file: Path):
    """Whoever tries keys cannot keep the hub from writing: wrong ones wait for no lock."""
    with closing(sqlite3.connect(sqlite_file)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with house.anonymous.get("/signin/wrong", allow_redirects=False) as response:
            assert response.status == 410
        async with house.anonymous.get("/metrics", headers={"Authorization": "Bearer wrong"}) as response:
            assert response.status == 401


async def test_link_that_two_open_at_once_lets_one_in(house: House):
    link = await house.auth.create_link(house.owner.id)

    async def opened() -> int:
        async with house.anonymous.get(link, allow_redirects=False) as response:
            return response.status

    assert sorted(await asyncio.gather(*(opened() for _ in range(8)))) == [303] + [410] * 7


async def test_every_route_wants_sign_in_unless_it_says_otherwise(house: House):
    """A new route that nobody thought about is closed."""
    app = house.server._runner.app
    open_paths = {
        route.resource.canonical
        for route in app.router.routes()
        if isinstance(route, web.ResourceRoute) and route.resource and getattr(route.handler, "is_open_to_all", False)
    }
    assert open_paths == {"/healthz", "/readyz", "/signin/{code}", "/static/{version}/{name}", "/favicon.ico"}
