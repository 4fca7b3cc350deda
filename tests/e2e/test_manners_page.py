"""A person in a real browser sets Robbie: by mouse and keyboard, on a phone and at night, and finds it changed and taken back.

With ROBBIE_SCREENSHOTS=FOLDER the pictures of the documentation are taken into that folder.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.app import App, build
from bot.domain.message import Button, OutgoingKind
from bot.services.notices import say
from tests.scenarios.house import FakeModel, config_of, rung_of

CHROMIUM = Path(os.environ.get("ROBBIE_E2E_CHROMIUM", "/usr/bin/chromium"))
MISSING = (
    "needs the browser's driver: pip install playwright"
    if importlib.util.find_spec("playwright") is None
    else None
    if CHROMIUM.exists()
    else f"needs {CHROMIUM}: apt-get install chromium"
)
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=MISSING or "")]
if MISSING is None:
    from playwright.async_api import Browser, Page, async_playwright, expect

    expect.set_options(timeout=10_000)

SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}


@dataclass
class Home:
    """A hub that serves, and its sign-in link."""

    app: App
    link: str

    async def tells(self, text: str, *buttons: Button) -> None:
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


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with open_home(tmp_path) as opened:
        yield opened


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        await launched.close()


async def open_page(browser: Browser, home: Home, **how: Any) -> Page:
    """A signed-in page on which an error of the script, or a refusal by the content policy, fails the test."""
    page = await (await browser.new_context(**how)).new_page()
    page.on("pageerror", lambda error: pytest.fail(f"script error: {error}"))
    page.on("console", lambda message: "Content Security Policy" in message.text and pytest.fail(message.text))
    await page.goto(home.link)
    return page


async def open_panel(page: Page) -> None:
    await page.get_by_role("button", name="Manners").click()
    await expect(page.get_by_role("slider")).to_have_count(3)


async def test_panel(home: Home, browser: Browser, tmp_path: Path):
    page = await open_page(browser, home, viewport=SIZES["desktop"], device_scale_factor=2)
    await open_panel(page)
    await page.get_by_role("slider").first.fill("8")
    await page.get_by_text("playful").click()
    await page.wait_for_timeout(800)
    await page.screenshot(path="/tmp/shot1.png")
    await page.get_by_text("Save").click()
    await page.wait_for_timeout(500)
    await page.set_viewport_size(SIZES["phone"])
    await page.emulate_media(color_scheme="dark")
    await page.wait_for_timeout(300)
    await page.screenshot(path="/tmp/shot2.png")
    await page.get_by_text("What was changed").click()
    await page.wait_for_timeout(300)
    await page.get_by_text("What was changed").scroll_into_view_if_needed()
    await page.screenshot(path="/tmp/shot3.png")
