"""What the commands do: each opens what it needs, does one thing and closes; through the running hub where there is one."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self
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

Told = tuple[str, dict[str, Any]]
"""What is printed, and what is printed for a script."""
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

    async with talking(app, as_person) as talker:
        if is_terminal:
            await ConsoleChat(talker=talker, history=_history(app)).run()
        else:
            await answer_lines(talker, sys.stdin)


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
    async with opened(app, None) as owner, app.database.reading() as work:
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


async def db_upgrade(app: App) -> Told:
    """Migrate."""
    async with app:
        with Bar("preparing the database") as bar:
            return _stand(await app.migrate(bar))


async def db_status(app: App) -> Told:
    """Where the database stands."""
    async with app:
        if app.database.file is not None and not app.database.file.exists():
            return _stand(SchemaStatus(current=None, pending=revisions(), is_newer=False))
        return _stand(await schema_status(app.database))


def _stand(status: SchemaStatus) -> Told:
    waiting = "made by a newer Robbie" if status.is_newer else f"waiting: {', '.join(status.pending) or 'nothing'}"
    return f"revision {status.current or 'none'}, {waiting}", asdict(status) | {"ready": status.is_ready}


async def db_copy(app: App, to: str) -> Told:
    """Copy all rows into another database."""
    try:
        DatabaseConfig(url=to)
    except ValueError:
        raise RobbieError("--to takes postgresql+psycopg://user:password@host/name or sqlite+aiosqlite:///folder/file.db") from None
    with locked(app.database.file):
        async with app, Database(to, organization=app.config.robbie.organization) as target:
            await app.migrate()
            await upgrade(target)
            with Bar("copying") as bar:
                rows = await copy_everything(app.database, target, bar)
    return f"copied {rows} rows; write the new address under [database] url", {"rows": rows}


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


@asynccontextmanager
async def errand(app: App, as_person: str | None) -> AsyncIterator[Errand]:
    """What is done meanwhile on a person's own affairs was asked for at the command line."""
    async with opened(app, as_person) as person:
        yield Errand(person=person, key=f"cli/{new_id()}", why="the command line")


async def brief_now(app: App, slot: str, as_person: str | None, *, sends: bool) -> Told:
    """A brief as of now, worded by a model if one is well; promised as well, if it *sends*."""
    async with opened(app, as_person) as person:
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
    return readable(made.text), {"text": made.text, "sections": sections_of(made), "slot": slot, "person": person.name}


async def brief_schedule(app: App, first: date | None, days: int) -> Told:
    """When each brief of so many local days will come, in order."""
    now = app.clock.now()
    async with opened(app, None), app.database.reading() as work:
        standings = [await app.rooms.briefs.standing(work, user, now) for user in await work.people.users()]
    coming = [
        (standing.person.name, due)
        for standing in standings
        if standing is not None
        for due in upcoming(standing.habits, first=first or now.astimezone(ZoneInfo(standing.habits.zone)).date(), days=days)
    ]
    coming.sort(key=lambda each: (each[1].at, each[0]))
    slots = [{"person": name, "slot": due.slot, "local": due.local.isoformat(), "utc": due.at.isoformat()} for name, due in coming]
    lines = [f"{each['local']}  {each['slot']:9}  {each['person']}" for each in slots]
    return "\n".join(lines) or "nobody gets briefs", {"slots": slots}


async def mood_show(app: App, as_person: str | None) -> Told:
    """How Robbie is set with a person: as they read it, and as a script does."""
    async with opened(app, as_person) as person:
        standings = await app.rooms.manners.look(person)
    return readable(told(standings, person)), {"person": person.name, "contexts": {each.context: asdict(each) for each in standings}}


async def mood_set(app: App, values: Sequence[str], as_person: str | None, *, place: str, until: str) -> Told:
    """Change sliders and the mood. Raises RobbieError where that cannot be."""
    changes = changes_of(values)
    async with opened(app, as_person) as person:
        now = app.clock.now()
        end = read_end(f"until {until}", timezone=person.timezone, now=now) if until else None
        if isinstance(end, str) or (mistake := find_mistake(person, changes, place, is_past=end is not None and end <= now)):
            raise RobbieError(end if isinstance(end, str) else mistake)
        wish = Errand(person=person, key=f"manners/{new_id()}", why="the command robbie mood")
        said = (await app.rooms.manners.set(wish, changes, context=place, expires_at=end, source="cli")).text
    return readable(said), {"said": said}


async def mesh_nodes(app: App) -> Told:
    """The nodes as the running hub knows them; where none runs, as they tell now."""
    if (hub := await running_hub(app)) is not None:
        async with app, RemoteTalk(hub, person=None) as talker:
            nodes = (await talker.get("/api/mesh"))["nodes"]
    else:
        async with opened(app, None):
            await asyncio.gather(app.chain.mesh.read_drained(), *(app.chain.mesh.examine(state.name) for state in app.chain.mesh.states))
            nodes = [state.told() for state in app.chain.mesh.states]
    return "\n".join(map(node_line, nodes)) or "config.toml names no [[mesh.nodes]]", {"nodes": nodes}


def node_line(node: Mapping[str, Any]) -> str:
    """A node for the terminal."""
    held = ", ".join(f"{each['model']} ({each['gb']} GB)" for each in node["resident"]) or "nothing in memory"
    firsts = f"first after {node['first_token_p50_ms'] or '?'} to {node['first_token_p95_ms'] or '?'} ms"
    pace = f"{node['tokens_per_second']} tokens/s, {firsts}" if node["tokens_per_second"] else "not measured yet"
    seen = f"seen {node['seen_at'] or 'never'}" + (f", {node['why']}" if node["why"] else "")
    return f"{node['node']:12} {node['state']:8} {held}; {node['in_flight']} under way; {pace}; {seen}"


async def mesh_drain(app: App, node: str, *, is_drained: bool) -> Told:
    """Take a node out of work, or back into it."""
    async with opened(app, None):
        await app.chain.mesh.drain(node, is_drained=is_drained)
    said = f"{node} is given nothing new; `robbie mesh return {node}` takes it back" if is_drained else f"{node} is given work again"
    return said, {"said": said}


@asynccontextmanager
async def opened(app: App, name: str | None) -> AsyncIterator[Person]:
    """The data, ready to be used beside a hub, and the person who is meant."""
    async with app:
        owner = await app.prepare()
        person = owner if name is None else await app.directory.by_name(name)
        if person is None:
            raise NotAllowed(f"nobody here is called {name}; `robbie person list` shows who is")
        yield person


@asynccontextmanager
async def talking(app: App, name: str | None) -> AsyncIterator[Talker]:
    """A conversation through the running hub, else in this process."""
    hub = await running_hub(app)
    if hub is not None:
        find = partial(find_hub, app.config.robbie.data_dir)
        async with app, RemoteTalk(hub, person=name, find=find) as talker:
            yield talker
    else:
        async with opened(app, name) as person, app.hub:
            yield app.talk(person)


async def running_hub(app: App) -> RunningHub | None:
    """The hub that runs on this home; a note that leads to nobody is one that a crash left behind."""
    hub = find_hub(app.config.robbie.data_dir)
    return hub if hub is not None and await is_up(hub) else None


async def _rehearsals(app: App, fault: Fault) -> AsyncIterator[dict[str, Any]]:
    hub = await running_hub(app)
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


def readable(text: str) -> str:
    """What Robbie says, for this terminal."""
    return to_terminal(text, colour=sys.stdout.isatty())


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
