"""The chat page as it is served: everything in it harmless, everything in it the person's own, usable without any script."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from urllib.parse import urlencode

import aiohttp
import pytest

from bot.domain.clock import new_id
from bot.domain.message import Button, OutgoingKind
from bot.domain.ports import Card
from bot.hub.hub import Receipt
from bot.learning.realtime import Learning
from bot.services.notices import tell
from storage.models.messaging import Message
from tests.bot.palace.web_house import House

SCRIPTED = {"HX-Request": "true"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def page(client: aiohttp.ClientSession, path: str = "/") -> str:
    async with client.get(path) as response:
        assert response.status == 200
        return await response.text(errors="strict")


async def say(client: aiohttp.ClientSession, text: str, **headers: str) -> tuple[int, str]:
    body = urlencode({"text": text, "id": str(new_id()), "conversation": "main"}, errors="surrogatepass")
    async with client.post("/chat", data=body, headers={**FORM, **headers}, allow_redirects=False) as response:
        return response.status, await response.text()


async def settled(house: House) -> None:
    """Everything that was asked has been answered."""
    async with house.database.reading() as work:
        conversation = await work.conversations.find(channel="web", key=f"{house.owner.id}/main")
        assert conversation is not None
        questions = [message for message in await work.messages.latest(conversation.id, limit=500) if message.direction == "in"]
    for question in questions:
        receipt = Receipt(event_id=question.id, conversation_id=conversation.id, is_new=False)
        await house.hub.wait_for_reply(receipt, seconds=5)


async def test_page_needs_nothing_from_elsewhere_and_runs_nothing_inline(house: House):
    text = await page(await house.browser())
    assert re.findall(r'(?:src|href|action)="(?!/|#)', text) == []
    assert re.findall(r"<script(?! src=)|<style| style=| on\w+=", text) == []


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</li></ol><hx-partial hx-target=body>",
        "{{ 7*7 }} {% raw %}",
        "<head><title>x</title></head>",
    ],
)
async def test_what_was_said_is_shown_and_not_obeyed(house: House, text: str):
    browser = await house.browser()
    assert (await say(browser, text))[0] == 303
    await settled(house)
    shown = await page(browser)
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    assert shown.count(escaped) == 2  # the question and its echo
    assert text == escaped or text not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("NUL \x00 end", "NUL \ufffd end"),
        ("\x00" * 100_000 + "end", "\ufffdend"),
        ("half \ud800 pair", "half \ufffd pair"),
        ("\U0001f600" * 10_000, "\U0001f600" * 10_000),
    ],
)
async def test_unshowable_text_is_kept_and_shown_harmless(house: House, text: str, shown: str):
    async with (await house.script()).post("/api/chat", data=json.dumps({"text": text})) as response:
        assert response.status == 200
    html = await page(await house.browser())
    assert html.count(shown) == 2
    assert "\x00" not in html


async def test_tangled_markdown_does_not_break_the_page(house: House):
    browser = await house.browser()
    for text in ("> " * 5000, "[" * 5000, "*_" * 5000, "- " * 3000, "`" * 5001, "![](" * 3000):
        house.brain.replies[text.strip()] = text
        await say(browser, text)
    await settled(house)
    assert (await page(browser)).count('class="message out') == 6


async def test_form_works_without_script(house: House):
    browser = await house.browser()
    house.brain.gate.clear()
    status, _ = await say(browser, "hello\r\nthere")
    assert status == 303
    waiting = await page(browser)
    assert "<noscript><meta http-equiv=" in waiting
    assert "Robbie is thinking" in waiting
    house.brain.gate.set()
    await settled(house)
    answered = await page(browser)
    assert "hello\nthere" in answered
    assert "<noscript>" not in answered


async def test_script_gets_its_message_back_to_show(house: House):
    browser = await house.browser()
    status, piece = await say(browser, "hello", **SCRIPTED)
    assert status == 200
    assert piece.startswith('<hx-partial hx-target="#log" hx-swap="beforeend">')
    assert "hello" in piece
    assert (await say(browser, "  \n", **SCRIPTED))[0] == 204
    assert (await say(browser, "  \n"))[0] == 303


async def test_form_that_is_sent_twice_is_one_message(house: House):
    browser = await house.browser()
    for _ in range(2):
        async with browser.post("/chat", data="text=hello&id=F1", headers=FORM, allow_redirects=False) as response:
            assert response.status == 303
    await settled(house)
    assert house.brain.asked == ["hello"]


@pytest.mark.parametrize("body", [b"", b"text", b"\xff\xfe=\xff", b"text=%ff%fe%00", b"text=x&conversation=../x", b"a" * 100])
async def test_strange_forms_break_nothing(house: House, body: bytes):
    async with (await house.browser()).post("/chat", data=body, headers=FORM, allow_redirects=False) as response:
        assert response.status in (303, 400)


async def test_makeshifts_are_marked(house: House):
    browser = await house.browser()
    for kind in (OutgoingKind.OFFLINE, OutgoingKind.NOTICE):
        house.brain.kind = kind
        await say(browser, f"a question for {kind}")
        await settled(house)
    shown = await page(browser)
    assert "Answered without a model." in shown
    assert "A note from Robbie" in shown


async def test_answer_tells_how_it_came_about_when_asked(house: House):
    browser = await house.browser()
    await say(browser, "hello")
    await settled(house)
    shown = await page(browser)
    assert "<details>" in shown
    assert "embedded (smollm2-135m-instruct)" in shown


async def fill(house: House, count: int) -> None:
    """*count* messages, long answered."""
    async with house.database.unit_of_work() as work:
        conversation = await work.conversations.ensure(
            channel="web", key=f"{house.owner.id}/main", user_id=house.owner.id, session_type="private", now=datetime.now(UTC)
        )
        for number in range(count):
            await work.messages.add(
                Message(
                    organization_id="default",
                    id=new_id(),
                    conversation_id=conversation.id,
                    user_id=house.owner.id,
                    direction="in" if number % 2 == 0 else "out",
                    kind="message" if number % 2 == 0 else "answer",
                    text=f"line {number}.",
                    at=datetime(2026, 1, 5, 12, 0, tzinfo=UTC),
                    session_type="private",
                    details={"model": "", "pattern": "my notes", "confidence": 0.98, "why": "computed"} if number == 1 else None,
                )
            )


async def test_an_answer_without_a_model_tells_how_it_came_about_and_how_sure_it_is(house: House):
    await fill(house, 2)
    shown = await page(await house.browser())
    assert re.search(r"<dt>Confidence</dt>\s*<dd>98%</dd>", shown)


async def test_earlier_messages_can_be_had_to_the_first(house: House):
    await fill(house, 120)
    browser = await house.browser()
    shown = await page(browser)
    assert ("line 70." in shown, "line 69." in shown) == (True, False)
    seen = 50
    while found := re.search(r'hx-get="(/chat/earlier[^"]+)"', shown):
        shown = await page(browser, found.group(1).replace("&amp;", "&"))
        seen += len(re.findall(r"line \d+\.", shown))
    assert seen == 120
    assert "line 0." in shown
    async with browser.get("/chat/earlier?before=nonsense") as response:
        assert response.status == 400


async def test_time_is_the_persons_own(house: House):
    await fill(house, 1)
    assert ">5 Jan, 07:00</time>" in (await page(await house.browser())).replace("5 Jan 2026,", "5 Jan,")


async def test_page_shows_the_persons_own_conversation_only(house: House):
    await say(await house.browser(), "a secret")
    await settled(house)
    assert "secret" not in await page(await house.browser(house.grace))
    async with (await house.browser(house.grace)).get(f"/chat?conversation={house.owner.id}%2Fmain") as response:
        assert response.status == 400


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json", "text/plain"])
async def test_what_is_no_form_is_refused_and_nothing_is_kept(house: House, kind: str):
    browser = await house.browser()
    async with browser.post("/chat", data=b'{"text": "hello"}', headers={"Content-Type": kind}) as response:
        assert response.status == 415
    assert 'class="message' not in await page(browser)


async def test_what_waits_for_a_decision_and_what_is_in_trouble_stands_above_the_conversation(house: House):
    house.attention.troubles = ["Telegram is closed to me since 14:02: <b>revoked</b>"]
    house.attention.cards = [Card(text="**Mail from <script>** waits", buttons=(Button(label="Approve", command="/approve K7"),))]
    shown = await page(await house.browser(), "/chat/attention")
    assert "&lt;b&gt;revoked&lt;/b&gt;" in shown
    assert "<script>" not in shown
    assert '<button name="text" value="/approve K7">Approve</button>' in shown
    assert '<div id="attention" hx-get="/chat/attention"' in await page(await house.browser())


async def test_choices_under_a_message_are_buttons(house: House):
    async with house.database.unit_of_work() as work:
        let_in = Button(label="Let in", command="/pair approve X")
        await tell(work, house.owner.id, "Bob wants in.", now=datetime.now(UTC), buttons=[let_in])
    assert '<button name="text" value="/pair approve X">Let in</button>' in await page(await house.browser())


async def judge(client: aiohttp.ClientSession, message_id: object, word: str, **headers: str) -> tuple[int, str]:
    body = urlencode({"message": str(message_id), "word": word, "conversation": "main"})
    async with client.post("/chat/word", data=body, headers={**FORM, **headers}, allow_redirects=False) as response:
        return response.status, await response.text()


def thumbs(html: str) -> list[tuple[str, str]]:
    """What a press of each thumb says, and whether it is pressed."""
    return re.findall(r'<button name="word" value="([^"]*)" aria-label="[^"]+" aria-pressed="(true|false)"', html)


async def answered(house: House, browser: aiohttp.ClientSession) -> Message:
    """The answer to a question that was asked in the page."""
    await say(browser, "hello")
    await settled(house)
    async with house.database.reading() as work:
        conversation = await work.conversations.find(channel="web", key=f"{house.owner.id}/main")
        assert conversation is not None
        return (await work.messages.latest(conversation.id, limit=1))[0]


NOTHING, UP, DOWN = [("👍", "false"), ("👎", "false")], [("-👍", "true"), ("👎", "false")], [("👍", "false"), ("-👎", "true")]


async def test_the_last_thumb_counts_and_pressing_it_again_takes_it_back(house: House):
    browser = await house.browser()
    answer = await answered(house, browser)
    assert thumbs(await page(browser)) == NOTHING
    for word, shown, score in (("👍", UP, 1.0), ("👎", DOWN, 0.0), ("👎", DOWN, 0.0), ("-👎", NOTHING, None), ("👍", UP, 1.0)):
        status, piece = await judge(browser, answer.id, word, **SCRIPTED)
        assert (status, thumbs(piece)) == (200, shown), word
        assert thumbs(await page(browser)) == shown, "the page that is opened anew"
        async with house.database.reading() as work:
            row = await work.feedback.find(house.owner.id, answer.id)
        assert (row and row.score) == score, word


async def test_a_thumb_can_take_back_what_was_said_by_the_command(house: House):
    browser = await house.browser()
    answer = await answered(house, browser)
    async with house.database.unit_of_work() as work:
        await Learning().rate(work, house.owner.id, answer, value=0.33, source="command", detail="7", now=datetime.now(UTC))
    assert thumbs(await page(browser)) == [("-7", "true"), ("👎", "false")]
    assert thumbs((await judge(browser, answer.id, "-7", **SCRIPTED))[1]) == NOTHING
    status, _ = await judge(browser, answer.id, "👎")
    assert (status, thumbs(await page(browser))) == (303, DOWN), "a page without script"


async def test_only_ones_own_answers_can_be_judged_and_no_other_site_can_do_it(house: House):
    browser = await house.browser()
    answer = await answered(house, browser)
    for client, message_id in (
        (await house.browser(house.grace), answer.id),
        (browser, answer.reply_to),
        (browser, "x"),
        (browser, new_id()),
    ):
        assert (await judge(client, message_id, "👍", **SCRIPTED))[0] == 404
    assert (await judge(house.anonymous, answer.id, "👍", **SCRIPTED))[0] == 401
    assert (await judge(browser, answer.id, "👍", Origin="https://elsewhere.example"))[0] == 403
    async with house.database.reading() as work:
        assert [row.value for row in await work.feedback.on(answer.id)] == [None]


async def test_what_no_model_and_no_pattern_said_takes_no_thumb(house: House):
    browser = await house.browser()
    house.brain.kind = OutgoingKind.NOTICE
    await say(browser, "hello")
    await settled(house)
    await fill(house, 4)
    shown = await page(browser)
    assert shown.count('class="message out') == 3
    assert thumbs(shown) == NOTHING, "under the one that came of a pattern"
