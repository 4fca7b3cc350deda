"""Every error Robbie raises on purpose, as one tree; the class carries the meaning, nobody reads the text to decide.

RobbieError
├── ConfigError(key, line, repair)
├── AdapterError
│   ├── ChannelUnavailable      try again later
│   ├── ChannelRefused          the channel does not accept Robbie's token: only its owner can repair it
│   ├── DeliveryRejected        the channel refuses this message for good
│   └── DeliveryUnknown         it may or may not have arrived
├── ProviderError
│   ├── ProviderUnavailable     refused, timed out, 5xx, overloaded
│   ├── RateLimited(retry_after)
│   ├── CredentialsRejected     the key is wrong: only its owner can repair it
│   ├── ModelNotServed          the vendor does not (or no longer) serve this model
│   ├── StreamBroken            truncated, stalled, malformed or empty
│   ├── ContextTooLong
│   ├── RequestRejected         this request is refused; the level itself is well
│   │   └── ToolsRefused        the model has no tools of its own
│   └── AllLevelsFailed(attempts)
├── EmbeddingFailed             a model could not turn texts into vectors
├── BudgetExhausted
├── NotAllowed
├── ToolFailed                  a tool cannot do this as asked: its text says why, and what would be right
│   └── NotMeant                there is no such thing: plain words were perhaps no order
├── AlreadyRunning              another hub holds this home
├── ModelFileError              the embedded model's file is missing or is not the one that was promised
└── StorageError
    ├── StorageUnavailable      locked, read-only, disk full, unreachable
    ├── SchemaMismatch          the database is newer (or older) than the code
    └── Conflict                someone else finished this first
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class RobbieError(Exception):
    """The root of what Robbie raises on purpose; its text is for logs and the operator, never for a person in chat."""


class ConfigError(RobbieError):
    """The configuration cannot be used; says where, and how to repair it."""

    def __init__(self, message: str, *, key: str = "", file: Path | None = None, line: int | None = None, repair: str = "") -> None:
        self.key, self.file, self.line, self.repair = key, file, line, repair
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(f"{place}{key + ': ' if key else ''}{message}" + (f" ({repair})" if repair else ""))


class AdapterError(RobbieError):
    """A channel did not do what it was asked; `sent` are the ids of those parts that it took all the same, joined by commas."""

    def __init__(self, message: str, *, sent: str = "") -> None:
        self.sent = sent
        super().__init__(message)


class ChannelUnavailable(AdapterError):
    """The channel cannot be reached now; `retry_after` is in seconds where the channel told it."""

    def __init__(self, message: str, *, retry_after: float | None = None, sent: str = "") -> None:
        self.retry_after = retry_after
        super().__init__(message, sent=sent)


class ChannelRefused(AdapterError):
    """The channel does not accept what Robbie shows it: a token that was revoked, a password that was changed, a scope that is missing."""


class DeliveryRejected(AdapterError):
    """The channel refuses this message; sending it again would change nothing."""


class DeliveryUnknown(AdapterError):
    """The connection fell while sending: the message may have arrived."""


class ProviderError(RobbieError):
    """A model did not answer. `has_begun` where it had taken the question by then: it may have thought, and that is paid for."""

    has_begun = False


class ProviderUnavailable(ProviderError):
    """Refused, timed out, 5xx or overloaded."""


class RateLimited(ProviderError):
    """429; `retry_after` is in seconds, or None when the vendor did not say."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class CredentialsRejected(ProviderError):
    """401 or 403: the key is wrong, expired or lacks the right."""


class ModelNotServed(ProviderError):
    """The vendor does not, or no longer, serve this model."""


class StreamBroken(ProviderError):
    """The stream ended without its end marker or told of a fault, stalled, was malformed or said nothing."""


class ContextTooLong(ProviderError):
    """The prompt does not fit the model's window."""


class RequestRejected(ProviderError):
    """This one request is refused (400, a content filter); the level itself is well."""


class ToolsRefused(RequestRejected):
    """The model, or its server, takes no tools natively: they can be told to it in words."""


class AllLevelsFailed(ProviderError):
    """No level answered; `attempts` tells what each one did."""

    def __init__(self, attempts: Sequence[object] = ()) -> None:
        self.attempts = tuple(attempts)
        super().__init__("; ".join(str(attempt) for attempt in self.attempts) or "no level could be asked")


class EmbeddingFailed(RobbieError):
    """A model could not turn texts into vectors; what is said stays findable by its words."""


class BudgetExhausted(RobbieError):
    """Today's allowance does not cover this call."""


class NotAllowed(RobbieError):
    """The sender may not do this."""


class ToolFailed(RobbieError):
    """A tool cannot do what was asked; the one error whose text is meant to be told: what was wrong, and the nearest right form."""


class NotMeant(ToolFailed):
    """What was asked about is not there: said in plain words, it was perhaps no order at all."""


class AlreadyRunning(RobbieError):
    """Another hub already runs on this home."""


class ModelFileError(RobbieError):
    """The embedded model's file is missing, incomplete or not the one that was promised."""


class StorageError(RobbieError):
    """The data could not be read or written."""


class StorageUnavailable(StorageError):
    """Locked, read-only, full or unreachable."""


class SchemaMismatch(StorageError):
    """The database was made by a newer Robbie, or still waits for its migrations."""


class Conflict(StorageError):
    """Someone else finished this first."""
