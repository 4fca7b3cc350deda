"""How a vendor's refusal becomes one of Robbie's errors: the table that every provider shares."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime

from bot.domain.errors import (
    ContextTooLong,
    CredentialsRejected,
    ModelNotServed,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    StreamBroken,
    ToolsRefused,
)
from bot.domain.thought import Finish, Usage

READ_SECONDS = 120.0
"""The longest silence an HTTP client endures; the chain's own bounds are far shorter, this one only ends what they missed."""

MALFORMED = (ValueError, TypeError, AttributeError, LookupError)
"""What reading a frame of the wrong shape raises; the SDKs check almost nothing of what they are sent."""

SHORTEST_SECRET = 6
"""Characters; a shorter one, such as the "none" that is given to a server without keys, is a word like any other."""

_CONTEXT_CODES = {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
# Anthropic, Ollama and vLLM give these refusals no code of their own: only their words tell them from other bad requests.
_CONTEXT_WORDS = re.compile(r"prompt is too long|context (length|window|size)|exceeds? the (available )?context", re.IGNORECASE)
_REFUSAL_CODES = {"content_policy_violation", "content_filter", "invalid_prompt"}
# OpenRouter and its like answer 403 to a flagged question, as to a wrong key.
_FLAGGED_WORDS = re.compile(r"input was flagged", re.IGNORECASE)
_CREDIT_WORDS = re.compile(r"credit balance is too low", re.IGNORECASE)
# Ollama, vLLM, llama.cpp, OpenRouter and OpenAI itself (for models that think) refuse native tools under 400, 404 or 500, in such words.
_TOOL_WORDS = re.compile(
    r"support(s|ed|ing)? (tools|tool use|tool call\w*|function call\w*)|tool choice requires|tools param requires"
    r"|tools( with \w+)? (is|are) not supported|(argument|parameter|field|input)\w*\W[^.]{0,40}\btools\b|\btools\b[^.]{0,40} not permitted",
    re.IGNORECASE,
)
_MODEL_CODES = {"model_not_found", "model_not_available", "not_found_error"}
_RATE_CODES = {"rate_limit_error", "rate_limit_exceeded", "insufficient_quota", "429"}
_OVERLOAD_CODES = {"overloaded_error", "overloaded", "engine_overloaded", "timeout_error", "503", "529"}


def from_status(
    who: str, status: int, *, codes: Iterable[str | None] = (), text: str = "", headers: Mapping[str, str] | None = None, secret: str = ""
) -> ProviderError:
    """The error that an HTTP answer of *status* means; *codes* are the vendor's own words for it, which may repeat the *secret*."""
    words = set(codes)
    said = f"{who}: HTTP {status}: {brief(text, secret)}"
    if status in (400, 404, 422, 500, 501) and _TOOL_WORDS.search(text):
        return ToolsRefused(said)
    if words & _MODEL_CODES or status in (404, 410):
        return ModelNotServed(said)
    if status == 429:
        return RateLimited(said, retry_after=retry_after(headers or {}))
    if status < 500 and (words & _REFUSAL_CODES or _FLAGGED_WORDS.search(text)):
        return RequestRejected(said)
    if status in (401, 402, 403) or "billing_error" in words or _CREDIT_WORDS.search(text):
        return CredentialsRejected(said)
    if status in (408, 409) or status >= 500:
        return ProviderUnavailable(said)
    if status == 413 or words & _CONTEXT_CODES or _CONTEXT_WORDS.search(text):
        return ContextTooLong(said)
    # Else a redirect, a proxy that wants a password, an address where no model lives.
    return RequestRejected(said) if status in (400, 422, 451) else ProviderUnavailable(said)


def from_event(who: str, *, codes: Iterable[str | None] = (), text: str = "", secret: str = "") -> ProviderError:
    """The error that an error event inside a stream means; whatever is not told more precisely is a broken stream."""
    said, words = f"{who}: error inside the stream: {brief(text, secret)}", set(codes)
    kind: type[ProviderError] = StreamBroken
    if words & _RATE_CODES:
        kind = RateLimited
    elif words & _OVERLOAD_CODES:
        kind = ProviderUnavailable
    elif words & _CONTEXT_CODES:
        kind = ContextTooLong
    elif words & _REFUSAL_CODES or "invalid_request_error" in words:
        kind = RequestRejected
    error = kind(said)
    error.has_begun = True
    return error


def cut_off(who: str, error: Exception, *, begun: bool, secret: str = "") -> ProviderError:
    """The error that a failed connection means: before the answer began the level is away, after it the stream is broken."""
    said = f"{who}: {type(error).__name__}: {brief(str(error), secret)}"
    return StreamBroken(said) if begun else ProviderUnavailable(said)


def ending(who: str, *, reason: str, usage: Usage | None) -> Finish:
    """The end marker of a stream that ended for *reason*; raises StreamBroken where the vendor sent none ("")."""
    if not reason:
        raise StreamBroken(f"{who}: the stream ended without its end marker")
    return Finish(usage=usage, reason=reason)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """How many seconds the vendor asks to be left alone, or None; the header holds seconds or an HTTP date."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    told = headers.get("retry-after", "")
    seconds = _number(told)
    if seconds is not None:
        return seconds
    try:
        return max(parsedate_to_datetime(told).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError):
        return None


def brief(text: str, secret: str = "") -> str:
    """*text* on one line, short enough for a log, and without the *secret*."""
    safe = text.replace(secret, "[secret]") if len(secret) >= SHORTEST_SECRET else text
    return " ".join(safe.split())[:300]


def quiet(*loggers: str) -> None:
    """Keep an SDK from writing prompts, headers and addresses to the log, at whatever level Robbie itself logs."""
    for name in loggers:
        logging.getLogger(name).setLevel(logging.WARNING)


def _number(told: str) -> float | None:
    """*told* as a sensible number of at least 0, or None."""
    try:
        number = float(told)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
