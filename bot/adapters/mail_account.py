"""The servers of one mail account: IMAP, spoken on in threads; SMTP; and the access tokens that open both where a password does not.

No secret is ever in an error. INBOX is opened for reading only, so that no mail is ever marked as seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import imaplib
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from bot.config import EmailConfig, MailServerConfig, OAuthConfig
from bot.domain.clock import Clock
from bot.domain.errors import AdapterError, ChannelRefused, ChannelUnavailable, ConfigError, DeliveryRejected, DeliveryUnknown
from storage.database import Database

T = TypeVar("T")

PATIENCE_SECONDS = 10.0
"""For each answer of a server."""
SUBMIT_SECONDS = 30.0
RETRY_SECONDS = 60.0
"""After a refusal that will pass: greylisting, a full disk."""
PIECE_BYTES = 512 << 10
PROVIDERS = {
    "google": "https://oauth2.googleapis.com/token",
    "microsoft": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
}
EARLIER = timedelta(minutes=1)
"""By so much an access token is given up before it ends."""

_DATE = re.compile(rb'INTERNALDATE "([^"]+)"')
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")
_PASSING = re.compile(r"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG|ALERT)\]", re.IGNORECASE)
"""The signs under which a server refuses even a good password for a while (RFC 5530; Gmail's "too many connections" is an alert)."""
_SENT_NAMES = frozenset({"sent", "sent items", "sent messages", "sent mail"})
_NOT_SIGNED_IN = frozenset({530, 534, 535, 538})


@dataclass(frozen=True, kw_only=True, slots=True)
class SignIn:
    """What opens an account: its name with a password, or with an access token."""

    username: str
    password: str = ""
    token: str = ""


class Mailbox:
    """A line with INBOX open: the server's UIDVALIDITY and UIDNEXT at that time, and whether it tells of new mail by itself.

    Raises ChannelUnavailable, `open` ChannelRefused too; nobody waits for longer than `PATIENCE_SECONDS`.
    """

    def __init__(self, server: MailServerConfig, sign_in: SignIn) -> None:
        import imap_tools

        self._library = imap_tools
        self._server, self._sign_in, self._place = server, sign_in, f"imap {server.host}:{server.port}"
        self._box: Any = None
        self._lock = Lock()
        self._is_closing = False
        self._announced: bytes | None = None
        self.validity = self.next_uid = 0
        self.has_idle = False

    def open(self) -> None:
        """Connect, sign in and open INBOX."""
        with self._speaking():
            self._connect()
            self._enter()
            client = self._box.client
            self._box.folder.set("INBOX", readonly=True)
            self.validity, self.next_uid = (int(client.response(name)[1][0] or 0) for name in ("UIDVALIDITY", "UIDNEXT"))
            self.has_idle = b"IDLE" in client.capability()[1][-1].upper().split()

    def close(self) -> None:
        """Hang up, at once, also where another thread is waiting on this line."""
        self._is_closing = True
        if self._box is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._box.client.sock, socket.SHUT_RDWR)  # TLS would want to say goodbye, and that thread reads
            with self._lock, suppress(OSError, ValueError):
                self._box.client.shutdown()

    def uids(self, *, after: int = 0, since: date | None = None) -> list[int]:
        """The UIDs beyond *after*, of what came *since*, in order. (A server that has none beyond names its last one.)"""
        criteria = self._library.AND(date_gte=since) if since else f"UID {after + 1}:*"
        with self._speaking():
            return sorted(uid for uid in map(int, self._box.uids(criteria, charset=None)) if uid > after)

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

    def has_sent(self, message_id: str, *, else_keep: bytes = b"") -> bool:
        """Whether a mail of this id lay in the folder for what was sent; the copy to keep there otherwise."""
        if not (folder := self.sent_folder()):
            return False
        with self._speaking():
            self._box.folder.set(folder, readonly=True)
            lies_there = bool(self._box.uids(f'HEADER Message-ID "{message_id}"', charset=None))
            if else_keep and not lies_there:
                self._box.append(else_keep, folder, flag_set=["\\Seen"])
        return lies_there

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

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """One at a time; all that goes wrong is one error."""
        try:
            with self._lock:
                yield
        except (imaplib.IMAP4.error, self._library.ImapToolsError, OSError, ValueError) as error:
            raise ChannelUnavailable(f"{self._place}: {self._harmless(error)}") from None

    def _harmless(self, error: Exception) -> str:
        """Its text, without the secret that a server may repeat."""
        secret = self._sign_in.password or self._sign_in.token or "\0"
        return f"{type(error).__name__} {error}".replace(secret, "…")[:300]


def ask_once(server: MailServerConfig, sign_in: SignIn, question: Callable[[Mailbox], T]) -> T:
    """What *question* makes of a line of its own."""
    box = Mailbox(server, sign_in)
    try:
        box.open()
        return question(box)
    finally:
        box.close()


class Submission:
    """The way out. Errors are AdapterErrors."""

    def __init__(self, server: MailServerConfig, *, address: str) -> None:
        import aiosmtplib

        self._library = aiosmtplib
        self._server, self._address, self._place = server, address, f"smtp {server.host}:{server.port}"

    async def send(self, raw: bytes, *, to: str, sign_in: SignIn) -> None:
        """Send one mail to one reader."""
        async with self.line(sign_in) as line:
            await line.mail(self._address)
            await line.rcpt(to)
            try:
                async with asyncio.timeout(SUBMIT_SECONDS):
                    await line.data(raw)
            except self._library.SMTPResponseException:
                raise
            except (self._library.SMTPException, OSError) as error:
                raise DeliveryUnknown(f"{self._place}: {type(error).__name__} after the mail was sent") from None

    @asynccontextmanager
    async def line(self, sign_in: SignIn) -> AsyncIterator[Any]:
        """A connection that is signed in."""
        server = self._server
        tls: dict[str, Any] = {"use_tls": server.tls == "tls", "start_tls": server.tls == "starttls"}
        where: dict[str, Any] = {"hostname": server.host, "port": server.port, "local_hostname": self._address.rpartition("@")[2]}
        line = self._library.SMTP(**where, **tls, tls_context=ssl.create_default_context(), timeout=PATIENCE_SECONDS)
        try:
            await line.connect()
            if sign_in.token:
                await line.auth_xoauth2(sign_in.username, sign_in.token)
            else:
                await line.login(sign_in.username, sign_in.password)
            yield line
            with suppress(self._library.SMTPException, OSError):  # it has the mail already
                await line.quit(timeout=1)
        except self._library.SMTPResponseException as error:
            raise self._refused(error) from None
        except (self._library.SMTPException, OSError) as error:
            raise ChannelUnavailable(f"{self._place}: {type(error).__name__} {error}"[:300]) from None
        finally:
            line.close()

    def _refused(self, error: Any) -> AdapterError:
        """What a server's code means. Its text is left out: it may repeat what it was told."""
        code, is_sign_in = error.code, isinstance(error, self._library.SMTPAuthenticationError)
        if code in _NOT_SIGNED_IN or (is_sign_in and code >= 500):
            return ChannelRefused(f"{self._place}: signing in was refused with {code}")
        if code >= 500 and not isinstance(error, self._library.SMTPConnectResponseError):  # "554 not you" is of no mail in particular
            return DeliveryRejected(f"{self._place}: refused with {code}")
        return ChannelUnavailable(f"{self._place}: put off with {code}", retry_after=RETRY_SECONDS)


class Credentials:
    """What opens the account now: its password, or an access token, made for an hour from the refresh token that the owner gave.

    A provider may replace the refresh token at any time, and so the latest is kept in the database.
    """

    def __init__(self, config: EmailConfig, *, database: Database, clock: Clock) -> None:
        self._username = config.username or config.address
        self._password = config.password.get_secret_value() if config.password else ""
        self._oauth, self._database, self._clock = config.oauth, database, clock
        self._url = PROVIDERS.get(config.oauth.provider, config.oauth.provider) if config.oauth else ""
        address = urlsplit(self._url)
        if config.oauth and address.scheme != "https" and address.hostname not in {"127.0.0.1", "::1", "localhost"}:
            repair = f"write {', '.join(PROVIDERS)}, or the https address where the provider gives tokens"
            raise ConfigError("is no provider that Robbie knows", key="email.oauth.provider", repair=repair)
        self._place = f"oauth {address.hostname}"
        self._token, self._until = "", clock.now()
        self._asking = asyncio.Lock()

    async def current(self) -> SignIn:
        """Good now. Raises ChannelRefused where the owner's consent was withdrawn, ChannelUnavailable."""
        if self._oauth is None:
            return SignIn(username=self._username, password=self._password)
        async with self._asking:
            if self._clock.now() >= self._until:
                await self._renew(self._oauth)
        return SignIn(username=self._username, token=self._token)

    async def _renew(self, oauth: OAuthConfig) -> None:
        given, secret = (each.get_secret_value() if each else "" for each in (oauth.refresh_token, oauth.client_secret))
        key = hashlib.sha256(f"{self._url} {oauth.client_id} {given}".encode()).hexdigest()
        async with self._database.reading() as work:
            form = {"refresh_token": await work.housekeeping.installation("email", key) or given}
        form |= {"grant_type": "refresh_token", "client_id": oauth.client_id} | ({"client_secret": secret} if secret else {})
        try:
            http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS), trust_env=True)
            async with http as session, session.post(self._url, data=form, allow_redirects=False) as response:
                if response.status in {400, 401, 403}:
                    raise ChannelRefused(f"{self._place}: no access token: refused with {response.status}")
                answer = await response.json(content_type=None) if response.status == 200 else {}
            self._token, seconds = "" + answer["access_token"], float(answer.get("expires_in", 0))
        except (aiohttp.ClientError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ChannelUnavailable(f"{self._place}: no access token: {type(error).__name__}") from None
        self._until = self._clock.now() + timedelta(seconds=seconds) - EARLIER
        if (replaced := answer.get("refresh_token", form["refresh_token"])) != form["refresh_token"]:
            async with self._database.unit_of_work() as work:
                await work.housekeeping.install("email", key, granted=str(replaced), at=self._clock.now())
