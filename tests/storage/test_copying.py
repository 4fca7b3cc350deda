"""Moving between the two databases keeps every row and every value, or does nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import Table, insert, select

from bot.domain.clock import new_id
from bot.domain.errors import Conflict, StorageError, StorageUnavailable
from storage import copying
from storage.copying import copy_everything
from storage.database import Database, UnitOfWork
from storage.models.affairs import Contact, Deal, Task
from storage.models.base import Base
from storage.models.memory import Forgetting, Forgotten, Memory, Summary, SummarySource
from storage.models.messaging import InboxState
from storage.repositories.affairs import new_activity
from storage.repositories.base import values_of
from storage.schema import upgrade
from tests.stage import Stage


@pytest.fixture
def other_url(request: pytest.FixtureRequest, database_url: str, sqlite_file: Path) -> str:
    """An empty database of the other kind than the stage's."""
    url = request.getfixturevalue("postgres_url") if database_url.startswith("sqlite") else f"sqlite+aiosqlite:///{sqlite_file}"
    return str(url)


@pytest.fixture
async def other(other_url: str) -> AsyncIterator[Database]:
    async with Database(other_url, organization="default") as opened:
        yield opened


async def test_every_row_and_value_arrives(stage: Stage, other: Database):
    await _fill(stage)
    assert all((await _content(stage.database)).values()), "a table is empty: fill it in this test"
    steps: list[tuple[int, int]] = []
    copied = await copy_everything(stage.database, other, lambda done, total: steps.append((done, total)))
    content = await _content(stage.database)
    assert await _content(other) == content
    assert copied == sum(len(rows) for rows in content.values())
    assert steps[-1] == (copied, copied)


async def test_a_table_larger_than_a_batch_arrives_whole(stage: Stage, other: Database):
    rows = [
        {"organization_id": "default", "id": new_id(), "kind": "k", "key": str(number), "detail": "d", "at": stage.clock.now()}
        for number in range(2 * copying.BATCH + 1)
    ]
    async with stage.database.unit_of_work() as work:
        await work.connection.execute(insert(Base.metadata.tables["incidents"]), rows)
    await copy_everything(stage.database, other)
    assert len((await _content(other))["incidents"]) == len(rows)


async def test_the_database_that_is_locked_is_the_one_that_is_named(stage: Stage, other_url: str, tmp_path: Path):
    async with (
        Database(f"sqlite+aiosqlite:///{tmp_path / 'busy.db'}", organization="default", busy_seconds=0.01) as busy,
        Database(other_url, organization="default") as target,
    ):
        await upgrade(busy)
        with closing(sqlite3.connect(tmp_path / "busy.db", isolation_level=None)) as other_program:
            other_program.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageUnavailable, match=r"busy\.db: database is locked"):
                await copy_everything(busy, target)


async def test_a_target_that_holds_anything_is_refused_and_left_as_it_was(stage: Stage, other: Database):
    async with other.unit_of_work() as work:
        await work.people.ensure_organization(stage.clock.now())
    before = await _content(other)
    with pytest.raises(Conflict, match="already holds data"):
        await copy_everything(stage.database, other)
    assert await _content(other) == before


async def test_a_copy_that_fails_midway_leaves_nothing(stage: Stage, other: Database):
    await _fill(stage)

    def fail(done: int, total: int) -> None:
        if done > total / 2:
            raise StorageError("the cable was pulled")

    with pytest.raises(StorageError, match="the cable was pulled"):
        await copy_everything(stage.database, other, fail)
    assert not any((await _content(other)).values())
    await copy_everything(stage.database, other)
    assert await _content(other) == await _content(stage.database)


async def _fill(stage: Stage) -> None:
    """At least one row in every table, with the values that are hard to carry."""
    now = stage.clock.now()
    event_id = await stage.receives("NUL \x00, half \ud800, escape \ufdd0, 👩‍👩‍👧‍👦")
    event = await stage.claims()
    assert event is not None
    await stage.answers(event_id, "x" * 100_000, details={"cost_usd": 0.1, "why": "ż", "list": [1, None, True]}, recovered=True)
    async with stage.database.unit_of_work() as work:
        await work.inbox.settle(event, InboxState.QUEUED, now=now, deferred_at=now)
        await work.people.ensure_identity(channel="slack", account="T1/U1", user_id=stage.allan.id, now=now)
        await work.notes.add(user_id=stage.allan.id, text="milk", now=now, source_id=event_id)
        await work.incidents.add_once(kind="k", key="k", detail="d", now=now)
        await work.usage.add(at=now, level="l", provider="p", model="m", outcome="ok", cost_usd=0.1 + 0.2, first_token_ms=1 / 3)
        await _fill_affairs(work, stage.allan.id, now)
        await _fill_learning(work, stage.allan.id, event_id, now)
        await _fill_memory(work, stage.allan.id, event_id, now)
        row = {"rung": "r", "state": "open", "openings": 3, "outcomes": [True, False], "retry_at": now, "updated_at": now}
        await work.health.save([row])
        await work.attachments.add(
            message_id=event_id, name="ż\x00", media_type="text/plain", size=2**40, source="s", path=None, trouble=""
        )
        await work.people.add_code(kind="pair", code="K", user_id=stage.allan.id, created_at=now)
        about = {"title": "t", "text": "x", "details": {"a": [1]}, "created_at": now, "expires_at": now, "event_id": event_id}
        await work.proposals.add_once(code="A", kind="reply", user_id=stage.allan.id, conversation_id=stage.conversation.id, **about)
        await work.feedback.give(user_id=stage.allan.id, message_id=event_id, value=1 / 3, source="reaction", detail="👍", at=now)
        await work.housekeeping.lease("l", owner="me", now=now, until=now)
        await work.housekeeping.set_cursor("c", "1:2")
        await work.housekeeping.install("slack", "T1", granted="{}", at=now)
        await work.credentials.add(kind="token", secret_hash="h", user_id=stage.allan.id, label="", now=now, expires_at=None)


async def _content(database: Database) -> dict[str, list[dict[str, Any]]]:
    async with database.reading() as work:
        return {table.name: await _rows(work.connection, table) for table in Base.metadata.sorted_tables}


async def _rows(connection: Any, table: Table) -> list[dict[str, Any]]:
    found = (await connection.execute(select(table))).mappings().all()
    plain = [{name: value.tolist() if hasattr(value, "tolist") else value for name, value in row.items()} for row in found]
    return sorted(plain, key=lambda row: [str(row[column.name]) for column in table.primary_key])


async def _fill_affairs(work: UnitOfWork, user_id: UUID, now: datetime) -> None:
    """A row in every table of affairs and manners."""
    mine, later = {"organization_id": "default", "user_id": user_id, "created_at": now}, now + timedelta(days=1)
    dana, deal = new_id(), new_id()
    await work.contacts.add(Contact(**mine, id=dana, code="C1", name="Dana", tags=["vip"], next_step_on=now.date(), last_heard_at=now))
    await work.deals.add(Deal(**mine, id=deal, code="D1", title="Acme", contact_id=dana, value_cents=2**40, changed_at=now))
    await work.tasks.add(Task(**mine, id=new_id(), code="T1", title="call", due_on=now.date(), remind_at=later, deal_id=deal))
    await work.activities.record(new_activity("default", user_id=user_id, actor="robbie", kind="k", text="t", undo={"id": "1"}, at=now))
    setting = {"context": "*", "name": "gandhi", "value": "3", "source": "cli"}
    await work.settings.add(user_id=user_id, **setting, at=now, expires_at=later)
    about = {"user_id": user_id, "slot": "morning", "day": now.date(), "state": "sent", "zone": "Europe/Berlin"}
    await work.briefs.add_once(**about, due_at=now, sections=[{"title": "ż"}], text="t", message_id=None, composed_at=now)
    await work.job_runs.claim("crew", "1", owner="me", now=now, until=later)


async def _fill_memory(work: UnitOfWork, user_id: UUID, message_id: UUID, now: datetime) -> None:
    """A row in every table of memory."""
    which, made = {"organization_id": "default", "user_id": user_id}, {"created_at": now, "superseded_at": now}
    where = {"thread": "t", "external_id": "e", "place": "", "message_id": message_id, "number": 1, "session": new_id()}
    said = {"speaker": "Allan", "said": "ż\x00", "day": "8 May 2023", "at": now, "trust": "own"}
    memory = Memory(**which, **where, **said, id=new_id(), position=0, part=0)
    await work.memories.add_once([memory])
    await work.memories.keep_vectors("m", {memory.id: np.array([0.6, 0.8], dtype=np.float32)})
    between = {"starts_at": now, "ends_at": now, "made_by": "extract", "level": 1, "place": ""}
    summary = Summary(**which, **made, **between, id=new_id(), text="t", facts=["f"])
    going = {"what": "w", "targets": {"memories": ["m"]}, "state": "waiting", "created_at": now, "due_at": now}
    for row in (summary, SummarySource(organization_id="default", summary_id=summary.id, memory_id=memory.id)):
        await work.connection.execute(insert(row.__table__), values_of(row))
    wish = Forgetting(**which, **going, id=new_id())
    gone = Forgotten(organization_id="default", forgetting_id=wish.id, kind="memories", row_id=memory.id, was={"forgotten_by": None})
    for row in (wish, gone):
        await work.connection.execute(insert(row.__table__), values_of(row))


async def _fill_learning(work: UnitOfWork, user_id: UUID, message_id: UUID, now: datetime) -> None:
    """A row in every table of what is learned."""
    about = {"state": "on", "weight": 1 / 3}
    pattern = {"user_id": user_id, "key": "k", "intent": "time", "text": "the hour", "origin": "seed", "created_at": now, "changed_at": now}
    await work.patterns.add_new([{**pattern, **about}])
    where = {"user_id": user_id, "digest": "d", "message_id": message_id}
    await work.cached_answers.add_once(**where, question="q", text="t", at=now, fresh_until=now, **about)
    spent = {"latency_ms": 1 / 3, "cost_usd": 0.1}
    await work.routing_arms.save(task_type="code", level="l", good=0.1 + 0.2, bad=1.0, answers=3, updated_at=now, **spent)
    await work.insights.add(kind="failure", key="l", text="t", details={"p": 0.5}, at=now, due_at=now)
