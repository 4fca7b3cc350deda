"""The command line as scripts see it: words on stdout, one clear line on stderr, exit statuses."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest

from bot.app import build
from bot.brain.drill import Fault
from bot.cli import FaultName
from bot.commands import ASK_KEYS
from bot.config import load_config
from bot.domain.address import Address, Sender
from bot.domain.clock import new_id
from bot.domain.message import Inbound
from tests.bot.conftest import GOOD_KEY

HEAVY = ("sqlalchemy", "aiohttp", "openai", "anthropic", "ollama", "httpx", "alembic", "pydantic", "prompt_toolkit", "xllamacpp")


def test_help_imports_nothing_heavy():
    """`--help` is quick because no SDK, no database and no web server is imported for it."""
    program = (
        "import sys\nfrom bot.cli import cli\n"
        "try:\n    cli(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('HEAVY', [name for name in sys.argv[1:] if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program, *HEAVY], capture_output=True, text=True, check=True)
    assert "HEAVY []" in result.stdout
    assert "doctor" in result.stdout


def test_ask_imports_no_terminal_no_page_and_no_channel(tmp_path):
    """What only a chat, a browser or a channel needs is not waited for by whoever asks one question."""
    (tmp_path / "config.toml").write_text('[robbie]\nowner = "Allan"\ndata_dir = "data"\n', encoding="utf-8")
    program = (
        "import sys\nfrom bot.cli import cli\n"
        "try:\n    cli(['ask', 'what day is it?'])\nexcept SystemExit:\n    pass\n"
        "print('HEAVY', [name for name in sys.argv[1:] if name in sys.modules])"
    )
    heavy = ("prompt_toolkit", "jinja2", "openai", "anthropic", "bot.adapters.slack", "bot.adapters.telegram", "bot.adapters.email")
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run([sys.executable, "-c", program, *heavy], capture_output=True, text=True, check=True, cwd=tmp_path, env=path)
    assert result.stdout.splitlines()[-1] == "HEAVY []"
    assert "Today is" in result.stdout


COMMANDS = (
    *("run", "chat", "ask", "doctor", "drill", "init", "signin", "db", "model", "token", "person", "mood", "brief", "mesh"),
    *("classify", "report"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches(robbie, command):
    result = robbie(command, "--help")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) > 4


def test_ask_json_has_the_promised_keys(robbie):
    result = robbie("ask", "hello there", "--json")
    answer = json.loads(result.stdout)
    assert tuple(answer) == ASK_KEYS
    assert answer["reply"] == "You said: hello there"
    assert (answer["level"], answer["provider"], answer["model"], answer["offline"]) == ("first", "openai", "gpt-5.2", False)
    assert answer["cost_usd"] > 0


def test_ask_with_every_model_dead_is_honest_and_done(robbie):
    """The honest reply is a reply: exit status 0, and nothing of the provider's error in it."""
    result = robbie("ask", "hello there", "--json", key="sk-wrong")
    answer = json.loads(result.stdout)
    assert result.returncode == 0
    assert answer["offline"] is True
    assert answer["level"] == "offline"
    assert not any(word in answer["reply"].lower() for word in ("401", "openai", "key", "error"))


def test_classify_tells_each_line_without_a_config(tmp_path: Path):
    """A JSON string is one text however many lines it has; what is none is taken as it stands."""
    lines = b'write a poem about rain\n"def f(x):\\n    return x + 1"\n"what time is it\n\n\xff\n'
    result = subprocess.run(
        [sys.executable, "-m", "bot", "classify", "-", "--json"],
        input=lines,
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["task_type"] for each in told] == ["creative", "code", "quick", "quick", "quick"]
    assert all(set(each) == {"task_type", "confidence"} and 0 < each["confidence"] <= 1 for each in told)


def test_classify_imports_nothing_heavy():
    program = (
        "import sys\nfrom bot.brain.task_type import classify_text\nclassify_text('')\nprint([n for n in sys.argv[1:] if n in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program, "numpy", *HEAVY], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_chat_answers_each_line(robbie):
    result = robbie("chat", stdin="one\nwhat day is it\n/note tulips\n/notes\n")
    replies = result.stdout.splitlines()
    assert replies[0] == "You said: one"
    assert replies[1].startswith("Today is ")
    assert "tulips" in replies[3]
    assert len(replies) == 4


def test_terminal_that_lacks_a_sign_is_answered_without_it(home: Path):
    command = [sys.executable, "-m", "bot", "--config", str(home), "ask", "/help"]
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "OPENAI_API_KEY": GOOD_KEY}
    shown = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[2], env=environ)
    assert b"/notes" in shown.stdout
    assert b"?" in shown.stdout


def test_database_of_a_newer_robbie_is_told_and_left_alone(robbie, home: Path):
    robbie("db", "upgrade")
    with closing(sqlite3.connect(home.parent / "data" / "robbie.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert robbie("db", "status").stdout == "revision 9999, made by a newer Robbie\n"
    for command in ("run", "ask x", "db upgrade", "token list"):
        result = robbie(*command.split())
        assert (result.returncode, result.stdout) == (1, "")
        assert "made by a newer Robbie" in result.stderr


def test_unknown_command_is_wrong_usage(robbie):
    assert robbie("frobnicate").returncode == 2
    assert robbie("drill", "--fault", "nonsense").returncode == 2


def test_the_drill_takes_every_fault_there_is():
    assert set(get_args(FaultName)) == set(Fault)


def test_version_is_told(robbie):
    assert robbie("--version").stdout.startswith("robbie 0.")


def test_a_link_without_a_hub_says_so(robbie):
    told = robbie("signin")
    assert "/signin/" in told.stdout
    assert "robbie run" in told.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("ask", "hi", "--as", "Nobody"),
        ("token", "revoke", "nonsense"),
        ("model", "fetch", "nonsense"),
        ("db", "copy", "--to", "postgresql+psycopg://h:port/d"),
        ("db", "copy", "--to", "sqlite+aiosqlite:///:memory:"),
    ],
)
def test_failure_is_one_line_and_status_1(robbie, words):
    result = robbie(*words)
    assert (result.returncode, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("robbie: ")
    assert "unexpected" not in result.stderr


def test_debug_shows_the_traceback(robbie, home: Path):
    result = robbie("person", "list", ROBBIE__WEB__PORT="many")
    assert len(result.stderr.splitlines()) == 1
    command = [sys.executable, "-m", "bot", "--debug", "--config", str(home.with_name("none.toml")), "person", "list"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert "Traceback" in shown.stderr


def test_tokens_come_and_go(robbie):
    created = robbie("token", "create", "--label", "mine").stdout.split()
    assert created[-1].startswith("robbie_")
    listed = json.loads(robbie("token", "list", "--json").stdout)["tokens"]
    assert [token["label"] for token in listed] == ["mine"]
    assert created[-1] not in json.dumps(listed)
    assert robbie("token", "revoke", created[0]).returncode == 0
    assert robbie("token", "revoke", created[0]).returncode == 1


def test_database_is_brought_up_to_date_once(robbie, home: Path):
    (home.parent / "data" / "robbie.db").unlink()
    assert json.loads(robbie("db", "status", "--json").stdout)["current"] is None
    upgraded = json.loads(robbie("db", "upgrade", "--json").stdout)
    assert upgraded["ready"] is True
    assert json.loads(robbie("db", "status", "--json").stdout) == upgraded


def test_copy_moves_everything(robbie, tmp_path):
    robbie("ask", "remember the tulips")
    result = robbie("db", "copy", "--to", f"sqlite+aiosqlite:///{tmp_path}/other.db", "--json")
    assert json.loads(result.stdout)["rows"] >= 7
    again = robbie("db", "copy", "--to", f"sqlite+aiosqlite:///{tmp_path}/other.db")
    assert again.returncode == 1
    assert "empty database" in again.stderr


def test_note_of_a_dead_hub_is_no_hub(robbie, home: Path):
    """Its process id may belong to another program by now."""
    note = home.parent / "data" / "hub.json"
    note.write_text(json.dumps({"url": "http://127.0.0.1:9", "token": "t", "pid": os.getpid()}))
    assert json.loads(robbie("ask", "hello", "--json").stdout)["reply"] == "You said: hello"


def test_people_are_listed(robbie):
    people = json.loads(robbie("person", "list", "--json").stdout)["people"]
    assert people == [{"name": "Allan", "role": "owner", "timezone": "Europe/Berlin", "accounts": []}]


def test_sliders_are_shown_set_and_taken_back(robbie):
    assert "Gandhi ■■■■□□□□□□ Genghis, 4" in robbie("mood").stdout
    told = robbie("mood", "set", "gandhi=8", "playful", "--in", "email", "--json")
    assert json.loads(told.stdout)["said"].startswith("**Gandhi–Genghis 8, Mood playful, in mail.**")
    shown = json.loads(robbie("mood", "show", "--json").stdout)
    told = shown["contexts"]["email"]["personality"]
    assert told == {"gandhi": 8, "cocktail": 5, "flirty": 1, "mood": "playful", "mentor": ""}
    assert shown["contexts"]["private"]["personality"]["gandhi"] == 4
    assert "Taken back" in robbie("mood", "undo").stdout
    assert json.loads(robbie("mood", "show", "--json").stdout)["contexts"]["email"]["personality"]["gandhi"] == 4


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("gandhi=11",), "/gandhi 10"),
        (("mood=angryy",), "/mood serious"),
        (("gandhi=3", "--until", "bananas"), "bananas"),
        (("gandhi=3", "--as", "Nobody"), "nobody here is called"),
    ],
)
def test_what_cannot_be_set_is_one_line_with_the_nearest_form(robbie, words, told):
    result = robbie("mood", "set", *words)
    assert result.returncode == 1
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_drill_shows_every_rung(robbie):
    told = json.loads(robbie("drill", "--json", "--fault", "cut").stdout)
    assert [rung["level"] for rung in told["rungs"]] == ["first", "offline"]
    assert [rung["failed"] for rung in told["rungs"]] == [[], ["first"]]
    assert all(rung["seen"] and rung["latency_ms"] >= rung["first_token_ms"] > 0 for rung in told["rungs"])


def test_doctor_fails_when_nobody_can_answer(robbie):
    result = robbie("doctor", "--json", key="sk-wrong")
    checks = {check["part"]: check for check in json.loads(result.stdout)["checks"]}
    assert result.returncode == 1
    assert checks["chain"]["status"] == "fail"
    assert checks["level first"]["repair"]
    assert "sk-wrong" not in result.stdout


def test_doctor_tells_a_wrong_config_as_a_check_that_failed(robbie, home: Path):
    (home.parent / "config.local.toml").write_text("[web]\nprot = 1\n")
    result = robbie("doctor", "--json")
    assert result.returncode == 1
    told = json.loads(result.stdout)
    assert (told["ok"], [check["part"] for check in told["checks"]]) == (False, ["config"])
    assert "config.local.toml:2" in told["checks"][0]["detail"]


def test_doctor_is_content_with_one_level(robbie):
    result = robbie("doctor", "--json")
    told = json.loads(result.stdout)
    assert (result.returncode, told["ok"]) == (0, True)


def test_a_stranger_is_listed_let_in_and_sent_away(robbie, home: Path):
    assert robbie("pair", "list").stdout.strip() == "nobody waits, and no account is linked"
    _meet(home)
    waiting = json.loads(robbie("pair", "list", "--json").stdout)["waiting"]
    assert waiting[0]["who"] == "Bob (telegram 777)"
    assert robbie("pair", "approve", waiting[0]["code"]).stdout.strip() == "Bob is in"
    again = robbie("pair", "approve", waiting[0]["code"])
    assert (again.returncode, "nobody waits under the code" in again.stderr) == (1, True)
    assert "linked   telegram:777  Bob" in robbie("pair", "list").stdout
    assert robbie("pair", "revoke", "telegram:777").stdout.strip() == "revoked"
    assert robbie("pair", "revoke", "telegram:777").returncode == 1


def test_whom_config_names_only_config_sends_away(robbie, home: Path):
    home.write_text(home.read_text() + '\n[[people]]\nname = "Allan"\nrole = "owner"\nidentities = [{ platform = "telegram", id = "1" }]\n')
    refused = robbie("pair", "revoke", "telegram:1")
    assert (refused.returncode, "under [[people]]" in refused.stderr) == (1, True)


def _meet(home: Path) -> None:
    """Somebody whom nobody knows writes on Telegram."""

    async def meet() -> None:
        async with build(load_config(home, os.environ), environ=os.environ, tends=False, listens=False) as app:
            await app.prepare()
            inbound = Inbound(
                id=new_id(),
                address=Address(channel="telegram", conversation="777"),
                sender=Sender(channel="telegram", account="777", name="Bob"),
                external_id="777:1",
                text="hello",
                at=app.clock.now(),
            )
            await app.rooms.pairing.meet(inbound)

    asyncio.run(meet())


def test_report_tells_of_an_empty_house_and_of_what_was_answered(robbie):
    assert robbie("report").stdout.startswith("Nothing yet")
    assert robbie("ask", "What is the capital of France?").returncode == 0
    assert "direct" in robbie("report").stdout
    told = json.loads(robbie("report", "--days", "2", "--json").stdout)
    assert told["days"] == 2
    assert [(each["level"], each["answers"]) for each in told["answers"]] == [("first", 1)]
    assert robbie("report", "--days", "0").returncode == 2
