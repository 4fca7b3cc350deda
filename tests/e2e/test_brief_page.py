"""A brief in the web chat, in a real browser: sections with their headings, choices in rows, nothing that sticks out.

With ROBBIE_SCREENSHOTS=FOLDER the picture of the documentation is taken into that folder.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.domain.clock import new_id
from bot.domain.message import Button
from storage.models.affairs import Contact, Deal, Task
from tests.e2e.web_home import MISSING, SIZES, Home, open_browser, open_home, open_page

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=MISSING or "")]
if MISSING is None:
    from playwright.async_api import Browser, expect

BRIEF = """# Morning brief, Friday 27 November 2026

Three things want you today, and one is overdue.

**Overdue**

- Send Acme the revised offer (since Wednesday)

**Today**

- Call Dana about the lease, 15:00
- Sign the contract with Hollis & Sons
- Book the train to Lisbon, before the fares go up on Saturday
- … and 2 more

**Deals**

- Negotiation: 2 deals, $64,000, of which $44,800 are likely"""
CHOICES = [
    Button(label=f"{verb}: {title}", command=f"/task {verb.lower()} {code}")
    for code, title in (("K7QM", "Send Acme the revised o…"), ("M2RT", "Call Dana about the lea…"))
    for verb in ("Done", "Snooze")
]
TASKS = (
    ("Send Acme the revised offer", -2, None),
    ("Call Dana about the lease", 0, time(15)),
    ("Sign the contract with Hollis & Sons", 0, None),
    ("Book the train to Lisbon", 0, None),
    ("Ask Priya for the March figures", 1, None),
)
CONTACTS = (("Dana Whitfield", "Whitfield Properties", 3), ("Marco Bianchi", "Acme", 5), ("Priya Raman", "Northwind", 9))
DEALS = (
    ("Acme, yearly licence", "negotiation", 4_000_000, 70),
    ("Northwind, pilot", "proposal", 1_200_000, 40),
    ("Hollis & Sons", "negotiation", 2_400_000, 70),
)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with open_home(tmp_path) as opened:
        yield opened


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


async def fill(home: Home) -> None:
    """A week in somebody's life: tasks, people who wait, and deals."""
    owner, now = await home.app.directory.owner(), home.app.clock.now()
    local = now.astimezone(ZoneInfo(owner.timezone))
    about: dict[str, Any] = {"organization_id": "default", "user_id": owner.id, "created_at": now - timedelta(days=20)}
    async with home.app.database.unit_of_work() as work:
        for number, (title, days, at) in enumerate(TASKS):
            day = local.date() + timedelta(days=days)
            due = datetime.combine(day, at, tzinfo=local.tzinfo) if at else None
            assert await work.tasks.add(Task(**about, id=new_id(), code=f"TASK{number}", title=title, due_on=day, due_at=due))
        for number, (name, company, days) in enumerate(CONTACTS):
            heard = {"last_heard_at": now - timedelta(days=days), "last_written_at": now - timedelta(days=days + 4)}
            email = f"{name.split()[0].lower()}@example.com"
            row = Contact(**about, **heard, id=new_id(), code=f"WHO{number}", name=name, company=company, email=email)
            assert await work.contacts.add(row)
        for number, (title, stage, cents, likely) in enumerate(DEALS):
            what = {"title": title, "stage": stage, "value_cents": cents, "probability": likely, "changed_at": now}
            assert await work.deals.add(Deal(**about, **what, id=new_id(), code=f"DEAL{number}"))


@pytest.mark.parametrize("size", SIZES)
async def test_brief_is_no_wall(home: Home, browser: Browser, size: str):
    await home.tells(BRIEF, CHOICES)
    page = await open_page(browser, home, viewport=SIZES[size])
    message = page.locator(".message.notice")
    await expect(message.get_by_role("heading", name="Morning brief")).to_be_visible()
    await expect(message.get_by_role("list")).to_have_count(3)
    rows = message.locator(".choices .row")
    await expect(rows).to_have_count(2)
    assert [await row.get_by_role("button").count() for row in await rows.all()] == [2, 2]
    assert await page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
    await rows.first.get_by_role("button", name="Done: Send Acme").click()
    await expect(page.locator(".message.in .text")).to_have_text("/task done K7QM")
    await expect(rows.first.get_by_role("button", name="Done: Send Acme")).to_have_class("pressed")


async def test_picture_of_the_morning_brief(home: Home, browser: Browser, tmp_path: Path):
    folder = Path(os.environ.get("ROBBIE_SCREENSHOTS", tmp_path))
    await fill(home)
    page = await open_page(browser, home, viewport={"width": 1280, "height": 1000}, device_scale_factor=2)
    await page.get_by_label("Your message").fill("/brief morning")
    await page.keyboard.press("Enter")
    answer = page.locator(".message.answer .text")
    await expect(answer).to_be_visible()
    if "I do not know" in await answer.inner_text():
        pytest.skip("there are no briefs yet")
    for words in ("Call Dana about the lease", "Send Acme the revised offer"):
        await expect(answer).to_contain_text(words)
    await expect(page.locator(".choices button").first).to_be_visible()
    await page.screenshot(path=folder / "web-brief.png")
