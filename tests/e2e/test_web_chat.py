"""A person in a real browser: opens the sign-in link, writes, sees the words of a real model arrive, reloads and finds all of it again.

With ROBBIE_SCREENSHOTS=FOLDER the pictures of the documentation are taken into that folder.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.model_servers import EMBEDDED_MISSING
from tests.e2e.web_home import MISSING, open_browser, strict_page
from tests.machine import PATIENCE_SECONDS, free_port

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(MISSING is not None, reason=MISSING or ""),
    pytest.mark.skipif(EMBEDDED_MISSING is not None, reason=EMBEDDED_MISSING or ""),
]
if MISSING is None:
    from playwright.async_api import Browser, Page, expect

QUESTION = "In two sentences, what makes a good morning?"
SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 800}}
CONFIG = """
[robbie]
owner = "Allan"
data_dir = "data"
[database]
url = "sqlite+aiosqlite:///data/robbie.db"
[web]
port = {port}
[brain]
turn_seconds = 110
stall_seconds = 60
[[brain.levels]]
name = "embedded"
provider = "local"
model = "smollm2-135m-instruct"
context = 4096
"""


class Robbie:
    """`robbie run` on a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG.format(port=self.url.rpartition(":")[2]), encoding="utf-8")

    def start(self) -> str:
        """Run it; returns the sign-in link that it prints."""
        with self.config.with_name("log").open("a") as log:
            command = [sys.executable, "-m", "bot", "--config", self.config, "run"]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        self.link = next(found.group() for line in self.process.stdout if (found := re.search(r"http://\S+/signin/\S+", line)))
        return self.link

    def sign_in(self) -> str:
        """A fresh sign-in link."""
        command = [sys.executable, "-m", "bot", "--config", self.config, "signin"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def stop(self) -> None:
        """Have it stop by itself."""
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(PATIENCE_SECONDS) == 0
        finally:
            self.process.kill()
            self.process.stdout.close()


@pytest.fixture
def robbie(tmp_path: Path) -> Iterator[Robbie]:
    """The hub as `make run` starts it."""
    running = Robbie(tmp_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as launched:
        yield launched


async def send(page: Page, text: str) -> None:
    await page.get_by_label("Your message").fill(text)
    await page.keyboard.press("Enter")


WATCH = """() => {
  window.seen = [];
  new MutationObserver(() => {
    const text = document.querySelector(".progress .text")?.innerText;
    if (text && text !== window.seen.at(-1)) window.seen.push(text);
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""
"""Has the page itself note what the growing reply shows, each time that it is another text, however slowly we look."""


async def test_person_signs_in_writes_sees_words_arrive_and_finds_them_again(robbie: Robbie, browser: Browser):
    context = await browser.new_context()
    page = await strict_page(context)
    await page.goto(robbie.link)
    await expect(page).to_have_url(f"{robbie.url}/")
    await expect(page.get_by_role("heading", name=re.compile("Good .*, Allan"))).to_be_visible()

    await page.evaluate(WATCH)
    await send(page, QUESTION)
    await expect(page.locator(".message.in .text")).to_have_text(QUESTION)
    await expect(page.get_by_label("Your message")).to_have_value("")
    await expect(page.locator(".message.answer")).to_have_count(1)
    seen = await page.evaluate("window.seen")
    assert len(seen) > 1, "the words should arrive one after another"
    letters = [re.sub("[^a-zA-Z]", "", text) for text in seen]  # marks of Markdown come and go
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(letters))
    await expect(page.locator(".progress")).to_have_count(0)

    answer = await page.locator(".message.answer .text").inner_text()
    await page.reload()
    await expect(page.locator(".message.in .text")).to_have_text(QUESTION)
    assert await page.locator(".message.answer .text").inner_text() == answer
    await expect(page.locator(".message")).to_have_count(2)

    stranger = await strict_page(await browser.new_context())
    await stranger.goto(robbie.link)
    await expect(stranger.get_by_text("robbie signin", exact=True)).to_be_visible()
    await expect(stranger.locator(".message")).to_have_count(0)


async def test_what_is_written_is_harmless_and_two_pages_agree(robbie: Robbie, browser: Browser):
    context = await browser.new_context()
    page, other = await strict_page(context), await strict_page(context)
    await page.goto(robbie.link)
    await other.goto(robbie.url)
    for text in ("<script>document.title = 'taken'</script>", "/help", "<img src=x onerror=\"document.title = 'taken'\">"):
        count = await page.locator(".message").count()
        await send(page, text)
        await expect(page.locator(".message")).to_have_count(count + 2)
        await expect(page.locator(".message.in .text").last).to_have_text(text)
    for each in (page, other):
        await expect(each.locator(".message")).to_have_count(6)
        await expect(each.locator(".progress")).to_have_count(0)
    assert await other.locator(".text").all_inner_texts() == await page.locator(".text").all_inner_texts()
    await expect(page).to_have_title("Robbie")
    await expect(page.locator("#log img")).to_have_count(0)


async def test_page_survives_the_loss_of_the_hub(robbie: Robbie, browser: Browser):
    context = await browser.new_context()
    page = await strict_page(context)
    await page.goto(robbie.link)
    await send(page, "/help")
    await expect(page.locator(".message")).to_have_count(2)
    await context.set_offline(True)
    await send(page, "/status")
    await expect(page.get_by_text("Your words are kept here")).to_be_visible()
    await expect(page.get_by_label("Your message")).to_have_value("/status")
    await context.set_offline(False)
    await page.get_by_label("Send").click()
    await expect(page.locator(".message")).to_have_count(4)
    await expect(page.get_by_text("Your words are kept here")).to_be_hidden()
    await expect(page.get_by_text("The line is down")).to_be_hidden()
    await send(page, "/status")  # the same words, another message
    await expect(page.locator(".message")).to_have_count(6)


async def test_what_was_written_waits_for_the_next_sign_in(robbie: Robbie, browser: Browser):
    context = await browser.new_context()
    page, other = await strict_page(context), await strict_page(context)
    await page.goto(robbie.link)
    await other.goto(robbie.url)
    await other.get_by_text("Sign out").click()
    await expect(other.get_by_text("robbie signin", exact=True)).to_be_visible()
    await send(page, "not to be lost")
    await expect(page.get_by_text("robbie signin", exact=True)).to_be_visible()
    await page.goto(await asyncio.to_thread(robbie.sign_in))
    await expect(page.get_by_label("Your message")).to_have_value("not to be lost")
    await page.reload()
    await expect(page.get_by_label("Your message")).to_have_value("")


async def test_page_heals_when_the_hub_comes_back(robbie: Robbie, browser: Browser):
    page = await strict_page(await browser.new_context())
    await page.goto(robbie.link)
    await send(page, "/help")
    await expect(page.locator(".message")).to_have_count(2)
    await asyncio.to_thread(robbie.stop)
    await expect(page.get_by_text("The line is down")).to_be_visible()
    await asyncio.to_thread(robbie.start)
    await expect(page.get_by_text("The line is down")).to_be_hidden()
    await send(page, "/status")
    await expect(page.locator(".message")).to_have_count(4)


async def test_an_answer_is_judged_by_keys_alone_and_the_word_is_there_again(robbie: Robbie, browser: Browser):
    context = await browser.new_context()
    page = await strict_page(context)
    await page.goto(robbie.link)
    await send(page, "/help")
    await expect(page.locator(".message.answer")).to_have_count(1)
    await send(page, "What day is it?")
    await expect(page.locator(".message.answer")).to_have_count(2)
    good, bad = page.get_by_role("button", name="Good answer"), page.get_by_role("button", name="Bad answer")
    await expect(good).to_have_count(1)  # not under what a command said
    await good.focus()
    await page.keyboard.press("Enter")
    await expect(good).to_have_attribute("aria-pressed", "true")
    await expect(good).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await expect(bad).to_have_attribute("aria-pressed", "true")
    await expect(good).to_have_attribute("aria-pressed", "false")
    await page.reload()
    await expect(bad).to_have_attribute("aria-pressed", "true")
    await context.set_offline(True)
    await bad.press("Space")
    await expect(page.get_by_text("I did not get that thumb")).to_be_visible()
    await expect(bad).to_have_attribute("aria-pressed", "true")
    await context.set_offline(False)
    await bad.press("Space")
    await expect(bad).to_have_attribute("aria-pressed", "false")
    await expect(page.get_by_text("I did not get that thumb")).to_be_hidden()
    await page.reload()
    await expect(bad).to_have_attribute("aria-pressed", "false")
    await expect(page.get_by_label("Your message")).to_have_value("")
    await expect(page.locator(".message")).to_have_count(4)


async def test_page_works_without_script(robbie: Robbie, browser: Browser):
    page = await strict_page(await browser.new_context(java_script_enabled=False))
    await page.goto(robbie.link)
    await page.get_by_label("Your message").fill("/help")
    await page.get_by_label("Send").click()
    await expect(page.locator(".message.out .text")).to_contain_text("I am Robbie")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_page_fits_every_screen(robbie: Robbie, browser: Browser, tmp_path: Path, size: str, scheme: str):
    folder = Path(os.environ.get("ROBBIE_SCREENSHOTS", tmp_path))
    context = await browser.new_context(
        viewport=SIZES[size], color_scheme=scheme, device_scale_factor=2, has_touch=size == "phone", is_mobile=size == "phone"
    )
    page = await strict_page(context)
    await page.goto(robbie.link)
    for count, text in enumerate(("What can you do?", "What is the capital of France?"), 1):
        await page.get_by_label("Your message").fill(text)
        await page.get_by_label("Send").click()
        await expect(page.locator(".message.answer")).to_have_count(count)
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= SIZES[size]["width"], "nothing sticks out to the side"
    await expect(page.locator(".message.answer").last).to_be_in_viewport()
    await expect(page.get_by_label("Send")).to_be_in_viewport()
    await page.get_by_role("button", name="Good answer").last.click()
    await expect(page.get_by_role("button", name="Good answer").last).to_have_attribute("aria-pressed", "true")
    await page.screenshot(path=folder / f"web-chat-{size}-{scheme}.png")
