"""The log tells what happened, and never what people said."""

from __future__ import annotations

import io
import json

import pytest
import structlog

from bot.logs import configure_log


class FakeTerminal(io.StringIO):
    """A FAKE terminal."""

    def isatty(self) -> bool:
        return True


def _break(secret: str) -> None:
    words = f"{secret} in a local variable"
    raise ValueError(len(words))


@pytest.fixture(autouse=True)
def as_before():
    """Logging as it was, afterwards."""
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("stream", [io.StringIO(), FakeTerminal()], ids=["programs", "people"])
def test_traceback_shows_no_local_variables(stream):
    configure_log("info", stream=stream)
    try:
        _break("my diary")
    except ValueError:
        structlog.get_logger().exception("turn.crashed")
    logged = stream.getvalue()
    assert "turn.crashed" in logged
    assert "ValueError" in logged
    assert "my diary" not in logged.replace('_break("my diary")', "")


def test_programs_get_a_json_line_an_event():
    stream = io.StringIO()
    configure_log("warning", stream=stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud", level_name="x")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "loud"
