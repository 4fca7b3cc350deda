"""Access tokens against a FAKE provider: asked for once an hour, told apart when refused, and never in an error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from bot.adapters.mail_account import Credentials
from bot.config import EmailConfig, OAuthConfig
from bot.domain.errors import ChannelRefused, ChannelUnavailable
from storage.database import Database
from tests.clock import FakeClock
from tests.conftest import ORGANIZATION, sqlite_url


class Provider:
    """FAKE: answers with what it is told."""

    def __init__(self) -> None:
        self.status, self.answer, self.asked, self.secrets = 200, "", list[str](), list[str]()
        self.url = ""

    async def serve(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append(str(form["refresh_token"]))
        self.secrets.append(str(form["client_secret"]))
        given = f'{{"access_token": "token-{len(self.asked)}", "expires_in": 3600}}'
        return web.Response(status=self.status, text=self.answer or given, content_type="application/json")


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    fake, app = Provider(), web.Application()
    app.router.add_post("/token", fake.serve)
    async with TestServer(app) as server:
        fake.url = str(server.make_url("/token"))
        yield fake


@pytest.fixture
async def tokens(provider: Provider, sqlite_file: Path, clock: FakeClock) -> AsyncIterator[Credentials]:
    oauth = OAuthConfig(provider=provider.url, client_id="robbie", client_secret=SecretStr("hush"), refresh_token=SecretStr("first"))
    config = EmailConfig(address="robbie@example.org", oauth=oauth)
    async with Database(sqlite_url(sqlite_file), organization=ORGANIZATION) as database:
        yield Credentials(config, database=database, clock=clock)


async def test_a_token_is_used_until_shortly_before_its_end(tokens: Credentials, provider: Provider, clock: FakeClock) -> None:
    assert [(await tokens.current()).token, (await tokens.current()).token] == ["token-1", "token-1"]
    clock.advance(seconds=3_541)
    assert (await tokens.current()).token == "token-2"
    assert provider.secrets == ["hush", "hush"]


async def test_a_replaced_refresh_token_is_the_one_that_counts(tokens: Credentials, provider: Provider) -> None:
    provider.answer = '{"access_token": "short", "expires_in": 0, "refresh_token": "second"}'
    await tokens.current()
    await tokens.current()
    assert provider.asked == ["first", "second"]


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (400, '{"error": "invalid_grant", "error_description": "first"}', ChannelRefused),
        (401, "nonsense", ChannelRefused),
        (500, "", ChannelUnavailable),
        (200, '{"expires_in": 5}', ChannelUnavailable),
        (200, '{"access_token": null}', ChannelUnavailable),
        (200, "[]", ChannelUnavailable),
        (302, "", ChannelUnavailable),
    ],
)
async def test_a_refusal_is_no_outage(tokens: Credentials, provider: Provider, status: int, answer: str, error: type[Exception]) -> None:
    provider.status, provider.answer = status, answer
    with pytest.raises(error) as raised:
        await tokens.current()
    assert "first" not in str(raised.value)
    assert "hush" not in str(raised.value)
