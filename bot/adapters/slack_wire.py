"""Slack's Web API: a client for every workspace, its waits, and what its refusals mean."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.http_retry.response import HttpResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack_install import Grants
from bot.config import SlackConfig
from bot.domain.errors import AdapterError, ChannelRefused, ChannelUnavailable, DeliveryRejected, DeliveryUnknown, StorageUnavailable

CALL_SECONDS = 30
LONGEST_WAIT = 20.0
"""Seconds of a Retry-After that are waited out here; a longer one is told to whoever called."""

_REFUSED = frozenset(
    "invalid_auth not_authed account_inactive token_revoked token_expired missing_scope no_permission not_allowed_token_type "  # noqa: SIM905
    "access_denied org_login_required ekm_access_denied team_access_not_granted team_not_found".split()
)
_AWAY = ("service_unavailable", "team_added_to_org", "ratelimited", "rate_limited", "message_limit_exceeded")
_DOUBTFUL = ("internal_error", "fatal_error", "request_timeout")
_FORM = (
    *("invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "block_mismatch"),
    *("invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large"),
)
_GONE = ("message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed")
_STREAM = ("message_not_in_streaming_state", "streaming_state_conflict", "stopped_by_user", "message_not_owned_by_app")
_UNREACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


class FormRefused(DeliveryRejected):
    """Slack does not take a message in this form; it may in another."""


class MessageGone(DeliveryRejected):
    """What was to be changed is not there, or can no longer be changed."""


class StreamRefused(DeliveryRejected):
    """A message is not streaming, or still is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workspace:
    """A workspace that let Robbie in, and the client that speaks for him there."""

    team: str
    name: str
    bot_user: str
    bot_id: str
    client: AsyncWebClient
    scopes: frozenset[str] = frozenset()


class Wire:
    """The workspaces of this Robbie: the one of the configured token, and those that installed him. Contacts nobody before it is asked."""

    def __init__(self, *, config: SlackConfig, grants: Grants) -> None:
        self._config = config
        self._grants = grants
        self._own: Workspace | None = None
        self._logger = logging.getLogger("slack_sdk")
        self._logger.setLevel(logging.ERROR)  # its complaints become our errors

    def client(self, token: str) -> AsyncWebClient:
        """A client for *token*; it never repeats what may have been done already."""
        url, waits = self._config.api_url, _ShortWaits(max_retry_count=2)
        return AsyncWebClient(token=token, base_url=url, timeout=CALL_SECONDS, retry_handlers=[waits], logger=self._logger)

    async def own(self) -> Workspace | None:
        """The workspace of the configured token, as Slack tells now; None where only installations count. Raises AdapterError."""
        if not (token := self._config.bot_token.get_secret_value() if self._config.bot_token else ""):
            return None
        client = self.client(token)
        with faults():
            told = await client.auth_test()
            team, name, user, bot = (str(told.get(key) or "") for key in ("team_id", "team", "user_id", "bot_id"))
            scopes = frozenset(filter(None, str(told.headers.get("x-oauth-scopes") or "").replace(" ", "").split(",")))
        self._own = Workspace(team=team, name=name, bot_user=user, bot_id=bot, client=client, scopes=scopes)
        return self._own

    async def get(self, team: str) -> Workspace:
        """The workspace *team*. Raises AdapterError: DeliveryRejected where it did not let Robbie in."""
        own = self._own or await self.own()
        if own is not None and own.team == team:
            return own
        try:
            if (granted := await self._grants.find(team)) is None:
                raise DeliveryRejected(f"Slack: Robbie is not, or no longer, in the workspace {team}")
        except StorageUnavailable as error:
            raise ChannelUnavailable("Slack: the tokens of workspaces cannot be read") from error
        bot_user, bot_id, client = granted.bot_user_id or "", granted.bot_id or "", self.client(granted.bot_token or "")
        return Workspace(team=team, name=granted.team_name or team, bot_user=bot_user, bot_id=bot_id, client=client)

    async def socket_url(self) -> str:
        """The address of a new line for Socket Mode. Raises AdapterError."""
        token = self._config.app_token.get_secret_value() if self._config.app_token else ""
        client = self.client("")
        with faults():
            return str((await client.apps_connections_open(app_token=token))["url"])

    async def removed(self, team: str) -> None:
        """*team* wants Robbie no more, it says. Raises ChannelRefused where it is that of the configured token, and so it is."""
        own = await self.own()
        if own is None or own.team != team:
            await self._grants.remove(team)


@contextmanager
def faults(*, writes: bool = False) -> Iterator[None]:
    """What the SDK raises becomes an AdapterError; where it *writes*, a lost answer leaves it in doubt whether that was done.

    No word of the SDK's is repeated: it may quote a request.
    """
    lost: type[AdapterError] = DeliveryUnknown if writes else ChannelUnavailable
    try:
        yield
    except SlackApiError as error:
        raise _meaning(error, lost) from None
    except _UNREACHED as error:
        raise ChannelUnavailable(f"Slack cannot be reached ({type(error).__name__})") from None
    except (aiohttp.ClientError, TimeoutError, OSError, SlackClientError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise lost(f"Slack's answer was lost ({type(error).__name__})") from None


def _meaning(error: SlackApiError, lost: type[AdapterError]) -> AdapterError:
    response: Any = error.response
    data = response.data if hasattr(response, "data") and isinstance(response.data, dict) else {}
    code, status = str(data.get("error") or "")[:80], int(getattr(response, "status_code", 0) or getattr(response, "status", 0))
    said = f"Slack: {code or f'HTTP {status}'}"
    if status == 429 or code in _AWAY:
        return ChannelUnavailable(said, retry_after=_retry_after(getattr(response, "headers", {})))
    if code in _REFUSED:
        return ChannelRefused(f"{said}: needs the scope {data['needed']}" if data.get("needed") else said)
    if code in _DOUBTFUL or status >= 500 or not code:
        return ChannelUnavailable(said) if status == 503 else lost(said)
    known = {FormRefused: _FORM, MessageGone: _GONE, StreamRefused: _STREAM}
    return next((kind for kind, codes in known.items() if code in codes), DeliveryRejected)(said)


def _retry_after(headers: Mapping[str, Any]) -> float | None:
    """Seconds, where Slack told them."""
    found = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    text = str(found[0] if isinstance(found, list) and found else found)
    return float(text) if text.isdecimal() else None


class _ShortWaits(AsyncRateLimitErrorRetryHandler):
    """Waits out a short Retry-After."""

    async def _can_retry_async(self, *, response: HttpResponse | None = None, **_: Any) -> bool:
        seconds = _retry_after(response.headers) if response is not None and response.status_code == 429 else None
        return seconds is not None and seconds <= LONGEST_WAIT
