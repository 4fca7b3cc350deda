"""How Robbie logs: a line an event on stderr; readable on a terminal, JSON elsewhere. What people said and secrets stay out."""

from __future__ import annotations

import logging
from typing import TextIO

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

# Tracebacks without the frames' local variables: those hold what people said.
_FOR_PEOPLE = (structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),)
_FOR_PROGRAMS = (
    structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
    structlog.processors.JSONRenderer(),
)


def configure_log(level: str, *, stream: TextIO) -> None:
    """Send events of *level* and above to *stream*."""
    is_terminal = stream.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(_FOR_PEOPLE if is_terminal else _FOR_PROGRAMS),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    logging.basicConfig(level=max(LEVELS[level], logging.WARNING), stream=stream, format="%(levelname)s %(name)s %(message)s")
