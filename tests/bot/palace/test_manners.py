"""Setting Robbie on the page and by the API: each person their own, heard before it is done, done once, and taken back."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.bot.palace.web_house import House, error_of


async def look(client: aiohttp.ClientSession) -> dict[str, Any]:
    async with client.get("/api/manners") as response:
        assert response.status == 200
        return await response.json()


async def put(client: aiohttp.ClientSession, path: str = "", **body: Any) -> dict[str, Any]:
    async with client.post(f"/api/manners{path}", json=body) as response:
        assert response.status == 200, await response.text()
        return await response.json()


def values(told: dict[str, Any], context: str = "*") -> dict[str, Any]:
    return next(each["values"] for each in told["contexts"] if each["context"] == context)


async def test_page_is_told_what_holds_and_what_each_step_means(house: House):
    told = await look(await house.browser())
    assert [each["context"] for each in told["contexts"]] == ["*", "private", "channel", "email", "brief"]
    assert values(told) == {"gandhi": 4, "cocktail": 5, "flirty": 1, "mood": "focused"}
    gandhi = told["sliders"][0]
    assert (gandhi["left"], gandhi["right"], len(gandhi["steps"])) == ("Gandhi", "Genghis", 10)
    assert gandhi["steps"][0].startswith("1 outreach mails a day")
    assert gandhi["steps"][-1].startswith("20 outreach mails a day")


async def test_change_is_heard_before_it_is_made(house: House):
    browser = await house.browser()
    async with browser.get("/api/manners/preview?context=*&gandhi=9&mood=playful") as response:
        text = (await response.json())["text"]
    assert "Before:" in text
    assert "outreach mails a day 3 → 14" in text
    assert values(await look(browser))["gandhi"] == 4, "hearing changes nothing"


async def test_change_is_made_once_for_its_id_and_taken_back(house: House):
    browser = await house.browser()
    first = await put(browser, id="a", changes={"gandhi": "+1", "mood": "calm"})
    again = await put(browser, id="a", changes={"gandhi": "+1", "mood": "calm"})
    assert values(first) == values(again) == {"gandhi": 5, "cocktail": 5, "flirty": 1, "mood": "calm"}
    assert first["text"] == again["text"]
    assert [each["source"] for each in first["history"]] == ["web", "web"]
    back = await put(browser, "/undo")
    assert back["text"].startswith("Taken back")
    assert values(back) == {"gandhi": 4, "cocktail": 5, "flirty": 1, "mood": "focused"}
    assert all(each["is_void"] for each in back["history"])


async def test_any_id_is_one(house: House):
    browser = await house.browser()
    for _ in range(2):
        told = await put(browser, id="half \ud800 \x00", context=None, until="", changes={"gandhi": "+1"})
    assert values(told)["gandhi"] == 5


async def test_each_person_sets_their_own(house: House):
    await put(await house.browser(), changes={"cocktail": "9"})
    grace = await look(await house.browser(house.grace))
    assert values(grace)["cocktail"] == 5
    assert grace["history"] == []
    assert [each["context"] for each in grace["contexts"]] == ["*", "private", "email", "brief"]
    assert all("flirty" not in each["settable"] for each in grace["contexts"])


async def test_change_for_a_while_tells_its_end(house: House):
    browser = await house.browser()
    today = await put(browser, context="email", changes={"gandhi": "2"}, until="today")
    email = next(each for each in today["contexts"] if each["context"] == "email")
    assert email["values"]["gandhi"] == 2
    assert email["until"]["gandhi"].startswith("the end of")
    assert values(today, "private")["gandhi"] == 4


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"changes": {"gandhi": "11"}}, "bad_manners"),
        ({"changes": {"mood": "angryy"}}, "bad_manners"),
        ({"changes": {"gandi": "3"}}, "bad_manners"),
        ({"changes": {"gandhi": "3"}, "context": "kitchen"}, "bad_manners"),
        ({"changes": {"flirty": "5"}, "context": "email"}, "bad_manners"),
        ({"changes": {"gandhi": "3"}, "until": "2001-01-01T00:00"}, "bad_manners"),
        ({"changes": {"gandhi": "3"}, "until": "9999-12-31T23:59"}, "bad_manners"),
        ({"changes": {"gandhi": "3"}, "until": "soon"}, "bad_manners"),
        ({"changes": {"gandhi": 3}}, "bad_request"),
        ({"changes": {}}, "bad_request"),
        ({"changes": {"mood": "\ud800\x00<b>"}}, "bad_manners"),
        ({"changes": {"\ud800": "3"}, "context": "*"}, "bad_manners"),
        ({"changes": {"gandhi": "3"}, "until": "\ud800 \x00"}, "bad_manners"),
        ({"changes": {"gandhi": "3"}, "id": ["a"]}, "bad_request"),
        ([], "bad_request"),
    ],
)
async def test_what_cannot_be_set_is_told_and_changes_nothing(house: House, body: Any, code: str):
    browser = await house.browser()
    async with browser.post("/api/manners", json=body) as response:
        assert await error_of(response) == (400, code)
    assert (await look(browser))["history"] == []


async def test_stranger_and_foreign_page_get_nothing(house: House):
    async with house.anonymous.get("/api/manners") as response:
        assert (await error_of(response))[0] == 401
    browser = await house.browser()
    async with browser.post("/api/manners", json={"changes": {"gandhi": "3"}}, headers={"Origin": "https://evil.example"}) as response:
        assert (await error_of(response))[0] == 403
