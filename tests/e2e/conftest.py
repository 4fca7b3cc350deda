"""What the end-to-end tests share: servers that are not ours, each in the state in which it starts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.mail_server import MailServer, mail_server, why_no_mail
from tests.e2e.model_servers import AIMOCK_MISSING, EMBEDDED_MISSING, Aimock, Embedded, aimock, embedded
from tests.e2e.slack_server import SlackServer, slack_server, why_no_slack
from tests.e2e.telegram_server import (
    CallingTelegram,
    PolledTelegram,
    calling_telegram,
    polled_telegram,
    telemelya,
    why_not_calling,
    why_not_polled,
)


@pytest.fixture(scope="session")
def _few_authorities() -> None:
    """Here `make run` may fetch from the internet, and trusts whom it always does."""


@pytest.fixture(scope="module")
def mock() -> Iterator[Aimock]:
    """A running aimock."""
    if AIMOCK_MISSING is not None:
        pytest.skip(AIMOCK_MISSING)
    with aimock() as running:
        yield running


@pytest.fixture(scope="module")
def real() -> Iterator[Embedded]:
    """The embedded model in a server of its own."""
    if EMBEDDED_MISSING is not None:
        pytest.skip(EMBEDDED_MISSING)
    with embedded() as running:
        yield running


@pytest.fixture
async def slack(tmp_path: Path) -> AsyncIterator[SlackServer]:
    """A Slack that speaks by Socket Mode."""
    if reason := why_no_slack():
        pytest.skip(reason)
    async with slack_server(tmp_path) as running:
        yield running


@pytest.fixture
async def slack_over_http(tmp_path: Path) -> AsyncIterator[SlackServer]:
    """A Slack that calls the bot by signed HTTP, at its `request_url`."""
    if reason := why_no_slack():
        pytest.skip(reason)
    async with slack_server(tmp_path, mode="events") as running:
        yield running


@pytest.fixture
async def telegram() -> AsyncIterator[PolledTelegram]:
    """A Telegram that is polled."""
    if reason := why_not_polled():
        pytest.skip(reason)
    async with polled_telegram() as running:
        yield running


@pytest.fixture(scope="session")
def telemelya_port() -> Iterator[int]:
    """The emulator behind `telegram_over_http`, once for all tests."""
    if reason := why_not_calling():
        pytest.skip(reason)
    with telemelya() as port:
        yield port


@pytest.fixture
async def telegram_over_http(telemelya_port: int) -> AsyncIterator[CallingTelegram]:
    """A Telegram that calls the bot's webhook."""
    async with calling_telegram(telemelya_port) as running:
        yield running


@pytest.fixture(scope="session")
def mail_host() -> Iterator[MailServer]:
    """The servers behind `mail`, once for all tests."""
    if reason := why_no_mail():
        pytest.skip(reason)
    with mail_server() as running:
        yield running


@pytest.fixture
def mail(mail_host: MailServer) -> Iterator[MailServer]:
    """A mail host whose mailboxes are empty."""
    yield mail_host
    mail_host.clear()
