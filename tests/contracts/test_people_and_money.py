"""The contract of the smaller repositories, on both databases: people, credentials, notes, incidents, breakers and spending."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.domain.errors import Conflict
from storage.database import Database
from storage.models.housekeeping import Credential
from tests.stage import Stage


async def test_people_are_who_config_says_and_keep_their_ids(stage: Stage):
    async with stage.database.unit_of_work() as work:
        await work.people.ensure_organization(stage.clock.now())
        again = await work.people.ensure_user(name="Grace", role="owner", timezone="Asia/Tokyo", now=stage.clock.advance(seconds=1))
        users = await work.people.users()
    assert (again.id, again.role, again.timezone, again.created_at) == (stage.grace.id, "owner", "Asia/Tokyo", stage.grace.created_at)
    assert [user.name for user in users] == ["Allan", "Grace"]


async def test_an_account_leads_to_one_person_the_last_that_it_was_linked_to(stage: Stage):
    async with stage.database.unit_of_work() as work:
        for user in (stage.grace, stage.allan, stage.allan):
            await work.people.ensure_identity(channel="slack", account="T1/U1", user_id=user.id, now=stage.clock.now())
        assert await work.people.find_user_by_account("slack", "T1/U1") == stage.allan
        assert await work.people.find_user_by_account("telegram", "T1/U1") is None
        assert [(identity.channel, identity.user_id) for identity in await work.people.identities()] == [("slack", stage.allan.id)]


async def test_people_who_are_as_config_says_are_not_written_again(stage: Stage):
    """Each command says who is who; on a busy hub that must not cost a write."""
    account = {"channel": "slack", "account": "T1/U1", "user_id": stage.allan.id, "now": stage.clock.now()}
    async with stage.database.unit_of_work() as work:
        for changes in (True, False):
            assert await work.people.ensure_identity(**account) is changes
            assert await work.people.retire(except_for={"Allan"}) is changes
        assert await work.people.ensure_identity(**{**account, "user_id": stage.grace.id})
        assert await work.people.retire(except_for=())


async def test_a_person_is_found_by_exact_name_and_by_id(stage: Stage):
    async with stage.database.reading() as work:
        assert await work.people.find_user("Allan") == stage.allan
        assert await work.people.find_user("allan") is None
        assert await work.people.find_user_by_id(stage.grace.id) == stage.grace


async def test_a_link_opens_the_door_once_also_for_ten_at_once(stage: Stage):
    await _credential(stage, "link", "hash", minutes=60)

    async def redeem(database: Database) -> Credential | None:
        async with database.unit_of_work() as work:
            return await work.credentials.redeem("link", "hash", stage.clock.now())

    async with Database(stage.database.url, organization="default") as other_process:
        redeemed = await asyncio.gather(*(redeem(database) for database in (stage.database, other_process) for _ in range(5)))
    used = [credential for credential in redeemed if credential is not None]
    assert [(credential.user_id, credential.ended_at) for credential in used] == [(stage.allan.id, stage.clock.now())]


async def test_a_credential_is_good_for_its_kind_and_its_time(stage: Stage):
    await _credential(stage, "session", "hash", minutes=60)
    await _credential(stage, "token", "forever", minutes=None)

    async def is_valid(kind: str, secret_hash: str) -> bool:
        async with stage.database.reading() as work:
            return await work.credentials.find_valid(kind, secret_hash, stage.clock.now()) is not None

    assert [await is_valid("session", "hash"), await is_valid("link", "hash"), await is_valid("session", "other")] == [True, False, False]
    stage.clock.advance(seconds=3600)
    assert [await is_valid("session", "hash"), await is_valid("token", "forever")] == [False, True]


async def test_a_revoked_credential_is_gone_and_can_be_revoked_once(stage: Stage):
    kept, revoked = await _credential(stage, "token", "one", minutes=None), await _credential(stage, "token", "two", minutes=None)
    async with stage.database.unit_of_work() as work:
        assert await work.credentials.end(revoked.id, stage.clock.now())
        assert not await work.credentials.end(revoked.id, stage.clock.now())
        assert await work.credentials.valid("token", stage.clock.now()) == [kept]
        assert await work.credentials.redeem("token", "two", stage.clock.now()) is None


async def test_one_secret_is_one_credential(stage: Stage):
    await _credential(stage, "token", "hash", minutes=None)
    with pytest.raises(Conflict):
        await _credential(stage, "token", "hash", minutes=None)


async def test_notes_are_their_persons_own_newest_first(stage: Stage):
    message = await stage.says("/note milk")
    async with stage.database.unit_of_work() as work:
        for text in ("eggs", "milk"):
            await work.notes.add(user_id=stage.allan.id, text=text, now=stage.clock.now(), source_id=message.id if text == "milk" else None)
        await work.notes.add(user_id=stage.grace.id, text="hers", now=stage.clock.now(), source_id=None)
        assert [note.text for note in await work.notes.latest(stage.allan.id, limit=5)] == ["milk", "eggs"]
        assert [note.text for note in await work.notes.latest(stage.allan.id, limit=1)] == ["milk"]
        (milk,) = await work.notes.latest(stage.allan.id, limit=1)
    assert milk.source_id == message.id


async def test_an_incident_noticed_often_is_recorded_once(stage: Stage):
    async with stage.database.unit_of_work() as work:
        news = [
            await work.incidents.add_once(kind=kind, key=key, detail="why", now=stage.clock.now())
            for kind, key in (("level", "a"), ("level", "a"), ("level", "b"), ("allowance", "a"))
        ]
        latest = await work.incidents.latest(limit=2)
    assert news == [True, False, True, True]
    assert [(incident.kind, incident.key) for incident in latest] == [("allowance", "a"), ("level", "b")]


async def test_a_breaker_is_kept_as_it_was_last(stage: Stage):
    row = {"rung": "gpt/key", "state": "open", "openings": 1, "outcomes": [True, False], "retry_at": stage.clock.now()}
    async with stage.database.unit_of_work() as work:
        await work.health.save([row | {"updated_at": stage.clock.now()}, {**row, "rung": "local", "updated_at": stage.clock.now()}])
        changed = {"state": "closed", "openings": 2, "outcomes": [], "retry_at": None, "updated_at": stage.clock.advance(seconds=1)}
        await work.health.save([row | changed])
        kept = {health.rung: health for health in await work.health.all()}
    assert kept.keys() == {"gpt/key", "local"}
    assert {name: getattr(kept["gpt/key"], name) for name in changed} == changed
    assert (kept["local"].state, kept["local"].outcomes) == ("open", [True, False])


async def test_twenty_reservations_at_once_never_pass_the_limit(stage: Stage):
    since = stage.clock.now() - timedelta(hours=12)

    async def reserve(database: Database) -> bool:
        async with database.unit_of_work() as work:
            call = {"at": stage.clock.now(), "level": "gpt", "provider": "openai", "model": "m"}
            return await work.usage.reserve(limit_usd=1.0, since=since, cost_usd=0.125, **call) is not None

    async with Database(stage.database.url, organization="default") as other_process:
        granted = await asyncio.gather(*(reserve(database) for database in (stage.database, other_process) for _ in range(10)))
    assert sum(granted) == 8
    async with stage.database.reading() as work:
        assert await work.usage.spent_since(since) == 1.0


async def test_a_settled_reservation_counts_what_it_really_cost_in_its_own_day(stage: Stage):
    call = {"level": "gpt", "provider": "openai", "model": "m"}
    today = stage.clock.now()
    async with stage.database.unit_of_work() as work:
        await work.usage.add(at=today - timedelta(seconds=1), cost_usd=4.0, outcome="ok", **call)
        reservation = await work.usage.reserve(limit_usd=1.0, since=today, cost_usd=1.0, at=today, **call)
        assert reservation is not None
        assert await work.usage.reserve(limit_usd=1.0, since=today, cost_usd=0.5, at=today, **call) is None
        await work.usage.settle(reservation, outcome="ok", cost_usd=0.25, first_token_ms=12.5)
        assert await work.usage.spent_since(today) == 0.25
        assert await work.usage.reserve(limit_usd=1.0, since=today, cost_usd=0.5, at=today, **call) is not None
        assert await work.usage.first_token_ms("gpt", limit=5) == [12.5]
        assert await work.usage.first_token_ms("claude", limit=5) == []


async def _credential(stage: Stage, kind: str, secret_hash: str, *, minutes: int | None) -> Credential:
    now = stage.clock.now()
    expires_at = None if minutes is None else now + timedelta(minutes=minutes)
    async with stage.database.unit_of_work() as work:
        return await work.credentials.add(
            kind=kind, secret_hash=secret_hash, user_id=stage.allan.id, label="test", now=now, expires_at=expires_at
        )
