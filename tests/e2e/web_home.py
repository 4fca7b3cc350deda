"""A hub that serves a web page with a FAKE model behind it, and a real browser that looks at it; for the tests beside."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.app import App, build
from bot.domain.message import Button, OutgoingKind
from bot.services.notices import say
from tests.machine import PATIENCE_SECONDS
from tests.scenarios.house import FakeModel, config_of, rung_of

CHROMIUM = Path(os.environ.get("ROBBIE_E2E_CHROMIUM", "/usr/bin/chromium"))
MISSING = (
    "needs the browser's driver: pip install playwright"
    if importlib.util.find_spec("playwright") is None
    else None
    if CHROMIUM.exists()
    else f"needs {CHROMIUM}: apt-get install chromium"
)
if MISSING is None:
    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Page, async_playwright, expect

    expect.set_options(timeout=1000 * PATIENCE_SECONDS)

SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}


@dataclass
class Home:
    """A hub that serves, and its sign-in link."""

    app: App
    link: str

    async def tells(self, text: str, buttons: Sequence[Button] = ()) -> None:
        """Robbie says something unasked in the owner's web conversation."""
        owner, now = await self.app.directory.owner(), self.app.clock.now()
        async with self.app.database.unit_of_work() as work:
            where = {"channel": "web", "key": f"{owner.id}/main", "session_type": "private"}
            conversation = await work.conversations.ensure(**where, user_id=owner.id, now=now)
            await say(work, conversation, owner.id, text, now=now, kind=OutgoingKind.NOTICE, buttons=buttons)


@asynccontextmanager
async def open_home(folder: Path) -> AsyncIterator[Home]:
    """A household of one with a FAKE model, as `make run` serves it."""
    config = config_of(f"sqlite+aiosqlite:///{folder / 'robbie.db'}", folder)
    async with build(config, environ={}, rungs=[rung_of(FakeModel())]) as app, app.serve() as link:
        yield Home(app=app, link=link)


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Chromium, as it is installed here."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        await launched.close()


async def open_page(browser: Browser, home: Home, **how: Any) -> Page:
    """A signed-in page; see `strict_page`."""
    page = await strict_page(await browser.new_context(**how))
    await page.goto(home.link)
    return page


async def strict_page(context: BrowserContext) -> Page:
    """A page on which an error of the script, or a refusal by the content policy, fails the test: the next look at it raises it."""
    page = await context.new_page()
    page.set_default_timeout(1000 * PATIENCE_SECONDS)

    def err(error: Error) -> None:
        raise AssertionError(f"script error: {error}")  # `pytest.fail` would be too much for the driver: it ends, and says nothing of this

    def refuse(message: ConsoleMessage) -> None:
        assert "Content Security Policy" not in message.text, message.text

    page.on("pageerror", err)
    page.on("console", refuse)
    return page
