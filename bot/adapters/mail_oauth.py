"""Access tokens for a mail account, from the refresh token that its owner gave: they last an hour, and are asked for when needed."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import aiohttp

from bot.config import OAuthConfig
from bot.domain.clock import Clock
from bot.domain.errors import ChannelRefused, ChannelUnavailable, ConfigError
from storage.database import Database

PROVIDERS = {
    "google": "https://oauth2.googleapis.com/token",
    "microsoft": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
}
PATIENCE_SECONDS = 10.0
EARLIER = timedelta(minutes=1)
"""By so much a token is given up before it ends."""


class AccessTokens:
    """The one account's. A provider may replace the refresh token at any time, and so the latest is kept in the database."""

    def __init__(self, *, config: OAuthConfig, database: Database, clock: Clock) -> None:
        self._url = PROVIDERS.get(config.provider, config.provider)
        address = urlsplit(self._url)
        if address.scheme != "https" and not (address.scheme == "http" and address.hostname in {"127.0.0.1", "::1", "localhost"}):
            repair = f"write {', '.join(PROVIDERS)}, or the https address where the provider gives tokens"
            raise ConfigError("is no provider that Robbie knows", key="email.oauth.provider", repair=repair)
        given = config.refresh_token.get_secret_value() if config.refresh_token else ""
        self._client_id, self._refresh_token = config.client_id, given
        self._key = hashlib.sha256(f"{self._url} {config.client_id} {given}".encode()).hexdigest()
        self._database, self._clock = database, clock
        self._token, self._until = "", datetime.min.replace(tzinfo=clock.now().tzinfo)
        self._asking = asyncio.Lock()

    async def current(self) -> str:
        """A token that is good now. Raises ChannelRefused where the owner's consent was withdrawn, ChannelUnavailable."""
        async with self._asking:
            if self._clock.now() >= self._until:
                await self._renew()
            return self._token

    async def _renew(self) -> None:
        async with self._database.reading() as work:
            kept = await work.housekeeping.installation("email", self._key)
        form = {"grant_type": "refresh_token", "client_id": self._client_id, "refresh_token": kept or self._refresh_token}
        status, answer = await self._post(form)
        token = answer.get("access_token")
        if status in {400, 401, 403}:
            raise ChannelRefused(f"{self._host}: no access token: {str(answer.get('error', status))[:100]}")
        if status != 200 or not isinstance(token, str) or not token:
            raise ChannelUnavailable(f"{self._host}: no access token: status {status}")
        seconds = answer.get("expires_in")
        self._until = self._clock.now() + timedelta(seconds=float(seconds) if isinstance(seconds, int | float) else 0) - EARLIER
        self._token = token
        replaced = answer.get("refresh_token")
        if isinstance(replaced, str) and replaced not in {"", form["refresh_token"]}:
            async with self._database.unit_of_work() as work:
                await work.housekeeping.install("email", self._key, granted=replaced, at=self._clock.now())

    async def _post(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        try:
            timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
                session.post(self._url, data=form, allow_redirects=False) as response,
            ):
                status, text = response.status, await response.content.read(65_536)
        except (aiohttp.ClientError, OSError) as error:
            raise ChannelUnavailable(f"{self._host}: {type(error).__name__}") from None
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        return status, answer if isinstance(answer, dict) else {}

    @property
    def _host(self) -> str:
        return str(urlsplit(self._url).hostname)
