# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks into the strips of a chunk that differ: which of their rows may differ.

A strip is a range of the key, so that its rows are read without a look at others. Those that hold more rows than are worth
reading one by one are parted first: by reckoning where the keys are integers, else by counting.
"""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass

from . import cuts
from .crew import Hands
from .cuts import Chunk, Cut
from .fingerprint import BucketSum, Fingerprint
from .keyspace import KeyRange
from .session import Row, Session

# Rows of the strips that are read together, one by one.
_ROWS_IN_MEMORY = 20_000

# A strip of more rows is parted, into parts of so many rows, again and again: integer keys may be 2**64 apart.
_COARSE_ROWS = 10_000
_FINE_ROWS = 1000
_MAX_ROUNDS = 8


@dataclass(frozen=True)
class Strip:
    """A range of the key and what both servers have there."""

    span: KeyRange
    ours: BucketSum
    theirs: BucketSum

    @property
    def differs(self) -> bool:
        """Whether its rows must be looked into."""
        return self.ours != self.theirs

    @property
    def rows(self) -> int:
        """Rows on the side that has more of them."""
        return max(self.ours.rows, self.theirs.rows)

    @property
    def is_too_large(self) -> bool:
        """Whether its rows must be looked into and are too many to be read one by one."""
        return self.differs and self.rows > _COARSE_ROWS

    def keys(self, keys: tuple[int, int]) -> tuple[int, int]:
        """Its first and last integer key; ``keys`` are those of the chunk."""
        lower, upper = self.span.lower, self.span.upper
        low = keys[0] if lower is None else max(keys[0], int(lower[0] or 0) + 1)
        return low, max(low, keys[1] if upper is None else int(upper[0] or 0))


class Strips:
    """Looks into the strips of one table. ``most``: strips that one statement may have."""

    def __init__(self, hands: Hands, fingerprint: Fingerprint, most: int) -> None:
        self._hands = hands
        self._fingerprint = fingerprint
        self._most = most

    def look_into(self, cut: Cut, strips: list[Strip], seconds: float) -> t.Iterator[Chunk]:
        """Read differing strips row by row, in pieces that end where memory asks for it. Raises ServerError."""
        strips = self._parted(strips, cut.keys)
        lower = cut.span.lower
        pieces = list(_pieces(strips, self._most))
        for piece in pieces:
            upper = cut.span.upper if piece is pieces[-1] else piece[-1].span.upper
            yield Chunk(KeyRange(lower, upper), sum(strip.ours.rows for strip in piece), self._suspects(piece), seconds)
            lower, seconds = upper, 0.0

    def _parted(self, strips: list[Strip], keys: tuple[int, int] | None) -> list[Strip]:
        """Part strips that differ and are too large: they were never parted, or keys crowd where few were expected."""
        for _round in range(_MAX_ROUNDS):
            if not any(strip.is_too_large for strip in strips):
                break
            finer: list[Strip] = []
            for strip in strips:
                if not strip.is_too_large:
                    finer.append(strip)
                    continue
                parts = self._parts(strip, keys)
                sums = self._hands.both(lambda session, parts=parts: self._fingerprint.strips(session, parts))  # type: ignore[misc]
                finer.extend(Strip(*each) for each in zip(parts, *sums))
            strips = finer
        return strips

    def _parts(self, strip: Strip, keys: tuple[int, int] | None) -> tuple[KeyRange, ...]:
        most = min(self._most, strip.rows // _FINE_ROWS)
        if keys:
            return cuts.split(strip.span, strip.keys(keys), most)
        scouts = self._hands.scouts
        scout = scouts.source if strip.ours.rows >= strip.theirs.rows else scouts.target
        return cuts.count(self._fingerprint.space, scout, strip.span, math.ceil(strip.rows / most), most)

    def _suspects(self, strips: list[Strip]) -> dict[Row, float]:
        """Keys whose rows differ in strips, and what part of all the strips' rows lies before each."""
        differing = [strip for strip in strips if strip.differs]
        if not differing:
            return {}
        # Where one server has no rows, those of the other are suspects whatever is in them; it alone is asked.
        alone = {place for place, strip in enumerate(differing) if not (strip.ours.rows and strip.theirs.rows)}
        # By the scouts: the readers have the next chunk before them, and would be waited for.
        scouts = self._hands.scouts
        read = iter(zip(*scouts.both(lambda session: self._rows_of(session, differing, session is scouts.source, alone))))
        total, before = max(1, sum(strip.ours.rows for strip in strips)), 0
        suspects: dict[Row, float] = {}
        parsed = self._fingerprint.space.parsed
        for strip in strips:
            if strip.differs:
                here, there = next(read)
                for side, others in ((here, set(there)), (there, set(here))):
                    for place, pair in enumerate(side):
                        if pair not in others:
                            suspects[parsed(pair.partition(b":")[2])] = (before + place / len(side) * strip.ours.rows) / total
            before += strip.ours.rows
        return suspects

    def _rows_of(self, session: Session, strips: list[Strip], ours: bool, alone: t.Container[int]) -> list[list[bytes]]:
        """Every row of strips on one server: the source (``ours``) or the target. Of those ``alone`` the keys are enough."""
        found: list[list[bytes]] = [[] for _strip in strips]
        asked = [place for place, strip in enumerate(strips) if (strip.ours if ours else strip.theirs).rows]
        keys_only = {number for number, place in enumerate(asked) if place in alone}
        answers = self._fingerprint.rows_of_strips(session, [strips[place].span for place in asked], keys_only)
        for place, answer in zip(asked, answers):
            found[place] = answer
        return found


def _pieces(strips: list[Strip], most: int) -> t.Iterator[list[Strip]]:
    """Group strips so that the differing rows of a group fit into memory, and ``most`` of those strips into a statement."""
    piece: list[Strip] = []
    rows = differing = 0
    for strip in strips:
        more = strip.rows if strip.differs else 0
        if piece and more and (rows + more > _ROWS_IN_MEMORY or differing == most):
            yield piece
            piece, rows, differing = [], 0, 0
        piece.append(strip)
        rows += more
        differing += strip.differs
    if piece:
        yield piece
