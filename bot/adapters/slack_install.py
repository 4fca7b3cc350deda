"""Several workspaces: Slack's OAuth, with what they grant and its one-shot states kept in our own database."""

from __future__ import annotations

import json
import logging
import secrets
from datetime import timedelta
from urllib.parse import urljoin

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.error import BoltError
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_sdk.oauth.installation_store import Installation
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore
from slack_sdk.web.async_client import AsyncWebClient

from bot.config import SlackConfig
from bot.domain.clock import Clock
from bot.domain.errors import NotAllowed
from bot.hub.auth import visitor_of
from bot.hub.server import open_to_all
from storage.database import Database

SCOPES = (
    *("app_mentions:read", "assistant:write", "channels:history", "chat:write", "commands", "files:read", "files:write"),
    *("groups:history", "im:history", "im:write", "mpim:history", "reactions:read"),
)
"""What Robbie asks a workspace for, as in the manifest."""
CHANNEL, STATE = "slack", "oauth"
STATE_LIFE = timedelta(minutes=10)
"""As Bolt's cookie that goes with it."""
KEPT = ("team_name", "bot_token", "bot_id", "bot_user_id", "user_id")


class Grants(AsyncInstallationStore, AsyncOAuthStateStore):
    """What workspaces granted, one row each, and the states of installations under way: each is good once, for ten minutes."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def async_save(self, installation: Installation) -> None:
        """Keep a grant; a newer one takes the place of an older. Raises BoltError for that of a whole organization."""
        team = installation.team_id
        if not team or not installation.bot_token:
            raise BoltError("Robbie is installed in a workspace, not in an organization")
        granted = json.dumps({name: getattr(installation, name) for name in KEPT})
        async with self._database.unit_of_work() as work:
            await work.housekeeping.install(CHANNEL, team, granted=granted, at=self._clock.now())

    async def find(self, team: str) -> Installation | None:
        """What *team* granted."""
        async with self._database.reading() as work:
            granted = await work.housekeeping.installation(CHANNEL, team)
        return None if granted is None else Installation(team_id=team, **json.loads(granted))

    async def names(self) -> list[str]:
        """Every workspace that granted something."""
        async with self._database.reading() as work:
            return [json.loads(row.granted)["team_name"] or row.key for row in await work.housekeeping.installations(CHANNEL)]

    async def remove(self, team: str) -> None:
        """Forget a grant."""
        async with self._database.unit_of_work() as work:
            await work.housekeeping.uninstall(CHANNEL, team)

    async def async_issue(self, *_: object, **__: object) -> str:
        """A new state."""
        state, now = secrets.token_urlsafe(24), self._clock.now()
        times = {"created_at": now, "expires_at": now + STATE_LIFE}
        async with self._database.unit_of_work() as work:
            await work.people.add_code(kind=STATE, code=state, user_id=None, channel=CHANNEL, **times)
        return state

    async def async_consume(self, state: str) -> bool:
        """Whether *state* was issued, lives and was not used before."""
        now = self._clock.now()
        async with self._database.unit_of_work() as work:
            code = await work.people.find_code(STATE, state, now)
            return code is not None and await work.people.use_code(code.id, now)


def install_routes(*, config: SlackConfig, grants: Grants, client: AsyncWebClient, public_url: str) -> list[web.RouteDef]:
    """Bolt's own flow, with our stores: the owner begins; who comes back from Slack is known by the state."""
    settings = AsyncOAuthSettings(
        client_id=config.client_id,
        client_secret=config.client_secret.get_secret_value() if config.client_secret else "",
        scopes=SCOPES,
        redirect_uri=f"{public_url}/slack/oauth_redirect" if public_url else None,
        install_page_rendering_enabled=False,
        authorization_url=urljoin(config.api_url, "/oauth/v2/authorize"),
        installation_store=grants,
        state_store=grants,
    )
    flow = AsyncOAuthFlow(client=client, settings=settings, logger=logging.getLogger("slack_bolt"))

    async def begin(request: web.Request) -> web.Response:
        if not visitor_of(request).person.is_owner:
            raise NotAllowed("only the owner brings Robbie into a workspace")
        return await to_aiohttp_response(await flow.handle_installation(await to_bolt_request(request)))

    @open_to_all
    async def end(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await flow.handle_callback(await to_bolt_request(request)))

    return [web.get("/slack/install", begin), web.get("/slack/oauth_redirect", end)]
