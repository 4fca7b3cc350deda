"""What memory needs: memories, found by their words and by vectors; summaries; notes with kinds and dates; what is being forgotten."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from bot.domain.errors import SchemaMismatch
from storage.migrations.building import (
    belongs_to,
    bytes_of,
    dates,
    documents,
    ids,
    index,
    large_numbers,
    moments,
    numbers,
    secure_rows,
    table,
    texts,
    unique,
)
from storage.types import Vector

revision = "0006"
down_revision = "0005"

FOUND_BY = "substr({row}.speaker || ': ' || {row}.said || ' ' || {row}.day, 1, 20000)"
WHOSE = "'u' || {row}.user_id || {row}.trust || ' u' || {row}.user_id || {row}.trust || 'p' || hex({row}.place)"
"""Who may find it anywhere, and in its place, as one word each, so that an index knows it: `Scope`."""
DIMENSIONS = (256, 384)
"""Of the embedders that come with Robbie; vectors of another length are compared one by one."""
SQLITE = (
    "CREATE VIRTUAL TABLE memory_words USING fts5(whose, words, content='', tokenize='porter unicode61')",
    f"""CREATE TRIGGER memory_words_added AFTER INSERT ON memories WHEN new.packed IS NULL BEGIN
        INSERT INTO memory_words(rowid, whose, words) VALUES (new.number, {WHOSE.format(row="new")}, {FOUND_BY.format(row="new")}); END""",
    f"""CREATE TRIGGER memory_words_removed AFTER DELETE ON memories BEGIN
        INSERT INTO memory_words(memory_words, rowid, whose, words)
        VALUES ('delete', old.number, {WHOSE.format(row="old")}, {FOUND_BY.format(row="old")}); END""",
    f"""CREATE TRIGGER memory_words_changed AFTER UPDATE OF said, trust, place ON memories
        WHEN new.packed IS NULL AND old.packed IS NULL BEGIN
        INSERT INTO memory_words(memory_words, rowid, whose, words)
        VALUES ('delete', old.number, {WHOSE.format(row="old")}, {FOUND_BY.format(row="old")});
        INSERT INTO memory_words(rowid, whose, words) VALUES (new.number, {WHOSE.format(row="new")}, {FOUND_BY.format(row="new")}); END""",
)
"""A row that is packed keeps its words; it is unpacked before it is deleted, since the index wants to be told what it held.

PostgreSQL has a row for each word in place of a tsvector: its row-level security lets no `@@` use an index, since that is not leakproof."""
POSTGRES = (
    "CREATE SEQUENCE memories_number",
    """CREATE TABLE memory_words (organization_id text NOT NULL, word text NOT NULL, user_id uuid NOT NULL, trust text NOT NULL,
        place text NOT NULL, number bigint NOT NULL)""",
    "CREATE INDEX memory_words_number ON memory_words (organization_id, number)",
    "CREATE INDEX memory_words_found ON memory_words (organization_id, word, user_id)",
    f"""CREATE FUNCTION keep_memory_words() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'UPDATE' AND num_nonnulls(old.packed, new.packed) > 0 THEN RETURN NULL; END IF;
        IF TG_OP <> 'INSERT' THEN
            DELETE FROM memory_words WHERE organization_id = old.organization_id AND number = old.number;
        END IF;
        IF TG_OP <> 'DELETE' THEN
            INSERT INTO memory_words SELECT new.organization_id, word, new.user_id, new.trust, new.place, new.number
            FROM unnest(tsvector_to_array(to_tsvector('english', {FOUND_BY.format(row="new")}))) word;
        END IF;
        RETURN NULL; END $$""",
    """CREATE TRIGGER memory_words_kept AFTER INSERT OR DELETE OR UPDATE OF said, trust, place ON memories
        FOR EACH ROW EXECUTE FUNCTION keep_memory_words()""",
    *(
        f"CREATE INDEX memory_vectors_{size} ON memory_vectors USING hnsw ((vector::vector({size})) vector_cosine_ops)"
        f" WHERE dimension = {size}"
        for size in DIMENSIONS
    ),
)
LEAST_PGVECTOR = (0, 8)
"""The first whose index reads on until enough is found that may be told: of an earlier one each question would fail."""


def upgrade() -> None:
    """Go forward; there is no way back but a backup."""
    connection = op.get_bind()
    is_server = connection.dialect.name == "postgresql"
    if is_server:
        _need_pgvector(connection)
    table(
        "memories",
        *(*ids("id"), *large_numbers("number"), *ids("user_id"), *texts("thread"), *ids("session"), *numbers("position", "part")),
        *(*texts("external_id", "speaker", "said", "day"), *moments("at"), *texts("place", "trust"), *ids("message_id", nullable=True)),
        *(*bytes_of("packed", nullable=True), *ids("forgotten_by", "corrected_by", nullable=True), *numbers("aged")),
        belongs_to("users", "user_id"),
        unique("user_id", "thread", "external_id", "part"),
    )
    op.create_index("ix_memories_number", "memories", ["number"], unique=True)
    for columns in (("message_id",), ("thread", "number"), ("session", "position"), ("user_id", "at"), ("aged", "at")):
        index("memories", *columns)
    unheard = sa.text("forgotten_by IS NOT NULL OR corrected_by IS NOT NULL")
    op.create_index("ix_memories_unheard", "memories", ["organization_id", "id"], sqlite_where=unheard, postgresql_where=unheard)
    table(
        "memory_vectors",
        *(*ids("memory_id", "stamp"), *texts("model"), *numbers("dimension"), sa.Column("vector", Vector(), nullable=False)),
        belongs_to("memories", "memory_id"),
        key=["memory_id"],
    )
    index("memory_vectors", "model", "stamp")
    table(
        "summaries",
        *(*ids("id", "user_id"), *numbers("level"), *texts("place", "text"), *documents("facts"), *moments("starts_at", "ends_at")),
        *(*texts("made_by"), *moments("created_at"), *moments("superseded_at", nullable=True), *ids("forgotten_by", nullable=True)),
        belongs_to("users", "user_id"),
    )
    index("summaries", "user_id", "level", "ends_at")
    links = belongs_to("summaries", "summary_id"), belongs_to("memories", "memory_id")
    table("summary_sources", *ids("memory_id", "summary_id"), *links, key=["memory_id", "summary_id"])
    index("summary_sources", "summary_id")
    table(
        "forgettings",
        *(*ids("id", "user_id"), *texts("what"), *documents("targets"), *texts("state"), *moments("created_at", "due_at")),
        *(*moments("done_at", nullable=True), belongs_to("users", "user_id")),
    )
    index("forgettings", "state", "due_at")
    table(
        "forgotten",
        *(*ids("forgetting_id"), *texts("kind"), *ids("row_id"), *documents("was"), belongs_to("forgettings", "forgetting_id")),
        key=["forgetting_id", "kind", "row_id"],
    )
    with op.batch_alter_table("sticky_notes") as notes:
        for column in (
            *(*ids("memory_id", "superseded_by", "forgotten_by", nullable=True), *texts("kind", server_default="note")),
            *(*texts("topic", server_default=""), *dates("on", nullable=True), *texts("made_by", server_default="person")),
            *moments("valid_until", nullable=True),
        ):
            notes.add_column(column)
    index("sticky_notes", "user_id", "topic")
    index("sticky_notes", "source_id")
    index("sticky_notes", "memory_id")
    for statement in POSTGRES if is_server else SQLITE:
        op.execute(statement)
    if is_server:
        secure_rows("memory_words")


def _need_pgvector(connection: sa.Connection) -> None:
    """Where a superuser has to make it, the one who reads the error is told how. Raises SchemaMismatch."""
    installed = sa.text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    if (found := connection.scalar(installed)) is None:
        try:
            with connection.begin_nested():
                connection.execute(sa.text("CREATE EXTENSION vector"))
        except sa.exc.DBAPIError as error:
            raise SchemaMismatch(_no_pgvector("none", "CREATE EXTENSION vector")) from error
        found = connection.scalar(installed)
    if tuple(int(part) for part in found.split(".")[:2]) < LEAST_PGVECTOR:
        raise SchemaMismatch(_no_pgvector(found, "ALTER EXTENSION vector UPDATE"))


def _no_pgvector(found: str, repair: str) -> str:
    least = ".".join(map(str, LEAST_PGVECTOR))
    return f"PostgreSQL has no pgvector {least} or later ({found}): install it, and as a superuser run {repair} in this database"
