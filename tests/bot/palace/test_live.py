"""An open page: it sees replies grow, misses nothing when its line breaks, and learns of what other processes write."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import aiohttp

from bot.domain.clock import new_id
from bot.domain.message import OutgoingKind
from bot.hub.feed import Grown
from bot.palace.view import LONGEST_BLOCK
from tests.bot.palace.test_pages import say, settled
from tests.bot.palace.web_house import House, read_events


class Page:
    """What a page with our script would show, by the pieces it was sent."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._events = read_events(response)
        self.items: dict[str, str] = {}
        self.growths: list[str] = []

    async def until(self, words: str) -> None:
        """Take pieces until *words* are shown."""
        async with asyncio.timeout(5):
            while not any(words in item for item in self.items.values()):
                self._take((await anext(self._events))[1])

    def _take(self, pieces: str) -> None:
        for target, swap, html in re.findall(r'<hx-partial hx-target="#([^"]+)" hx-swap="(\w+)">(.*?)</hx-partial>', pieces, re.DOTALL):
            if target == "log":
                self.items[re.search(r' id="([^"]+)"', html).group(1)] = html
            elif swap == "delete":
                self.items.pop(target, None)
            else:
                self._grow(target[0], f"r-{target[2:]}", html, swap)

    def _grow(self, part: str, item: str, html: str, swap: str) -> None:
        """All of a growing reply anew, or its last block, or a block that now stands before that one, or the end of a long one."""
        self.growths.append(html)
        before, mark, last = self.items[item].partition(f'<div class="last" id="g-{item[2:]}">')
        self.items[item] = {
            "t innerHTML": html,
            "g innerHTML": f"{before}{mark}{html}</div>",
            "g beforebegin": f"{before}{html}{mark}{last}",
            "v beforeend": f"{before}{mark}{last.removesuffix('</p></div>')}{html}</p></div>",
        }[f"{part} {swap}"]

    async def grows(self) -> None:
        """Take pieces until more of a reply is shown, or a reply begins."""
        async with asyncio.timeout(5):
            so_far = len(self.growths) + len(self.items)
            while len(self.growths) + len(self.items) == so_far:
                self._take((await anext(self._events))[1])


@asynccontextmanager
async def open_page(client: aiohttp.ClientSession, **headers: str) -> AsyncIterator[Page]:
    async with client.get("/chat/events?conversation=main", headers=headers) as response:
        assert response.status == 200
        yield Page(response)


@asynccontextmanager
async def page_that_sees(house: House, event_id: UUID, *texts: str) -> AsyncIterator[Page]:
    """An open page, while a reply of these pieces grows."""
    browser = await house.browser()
    await say(browser, "hello")
    await settled(house)
    async with open_page(browser) as page:
        await page.until("heard: hello")
        for text in texts:
            house.hub.feed.publish(await conversation_of(house), Grown(event_id=event_id, text=text))
            await page.grows()
        yield page


async def test_page_sees_question_growth_and_answer(house: House):
    browser = await house.browser()
    house.brain.replies["hello"] = ["One ", "<b>two</b> ", "three."]
    house.brain.before_piece = lambda: asyncio.sleep(0.08)
    async with open_page(browser) as page:
        await say(browser, "hello")
        await page.until("One &lt;b&gt;two&lt;/b&gt; three.</p>")
    assert len(page.items) == 2  # nothing is left of the growing one
    assert len(page.growths) >= 2


async def test_stream_that_changes_model_replaces_what_was_shown(house: House):
    browser = await house.browser()
    house.brain.replies["hello"] = ["Wrong", "\x01Right", " indeed."]
    house.brain.before_piece = lambda: asyncio.sleep(0.08)
    async with open_page(browser) as page:
        await say(browser, "hello")
        await page.until("Right indeed.</p>")
    assert any("<p>Right</p>" in growth for growth in page.growths)


async def test_growing_reply_is_shown_as_what_it_will_be(house: House):
    """Each block once when it is whole; only the last one again and again."""
    event_id = new_id()
    async with page_that_sees(house, event_id, "# Plan\n\nSome **bo", "ld** words.\n\n- one\n- t", "wo\n\nThe <i>end\n") as page:
        await page.until("The &lt;i&gt;end")
    whole = "<h3>Plan</h3><p>Some <strong>bold</strong> words.</p><ul><li>one\n</li><li>two\n</li></ul>"
    assert f'{whole}<div class="last" id="g-{event_id}"><p>The &lt;i&gt;end</p></div>' in page.items[f"r-{event_id}"]
    assert sum("Plan" in growth for growth in page.growths) == 1


async def test_block_that_grows_long_is_shown_as_it_comes(house: House):
    event_id = new_id()
    texts = ("First.\n\n", "**b** " * (LONGEST_BLOCK // 4), "**b** **b**", " <end>\n\nmore", " and more\n")
    async with page_that_sees(house, event_id, *texts) as page:
        await page.until("more and more")
    assert "<p>First.</p>" in page.items[f"r-{event_id}"]
    assert "<strong>b</strong> &lt;end&gt;</p>" in page.items[f"r-{event_id}"]
    assert "<p>more and more</p>" in page.items[f"r-{event_id}"]
    assert any('class="verbatim"' in growth for growth in page.growths)
    assert "**b** **b**" in page.growths, "what is added to a long block is sent alone"


async def test_page_that_comes_late_sees_what_is_growing(house: House):
    browser = await house.browser()
    house.brain.gate.clear()
    await say(browser, "hello")
    async with open_page(browser) as page:
        await page.until("Robbie is thinking.")
        house.brain.gate.set()
        await page.until("heard: hello")


async def test_broken_line_loses_nothing_and_repeats_nothing_lasting(house: House):
    browser = await house.browser()
    async with open_page(browser) as page:
        await say(browser, "one")
        await page.until("heard: one")
    last = max(page.items)[2:]
    await say(browser, "two")
    await settled(house)
    async with open_page(browser, **{"Last-Event-ID": last}) as again:
        await again.until("heard: two")
    assert len({**page.items, **again.items}) == 4  # what is sent again has the same id, and takes its own place


async def test_page_learns_of_what_another_process_says(house: House):
    """Nothing is published here: only the row appears."""
    browser = await house.browser()
    await say(browser, "hello")
    await settled(house)
    async with open_page(browser) as page:
        await page.until("heard: hello")
        async with house.database.unit_of_work() as work:
            [_, answer] = await work.messages.latest(await conversation_of(house), limit=2)
            late = type(answer)(**{**values(answer), "id": new_id(), "kind": OutgoingKind.LATE, "text": "the late one"})
            await work.messages.add(late)
        await page.until("the late one")
        assert any("A late answer" in item for item in page.items.values())


async def test_row_that_appears_out_of_order_is_not_missed(house: House):
    """Another process makes an id, and commits its row only after a younger one was read."""
    browser, early = await house.browser(), new_id()
    async with open_page(browser) as page:
        await say(browser, "hello")
        await page.until("heard: hello")
        async with house.database.unit_of_work() as work:
            [question, _] = await work.messages.latest(await conversation_of(house), limit=2)
            await work.messages.add(type(question)(**{**values(question), "id": early, "text": "from before"}))
        await page.until("from before")


async def test_finished_reply_does_not_grow_again(house: House):
    """The row is there a moment before the feed forgets that it grew."""
    browser = await house.browser()
    async with open_page(browser) as page:
        await say(browser, "one")
        await page.until("heard: one")
        async with house.database.reading() as work:
            [question, _] = await work.messages.latest(await conversation_of(house), limit=2)
        house.hub.feed.publish(question.conversation_id, Grown(event_id=question.id, text="heard:"))
        await say(browser, "two")
        await page.until("heard: two")
    assert not any(item.startswith("r-") for item in page.items)


async def test_nobody_hears_anybody_else(house: House):
    async with open_page(await house.browser(house.grace)) as hers:
        await say(await house.browser(), "a secret")
        await settled(house)
        await say(await house.browser(house.grace), "mine")
        await hers.until("heard: mine")
    assert not any("secret" in item for item in hers.items.values())


async def conversation_of(house: House):
    async with house.database.reading() as work:
        return (await work.conversations.find(channel="web", key=f"{house.owner.id}/main")).id


def values(message) -> dict[str, object]:
    return {column.key: getattr(message, column.key) for column in message.__table__.columns}
