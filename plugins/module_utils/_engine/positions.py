# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where in key order the differences of a table lie, in bounded space: a strip to draw, not an index to search.

A difference is put down by the number of rows before it. Neighbours share a stretch of the table, and
stretches double in width whenever there are too many of them, so that no table takes more than
``MARKS`` of them, however large it is and however much of it differs.
"""

from __future__ import annotations

import typing as t

from .report import Position

#: Stretches that one table is told in, at most.
MARKS = 100

_Counts = dict[str, int]


class Positions:
    """Differences of one table by the number of rows before them."""

    def __init__(self) -> None:
        self._width = 1
        self._stretches: dict[int, _Counts] = {}

    def add(self, kind: str, before: float, rows: int = 1) -> None:
        """Put down ``rows`` differing rows of one kind that have ``before`` rows before them."""
        counts = self._stretches.get(int(before) // self._width)
        if counts is not None and kind in counts:  # the usual case: a neighbour is there
            counts[kind] += rows
            return
        self._put(int(before) // self._width, kind, rows)
        while len(self._stretches) > MARKS:
            self._widen()

    def resume(self, marks: t.Iterable[Position], rows: int) -> None:
        """Go on from what an earlier run had found in its ``rows`` rows."""
        for mark in marks:
            for kind in ("missing", "extra", "different"):
                if getattr(mark, kind):
                    self.add(kind, round(mark.start * rows), getattr(mark, kind))

    def marks(self, rows: int) -> tuple[Position, ...]:
        """The stretches in key order, as fractions of a table of ``rows`` rows."""
        # Rows that only the target has may lie behind the source's last one.
        length = max(rows, 1 + max(self._stretches, default=0) * self._width)
        return tuple(
            Position(
                start=round(place * self._width / length, 6),
                end=round(min(1.0, (place + 1) * self._width / length), 6),
                **counts,
            )
            for place, counts in sorted(self._stretches.items())
        )

    def _put(self, place: int, kind: str, rows: int) -> None:
        counts = self._stretches.setdefault(place, {})
        counts[kind] = counts.get(kind, 0) + rows

    def _widen(self) -> None:
        narrow, self._stretches = self._stretches, {}
        self._width *= 2
        for place, counts in narrow.items():
            for kind, rows in counts.items():
                self._put(place // 2, kind, rows)
