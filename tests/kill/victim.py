"""The process that is killed: a real hub (`bot.app.build`) with a FAKE model and a FAKE push channel, fed through its real receive path.

Everything that kills on purpose is inside these fakes; the product has no hook for it. `KILL_AT` names one state of a turn:
received, claimed, model, streaming, shown, completed, recorded, sending, sent.

`python -m tests.kill.victim` imports all that once and forks a hub for each plan whose path it reads; it tells the pid, and how it ended.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import event

from bot.adapters.web import CONSOLE
from bot.app import App, build
from bot.brain.chain import Rung
from bot.config import BrainConfig, Config, DatabaseConfig, MemoryConfig, RobbieConfig, WebConfig
from bot.domain.address import Address, Person, Sender
from bot.domain.clock import new_id
from bot.domain.message import Inbound, Outgoing, Sent
from bot.domain.ports import Capabilities
from bot.domain.thought import Delta, Finish, Prompt
from storage.database import Database, UnitOfWork

PUSH = "push"
ORGANIZATION = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a run is to do. Messages are numbered in each conversation; those that are acknowledged already are not sent again."""

    url: str
    folder: Path
    conversations: int
    messages: int
    delay_seconds: float = 0.0
    kill_at: str = ""
    kill_number: int = 0
    shows: bool = False

    @property
    def acked(self) -> Path:
        return self.folder / "acked"

    @property
    def pushed(self) -> Path:
        return self.folder / "pushed"

    @classmethod
    def load(cls, path: Path) -> Plan:
        told = json.loads(path.read_text())
        return cls(**{**told, "folder": Path(told["folder"])})


class Trigger:
    """Kills its own process at the n-th time a state is reached, as no handler can prevent."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._left = plan.kill_number

    def reached(self, state: str) -> None:
        if state == self._plan.kill_at:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class FakeModel:
    """FAKE: answers "re: QUESTION" in three pieces, each after a while; dies where it is told to."""

    provider = "local"
    model = "fake"

    def __init__(self, trigger: Trigger, delay_seconds: float) -> None:
        self._trigger = trigger
        self._delay_seconds = delay_seconds

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Finish]:
        self._trigger.reached("model")
        await asyncio.sleep(self._delay_seconds / 2)
        yield Delta(text="re: ")
        await asyncio.sleep(0)
        yield Delta(text=prompt.lines[-1].text.rpartition("</memory>\n\n")[2])
        await asyncio.sleep(self._delay_seconds / 2)
        self._trigger.reached("completed")
        yield Finish()

    async def models(self) -> tuple[str, ...]:
        return (self.model,)

    async def close(self) -> None:
        """Nothing is open."""


class FakePush:
    """FAKE: a channel that takes a message by a line in a file, on the disk before it says so. It cannot be asked what it took.

    A line that `edits` is no further message; one that `shows` is not the whole of it yet.
    """

    channel = PUSH

    def __init__(self, plan: Plan, trigger: Trigger) -> None:
        self.capabilities = Capabilities(show_seconds=0.002 if plan.shows else 0.0)
        self._plan = plan
        self._trigger = trigger

    async def send(self, outgoing: Outgoing) -> Sent:
        self._trigger.reached("sending")
        await asyncio.sleep(self._plan.delay_seconds / 4)
        append(self._plan.pushed, _line(outgoing))
        self._trigger.reached("sent")
        await asyncio.sleep(self._plan.delay_seconds / 4)
        return Sent(channel_message_id=outgoing.channel_message_id or str(outgoing.id))

    async def show(self, outgoing: Outgoing) -> Sent:
        append(self._plan.pushed, _line(outgoing) | {"shows": True})
        self._trigger.reached("shown")
        return Sent(channel_message_id=outgoing.channel_message_id or str(outgoing.id))

    async def find(self, outgoing: Outgoing) -> Sent | None:
        raise AssertionError("never asked: it said that it cannot tell")


def _line(outgoing: Outgoing) -> dict[str, object]:
    line = {"conversation": outgoing.address.conversation, "reply_to": outgoing.reply_to, "recovered": outgoing.recovered}
    return line | ({"edits": outgoing.channel_message_id} if outgoing.channel_message_id else {})


class DyingDatabase(Database):
    """A real database; FAKE in that it dies right after the commit that brought a turn into some state."""

    def __init__(self, url: str, trigger: Trigger) -> None:
        super().__init__(url, organization=ORGANIZATION)
        self._trigger = trigger

        @event.listens_for(self.engine.sync_engine, "before_cursor_execute")
        def note(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            connection.info.setdefault("said", []).append(statement)

    @asynccontextmanager
    async def unit_of_work(self, *, is_long: bool = False) -> AsyncIterator[UnitOfWork]:
        async with super().unit_of_work(is_long=is_long) as work:
            said: list[str] = work.connection.sync_connection.info.setdefault("said", [])
            said.clear()
            yield work
            mine = " ".join(said)  # the next unit under the same commit clears it
        for state in _reached(mine):
            self._trigger.reached(state)


def _reached(said: str) -> Iterator[str]:
    """The states that a commit of these statements brought a turn into."""
    if "INSERT INTO inbox_events" in said:
        yield "received"
    if "UPDATE inbox_events" in said and "FROM messages" in said:
        yield "claimed"
    if "INSERT INTO outbox" in said and "INSERT INTO messages" not in said:
        yield "streaming"
    if "UPDATE inbox_events" in said and "INSERT INTO messages" in said:
        yield "recorded"


def append(file: Path, line: object) -> None:
    """On the disk when this returns."""
    with file.open("a") as out:
        out.write(json.dumps(line) + "\n")
        out.flush()
        os.fsync(out.fileno())


def read_lines(file: Path) -> list[Any]:
    """What `append` wrote; a line that was cut by a kill was never promised."""
    if not file.exists():
        return []
    lines = []
    for line in file.read_text().split("\n"):
        with suppress(ValueError):
            lines.append(json.loads(line))
    return lines


def make_app(plan: Plan) -> App:
    """The real thing, but for the three fakes above."""
    trigger = Trigger(plan)
    config = Config(
        robbie=RobbieConfig(owner="Allan", timezone="UTC", data_dir=plan.folder),
        database=DatabaseConfig(url=plan.url),
        web=WebConfig(port=0),
        brain=BrainConfig(turn_seconds=30, hedge_seconds=0),
        memory=MemoryConfig(embedder="none"),
    )
    rung = Rung(level="fake", provider=FakeModel(trigger, plan.delay_seconds), context=8000, max_output_tokens=100)
    return build(config, environ={}, rungs=[rung], adapters=[FakePush(plan, trigger)], database=DyingDatabase(plan.url, trigger))


async def feed(app: App, owner: Person, plan: Plan, number: int) -> None:
    """One conversation's messages in order, each when the one before was acknowledged; even conversations are pushed to, odd ones read."""
    channel = CONSOLE if number % 2 else PUSH
    acked = {tuple(key) for key in read_lines(plan.acked)}
    for n in range(plan.messages):
        external_id = f"c{number}-{n}"
        if (f"c{number}", external_id) in acked:
            continue
        inbound = Inbound(
            id=new_id(),
            address=Address(channel=channel, conversation=f"c{number}"),
            sender=Sender(channel=channel, account="a1"),
            external_id=external_id,
            text=f"question {external_id}",
            at=app.clock.now(),
        )
        await app.hub.receive(inbound, owner)
        append(plan.acked, (f"c{number}", external_id))
        await asyncio.sleep(plan.delay_seconds)


async def settled(app: App) -> bool:
    """Whether nothing is left to be answered or sent."""
    async with app.database.reading() as work:
        inbox, outbox = await work.inbox.counts(), await work.outbox.counts()
    return set(inbox) <= {"answered"} and set(outbox) <= {"sent"}


async def main(plan: Plan) -> None:
    """Feed the hub, with somebody looking at every conversation that is read, and leave when all is answered and delivered."""
    async with make_app(plan) as app, AsyncExitStack() as stack:
        owner = await app.prepare()
        for number in range(1, plan.conversations, 2):
            async with app.database.unit_of_work() as work:
                known = await work.conversations.ensure(
                    channel=CONSOLE, key=f"c{number}", user_id=owner.id, session_type="private", now=app.clock.now()
                )
            stack.enter_context(app.hub.feed.subscribe(known.id))
        async with app.hub:
            async with asyncio.TaskGroup() as group:
                for number in range(plan.conversations):
                    group.create_task(feed(app, owner, plan, number))
            while not await settled(app):
                await asyncio.sleep(0.01)


def serve() -> None:
    """Fork a hub for each plan."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            asyncio.run(main(Plan.load(Path(line.strip()))))
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
