"""FAKES for tests of thinking: a model that follows a script, time that passes at once, a listener, prices."""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

from bot.domain.address import Person, SessionType
from bot.domain.clock import Clock, new_id
from bot.domain.errors import ProviderUnavailable
from bot.domain.thought import Delta, Finish, Line, Prompt, Question, Role, ToolCall, Usage
from tests.clock import FakeClock

__all__ = [
    "CUT",
    "SILENCE",
    "FakeClock",
    "FakeListener",
    "FakePrices",
    "FakeProvider",
    "FakeTimeLoop",
    "Pause",
    "Step",
    "Stubborn",
    "asked",
    "loop_time",
    "prompting",
]


@dataclass(frozen=True)
class Pause:
    """FAKE: a step of a script: nothing is said for so long."""

    seconds: float


@dataclass(frozen=True)
class Stubborn:
    """FAKE: a step of a script: silence, and for so long a deaf ear to whoever hangs up."""

    seconds: float


class _Cut:
    """FAKE: a step of a script: the stream ends without its end marker."""


class _Silence:
    """FAKE: a step of a script: nothing more is ever said."""


CUT = _Cut()
SILENCE = _Silence()
Step = str | Pause | Stubborn | ToolCall | Finish | BaseException | _Cut | _Silence


class FakeProvider:
    """FAKE: a model that follows a script for each call: text, pauses, errors, silence, a cut. The last script holds for all later calls.

    A script that ends in text or a pause is finished by an end marker with `usage`.
    """

    def __init__(self, *script: Step, model: str = "m-1", provider: str = "local", usage: Usage | None = None) -> None:
        self.model = model
        self.provider = provider
        self.usage = usage
        self.asked: list[Prompt] = []
        self.hung_up = 0
        self.is_closed = False
        self._scripts = deque([script] if script else [])

    def then(self, *script: Step) -> FakeProvider:
        """What the next call after those scripted so far comes to."""
        self._scripts.append(script)
        return self

    def will(self, *script: Step) -> None:
        """What every call from now on comes to."""
        self._scripts = deque([script])

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | ToolCall | Finish]:
        """Follow the script."""
        self.asked.append(prompt)
        script = self._scripts.popleft() if len(self._scripts) > 1 else self._scripts[0]
        try:
            for step in script:
                match step:
                    case str():
                        yield Delta(text=step)
                    case ToolCall():
                        yield step
                    case Finish():
                        yield step
                        return
                    case BaseException():
                        raise step
                    case _Cut():
                        return
                    case _:
                        await _wait(step)
            yield Finish(usage=self.usage)
        except (asyncio.CancelledError, GeneratorExit):
            self.hung_up += 1
            raise

    async def models(self) -> tuple[str, ...]:
        """Its own name."""
        if not self._scripts:
            raise ProviderUnavailable("FAKE: away")
        return (self.model,)

    async def close(self) -> None:
        """Note it."""
        self.is_closed = True


async def _wait(step: Pause | Stubborn | _Silence) -> None:
    if isinstance(step, Pause):
        await asyncio.sleep(step.seconds)
    elif isinstance(step, Stubborn):
        ending = loop_time() + step.seconds
        while (left := ending - loop_time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue
    else:
        await asyncio.Event().wait()


class _FakeTimeSelector(selectors.DefaultSelector):
    """FAKE: time passes at once when there is nothing to do."""

    seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout if timeout is None else 0)
        if not ready and timeout:
            self.seconds += timeout
        return ready


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """FAKE: an event loop on which sleeping takes no time; for tests without threads, sockets and databases."""

    def __init__(self) -> None:
        self._fake_time = _FakeTimeSelector()
        super().__init__(self._fake_time)

    def time(self) -> float:
        """Seconds since the loop began, by its own reckoning."""
        return self._fake_time.seconds


def loop_time() -> float:
    """The time of the running loop, for whoever wants a monotonic clock."""
    return asyncio.get_running_loop().time()


class FakeListener:
    """FAKE: what a person would have seen, step by step; `shown` is what stands there now."""

    def __init__(self, *, breaks: BaseException | None = None) -> None:
        self.steps: list[tuple[str, str]] = []
        self.shown = ""
        self._breaks = breaks

    async def token(self, text: str) -> None:
        """More text."""
        self._check()
        self.steps.append(("token", text))
        self.shown += text

    async def replace(self, text: str) -> None:
        """Other text."""
        self._check()
        self.steps.append(("replace", text))
        self.shown = text

    def _check(self) -> None:
        if self._breaks is not None:
            raise self._breaks


class FakePrices:
    """FAKE: so many dollars a token for every model that is not local."""

    def __init__(self, *, input_usd: float = 0.001, output_usd: float = 0.01) -> None:
        self.input_usd = input_usd
        self.output_usd = output_usd

    def cost_usd(self, provider: str, model: str, usage: Usage, *, level: str) -> float:
        """Dollars for this usage."""
        if provider == "local":
            return 0.0
        return usage.input_tokens * self.input_usd + usage.output_tokens * self.output_usd


PERSON = Person(id=UUID(int=7), name="Allan", role="owner", timezone="America/New_York")


def asked(
    text: str,
    *,
    clock: Clock | None = None,
    person: Person = PERSON,
    conversation_id: UUID | None = None,
    session_type: SessionType = SessionType.PRIVATE,
    is_late: bool = False,
) -> Question:
    """A question of a person, now."""
    return Question(
        id=new_id(),
        conversation_id=conversation_id or new_id(),
        person=person,
        text=text,
        asked_at=(clock or FakeClock()).now(),
        session_type=session_type,
        is_late=is_late,
    )


def prompting(text: str = "how are you?") -> Prompt:
    """A short prompt."""
    return Prompt(system="You are Robbie.", brief_system="Robbie.", lines=(Line(role=Role.USER, text=text),))
