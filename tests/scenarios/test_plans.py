"""What a turn asks of the database costs the same however much has been said: every question is found by an index of its own."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import event

from tests.conftest import sqlite_url
from tests.scenarios.house import open_house, until

GROWING = re.compile(r"\b(messages|messages_1|inbox_events|inbox_events_1|outbox|ai_model_usage)\b")
NARROW = re.compile(r"\(organization_id=\? AND \w+=\?")


async def test_no_statement_of_a_turn_reads_more_as_the_tables_grow(sqlite_file: Path, tmp_path: Path):
    said: dict[str, Any] = {}

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        said[statement] = parameters

    async with open_house(sqlite_url(sqlite_file), tmp_path) as house:
        event.listen(house.app.database.engine.sync_engine, "before_cursor_execute", note)
        event.listen(house.app.database._reader.sync_engine, "before_cursor_execute", note)
        await house.asks("hello")
        house.model.fall()
        await house.asks("what is love")
        await house.app.hub.resume()
        house.model.error = None
        await house.asks("are you awake")
        await until(lambda: house.push.took[-1].kind == "late")
    with sqlite3.connect(sqlite_file) as raw:
        plans = {sql: [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)] for sql, parameters in said.items()}
    raw.close()
    assert len(plans) > 15
    wide = {sql: step for sql, steps in plans.items() for step in steps if GROWING.search(step) and not NARROW.search(step)}
    assert not wide
