"""Slack's door: what is heard there, what is said there, and whether all is well with it.

Its rooms: `slack_events` (Slack's dialect in) and `slack_blocks` (out), both pure; `slack_hearing` and `slack_delivery`; `slack_wire`, the
Web API; `slack_install`, several workspaces.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from bot.adapters.slack_events import CHANNEL
from bot.config import SlackConfig
from bot.domain.clock import Clock
from bot.domain.errors import AdapterError, ChannelUnavailable, StorageError
from bot.domain.finding import Finding, Status
from bot.domain.ports import Capabilities
from storage.database import Database

APPS = "https://api.slack.com/apps"


class SlackAdapter:
    """Slack, by Socket Mode or signed HTTP; see `Door`."""

    channel = CHANNEL
    capabilities = Capabilities(finds=True, show_seconds=1.5, buttons=True)

    def __init__(self, *, config: SlackConfig, database: Database, clock: Clock, public_url: str = "", watch_seconds: float = 60.0) -> None:
        from bot.adapters import slack_delivery, slack_hearing, slack_install, slack_wire  # they import the SDK

        self._config = config
        self._public_url = public_url.rstrip("/")
        self._scopes = frozenset(slack_install.SCOPES)
        self._grants = grants = slack_install.Grants(database=database, clock=clock)
        self._wire = wire = slack_wire.Wire(config=config, grants=grants)
        delivery = slack_delivery.Delivery(wire=wire, api_url=config.api_url)
        hearing = slack_hearing.Hearing(config=config, database=database, clock=clock, wire=wire, watch_seconds=watch_seconds)
        self.send, self.find, self.show, self.fetch = delivery.send, delivery.find, delivery.show, delivery.fetch
        self.listen = hearing.listen
        self.routes: list[web.RouteDef] = [web.post("/slack/events", hearing.events)] if config.mode == "http" else []
        if config.client_id:
            self.routes += slack_install.install_routes(config=config, grants=grants, client=wire.client(""), public_url=self._public_url)
        self.deaf_seconds = 25.0 if config.mode == "socket" else 150.0

    async def close(self) -> None:
        """Nothing is left open between two questions."""

    async def examine(self) -> Sequence[Finding]:
        """See `Door.examine`."""
        findings = [*await self._examine_token(), await self._examine_way_in()]
        if self._config.client_id:
            try:
                names = ", ".join(await self._grants.names()) or f"none yet: {self._public_url}/slack/install"
                findings.append(_found("workspaces", Status.OK, names))
            except StorageError as error:  # `robbie init` asks before there is a database
                findings.append(_found("workspaces", Status.WARN, str(error), "try again when the database answers"))
        return findings

    async def _examine_token(self) -> list[Finding]:
        try:
            own = await self._wire.own()
        except AdapterError as error:
            repair = f"copy the Bot User OAuth Token (xoxb-…) anew: {APPS} → your app → OAuth & Permissions"
            return [_failed("token", error, repair)]
        if own is None:
            return []
        missing = ", ".join(sorted(self._scopes - own.scopes)) if own.scopes else ""
        repair = f"add them: {APPS} → your app → OAuth & Permissions → Bot Token Scopes, then Reinstall to Workspace"
        scopes = _found("scopes", Status.WARN, f"missing: {missing}", repair) if missing else _found("scopes", Status.OK, "all granted")
        return [_found("token", Status.OK, f"Robbie is in {own.name}"), scopes]

    async def _examine_way_in(self) -> Finding:
        if self._config.mode == "http":
            if self._public_url.startswith("https://"):
                return _found("address", Status.OK, f"Slack's Request URL must be {self._public_url}/slack/events")
            repair = 'write web.public_url = "https://…", or slack.mode = "socket", which needs no address'
            return _found("address", Status.FAIL, "Slack cannot reach this machine without an https address", repair)
        try:
            await self._wire.socket_url()
        except AdapterError as error:
            repair = f"switch Socket Mode on and copy an App-Level Token (xapp-…, connections:write) anew: {APPS} → your app"
            return _failed("socket", error, repair)
        return _found("socket", Status.OK, "Socket Mode is on")


def _found(part: str, status: Status, detail: str, repair: str = "") -> Finding:
    return Finding(part=f"slack {part}", status=status, detail=detail, repair=repair)


def _failed(part: str, error: AdapterError, repair: str) -> Finding:
    """A token is no worse for a Slack that is away."""
    is_away = isinstance(error, ChannelUnavailable)
    return _found(part, Status.FAIL, str(error), "is this machine on the network, and slack.api_url right?" if is_away else repair)
