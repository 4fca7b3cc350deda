"""Hands a mail to the SMTP server of our account; what became of it is known, or honestly said to be unknown."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from bot.adapters.mailbox import SignIn
from bot.config import MailServerConfig
from bot.domain.errors import AdapterError, ChannelRefused, ChannelUnavailable, DeliveryRejected, DeliveryUnknown

PATIENCE_SECONDS = 15.0
"""For each answer of the server."""
MOST_SECONDS = 35.0
RETRY_SECONDS = 60.0
"""After a refusal that will pass: greylisting, a full disk."""
_NOT_SIGNED_IN = frozenset({530, 534, 535, 538})


class Submission:
    """The way out. Errors are AdapterErrors."""

    def __init__(self, server: MailServerConfig, *, address: str) -> None:
        import aiosmtplib

        self._library = aiosmtplib
        self._server, self._address = server, address

    async def send(self, raw: bytes, *, to: str, sign_in: SignIn) -> None:
        """Send one mail to one reader."""
        is_written = False
        try:
            async with asyncio.timeout(MOST_SECONDS), self._line(sign_in) as line:
                await line.mail(self._address)
                await line.rcpt(to)
                is_written = True
                await line.data(raw)
        except self._library.SMTPResponseException as error:
            raise self._refused(error) from None
        except (self._library.SMTPException, OSError) as error:
            if is_written:
                raise DeliveryUnknown(f"{self._place}: {type(error).__name__} after the mail was sent") from None
            raise ChannelUnavailable(f"{self._place}: {_brief(error)}") from None

    async def check(self, sign_in: SignIn) -> None:
        """Sign in, and leave."""
        try:
            async with self._line(sign_in):
                pass
        except self._library.SMTPResponseException as error:
            raise self._refused(error) from None
        except (self._library.SMTPException, OSError) as error:
            raise ChannelUnavailable(f"{self._place}: {_brief(error)}") from None

    @asynccontextmanager
    async def _line(self, sign_in: SignIn) -> AsyncIterator[Any]:
        """A connection that is signed in."""
        server = self._server
        line = self._library.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.tls == "tls",
            start_tls=server.tls == "starttls",
            tls_context=ssl.create_default_context(),
            timeout=PATIENCE_SECONDS,
            local_hostname=self._address.rpartition("@")[2],
        )
        try:
            try:
                await line.connect()
            except self._library.SMTPConnectResponseError as error:  # "554 not you", "421 not now": of no mail in particular
                raise ChannelUnavailable(f"{self._place}: greeted with {error.code}", retry_after=RETRY_SECONDS) from None
            if sign_in.token:
                await line.auth_xoauth2(sign_in.username, sign_in.token)
            else:
                await line.login(sign_in.username, sign_in.password)
            yield line
            with suppress(self._library.SMTPException, OSError):  # it has the mail already
                await line.quit(timeout=1)
        finally:
            line.close()

    def _refused(self, error: Any) -> AdapterError:
        """What a server's code means. Its text is left out: it may repeat what it was told."""
        code, is_sign_in = error.code, isinstance(error, self._library.SMTPAuthenticationError)
        if code in _NOT_SIGNED_IN or (is_sign_in and code >= 500):
            return ChannelRefused(f"{self._place}: signing in was refused with {code}")
        if code >= 500:
            return DeliveryRejected(f"{self._place}: refused with {code}")
        return ChannelUnavailable(f"{self._place}: put off with {code}", retry_after=RETRY_SECONDS)

    @property
    def _place(self) -> str:
        return f"smtp {self._server.host}:{self._server.port}"


def _brief(error: Exception) -> str:
    return f"{type(error).__name__} {error}"[:200]
