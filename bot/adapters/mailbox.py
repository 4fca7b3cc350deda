"""One line to an IMAP server, to be spoken on in threads: new mail, its source, waiting for more, and the folder of sent mail.

Nobody waits longer than `PATIENCE_SECONDS` for a server that says nothing. All of it raises ChannelUnavailable, `open` ChannelRefused too.
INBOX is opened for reading only, so that no mail is ever marked as seen.
"""

from __future__ import annotations

import imaplib
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import Any, TypeVar

from bot.config import MailServerConfig
from bot.domain.errors import ChannelRefused, ChannelUnavailable

T = TypeVar("T")

PATIENCE_SECONDS = 10.0
PIECE_BYTES = 512 << 10

_DATE = re.compile(rb'INTERNALDATE "([^"]+)"')
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")
_PASSING = re.compile(r"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG|ALERT)\]", re.IGNORECASE)
"""The signs under which a server refuses even a good password for a while (RFC 5530; Gmail's "too many connections" is an alert)."""
_SENT_NAMES = frozenset({"sent", "sent items", "sent messages", "sent mail"})


@dataclass(frozen=True, kw_only=True, slots=True)
class SignIn:
    """What opens an account: its name with a password, or with an access token."""

    username: str
    password: str = ""
    token: str = ""


class Mailbox:
    """A line with INBOX open: the server's UIDVALIDITY and UIDNEXT at that time, and whether it tells of new mail by itself."""

    def __init__(self, server: MailServerConfig, sign_in: SignIn) -> None:
        import imap_tools

        self._library = imap_tools
        self._server, self._sign_in = server, sign_in
        self._box: Any = None
        self._lock = Lock()
        self._is_closing = False
        self._announced: bytes | None = None
        self.validity = self.next_uid = 0
        self.has_idle = False

    def open(self) -> None:
        """Connect, sign in and open INBOX."""
        with self._speaking():
            try:
                self._connect()
                self._enter()
                client = self._box.client
                self._box.folder.set("INBOX", readonly=True)
                self.validity, self.next_uid = (int(client.response(name)[1][0] or 0) for name in ("UIDVALIDITY", "UIDNEXT"))
                self.has_idle = b"IDLE" in client.capability()[1][-1].upper().split()
            except BaseException:
                self._hang_up()
                raise

    def close(self) -> None:
        """Hang up, at once, also where another thread is waiting on this line."""
        self._is_closing = True
        if self._box is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._box.client.sock, socket.SHUT_RDWR)  # TLS would want to say goodbye, and that thread reads
            with self._lock:
                self._hang_up()

    def new_uids(self, last: int) -> list[int]:
        """The UIDs after *last*, in order. (A server that has none names its last one.)"""
        with self._speaking():
            return sorted(uid for uid in map(int, self._box.uids(f"UID {last + 1}:*", charset=None)) if uid > last)

    def uids_since(self, day: date) -> list[int]:
        """The UIDs of what came since *day*, in order."""
        with self._speaking():
            return sorted(map(int, self._box.uids(self._library.AND(date_gte=day), charset=None)))

    def look(self, uid: int) -> tuple[datetime, int] | None:
        """When a mail came and its size in bytes; None where it is gone, or cannot be had."""
        found = b" ".join(item for item in self._fetch(uid, "(UID INTERNALDATE RFC822.SIZE)") if isinstance(item, bytes))
        came, size = _DATE.search(found), _SIZE.search(found)
        return (parsedate_to_datetime(came[1].decode()).astimezone(UTC), int(size[1])) if came and size else None

    def pieces(self, uid: int, *, most_bytes: int) -> Iterator[bytes]:
        """The source of a mail, piece by piece, as far as about *most_bytes*."""
        offset = 0
        while offset < most_bytes:
            items = self._fetch(uid, f"(UID BODY.PEEK[]<{offset}.{PIECE_BYTES}>)")
            piece = next((item[1] for item in items if isinstance(item, tuple) and b"BODY[]" in item[0]), b"")
            if piece:
                yield piece
            if len(piece) < PIECE_BYTES:
                return
            offset += len(piece)

    def wait(self, seconds: float) -> None:
        """Return when something is new, or after *seconds*; at once, with `has_idle` False, where the server will not tell."""
        with self._speaking():
            announced = self._box.client.response("EXISTS")[1][-1]
            if announced not in {None, self._announced}:  # while something else was asked
                self._announced = announced
                return
            try:
                self._box.idle.start()
            except self._library.errors.MailboxTaggedResponseError as error:
                if not error.command_result[0].startswith(b"*"):
                    self.has_idle = False
                    return
            else:  # where it had news even before it said that it waits, there is nothing to wait for
                if not self._has_read_ahead():
                    self._box.idle.poll(timeout=seconds)
            self._box.idle.stop()

    def sent_folder(self) -> str:
        """The name of the folder for what was sent, by its flag or else by its name; "" where there is none."""
        with self._speaking():
            folders = self._box.folder.list()
        flagged = [each.name for each in folders if "\\sent" in {flag.lower() for flag in each.flags}]
        named = [each.name for each in folders if each.name.replace("/", ".").rpartition(".")[2].lower() in _SENT_NAMES]
        return next(iter([*flagged, *named]), "")

    def has_sent(self, message_id: str) -> bool:
        """Whether a mail of this id lies in the folder for what was sent."""
        folder = self.sent_folder()
        with self._speaking():
            if folder:
                self._box.folder.set(folder, readonly=True)
            return bool(folder and self._box.uids(f'HEADER Message-ID "{message_id}"', charset=None))

    def keep_sent(self, message_id: str, raw: bytes) -> None:
        """Put a copy of what was sent into its folder, unless the server has done so by itself."""
        if not self.has_sent(message_id) and (folder := self.sent_folder()):
            with self._speaking():
                self._box.append(raw, folder, flag_set=["\\Seen"])

    def _has_read_ahead(self) -> bool:
        """Whether the server's next words are here already: waiting at the socket would not notice (imap_tools#183)."""
        client = self._box.client
        patience = client.sock.gettimeout()
        client.sock.settimeout(0)
        try:
            return bool(client.file.peek(1))
        except ssl.SSLWantReadError:
            return False
        finally:
            client.sock.settimeout(patience)

    def _connect(self) -> None:
        server, trust = self._server, ssl.create_default_context()
        if server.tls == "tls":
            self._box = self._library.MailBox(server.host, server.port, timeout=PATIENCE_SECONDS, ssl_context=trust)
        else:
            self._box = self._library.MailBoxUnencrypted(server.host, server.port, timeout=PATIENCE_SECONDS)
        if self._is_closing:
            raise ChannelUnavailable("not wanted any more")
        if server.tls == "starttls":
            self._box.client.starttls(trust)

    def _enter(self) -> None:
        sign_in = self._sign_in
        try:
            if sign_in.token:
                self._box.xoauth2(sign_in.username, sign_in.token, initial_folder=None)
            elif (sign_in.username + sign_in.password).isascii():
                self._box.login(sign_in.username, sign_in.password, initial_folder=None)
            else:
                self._box.login_utf8(sign_in.username, sign_in.password, initial_folder=None)
        except imaplib.IMAP4.abort:
            raise
        except (imaplib.IMAP4.error, self._library.ImapToolsError) as error:
            if _PASSING.search(str(error)):
                raise
            raise ChannelRefused(f"{self._place}: signing in was refused: {self._harmless(error)}") from None

    def _fetch(self, uid: int, what: str) -> list[Any]:
        """What the server tells of a mail; nothing where it cannot, for which the mails after this one must not wait."""
        with self._speaking():
            try:
                state, items = self._box.client.uid("FETCH", str(uid), what)
            except imaplib.IMAP4.abort:
                raise
            except imaplib.IMAP4.error:
                return []
        return list(items) if state == "OK" else []

    def _hang_up(self) -> None:
        if self._box is not None:
            with suppress(OSError, ValueError):
                self._box.client.shutdown()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """One at a time; all that goes wrong is one error."""
        try:
            with self._lock:
                yield
        except (imaplib.IMAP4.error, self._library.ImapToolsError, OSError, ValueError) as error:
            raise ChannelUnavailable(f"{self._place}: {self._harmless(error)}") from None

    @property
    def _place(self) -> str:
        return f"imap {self._server.host}:{self._server.port}"

    def _harmless(self, error: Exception) -> str:
        """Its text, without the secret that a server may repeat."""
        text = f"{type(error).__name__} {error}"[:300]
        for secret in filter(None, (self._sign_in.password, self._sign_in.token)):
            text = text.replace(secret, "…")
        return text


def ask_once(server: MailServerConfig, sign_in: SignIn, question: Callable[[Mailbox], T]) -> T:
    """What *question* makes of a line of its own."""
    box = Mailbox(server, sign_in)
    box.open()
    try:
        return question(box)
    finally:
        box.close()
