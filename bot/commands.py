"""What the commands do: each opens what it needs, does one thing and closes; through the running hub where there is one."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from bot.adapters.markup import to_terminal
from bot.adapters.talk import RemoteTalk, Talker, is_up
from bot.app import App
from bot.brain import gguf
from bot.brain.drill import Fault, drill_question
from bot.briefs.delivery import sections_of
from bot.briefs.schedule import upcoming
from bot.config import Config, DatabaseConfig
from bot.domain.address import Person
from bot.domain.brief import Slot
from bot.domain.clock import new_id
from bot.domain.errand import Errand
from bot.domain.errors import NotAllowed, RobbieError
from bot.domain.finding import Status
from bot.hub.home import RunningHub, find_hub, locked, make_folder
from bot.hub.manner_commands import changes_of, told
from bot.learning.report import NOTHING_YET
from bot.learning.report import report as report_of
from bot.logs import configure_log
from bot.services.manners import find_mistake, read_end
from bot.services.notices import say
from storage.copying import copy_everything
from storage.database import Database
from storage.schema import SchemaStatus, revisions, schema_status, upgrade

log = structlog.get_logger(__name__)

T = TypeVar("T")

ASK_KEYS = ("reply", "tier", "level", "provider", "model", "task_type", "confidence", "why", "latency_ms", "cost_usd", "offline")


async def run(app: App, *, is_terminal: bool, debug: bool, stopping: Callable[[], None]) -> None:
    """The hub, until SIGTERM, SIGINT or, on a terminal, the end of the chat; *stopping* is called when that comes."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    has_chat = is_terminal and not debug
    async with app, _logging_to_file(app, has_chat), app.serve(Bar("preparing the database")) as link:
        print(f"Robbie is up. Open this once to sign in:\n\n  {link}\n", flush=True)
        for gap in app.gaps:
            Console(stderr=True, highlight=False).print(escape(str(gap)), soft_wrap=not is_terminal)
        if has_chat:
            await _chat_until(stop, app)
        await stop.wait()
        stopping()
        print("Stopping…", file=sys.stderr)


async def chat(app: App, as_person: str | None, *, is_terminal: bool) -> None:
    """A conversation in the terminal, or a reply for each line of stdin."""
    from bot.adapters.console import ConsoleChat, answer_lines

    async with _talking(app, as_person) as talker:
        if is_terminal:
            await ConsoleChat(talker=talker, history=_history(app)).run()
        else:
            await answer_lines(talker, sys.stdin)


async def ask(app: App, text: str, as_person: str | None) -> dict[str, Any]:
    """One question's answer, with everything that is told of it."""
    async with _talking(app, as_person) as talker:
        return await talker.ask(text)


def ask_json(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What `ask --json` prints."""
    return {key: answer[key] for key in ASK_KEYS}


def readable(text: str, *, colour: bool) -> str:
    """An answer for the terminal."""
    return to_terminal(text, colour=colour)


async def doctor(app: App, *, as_json: bool) -> bool:
    """Print what is found, each as soon as it is known; whether nothing failed."""
    findings = []
    marks = {Status.OK: "[green]ok  [/]", Status.WARN: "[yellow]warn[/]", Status.FAIL: "[red]fail[/]"}
    console = Console(highlight=False)
    async with app:
        async for finding in app.doctor.examine():
            findings.append(finding)
            if not as_json:
                console.print(f"{marks[finding.status]} {escape(finding.part)}: {escape(finding.detail)}", soft_wrap=True)
                if finding.repair:
                    console.print(f"       → {escape(finding.repair)}", soft_wrap=True)
    is_well = all(finding.status is not Status.FAIL for finding in findings)
    if as_json:
        print(json.dumps({"ok": is_well, "checks": [asdict(finding) for finding in findings]}))
    return is_well


async def drill(app: App, fault: str, *, as_json: bool) -> None:
    """Hold the drill, in the running hub where there is one, and show each rehearsal."""
    if fault not in tuple(Fault):
        raise RobbieError(f"a fault is one of {', '.join(Fault)}")
    console = Console(highlight=False)
    rehearsals = []
    if skipped := [gap.level for gap in app.gaps if gap.is_skipped]:
        print(f"Not drilled, since they are not set up (`robbie doctor` tells how): {', '.join(skipped)}.\n", file=sys.stderr)
    if fault == Fault.SILENT:
        print(f"Silence is waited out: a rehearsal may take {app.config.brain.turn_seconds:g} s.\n", file=sys.stderr)
    async with app:
        async for rehearsal in _rehearsals(app, Fault(fault)):
            rehearsals.append(rehearsal)
            if not as_json:
                _show_rehearsal(console, rehearsal)
    if as_json:
        print(json.dumps({"fault": fault, "rungs": rehearsals}))


async def report(app: App, days: int, *, as_json: bool) -> None:
    """Print what there is to tell of the last days."""
    async with _opened(app, None) as (_, owner), app.database.reading() as work:
        told = await report_of(work, since=app.clock.now() - timedelta(days=days), timezone=owner.timezone)
    if as_json or not (told["answers"] or told["levels"]):
        print(json.dumps({"days": days, **told}) if as_json else NOTHING_YET)
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for title, rows in ((title, rows) for title, rows in told.items() if rows):
        table = Table(*rows[0], title=title.replace("_", " ").capitalize(), title_justify="left", box=None)
        for row in rows:
            table.add_row(*(escape("–" if value is None else str(value)) for value in row.values()))
        console.print(table, "")


async def signin(app: App, as_person: str | None) -> str:
    """A fresh sign-in link."""
    async with _opened(app, as_person) as (_, person):
        hub = await _running_hub(app)
        if hub is None:
            print("No hub is running yet, and the link leads to one: `robbie run`.", file=sys.stderr)
        base = app.config.web.public_url or (hub.url if hub else f"http://{app.config.web.host}:{app.config.web.port}")
        return base.rstrip("/") + await app.auth.create_link(person.id)


async def db_upgrade(app: App) -> SchemaStatus:
    """Migrate."""
    async with app:
        with Bar("preparing the database") as bar:
            return await app.migrate(bar)


async def db_status(app: App) -> SchemaStatus:
    """Where the database stands."""
    async with app:
        if app.database.file is not None and not app.database.file.exists():
            return SchemaStatus(current=None, pending=revisions(), is_newer=False)
        return await schema_status(app.database)


async def db_copy(app: App, to: str) -> int:
    """Copy all rows into another database; how many there were."""
    try:
        DatabaseConfig(url=to)
    except ValueError:
        raise RobbieError("--to takes postgresql+psycopg://user:password@host/name or sqlite+aiosqlite:///folder/file.db") from None
    with locked(app.database.file):
        async with app, Database(to, organization=app.config.robbie.organization) as target:
            await app.migrate()
            await upgrade(target)
            with Bar("copying") as bar:
                return await copy_everything(app.database, target, bar)


def embedded_model(config: Config) -> str:
    """The model that the config's embedded level names, or the one that is shipped."""
    return next((level.model for level in config.brain.levels if level.provider == "local"), gguf.SMOLLM2.name)


def model_fetch(name: str, environ: Mapping[str, str]) -> Path:
    """Fetch a known model unless it is there; a file of the owner's own only has to be there."""
    if name not in gguf.KNOWN and (path := gguf.resolve(name, environ)).exists():
        gguf.check(path)
        return path
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bar(f"fetching {name}", *columns) as bar:
        return gguf.fetch(name, gguf.cache_folder(environ), bar, environ=environ)


def model_list(environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """The embedded models that are there."""
    return [
        {"model": found.model.name, "path": str(found.path), "megabytes": round(found.path.stat().st_size / 1e6), "sound": found.is_sound}
        for found in gguf.fetched(gguf.cache_folder(environ))
    ]


async def token_create(app: App, label: str, as_person: str | None) -> dict[str, Any]:
    """A new token."""
    async with _opened(app, as_person) as (_, person):
        row, secret = await app.auth.create_token(person.id, label)
        return {"id": str(row.id), "label": row.label, "person": person.name, "token": secret}


async def token_list(app: App) -> list[dict[str, Any]]:
    """The valid tokens."""
    async with _opened(app, None):
        tokens = await app.auth.tokens()
        return [{"id": str(row.id), "label": row.label, "created_at": row.created_at.isoformat()} for row in tokens]


async def token_revoke(app: App, token_id: str) -> None:
    """End a token."""
    async with _opened(app, None):
        try:
            was_valid = await app.auth.revoke(UUID(token_id))
        except ValueError:
            was_valid = False
        if not was_valid:
            raise RobbieError(f"no valid token has the id {token_id}; `robbie token list` shows them")


async def person_list(app: App) -> list[dict[str, Any]]:
    """Everyone."""
    async with _opened(app, None):
        return [
            {
                "name": person.name,
                "role": person.role,
                "timezone": person.timezone,
                "accounts": [f"{account.channel}:{account.account}" for account in accounts],
            }
            for person, accounts in await app.directory.everyone()
        ]


async def pair_list(app: App) -> dict[str, Any]:
    """Who waits to be let in, and every linked account."""
    async with _opened(app, None):
        waiting = await app.rooms.pairing.waiting()
        people = await app.directory.everyone()
    return {
        "waiting": [{"code": code, "who": who.name, "since": since.isoformat(timespec="seconds")} for code, who, since in waiting],
        "linked": [{"id": f"{a.channel}:{a.account}", "person": person.name} for person, accounts in people for a in accounts],
    }


async def pair_approve(app: App, code: str) -> str:
    """Let a stranger in; their name."""
    async with _opened(app, None):
        if (name := await app.rooms.pairing.approve(code)) is None:
            raise RobbieError(f"nobody waits under the code {code}; `robbie pair list` shows who does")
        return name


async def pair_revoke(app: App, account_id: str) -> None:
    """Take an account away."""
    channel, _, account = account_id.partition(":")
    async with _opened(app, None):
        if app.directory.names(channel, account):
            raise RobbieError(f"config.toml gives {account_id} to somebody: take it out there, under [[people]]")
        if not await app.rooms.pairing.revoke(channel, account):
            raise RobbieError(f"{account_id} is nobody's account; `robbie pair list` shows them")


async def at_books(app: App, as_person: str | None, act: Callable[[App, Errand], Awaitable[T]]) -> T:
    """What comes of an act on a person's own affairs, asked for at the command line."""
    async with _opened(app, as_person) as (_, person):
        return await act(app, Errand(person=person, key=f"cli/{new_id()}", why="the command line"))


async def brief_now(app: App, slot: str, as_person: str | None, *, sends: bool) -> dict[str, Any]:
    """A brief as of now, worded by a model if one is well; promised as well, if it *sends*."""
    async with _opened(app, as_person) as (_, person):
        now = app.clock.now()
        async with app.database.reading() as work:
            rows = await work.briefs.latest(person.id, limit=1)
        since = rows[0].composed_at if rows else now - timedelta(days=1)
        async with app.database.unit_of_work() as work:
            place = await app.rooms.briefs.place(work, person, now, thread=f"{now:%Y-%m-%d %H:%M:%S}") if sends else None
        made = await app.rooms.briefs.composer.compose(person, Slot(slot), now=now, since=since, channel=place.channel if place else "")
        made = await app.rooms.briefs.composer.worded(made, person)
        if place:
            async with app.database.unit_of_work() as work:
                await say(work, place, person.id, made.text, now=now, buttons=made.buttons)
    return {"text": made.text, "sections": sections_of(made), "slot": slot, "person": person.name}


async def brief_schedule(app: App, first: date | None, days: int) -> list[dict[str, str]]:
    """When each brief of so many local days will come, in order."""
    now = app.clock.now()
    async with _opened(app, None), app.database.reading() as work:
        standings = [await app.rooms.briefs.standing(work, user, now) for user in await work.people.users()]
    coming = [
        (standing.person.name, due)
        for standing in standings
        if standing is not None
        for due in upcoming(standing.habits, first=first or now.astimezone(ZoneInfo(standing.habits.zone)).date(), days=days)
    ]
    return [
        {"person": name, "slot": due.slot, "local": due.local.isoformat(), "utc": due.at.isoformat()}
        for name, due in sorted(coming, key=lambda each: (each[1].at, each[0]))
    ]


async def mood_show(app: App, as_person: str | None) -> tuple[str, dict[str, Any]]:
    """How Robbie is set with a person: as they read it, and as a script does."""
    async with _opened(app, as_person) as (_, person):
        standings = await app.rooms.manners.look(person)
    return told(standings, person), {"person": person.name, "contexts": {each.context: asdict(each) for each in standings}}


async def mood_set(app: App, values: Sequence[str], as_person: str | None, *, place: str, until: str) -> str:
    """Change sliders and the mood; what there is to say about it. Raises RobbieError where that cannot be."""
    changes = changes_of(values)
    async with _opened(app, as_person) as (_, person):
        now = app.clock.now()
        end = read_end(f"until {until}", timezone=person.timezone, now=now) if until else None
        if isinstance(end, str) or (mistake := find_mistake(person, changes, place, is_past=end is not None and end <= now)):
            raise RobbieError(end if isinstance(end, str) else mistake)
        errand = Errand(person=person, key=f"manners/{new_id()}", why="the command robbie mood")
        return (await app.rooms.manners.set(errand, changes, context=place, expires_at=end, source="cli")).text


async def mood_undo(app: App, as_person: str | None) -> str:
    """Take the last thing back."""
    async with _opened(app, as_person) as (_, person):
        return await app.rooms.journal.undo(person)


async def mesh_nodes(app: App) -> list[dict[str, Any]]:
    """The nodes as the running hub knows them; where none runs, as they tell now."""
    if (hub := await _running_hub(app)) is not None:
        async with app, RemoteTalk(hub, person=None) as talker:
            return list((await talker.get("/api/mesh"))["nodes"])
    async with _opened(app, None):
        await asyncio.gather(app.chain.mesh.read_drained(), *(app.chain.mesh.examine(state.name) for state in app.chain.mesh.states))
        return [state.told() for state in app.chain.mesh.states]


def node_line(node: Mapping[str, Any]) -> str:
    """A node for the terminal."""
    held = ", ".join(f"{each['model']} ({each['gb']} GB)" for each in node["resident"]) or "nothing in memory"
    firsts = f"first after {node['first_token_p50_ms'] or '?'} to {node['first_token_p95_ms'] or '?'} ms"
    pace = f"{node['tokens_per_second']} tokens/s, {firsts}" if node["tokens_per_second"] else "not measured yet"
    seen = f"seen {node['seen_at'] or 'never'}" + (f", {node['why']}" if node["why"] else "")
    return f"{node['node']:12} {node['state']:8} {held}; {node['in_flight']} under way; {pace}; {seen}"


async def mesh_drain(app: App, node: str, *, is_drained: bool) -> str:
    """Take a node out of work, or back into it."""
    async with _opened(app, None):
        await app.chain.mesh.drain(node, is_drained=is_drained)
    return f"{node} is given nothing new; `robbie mesh return {node}` takes it back" if is_drained else f"{node} is given work again"


@asynccontextmanager
async def _opened(app: App, name: str | None) -> AsyncIterator[tuple[App, Person]]:
    """The data, ready to be used beside a hub, and the person who is meant."""
    async with app:
        owner = await app.prepare()
        person = owner if name is None else await app.directory.by_name(name)
        if person is None:
            raise NotAllowed(f"nobody here is called {name}; `robbie person list` shows who is")
        yield app, person


@asynccontextmanager
async def _talking(app: App, name: str | None) -> AsyncIterator[Talker]:
    """A conversation through the running hub, else in this process."""
    hub = await _running_hub(app)
    if hub is not None:
        find = partial(find_hub, app.config.robbie.data_dir)
        async with app, RemoteTalk(hub, person=name, find=find) as talker:
            yield talker
    else:
        async with _opened(app, name) as (_, person), app.hub:
            yield app.talk(person)


async def _running_hub(app: App) -> RunningHub | None:
    """The hub that runs on this home; a note that leads to nobody is one that a crash left behind."""
    hub = find_hub(app.config.robbie.data_dir)
    return hub if hub is not None and await is_up(hub) else None


async def _rehearsals(app: App, fault: Fault) -> AsyncIterator[dict[str, Any]]:
    hub = await _running_hub(app)
    if hub is not None:
        async with RemoteTalk(hub, person=None) as talker:
            async for event, data in talker.events(f"/api/drill?fault={fault}", {}):
                if event == "rehearsal":
                    yield data
    else:
        owner = await app.prepare()
        async for rehearsal in app.drill.rehearse(drill_question(owner, app.clock), fault):
            yield asdict(rehearsal)


async def _chat_until(stop: asyncio.Event, app: App) -> None:
    """The console chat of `robbie run`; leaving it stops the hub."""
    from bot.adapters.console import ConsoleChat  # prompt_toolkit takes a while to import

    talker = app.talk(await app.directory.owner())
    chatting = asyncio.create_task(ConsoleChat(talker=talker, history=_history(app)).run(), name="console chat")
    stopping = asyncio.create_task(stop.wait(), name="wait for the end")
    await asyncio.wait((chatting, stopping), return_when=asyncio.FIRST_COMPLETED)
    if chatting.done() and chatting.exception() is not None:
        print("The chat in this terminal has ended; Robbie runs on, and `robbie chat` opens another.", file=sys.stderr)
        log.error("console.fell", exc_info=chatting.exception())
        await stopping
    stop.set()
    chatting.cancel()
    await asyncio.wait((chatting, stopping))


@asynccontextmanager
async def _logging_to_file(app: App, is_so: bool) -> AsyncIterator[None]:
    """While somebody talks in this terminal, the log belongs elsewhere."""
    if not is_so:
        yield
        return
    make_folder(app.config.robbie.data_dir)
    with (app.config.robbie.data_dir / "robbie.log").open("a", encoding="utf-8") as file:
        configure_log("info", stream=file)
        try:
            yield
        finally:
            configure_log("info", stream=sys.stderr)


def _history(app: App) -> Path:
    return app.config.robbie.data_dir / "console_history"


class Bar:
    """A progress bar on stderr, which appears with the first step and goes with the last, or when it is left."""

    def __init__(self, what: str, *columns: ProgressColumn) -> None:
        self._what = what
        self._progress = Progress(
            *(columns or Progress.get_default_columns()), console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
        )

    def __call__(self, done: int, total: int) -> None:
        """So much of it is done; a total of 0 is one that is not known."""
        if not self._progress.tasks:
            self._progress.add_task(self._what)
            self._progress.start()
        self._progress.update(self._progress.task_ids[0], completed=done, total=total or None)
        if 0 < total <= done:
            self._progress.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress.tasks:
            self._progress.stop()


def _show_rehearsal(console: Console, rehearsal: Mapping[str, Any]) -> None:
    failed = ", ".join(rehearsal["failed"])
    console.print(f"[bold]{escape(failed)}[/] out of action" if failed else "[bold]As things are[/]", soft_wrap=True)
    times = f"first word after {rehearsal['first_token_ms']:.0f} ms, all of it after {rehearsal['latency_ms']:.0f} ms"
    console.print(f"  [cyan]{escape(rehearsal['level'])}[/] answers: {times}", soft_wrap=True)
    console.print(f"  “{escape(' '.join(rehearsal['seen'].split()))}”", soft_wrap=True)
    console.print(f"  {escape(rehearsal['why'])}\n", style="dim", soft_wrap=True)
