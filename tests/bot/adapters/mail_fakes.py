"""FAKE mail servers, for what no real one does on demand: they speak as much IMAP and SMTP as the door uses, and break as they are told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

PASSWORD = "password-of-robbie"
CUT = "cut"
"""As an answer: the line is cut instead."""

Lines = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def serving(serve: Callable[..., Coroutine[Any, Any, None]]) -> AsyncIterator[int]:
    """Serve each connection by *serve*; yields the port."""
    tasks = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class FakeSmtp:
    """FAKE: takes mail, unless `answers` says otherwise for a verb (greeting, AUTH, MAIL, RCPT, DATA, or "." for the mail itself)."""

    answers: dict[str, str] = field(default_factory=dict)
    taken: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._say(writer, "greeting", "220 fake"):
            return
        while line := (await reader.readline()).decode().strip():
            verb = line.split()[0].upper()
            if verb == "EHLO":
                writer.write(b"250-fake\r\n250 AUTH PLAIN\r\n")
            elif not self._say(writer, verb, {"AUTH": "235 ok", "DATA": "354 go on"}.get(verb, "250 ok")):
                return
            if verb == "RCPT":
                self.recipients.append(line.partition("<")[2].partition(">")[0])
            if verb == "DATA" and "DATA" not in self.answers:
                mail = await reader.readuntil(b"\r\n.\r\n")
                if not self._say(writer, ".", "250 taken"):
                    return
                self.taken.append(mail)

    def _say(self, writer: asyncio.StreamWriter, verb: str, usual: str) -> bool:
        answer = self.answers.get(verb, usual)
        if answer == CUT:
            writer.transport.abort()
            return False
        writer.write(answer.encode() + b"\r\n")
        return True


@dataclass
class FakeImap:
    """FAKE: a mailbox by UID, and a folder of sent mail. `refused`: UIDs whose source it does not give."""

    mails: dict[int, bytes] = field(default_factory=dict)
    sent: list[bytes] = field(default_factory=list)
    validity: int = 7
    has_idle: bool = True
    refuses: str = ""
    refused: set[int] = field(default_factory=set)
    said: list[str] = field(default_factory=list)
    _idlers: set[asyncio.StreamWriter] = field(default_factory=set)

    def comes(self, raw: bytes) -> int:
        """A mail comes in; its UID."""
        uid = max(self.mails, default=0) + 1
        self.mails[uid] = raw
        for idler in self._idlers:
            idler.write(b"* %d EXISTS\r\n" % uid)
        return uid

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        known = 0
        writer.write(b"* OK fake\r\n")
        while line := (await reader.readline()).decode().strip():
            tag, _, command = line.partition(" ")
            self.said.append(command)
            verb = command.split()[0].upper()
            if verb == "UID":
                known = len(self.mails)
            if verb == "IDLE":
                await self._idle(reader, writer, known)
            elif verb == "APPEND":
                writer.write(b"+ go on\r\n")
                self.sent.append(await reader.readexactly(int(command.rpartition("{")[2].rstrip("}"))))
                await reader.readline()
            else:
                for answer in self._answers(command):
                    writer.write(answer + b"\r\n")
            refusal = self.refuses if verb == "LOGIN" else ""
            is_refused = bool((found := re.match(r"UID FETCH (\d+) \(UID BODY", command)) and int(found[1]) in self.refused)
            writer.write(f"{tag} {refusal or ('NO cannot' if is_refused else 'OK done')}\r\n".encode())

    async def _idle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, known: int) -> None:
        # what came since the last command is told in the same breath
        writer.write(b"+ idling\r\n" + (b"* %d EXISTS\r\n" % len(self.mails) if len(self.mails) != known else b""))
        self._idlers.add(writer)
        await reader.readline()
        self._idlers.discard(writer)

    def _answers(self, command: str) -> list[bytes]:
        if command.startswith("CAPABILITY"):
            return [b"* CAPABILITY IMAP4rev1" + b" IDLE" * self.has_idle]
        if command.startswith("EXAMINE"):
            next_uid = max(self.mails, default=0) + 1
            return [b"* 0 EXISTS", b"* OK [UIDVALIDITY %d] so" % self.validity, b"* OK [UIDNEXT %d] so" % next_uid]
        if command.startswith("LIST"):
            return [rb'* LIST (\HasNoChildren) "/" INBOX', rb'* LIST (\HasNoChildren \Sent) "/" "Post"']
        if found := re.match(r'UID SEARCH HEADER Message-ID "(.+)"', command):
            return [b"* SEARCH" + b"".join(b" %d" % (number + 1) for number, raw in enumerate(self.sent) if found[1].encode() in raw)]
        if found := re.match(r"UID SEARCH UID (\d+):\*", command):
            return [b"* SEARCH" + b"".join(b" %d" % uid for uid in sorted(self.mails) if uid >= int(found[1]) or uid == max(self.mails))]
        if command.startswith("UID SEARCH (SINCE"):
            return [b"* SEARCH" + b"".join(b" %d" % uid for uid in self.mails)]
        if found := re.match(r"UID FETCH (\d+) \(UID INTERNALDATE", command):
            uid = int(found[1])
            size = len(self.mails[uid])
            return [b'* 1 FETCH (UID %d INTERNALDATE "22-Nov-2026 12:00:00 +0000" RFC822.SIZE %d)' % (uid, size)]
        if found := re.match(r"UID FETCH (\d+) \(UID BODY\.PEEK\[\]<(\d+)\.(\d+)>\)", command):
            uid, start, length = map(int, found.groups())
            piece = self.mails[uid][start : start + length] if uid in self.mails.keys() - self.refused else None
            return [] if piece is None else [b"* 1 FETCH (UID %d BODY[]<%d> {%d}\r\n%s)" % (uid, start, len(piece), piece)]
        return []
