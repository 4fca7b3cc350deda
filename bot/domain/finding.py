"""What an examination finds: whether a part is well and, if not, how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """ok, warn (something is missing, Robbie works) or fail (he does not)."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What is known of one part, and its repair. Of a level it says whether it can answer, with or without a remark."""

    part: str
    status: Status
    detail: str
    repair: str = ""
    can_answer: bool | None = None
