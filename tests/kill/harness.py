"""Kills hubs with SIGKILL, starts them again, and then counts: what was lost, what was repeated, what was marked, what is out of order."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from storage.database import Database
from tests.kill.victim import ORGANIZATION, Plan, append, read_lines

ROOT = Path(__file__).parents[2]
STATES = ("received", "claimed", "model", "streaming", "completed", "recorded", "sending", "sent")
KILLED = -9
SECONDS_TO_FINISH = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is found when all has been answered. `repeats` were sent a second time; `unmarked` of them did not say so."""

    kills: int
    acknowledged: int
    lost: int
    answered_twice: int
    repeats: int
    unmarked: int
    most_repeats_per_kill_and_conversation: int
    out_of_order: int

    @property
    def is_good(self) -> bool:
        """C7: nothing lost, at most one repeat per conversation in flight and kill, each marked, in order."""
        bad = self.lost + self.answered_twice + self.unmarked + self.out_of_order
        return bad == 0 and self.most_repeats_per_kill_and_conversation <= 1


class Nursery:
    """Starts hubs without importing everything anew each time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, plan: Plan) -> int:
        """The pid of a new hub."""
        file = plan.folder / "plan.json"
        file.write_text(json.dumps(asdict(plan), default=str))
        assert self._process.stdin
        self._process.stdin.write(f"{file}\n")
        self._process.stdin.flush()
        return self._read()

    def wait(self) -> int:
        """The exit status of the hub that was started last; -9 where it was killed."""
        return self._read()

    def _read(self) -> int:
        assert self._process.stdout
        return int(self._process.stdout.readline())


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery, while inside."""
    command = [sys.executable, "-m", "tests.kill.victim"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Nursery(process)
        assert process.stdin
        process.stdin.close()
        process.wait(SECONDS_TO_FINISH)


def kill_at(hubs: Nursery, plan: Plan, state: str, *, number: int) -> None:
    """Let a hub die at a state of a turn, then let another finish."""
    hubs.start(replace(plan, kill_at=state, kill_number=number))
    status = hubs.wait()
    assert status == KILLED, f"the hub ended with {status} and never reached {state!r}"
    append(plan.pushed, {"killed": state})
    _finish(hubs, plan)


def kill_at_random(hubs: Nursery, plan: Plan, *, kills: int, seed: int, progress: Any = lambda done: None) -> None:
    """Kill hubs at random moments of their first half second and a bit, then let one finish."""
    chance = random.Random(seed)
    done = 0
    while done < kills:
        pid = hubs.start(plan)
        time.sleep(chance.uniform(0.03, 0.7))
        subprocess.run(["kill", "-9", str(pid)], check=False, stderr=subprocess.DEVNULL)
        status = hubs.wait()
        assert status in (KILLED, 0), f"the hub ended with {status}"
        if status == 0:  # it had nothing left to do: the load was too small
            raise AssertionError(f"all was answered after {done} kills; give the hub more to do")
        done += 1
        append(plan.pushed, {"killed": done})
        progress(done)
    _finish(hubs, plan)


def _finish(hubs: Nursery, plan: Plan) -> None:
    hubs.start(replace(plan, kill_at="", delay_seconds=0.0))
    status = hubs.wait()
    assert status == 0, f"the hub that was to finish ended with {status}"


async def judge(plan: Plan) -> Verdict:
    """Compare what was acknowledged with the ledger and with what the channel took."""
    acked = [tuple(key) for key in read_lines(plan.acked)]
    lines = read_lines(plan.pushed)
    pushed = [line for line in lines if "edits" not in line]
    finals = [line["reply_to"] for line in lines if "reply_to" in line and not line.get("shows")]
    replies, in_order = await _replies(plan)
    sends = Counter(line["reply_to"] for line in pushed if "reply_to" in line)
    firsts = list(dict.fromkeys(finals))
    ids = {external_id for _, external_id in acked}
    to_push = {external_id for external_id in ids if not _is_read(external_id)}
    return Verdict(
        kills=sum("killed" in line for line in pushed),
        acknowledged=len(ids),
        lost=len(ids - replies.keys()) + len(to_push - set(finals)) + plan.conversations * plan.messages - len(ids),
        answered_twice=sum(count > 1 for count in replies.values()),
        repeats=sum(sends.values()) - len(sends),
        unmarked=sum(sends.values()) - len(sends) - sum(bool(line.get("recovered")) for line in _repeats(pushed)),
        most_repeats_per_kill_and_conversation=_most_repeats(pushed),
        out_of_order=in_order + sum(not _is_sorted(part) for part in _by_conversation(firsts).values()),
    )


async def _replies(plan: Plan) -> tuple[Counter[str], int]:
    """How often each message was answered in the ledger, and in how many conversations the answers are out of order."""
    counts: Counter[str] = Counter()
    disordered = 0
    async with Database(plan.url, organization=ORGANIZATION) as database, database.reading() as work:
        for number in range(plan.conversations):
            channel = "console" if number % 2 else "push"
            conversation = await work.conversations.find(channel=channel, key=f"c{number}")
            assert conversation is not None
            said = [m.text for m in await work.messages.latest(conversation.id, limit=1_000_000) if m.direction == "out"]
            answers = [text.removeprefix("re: question ") for text in said]
            counts.update(answers)
            disordered += not _is_sorted(answers)
    return counts, disordered


def _is_read(external_id: str) -> bool:
    """Whether its conversation's channel reads the ledger, and nothing is sent."""
    return int(external_id.removeprefix("c").split("-")[0]) % 2 == 1


def _by_conversation(external_ids: Sequence[str]) -> dict[str, list[str]]:
    parts = defaultdict(list)
    for external_id in external_ids:
        parts[external_id.split("-")[0]].append(external_id)
    return parts


def _is_sorted(external_ids: Sequence[str]) -> bool:
    numbers = [int(external_id.split("-")[1]) for external_id in external_ids]
    return numbers == sorted(numbers)


def _repeats(pushed: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines that say again what an earlier line said."""
    seen = set()
    for line in pushed:
        if line.get("reply_to") in seen:
            yield line
        seen.add(line.get("reply_to", object()))


def _most_repeats(pushed: Sequence[dict[str, Any]]) -> int:
    """The most repeats that one kill caused in one conversation."""
    seen, most = set(), 0
    here: Counter[str] = Counter()
    for line in pushed:
        if "killed" in line:
            here.clear()
        elif line["reply_to"] in seen:
            here[line["conversation"]] += 1
            most = max(most, here[line["conversation"]])
        seen.add(line.get("reply_to"))
    return most
