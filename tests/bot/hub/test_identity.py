"""Who is who: config names people, and whom it names no more has no rights."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from bot.config import IdentityConfig, PersonConfig, RobbieConfig
from bot.hub.identity import Directory
from storage.database import Database
from tests.clock import FakeClock
from tests.conftest import sqlite_url


def directory(database: Database, clock: FakeClock, *names: str, owner: str = "Allan") -> Directory:
    people = [PersonConfig(name=name, timezone="Europe/Berlin") for name in names]
    return Directory(database=database, robbie=RobbieConfig(owner=owner), people=people, clock=clock)


async def test_owner_exists_without_being_named(database: Database, clock: FakeClock):
    owner = await directory(database, clock).prepare()
    assert (owner.name, owner.is_owner) == ("Allan", True)


async def test_owner_under_a_new_name_is_the_same_person(database: Database, clock: FakeClock):
    before = await directory(database, clock).prepare()
    after = await directory(database, clock, owner="Ada").prepare()
    assert (after.id, after.name) == (before.id, "Ada")
    assert len(await directory(database, clock).everyone()) == 1


async def test_someone_else_who_becomes_the_owner_leaves_one_owner(database: Database, clock: FakeClock):
    allan = await directory(database, clock, "Grace").prepare()
    grace = await directory(database, clock, owner="Grace").prepare()
    assert grace.id != allan.id
    assert await directory(database, clock).by_id(allan.id) is None
    assert [person.name for person, _ in await directory(database, clock).everyone() if person.is_owner] == ["Grace"]


async def test_whom_config_names_no_more_has_no_rights_and_may_come_back(database: Database, clock: FakeClock):
    await directory(database, clock, "Bob").prepare()
    bob = await directory(database, clock).by_name("bob")
    await directory(database, clock).prepare()
    assert await directory(database, clock).by_name("Bob") is None
    await directory(database, clock, "Bob").prepare()
    assert await directory(database, clock).by_name("Bob") == bob


async def test_who_has_another_name_in_config_keeps_what_is_theirs_and_nobody_else_gets_it(database: Database, clock: FakeClock):
    def told(name: str, *accounts: str) -> Directory:
        accounts_of = tuple(IdentityConfig(platform="slack", id=each) for each in accounts)
        return Directory(database=database, robbie=RobbieConfig(), people=[PersonConfig(name=name, identities=accounts_of)], clock=clock)

    await told("Grace", "U1", "U2").prepare()
    grace = await told("Grace").by_name("Grace")
    await told("Grace Hopper", "U1", "U2").prepare()
    renamed = await told("Grace Hopper").by_name("Grace Hopper")
    assert grace
    assert renamed == replace(grace, name="Grace Hopper")
    await told("Bob", "U1", "U9").prepare()  # an account of hers beside one that never was
    bob = await told("Bob").by_name("Bob")
    assert bob
    assert bob.id != grace.id


async def test_people_who_are_as_config_says_are_not_written_again(sqlite_file: Path, clock: FakeClock):
    """Each command says who is who: beside a busy hub that must wait for no lock."""
    grace = PersonConfig(name="Grace", timezone="Asia/Tokyo", identities=(IdentityConfig(platform="slack", id="U1"),))
    allan = PersonConfig(name="Allan", role="owner", timezone="Europe/Berlin")
    async with Database(sqlite_url(sqlite_file), organization="default") as database:
        people = Directory(database=database, robbie=RobbieConfig(), people=[allan, grace], clock=clock)
        before = await people.prepare()
        with closing(sqlite3.connect(sqlite_file)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert await people.prepare() == before
