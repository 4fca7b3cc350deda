"""What Robbie says in Slack: a message in blocks, edits of it, streams, whispers, files; and whether it is there already."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack_blocks import buttons, clipped, render
from bot.adapters.slack_events import Place
from bot.adapters.slack_wire import FormRefused, MessageGone, StreamRefused, Wire, Workspace, faults
from bot.domain.errors import AdapterError, ChannelRefused, DeliveryRejected, DeliveryUnknown
from bot.domain.message import Attachment, Outgoing, Sent

log = structlog.get_logger(__name__)

LARGEST_FILE = 25 * 2**20
FALLBACK = 3_000
"""Characters of the text for notifications (Slack refuses 4,000 when it updates a message)."""
LONGEST_STREAM = 11_000
"""Characters; what is longer is shown when it is complete."""
MOST_MESSAGES = 999
"""That are looked through for one that may have arrived; Slack gives no more at once."""
CLOCK_SKEW = 600.0
"""Seconds by which Slack's clock may differ from ours."""

_SUMMONS = re.compile(r"<(?=[@#!])")


class Delivery:
    """Speaks in the workspaces of *wire*."""

    def __init__(self, *, wire: Wire, api_url: str) -> None:
        self._wire = wire
        self._api_url = api_url
        self._streams: dict[str, str] = {}  # what each open one shows
        self._can_stream = True

    async def send(self, outgoing: Outgoing) -> Sent:
        """See `Adapter.send`."""
        place, workspace = await self._whereabouts(outgoing)
        if place.user:
            return await self._whisper(workspace.client, place, outgoing)
        shown = outgoing.channel_message_id or ""
        if not await self._finished(workspace.client, shown, outgoing):
            shown = await self._put(workspace.client, place, render(outgoing), shown)
        try:
            await self._upload(workspace.client, place, outgoing.attachments)
        except AdapterError as error:
            error.sent = shown
            raise
        return Sent(channel_message_id=shown)

    async def find(self, outgoing: Outgoing) -> Sent | None:
        """See `Adapter.find`; nobody can look for a whisper, and of files nobody knows: they rather come twice than never."""
        place, workspace = await self._whereabouts(outgoing)
        if place.user:
            raise DeliveryUnknown("Slack does not tell of what only one person sees")
        client, since = workspace.client, (outgoing.id.int >> 80) / 1000 - CLOCK_SKEW  # a UUIDv7 begins with its time
        where: dict[str, Any] = {"channel": place.channel} | ({"ts": place.thread} if place.thread else {})
        method: Any = client.conversations_replies if place.thread else client.conversations_history
        with faults():
            page = await method(**where, oldest=f"{since:.6f}", limit=MOST_MESSAGES, include_all_metadata=True)
            for message in page.get("messages") or ():
                told = (message.get("metadata") or {}).get("event_payload") or {}
                is_ours = workspace.bot_user == message.get("user") or workspace.bot_id == message.get("bot_id")
                if is_ours and told.get("id") == str(outgoing.id):
                    is_whole = bool(told.get("is_whole")) and not outgoing.attachments
                    return Sent(channel_message_id=f"{place.channel}:{message['ts']}", is_whole=is_whole)
        return None

    async def show(self, outgoing: Outgoing) -> Sent:
        """See `Adapter.show`: a stream where there may be one, else a message that is edited."""
        place, workspace = await self._whereabouts(outgoing)
        if place.user:
            return Sent()
        shown = outgoing.channel_message_id or ""
        streamed = await self._streamed(workspace.client, place, outgoing) if shown in self._streams or not shown else ""
        return Sent(channel_message_id=streamed or await self._put(workspace.client, place, render(outgoing, is_whole=False), shown))

    async def fetch(self, attachment: Attachment, into: Path) -> None:
        """See `Door.fetch`. The token is shown to Slack alone, and a redirect (to a page to sign in) is no file."""
        team, file_id, url = (*attachment.source.split(" "), "", "", "")[:3]
        workspace = await self._wire.get(team)
        with faults():
            url = url or str((await workspace.client.files_info(file=file_id))["file"]["url_private_download"])
            there, own = urlsplit(url), urlsplit(self._api_url)
            if (there.scheme, there.netloc) not in (("https", "files.slack.com"), (own.scheme, own.netloc)):
                raise DeliveryRejected("Slack: this file lies elsewhere")
            headers = {"Authorization": f"Bearer {workspace.client.token}"}
            async with aiohttp.ClientSession(trust_env=True) as session, session.get(url, headers=headers, allow_redirects=False) as answer:
                if answer.status != 200 or (answer.content_type == "text/html" and "html" not in attachment.media_type):
                    raise DeliveryRejected(f"Slack: HTTP {answer.status} for a file, which needs the scope files:read")
                await _save(answer, into)

    async def _whereabouts(self, outgoing: Outgoing) -> tuple[Place, Workspace]:
        place = Place.of(outgoing.address.conversation)
        return place, await self._wire.get(place.team)

    async def _put(self, client: AsyncWebClient, place: Place, form: dict[str, Any], old: str) -> str:
        """A message in the place of the *old* one, or a new one where there is none; its id."""
        if old:
            try:
                return await self._changed(client, old, form)
            except MessageGone:
                log.info("slack.message_gone")
        thread = {"thread_ts": place.thread} if place.thread else {}
        posted = await _in_form(client.chat_postMessage, form, channel=place.channel, unfurl_links=False, **thread)
        return f"{posted['channel']}:{posted['ts']}"

    async def _changed(self, client: AsyncWebClient, old: str, form: dict[str, Any]) -> str:
        channel, _, ts = old.partition(":")
        try:
            await _in_form(client.chat_update, form, channel=channel, ts=ts)
        except StreamRefused:  # an open stream takes no edits
            self._streams.pop(old, None)
            with faults():
                await client.chat_stopStream(channel=channel, ts=ts)
            await _in_form(client.chat_update, form, channel=channel, ts=ts)
        return old

    async def _whisper(self, client: AsyncWebClient, place: Place, outgoing: Outgoing) -> Sent:
        """For one person's eyes in a channel; files, and all of it where Robbie may not speak there, in their direct channel."""
        form, shown = render(outgoing), ""
        try:
            await _in_form(client.chat_postEphemeral, form, channel=place.channel, user=place.user)
        except DeliveryRejected:
            shown = await self._put(client, await _direct(client, place.team, place.user), form, "")
        if outgoing.attachments:
            await self._upload(client, await _direct(client, place.team, place.user), outgoing.attachments)
        return Sent(channel_message_id=shown or None)

    async def _upload(self, client: AsyncWebClient, place: Place, attachments: Sequence[Attachment]) -> None:
        """All files as one message."""
        there = [attachment for attachment in attachments if attachment.path is not None and attachment.path.is_file()]
        files = [{"file": str(each.path), "filename": each.name, "title": each.name} for each in there]
        if files:
            with faults(writes=True):
                await client.files_upload_v2(file_uploads=files, channel=place.channel, thread_ts=place.thread or None)

    async def _streamed(self, client: AsyncWebClient, place: Place, outgoing: Outgoing) -> str:
        """Let a stream grow, or begin one; its id, empty where an edit must show it: Slack has streams in threads alone, wants to know
        whom they are for, ends them after five minutes, and what they showed cannot be changed.
        """
        (team, _, user), text, shown = outgoing.asker.partition("/"), _harmless(outgoing.text), outgoing.channel_message_id or ""
        before = self._streams.pop(shown, "")
        if not self._can_stream or not place.thread or not user or not text.startswith(before) or len(text) > LONGEST_STREAM:
            return ""
        try:
            with faults(writes=True):
                if shown:
                    await client.chat_appendStream(channel=place.channel, ts=shown.partition(":")[2], markdown_text=text[len(before) :])
                else:
                    where: dict[str, Any] = {"channel": place.channel, "thread_ts": place.thread}
                    begun = await client.chat_startStream(**where, markdown_text=text, recipient_team_id=team, recipient_user_id=user)
                    shown = f"{place.channel}:{begun['ts']}"
        except (DeliveryRejected, ChannelRefused) as error:
            log.info("slack.no_stream", error=str(error))
            self._can_stream = bool(shown)
            return ""
        self._streams[shown] = text
        return shown

    async def _finished(self, client: AsyncWebClient, shown: str, outgoing: Outgoing) -> bool:
        """End a stream with the last of its text; False where an edit must say it instead."""
        before, text = self._streams.pop(shown, None), _harmless(outgoing.text)
        if before is None or not text.startswith(before) or len(text) > LONGEST_STREAM:
            return False
        channel, _, ts = shown.partition(":")
        ending: dict[str, Any] = {"markdown_text": text[len(before) :] or None, "blocks": buttons(outgoing.buttons) or None}
        try:
            with faults(writes=True):
                await client.chat_stopStream(channel=channel, ts=ts, metadata=render(outgoing)["metadata"], **ending)
        except DeliveryRejected:
            return False
        return True


async def _direct(client: AsyncWebClient, team: str, user: str) -> Place:
    """Where *user* and Robbie are alone. Raises AdapterError."""
    with faults():
        return Place(team=team, channel=str((await client.conversations_open(users=user))["channel"]["id"]))


async def _in_form(method: Any, form: dict[str, Any], **where: Any) -> Any:
    """Say it in blocks; where Slack refuses those, once more as mere text."""
    try:
        with faults(writes=True):
            return await method(**where, **form | {"text": clipped(form["text"], FALLBACK)})
    except FormRefused as error:
        log.warning("slack.form_refused", error=str(error))
        with faults(writes=True):
            return await method(**where, **form | {"blocks": [], "parse": "none"})


async def _save(answer: aiohttp.ClientResponse, into: Path) -> None:
    """Write what comes to a file. Raises DeliveryRejected where it is too much."""
    written = 0
    with await asyncio.to_thread(into.open, "wb") as file:
        async for chunk in answer.content.iter_chunked(1 << 18):
            written += len(chunk)
            if written > LARGEST_FILE:
                raise DeliveryRejected("Slack: this file is larger than 25 MB")
            await asyncio.to_thread(file.write, chunk)


def _harmless(text: str) -> str:
    """Markdown of which nothing summons anybody."""
    return _SUMMONS.sub("<\u200b", text)
