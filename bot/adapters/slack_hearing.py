"""What is heard in Slack, by Socket Mode or signed HTTP: Bolt tells whose it is, it is stored, and only then acknowledged."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from weakref import WeakValueDictionary

import aiohttp
import structlog
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.signature import SignatureVerifier

from bot.adapters.slack_blocks import LONGEST_DRAFT, draft_modal, home, pressed
from bot.adapters.slack_events import CHANNEL, Place, edited_code, field_mistakes, mentions, to_inbound
from bot.adapters.slack_manners import OPENS, manners_modal
from bot.adapters.slack_wire import Wire, Workspace, faults
from bot.config import SlackConfig
from bot.domain.address import Sender, SessionType
from bot.domain.clock import Clock
from bot.domain.errors import AdapterError, ChannelRefused, ChannelUnavailable, DeliveryRejected, StorageUnavailable
from bot.domain.message import Inbound, InboundKind
from bot.domain.ports import Reception
from bot.domain.vocabulary import adjusts
from bot.hub.server import open_to_all
from storage.database import Database

log = structlog.get_logger(__name__)

OPEN_SECONDS = 15.0
CLOSE_SECONDS = aiohttp.ClientWSTimeout(ws_close=1.0)
"""A deaf line does not say farewell."""
PING_SECONDS = 10.0
"""How often Slack is asked for a sign of life."""
OFTEN_SECONDS = 15.0
"""Slack asks for one itself every few seconds; the pause that shows it to. From then on an answer to our own proves no more than that some
server still stands.
"""
ANEW_SECONDS = 1.0
"""A command of a button is done by then."""
LARGEST_FRAME = 16 * 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ear:
    """What there is while somebody listens: where events are brought, and who runs what need not be waited for."""

    reception: Reception
    told: Callable[[], None]
    errands: asyncio.TaskGroup


class Hearing:
    """Listens in the workspaces of *wire*."""

    def __init__(self, *, config: SlackConfig, database: Database, clock: Clock, wire: Wire, watch_seconds: float) -> None:
        self._mode = config.mode
        self._database = database
        self._clock = clock
        self._wire = wire
        self._watch_seconds = watch_seconds
        self._signing_secret = config.signing_secret.get_secret_value() if config.signing_secret else ""
        self._ear: _Ear | None = None
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        logger = logging.getLogger("slack_bolt")
        logger.setLevel(logging.ERROR)

        async def authorize(team_id: str | None, context: AsyncBoltContext) -> Any:  # Bolt's own annotation knows no refusal
            try:
                workspace = context["workspace"] = await wire.get(team_id or "")
            except DeliveryRejected:
                return None  # Bolt drops what comes from a workspace that did not let Robbie in
            who = {"bot_user_id": workspace.bot_user, "bot_id": workspace.bot_id, "bot_token": workspace.client.token}
            return AuthorizeResult(enterprise_id=None, team_id=team_id, **who)

        self._app = AsyncApp(name="robbie", logger=logger, authorize=authorize, request_verification_enabled=False)
        self._app.error(self._failed)
        self._app.use(self._hear)

    async def listen(self, reception: Reception, told: Callable[[], None]) -> NoReturn:
        """See `Door.listen`."""
        await self._wire.own()
        try:
            async with aiohttp.ClientSession(trust_env=True) as session, asyncio.TaskGroup() as errands:
                self._ear = ear = _Ear(reception=reception, told=told, errands=errands)
                errands.create_task(self._watch(ear), name="slack: is the token good")
                if self._mode == "socket":
                    await self._keep_line(ear, session)
                else:
                    told()
        except ExceptionGroup as group:  # of several reasons to end, a refusal says most
            raise (group.subgroup(ChannelRefused) or group).exceptions[0] from None
        finally:
            self._ear = None
        raise AssertionError("listening has no end of its own")

    @open_to_all
    async def events(self, request: web.Request) -> web.Response:
        """POST /slack/events: everything that Slack sends over HTTP, known by its signature."""
        body, headers = await request.read(), dict(request.headers)
        try:
            is_signed = SignatureVerifier(self._signing_secret).is_valid_request(body, headers)
        except (TypeError, ValueError):  # not ASCII; or there is no secret, without which nothing is signed
            is_signed = False
        if not is_signed:
            return web.Response(status=401)
        return await to_aiohttp_response(await self._dispatch(body=body.decode(errors="replace"), headers=headers))

    async def _keep_line(self, ear: _Ear, session: aiohttp.ClientSession) -> None:
        """Hear by Socket Mode, on a line that is opened anew before Slack closes it. Raises ChannelUnavailable, ChannelRefused.

        Slack's own client would reconnect by itself for ever, so that nobody could tell a channel that fell from one that is quiet, and
        it hides the frames by which a deaf line is known.
        """
        pinged_at, is_pinged_often, is_replaced = -math.inf, False, False
        async with await self._open_line(session) as line:
            async for frame in line:
                if frame.type is aiohttp.WSMsgType.PING:
                    now = asyncio.get_running_loop().time()
                    pinged_at, is_pinged_often = now, is_pinged_often or now - pinged_at < OFTEN_SECONDS
                    with suppress(aiohttp.ClientError, OSError):
                        await line.pong(frame.data)
                if frame.type is not aiohttp.WSMsgType.PONG or not is_pinged_often:
                    ear.told()
                envelope = _envelope(frame)
                if envelope.get("type") == "disconnect" and envelope.get("reason") == "link_disabled":
                    raise ChannelRefused("Slack: Socket Mode was switched off for this app")
                if envelope.get("type") == "disconnect" and not is_replaced:
                    is_replaced = True
                    ear.errands.create_task(self._keep_line(ear, session), name="slack: the next line")
                elif isinstance(envelope.get("envelope_id"), str):
                    ear.errands.create_task(self._answer(line, envelope), name="slack envelope")
        if not is_replaced:
            raise ChannelUnavailable("Slack hung up")

    async def _open_line(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        with faults():
            async with asyncio.timeout(OPEN_SECONDS):
                url = await self._wire.socket_url()
                return await session.ws_connect(
                    url, heartbeat=PING_SECONDS, autoping=False, timeout=CLOSE_SECONDS, max_msg_size=LARGEST_FRAME
                )

    async def _answer(self, line: aiohttp.ClientWebSocketResponse, envelope: dict[str, Any]) -> None:
        """Keep it first, acknowledge it then; what could not be kept comes again."""
        answer = await self._dispatch(mode="socket_mode", body=envelope.get("payload"))
        if answer.status == 200:
            # Bolt has words of its own for what it drops
            payload = {"payload": json.loads(answer.body)} if answer.body.startswith("{") else {}
            with suppress(aiohttp.ClientError, OSError):
                await line.send_json({"envelope_id": envelope["envelope_id"], **payload})

    async def _dispatch(self, **request: Any) -> BoltResponse:
        """Have Bolt read it and bring it to `_hear`."""
        try:
            return await self._app.async_dispatch(AsyncBoltRequest(**request))
        except Exception as error:  # noqa: BLE001  Bolt chokes on what is no event of Slack's
            return await self._failed(error)

    async def _failed(self, error: Exception) -> BoltResponse:
        """What Slack is told of an event that went wrong: to send it again, or, where that would change nothing, that it is done with."""
        if isinstance(error, AdapterError | StorageUnavailable):
            log.warning("slack.not_stored", error=str(error))
            return BoltResponse(status=503, body="")
        log.error("slack.bad_event", exc_info=error)
        return BoltResponse(status=200, body="")

    async def _hear(self, body: dict[str, Any], context: AsyncBoltContext) -> BoltResponse:
        """Every event: stored, then acknowledged; what could not be stored comes again, what is broken does not (see `_failed`)."""
        ear, team, workspace = self._ear, context.team_id or "", context.get("workspace")
        if ear is None:
            return BoltResponse(status=503, body="")
        event: dict[str, Any] = body["event"] if isinstance(body.get("event"), dict) else {}
        if event.get("type") in ("tokens_revoked", "app_uninstalled"):
            ear.errands.create_task(self._wire.removed(team), name="slack: removed")
        elif workspace is not None and event.get("type") == "app_home_opened":
            self._errand(ear, self._show_home(ear, workspace, event))
        elif workspace is not None:
            inbound = to_inbound(body, team=team, bot=workspace.bot_user, now=self._clock.now())
            if inbound is not None and (wrong := field_mistakes(body, self._clock.now())):
                return BoltResponse(status=200, body={"response_action": "errors", "errors": wrong})
            if inbound is not None:
                await self._bring(ear, workspace, inbound, body)
        return BoltResponse(status=200, body="")

    async def _bring(self, ear: _Ear, workspace: Workspace, inbound: Inbound, body: dict[str, Any]) -> None:
        """Store *inbound*, if it is Robbie's business; those of one channel in the order in which they came."""
        async with self._turns.setdefault(Place.of(inbound.address.conversation).channel, asyncio.Lock()):
            if (placed := await self._placed(inbound, is_called=mentions(body, workspace.bot_user))) is None:
                return
            view = await self._modal(ear, placed, body) if body.get("type") == "block_actions" else None
            if view is not None:
                self._errand(ear, self._open_modal(ear, workspace, placed, body, view))
                return
            await ear.reception.receive(placed)
        if placed.kind is InboundKind.ACTION and body.get("type") == "block_actions":
            mark = self._show_anew if adjusts(placed.text) else self._mark_pressed
            self._errand(ear, mark(ear, workspace, placed.sender, body))

    async def _modal(self, ear: _Ear, inbound: Inbound, body: dict[str, Any]) -> dict[str, Any] | None:
        """What a pressed button opens, if it is one that opens something to this person."""
        conversation, code = inbound.address.conversation, edited_code(body)
        if inbound.text == OPENS and inbound.address.session_type is SessionType.PRIVATE:
            held = dict(await ear.reception.manners(inbound.sender))
            return manners_modal(held, zone=held.pop("zone"), conversation=conversation) if held else None
        draft = await ear.reception.draft(inbound.sender, code) if code else None
        is_short = draft is not None and len(draft) <= LONGEST_DRAFT
        return draft_modal(code=code, text=draft or "", conversation=conversation) if is_short else None

    async def _placed(self, inbound: Inbound, *, is_called: bool) -> Inbound | None:
        """*inbound* with its true conversation, as our own records have it; None where Robbie does not take part in that."""
        place, kind = Place.of(inbound.address.conversation), inbound.kind
        async with self._database.reading() as work:
            if kind is InboundKind.REACTION:
                said = await work.messages.find_on_channel(CHANNEL, inbound.target)
                there = await work.conversations.find_by_id(said.conversation_id) if said else None
                return replace(inbound, address=Place.of(there.key).address()) if there else None
            if kind is InboundKind.COMMAND and place.channel.startswith("D"):
                # Two people may be alone there without Robbie; where he is one of the two, something was said before.
                direct = Place(team=place.team, channel=place.channel).address()
                is_ours = await work.conversations.find(channel=CHANNEL, key=direct.conversation) is not None
                return replace(inbound, address=direct) if is_ours else inbound
            if inbound.address.session_type is SessionType.PRIVATE or is_called or kind is InboundKind.ACTION:
                return inbound
            is_known = await work.conversations.find(channel=CHANNEL, key=inbound.address.conversation) is not None
            return inbound if is_known else None

    def _errand(self, ear: _Ear, errand: Coroutine[Any, Any, None]) -> None:
        """Do *errand* after the acknowledgement."""

        async def run() -> None:
            try:
                with faults():
                    await errand
            except Exception as error:  # noqa: BLE001  a tab that is not drawn is no reason to go deaf
                log.warning("slack.errand_failed", error=str(error) or type(error).__name__)

        ear.errands.create_task(run(), name="slack errand")

    async def _show_home(self, ear: _Ear, workspace: Workspace, event: dict[str, Any]) -> None:
        user = str(event.get("user") or "")
        cards = await ear.reception.overview(Sender(channel=CHANNEL, account=f"{workspace.team}/{user}"))
        await workspace.client.views_publish(user_id=user, view=home(cards, direct=str(event.get("channel") or "")))

    async def _open_modal(self, ear: _Ear, workspace: Workspace, inbound: Inbound, body: dict[str, Any], view: dict[str, Any]) -> None:
        """Where Slack shows no modal (it waits three seconds for one), the button is taken for its command."""
        try:
            with faults():
                await workspace.client.views_open(trigger_id=str(body.get("trigger_id")), view=view)
        except AdapterError as error:
            log.warning("slack.no_modal", error=str(error))
            await ear.reception.receive(inbound)

    async def _show_anew(self, ear: _Ear, workspace: Workspace, _: Sender, body: dict[str, Any]) -> None:
        """The home tab as it is once the command of its button is done; under a message, the answer comes in its place by itself."""
        view = body.get("view") or {}
        if view.get("type") == "home":
            await asyncio.sleep(ANEW_SECONDS)
            await self._show_home(ear, workspace, {"user": body["user"]["id"], "channel": view["private_metadata"]})

    async def _mark_pressed(self, ear: _Ear, workspace: Workspace, sender: Sender, body: dict[str, Any]) -> None:
        """Take the buttons away that were decided about; not at a stranger's press, and not of a whisper, which Slack does not tell."""
        if not await ear.reception.overview(sender):
            return
        action, message, view = body["actions"][0], body.get("message") or {}, body.get("view") or {}
        what = {"row": str(action.get("block_id")), "chosen": str(action["text"]["text"])}
        if view.get("type") == "home":
            shown = {"type": "home", "private_metadata": view["private_metadata"], "blocks": pressed(view["blocks"], **what)}
            await workspace.client.views_publish(user_id=body["user"]["id"], view=shown)
        elif message.get("blocks"):
            where, text = {"channel": body["channel"]["id"], "ts": message["ts"]}, str(message.get("text"))[:LONGEST_DRAFT]
            await workspace.client.chat_update(**where, text=text, blocks=pressed(message["blocks"], **what))

    async def _watch(self, ear: _Ear) -> None:
        """Ask each minute whether the configured token is good: a sign of life where there is no line. Raises ChannelRefused."""
        while True:
            await asyncio.sleep(self._watch_seconds)
            try:
                await self._wire.own()
            except ChannelUnavailable as error:
                log.info("slack.unanswered", error=str(error))
            else:
                ear.told() if self._mode == "http" else None


def _envelope(frame: aiohttp.WSMessage) -> dict[str, Any]:
    """What *frame* holds; nothing where it is none of Slack's JSON."""
    try:
        read = json.loads(frame.data) if frame.type is aiohttp.WSMsgType.TEXT else {}
    except (ValueError, RecursionError):
        log.warning("slack.unreadable")
        return {}
    return read if isinstance(read, dict) else {}
