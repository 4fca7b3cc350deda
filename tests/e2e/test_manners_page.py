"""A person in a real browser sets Robbie: by mouse and keyboard, on a phone and at night, and finds it changed and taken back.

With ROBBIE_SCREENSHOTS=FOLDER the pictures of the documentation are taken into that folder.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.web_home import MISSING, SIZES, Home, open_browser, open_home, open_page

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=MISSING or "")]
if MISSING is None:
    from playwright.async_api import Browser, Page, expect

NAME_OF_FOCUS = """(() => {
  const one = document.activeElement, label = one.labels?.[0];
  return (one.getAttribute("aria-label") ?? label?.textContent ?? one.textContent).trim();
})()"""
TROUBLES = """(() => {
  const dialog = document.querySelector("dialog[open]"), found = [];
  const luminance = (colour) => {
    const parts = colour.match(/[\\d.]+/g).map((part) => part / 255);
    const [r, g, b] = parts.map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    const colour = one && getComputedStyle(one).backgroundColor;
    return !one || !/, 0\\)$|transparent/.test(colour) ? colour ?? "rgb(255, 255, 255)" : ground(one.parentElement);
  };
  if (document.documentElement.scrollWidth > innerWidth || dialog.scrollWidth > dialog.clientWidth) found.push("sticks out to the side");
  for (const one of dialog.querySelectorAll("input, select, button, summary")) {
    const name = (one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent ?? one.textContent).trim();
    if (!name) found.push(`no name: ${one.outerHTML}`);
    if (one.tabIndex > 0) found.push(`an order of its own: ${name}`);
    const target = one.type === "radio" ? one.nextElementSibling : one;
    if (target.checkVisibility() && target.getBoundingClientRect().height < 24) found.push(`too small for a finger: ${name}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`twice: ${id}`);
  for (const one of dialog.querySelectorAll("span, p, legend, h2, button:enabled, label, output, time, option")) {
    if (![...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) || !one.checkVisibility()) continue;
    const [light, dark] = [luminance(getComputedStyle(one).color), luminance(ground(one))].sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < 4.5) found.push(`too pale: ${one.textContent.trim()} ${contrast.toFixed(2)}`);
  }
  return found;
})()"""
"""What a person who reads by ear, by keyboard, with a finger or with weak eyes would stumble over in the panel."""


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with open_home(tmp_path) as opened:
        yield opened


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


async def open_panel(page: Page) -> None:
    await page.get_by_role("button", name="Manners").click()
    await expect(page.get_by_role("slider")).to_have_count(3)


async def press_until(page: Page, key: str, name: str, *, times: int = 40) -> int:
    """Press *key* until the control of this name has the focus; how often that took."""
    for count in range(1, times + 1):
        await page.keyboard.press(key)
        if await page.evaluate(NAME_OF_FOCUS) == name:
            return count
    raise AssertionError(f"{key} does not lead to {name!r}")


async def saved(page: Page) -> str:
    """What the panel says it has done."""
    await expect(page.locator("#manners-told")).not_to_be_empty()
    return await page.locator("#manners-told").inner_text()


async def test_robbie_is_set_by_mouse_and_it_is_there_after_a_reload_and_taken_back(home: Home, browser: Browser):
    page = await open_page(browser, home)
    await open_panel(page)
    await expect(page.get_by_role("button", name="Save")).to_be_disabled()
    await page.get_by_role("slider", name="Gandhi to Genghis").fill("9")
    await expect(page.get_by_text("9 · 14 outreach mails a day")).to_be_visible()
    await page.get_by_text("playful").click()
    await expect(page.locator("#manners-preview")).to_contain_text("Before: “")
    await expect(page.locator("#manners-preview")).to_contain_text("outreach mails a day 3 → 14")
    await page.get_by_role("button", name="Save").click()
    assert "Gandhi–Genghis 9" in await saved(page)
    await page.reload()
    await open_panel(page)
    await expect(page.get_by_role("slider", name="Gandhi to Genghis")).to_have_value("9")
    await expect(page.get_by_role("radio", name="playful")).to_be_checked()
    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_role("slider", name="Gandhi to Genghis")).to_have_value("4")
    await page.get_by_text("What was changed lately").click()
    await expect(page.locator("#manners-history li").first).to_contain_text("taken back")


async def test_robbie_is_set_by_keyboard_alone(home: Home, browser: Browser):
    page = await open_page(browser, home)
    await press_until(page, "Shift+Tab", "Manners")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("slider")).to_have_count(3)
    for name in ("everywhere", "Gandhi to Genghis", "Cocktail to Lightning", "Professional to Flirty", "focused", "How long"):
        await press_until(page, "Tab", name)
    await press_until(page, "Shift+Tab", "Cocktail to Lightning")
    await page.keyboard.press("ArrowRight")
    assert await page.evaluate("document.activeElement.getAttribute('aria-valuetext')") != ""
    await press_until(page, "Tab", "focused")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Enter")  # as the Save button does
    assert "Cocktail–Lightning 6, Mood determined" in await saved(page)
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    assert await page.evaluate(NAME_OF_FOCUS) == "Manners", "the focus is where it was"


async def test_what_cannot_be_is_said_kindly(home: Home, browser: Browser):
    page = await open_page(browser, home)
    await open_panel(page)
    await page.get_by_text("in mail").click()
    await expect(page.get_by_role("slider", name="Professional to Flirty")).to_be_disabled()
    await page.get_by_role("slider", name="Gandhi to Genghis").fill("2")
    await page.get_by_label("How long").select_option("until …")
    await page.get_by_role("button", name="Save").click()
    assert await saved(page) == "Until when?"
    await page.get_by_label("Until when").fill("2001-01-01T10:00")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#manners-told")).to_contain_text("That moment has passed")
    await page.get_by_label("How long").select_option("for today")
    await page.get_by_role("button", name="Save").click()
    assert "in mail until the end of" in await saved(page)
    await expect(page.get_by_role("slider", name="Gandhi to Genghis")).to_have_value("2")


async def test_a_slider_in_the_conversation_is_pressed_in_place(home: Home, browser: Browser):
    page = await open_page(browser, home)
    await page.get_by_label("Your message").fill("/mood")
    await page.keyboard.press("Enter")
    more = page.get_by_role("button", name="Genghis +1")
    await expect(more).to_be_visible()
    await more.focus()
    for step in (5, 6):
        await page.keyboard.press("Enter")
        await expect(page.locator(".message.answer .text")).to_contain_text(f"Genghis, {step}:")
        await expect(more).to_be_focused()
    await expect(page.locator(".message")).to_have_count(2)
    await page.reload()
    await expect(page.locator(".message")).to_have_count(2)
    await expect(page.locator(".message.answer .text")).to_contain_text("Genghis, 6:")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_panel_fits_every_screen_and_every_eye(home: Home, browser: Browser, tmp_path: Path, size: str, scheme: str):
    folder = Path(os.environ.get("ROBBIE_SCREENSHOTS", tmp_path))
    how = {"device_scale_factor": 2, "has_touch": size == "phone", "is_mobile": size == "phone"}
    page = await open_page(browser, home, viewport=SIZES[size], color_scheme=scheme, **how)
    await open_panel(page)
    await page.get_by_role("slider", name="Gandhi to Genghis").fill("8")
    await page.get_by_text("playful").click()
    await expect(page.locator("#manners-preview")).to_contain_text("After: “")
    assert await page.evaluate(TROUBLES) == []
    for control in ("Save", "Undo", "Back to normal", "Close"):
        await expect(page.get_by_role("button", name=control)).to_be_in_viewport()
    await page.screenshot(path=folder / f"web-manners-{size}-{scheme}.png")
