"""What Robbie says in Slack: messages in blocks, edits of them, streams, whispers, files; and what of it is there already."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack_blocks import METADATA, Part, buttons, growing, render
from bot.adapters.slack_events import Place
from bot.adapters.slack_wire import FormRefused, MessageGone, StreamRefused, Wire, Workspace, faults
from bot.domain.errors import AdapterError, ChannelRefused, ChannelUnavailable, DeliveryRejected, DeliveryUnknown
from bot.domain.message import Attachment, Outgoing, Sent

log = structlog.get_logger(__name__)

LARGEST_FILE = 25 * 1024 * 1024
FETCH_SECONDS = 60.0
LONGEST_STREAM = 11_000
"""Characters; what is longer is shown when it is complete."""
PAGES = 5
CLOCK_SKEW = 600.0
"""Seconds by which Slack's clock may differ from ours."""

_SUMMONS = re.compile(r"<(?=[@#!])")


class Delivery:
    """Speaks in the workspaces of *wire*."""

    def __init__(self, *, wire: Wire, api_url: str) -> None:
        self._wire = wire
        self._api_url = api_url
        self._streams: dict[str, str] = {}
        self._can_stream = True

    async def send(self, outgoing: Outgoing) -> Sent:
        """See `Adapter.send`."""
        place, workspace = await self._whereabouts(outgoing)
        if place.user:
            return await self._whisper(workspace.client, place, outgoing)
        parts, old = render(outgoing), _ids(outgoing)
        if old and len(old) < len(parts):  # perhaps an earlier try came further than it knew
            there = await self._parts(workspace, place, outgoing.id)
            old += [message_id for number, (message_id, _) in sorted(there.items()) if number >= len(old) and message_id not in old]
        done: list[str] = []
        try:
            if old and await self._finished(workspace.client, old[0], outgoing, parts):
                done.append(old[0])
            while len(done) < len(parts):
                replaced = old[len(done)] if len(done) < len(old) else ""
                done.append(await self._put(workspace.client, place, parts[len(done)], replaced))
            for surplus in old[len(parts) :]:
                await self._delete(workspace.client, surplus)
            await self._upload(workspace.client, place, outgoing.attachments)
        except AdapterError as error:
            error.sent = ",".join([*done, *old[len(done) :]])
            raise
        return Sent(channel_message_id=",".join(done))

    async def find(self, outgoing: Outgoing) -> Sent | None:
        """See `Adapter.find`; nobody can look for a whisper."""
        place, workspace = await self._whereabouts(outgoing)
        if place.user:
            raise DeliveryUnknown("Slack does not tell of what only one person sees")
        there = await self._parts(workspace, place, outgoing.id)
        if not there:
            return None
        is_whole = all(of == len(there) for _, of in there.values())
        return Sent(channel_message_id=",".join(message_id for _, (message_id, _) in sorted(there.items())), is_whole=is_whole)

    async def show(self, outgoing: Outgoing) -> Sent:
        """See `Adapter.show`: a stream where there may be one, else a message that is edited."""
        place, workspace = await self._whereabouts(outgoing)
        if place.user:
            return Sent()
        shown = next(iter(_ids(outgoing)), "")
        if shown in self._streams:
            if await self._streamed(workspace.client, shown, outgoing.text):
                return Sent(channel_message_id=shown)
        elif not shown and (shown := await self._stream(workspace.client, place, outgoing)):
            return Sent(channel_message_id=shown)
        return Sent(channel_message_id=await self._put(workspace.client, place, growing(outgoing), shown))

    async def fetch(self, attachment: Attachment, into: Path) -> None:
        """See `Door.fetch`. The token is shown to Slack alone, and a redirect (to a page to sign in) is no file."""
        team, file_id, url = (*attachment.source.split(" "), "", "", "")[:3]
        workspace = await self._wire.get(team)
        if not url:
            with faults():
                url = str((await workspace.client.files_info(file=file_id))["file"]["url_private_download"])
        if not self._is_slacks(url):
            raise DeliveryRejected("Slack: this file lies elsewhere")
        headers, timeout = {"Authorization": f"Bearer {workspace.client.token}"}, aiohttp.ClientTimeout(total=FETCH_SECONDS)
        with faults():
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
                session.get(url, headers=headers, allow_redirects=False) as answer,
            ):
                _check(answer, attachment)
                await _save(answer, into)

    async def _whereabouts(self, outgoing: Outgoing) -> tuple[Place, Workspace]:
        place = Place.of(outgoing.address)
        workspace = await self._wire.get(place.team)
        is_person = place.channel.startswith(("U", "W"))
        return (await _direct(workspace.client, place.team, place.channel)) if is_person else place, workspace

    async def _put(self, client: AsyncWebClient, place: Place, part: Part, old: str) -> str:
        """*part* in the place of the *old* message, or as a new one where there is none; its id."""
        channel, _, ts = old.partition(":")
        if old:
            try:
                return await self._changed(client, channel, ts, part)
            except MessageGone:
                log.info("slack.message_gone")
        thread = {"thread_ts": place.thread} if place.thread else {}
        posted = await _in_form(client.chat_postMessage, part, channel=place.channel, unfurl_links=False, **thread)
        return f"{posted['channel']}:{posted['ts']}"

    async def _changed(self, client: AsyncWebClient, channel: str, ts: str, part: Part) -> str:
        try:
            await _in_form(client.chat_update, part, channel=channel, ts=ts)
        except StreamRefused:  # an open stream takes no edits
            self._streams.pop(f"{channel}:{ts}", None)
            with faults():
                await client.chat_stopStream(channel=channel, ts=ts)
            await _in_form(client.chat_update, part, channel=channel, ts=ts)
        return f"{channel}:{ts}"

    async def _delete(self, client: AsyncWebClient, message_id: str) -> None:
        channel, _, ts = message_id.partition(":")
        try:
            with faults():
                await client.chat_delete(channel=channel, ts=ts)
        except DeliveryRejected:
            log.info("slack.message_gone")

    async def _whisper(self, client: AsyncWebClient, place: Place, outgoing: Outgoing) -> Sent:
        """For one person's eyes in a channel; files, and all of it where Robbie may not speak there, in their direct channel."""
        parts, ids = render(outgoing), list[str]()
        try:
            for part in parts:
                await _in_form(client.chat_postEphemeral, part, channel=place.channel, user=place.user)
        except DeliveryRejected:
            there = await _direct(client, place.team, place.user)
            ids = [await self._put(client, there, part, "") for part in parts]
        if outgoing.attachments:
            await self._upload(client, await _direct(client, place.team, place.user), outgoing.attachments)
        return Sent(channel_message_id=",".join(ids) or None)

    async def _upload(self, client: AsyncWebClient, place: Place, attachments: Sequence[Attachment]) -> None:
        """All files as one message."""
        files = [
            {"file": str(attachment.path), "filename": attachment.name, "title": attachment.name}
            for attachment in attachments
            if attachment.path is not None and attachment.path.is_file()
        ]
        if files:
            with faults(writes=True):
                await client.files_upload_v2(file_uploads=files, channel=place.channel, thread_ts=place.thread or None)

    async def _parts(self, workspace: Workspace, place: Place, reply: UUID) -> dict[int, tuple[str, int]]:
        """The messages that are parts of a *reply*: number → id, and of how many it is one."""
        client, cursor, found = workspace.client, "", {}
        since = f"{max((reply.int >> 80) / 1000 - CLOCK_SKEW, 0):.6f}" if reply.version == 7 else "0"
        for _ in range(PAGES):
            asked: dict[str, Any] = {
                "channel": place.channel,
                "oldest": since,
                "limit": 200,
                "include_all_metadata": True,
                "cursor": cursor,
            }
            with faults():
                page = await (
                    client.conversations_replies(ts=place.thread, **asked) if place.thread else client.conversations_history(**asked)
                )
                for message in page.get("messages") or ():
                    told = (message.get("metadata") or {}).get("event_payload") or {}
                    is_ours = workspace.bot_user == message.get("user") or workspace.bot_id == message.get("bot_id")
                    if is_ours and message["metadata"].get("event_type") == METADATA and told.get("id") == str(reply):
                        found[int(told["part"])] = (f"{place.channel}:{message['ts']}", int(told["of"]))
                cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                break
        return found

    async def _stream(self, client: AsyncWebClient, place: Place, outgoing: Outgoing) -> str:
        """Begin a stream; empty where there can be none: Slack has them in threads alone, and wants to know whom they are for."""
        team, _, user = outgoing.asker.partition("/")
        if not self._can_stream or not place.thread or not user:
            return ""
        text = _harmless(outgoing.text)[:LONGEST_STREAM]
        try:
            with faults(writes=True):
                begun = await client.chat_startStream(
                    channel=place.channel, thread_ts=place.thread, markdown_text=text, recipient_team_id=team, recipient_user_id=user
                )
        except (DeliveryRejected, ChannelRefused) as error:
            log.info("slack.no_streams", error=str(error))
            self._can_stream = False
            return ""
        shown = f"{place.channel}:{begun['ts']}"
        self._streams[shown] = text
        return shown

    async def _streamed(self, client: AsyncWebClient, shown: str, text: str) -> bool:
        """Let a stream grow; False where it ended (Slack ends it after five minutes), or where what it showed is void."""
        text, (channel, _, ts), before = _harmless(text), shown.partition(":"), self._streams.pop(shown)
        more = text[len(before) :]
        if not text.startswith(before):
            return False
        if more and len(text) <= LONGEST_STREAM:
            try:
                with faults(writes=True):
                    await client.chat_appendStream(channel=channel, ts=ts, markdown_text=more)
            except ChannelUnavailable:
                self._streams[shown] = before
                raise
            except DeliveryRejected:
                return False
        self._streams[shown] = before if len(text) > LONGEST_STREAM else text
        return True

    async def _finished(self, client: AsyncWebClient, shown: str, outgoing: Outgoing, parts: Sequence[Part]) -> bool:
        """End a stream with the last of its text; False where an edit must say it instead."""
        before, text = self._streams.pop(shown, None), _harmless(outgoing.text)
        if before is None or not text.startswith(before) or len(text) > LONGEST_STREAM or len(parts) > 1:
            return False
        channel, _, ts = shown.partition(":")
        ending: dict[str, Any] = {"markdown_text": text[len(before) :] or None, "blocks": buttons(outgoing.buttons) or None}
        try:
            with faults(writes=True):
                await client.chat_stopStream(channel=channel, ts=ts, metadata=parts[0].metadata, **ending)
        except DeliveryRejected:
            return False
        return True

    def _is_slacks(self, url: str) -> bool:
        """Whether *url* is one of Slack's files, or of the server that stands for Slack."""
        parts, own = urlsplit(url), urlsplit(self._api_url)
        return (parts.scheme, parts.netloc) in (("https", "files.slack.com"), (own.scheme, own.netloc))


async def _direct(client: AsyncWebClient, team: str, user: str) -> Place:
    """Where *user* and Robbie are alone. Raises AdapterError."""
    with faults():
        return Place(team=team, channel=str((await client.conversations_open(users=user))["channel"]["id"]))


async def _in_form(method: Any, part: Part, **where: Any) -> Any:
    """Say *part* in blocks; where Slack refuses those, once more as mere text."""
    try:
        with faults(writes=True):
            return await method(**where, **part.drawn)
    except FormRefused as error:
        log.warning("slack.form_refused", error=str(error))
        with faults(writes=True):
            return await method(**where, **part.plain)


def _check(answer: aiohttp.ClientResponse, attachment: Attachment) -> None:
    """Whether *answer* is the file. Raises AdapterError."""
    if answer.status == 429 or answer.status >= 500:
        raise ChannelUnavailable(f"Slack: HTTP {answer.status} for a file")
    if answer.status in (301, 302, 303, 307, 308, 401, 403) or (answer.content_type == "text/html" and "html" not in attachment.media_type):
        raise ChannelRefused("Slack: a file is not given out: needs the scope files:read")
    if answer.status != 200:
        raise DeliveryRejected(f"Slack: HTTP {answer.status} for a file")


async def _save(answer: aiohttp.ClientResponse, into: Path) -> None:
    """Write what comes to a file. Raises DeliveryRejected where it is too much."""
    written = 0
    with await asyncio.to_thread(into.open, "wb") as file:
        async for chunk in answer.content.iter_chunked(1 << 18):
            written += len(chunk)
            if written > LARGEST_FILE:
                raise DeliveryRejected("Slack: this file is larger than 25 MB")
            await asyncio.to_thread(file.write, chunk)


def _ids(outgoing: Outgoing) -> list[str]:
    return (outgoing.channel_message_id or "").split(",") if outgoing.channel_message_id else []


def _harmless(text: str) -> str:
    """Markdown of which nothing summons anybody."""
    return _SUMMONS.sub("<\u200b", text)
