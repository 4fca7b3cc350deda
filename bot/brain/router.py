"""Says what sort of work a question is, and whom to ask first."""

from __future__ import annotations

from bot.brain.task_type import classify
from bot.domain.thought import Prompt, Question, Route


class Router:
    """Chooses the order in which the levels are asked."""

    async def route(self, prompt: Prompt, question: Question) -> Route:
        """Whom this is for. Raises StorageUnavailable."""
        return Route(task_type=classify(prompt)[0], levels=())
