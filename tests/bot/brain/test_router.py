"""What sort of work a question is taken for."""

from __future__ import annotations

import time

import pytest

from bot.brain.router import classify
from bot.domain.thought import TaskType
from tests.fakes import prompting

HANGING_SECONDS = 60


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is the capital of France?", TaskType.QUICK),
        ("import duties on tea", TaskType.QUICK),
        ("the class of 1999 was a good one", TaskType.QUICK),
        ("why is the sky blue", TaskType.COMPLEX),
        ("Compare the two offers", TaskType.COMPLEX),
        ("tell me of it " * 40, TaskType.COMPLEX),
        ("fix this: ```py\nx = 1\n```", TaskType.CODE),
        ("def add(a, b):", TaskType.CODE),
        ("SELECT name FROM people;", TaskType.CODE),
        ("Write me a haiku about rain", TaskType.CREATIVE),
        ("x" * 100_000, TaskType.LONG_CONTEXT),
    ],
)
def test_task_type(text: str, expected: TaskType):
    assert classify(prompting(text)) is expected


@pytest.mark.parametrize("word", ["import ", "def ", "class x ", "SELECT ", "write ", "SELECT x FROM ", "\n", "😀"])
def test_a_megabyte_of_anything_does_not_hang(word: str):
    """Not a timing: what backtracks here would take hours."""
    began = time.process_time()
    classify(prompting(word * (1_000_000 // len(word))))
    assert time.process_time() - began < HANGING_SECONDS
