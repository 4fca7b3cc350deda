"""Vectors of an embedded database as int8 in memory: filtered by whose they are before they are ranked, scanned in milliseconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from bot.domain.memory import Scope
from storage.repositories.base import CLOCK_SKEW

BLOCK = 1_024
"""Vectors that are compared at once: as float32 they fit into a processor's cache, so that 100,000 take 15 ms instead of 30."""
MOSTLY = 0.3
"""Where more of a block is in scope, all of it is scanned: to pick them out would take longer."""
NOBODYS = 0
MOST_GONE = 0.25
LOOKS_BACK = 5.0
"""Seconds; what another process adds with a clock that is behind is found by its words meanwhile."""
SKEW = int(CLOCK_SKEW.total_seconds() * 1000) << 16
Row = Sequence[Any]
"""Number, user's id, place, trust, stamp and vector, as SQLite keeps them."""


class VectorIndex:
    """The vectors of one model, as long as `dimension`: 408 bytes for each of 384 numbers.

    A row that is given again replaces what it was; a vector that is none (cut short, not a number) belongs to
    nobody and is never found. One thread may scan while another adds. `lock` is for who brings it up to date.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._columns = [
            ("number", "<i8", ()),
            ("stamp", "<i8", ()),
            ("whose", "<i4", ()),
            ("scale", "<f4", ()),
            ("vector", "i1", (dimension,)),
        ]
        self.lock = asyncio.Lock()
        self.clear()

    def clear(self) -> None:
        """Hold nothing, so that everything is read anew."""
        self.latest = "0" * 32
        self._looked_at = 0.0
        self._blocks: list[Any] = []
        self._filled = BLOCK
        self._gone = self._highest = 0
        self._whose: dict[tuple[str, str, str], int] = {}

    @property
    def window(self) -> str:
        """The stamp from which on something older than the latest may still be added, by who has a slower clock."""
        return f"{max(int(self.latest[:16], 16) - SKEW, 0):016x}{'0' * 16}"

    def may_be_behind(self) -> bool:
        """Whether it is `LOOKS_BACK` seconds since it was asked whether something was added with an older stamp."""
        if is_so := time.monotonic() - self._looked_at >= LOOKS_BACK:
            self._looked_at = time.monotonic()
        return is_so

    def count_lately(self) -> int:
        """How many it holds that are stamped after `window`."""
        return sum(int((block["stamp"] >= _head(self.window)).sum()) for block in self._blocks)

    def forget_lately(self) -> None:
        """What was stamped after `window` is to be read again; all is, where much of the room is taken by what is gone."""
        since = _head(window := self.window)
        for block in self._blocks:
            self._drop(block, block["stamp"] >= since)
        self.latest = window
        if self._gone > MOST_GONE * BLOCK * len(self._blocks):
            self.clear()

    def drop(self, numbers: Sequence[int]) -> None:
        """Rows that the database has no more."""
        import numpy as np

        for block in self._blocks if numbers else ():
            self._drop(block, np.isin(block["number"], numbers))

    def add(self, rows: Sequence[Row]) -> None:
        """Hold these rows, which come in the order of their stamps."""
        import numpy as np

        if not rows:
            return
        self.drop([row[0] for row in rows if row[0] <= self._highest])
        self._highest = max(self._highest, *(row[0] for row in rows))
        raw, blank = [row[5] for row in rows], bytes(4 * self.dimension)
        vectors = np.frombuffer(b"".join(each if len(each) == len(blank) else blank for each in raw), "<f4").reshape(len(rows), -1)
        most = np.where(np.isfinite(vectors).all(1), np.abs(vectors).max(1), 0)
        fresh = np.zeros(len(rows), self._columns)
        fresh["number"], fresh["stamp"], fresh["scale"] = [row[0] for row in rows], [_head(row[4]) for row in rows], most / 127
        fresh["whose"] = np.where(
            most > 0, [self._whose.setdefault((row[1], row[2], row[3]), len(self._whose) + 1) for row in rows], NOBODYS
        )
        fresh["vector"] = np.rint(np.where(most > 0, vectors.T, 0) / np.where(most > 0, fresh["scale"], 1)).T
        self.latest = max(self.latest, rows[-1][4])
        self._hold(fresh)

    def _hold(self, fresh: Any) -> None:
        import numpy as np

        while len(fresh):
            if self._filled == BLOCK:  # each column lies by itself: a scan reads nothing else
                block = {name: np.zeros((BLOCK, *shape), kind) for name, kind, shape in self._columns}
                self._blocks, self._filled = [*self._blocks, block], 0
            fitting, fresh = fresh[: BLOCK - self._filled], fresh[BLOCK - self._filled :]
            for name, column in self._blocks[-1].items():
                column[self._filled : self._filled + len(fitting)] = fitting[name]
            self._filled += len(fitting)

    def nearest(self, vector: Any, scope: Scope, *, limit: int) -> list[int]:
        """The numbers of those in scope that are nearest to *vector*, best first, as exactly as eight bits tell."""
        import numpy as np

        user, trusts = scope.user_id.hex, {*scope.trusts}
        allowed = np.array([False, *(_is_in(each, user, scope.place, trusts) for each in [*self._whose])])
        numbers, scores = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
        for block in self._blocks:
            is_in = allowed[np.minimum(block["whose"], len(allowed) - 1)]
            if (share := is_in.mean()) > 0:
                chosen = slice(None) if share > MOSTLY else is_in
                numbers.append(block["number"][is_in])
                scored = (block["vector"][chosen].astype(np.float32) @ vector) * block["scale"][chosen]
                scores.append(scored[is_in] if share > MOSTLY else scored)
        all_numbers, all_scores = np.concatenate(numbers), np.concatenate(scores)
        best = np.argpartition(-all_scores, limit)[:limit] if len(all_scores) > limit else np.arange(len(all_scores))
        return [int(each) for each in all_numbers[best[np.lexsort((-all_numbers[best], -all_scores[best]))]]]

    def _drop(self, block: Any, which: Any) -> None:
        self._gone += int((which & (block["number"] > 0)).sum())
        for name in ("number", "stamp", "whose", "scale", "vector"):
            block[name][which] = 0


def _head(stamp: str) -> int:
    """The half of a UUIDv7 that tells when it was made."""
    return int(stamp[:16], 16)


def _is_in(whose: tuple[str, str, str], user: str, place: str, trusts: set[Any]) -> bool:
    return whose[0] == user and whose[2] in trusts and (not place or whose[1] == place)
