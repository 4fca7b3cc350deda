"""How Robbie logs: a line an event on stderr; readable on a terminal, JSON elsewhere. What people said and secrets stay out."""

from __future__ import annotations

import logging
from typing import TextIO

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_log(level: str, *, stream: TextIO) -> None:
    """Send events of *level* and above to *stream*."""
    is_terminal = stream.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if is_terminal else [structlog.processors.dict_tracebacks]),
            structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    logging.basicConfig(level=max(LEVELS[level], logging.WARNING), stream=stream, format="%(levelname)s %(name)s %(message)s")
