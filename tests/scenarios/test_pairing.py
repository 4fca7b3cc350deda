"""How an account comes to somebody, at the edges: nobody is locked out for ever, becomes somebody else, or loses what they sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.config import IdentityConfig, PersonConfig
from bot.domain.message import Attachment
from bot.hub.pairing import PAIR_LIFE
from tests.clock import FakeClock
from tests.scenarios.house import FakeDoor, House, open_house, until

pytestmark = pytest.mark.either


@pytest.fixture
async def house(database_url: str, tmp_path: Path, phone: FakeDoor, clock: FakeClock) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path, doors=[phone], clock=clock) as opened:
        yield opened


async def _hears(house: House, phone: FakeDoor, text: str, account: str = "bob", **more: object) -> None:
    await house.app.front.receive(phone.says(text, account=account, **more))


async def _code(house: House) -> str:
    ((code, _, _),) = await house.app.rooms.pairing.waiting()
    return code


async def test_a_stranger_whose_code_ran_out_is_told_another(house: House, phone: FakeDoor, clock: FakeClock):
    await _hears(house, phone, "hello?")
    first = await _code(house)
    clock.advance(seconds=PAIR_LIFE.total_seconds() + 1)
    assert await house.app.rooms.pairing.waiting() == []
    await _hears(house, phone, "anybody there?")
    assert await _code(house) != first
    await house.app.rooms.pairing.approve(await _code(house))
    await until(lambda: phone.texts[-1:] == ["re: anybody there?"])


async def test_a_stranger_who_was_turned_away_stays_so(house: House, phone: FakeDoor, clock: FakeClock):
    await _hears(house, phone, "hello?")
    assert await house.app.rooms.pairing.reject(await _code(house)) == "Bob (telegram bob)"
    clock.advance(seconds=PAIR_LIFE.total_seconds() + 1)
    await _hears(house, phone, "hello??")
    assert await house.app.rooms.pairing.waiting() == []


@pytest.mark.parametrize("is_let_in", [True, False])
async def test_an_account_that_was_taken_away_may_ask_again(house: House, phone: FakeDoor, is_let_in: bool):
    await _hears(house, phone, "hello?")
    await (house.app.rooms.pairing.approve if is_let_in else house.app.rooms.pairing.reject)(await _code(house))
    assert await house.app.rooms.pairing.revoke("telegram", "bob")
    await _hears(house, phone, "me again")
    assert await house.app.rooms.pairing.approve(await _code(house)) is not None
    await until(lambda: phone.texts[-1:] == ["re: me again"])


async def test_files_of_a_first_message_are_kept_for_its_answer(house: House, phone: FakeDoor):
    phone.files = {"F1": b"two eggs"}
    file = Attachment(name="list.txt", media_type="text/plain", size=8, source="F1")
    await _hears(house, phone, "what is this?", attachments=(file,), quoted="as you said")
    await house.app.rooms.pairing.approve(await _code(house))
    await until(lambda: house.model.asked != [])
    assert "two eggs" in house.model.asked[0]
    assert "> as you said" in house.model.asked[0]


async def test_a_strangers_name_is_one_line_without_signs(house: House, phone: FakeDoor):
    inbound = phone.says("hi", account="eve")
    object.__setattr__(inbound.sender, "name", "Eve\n\n**[Allan's wife](http://evil)** `x`")
    await house.app.front.receive(inbound)
    ((_, stranger, _),) = await house.app.rooms.pairing.waiting()
    assert stranger.name == "Eve Allan's wife(http://evil) x (telegram eve)"


async def test_a_code_without_a_slash_is_told_its_outcome(house: House, phone: FakeDoor):
    code = await house.app.rooms.pairing.link_code(house.owner)
    await _hears(house, phone, f"link {code}", account="777")
    await until(lambda: phone.texts[-1:] == ["This account is yours now: here and there you talk with the same me."])


async def test_somebody_let_in_does_not_become_whom_config_names_later(database_url: str, tmp_path: Path, phone: FakeDoor):
    """Neither somebody of that name nor the owner: a name alone joins nothing. An account does."""
    async with open_house(database_url, tmp_path, doors=[phone]) as house:
        for account in ("grace", "ada", "bob"):
            await _hears(house, phone, "hi", account=account)
            await house.app.rooms.pairing.approve(await _code(house))
        ids = {account: (await house.app.directory.by_account("telegram", account)).id for account in ("grace", "ada", "bob")}
    people = [
        PersonConfig(name="Ada", role="owner"),
        PersonConfig(name="Grace", identities=(IdentityConfig(platform="slack", id="U1"),)),
        PersonConfig(name="Bob", identities=(IdentityConfig(platform="telegram", id="bob"),)),
    ]
    async with open_house(database_url, tmp_path, doors=[phone], people=people, owner="Ada") as house:
        known = {account: await house.app.directory.by_account("telegram", account) for account in ids}
        assert {account: person.id for account, person in known.items()} == ids
        assert [known[account].role for account in ids] == ["member"] * 3
        assert [person.name.partition(" (")[0] for person in known.values()] == ["Grace", "Ada", "Bob"]
        assert (await house.app.directory.by_account("slack", "U1")).name == "Grace"
        assert house.owner.id not in ids.values()
